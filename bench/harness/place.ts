/** The PostgreSQL server of a run, and the databases that the run makes there and takes away again. */
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, escapeIdentifier, type QueryResultRow } from 'pg'
import { removeEmbedded, startEmbedded } from 'mikro-tenantkit/embedded'

/** What an application would have: durable, and room for the connections of many tenants. */
const SETTINGS = { max_connections: '400', max_locks_per_transaction: '256', shared_buffers: '256MB', max_wal_size: '4GB' }

export interface Place extends AsyncDisposable {
  /** The maintenance database, for a role that may create databases and roles. */
  readonly url: string
  /** What all names of this run begin with. */
  readonly prefix: string
  /** An empty database of this run; answers its URL. */
  database(label: string): Promise<string>
}

/** The server of DATABASE_URL, or an embedded one that is durable (`fsync` on) like any other. */
export async function openPlace(): Promise<Place> {
  const given = process.env['DATABASE_URL']
  const server = given ? { url: given, stop: () => Promise.resolve() } : await embedded()
  const prefix = `b${randomBytes(4).toString('hex')}`
  return {
    url: server.url,
    prefix,
    database: async label => {
      const name = `${prefix}_${label}`
      await query(server.url, `create database ${escapeIdentifier(name)} template template0`)
      return urlOf(server.url, name)
    },
    [Symbol.asyncDispose]: async () => {
      try {
        if (given) await removeAll(server.url, prefix)
      } finally {
        await server.stop()
      }
    },
  }
}

async function embedded(): Promise<{ readonly url: string; stop(): Promise<void> }> {
  // Without a handler these end the process at once, and the server would stay.
  for (const [signal, status] of Object.entries({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }))
    process.once(signal, () => process.exit(status))
  const dataDir = mkdtempSync(join(tmpdir(), 'tenantkit-bench-'))
  // The server's user, another than root, has to pass through.
  chmodSync(dataDir, 0o711)
  const server = await startEmbedded({ dataDir, settings: SETTINGS }).finally(() => {
    // After the server's own exit handler, which stops it: this is for a run that is interrupted.
    process.once('exit', () => rmSync(dataDir, { recursive: true, force: true }))
  })
  return {
    url: server.url,
    stop: async () => {
      await server.stop()
      await removeEmbedded({ dataDir })
      rmSync(dataDir, { recursive: true, force: true })
    },
  }
}

/** Databases and roles of a run on somebody's server. */
async function removeAll(url: string, prefix: string): Promise<void> {
  const begins = [prefix]
  const databases = await query<{ name: string }>(url, 'select datname as name from pg_database where starts_with(datname, $1)', begins)
  for (const { name } of databases) await dropDatabase(url, name)
  const roles = await query<{ name: string }>(url, 'select rolname as name from pg_roles where starts_with(rolname, $1)', begins)
  for (const { name } of roles) await query(url, `drop role ${escapeIdentifier(name)}`)
}

export async function dropDatabase(url: string, name: string): Promise<void> {
  const quoted = escapeIdentifier(name)
  // The template of tenants' databases refuses to be dropped while it is one.
  await query(url, `alter database ${quoted} is_template false`)
  await query(url, `drop database ${quoted} with (force)`)
}

/** The URL of another database of the same server. */
export function urlOf(url: string, name: string): string {
  const changed = new URL(url)
  changed.pathname = `/${encodeURIComponent(name)}`
  return changed.href
}

/** A connection of `pg`, closed at the end. */
export async function withClient<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url, application_name: 'tenantkit bench' })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** One statement, or several without parameters, on a connection of its own. */
export function query<T extends QueryResultRow>(url: string, sql: string, values?: readonly unknown[]): Promise<T[]> {
  return withClient(url, async client => (await client.query<T>(sql, values && [...values])).rows)
}
