/** The options of a tenancy: what the user gives, and what the code uses. */
import type { EventSubscriber } from '@mikro-orm/postgresql'
import type { ActorsOptions } from './actors.ts'
import { classify, type ClassificationOptions, type ClassifiedEntities, type EntityInput } from './classification/classify.ts'
import type { PoolSettings } from './connections/guarded-connection.ts'
import type { TenantRef } from './context/context.ts'
import { parseKeyRing, type KeyRing } from './crypto/key-ring.ts'
import { ConfigurationError } from './errors.ts'
import { DEFAULT_PREFIX, parsePrefix } from './naming.ts'
import { AuditEvent } from './history/audit-event.ts'
import { REGISTRY_ENTITIES } from './tenants/entities.ts'
import { resolveUsage, type UsageOptions } from './usage/usage-types.ts'

/** Optional async methods that run after something happened to a tenant, in list order. An error is thrown to whoever asked for the operation. */
export interface TenancyHooks {
  readonly name: string
  provisioned?(event: { readonly tenant: TenantRef }): Promise<void>
  migrated?(event: { readonly tenant: TenantRef; readonly migrations: readonly string[] }): Promise<void>
  suspended?(event: { readonly tenant: TenantRef }): Promise<void>
  resumed?(event: { readonly tenant: TenantRef }): Promise<void>
  archived?(event: { readonly tenant: TenantRef }): Promise<void>
  restored?(event: { readonly tenant: TenantRef }): Promise<void>
  purged?(event: { readonly tenant: TenantRef }): Promise<void>
}

/** The first administrator of a tenant. */
export interface AdminInput {
  readonly email: string
  readonly password: string
}

/** A URL, or a function that finds it when it is needed (and, for an embedded server, starts it). */
export type UrlSource = string | (() => Promise<string>)

/** Where the control plane is. */
export interface DatabaseOptions {
  /** The control plane: `postgresql://user:password@host:port/database`. Required. */
  readonly url: UrlSource | undefined
  /** The same without a pooler in between, for what needs a session. Default: `url`. */
  readonly directUrl?: string | undefined
  /** A direct URL with the right to create databases and roles. Default: `directUrl`. */
  readonly provisioningUrl?: string | undefined
  /**
   * Whether `url` leads through a pooler in transaction mode. Then no start-up parameter is sent, `migrate` empties the search_path of the
   * role in the database instead, and a connection with another one is refused. Default false.
   */
  readonly pooled?: boolean | undefined
}

/** How hard the line between tenants is. */
export interface IsolationOptions {
  /** A PostgreSQL role per schema tenant: SQL that names another tenant's schema is refused by the database too. Default false. */
  readonly strict?: boolean | undefined
}

/** How long what is known of tenants is kept in memory. Changes are heard at once over `LISTEN`; these times bound what is not heard. */
export interface DirectoryOptions {
  /** How long a tenant is kept, in milliseconds. Default 10000; 0 asks the database each time. */
  readonly ttlMs?: number
  /** How long it is kept that a slug is unknown, in milliseconds. Default 1000. */
  readonly negativeTtlMs?: number
  /** How many tenants are kept, and how many unknown slugs. Default 10000 of each. */
  readonly maxEntries?: number
}

/** Sizes and times of the connection pools. */
export interface PoolOptions {
  /** Connections of the control plane's pool, which all schema tenants share. Default 10. */
  readonly shared?: number
  /** Connections of each database tenant's pool. Default 4. */
  readonly perTenant?: number
  /** Open pools of database tenants at most. Default 50. */
  readonly maxTenants?: number
  /** Open connections of all database tenants together at most. Default 200. */
  readonly total?: number
  /** Open connections to one server at most, the shared pool included. Default 90. */
  readonly perServer?: number
  /** Requests that wait for a connection at most; one more is refused at once with `POOL_EXHAUSTED`. Default 1000. */
  readonly maxWaiting?: number
  /** How long a request waits for a connection, in milliseconds. Default 10000. */
  readonly waitMs?: number
  /** How long an idle connection is kept, in milliseconds. Default 30000. */
  readonly idleMs?: number
  /** After how many seconds a connection is replaced. Default 1800; 0 keeps it. */
  readonly maxLifetimeSeconds?: number
}

/** What `defineTenancy` and `createTenancy` take. */
export interface TenancyOptions {
  /** All entities of the application. */
  readonly entities: readonly EntityInput[]
  /** Scopes for entities that were defined with plain `defineEntity`. */
  readonly classification?: ClassificationOptions
  readonly database: DatabaseOptions
  readonly pool?: PoolOptions
  readonly isolation?: IsolationOptions
  readonly directory?: DirectoryOptions
  /** The key ring that seals secrets: `<id>:<base64 of 32 bytes>`, comma separated, the first one encrypts. Or a function that gives it. */
  readonly keys: string | (() => string)
  readonly naming?: { readonly prefix?: string }
  readonly migrations: {
    /** The folder that holds `shared/` and `tenant/`. */
    readonly path: string
  }
  readonly hooks?: readonly TenancyHooks[]
  /** MikroORM's subscribers, called in every tenant and in the control plane, before this framework's own. */
  readonly subscribers?: readonly EventSubscriber[]
  /** Fills a new tenant; runs inside it, after its first migration, as `system:seed`. */
  seed?(tenant: TenantRef): Promise<void>
  /** Makes a tenant's first administrator; runs inside the tenant. It must refuse a user who exists (`ConflictError`). */
  bootstrapAdmin?(input: AdminInput & { readonly tenant: TenantRef }): Promise<void>
  /** Where `tenancy.resolveActors` finds the labels of stored actors. Default: their keys. */
  readonly actors?: ActorsOptions
  /** When what tenants take is measured, and how long that is kept. Default: only when it is asked for; 400 days. */
  readonly usage?: UsageOptions
  /** Runs last when the tenancy is closed: stops what `database.url` started. */
  close?(): Promise<void>
}

