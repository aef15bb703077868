/** A single direct connection for what needs a session: CREATE DATABASE, roles, advisory locks. Never pooled, always closed. */
import pg from 'pg'
import { Lending } from '../context/loan.ts'
import { settingsOf } from './settings.ts'

/** The part of a `pg` client that is used. */
export interface DirectClient {
  query<R = Record<string, unknown>>(sql: string, parameters?: readonly unknown[]): Promise<{ rows: R[] }>
}

const CONNECT_TIMEOUT_MS = 10_000

const lending = new Lending<{ readonly url: string; readonly client: DirectClient }>()

/**
 * Opens a connection, runs the work, and closes the connection however the work ends.
 *
 * @param lends Whether work inside may have this connection when it asks for one by the same URL: opening one costs more than most of what is
 * done with it. Only for a session whose state is an advisory lock, which nobody inside can lose.
 */
export async function withDirectClient<T>(
  url: string,
  work: (client: DirectClient) => Promise<T>,
  { lends = false }: { readonly lends?: boolean } = {},
): Promise<T> {
  const loan = lending.available(lent => lent.url === url)
  if (loan === undefined) return withNewClient(url, client => (lends ? lending.lend({ url, client }, () => work(client)) : work(client)))
  loan.busy = true
  try {
    return await work(loan.thing.client)
  } finally {
    loan.busy = false
  }
}

async function withNewClient<T>(url: string, work: (client: DirectClient) => Promise<T>): Promise<T> {
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
