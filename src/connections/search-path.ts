/**
 * The empty search_path: what makes an unqualified name fail instead of finding another tenant's table, or one of `public`.
 *
 * It comes with the connection as a start-up parameter, or, behind a pooler that refuses those, from the role's setting in the database.
 * Where it came from is not believed: every connection is asked once, when it is opened, before the first statement is sent.
 */
import { ConfigurationError, PoolExhaustedError, type TenancyError } from '../errors.ts'
import { quoteForeignName } from '../naming.ts'
import type { DirectClient } from './direct.ts'

/** Any number, the same in every process: two processes that change one setting at once would fail on each other. */
const SETTING_LOCK = 7_236_115_006

/** More that a new connection is asked in the same statement. */
export interface Proof {
  /** Expressions over the catalog, each with a name of its own: `current_user as user, …`. */
  readonly columns: string
  /** @throws what is wrong */
  assert(row: Readonly<Record<string, unknown>>): void
}

/** What the first statement of a new connection needs to know. */
export interface OpeningOptions {
  /** Whether the connection leads through a pooler in transaction mode. */
  readonly pooled: boolean
  /** How long the answer may take, in milliseconds: behind a pooler it waits for a free connection to the server. */
  readonly waitMs: number
  readonly proof?: Proof | undefined
}

/** A new client of `pg`, as far as it is used. */
interface NewClient {
  query(config: { text: string; query_timeout: number }): Promise<{ rows: Record<string, unknown>[] }>
}

/**
 * What a pool runs on each connection that it opens, before anyone gets it. A connection that is refused is closed.
 *
 * @throws CONFIGURATION_INVALID if the search_path is not empty, POOL_EXHAUSTED if a pooler has no connection in time, and what the proof throws
 */
export function provenOnConnect({ pooled, waitMs, proof }: OpeningOptions): (client: NewClient) => Promise<void> {
  const more = proof === undefined ? '' : `, ${proof.columns}`
  const text = `select pg_catalog.current_setting('search_path') as search_path, session_user::text as role, pg_catalog.current_database()::text as database${more}`
  return async client => {
    const { rows } = await client.query({ text, query_timeout: waitMs }).catch((error: unknown) => {
      throw error instanceof Error && error.message === 'Query read timeout' ? new PoolExhaustedError(waitMs, error) : error
    })
    const row = rows[0]!
    if (!isEmpty(String(row['search_path']))) throw notEmpty(row as unknown as PathRow, pooled)
    proof?.assert(row)
  }
}

/**
 * Gives a role an empty search_path in the database that the client is connected to, unless it has one there already. A role that does not
 * exist is left alone: a pooler may log in as another one, and the connection says which.
 *
 * @throws CONFIGURATION_INVALID if the client's role may not
 */
export async function emptySearchPathOf(client: DirectClient, role: string | undefined): Promise<void> {
  if (role === undefined)
    throw new ConfigurationError(
      ['database.url names no user.'],
      'Behind a pooler its role has to be known: postgresql://user@host/database.',
    )
  const { rows } = await client.query<{ database: string; setting: string | null }>(SETTING_QUERY, [role])
  if (rows[0] === undefined || isEmpty(rows[0].setting?.replace(/^search_path=/, '') ?? 'not set')) return
  const repair = repairOf(role, rows[0].database)
  try {
    // One message, hence one transaction: the lock is free when it ends.
    await client.query(`select pg_catalog.pg_advisory_xact_lock(${SETTING_LOCK});\n${repair}`)
  } catch (error) {
    // 42501 insufficient_privilege: https://www.postgresql.org/docs/current/errcodes-appendix.html
    if ((error as { code?: unknown }).code !== '42501') throw error
    throw new ConfigurationError(
      [`The role of the direct connection may not set the search_path of role "${role}".`],
      `Run as a role that may: ${repair}`,
    )
  }
}

/** PgBouncer's refusal of the start-up parameter, as an error that says what to do; any other error is `undefined`. */
export function refusedStartUp(error: unknown): TenancyError | undefined {
  if (!(error instanceof Error) || !/unsupported startup parameter(?: in options)?: (?:options|search_path)/.test(error.message))
    return undefined
  return new ConfigurationError(
    ['A pooler refuses the start-up parameter that empties the search_path.'],
    'Set database.pooled to true and database.directUrl, and run: npx tenantkit migrate',
  )
}

interface PathRow {
  readonly search_path: string
  readonly role: string
  readonly database: string
}

/** PostgreSQL writes an empty list as nothing, or as one empty name. */
function isEmpty(path: string): boolean {
  return path === '' || path === '""'
}

function repairOf(role: string, database: string): string {
  return `alter role ${quoteForeignName(role)} in database ${quoteForeignName(database)} set search_path to ''`
}

function notEmpty({ search_path, role, database }: PathRow, pooled: boolean): ConfigurationError {
  const repair = repairOf(role, database)
  return new ConfigurationError(
    [`The search_path of role "${role}" in database "${database}" is ${search_path}; it must be empty.`],
    pooled
      ? `Run: ${repair}; then let the pooler open its connections anew (PgBouncer: RECONNECT), for those that are open keep the old one.`
      : `A pooler in between ignored the start-up parameter. Set database.pooled to true, and run: ${repair}`,
  )
}

/** The setting that a new session of the role begins with: https://www.postgresql.org/docs/current/catalog-pg-db-role-setting.html */
const SETTING_QUERY = `select d.datname::text as database, (
    select c.setting from pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) as c(setting)
    where s.setrole in (r.oid, 0) and s.setdatabase in (d.oid, 0) and pg_catalog.starts_with(c.setting, 'search_path=')
    order by s.setrole = 0, s.setdatabase = 0 limit 1) as setting
  from pg_catalog.pg_database d, pg_catalog.pg_roles r
  where d.datname = pg_catalog.current_database() and r.rolname = $1`
