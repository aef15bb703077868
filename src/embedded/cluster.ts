/** The cluster on disk: where it stands, how it is made, and how its password is set anew. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { SERVER_ENVIRONMENT, type Binaries, type ServerPackage } from './binaries.ts'
import { fileIn, isRoot, readIfThere, type DataFolder } from './data-folder.ts'
import { EmbeddedUnavailableError, EmbeddedVersionMismatchError } from './errors.ts'
import { canEnter, giveTree, serverUser, spawnAs, type OsUser } from './reach.ts'
import { newPlace } from './relocation.ts'
import { SUPERUSER } from './probe.ts'
import type { ClusterState } from './state.ts'

/** An initdb whose application was killed may write for a moment longer. */
const REMOVE = { recursive: true, force: true, maxRetries: 20, retryDelay: 50 } as const
const DRAFT = /^postgres-init-[0-9a-f]{12}$/

/** The absolute path of the cluster. */
export const clusterPath = (folder: DataFolder, state: ClusterState): string =>
  isAbsolute(state.cluster) ? state.cluster : fileIn(folder, state.cluster)

/** The user the server of this data folder runs as. Throws `EMBEDDED_UNAVAILABLE` when this process may not be that user. */
export function clusterUser(folder: DataFolder, cluster: string): OsUser {
  const owner = statSync(cluster, { throwIfNoEntry: false })
  const user = serverUser([owner, folder.owner])
  if (owner && !isRoot() && owner.uid !== user.uid) {
    throw new EmbeddedUnavailableError(
      `The cluster ${cluster} belongs to the OS user with uid ${owner.uid}; this process runs as uid ${user.uid}.`,
      'Start as that user, or as root, or name another data folder.',
    )
  }
  return user
}

/** Refuses a cluster of another major version, before anything touches it. */
export function checkVersion(cluster: string, found: ServerPackage): void {
  const version = readIfThere(join(cluster, 'PG_VERSION'))?.trim()
  if (version !== undefined && version !== String(found.major))
    throw new EmbeddedVersionMismatchError(cluster, version, found.major, found.name)
}

/**
 * Sees to it that the cluster stands where the server's user can use it. Call it only when no server runs.
 * Answers the state, changed when the cluster was moved out of a folder that the user cannot enter.
 */
export function settlePlace(folder: DataFolder, state: ClusterState, user: OsUser): ClusterState {
  const current = clusterPath(folder, state)
  if (isAbsolute(state.cluster) ? canEnter(nearest(current), user) : canEnter(folder.path, user)) {
    if (existsSync(current)) adopt(current, user)
    return state
  }
  const place = newPlace(folder, state.id, user)
  if (existsSync(current)) moveTree(current, place, user)
  return { ...state, cluster: place }
}

/** Makes a cluster: in a folder of its own first, so that an interrupted initdb leaves nothing that looks like a cluster. */
export async function createCluster(cluster: string, binaries: Binaries, user: OsUser, password: string, durable: boolean): Promise<void> {
  const draft = join(dirname(cluster), `postgres-init-${randomBytes(6).toString('hex')}`)
  const passwordFile = join(draft, 'password')
  const made = join(draft, 'cluster')
  mkdirSync(draft)
  try {
    chmodSync(draft, isRoot() ? 0o711 : 0o700)
    mkdirSync(made, { mode: 0o700 })
    writeFileSync(passwordFile, `${password}\n`, { flag: 'wx', mode: 0o600 })
    if (isRoot()) for (const path of [made, passwordFile]) chownSync(path, user.uid, user.gid)
    await run(
      binaries.initdb,
      [
        '-D',
        made,
        '-U',
        SUPERUSER,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale=C',
        '--no-instructions',
        ...(durable ? [] : ['--no-sync']),
      ],
      user,
    )
    renameSync(made, cluster)
  } finally {
    rmSync(draft, REMOVE)
  }
}

/** Removes what an interrupted {@link createCluster} left beside the cluster. */
export function removeDrafts(cluster: string): void {
  const parent = dirname(cluster)
  if (!existsSync(parent)) return
  for (const name of readdirSync(parent)) if (DRAFT.test(name)) rmSync(join(parent, name), REMOVE)
}

/** Sets the password of a cluster on which no server runs: in single-user mode, where PostgreSQL asks for none. */
export async function resetPassword(cluster: string, binaries: Binaries, user: OsUser, password: string): Promise<void> {
  // By standard input: the arguments of a process can be read by every user. The password is base64url, so it needs no quoting.
  const statement = `SET password_encryption = 'scram-sha-256'\nALTER ROLE ${SUPERUSER} WITH LOGIN SUPERUSER PASSWORD '${password}'\n`
  await run(binaries.postgres, ['--single', '-D', cluster, 'postgres'], user, statement)
}

/** A cluster that root copied, or gave to himself by chown -R, is given back to the server's user. */
function adopt(cluster: string, user: OsUser): void {
  if (!isRoot() || statSync(cluster).uid === user.uid) return
  giveTree(cluster, user)
  chmodSync(cluster, 0o700)
}

function moveTree(from: string, to: string, user: OsUser): void {
  try {
    renameSync(from, to)
    adopt(to, user)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error
    const draft = `${to}.tmp`
    rmSync(draft, REMOVE)
    cpSync(from, draft, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true })
    giveTree(draft, user)
    chmodSync(draft, 0o700)
    renameSync(draft, to)
    rmSync(from, { recursive: true, force: true })
  }
}

/** The path itself, or the nearest of its parents that exists. */
function nearest(path: string): string {
  return existsSync(path) || path === dirname(path) ? path : nearest(dirname(path))
}

async function run(program: string, args: readonly string[], user: OsUser, input = ''): Promise<void> {
  const child = spawn(program, args, { ...spawnAs(user), cwd: '/', env: SERVER_ENVIRONMENT, stdio: ['pipe', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-4_000)))
  // A program that ends before it has read its input is an error of the program, told by its exit code.
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const code = await new Promise<number | string | null>(resolve => {
    child.once('error', error => resolve(error.message))
    child.once('close', status => resolve(status))
  })
  if (code !== 0) throw new EmbeddedUnavailableError(`${program} failed (${code}): ${output.trim().split('\n').slice(-5).join('\n')}`)
}
