/** Connection settings from a URL. Never built by joining strings, so that no part of a URL can become another. */
import { ConfigurationError } from '../errors.ts'
import type { PoolSettings } from './guarded-connection.ts'
import type { ConnectionSettings } from './internals.ts'
import { provenOnConnect, type Proof } from './search-path.ts'

const DEFAULT_PORT = 5432

/**
 * The settings of a PostgreSQL URL: `postgresql://user:password@host:port/database?sslmode=…`.
 *
 * @throws CONFIGURATION_INVALID; the message never holds the URL.
 */
export function settingsOf(
  url: string,
  what = 'database.url',
): Required<Pick<ConnectionSettings, 'dbName' | 'host' | 'port'>> & ConnectionSettings {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed === undefined || !['postgres:', 'postgresql:'].includes(parsed.protocol)) {
    throw new ConfigurationError([`${what} is not a URL of PostgreSQL.`], 'Use postgresql://user:password@host:port/database.')
  }
  const tls = tlsOf(parsed.searchParams.get('sslmode'), what)
  return {
    host: parsed.hostname.replace(/^\[(.*)\]$/, '$1') || '127.0.0.1',
    port: parsed.port === '' ? DEFAULT_PORT : Number(parsed.port),
    dbName: decodeURIComponent(parsed.pathname.slice(1)) || 'postgres',
    ...(parsed.username === '' ? {} : { user: decodeURIComponent(parsed.username) }),
    ...(parsed.password === '' ? {} : { password: decodeURIComponent(parsed.password) }),
    ...(tls === undefined ? {} : { driverOptions: { ssl: tls } }),
  }
}

/** How a pool begins its connections. */
export interface Opening {
  /** Whether they lead through a pooler in transaction mode, which takes no start-up parameter. */
  readonly pooled: boolean
  /** What else is asked of each, besides the search_path. */
  readonly proof?: Proof
}

/**
 * The pool options for a connection. The empty search_path comes with the connection, so that no session state is ever set; behind a pooler
 * it is the role's setting. Each connection is asked whether it is empty before it is used.
 */
export function poolOptions(pool: PoolSettings, { pooled, proof }: Opening): Readonly<Record<string, unknown>> {
  return {
    ...pool,
    min: 0,
    ...(pooled ? {} : { options: '-c search_path=' }),
    onConnect: provenOnConnect({ pooled, waitMs: pool.connectionTimeoutMillis, proof }),
    application_name: 'mikro-tenantkit',
    keepAlive: true,
    allowExitOnIdle: true,
  }
}

/** Whether two URLs lead to the same host and port. */
export function isSameServer(url: string, other: string): boolean {
  const [one, two] = [settingsOf(url), settingsOf(other)]
  return one.host.toLowerCase() === two.host.toLowerCase() && one.port === two.port
}

/** The same URL with another database. */
export function withDatabase(url: string, database: string): string {
  const changed = new URL(url)
  changed.pathname = `/${encodeURIComponent(database)}`
  return changed.href
}

/** The same URL with the host, the port and the parameters of another one. */
export function withServer(url: string, server: string): string {
  const [given, changed] = [new URL(url), new URL(server)]
  changed.username = given.username
  changed.password = given.password
  changed.pathname = given.pathname
  return changed.href
}

/** The same URL with other credentials and another database. */
export function withLogin(url: string, login: { readonly user: string; readonly password: string; readonly database: string }): string {
  const changed = new URL(withDatabase(url, login.database))
  changed.username = encodeURIComponent(login.user)
  changed.password = encodeURIComponent(login.password)
  return changed.href
}

/** https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION */
function tlsOf(mode: string | null, what: string): { readonly rejectUnauthorized: boolean } | undefined {
  if (mode === null || mode === 'disable') return undefined
  if (mode === 'require' || mode === 'no-verify') return { rejectUnauthorized: false }
  if (mode === 'verify-ca' || mode === 'verify-full') return { rejectUnauthorized: true }
  throw new ConfigurationError([`${what}: sslmode must be disable, require, verify-ca or verify-full.`])
}
