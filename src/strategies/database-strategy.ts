/** Tenants by database: a database of its own with its tables in the schema `tenant`, a role of its own, and a pool from the registry. */
import { createHash } from 'node:crypto'
import type { ConnectionRegistry } from '../connections/connection-registry.ts'
import { withDirectClient, type DirectClient } from '../connections/direct.ts'
import type { GuardedConnection, PoolSettings } from '../connections/guarded-connection.ts'
import { settingsOf, withDatabase } from '../connections/settings.ts'
import type { KeyRing } from '../crypto/key-ring.ts'
import { open } from '../crypto/seal.ts'
import { ConfigurationError } from '../errors.ts'
import { SHARED_SCHEMA, TENANT_SCHEMA, quoteForeignName, quoteLiteral } from '../naming.ts'
import type { TenantRecord } from '../tenants/directory.ts'
import { Tenant, type CreatedResource } from '../tenants/entities.ts'
import { ensureTemplate, groupRole, lockDownServer } from './database-template.ts'
import {
  dropAll,
  ownershipMark,
  type DropOutcome,
  type DropReport,
  type IsolationStrategy,
  type MigrationPlace,
  type NewTenant,
  type TenantLease,
  type TenantScript,
} from './isolation-strategy.ts'
import type { RuntimeOrm } from './runtime-orm.ts'
import { dropOwnSchema, schemaScript } from './schema-strategy.ts'
import { scramVerifier } from './scram-verifier.ts'

/** What the secrets of a tenant are sealed for. */
export const CONNECTION_PURPOSE = 'connection_string'
export const PROVISIONING_PURPOSE = 'provisioning_connection_string'

export interface DatabaseStrategyOptions {
  readonly orm: RuntimeOrm
  readonly keyRing: KeyRing
  readonly connections: ConnectionRegistry<GuardedConnection>
  readonly pool: PoolSettings
  /** A direct URL with the right to create databases and roles. */
  readonly provisioningUrl: string
  readonly controlUrl: string
  /** The control plane as requests reach it, maybe by another role. */
  readonly runtimeUrl: string
  readonly prefix: string
}

export class DatabaseStrategy implements IsolationStrategy {
  readonly #options: DatabaseStrategyOptions
  /** Opened once: warm requests decrypt nothing. Keyed by the envelope, so that a rotation is a miss. */
  readonly #urls = new Map<string, string>()

  constructor(options: DatabaseStrategyOptions) {
    this.#options = options
  }

  async connect(tenant: TenantRecord): Promise<TenantLease> {
    const { connections, orm, pool } = this.#options
    const url = this.#runtimeUrl(tenant)
    const version = createHash('sha256').update(url).digest('base64url')
    const lease = await connections.acquire(tenant.ref.id, version, () => openOwn(orm.openDatabase(tenant.ref.slug, url, pool), tenant))
    const { em, driver } = orm.tenantManager(tenant.ref, lease.connection)
    return {
      em,
      end: () => {
        driver.end()
        lease.release()
      },
    }
  }

  async create(tenant: NewTenant, script: TenantScript, created: (resource: CreatedResource) => Promise<void>): Promise<void> {
    if (tenant.mode === 'auto') await this.#createAuto(tenant.record, script, created)
    else await this.#createManual(tenant.record, script, created)
  }

