/** Who can get where: decides whether the server's user can use a folder as it stands. */
import {
  accessSync,
  chmodSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  statSync,
} from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { isRoot } from './data-folder.ts'
import { EmbeddedUnavailableError } from './errors.ts'

/** The OS user the server runs as. */
export interface OsUser {
  readonly uid: number
  readonly gid: number
}

const READ = 4
const SEARCH = 1

/**
 * The user the server runs as: this process's own; for root, whom PostgreSQL refuses, the first of `owners` who is not root
 * (who owns the data already), else the user `postgres`, else `nobody`. No user is ever created.
 */
export function serverUser(owners: readonly (OsUser | undefined)[]): OsUser {
  if (!isRoot()) return { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
  const owner = owners.find(candidate => candidate !== undefined && candidate.uid !== 0)
  if (owner) return { uid: owner.uid, gid: owner.gid }
  const accounts = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map(line => line.split(':'))
  for (const name of ['postgres', 'nobody']) {
    const account = accounts.find(fields => fields[0] === name)
    // Some systems write nobody's id as a negative number.
    const [uid, gid] = [Number(account?.[2]) >>> 0, Number(account?.[3]) >>> 0]
    if (account && uid !== 0) return { uid, gid }
  }
  throw new EmbeddedUnavailableError(
    'PostgreSQL does not run as root, and there is no user postgres or nobody to run it.',
    'Start as an ordinary user.',
  )
}

/** The uid and gid to spawn a server's program with: only root can change user. */
export const spawnAs = (user: OsUser): { uid?: number; gid?: number } => (isRoot() ? { uid: user.uid, gid: user.gid } : {})

/** Whether the user may search every folder on the way to `path`, which must exist, and `path` itself. */
export function canEnter(path: string, user: OsUser): boolean {
  let folder = realpathSync(path)
  for (;;) {
    if (!may(folder, user, SEARCH)) return false
    if (folder === dirname(folder)) return true
    folder = dirname(folder)
  }
}

/** Whether the user may enter the folder and read everything in it. */
export function canReadTree(root: string, user: OsUser): boolean {
  if (!canEnter(root, user)) return false
  return readdirSync(root, { recursive: true, withFileTypes: true }).every(entry => {
    if (entry.isSymbolicLink()) return true
    return may(join(entry.parentPath, entry.name), user, entry.isDirectory() ? READ | SEARCH : READ)
  })
}

/** Gives a whole tree to a user. Symbolic links are given themselves, not followed. */
export function giveTree(root: string, user: OsUser): void {
  lchownSync(root, user.uid, user.gid)
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true }))
    lchownSync(join(entry.parentPath, entry.name), user.uid, user.gid)
}

/**
 * Folders of ours outside the checkout, the preferred first, that the user can enter. Each is made when it is missing.
 * One that somebody else owns or may write to is passed over: in a shared temporary folder anyone could have put it there.
 */
export function* ownFolders(purpose: 'cache' | 'lib', user: OsUser): Generator<string> {
  const temporary = [...new Set([tmpdir(), '/var/tmp', '/tmp'])].map(base =>
    join(base, `mikro-tenantkit-${purpose}-${process.getuid?.() ?? 0}`),
  )
  const home = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache')
  const fixed = isRoot() ? join(`/var/${purpose}`, 'mikro-tenantkit') : join(home, 'mikro-tenantkit')
  for (const path of [fixed, ...temporary]) if (makeOwn(path, user)) yield path
  try {
    const last = mkdtempSync(join(tmpdir(), `mikro-tenantkit-${purpose}-`))
    chmodSync(last, 0o755)
    if (canEnter(last, user)) yield last
  } catch {
    // No temporary folder either: the caller says what is missing.
  }
}

/** The folders that {@link ownFolders} may have given earlier and that are there now; none is made. */
export function existingOwnFolders(purpose: 'cache' | 'lib'): string[] {
  const named = [...new Set([tmpdir(), '/var/tmp', '/tmp'])].map(base =>
    join(base, `mikro-tenantkit-${purpose}-${process.getuid?.() ?? 0}`),
  )
  return [join(`/var/${purpose}`, 'mikro-tenantkit'), ...named].filter(isOwn)
}

function makeOwn(path: string, user: OsUser): boolean {
  try {
    mkdirSync(path, { recursive: true, mode: 0o755 })
    if (!isOwn(path)) return false
    if (isRoot()) chmodSync(path, 0o755)
    return canEnter(path, user)
  } catch {
    return false
  }
}

function isOwn(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  return stat !== undefined && stat.isDirectory() && stat.uid === process.getuid?.() && (stat.mode & 0o022) === 0
}

function may(path: string, user: OsUser, bits: number): boolean {
  if (!isRoot()) return mayWe(path, bits)
  const stat = statSync(path)
  // As the kernel does: only the first class that fits counts, even if a later one would allow more.
  const shift = stat.uid === user.uid ? 6 : stat.gid === user.gid ? 3 : 0
  return ((stat.mode >> shift) & bits) === bits
}

/** For our own user the system answers itself, with his other groups and access lists counted. */
function mayWe(path: string, bits: number): boolean {
  try {
    accessSync(path, bits)
    return true
  } catch {
    return false
  }
}
