/** The lock under which a server is started or stopped: one process at a time for one data folder. */
import { randomUUID } from 'node:crypto'
import { linkSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileIn, giveToOwner, readIfThere, type DataFolder } from './data-folder.ts'
import { EmbeddedInUseError } from './errors.ts'
import { isAlive, isForeign, parseMark, processMark } from './processes.ts'

const LOCK_FILE = 'postgres.lock'
const WAIT_MS = 120_000
const HALF_WRITTEN_MS = 2_000
/** Longer than a start takes. */
const FOREIGN_MS = 30_000

/**
 * Does `work` while no other process starts or stops the server of this data folder. Throws `EMBEDDED_IN_USE` after two
 * minutes of waiting.
 */
export async function withStartLock<T>(folder: DataFolder, work: () => Promise<T>): Promise<T> {
  const end = Date.now() + WAIT_MS
  let release = tryStartLock(folder)
  while (release === undefined) {
    if (Date.now() > end) {
      const holder = parseMark(readIfThere(fileIn(folder, LOCK_FILE)) ?? '')?.pid
      throw new EmbeddedInUseError(
        `Process ${holder ?? 'unknown'} has been starting or stopping the server of ${folder.path} for ${WAIT_MS / 1000} s.`,
        `Look at that process; if it hangs, end it and start again (its lock is ${fileIn(folder, LOCK_FILE)}).`,
      )
    }
    await sleep(25)
    release = tryStartLock(folder)
  }
  try {
    return await work()
  } finally {
    release()
  }
}

/** Takes the lock if it is free or its holder is dead; answers how to release it, `undefined` when it is held. */
export function tryStartLock(folder: DataFolder): (() => void) | undefined {
  const path = fileIn(folder, LOCK_FILE)
  const mine = JSON.stringify({ ...processMark(process.pid), token: randomUUID() })
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      writeFileSync(path, mine, { flag: 'wx', mode: 0o600 })
      giveToOwner(folder, path)
      return () => {
        if (readIfThere(path) === mine) rmSync(path, { force: true })
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const held = readIfThere(path)
    if (held === undefined) continue
    if (isHeld(path, held)) return undefined
    takeAway(path, held)
  }
  return undefined
}

function isHeld(path: string, text: string): boolean {
  const mark = parseMark(text)
  if (mark && !isForeign(mark)) return isAlive(mark)
  // Its holder cannot be seen from here, or it was made and not yet written; either may have died since.
  const changed = statSync(path, { throwIfNoEntry: false })?.mtimeMs
  return changed !== undefined && Math.abs(Date.now() - changed) < (mark ? FOREIGN_MS : HALF_WRITTEN_MS)
}

/**
 * Removes a dead process's lock, and only that one: two processes may find it dead at once, and the slower must not
 * remove the lock the faster has taken meanwhile. So it is moved aside first, looked at, and put back if it is another.
 */
function takeAway(path: string, dead: string): void {
  const aside = `${path}.${randomUUID()}.tmp`
  try {
    renameSync(path, aside)
    if (readIfThere(aside) !== dead) linkSync(aside, path)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code !== 'ENOENT' && code !== 'EEXIST') throw error
  } finally {
    rmSync(aside, { force: true })
  }
}
