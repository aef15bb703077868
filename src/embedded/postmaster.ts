/** The running server: found by its pid file, started, waited for, stopped. */
import { spawn } from 'node:child_process'
import { closeSync, existsSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SERVER_ENVIRONMENT, type Binaries } from './binaries.ts'
import { fileIn, openLog, readIfThere, type DataFolder } from './data-folder.ts'
import { EmbeddedInUseError, EmbeddedUnavailableError } from './errors.ts'
import { probe } from './probe.ts'
import { isAlive, processMark, processesIn, runsProgram, signal, waitUntilGone, workingFolder, type ProcessMark } from './processes.ts'
import { spawnAs, type OsUser } from './reach.ts'

/** A server that runs on a cluster. */
export interface Postmaster {
  readonly mark: ProcessMark
  readonly port: number
}

/** What a start needs to know. */
export interface LaunchPlan {
  readonly binaries: Binaries
  readonly cluster: string
  readonly user: OsUser
  readonly password: string
  readonly preferredPort: number | undefined
  readonly settings: Readonly<Record<string, string>>
}

export const LOG_FILE = 'postgres.log'
const PID_FILE = 'postmaster.pid'
const LAUNCH_TRIES = 5
const SILENT_START_MS = 60_000
/** Recovery after a crash takes as long as there is log to replay. While the server says that it works on it, it is waited for. */
const RECOVERY_MS = 600_000

/**
 * The server that runs on this cluster; `undefined` when there is none, also when a pid file was left behind by a dead one.
 * Its port is 0 until it listens. Throws `EMBEDDED_IN_USE` when the system does not tell whose server it is.
 */
export function findPostmaster(cluster: string): Postmaster | undefined {
  const lines = (readIfThere(join(cluster, PID_FILE)) ?? '').split('\n')
  const mark = processMark(Number(lines[0]))
  if (!mark || !runsProgram(mark.pid, 'postgres')) return undefined
  const folder = workingFolder(mark.pid)
  if (folder === undefined && process.platform !== 'linux') {
    throw new EmbeddedInUseError(
      `Process ${mark.pid} may be the server of ${cluster}; this system does not tell.`,
      'Install lsof, or end that process if it is.',
    )
  }
  if (folder !== cluster) return undefined
  // Line 6 is the address it listens on, written when it does: until then another program may have the port of line 4.
  return { mark, port: lines[5] ? Number(lines[3]) : 0 }
}

/**
 * Removes what a killed server left: backends that still run (a new server would refuse to start beside them, rightly)
 * and a pid file whose pid now is another process (which PostgreSQL would take for a running server).
 */
export async function clearRemains(cluster: string): Promise<void> {
  const backends = processesIn(cluster, 'postgres')
  for (const backend of backends) signal(backend, 'SIGQUIT')
  for (const backend of backends) {
    if (await waitUntilGone(backend, 2_000)) continue
    signal(backend, 'SIGKILL')
    await waitUntilGone(backend, 5_000)
  }
  rmSync(join(cluster, PID_FILE), { force: true })
}

/**
 * Starts a server and waits until it answers. Call it only when {@link findPostmaster} found none. Throws
 * `EMBEDDED_UNAVAILABLE` with the log's end.
 */
export async function launch(folder: DataFolder, plan: LaunchPlan): Promise<Postmaster> {
  let port = await freePort(plan.preferredPort)
  for (let attempt = 1; ; attempt++) {
    const started = await launchOn(port, folder, plan)
    if ('mark' in started) return started
    // Between our look and the server's start another program may have taken the port.
    if (attempt >= LAUNCH_TRIES || !/could not bind|Address already in use/.test(started.log)) {
      throw new EmbeddedUnavailableError(`The embedded PostgreSQL did not start: ${started.log}`, `Its log is ${fileIn(folder, LOG_FILE)}.`)
    }
    port = await freePort(undefined)
  }
}

