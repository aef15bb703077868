/** The application's data folder and the files the embedded server keeps in it. */
import { randomBytes } from 'node:crypto'
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fchownSync,
  fsyncSync,
  lchownSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  realpathSync,
  renameSync,
  chmodSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { EmbeddedUnavailableError } from './errors.ts'

/** An opened data folder. */
export interface DataFolder {
  /** The absolute path, symbolic links resolved, so that two spellings of one folder are one. */
  readonly path: string
  readonly owner: { readonly uid: number; readonly gid: number }
}

/** Whether this process is root, who may not run PostgreSQL and may give files to others. */
export const isRoot = (): boolean => process.getuid?.() === 0

/** Opens the data folder, and makes it when it is missing. */
export function openDataFolder(dataDir: string): DataFolder {
  const wanted = resolve(dataDir)
  if (!existsSync(wanted)) {
    mkdirSync(wanted, { recursive: true, mode: 0o700 })
    // The server's user has to pass through root's folder (not to list it); what is secret in it has mode 0600.
    chmodSync(wanted, isRoot() ? 0o711 : 0o700)
  }
  const path = realpathSync(wanted)
  const stat = statSync(path)
  if (!stat.isDirectory()) throw new EmbeddedUnavailableError(`The data folder ${path} is not a folder.`, 'Name another folder.')
  if (!isWritable(path)) {
    throw new EmbeddedUnavailableError(
      `This process (uid ${process.getuid?.()}) may not write to the data folder ${path}, which belongs to uid ${stat.uid}.`,
      'Start as that user, or name another data folder.',
    )
  }
  return { path, owner: { uid: stat.uid, gid: stat.gid } }
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK | constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** The path of a file in the data folder. */
export const fileIn = (folder: DataFolder, name: string): string => join(folder.path, name)

/** Gives what root made in another user's data folder to that user, who must be able to start without root later. */
export function giveToOwner(folder: DataFolder, path: string): void {
  if (isRoot() && folder.owner.uid !== 0) lchownSync(path, folder.owner.uid, folder.owner.gid)
}

/** Writes a file that only its owner may read, whole or not at all. */
export function writePrivate(folder: DataFolder, name: string, text: string): void {
  const draft = fileIn(folder, `${name}.${randomBytes(6).toString('hex')}.tmp`)
  const handle = openSync(draft, 'wx', 0o600)
  try {
    writeSync(handle, text)
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
  giveToOwner(folder, draft)
  renameSync(draft, fileIn(folder, name))
}

/** Removes drafts that processes killed in the middle left in a folder. The young ones may be in use. */
export function removeOldDrafts(path: string, pattern: RegExp): void {
  for (const name of readdirSync(path)) {
    const draft = join(path, name)
    const changed = pattern.test(name) ? statSync(draft, { throwIfNoEntry: false })?.mtimeMs : undefined
    if (changed !== undefined && Date.now() - changed > OLD_DRAFT_MS) rmSync(draft, { recursive: true, force: true })
  }
}

/** Reads a file; `undefined` when it is not there. */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Opens a log for appending, readable by its owner only. A symbolic link in its place is refused: root would follow it anywhere. */
export function openLog(folder: DataFolder, name: string): number {
  const path = fileIn(folder, name)
  const size = existsSync(path) ? statSync(path).size : 0
  if (size > MAX_LOG_BYTES) renameSync(path, `${path}.1`)
  const handle = openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW, 0o600)
  if (isRoot() && folder.owner.uid !== 0) fchownSync(handle, folder.owner.uid, folder.owner.gid)
  return handle
}

const MAX_LOG_BYTES = 10_000_000
const OLD_DRAFT_MS = 600_000
