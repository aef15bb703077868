/** Tenants by database: a database of its own with its tables in the schema `tenant`, a role of its own, and a pool from the registry. */
import { createHash } from 'node:crypto'
import type { ConnectionLease, ConnectionRegistry } from '../connections/connection-registry.ts'
import { withDirectClient, type DirectClient } from '../connections/direct.ts'
import type { GuardedConnection, PoolSettings } from '../connections/guarded-connection.ts'
import { emptySearchPathOf, type Proof } from '../connections/search-path.ts'
import { isSameServer, settingsOf, withDatabase, withServer } from '../connections/settings.ts'
import { currentContext } from '../context/context.ts'
import type { KeyRing } from '../crypto/key-ring.ts'
import { open } from '../crypto/seal.ts'
import { ConfigurationError, TenantNotFoundError } from '../errors.ts'
import { SHARED_SCHEMA, TENANT_SCHEMA, quoteForeignName, quoteLiteral } from '../naming.ts'
import { recordOf, type TenantRecord } from '../tenants/directory.ts'
import { Tenant, type CreatedResource } from '../tenants/entities.ts'
import { assertServing } from '../tenants/life.ts'
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
  /** Whether `runtimeUrl`, and what has its host and port, leads through a pooler in transaction mode. */
  readonly pooled: boolean
  readonly prefix: string
}

export class DatabaseStrategy implements IsolationStrategy {
  readonly #options: DatabaseStrategyOptions
  /** Opened once: warm requests decrypt nothing. Keyed by the envelope, so that a rotation is a miss. */
  readonly #urls = new Map<string, OpenedUrl>()

  constructor(options: DatabaseStrategyOptions) {
    this.#options = options
  }

