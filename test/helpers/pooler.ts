/** The PgBouncer that `npm run test:pgbouncer` puts between the tenancies of the tests and the server. */
import { query, serverUrl } from './postgres.ts'

/** The URL of its console, if there is one. */
export function poolerConsole(): string | undefined {
  return process.env['TENANTKIT_TEST_PGBOUNCER_CONSOLE']
}

/** How many connections to the server it opens for each database and role. */
export function poolSize(): number {
  return Number(process.env['TENANTKIT_TEST_POOL_SIZE'])
}

/** A test that opens a second context inside an open transaction: with one connection to the server, the second would wait for the first. */
export function itWithTwoConnections(title: string, work: () => Promise<void>): void {
  if (poolSize() === 1) it.skip(`${title} (skipped: it needs two connections at once, and the pooler has one)`, work)
  else it(title, work)
}

/** The databases of those named that a tenancy is connected to now, through the pooler if there is one. */
export async function connectedDatabases(names: readonly string[]): Promise<string[]> {
  const at = poolerConsole()
  const rows = at
    ? await query<{ database: string }>(at, 'show clients')
    : await query<{ database: string }>(serverUrl(), 'select datname as database from pg_stat_activity')
  return rows.map(({ database }) => database).filter(name => names.includes(name))
}