  async drop(tenant: TenantRecord, resources: readonly CreatedResource[]): Promise<DropReport> {
    this.#options.connections.invalidate(tenant.ref.id)
    return dropAll(resources, resource =>
      resource.kind === 'schema'
        ? withDirectClient(this.#runtimeUrl(tenant), client => dropOwnSchema(client, resource.name, tenant.ref.id)).catch(noDatabase)
        : withDirectClient(this.#adminUrl(tenant), client => this.#dropServerObject(client, resource, tenant)),
    )
  }

  migrationPlace(tenant: TenantRecord): MigrationPlace {
    const { dbName } = settingsOf(this.#runtimeUrl(tenant))
    const url = tenant.provisioning === 'auto' ? withDatabase(this.#adminUrl(tenant), dbName) : this.#runtimeUrl(tenant)
    return { schema: TENANT_SCHEMA, url }
  }

  /** The role is created first, so that the database is never without its owner's rules; everything stands on the server by one connection. */
  async #createAuto(record: TenantRecord, script: TenantScript, created: (resource: CreatedResource) => Promise<void>): Promise<void> {
    const { user, password, dbName } = settingsOf(this.#runtimeUrl(record))
    const { prefix, controlUrl, runtimeUrl } = this.#options
    const provisioningUrl = this.#adminUrl(record)
    const role = quoteForeignName(user!)
    const database = quoteForeignName(dbName)
    const mark = quoteLiteral(ownershipMark(record.ref.id))
    await withDirectClient(provisioningUrl, async client => {
      const template = await ensureTemplate(client, { prefix, script, provisioningUrl })
      await lockDownServer(
        client,
        settingsOf(controlUrl).dbName,
        [controlUrl, runtimeUrl].map(url => settingsOf(url).user),
      )
      const group = quoteForeignName(groupRole(prefix))
      await client.query(
        `create role ${role} login password ${quoteLiteral(scramVerifier(password!))} in role ${group};\ncomment on role ${role} is ${mark}`,
      )
      await created({ kind: 'role', name: user! })
      // CREATE DATABASE runs alone: https://www.postgresql.org/docs/current/sql-createdatabase.html
      await client.query(`create database ${database} template ${quoteForeignName(template)} strategy wal_log`)
      await client.query(
        `comment on database ${database} is ${mark};\nrevoke all on database ${database} from public;\ngrant connect on database ${database} to ${role};\nalter role ${role} in database ${database} set search_path to ''`,
      )
      await created({ kind: 'database', name: dbName })
    })
  }

  /** The operator's database: created only if it is missing and a provisioning URL says by whom; its schema is made there. */
  async #createManual(record: TenantRecord, script: TenantScript, created: (resource: CreatedResource) => Promise<void>): Promise<void> {
    const { dbName } = settingsOf(this.#runtimeUrl(record))
    this.#refuseControlPlane(record)
    if (record.provisioningConnectionString !== undefined) {
      await withDirectClient(this.#adminUrl(record), async client => {
        const { rows } = await client.query('select 1 from pg_catalog.pg_database where datname = $1', [dbName])
        if (rows.length > 0) return
        const { user } = settingsOf(this.#runtimeUrl(record))
        await client.query(`create database ${quoteForeignName(dbName)}`)
        await client.query(
          `comment on database ${quoteForeignName(dbName)} is ${quoteLiteral(ownershipMark(record.ref.id))};\nrevoke all on database ${quoteForeignName(dbName)} from public`,
        )
        await created({ kind: 'database', name: dbName })
        if (user !== undefined)
          await client.query(`grant connect, create on database ${quoteForeignName(dbName)} to ${quoteForeignName(user)}`)
      })
    }
    await withDirectClient(this.#runtimeUrl(record), async client => {
      // Comparing the URLs does not see through a second name of the same host.
      const { rows } = await client.query(`select 1 from pg_catalog.pg_tables where schemaname = $1 and tablename = $2`, [
        SHARED_SCHEMA,
        REGISTRY_TABLE,
      ])
      if (rows.length > 0) throw leadsToControlPlane(record)
      await client.query(schemaScript(TENANT_SCHEMA, record.ref.id, script))
    })
    await created({ kind: 'schema', name: TENANT_SCHEMA })
  }

  async #dropServerObject(client: DirectClient, resource: CreatedResource, tenant: TenantRecord): Promise<DropOutcome> {
    this.#refuseControlPlane(tenant)
    const name = quoteForeignName(resource.name)
    const [catalog, column, key] =
      resource.kind === 'database' ? ['pg_database', 'datname', 'pg_database'] : ['pg_roles', 'rolname', 'pg_authid']
    const { rows } = await client.query<{ mark: string | null }>(
      `select pg_catalog.shobj_description(oid, '${key}') as mark from pg_catalog.${catalog} where ${column} = $1`,
      [resource.name],
    )
    if (rows[0] === undefined) return 'absent'
    if (rows[0].mark !== ownershipMark(tenant.ref.id)) return 'unmarked'
    await client.query(resource.kind === 'database' ? `drop database ${name} with (force)` : `drop role ${name}`)
    return 'dropped'
  }

  /** A tenant whose URL points at the control plane would hand it over. */
  #refuseControlPlane(record: TenantRecord): void {
    const own = settingsOf(this.#runtimeUrl(record))
    const control = settingsOf(this.#options.controlUrl)
    if (own.host === control.host && own.port === control.port && own.dbName === control.dbName) {
      throw leadsToControlPlane(record)
    }
  }

  #runtimeUrl(tenant: TenantRecord): string {
    return this.#open(tenant, tenant.connectionString, CONNECTION_PURPOSE)
  }

  /** Where databases and roles of a tenant are made and dropped: the maintenance database of its server. */
  #adminUrl(tenant: TenantRecord): string {
    if (tenant.provisioningConnectionString === undefined) return this.#options.provisioningUrl
    return withDatabase(this.#open(tenant, tenant.provisioningConnectionString, PROVISIONING_PURPOSE), 'postgres')
  }

  #open(tenant: TenantRecord, envelope: string | undefined, purpose: string): string {
    if (envelope === undefined) {
      // Never another database instead: a tenant without its own connection has none.
      throw new ConfigurationError(
        [`Tenant "${tenant.ref.slug}" has no ${purpose}.`],
        'Set it with PATCH /api/tenants/{slug}, or provision the tenant again.',
      )
    }
    const cacheKey = `${tenant.ref.id}|${purpose}|${envelope}`
    const known = this.#urls.get(cacheKey)
    if (known !== undefined) return known
    const url = open(this.#options.keyRing, envelope, { tenantId: tenant.ref.id, purpose })
    if (this.#urls.size >= URL_CACHE_MAX) this.#urls.clear()
    this.#urls.set(cacheKey, url)
    return url
  }
}

/** Enough for every tenant of a busy process; forgetting costs one decryption. */
const URL_CACHE_MAX = 10_000

/** The table by which a control plane is known. */
const REGISTRY_TABLE = Tenant.meta.tableName

/** The operator dropped the database, and the schema with it: there is nothing left to drop. */
function noDatabase(error: unknown): DropOutcome {
  if ((error as { code?: unknown }).code === '3D000') return 'absent'
  throw error
}

function leadsToControlPlane(record: TenantRecord): ConfigurationError {
  return new ConfigurationError(
    [`The connection of tenant "${record.ref.slug}" leads to the control plane.`],
    'Give the tenant a database of its own.',
  )
}

/**
 * Looks once, when a pool is opened, whether the database bears this tenant's mark: a wrong URL in the registry must not open another
 * tenant's data, whatever host name it goes by.
 *
 * @throws CONFIGURATION_INVALID
 */
async function openOwn(connection: GuardedConnection, tenant: TenantRecord): Promise<GuardedConnection> {
  try {
    const rows = (await connection.execute(MARKS_QUERY)) as { database: string | null; schema: string | null }[]
    const mark = ownershipMark(tenant.ref.id)
    if (rows[0]?.database === mark || rows[0]?.schema === mark) return connection
    throw new ConfigurationError(
      [`The connection of tenant "${tenant.ref.slug}" does not lead to its own database.`],
      `Correct the connection string. After moving the database by hand, mark it: comment on database … is '${mark}'.`,
    )
  } catch (error) {
    await connection.close(true)
    throw error
  }
}

const MARKS_QUERY = `select pg_catalog.shobj_description(d.oid, 'pg_database') as database, pg_catalog.obj_description(n.oid, 'pg_namespace') as schema
  from pg_catalog.pg_database d left join pg_catalog.pg_namespace n on n.nspname = '${TENANT_SCHEMA}'
  where d.datname = pg_catalog.current_database()`