/** The complete form, frozen. */
export interface ResolvedOptions {
  readonly given: TenancyOptions
  readonly entities: ClassifiedEntities
  readonly url: string
  readonly directUrl: string
  readonly provisioningUrl: string
  readonly keyRing: KeyRing
  readonly prefix: string
  readonly sharedPool: PoolSettings
  readonly tenantPool: PoolSettings
  readonly pool: Required<PoolOptions>
  readonly pooled: boolean
  readonly strict: boolean
  readonly directory: Required<DirectoryOptions>
  readonly hooks: readonly TenancyHooks[]
  readonly usage: Required<UsageOptions>
}

export const POOL_DEFAULTS = {
  shared: 10,
  perTenant: 4,
  maxTenants: 50,
  total: 200,
  perServer: 90,
  maxWaiting: 1_000,
  waitMs: 10_000,
  idleMs: 30_000,
  maxLifetimeSeconds: 1_800,
} as const satisfies Required<PoolOptions>

export const DIRECTORY_DEFAULTS = { ttlMs: 60_000, negativeTtlMs: 1_000, maxEntries: 10_000 } as const satisfies Required<DirectoryOptions>

/**
 * Declares a tenancy; the application, the `tenantkit` command and the stock `mikro-orm` command read it from one file.
 *
 * @example export const options = defineTenancy({ entities: [Plan, Invoice], database: { url: process.env.DATABASE_URL }, keys, migrations: { path: 'migrations' } })
 */
export function defineTenancy(options: TenancyOptions): TenancyOptions {
  return Object.freeze({ ...options })
}

/** The entities with their scopes, the registry's included. @throws CONFIGURATION_INVALID */
export function classifyOptions(options: TenancyOptions): ClassifiedEntities {
  return classify([...REGISTRY_ENTITIES, AuditEvent, ...options.entities], options.classification)
}

/** @throws CONFIGURATION_INVALID, VALIDATION_FAILED */
export async function resolveOptions(options: TenancyOptions): Promise<ResolvedOptions> {
  const prefix = parsePrefix(options.naming?.prefix ?? DEFAULT_PREFIX)
  const pool = resolvePool(options.pool)
  const entities = classifyOptions(options)
  const keyRing = parseKeyRing(typeof options.keys === 'function' ? options.keys() : options.keys)
  const url = await resolveUrl(options.database)
  const directUrl = resolveDirectUrl(options.database, url)
  const settings = (max: number): PoolSettings => ({
    max,
    idleTimeoutMillis: pool.idleMs,
    connectionTimeoutMillis: pool.waitMs,
    maxLifetimeSeconds: pool.maxLifetimeSeconds,
  })
  return Object.freeze({
    given: options,
    entities,
    url,
    directUrl,
    provisioningUrl: blankToUndefined(options.database.provisioningUrl) ?? directUrl,
    keyRing,
    prefix,
    sharedPool: settings(pool.shared),
    tenantPool: settings(pool.perTenant),
    pool,
    pooled: options.database.pooled ?? false,
    strict: options.isolation?.strict ?? false,
    directory: resolveDirectory(options.directory),
    hooks: options.hooks ?? [],
    usage: resolveUsage(options.usage),
  })
}

/** The URL of the control plane. @throws CONFIGURATION_INVALID when there is none: there is no default database. */
export async function resolveUrl(database: DatabaseOptions): Promise<string> {
  const url = blankToUndefined(typeof database.url === 'function' ? await database.url() : database.url)
  if (url === undefined)
    throw new ConfigurationError(['database.url is not set.'], 'Set DATABASE_URL, or give a function that starts an embedded server.')
  return url
}

function resolveDirectUrl({ directUrl, pooled = false }: DatabaseOptions, url: string): string {
  const given = blankToUndefined(directUrl)
  if (given === undefined && pooled)
    throw new ConfigurationError(
      ['database.pooled is true, and database.directUrl is not set.'],
      'Set DATABASE_DIRECT_URL to a URL that leads past the pooler: migrations, locks and listening need a session.',
    )
  return given ?? url
}

function resolvePool(given: PoolOptions = {}): Required<PoolOptions> {
  const pool = { ...POOL_DEFAULTS, ...given }
  const problems = Object.entries(pool)
    .filter(([key, value]) => !Number.isSafeInteger(value) || value < (key === 'maxLifetimeSeconds' || key === 'idleMs' ? 0 : 1))
    .map(([key, value]) => `pool.${key} must be a positive whole number; it is ${String(value)}.`)
  // The shared pool's are kept free on its server, and a tenant there would only ever wait.
  if (pool.perServer <= pool.shared)
    problems.push(`pool.perServer is ${pool.perServer}, and must be more than pool.shared, ${pool.shared}.`)
  if (problems.length > 0) throw new ConfigurationError(problems)
  return pool
}

function resolveDirectory(given: DirectoryOptions = {}): Required<DirectoryOptions> {
  const directory = { ...DIRECTORY_DEFAULTS, ...given }
  const problems = Object.entries(directory)
    .filter(([key, value]) => !Number.isSafeInteger(value) || value < (key === 'maxEntries' ? 1 : 0))
    .map(([key, value]) => `directory.${key} must be a positive whole number; it is ${String(value)}.`)
  if (problems.length > 0) throw new ConfigurationError(problems)
  return directory
}

function blankToUndefined(value: string | undefined): string | undefined {
  return value === undefined || value.trim() === '' ? undefined : value
}
