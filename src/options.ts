/** The options of a tenancy: what the user gives, and what the code uses. */
import { classify, type ClassificationOptions, type ClassifiedEntities, type EntityInput } from './classification/classify.ts'
import type { PoolSettings } from './connections/guarded-connection.ts'
import type { TenantRef } from './context/context.ts'
import { parseKeyRing, type KeyRing } from './crypto/key-ring.ts'
import { ConfigurationError } from './errors.ts'
import { DEFAULT_PREFIX, parsePrefix } from './naming.ts'
import { REGISTRY_ENTITIES } from './tenants/entities.ts'

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
}

/** Sizes and times of the connection pools. */
export interface PoolOptions {
  /** Connections of the control plane's pool, which all schema tenants share. Default 10. */
  readonly shared?: number
  /** Connections of each database tenant's pool. Default 4. */
  readonly perTenant?: number
  /** Open pools of database tenants at most. Default 50. */
  readonly maxTenants?: number
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
  /** The key ring that seals secrets: `<id>:<base64 of 32 bytes>`, comma separated, the first one encrypts. Or a function that gives it. */
  readonly keys: string | (() => string)
  readonly naming?: { readonly prefix?: string }
  readonly migrations: {
    /** The folder that holds `shared/` and `tenant/`. */
    readonly path: string
  }
  readonly hooks?: readonly TenancyHooks[]
  /** Fills a new tenant; runs inside it, after its first migration, as `system:seed`. */
  seed?(tenant: TenantRef): Promise<void>
  /** Makes a tenant's first administrator; runs inside the tenant. It must refuse a user who exists (`ConflictError`). */
  bootstrapAdmin?(input: AdminInput & { readonly tenant: TenantRef }): Promise<void>
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
  readonly maxTenants: number
  readonly waitMs: number
  readonly hooks: readonly TenancyHooks[]
}

export const POOL_DEFAULTS = {
  shared: 10,
  perTenant: 4,
  maxTenants: 50,
  waitMs: 10_000,
  idleMs: 30_000,
  maxLifetimeSeconds: 1_800,
} as const satisfies Required<PoolOptions>

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
  return classify([...REGISTRY_ENTITIES, ...options.entities], options.classification)
}

/** @throws CONFIGURATION_INVALID, VALIDATION_FAILED */
export async function resolveOptions(options: TenancyOptions): Promise<ResolvedOptions> {
  const prefix = parsePrefix(options.naming?.prefix ?? DEFAULT_PREFIX)
  const pool = resolvePool(options.pool)
  const entities = classifyOptions(options)
  const keyRing = parseKeyRing(typeof options.keys === 'function' ? options.keys() : options.keys)
  const url = await resolveUrl(options.database)
  const directUrl = blankToUndefined(options.database.directUrl) ?? url
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
    maxTenants: pool.maxTenants,
    waitMs: pool.waitMs,
    hooks: options.hooks ?? [],
  })
}

/** The URL of the control plane. @throws CONFIGURATION_INVALID when there is none: there is no default database. */
export async function resolveUrl(database: DatabaseOptions): Promise<string> {
  const url = blankToUndefined(typeof database.url === 'function' ? await database.url() : database.url)
  if (url === undefined)
    throw new ConfigurationError(['database.url is not set.'], 'Set DATABASE_URL, or give a function that starts an embedded server.')
  return url
}

function resolvePool(given: PoolOptions = {}): Required<PoolOptions> {
  const pool = { ...POOL_DEFAULTS, ...given }
  const problems = Object.entries(pool)
    .filter(([key, value]) => !Number.isSafeInteger(value) || value < (key === 'maxLifetimeSeconds' || key === 'idleMs' ? 0 : 1))
    .map(([key, value]) => `pool.${key} must be a positive whole number; it is ${String(value)}.`)
  if (problems.length > 0) throw new ConfigurationError(problems)
  return pool
}

function blankToUndefined(value: string | undefined): string | undefined {
  return value === undefined || value.trim() === '' ? undefined : value
}