  async connect(given: TenantRecord, giveUp?: () => AbortSignal | undefined): Promise<TenantLease> {
    const lease = given.trial === true ? this.#tried(given) : await this.#leased(given, giveUp)
    const { em, driver } = this.#options.orm.tenantManager(given.ref, lease.connection)
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
        ? withDirectClient(this.#directUrl(tenant), client => dropOwnSchema(client, resource.name, tenant.ref.id)).catch(noDatabase)
        : withDirectClient(this.#adminUrl(tenant), client => this.#dropServerObject(client, resource, tenant)),
    )
  }

  migrationPlace(tenant: TenantRecord): MigrationPlace {
    const { dbName } = settingsOf(this.#runtimeUrl(tenant))
    const url = tenant.provisioning === 'auto' ? withDatabase(this.#adminUrl(tenant), dbName) : this.#directUrl(tenant)
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
    const url = this.#runtimeUrl(record)
    await withDirectClient(this.#directUrl(record), async client => {
      // Comparing the URLs does not see through a second name of the same host.
      const { rows } = await client.query(`select 1 from pg_catalog.pg_tables where schemaname = $1 and tablename = $2`, [
        SHARED_SCHEMA,
        REGISTRY_TABLE,
      ])
      if (rows.length > 0) throw leadsToControlPlane(record)
      await client.query(schemaScript(TENANT_SCHEMA, record.ref.id, script))
      if (this.#isPooled(url)) await emptySearchPathOf(client, settingsOf(url).user)
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
    for (const url of [this.#options.controlUrl, this.#options.runtimeUrl]) {
      const control = settingsOf(url)
      if (own.host === control.host && own.port === control.port && own.dbName === control.dbName) throw leadsToControlPlane(record)
    }
  }

  #runtimeUrl(tenant: TenantRecord): string {
    return this.#open(tenant, tenant.connectionString, CONNECTION_PURPOSE).url
  }

  /** The tenant's database for what needs a session. Behind the pooler stands the server of the control plane. */
  #directUrl(tenant: TenantRecord): string {
    const url = this.#runtimeUrl(tenant)
    return this.#isPooled(url) ? withServer(url, this.#options.controlUrl) : url
  }

  #isPooled(url: string): boolean {
    return this.#options.pooled && isSameServer(url, this.#options.runtimeUrl)
  }

  async #leased(given: TenantRecord, giveUp?: () => AbortSignal | undefined): Promise<ConnectionLease<GuardedConnection>> {
    const tenant = await this.#newest(given)
    const { version } = this.#open(tenant, tenant.connectionString, CONNECTION_PURPOSE)
    // Inside a run of the same tenant there is a lease already, and waiting for its pool would be waiting for oneself.
    const holds = currentContext()?.tenant?.id === tenant.ref.id
    return this.#options.connections.acquire(tenant.ref.id, version, () => Promise.resolve(this.#pool(tenant)), { holds, giveUp })
  }

  /** A pool of its own, which is closed afterwards: whatever is tried, those who use the tenant notice nothing. */
  #tried(tenant: TenantRecord): ConnectionLease<GuardedConnection> {
    const connection = this.#pool(tenant)
    return { connection, release: () => void connection.close(true) }
  }

  #pool(tenant: TenantRecord): GuardedConnection {
    const { orm, pool } = this.#options
    const url = this.#runtimeUrl(tenant)
    return orm.openDatabase(tenant.ref.slug, url, pool, { pooled: this.#isPooled(url), proof: ownDatabase(tenant) })
  }

  /**
   * The record itself, or, if the pool in force was opened by another one, what the registry says: a request that read its tenant just
   * before a rotation must not bring the old connection back. What is in force was read there too, so what is read after it is not older.
   */
  async #newest(record: TenantRecord): Promise<TenantRecord> {
    const { connections, orm } = this.#options
    for (let current = record; ;) {
      const inForce = connections.version(record.ref.id)
      if (inForce === undefined || inForce === this.#open(current, current.connectionString, CONNECTION_PURPOSE).version) return current
      const row = await orm.control().findOne(Tenant, { id: record.ref.id }, { filters: false })
      if (row === null) throw new TenantNotFoundError(record.ref.slug)
      current = recordOf(row)
      if (current.status !== record.status) assertServing(record.ref.slug, current.status)
      if (connections.version(record.ref.id) === inForce) return current
    }
  }

  /** Where databases and roles of a tenant are made and dropped: the maintenance database of its server. */
  #adminUrl(tenant: TenantRecord): string {
    if (tenant.provisioningConnectionString === undefined) return this.#options.provisioningUrl
    return withDatabase(this.#open(tenant, tenant.provisioningConnectionString, PROVISIONING_PURPOSE).url, 'postgres')
  }

  #open(tenant: TenantRecord, envelope: string | undefined, purpose: string): OpenedUrl {
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
    const opened = { url, version: createHash('sha256').update(url).digest('base64url') }
    if (this.#urls.size >= URL_CACHE_MAX) this.#urls.clear()
    this.#urls.set(cacheKey, opened)
    return opened
  }
}

interface OpenedUrl {
  readonly url: string
  /** Another URL is another pool. */
  readonly version: string
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

/** Whether a database bears this tenant's mark: a wrong URL in the registry must not open another tenant's data, whatever name it goes by. */
function ownDatabase(tenant: TenantRecord): Proof {
  const mark = ownershipMark(tenant.ref.id)
  return {
    columns: MARKS,
    assert(row) {
      if (row['database_mark'] === mark || row['schema_mark'] === mark) return
      throw new ConfigurationError(
        [`The connection of tenant "${tenant.ref.slug}" does not lead to its own database.`],
        `Correct the connection string. After moving the database by hand, mark it: comment on database … is '${mark}'.`,
      )
    },
  }
}

const MARKS = `(select pg_catalog.shobj_description(d.oid, 'pg_database') from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()) as database_mark,
  (select pg_catalog.obj_description(n.oid, 'pg_namespace') from pg_catalog.pg_namespace n where n.nspname = '${TENANT_SCHEMA}') as schema_mark`
