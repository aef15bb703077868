/** Processes by identity: a pid alone is not one, the system gives it to another process later. */
import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync, readlinkSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** A process, told apart from a later one of the same pid by when it started. */
export interface ProcessMark {
  readonly pid: number
  /** `<where>|<when>`; equal only for the same process. `when` is empty where the system does not tell. */
  readonly started: string
}

const onLinux = process.platform === 'linux'

/** The mark of a running process; `undefined` when there is none (a zombie counts as none: it only waits to be buried). */
export function processMark(pid: number): ProcessMark | undefined {
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined
  if (onLinux) return linuxMark(pid)
  if (!answersSignal(pid)) return undefined
  const ps = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] ?? '/bin:/usr/bin', LC_ALL: 'C' },
  })
  return { pid, started: `${whereWeRun()}|${ps.status === 0 ? ps.stdout.trim() : ''}` }
}

/** Whether this very process still runs. */
export function isAlive(mark: ProcessMark): boolean {
  const now = processMark(mark.pid)
  return now !== undefined && (now.started === mark.started || now.started.endsWith('|') || mark.started.endsWith('|'))
}

/** Whether the mark was made where other pids count: in another container, on another host, or before the last boot. */
export const isForeign = (mark: ProcessMark): boolean => mark.started.split('|')[0] !== whereWeRun()

/** Reads a mark written as JSON; `undefined` when it is none. */
export function parseMark(text: string): ProcessMark | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || !('pid' in value) || !('started' in value)) return undefined
    return typeof value.pid === 'number' && typeof value.started === 'string' ? { pid: value.pid, started: value.started } : undefined
  } catch {
    return undefined
  }
}

/** The folder a process works in; `undefined` when there is no such process or the system does not tell. */
export function workingFolder(pid: number): string | undefined {
  if (!onLinux) {
    const lsof = spawnSync('lsof', ['-a', '-p', String(pid), '-d', 'cwd', '-Fn'], { encoding: 'utf8' })
    return lsof.status === 0 ? /^n(.+)$/m.exec(lsof.stdout)?.[1] : undefined
  }
  try {
    return readlinkSync(`/proc/${pid}/cwd`)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES' ? workingFolderAskedAsOwner(pid) : undefined
  }
}

/** In a container, root may not look into other users' processes; the process's own user may. */
function workingFolderAskedAsOwner(pid: number): string | undefined {
  const owner = statSync(`/proc/${pid}`, { throwIfNoEntry: false })
  if (!owner || process.getuid?.() !== 0) return undefined
  const link = spawnSync('readlink', [`/proc/${pid}/cwd`], { uid: owner.uid, gid: owner.gid, cwd: '/', encoding: 'utf8' })
  return link.status === 0 ? link.stdout.replace(/\n$/, '') : undefined
}

/** Whether the process runs a program of this name. */
export function runsProgram(pid: number, name: string): boolean {
  if (onLinux) return readText(`/proc/${pid}/comm`).trim() === name
  const ps = spawnSync('ps', ['-o', 'comm=', '-p', String(pid)], { encoding: 'utf8' })
  return ps.status === 0 && basename(ps.stdout.trim()) === name
}

/** All processes of a program that work in this folder (Linux; elsewhere none are found). */
export function processesIn(folder: string, program: string): ProcessMark[] {
  if (!onLinux) return []
  const pids = readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
  return pids.filter(pid => runsProgram(pid, program) && workingFolder(pid) === folder).flatMap(pid => processMark(pid) ?? [])
}

/** Sends a signal to this very process. A process that has gone is not an error. */
export function signal(mark: ProcessMark, name: NodeJS.Signals): void {
  if (!isAlive(mark)) return
  try {
    process.kill(mark.pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Waits until the process has gone. Answers whether it has, within `timeoutMs`. */
export async function waitUntilGone(mark: ProcessMark, timeoutMs: number): Promise<boolean> {
  const end = Date.now() + timeoutMs
  while (isAlive(mark)) {
    if (Date.now() >= end) return false
    await sleep(10)
  }
  return true
}

/** As {@link waitUntilGone}, for a process that ends and can await nothing any more. */
export function waitUntilGoneSync(mark: ProcessMark, timeoutMs: number): boolean {
  const end = Date.now() + timeoutMs
  const cell = new Int32Array(new SharedArrayBuffer(4))
  while (isAlive(mark)) {
    if (Date.now() >= end) return false
    Atomics.wait(cell, 0, 0, 10)
  }
  return true
}

function linuxMark(pid: number): ProcessMark | undefined {
  const stat = readText(`/proc/${pid}/stat`)
  // The program's name stands in brackets and may hold blanks and brackets itself, so fields are counted from the last bracket.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state, startTime] = [fields[0], fields[19]]
  if (!state || !startTime || state === 'Z' || state === 'X') return undefined
  return { pid, started: `${whereWeRun()}|${startTime}` }
}

let known: string | undefined
function whereWeRun(): string {
  // A pid counts within its namespace, and the start time from boot: without the boot's id, a mark that outlived a reboot
  // could match by chance.
  known ??= onLinux ? `${readText('/proc/sys/kernel/random/boot_id').trim()}:${readlinkSync('/proc/self/ns/pid')}` : process.platform
  return known
}

function answersSignal(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
