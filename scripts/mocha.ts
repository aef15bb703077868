/** Mocha as a process of its own, over files of one's own: it would add the `spec` of `.mocharc.json` to them, hence options instead. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { globSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const ROOT = dirname(import.meta.dirname)
const OPTIONS = ['--no-config', '--extension', 'ts', '--require', './test/helpers/postgres.ts', '--reporter', './scripts/mocha-reporter.ts']

/** How mocha runs. */
export interface MochaRun {
  /** More of its options. */
  readonly options?: readonly string[]
  /** Variables beside those of this process. */
  readonly env?: Readonly<Record<string, string>>
  /** Told of the process as soon as it runs; default: it hears of the signals of this one. */
  readonly started?: (child: ChildProcess) => void
}

/** The files of the tests that match, in a fixed order. @throws Error when there is none. */
export function testFiles(patterns: readonly string[]): readonly string[] {
  const files = globSync([...patterns], { cwd: ROOT }).sort()
  if (files.length === 0) throw new Error(`No test matches ${patterns.join(' ')}`)
  return files
}

/** Runs the files and answers mocha's exit code. */
export async function runMocha(files: readonly string[], { options = [], env = {}, started = forwardSignals }: MochaRun): Promise<number> {
  const mocha = join(dirname(createRequire(import.meta.url).resolve('mocha/package.json')), 'bin', 'mocha.js')
  const child = spawn(process.execPath, [mocha, ...OPTIONS, ...options, ...files], {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  })
  started(child)
  const [code] = (await once(child, 'exit')) as [number | null]
  return code ?? 1
}

function forwardSignals(child: ChildProcess): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void child.kill(signal))
}
