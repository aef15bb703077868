/** The composition root: puts directory, strategies, migrations and registry together, and is all that an application holds. */
import { resolveActors } from './actors.ts'
import type { Actor, TenantRef } from './context/context.ts'
import { parseHandedOver } from './context/hand-over.ts'
import { tenantHandle, type TenantHandle } from './context/tenant-handle.ts'
import { TenantNotFoundError, ValidationFailedError } from './errors.ts'
import type { DriftOptions, DriftReport } from './diagnosis/drift.ts'
import type { CheckFinding } from './diagnosis/finding.ts'
import type { Fleet } from './fleet.ts'
import type { MigrateOptions, MigrateReport } from './fleet/migrate-options.ts'
import type { CreateFileOptions } from './migrations/migrations.ts'
import type { MigrationTarget } from './migrations/runner.ts'
import { isSlug, parseSlug } from './naming.ts'
import type { OperationRecord } from './operation-records.ts'
import { operationOf } from './operations.ts'
import { composeParts, type Parts } from './parts.ts'
import { resolveOptions, type ResolvedOptions, type TenancyOptions } from './options.ts'
import { RuntimeOrm } from './strategies/runtime-orm.ts'
import type { OperationOptions, OperationReport, ProvisionInput, RunOptions, TenancyStatistics } from './tenancy-types.ts'
import type { TenancyHistory } from './tenancy-history.ts'
import { TenancyOperations } from './tenancy-operations.ts'
import type { TenantRecord } from './tenants/directory.ts'
import type { TenantChange } from './tenants/input.ts'
import { assertServing } from './tenants/life.ts'
import { listTenants, type TenantPage, type TenantQuery } from './tenants/list.ts'
import { toTenantJson, type TenantJson } from './tenants/tenant-json.ts'
import type { TenancyUsage } from './usage/tenancy-usage.ts'

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
  const tenancy = new Tenancy(resolved, orm)
  tenancy.usage.start()
  return tenancy
}

/** A running tenancy: the way into tenants and the control plane, and the registry of tenants. */
export class Tenancy {
  readonly #options: ResolvedOptions
  readonly #orm: RuntimeOrm
  readonly #parts: Parts
  readonly #operations: TenancyOperations

