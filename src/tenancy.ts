/** The composition root: puts directory, strategies, migrations and registry together, and is all that an application holds. */
import { resolveActors } from './actors.ts'
import { checkPassword } from './auth/password.ts'
import { ConnectionRegistry } from './connections/connection-registry.ts'
import type { GuardedConnection } from './connections/guarded-connection.ts'
import type { Actor } from './context/context.ts'
import { parseHandedOver } from './context/hand-over.ts'
import { tenantHandle, type TenantHandle } from './context/tenant-handle.ts'
import { TenantNotFoundError, ValidationFailedError } from './errors.ts'
import { checkTenancy, type CheckFinding } from './check.ts'
import { FleetMigration, type MigrateOptions, type MigrateReport } from './fleet.ts'
import { newId } from './ids.ts'
import { Migrations } from './migrations/migrations.ts'
import type { MigrationTarget } from './migrations/runner.ts'
import { isSlug, parseSlug } from './naming.ts'
import { Operations, operationOf } from './operations.ts'
import { resolveOptions, type ResolvedOptions, type TenancyOptions } from './options.ts'
import { TenantRegistry } from './provisioning/tenant-registry.ts'
import { Runs } from './runs.ts'
import { DatabaseStrategy } from './strategies/database-strategy.ts'
import type { IsolationStrategy } from './strategies/isolation-strategy.ts'
import { RuntimeOrm } from './strategies/runtime-orm.ts'
import { SchemaStrategy } from './strategies/schema-strategy.ts'
import { TenantRoles } from './strategies/tenant-roles.ts'
import type { OperationOptions, OperationReport, ProvisionInput, RunOptions, TenancyStatistics } from './tenancy-types.ts'
import { TenantDirectory, type TenantRecord } from './tenants/directory.ts'
import { REGISTRY_ENTITIES } from './tenants/entities.ts'
import type { TenantChange } from './tenants/input.ts'
import { assertServing } from './tenants/life.ts'
import { listTenants, type TenantPage, type TenantQuery } from './tenants/list.ts'
import { toTenantJson, type TenantJson } from './tenants/tenant-json.ts'

/**
 * Builds a tenancy from its options. No connection is opened before it is needed.
 *
 * @throws CONFIGURATION_INVALID, VALIDATION_FAILED
 * @example
 * const tenancy = await createTenancy(options)
 * await tenancy.run('acme', async () => { await em().find(Invoice, {}) })
 */
export async function createTenancy(options: TenancyOptions): Promise<Tenancy> {
  const resolved = await resolveOptions(options)
  const { entities, url, sharedPool, pooled, pool } = resolved
  const orm = await RuntimeOrm.create({ entities, url, pool: sharedPool, pooled, limits: pool, subscribers: options.subscribers })
  return new Tenancy(resolved, orm)
}

/** A running tenancy: the way into tenants and the control plane, and the registry of tenants. */
export class Tenancy {
  readonly #options: ResolvedOptions
  readonly #orm: RuntimeOrm
  readonly #connections: ConnectionRegistry<GuardedConnection>
  readonly #strategies: Readonly<Record<'schema' | 'database', IsolationStrategy>>
  readonly #migrations: Migrations
  readonly #directory: TenantDirectory
  readonly #registry: TenantRegistry
  readonly #operations: Operations
  readonly #fleet: FleetMigration
  readonly #roles: TenantRoles | undefined
  readonly #runs: Runs

