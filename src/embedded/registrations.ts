/** Who uses the server: one file per start, so that only the last user stops it, and the dead do not count. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileIn, giveToOwner, readIfThere, writePrivate, type DataFolder } from './data-folder.ts'
import { EmbeddedInUseError } from './errors.ts'
import { isAlive, isForeign, parseMark, processMark, type ProcessMark } from './processes.ts'

const USERS_FOLDER = 'postgres.users'
const PULSE_MS = 3_000
const SILENT_MS = 15_000

/** Registers this process as a user. Answers the registration's name. Call it under the start lock. */
export function register(folder: DataFolder): string {
  const users = fileIn(folder, USERS_FOLDER)
  mkdirSync(users, { recursive: true, mode: 0o700 })
  giveToOwner(folder, users)
  const name = `${process.pid}-${randomBytes(6).toString('hex')}.json`
  writePrivate(folder, join(USERS_FOLDER, name), JSON.stringify(processMark(process.pid)))
  return name
}

/** Takes a registration back. */
export function unregister(folder: DataFolder, name: string): void {
  rmSync(join(fileIn(folder, USERS_FOLDER), name), { force: true })
}

/** The pids of the living users; registrations of the dead are dropped on the way. Call it under the start lock. */
export function livingUsers(folder: DataFolder): number[] {
  const all = registrations(folder)
  for (const dead of all.filter(one => !lives(one))) rmSync(dead.path, { force: true })
  return all.filter(lives).flatMap(one => one.mark?.pid ?? [])
}

/** Shows that the user of this registration lives, to those who cannot see its process. Stops when the answer is called. */
export function keepPulse(folder: DataFolder, name: string): () => void {
  const file = join(fileIn(folder, USERS_FOLDER), name)
  const timer = setInterval(() => {
    try {
      utimesSync(file, new Date(), new Date())
    } catch {
      // The data folder was removed; whoever makes it anew is not kept from it by us.
    }
  }, PULSE_MS)
  timer.unref()
  return () => clearInterval(timer)
}

/**
 * Makes sure that no container or host besides ours uses the folder: its processes cannot be seen from here, and a second server
 * on one cluster would destroy it. Their registrations are watched until they pulse (`EMBEDDED_IN_USE`) or have been silent for long.
 */
export async function refuseForeignUsers(folder: DataFolder): Promise<void> {
  const seen = new Map<string, number>()
  for (;;) {
    livingUsers(folder)
    const foreign = registrations(folder).filter(({ mark }) => mark && isForeign(mark))
    if (foreign.length === 0) return
    for (const { path, pulse } of foreign) {
      if (pulse > (seen.get(path) ?? pulse)) {
        throw new EmbeddedInUseError(
          `The data folder ${folder.path} is in use in another container or on another host.`,
          'Stop the application there, or give each of them a data folder of its own.',
        )
      }
      seen.set(path, pulse)
    }
    await sleep(250)
  }
}

interface Registration {
  readonly path: string
  readonly mark: ProcessMark | undefined
  /** When it was last touched, in milliseconds since 1970. */
  readonly pulse: number
}

function registrations(folder: DataFolder): Registration[] {
  const users = fileIn(folder, USERS_FOLDER)
  return namesIn(users).map(name => {
    const path = join(users, name)
    return { path, mark: parseMark(readIfThere(path) ?? ''), pulse: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }
  })
}

function lives({ mark, pulse }: Registration): boolean {
  if (!mark) return false
  return isForeign(mark) ? Math.abs(Date.now() - pulse) < SILENT_MS : isAlive(mark)
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path).filter(name => name.endsWith('.json'))
  } catch {
    return []
  }
}