  /** @internal Use {@link createTenancy}. */
  constructor(options: ResolvedOptions, orm: RuntimeOrm) {
    this.#options = options
    this.#orm = orm
    this.#parts = composeParts(options, orm)
    this.#operations = new TenancyOperations({
      records: this.#parts.records,
      row: slug => this.#parts.directory.row(slug),
      provision: (input, record) => this.#provision(input, record),
      operate: (slug, operation, given, record) => this.#operate(slug, operation, given, record),
      runAsActor: (actor, work) => this.runAsActor(actor, work),
      makesAdministrators: options.given.bootstrapAdmin !== undefined,
    })
  }

  /** What is done to tenants, while it is done and afterwards. */
  get operations(): TenancyOperations {
    return this.#operations
  }

  /** What changed, by whom and when: in the control plane and in each tenant. */
  get history(): TenancyHistory {
    return this.#parts.history
  }

  /** What each tenant takes, by day. @example await tenancy.usage.collect() */
  get usage(): TenancyUsage {
    return this.#parts.usage
  }

  /**
   * Runs work in a tenant. It nests; the outer context is restored however the work ends.
   *
   * @throws TENANT_INVALID, TENANT_NOT_FOUND, TENANT_NOT_READY, TENANT_SUSPENDED, TENANT_ARCHIVED, POOL_EXHAUSTED
   * @example await tenancy.run('acme', async () => em().count(Invoice), { actor })
   */
  async run<T>(slug: string, work: () => Promise<T>, options: RunOptions = {}): Promise<T> {
    return this.#parts.runs.run(await this.#parts.directory.enter(slug), work, options)
  }

  /** The same for a tenant that was found before; its status is checked here again. */
  async runInTenant<T>(tenant: TenantRecord, work: () => Promise<T>, options: RunOptions = {}): Promise<T> {
    assertServing(tenant.ref.slug, tenant.status, tenant.migratingUntil)
    return this.#parts.runs.run(tenant, work, options)
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
    const record = await this.#parts.directory.enter(slug)
    const unit = await this.#parts.runs.open(record, options)
    // It may be held for hours: whether the tenant serves, and is the same one still, is looked at again for each run.
    const stillServes = async () => {
      const { ref } = await this.#parts.directory.enter(slug)
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
    const record = await this.#parts.directory.find(tenant.slug)
    // A slug is free again after purging: the same name may be somebody else by now.
    if (record === undefined || record.ref.id !== tenant.id) throw new TenantNotFoundError(tenant.slug)
    assertServing(record.ref.slug, record.status, record.migratingUntil)
    // Nobody's actor is inherited: the one handed over acts, or none does.
    return this.#parts.runs.run(record, work, { actor, requestId }, { inherits: false })
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
    return this.#parts.runs.runAsActor(actor, work, options)
  }

  /** The tenant of a slug, whatever its status, or `undefined`. */
  find(slug: string): Promise<TenantRecord | undefined> {
    return this.#parts.directory.find(slug)
  }

  /** @throws TENANT_NOT_READY, TENANT_SUSPENDED, TENANT_ARCHIVED */
  assertServing(tenant: TenantRecord): void {
    assertServing(tenant.ref.slug, tenant.status, tenant.migratingUntil)
  }

  /** Records that a global actor enters a tenant by its own choice. @internal Called by `tenantMiddleware`. */
  entered(actor: Actor, tenant: TenantRef, requestId: string | undefined): Promise<void> {
    return this.#parts.events.entered(actor, tenant, requestId)
  }

  /** A page of the registry: live tenants, or those of a status. @throws VALIDATION_FAILED */
  listTenants(query: TenantQuery = {}): Promise<TenantPage> {
    return listTenants(this.#orm.control(), query)
  }

  /** @throws TENANT_INVALID, TENANT_NOT_FOUND */
  async showTenant(slug: string): Promise<TenantJson> {
    const row = await this.#parts.directory.row(parseSlug(slug))
    if (row === undefined) throw new TenantNotFoundError(slug)
    return toTenantJson(row)
  }

  /**
   * Creates a tenant, provisioned, migrated and seeded: it is `ready` when this returns.
   *
   * @throws VALIDATION_FAILED, RESERVED_NAME, SLUG_TAKEN, ALIAS_TAKEN, SCHEMA_TAKEN, PROVISIONING_FAILED, OPERATION_CONFLICT, NO_ACTOR
   */
  async provision(input: ProvisionInput): Promise<TenantJson> {
    return this.#provision(input, this.#parts.records.open('provision'))
  }

  async #provision(input: ProvisionInput, record: OperationRecord): Promise<TenantJson> {
    return this.#parts.events.operation('provision', input.slug, async () => {
      const row = await this.#parts.registry.create(input, record)
      const failures = await this.#parts.operations.notify('provisioned', row)
      if (failures.length > 0) await record.result({ hook_failures: failures })
      return toTenantJson(row)
    })
  }

  /** Changes a tenant's name, metadata or secrets. @throws VALIDATION_FAILED, TENANT_NOT_FOUND, CONFLICT, INVALID_STATE */
  async updateTenant(slug: string, change: TenantChange): Promise<TenantJson> {
    const fields = Object.keys(change).filter(name => change[name as keyof TenantChange] !== undefined)
    const name = fields.some(field => field.endsWith('onnectionString')) ? 'rotate_secret' : 'update'
    return this.#parts.events.operation(name, slug, async () => toTenantJson(await this.#parts.registry.update(parseSlug(slug), change)), {
      fields,
    })
  }

  /** Archives a tenant: it is refused to everyone, and all its data is kept. @throws INVALID_STATE */
  async archive(slug: string): Promise<TenantJson> {
    return this.#parts.events.operation('archive', slug, async () => {
      const row = await this.#parts.registry.archive(parseSlug(slug), this.#parts.records.open('archive'))
      await this.#parts.operations.notify('archived', row)
      return toTenantJson(row)
    })
  }

  /**
   * Runs an operation by name.
   *
   * @throws UNKNOWN_OPERATION, INVALID_STATE, CONFIRMATION_REQUIRED, OPERATION_CONFLICT, PROVISIONING_FAILED
   */
  async operate(slug: string, operation: string, options: OperationOptions = {}): Promise<OperationReport> {
    return this.#operate(slug, operation, options, this.#parts.records.open(operation))
  }

  async #operate(slug: string, operation: string, options: OperationOptions, record: OperationRecord): Promise<OperationReport> {
    const name = operationOf(operation)
    if (!isSlug(slug)) parseSlug(slug)
    const started = new Date()
    const perform = () => this.#parts.operations.perform(slug, name, options, record)
    const { failures, result } = await this.#parts.events.operation(name, slug, perform)
    const tenant = await this.showTenant(slug)
    const told = failures.length > 0 ? { ...result, hook_failures: failures } : result
    if (failures.length > 0) await record.result(told)
    const times = { started_at: started.toISOString(), finished_at: new Date().toISOString() }
    return { operation: { id: record.id, name: operation, status: 'succeeded', tenant: slug, ...times, result: told }, tenant }
  }

  /**
   * Applies both scopes to everything, or what the options choose. One failing tenant does not stop the others. Where there is nothing to do,
   * that is found out by one query.
   *
   * @throws VALIDATION_FAILED, TENANT_NOT_FOUND, DESTRUCTIVE_MIGRATION, MIGRATION_FAILED in the control plane, MIGRATION_INTERRUPTED
   */
  async migrate(options: MigrateOptions = {}): Promise<MigrateReport> {
    return this.#parts.fleet.migrate(options)
  }

  /** Plans, states and runs of the migrations of all tenants. @example await tenancy.fleet.status() */
  get fleet(): Fleet {
    return this.#parts.fleet
  }

  /** Whether anything is pending, in the control plane or in a tenant that serves. */
  pendingMigrations(): Promise<boolean> {
    return this.#parts.fleet.pending()
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
    return this.#parts.fleet.targets()
  }

  /**
   * Writes a migration file from the changes of the entities; `undefined` when nothing changed.
   *
   * @throws VALIDATION_FAILED, CONFIGURATION_INVALID, DESTRUCTIVE_MIGRATION if data would be lost and that is not allowed
   */
  createMigration(scope: 'shared' | 'tenant', name: string, options: CreateFileOptions = {}): Promise<string | undefined> {
    return this.#parts.migrations.createFile(scope, name, options)
  }

  /**
   * The statements that {@link createMigration} would write, and those that would revert them. Writes nothing, needs no database. With options,
   * it is refused as that would be.
   *
   * @throws CONFIGURATION_INVALID, DESTRUCTIVE_MIGRATION
   */
  planMigration(
    scope: 'shared' | 'tenant',
    options?: CreateFileOptions,
  ): Promise<{ readonly up: readonly string[]; readonly down: readonly string[] }> {
    return this.#parts.migrations.planFile(scope, options)
  }

  /** What is wrong or doubtful about this installation; an empty control plane is a warning, not an error. */
  check(): Promise<readonly CheckFinding[]> {
    return this.#parts.diagnosis.check()
  }

  /** What is wrong around this installation: on the server, in the catalog, between the registry and what it speaks of. */
  doctor(): Promise<readonly CheckFinding[]> {
    return this.#parts.diagnosis.doctor()
  }

  /**
   * Compares the tables of each tenant with what its migrations make of an empty schema, in batches. Nothing is changed.
   *
   * @throws TENANT_NOT_FOUND
   * @example const { tenants } = await tenancy.drift() // those that differ, object by object
   */
  drift(options: DriftOptions = {}): Promise<DriftReport> {
    return this.#parts.diagnosis.drift(options)
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
    const [databases, directory] = [this.#parts.connections.statistics(), this.#parts.directory.statistics()]
    return { leases: this.#parts.runs.leases, ...this.#orm.statistics(), databases, directory }
  }

  /** Closes every connection, then what `options.close` closes. */
  async close(): Promise<void> {
    await this.#operations.settled()
    try {
      await this.#parts.usage.close()
      await this.#parts.directory.close()
      await this.#parts.fleet.close()
      await this.#parts.migrations.close()
      await this.#parts.connections.close()
      await this.#orm.close()
    } finally {
      // Whatever broke above, a server that this process started must not stay behind.
      await this.#options.given.close?.()
    }
  }
}
