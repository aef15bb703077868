/**
 * The driver of one tenant in one run or request: the only object through which a tenant's tables are reached, and it knows one schema.
 *
 * Whatever an EntityManager, a repository, a collection or a query builder asks for goes through the methods below, so that no option,
 * assignment or clone can name another schema, and no entity manager outlives its run. In a database of the tenant's own it also sends
 * reads of shared entities to the control plane.
 *
 * Its objects are made by copying the control plane's driver, not by a constructor: hence `private`, not `#`.
 */
import type { EntityManager, EntityMetadata } from '@mikro-orm/postgresql'
import { planeOf } from '../classification/scope.ts'
import type { ControlDriver } from '../connections/control-driver.ts'
import {
  BaseDriver,
  type ConnectionInternals,
  type DriverInternals,
  type DriverOptions,
  type QueryBuilderInternals,
  type SchemaOptions,
} from '../connections/internals.ts'
import { currentContext, type TenantRef } from '../context/context.ts'
import { CrossTenantEntityError, NoTenantContextError } from '../errors.ts'
import { pinQueryBuilder, refuseOtherSchema, refuseSharedWrite } from './pinned-query-builder.ts'
import { SharedReadingDriver } from './shared-reading-driver.ts'

let units = 0

export class TenantDriver extends BaseDriver {
  declare readonly tenant: TenantRef
  /** Shared entities, for reading. */
  declare readonly shared: SharedReadingDriver
  /** MikroORM finds the EntityManager of a transaction by name: one of its own per run keeps runs apart. */
  declare readonly contextName: string
  declare ended: boolean
  /** Transactions that were begun by hand, by their EntityManager: a run that ends takes them with it. */
  declare readonly transactions: Map<EntityManager, unknown>

  /** A driver for one run in one tenant. It shares everything with the control plane's driver but the schema and, maybe, the connection. */
  static forRun(control: ControlDriver, tenant: TenantRef, connection: ConnectionInternals): TenantDriver {
    units = (units + 1) % Number.MAX_SAFE_INTEGER
    const fields = {
      tenant,
      transactions: new Map(),
      connection,
      replicas: [],
      contextName: `tenant:${tenant.id}:${units}`,
      ended: false,
    }
    const driver = Object.assign(Object.create(TenantDriver.prototype) as TenantDriver, control, fields)
    return Object.assign(driver, { shared: SharedReadingDriver.forRun(control, driver) })
  }

  /** Ends the run: nothing is reached through this driver any more, and transactions left open are rolled back. */
  end(): void {
    this.ended = true
    for (const transaction of this.transactions.values()) {
      // A connection that is gone has rolled back already.
      this.connection.rollback(transaction).catch(() => undefined)
    }
    this.transactions.clear()
  }

  /**
   * Refuses use after the run has ended, and in any other context than this tenant's.
   *
   * @throws NO_TENANT_CONTEXT, CROSS_TENANT_ENTITY
   */
  assertActive(): void {
    if (this.ended) {
      throw new NoTenantContextError(
        `The run or request in tenant "${this.tenant.slug}" that this EntityManager belongs to has ended.`,
        'Await everything before the run ends, or open a run of your own: tenancy.run(slug, work).',
      )
    }
    const active = currentContext()?.tenant
    if (active === undefined) {
      throw new NoTenantContextError(
        `An EntityManager of tenant "${this.tenant.slug}" is used where no tenant is active.`,
        'The callback lost its context: wrap it in bindContext(callback), or work inside tenancy.run(slug, work).',
      )
    }
    if (active.id !== this.tenant.id) {
      throw new CrossTenantEntityError(
        `An EntityManager (or an entity) of tenant "${this.tenant.slug}" is used while tenant "${active.slug}" is active.`,
        'Take the EntityManager of the active tenant from em(), and load the entity there.',
      )
    }
  }

  override getConnection(): ConnectionInternals {
    this.assertActive()
    return this.connection
  }

  override execute(...args: Parameters<DriverInternals['execute']>): Promise<unknown> {
    this.assertActive()
    return super.execute(...args)
  }

  /** @throws CROSS_TENANT_ENTITY */
  override getSchemaName(meta?: EntityMetadata, options?: SchemaOptions): string | undefined {
    if (meta === undefined) return this.tenant.schema
    if (planeOf(meta) === 'tenant') {
      refuseOtherSchema(options?.schema, this.tenant)
      return this.tenant.schema
    }
    return super.getSchemaName(meta)
  }