  /** @internal Use {@link createTenancy}. */
  constructor(options: ResolvedOptions, orm: RuntimeOrm) {
    this.#options = options
    this.#orm = orm
    this.#connections = new ConnectionRegistry({ max: options.pool.maxTenants, room: orm.databaseRoom })
    this.#migrations = new Migrations({
      entities: options.entities,
      frameworkEntities: [...REGISTRY_ENTITIES],
      directUrl: options.directUrl,
      path: options.given.migrations.path,
      metadata: () => orm.metadata(),
    })
    this.#directory = new TenantDirectory({
      ...options.directory,
      control: () => orm.control(),
      directUrl: options.directUrl,
      // Who cannot ask the control plane now asks it at the next change, or at the next reconnection.
      changed: slug => void this.#runs?.abortPurged(slug).catch(() => undefined),
    })
    const { directUrl, provisioningUrl, prefix } = options
    this.#roles = options.strict ? new TenantRoles({ orm, prefix, directUrl, provisioningUrl }) : undefined
    this.#strategies = {
      schema: new SchemaStrategy({ orm, directUrl, provisioningUrl, roles: this.#roles }),
      database: new DatabaseStrategy({
        orm,
        keyRing: options.keyRing,
        connections: this.#connections,
        pool: options.tenantPool,
        provisioningUrl: options.provisioningUrl,
        controlUrl: options.directUrl,
        runtimeUrl: options.url,
        pooled: options.pooled,
        prefix: options.prefix,
      }),
    }
    this.#runs = new Runs({ orm, strategies: this.#strategies, pooled: options.pooled, find: slug => this.#directory.find(slug) })
    const { given } = options
    this.#registry = new TenantRegistry({
      control: () => orm.control(),
      directory: this.#directory,
      strategies: this.#strategies,
      migrations: this.#migrations,
      keyRing: options.keyRing,
      prefix: options.prefix,
      directUrl: options.directUrl,
      tenantServerUrl: options.url,
      inside: (record, actor, work) => this.#runs.run(record, work, { actor }),
      seed: given.seed && (async tenant => given.seed?.(tenant)),
      checkPassword,
      bootstrapAdmin: given.bootstrapAdmin && (async input => given.bootstrapAdmin?.(input)),
    })
    this.#operations = new Operations(this.#registry, options.hooks)
    this.#fleet = new FleetMigration({
      control: () => orm.control(),
      migrations: this.#migrations,
      registry: this.#registry,
      prefix: options.prefix,
      pooledUrl: options.pooled ? options.url : undefined,
      roles: this.#roles,
    })
  }

  /**
   * Runs work in a tenant. It nests; the outer context is restored however the work ends.
   *
   * @throws TENANT_INVALID, TENANT_NOT_FOUND, TENANT_NOT_READY, TENANT_SUSPENDED, TENANT_ARCHIVED, POOL_EXHAUSTED
   * @example await tenancy.run('acme', async () => em().count(Invoice), { actor })
   */
  async run<T>(slug: string, work: () => Promise<T>, options: RunOptions = {}): Promise<T> {
    return this.#runs.run(await this.#directory.enter(slug), work, options)
  }

  /** The same for a tenant that was found before; its status is checked here again. */
  async runInTenant<T>(tenant: TenantRecord, work: () => Promise<T>, options: RunOptions = {}): Promise<T> {
    assertServing(tenant.ref.slug, tenant.status)
    return this.#runs.run(tenant, work, options)
  }

  /**
   * Holds a tenant open over several runs, with one EntityManager and one lease, until the handle is disposed.
   *
   * @throws TENANT_INVALID, TENANT_NOT_FOUND, TENANT_NOT_READY, TENANT_SUSPENDED, TENANT_ARCHIVED, POOL_EXHAUSTED
   * @example
   * await using acme = await tenancy.open('acme', { actor })
   * for (const line of lines) await acme.run(async () => { em().create(Invoice, line); await em().flush() })
   */
  async open(slug: string, options: RunOptions = {}): Promise<TenantHandle> {
    const record = await this.#directory.enter(slug)
    const unit = await this.#runs.open(record, options)
    // It may be held for hours: whether the tenant serves, and is the same one still, is looked at again for each run.
    const stillServes = async () => {
      const { ref } = await this.#directory.enter(slug)
      if (ref.id !== record.ref.id) throw new TenantNotFoundError(slug)
    }
    return tenantHandle(unit, stillServes)
  }

  /**
   * Runs work in the context that `handOver()` gave in another thread, after all checks again: the tenant must exist under its slug with the
   * same id, and serve. Actor and permissions are taken as they are given: take them from your own threads, never from a client.
   *
   * @throws VALIDATION_FAILED, TENANT_NOT_FOUND, TENANT_NOT_READY, TENANT_SUSPENDED, TENANT_ARCHIVED, POOL_EXHAUSTED
   * @example parentPort.on('message', job => tenancy.runHandedOver(job.context, () => work(job)))
   */
  async runHandedOver<T>(handedOver: unknown, work: () => Promise<T>): Promise<T> {
    const { tenant, actor, requestId } = parseHandedOver(handedOver)
    const record = await this.#directory.find(tenant.slug)
    // A slug is free again after purging: the same name may be somebody else by now.
    if (record === undefined || record.ref.id !== tenant.id) throw new TenantNotFoundError(tenant.slug)
    assertServing(record.ref.slug, record.status)
    // Nobody's actor is inherited: the one handed over acts, or none does.
    return this.#runs.run(record, work, { actor, requestId }, { inherits: false })
  }

  /**
   * Runs work in the control plane as a job of the system; it may write shared entities, and is named in the audit columns.
   *
   * @throws VALIDATION_FAILED if the name is not `^[a-z][a-z0-9-]{0,62}$`
   * @example await tenancy.runAsSystem('nightly', async () => { await controlEm().find(Plan, {}) })
   */
  async runAsSystem<T>(name: string, work: () => Promise<T>): Promise<T> {
    if (!/^[a-z][a-z0-9-]{0,62}$/.test(name))
      throw new ValidationFailedError([{ path: 'name', message: 'must match ^[a-z][a-z0-9-]{0,62}$' }])
    return this.runAsActor({ plane: 'system', id: name, label: name }, work)
  }

  /** Runs work in the control plane as an actor, without a tenant: a request of a global operator. */
  async runAsActor<T>(actor: Actor, work: () => Promise<T>, options: { readonly requestId?: string | undefined } = {}): Promise<T> {
    return this.#runs.runAsActor(actor, work, options)
  }

  /** The tenant of a slug, whatever its status, or `undefined`. */
  find(slug: string): Promise<TenantRecord | undefined> {
    return this.#directory.find(slug)
  }

  /** @throws TENANT_NOT_READY, TENANT_SUSPENDED, TENANT_ARCHIVED */
  assertServing(tenant: TenantRecord): void {
    assertServing(tenant.ref.slug, tenant.status)
  }

  /** A page of the registry: live tenants, or those of a status. @throws VALIDATION_FAILED */
  listTenants(query: TenantQuery = {}): Promise<TenantPage> {
    return listTenants(this.#orm.control(), query)
  }

  /** @throws TENANT_INVALID, TENANT_NOT_FOUND */
  async showTenant(slug: string): Promise<TenantJson> {
    const row = await this.#directory.row(parseSlug(slug))
    if (row === undefined) throw new TenantNotFoundError(slug)
    return toTenantJson(row)
  }

  /**
   * Creates a tenant, provisioned, migrated and seeded: it is `ready` when this returns.
   *
   * @throws VALIDATION_FAILED, RESERVED_NAME, SLUG_TAKEN, ALIAS_TAKEN, SCHEMA_TAKEN, PROVISIONING_FAILED, OPERATION_CONFLICT, NO_ACTOR
   */
  async provision(input: ProvisionInput): Promise<TenantJson> {
    const row = await this.#registry.create(input)
    await this.#operations.notify('provisioned', row)
    return toTenantJson(row)
  }

  /** Changes a tenant's name, metadata or secrets. @throws VALIDATION_FAILED, TENANT_NOT_FOUND, CONFLICT, INVALID_STATE */
  async updateTenant(slug: string, change: TenantChange): Promise<TenantJson> {
    return toTenantJson(await this.#registry.update(parseSlug(slug), change))
  }

  /** Archives a tenant: it is refused to everyone, and all its data is kept. @throws INVALID_STATE */
  async archive(slug: string): Promise<TenantJson> {
    const row = await this.#registry.archive(parseSlug(slug))
    await this.#operations.notify('archived', row)
    return toTenantJson(row)
  }

  /**
   * Runs an operation by name.
   *
   * @throws UNKNOWN_OPERATION, INVALID_STATE, CONFIRMATION_REQUIRED, OPERATION_CONFLICT, PROVISIONING_FAILED
   */
  async operate(slug: string, operation: string, options: OperationOptions = {}): Promise<OperationReport> {
    const name = operationOf(operation)
    if (!isSlug(slug)) parseSlug(slug)
    const started = new Date()
    const { failures, result } = await this.#operations.perform(slug, name, options)
    const tenant = await this.showTenant(slug)
    const told = failures.length > 0 ? { ...result, hook_failures: failures } : result
    const times = { started_at: started.toISOString(), finished_at: new Date().toISOString() }
    return { operation: { id: newId(), name: operation, status: 'succeeded', tenant: slug, ...times, result: told }, tenant }
  }

  /** Applies both scopes to everything, or what the options choose. One failing tenant does not stop the others. */
  async migrate(options: MigrateOptions = {}): Promise<MigrateReport> {
    const report = await this.#fleet.migrate(options)
    for (const outcome of report.tenants) {
      if (outcome.status !== 'applied' || outcome.names.length === 0) continue
      const record = await this.#directory.find(outcome.tenant)
      if (record !== undefined) await this.#operations.call(hook => hook.migrated?.({ tenant: record.ref, migrations: outcome.names }))
    }
    return report
  }

  /** Whether anything is pending, in the control plane or in a tenant that serves. */
  pendingMigrations(): Promise<boolean> {
    return this.#fleet.pending()
  }

  /**
   * What people read of stored actors (`global:<id>`, `tenant:<id>`, `system:<job>`), by key: one query for each plane. Local users are those
   * of the active tenant. Who is unknown keeps the key.
   *
   * @example const labels = await tenancy.resolveActors(invoices.flatMap(row => [row.createdBy, row.updatedBy]))
   */
  resolveActors(keys: Iterable<string>): Promise<ReadonlyMap<string, string>> {
    return resolveActors(keys, this.#options.given.actors ?? {}, () => this.#orm.control())
  }

  /** Where the migrations of each serving tenant run. @internal For the stock command line. */
  migrationTargets(): Promise<readonly MigrationTarget[]> {
    return this.#fleet.targets()
  }

  /** Writes a migration file from the changes of the entities; `undefined` when nothing changed. */
  createMigration(scope: 'shared' | 'tenant', name: string): Promise<string | undefined> {
    return this.#migrations.createFile(scope, name)
  }

  /** What is wrong or doubtful about this installation; an empty control plane is a warning, not an error. */
  check(): Promise<readonly CheckFinding[]> {
    return checkTenancy({ options: this.#options, migrations: this.#migrations, control: () => this.#orm.control(), roles: this.#roles })
  }

  /** @throws what the database says when it does not answer */
  ping(): Promise<void> {
    return this.#orm.ping()
  }

  /**
   * What is open and in use now, and what happened so far. `/metrics` shows all of it.
   *
   * @example const { shared, connections, servers } = tenancy.stats()
   */
  stats(): TenancyStatistics {
    const [databases, directory] = [this.#connections.statistics(), this.#directory.statistics()]
    return { leases: this.#runs.leases, ...this.#orm.statistics(), databases, directory }
  }

  /** Closes every connection, then what `options.close` closes. */
  async close(): Promise<void> {
    try {
      await this.#directory.close()
      await this.#migrations.close()
      await this.#connections.close()
      await this.#orm.close()
    } finally {
      // Whatever broke above, a server that this process started must not stay behind.
      await this.#options.given.close?.()
    }
  }
}
