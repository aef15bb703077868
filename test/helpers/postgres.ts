/**
 * The PostgreSQL server of the tests. `.mocharc.json` requires this file: mocha boots one server before all tests and stops it after them;
 * its parallel workers find it through the environment. With DATABASE_URL set, that server is used instead. With another DATABASE_DIRECT_URL
 * beside it, DATABASE_URL leads through a pooler: tenancies go that way, and the SQL of the tests themselves goes straight.
 */
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, escapeIdentifier, type QueryResultRow } from 'pg'
import { removeEmbedded, startEmbedded, type EmbeddedServer } from '../../src/embedded/start-embedded.ts'
import type { DatabaseOptions } from '../../src/options.ts'

const URL_VARIABLE = 'TENANTKIT_TEST_DATABASE_URL'
const POOLER_VARIABLE = 'TENANTKIT_TEST_POOLER_URL'
const FOLDER = /^tenantkit-test-(\d+)-/
const LEFTOVER = /^tktest_([0-9a-z]+)_/
const LEFTOVER_AFTER_MS = 3_600_000
const SETTINGS = {
  fsync: 'off',
  full_page_writes: 'off',
  synchronous_commit: 'off',
  max_connections: '300',
  max_locks_per_transaction: '256',
}

let server: EmbeddedServer | undefined
let folder: string | undefined

/** Mocha's hook: runs once, in the main process, before the workers start. */
export async function mochaGlobalSetup(): Promise<void> {
  // Processes that tests start compile the same files again and again: https://nodejs.org/api/module.html#module-compile-cache
  process.env['NODE_COMPILE_CACHE'] ??= join(tmpdir(), `tenantkit-compile-cache-${process.getuid?.() ?? 0}`)
  if (process.env[URL_VARIABLE]) return
  if (process.env['DATABASE_URL']) {
    const { DATABASE_URL: url, DATABASE_DIRECT_URL: direct } = process.env
    process.env[URL_VARIABLE] = direct || url
    if (direct && direct !== url) process.env[POOLER_VARIABLE] = url
    await sweepDatabases()
    return
  }
  await sweepFolders()
  folder = mkdtempSync(join(tmpdir(), `tenantkit-test-${process.pid}-`))
  // The server's user has to pass through when the tests run as root.
  chmodSync(folder, 0o711)
  // Without a handler these end the process at once, and the server would stay. Mocha has its own for SIGINT, which lets the teardown run.
  for (const name of ['SIGTERM', 'SIGHUP'] as const) process.once(name, () => process.exit(name === 'SIGTERM' ? 143 : 129))
  try {
    server = await startEmbedded({ dataDir: folder, settings: SETTINGS })
  } finally {
    // After the server's own exit handler, which stops it.
    process.once('exit', removeFolder)
  }
  process.env[URL_VARIABLE] = server.url
}

/** Mocha's hook: runs once, in the main process, after all tests. */
export async function mochaGlobalTeardown(): Promise<void> {
  if (!server || !folder) return
  await server.stop()
  delete process.env[URL_VARIABLE]
  server = undefined
  await removeEmbedded({ dataDir: folder })
  removeFolder()
  process.removeListener('exit', removeFolder)
}

/** The URL of the test server's maintenance database, for a role that may create databases and roles. */
export function serverUrl(): string {
  const url = process.env[URL_VARIABLE]
  if (!url)
    throw new Error(`No test server: ${URL_VARIABLE} is not set. Run the tests with mocha, which requires test/helpers/postgres.ts.`)
  return url
}

/** How a tenancy reaches a database of the test server: through the pooler of this run, if there is one. */
export function databaseOptions(url: string): DatabaseOptions {
  const pooler = process.env[POOLER_VARIABLE]
  if (!pooler) return { url }
  return { url: Object.assign(new URL(pooler), { pathname: new URL(url).pathname }).href, directUrl: url, pooled: true }
}

/** A database of the test's own. Drop it in `after`, or hold it with `await using`. */
export interface TestDatabase extends AsyncDisposable {
  readonly url: string
  readonly name: string
  drop(): Promise<void>
}

/** Creates an empty database; `label` stands in its name, for whoever looks at a server that a test left something on. */
export async function freshDatabase(label: string): Promise<TestDatabase> {
  const clean = label
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .slice(0, 30)
  const name = `tktest_${Date.now().toString(36)}_${randomBytes(4).toString('hex')}_${clean}`
  // Not template1: a single connection to it, of whoever uses this server, would make this fail.
  await query(serverUrl(), `CREATE DATABASE ${escapeIdentifier(name)} TEMPLATE template0`)
  const drop = () => dropDatabase(name)
  return { url: databaseUrl(name), name, drop, [Symbol.asyncDispose]: drop }
}

/** The URL of another database of the test server. */
export function databaseUrl(name: string): string {
  const url = new URL(serverUrl())
  url.pathname = `/${encodeURIComponent(name)}`
  return url.href
}