  override createQueryBuilder(...args: Parameters<DriverInternals['createQueryBuilder']>): QueryBuilderInternals {
    this.assertActive()
    const builder = super.createQueryBuilder(...args)
    const { meta } = builder.mainAlias
    if (planeOf(meta) === 'tenant' || this.tenant.isolation === 'schema') return pinQueryBuilder(builder, this)
    const [entityName, , type, convertCustomTypes, loggerContext, alias, em] = args
    return this.shared.createQueryBuilder(entityName, undefined, type, convertCustomTypes, loggerContext, alias, em)
  }

  override find(entityName: unknown, where: unknown, options?: DriverOptions): Promise<unknown[]> {
    const elsewhere = this.controlFor(entityName)
    return elsewhere === undefined ? super.find(entityName, where, options) : elsewhere.find(entityName, where, outside(options))
  }

  override findOne(entityName: unknown, where: unknown, options?: DriverOptions): Promise<unknown> {
    const elsewhere = this.controlFor(entityName)
    return elsewhere === undefined ? super.findOne(entityName, where, options) : elsewhere.findOne(entityName, where, outside(options))
  }

  override count(entityName: unknown, where: unknown, options?: DriverOptions): Promise<number> {
    const elsewhere = this.controlFor(entityName)
    return elsewhere === undefined ? super.count(entityName, where, options) : elsewhere.count(entityName, where, outside(options))
  }

  override stream(entityName: unknown, where: unknown, options: DriverOptions): AsyncIterableIterator<unknown> {
    const elsewhere = this.controlFor(entityName)
    return elsewhere === undefined ? super.stream(entityName, where, options) : elsewhere.stream(entityName, where, outside(options))
  }

  /** In a database of its own a tenant cannot join shared tables: they are populated by one query by ids instead. */
  override joinedProps(meta: EntityMetadata, populate: readonly { field: string }[], options?: unknown): { field: string }[] {
    const joined = super.joinedProps(meta, populate, options)
    if (this.tenant.isolation === 'schema') return joined
    return joined.filter(({ field }) => {
      const target = meta.properties[field.split(':')[0]!]?.targetMeta
      return target === undefined || planeOf(target) === 'tenant'
    })
  }

  override nativeInsert(entityName: unknown, ...rest: unknown[]): Promise<unknown> {
    this.refuseWrite(entityName)
    return super.nativeInsert(entityName, ...rest)
  }

  override nativeInsertMany(entityName: unknown, ...rest: unknown[]): Promise<unknown> {
    this.refuseWrite(entityName)
    return super.nativeInsertMany(entityName, ...rest)
  }

  override nativeUpdate(entityName: unknown, ...rest: unknown[]): Promise<unknown> {
    this.refuseWrite(entityName)
    return super.nativeUpdate(entityName, ...rest)
  }

  override nativeUpdateMany(entityName: unknown, ...rest: unknown[]): Promise<unknown> {
    this.refuseWrite(entityName)
    return super.nativeUpdateMany(entityName, ...rest)
  }

  override nativeDelete(entityName: unknown, ...rest: unknown[]): Promise<unknown> {
    this.refuseWrite(entityName)
    return super.nativeDelete(entityName, ...rest)
  }

  override nativeClone(entityName: unknown, ...rest: unknown[]): Promise<unknown> {
    this.refuseWrite(entityName)
    return super.nativeClone(entityName, ...rest)
  }

  /** The control plane's driver for a shared entity of a tenant that has a database of its own. */
  private controlFor(entityName: unknown): SharedReadingDriver | undefined {
    this.assertActive()
    if (this.tenant.isolation === 'schema') return undefined
    const meta = this.metadata.find(entityName)
    if (meta === undefined || planeOf(meta) === 'tenant') return undefined
    return this.shared
  }

  private refuseWrite(entityName: unknown): void {
    const meta = this.metadata.find(entityName)
    if (meta !== undefined && planeOf(meta) === 'shared') refuseSharedWrite(meta.className, this.tenant.slug)
  }
}

/** The driver of an EntityManager if it belongs to a tenant. */
export function tenantDriverOf(manager: EntityManager): TenantDriver | undefined {
  const driver: unknown = manager.getDriver()
  return driver instanceof TenantDriver ? driver : undefined
}

/** Options for a query on another connection: the tenant's transaction and schema stay behind. */
function outside(options: DriverOptions | undefined): DriverOptions {
  const { ctx: _transaction, schema: _schema, ...rest } = options ?? {}
  return rest
}
