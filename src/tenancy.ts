/** The composition root: puts directory, strategies, migrations and registry together, and is all that an application holds. */
import type { EntityManager } from '@mikro-orm/postgresql'
import { checkPassword } from './auth/password.ts'
import { ConnectionRegistry } from './connections/connection-registry.ts'
import type { GuardedConnection } from './connections/guarded-connection.ts'
import { currentContext, runInContext, type Actor, type TenantRef } from './context/context.ts'
import { TenantNotFoundError, UnknownOperationError, ValidationFailedError } from './errors.ts'
import { checkTenancy, type CheckFinding } from './check.ts'
import { FleetMigration, type MigrateOptions, type MigrateReport } from './fleet.ts'
import { newId } from './ids.ts'
import { Migrations } from './migrations/migrations.ts'
import type { MigrationTarget } from './migrations/runner.ts'
import { isSlug, parseSlug } from './naming.ts'
import { resolveOptions, type AdminInput, type ResolvedOptions, type TenancyHooks, type TenancyOptions } from './options.ts'
import { reasonOf } from './provisioning/steps.ts'
import { TenantRegistry } from './provisioning/tenant-registry.ts'
import { DatabaseStrategy } from './strategies/database-strategy.ts'
import type { IsolationStrategy } from './strategies/isolation-strategy.ts'
import { CONTROL_WRITE_PERMISSION } from './strategies/reading-control-driver.ts'
import { RuntimeOrm } from './strategies/runtime-orm.ts'
import { SchemaStrategy } from './strategies/schema-strategy.ts'
import type { HookFailure, OperationOptions, OperationReport, Performed, ProvisionInput, RunOptions } from './tenancy-types.ts'
import { TenantDirectory, recordOf, type TenantRecord, type TenantRow } from './tenants/directory.ts'
import { REGISTRY_ENTITIES } from './tenants/entities.ts'
import type { TenantChange } from './tenants/input.ts'
import { OPERATIONS, assertServing, type OperationName } from './tenants/life.ts'
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
  const orm = await RuntimeOrm.create({ entities: resolved.entities, url: resolved.url, pool: resolved.sharedPool })
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
  readonly #fleet: FleetMigration
  #leases = 0

  /** @internal Use {@link createTenancy}. */
  constructor(options: ResolvedOptions, orm: RuntimeOrm) {
    this.#options = options
    this.#orm = orm
    this.#connections = new ConnectionRegistry({ max: options.maxTenants, waitMs: options.waitMs })
    this.#migrations = new Migrations({
      entities: options.entities,
      frameworkEntities: [...REGISTRY_ENTITIES],
      directUrl: options.directUrl,
      path: options.given.migrations.path,
      metadata: () => orm.metadata(),
    })
    this.#directory = new TenantDirectory(() => orm.control())
    this.#strategies = {
      schema: new SchemaStrategy(orm, options.directUrl),
      database: new DatabaseStrategy({
        orm,
        keyRing: options.keyRing,
        connections: this.#connections,
        pool: options.tenantPool,
        provisioningUrl: options.provisioningUrl,
        controlUrl: options.directUrl,
        runtimeUrl: options.url,
        prefix: options.prefix,
      }),
    }
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
      inside: (record, actor, work) => this.#enter(record, work, { actor }),
      seed: given.seed && (async tenant => given.seed?.(tenant)),
      checkPassword,
      bootstrapAdmin: given.bootstrapAdmin && (async input => given.bootstrapAdmin?.(input)),
    })
    this.#fleet = new FleetMigration({
      control: () => orm.control(),
      migrations: this.#migrations,
      registry: this.#registry,
      prefix: options.prefix,
    })
  }

  /**
   * Runs work in a tenant. It nests; the outer context is restored however the work ends.
   *
   * @throws TENANT_INVALID, TENANT_NOT_FOUND, TENANT_NOT_READY, TENANT_SUSPENDED, TENANT_ARCHIVED, POOL_EXHAUSTED
   * @example await tenancy.run('acme', async () => em().count(Invoice), { actor })
   */
  async run<T>(slug: string, work: () => Promise<T>, options: RunOptions = {}): Promise<T> {
    return this.#enter(await this.#directory.enter(slug), work, options)
  }

  /** The same for a tenant that was found before; its status is checked here again. */
  async runInTenant<T>(tenant: TenantRecord, work: () => Promise<T>, options: RunOptions = {}): Promise<T> {
    assertServing(tenant.ref.slug, tenant.status)
    return this.#enter(tenant, work, options)
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
    const requestId = options.requestId ?? currentContext()?.requestId
    return runInContext({ tenant: undefined, actor, em: undefined, control: this.#controlFor(actor), requestId }, async () => work())
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
    await this.#notify('provisioned', row)
    return toTenantJson(row)
  }

  /** Changes a tenant's name, metadata or secrets. @throws VALIDATION_FAILED, TENANT_NOT_FOUND, CONFLICT, INVALID_STATE */
  async updateTenant(slug: string, change: TenantChange): Promise<TenantJson> {
    return toTenantJson(await this.#registry.update(parseSlug(slug), change))
  }

  /** Archives a tenant: it is refused to everyone, and all its data is kept. @throws INVALID_STATE */
  async archive(slug: string): Promise<TenantJson> {
    const row = await this.#registry.archive(parseSlug(slug))
    await this.#notify('archived', row)
    return toTenantJson(row)
  }

  /**
   * Runs an operation by name.
   *
   * @throws UNKNOWN_OPERATION, INVALID_STATE, CONFIRMATION_REQUIRED, OPERATION_CONFLICT, PROVISIONING_FAILED
   */
  async operate(slug: string, operation: string, options: OperationOptions = {}): Promise<OperationReport> {
    if (!(OPERATIONS as readonly string[]).includes(operation)) throw new UnknownOperationError(operation, OPERATIONS)
    if (!isSlug(slug)) parseSlug(slug)
    const started = new Date()
    const { failures, result } = await this.#perform(slug, operation as OperationName, options)
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
      if (record !== undefined) await this.#call(hook => hook.migrated?.({ tenant: record.ref, migrations: outcome.names }))
    }
    return report
  }

  /** Whether anything is pending, in the control plane or in a tenant that serves. */
  pendingMigrations(): Promise<boolean> {
    return this.#fleet.pending()
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
    return checkTenancy({ options: this.#options, migrations: this.#migrations, control: () => this.#orm.control() })
  }

  /** @throws what the database says when it does not answer */
  ping(): Promise<void> {
    return this.#orm.ping()
  }

  /** What is open and in use now. */
  stats(): {
    readonly leases: number
    readonly shared: { open: number; idle: number; waiting: number }
    readonly databases: ReturnType<ConnectionRegistry<GuardedConnection>['statistics']>
  } {
    return { leases: this.#leases, shared: this.#orm.statistics(), databases: this.#connections.statistics() }
  }

  /** Closes every connection, then what `options.close` closes. */
  async close(): Promise<void> {
    try {
      await this.#migrations.close()
      await this.#connections.close()
      await this.#orm.close()
    } finally {
      // Whatever broke above, a server that this process started must not stay behind.
      await this.#options.given.close?.()
    }
  }

  async #perform(slug: string, operation: OperationName, options: OperationOptions): Promise<Performed> {
    switch (operation) {
      case 'provision':
      case 'provision_and_migrate':
      case 'retry': {
        const { row, applied } = await this.#registry.provision(slug, operation, options.admin)
        if (applied === undefined) return { failures: await this.#notify('provisioned', row), result: {} }
        return { failures: await this.#notifyMigrated(row, applied), result: { applied } }
      }
      case 'migrate': {
        const { row, applied } = await this.#registry.migrate(slug)
        return { failures: await this.#notifyMigrated(row, applied), result: { applied } }
      }
      case 'bootstrap_admin':
        await this.#registry.bootstrapAdmin(slug, required(options.admin))
        return { failures: [], result: {} }
      case 'suspend':
        return { failures: await this.#notify('suspended', await this.#registry.suspend(slug)), result: {} }
      case 'resume':
        return { failures: await this.#notify('resumed', await this.#registry.resume(slug)), result: {} }
      case 'restore':
        return { failures: await this.#notify('restored', await this.#registry.restore(slug)), result: {} }
      case 'purge': {
        const { row, dropped } = await this.#registry.purge(slug, options.confirm)
        return { failures: await this.#notify('purged', row), result: { dropped } }
      }
    }
  }

  async #enter<T>(record: TenantRecord, work: () => Promise<T>, options: RunOptions): Promise<T> {
    const outer = currentContext()
    const actor = options.actor ?? inheritedActor(outer?.actor, outer?.tenant, record.ref)
    const lease = await this.#strategies[record.ref.isolation].connect(record)
    this.#leases++
    try {
      const requestId = options.requestId ?? outer?.requestId
      return await runInContext({ tenant: record.ref, actor, em: lease.em, control: this.#controlFor(actor), requestId }, async () =>
        work(),
      )
    } finally {
      this.#leases--
      lease.end()
    }
  }

  #controlFor(actor: Actor | undefined): (() => EntityManager) | undefined {
    if (actor === undefined || actor.plane === 'tenant') return undefined
    const writes = actor.plane === 'system' || actor.permissions?.has(CONTROL_WRITE_PERMISSION) === true
    return () => (writes ? this.#orm.control() : this.#orm.readingControl())
  }

  #notify(event: 'provisioned' | 'suspended' | 'resumed' | 'archived' | 'restored' | 'purged', row: TenantRow): Promise<HookFailure[]> {
    return this.#call(hook => hook[event]?.({ tenant: recordOf(row).ref }))
  }

  async #notifyMigrated(row: TenantRow, migrations: readonly string[]): Promise<HookFailure[]> {
    return migrations.length === 0 ? [] : this.#call(hook => hook.migrated?.({ tenant: recordOf(row).ref, migrations }))
  }

  /** What happened has happened: a hook that throws is told, and the others are called all the same. */
  async #call(work: (hook: TenancyHooks) => Promise<void> | undefined): Promise<HookFailure[]> {
    const failures: HookFailure[] = []
    for (const hook of this.#options.hooks) {
      try {
        await work(hook)
      } catch (error) {
        const failure = { name: hook.name, message: reasonOf(error) }
        failures.push(failure)
        process.emitWarning(`The hook "${failure.name}" failed: ${failure.message}`, { code: 'TENANTKIT_HOOK_FAILED' })
      }
    }
    return failures
  }
}

/** A local user acts in the own tenant only; everyone else is still the same one tenant further. */
function inheritedActor(actor: Actor | undefined, from: TenantRef | undefined, to: TenantRef): Actor | undefined {
  return actor?.plane === 'tenant' && from?.id !== to.id ? undefined : actor
}

function required(admin: AdminInput | undefined): AdminInput {
  if (admin === undefined) throw new ValidationFailedError([{ path: 'admin', message: 'is required' }])
  return admin
}