async function launchOn(port: number, folder: DataFolder, plan: LaunchPlan): Promise<Postmaster | { readonly log: string }> {
  const before = (readIfThere(fileIn(folder, LOG_FILE)) ?? '').length
  const log = openLog(folder, LOG_FILE)
  // A session of its own: Ctrl-C in the terminal ends the application, which drains first and stops the server itself.
  const child = spawn(plan.binaries.postgres, serverArguments(port, plan), {
    ...spawnAs(plan.user),
    cwd: plan.cluster,
    env: SERVER_ENVIRONMENT,
    detached: true,
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  child.unref()
  const failed = new Promise<string>(resolve => {
    child.once('error', error => resolve(error.message))
    child.once('exit', () => resolve(logTail((readIfThere(fileIn(folder, LOG_FILE)) ?? '').slice(before))))
  })
  const mark = child.pid === undefined ? undefined : processMark(child.pid)
  if (!mark) return { log: await failed }
  const answered = await Promise.race([awaitReady({ mark, port }, plan.cluster, plan.password), failed])
  if (answered === true) return { mark, port }
  if (typeof answered === 'string') return { log: answered }
  await halt({ mark, port }, plan.cluster, 'SIGQUIT')
  return { log: `it did not answer within ${SILENT_START_MS / 1000} s` }
}

/** Waits until the server answers. A server that refuses the password is up, too: what to do about that is the caller's matter. */
async function awaitReady(server: Postmaster, cluster: string, password: string): Promise<boolean> {
  const begin = Date.now()
  let lastWord = begin
  while (isAlive(server.mark)) {
    const listening = findPostmaster(cluster)?.port === server.port
    const state = listening ? (await probe(server.port, password, 5_000)).state : 'silent'
    if (state === 'ready' || state === 'full' || state === 'locked') return true
    if (state === 'starting') lastWord = Date.now()
    if (Date.now() - lastWord > SILENT_START_MS || Date.now() - begin > RECOVERY_MS) return false
    await sleep(15)
  }
  // It died: the exit event brings the reason.
  return new Promise(() => undefined)
}

function serverArguments(port: number, plan: LaunchPlan): string[] {
  const settings: Record<string, string> = {
    max_connections: '200',
    max_locks_per_transaction: '256',
    timezone: 'UTC',
    log_timezone: 'UTC',
    // A failed CREATE ROLE … PASSWORD must not put the password into the log.
    log_min_error_statement: 'panic',
    ...plan.settings,
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    password_encryption: 'scram-sha-256',
  }
  return ['-D', plan.cluster, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])]
}

/**
 * Stops a server: SIGINT rolls open transactions back and closes clean, SIGQUIT leaves the rest to recovery; neither loses
 * what was committed.
 */
export async function halt(server: Postmaster, cluster: string, how: 'SIGINT' | 'SIGQUIT'): Promise<void> {
  if (how === 'SIGINT') {
    signal(server.mark, how)
    if (await waitUntilGone(server.mark, 60_000)) return
  }
  signal(server.mark, 'SIGQUIT')
  if (await waitUntilGone(server.mark, 5_000)) return
  signal(server.mark, 'SIGKILL')
  if (await waitUntilGone(server.mark, 5_000)) return clearRemains(cluster)
  throw new EmbeddedInUseError(`The server of ${cluster} (process ${server.mark.pid}) does not end.`, 'End that process, then start again.')
}

/** Asks a server that was found running until it gives a final answer: in, out, or no answer within `patienceMs`. */
export async function settle(
  server: Postmaster,
  cluster: string,
  password: string,
  patienceMs: number,
): Promise<'ready' | 'locked' | 'silent' | 'gone'> {
  const begin = Date.now()
  let lastWord = begin
  let found: Postmaster | undefined = server
  while (found) {
    const answer = found.port === 0 ? { state: 'silent' as const } : await probe(found.port, password, 3_000)
    if (answer.state === 'ready' || answer.state === 'full') return 'ready'
    if (answer.state === 'locked') return 'locked'
    if (answer.state !== 'silent') lastWord = Date.now()
    if (Date.now() - lastWord > patienceMs || Date.now() - begin > RECOVERY_MS) return 'silent'
    await sleep(50)
    found = findPostmaster(cluster)
  }
  return 'gone'
}

async function freePort(preferred: number | undefined): Promise<number> {
  return (preferred !== undefined && (await tryPort(preferred))) || (await tryPort(0)) || 0
}

/** The port if it is free; for 0, one that is. */
function tryPort(port: number): Promise<number | undefined> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen(port, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : undefined))
    })
  })
}

function logTail(text: string): string {
  return text.trim().split('\n').slice(-6).join('\n') || 'it ended without a word in its log'
}

/** Whether a cluster stands in this folder. */
export const isCluster = (path: string): boolean => existsSync(join(path, 'PG_VERSION'))
