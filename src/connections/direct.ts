/** A single direct connection for what needs a session: CREATE DATABASE, roles, advisory locks. Never pooled, always closed. */
import pg from 'pg'
import { settingsOf } from './settings.ts'

/** The part of a `pg` client that is used. */
export interface DirectClient {
  query<R = Record<string, unknown>>(sql: string, parameters?: readonly unknown[]): Promise<{ rows: R[] }>
}

const CONNECT_TIMEOUT_MS = 10_000

/** Opens a connection, runs the work, and closes the connection however the work ends. */
export async function withDirectClient<T>(url: string, work: (client: DirectClient) => Promise<T>): Promise<T> {
  const { host, port, dbName, user, password, driverOptions } = settingsOf(url, 'the direct URL')
  const client = new pg.Client({
    host,
    port,
    database: dbName,
    user,
    password,
    ...driverOptions,
    options: '-c search_path=',
    application_name: 'mikro-tenantkit direct',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  })
  // A server that goes away in the middle rejects the query that runs; without a listener it would end the process as well.
  client.on('error', () => undefined)
  await client.connect()
  try {
    return await work(client as unknown as DirectClient)
  } finally {
    await client.end().catch(() => undefined)
  }
}