/** Runs one statement (or several without parameters) on a connection of its own. Answers the rows. */
export async function query<T extends QueryResultRow = Record<string, unknown>>(
  url: string,
  sql: string,
  params?: readonly unknown[],
): Promise<T[]> {
  const client = new Client({ connectionString: url, application_name: 'tenantkit tests' })
  client.on('error', () => undefined)
  await client.connect()
  try {
    const result = await client.query<T>(sql, params ? [...params] : undefined)
    // Several statements answer with several results; the last one's rows are what was asked for.
    return (Array.isArray(result) ? ((result as { rows: T[] }[]).at(-1)?.rows ?? []) : result.rows) as T[]
  } finally {
    await client.end()
  }
}

/** A naming prefix that no other test file has: 12 characters, `^[a-z][a-z0-9]*$`. What is named with it, {@link dropRolesLike} removes. */
export function uniquePrefix(): string {
  const random = Array.from(randomBytes(5), byte => (byte % 36).toString(36)).join('')
  return `t${Math.floor(Date.now() / 1000).toString(36)}${random}`.slice(0, 12)
}

/** Drops all databases, then all roles, whose names begin with `<prefix>_`. */
export async function dropRolesLike(prefix: string): Promise<void> {
  const begins = `starts_with(%, $1)`
  const databases = await query<{ name: string }>(
    serverUrl(),
    `SELECT datname AS name FROM pg_database WHERE ${begins.replace('%', 'datname')}`,
    [`${prefix}_`],
  )
  for (const { name } of databases) await dropDatabase(name)
  const roles = await query<{ name: string }>(serverUrl(), `SELECT rolname AS name FROM pg_roles WHERE ${begins.replace('%', 'rolname')}`, [
    `${prefix}_`,
  ])
  const stubborn: string[] = []
  for (const { name } of roles) if (!(await dropRole(name))) stubborn.push(name)
  if (stubborn.length === 0) return
  await disown(stubborn)
  for (const name of stubborn) await query(serverUrl(), `DROP ROLE IF EXISTS ${escapeIdentifier(name)}`)
}

async function dropDatabase(name: string): Promise<void> {
  // A template of the framework's cannot be dropped as it is.
  const templates = await query(serverUrl(), 'select 1 from pg_database where datname = $1 and datistemplate', [name])
  if (templates.length > 0) await query(serverUrl(), `ALTER DATABASE ${escapeIdentifier(name)} WITH IS_TEMPLATE false`)
  await query(serverUrl(), `DROP DATABASE IF EXISTS ${escapeIdentifier(name)} WITH (FORCE)`)
}

/** Answers false when something depends on the role still. */
async function dropRole(name: string): Promise<boolean> {
  try {
    await query(serverUrl(), `DROP ROLE IF EXISTS ${escapeIdentifier(name)}`)
    return true
  } catch (error) {
    if ((error as { code?: string }).code === '2BP01') return false
    throw error
  }
}

/** Takes from roles what they own and may do, in every database: what depends on a role is known only inside each. */
async function disown(roles: readonly string[]): Promise<void> {
  const open = await query<{ name: string }>(serverUrl(), 'SELECT datname AS name FROM pg_database WHERE datallowconn')
  const sql = `DROP OWNED BY ${roles.map(escapeIdentifier).join(', ')} CASCADE`
  for (const { name } of open) {
    await query(databaseUrl(name), sql).catch((error: { code?: string }) => {
      // Another test file dropped its database meanwhile.
      if (error.code !== '3D000' && error.code !== '57P01') throw error
    })
  }
}

/** Removes databases that runs killed more than an hour ago left on a server that is not ours to remove. */
async function sweepDatabases(): Promise<void> {
  const unused = await query<{ name: string }>(
    serverUrl(),
    `SELECT datname AS name FROM pg_database d WHERE datname LIKE 'tktest\\_%' AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)`,
  )
  for (const { name } of unused) {
    const made = Number.parseInt(LEFTOVER.exec(name)?.[1] ?? '', 36)
    if (made < Date.now() - LEFTOVER_AFTER_MS)
      await query(serverUrl(), `DROP DATABASE IF EXISTS ${escapeIdentifier(name)}`).catch(() => undefined)
  }
}

/** Stops and removes the servers of runs that were killed. */
async function sweepFolders(): Promise<void> {
  for (const name of readdirSync(tmpdir())) {
    const pid = Number(FOLDER.exec(name)?.[1])
    if (!pid || isRunning(pid)) continue
    const path = join(tmpdir(), name)
    try {
      // The tests of the embedded server have data folders in their folders.
      for (const dataDir of ['.', 'data', '.data', 'home/.data']) await removeEmbedded({ dataDir: join(path, dataDir) })
      rmSync(path, { recursive: true, force: true })
    } catch {
      // Another user's folder, or another run sweeps it just now: not worth failing for.
    }
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function removeFolder(): void {
  if (folder) rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
}
