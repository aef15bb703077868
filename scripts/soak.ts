/**
 * Runs the long tests, one after the other, on a PostgreSQL 18 of their own: everything that ends in `.soak.test.ts`. With arguments, those
 * files. With DATABASE_URL set, on that server.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const TIMEOUT_MS = 3_600_000

const root = dirname(import.meta.dirname)
const given = process.argv.slice(2)
const files = globSync(given.length > 0 ? given : ['test/**/*.soak.test.ts'], { cwd: root }).sort()
if (files.length === 0) throw new Error(`No test matches ${given.join(' ') || 'test/**/*.soak.test.ts'}`)

const mocha = join(dirname(createRequire(import.meta.url).resolve('mocha/package.json')), 'bin', 'mocha.js')
const options = ['--no-config', '--extension', 'ts', '--require', './test/helpers/postgres.ts', '--reporter', './scripts/mocha-reporter.ts']
const child = spawn(process.execPath, [mocha, ...options, '--timeout', String(TIMEOUT_MS), ...files], { cwd: root, stdio: 'inherit' })
const forward = (signal: NodeJS.Signals): void => void child.kill(signal)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, forward)
const [code] = (await once(child, 'exit')) as [number | null]
process.exitCode = code ?? 1
