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
import { SCOPE, marksOf, planeOf } from '../classification/scope.ts'
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
import { CrossDatabaseQueryError, CrossTenantEntityError, NoTenantContextError } from '../errors.ts'
import { SHARED_SCHEMA } from '../naming.ts'

let units = 0

export class TenantDriver extends BaseDriver {
  declare readonly tenant: TenantRef
  declare readonly control: ControlDriver
  /** MikroORM finds the EntityManager of a transaction by name: one of its own per run keeps runs apart. */
  declare readonly contextName: string
  declare ended: boolean

  /** A driver for one run in one tenant. It shares everything with the control plane's driver but the schema and, maybe, the connection. */
  static forRun(control: ControlDriver, tenant: TenantRef, connection: ConnectionInternals): TenantDriver {
    units = (units + 1) % Number.MAX_SAFE_INTEGER
    const fields = { tenant, control, connection, replicas: [], contextName: `tenant:${tenant.id}:${units}`, ended: false }
    return Object.assign(Object.create(TenantDriver.prototype) as TenantDriver, control, fields)
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
      this.refuseSchema(options?.schema)
      return this.tenant.schema
    }
    this.refuseUnreadable(meta)
    return super.getSchemaName(meta)
  }

  override createQueryBuilder(...args: Parameters<DriverInternals['createQueryBuilder']>): QueryBuilderInternals {
    this.assertActive()
    const builder = super.createQueryBuilder(...args)
    const { meta } = builder.mainAlias
    if (planeOf(meta) === 'tenant') return this.pin(builder, this.tenant.schema, meta)
    this.refuseUnreadable(meta)
    if (this.tenant.isolation === 'schema') return this.pin(builder, meta.schema!, meta)
    const [entityName, , type, convertCustomTypes, loggerContext, alias, em] = args
    return this.pin(
      this.control.createQueryBuilder(entityName, undefined, type, convertCustomTypes, loggerContext, alias, em),
      meta.schema!,
      meta,
    )
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
  private controlFor(entityName: unknown): ControlDriver | undefined {
    this.assertActive()
    if (this.tenant.isolation === 'schema') return undefined
    const meta = this.metadata.find(entityName)
    if (meta === undefined || planeOf(meta) === 'tenant') return undefined
    this.refuseUnreadable(meta)
    return this.control
  }

  private refuseSchema(schema: string | null | undefined): void {
    if (schema != null && schema !== '*' && schema !== this.tenant.schema) {
      throw new CrossTenantEntityError(
        `The schema ${JSON.stringify(schema)} was asked for in tenant "${this.tenant.slug}", whose schema is "${this.tenant.schema}".`,
        'Drop the schema option: the EntityManager knows its tenant. To work in another tenant, open a run there: tenancy.run(slug, work).',
      )
    }
  }

  /** The control plane's half of a both entity (its users, for one) is not a tenant's to read. */
  private refuseUnreadable(meta: EntityMetadata): void {
    if (marksOf(meta)[SCOPE] === 'both') {
      throw new CrossTenantEntityError(
        `${meta.className} is the control plane's half of a both entity, and tenant "${this.tenant.slug}" is active.`,
        'Use the tenant half here; the shared half is reached by controlEm() under runAsSystem or as a global actor.',
      )
    }
  }

  private refuseWrite(entityName: unknown): void {
    const meta = this.metadata.find(entityName)
    if (meta !== undefined && planeOf(meta) === 'shared') refuseSharedWrite(meta.className, this.tenant.slug)
  }

  /** Fixes a query builder, and every clone of it, to its schema; over a shared table it can only read. */
  private pin(builder: QueryBuilderInternals, schema: string, meta: EntityMetadata): QueryBuilderInternals {
    const withSchema = builder.withSchema.bind(builder)
    const clone = builder.clone.bind(builder)
    const from = builder.from.bind(builder)
    withSchema(schema)
    builder.withSchema = (asked?: string) => {
      if (planeOf(meta) === 'tenant') this.refuseSchema(asked)
      else if (asked != null && asked !== schema) refuseSharedSchema(meta.className, asked)
      return withSchema(schema)
    }
    builder.clone = (...args) => this.pin(clone(...args), schema, meta)
    builder.from = (...args) => {
      const result = from(...args)
      if (planeOf(builder.mainAlias.meta) !== planeOf(meta)) refuseSharedSchema(builder.mainAlias.meta.className, schema)
      return result
    }
    if (this.tenant.isolation === 'database' && planeOf(meta) === 'tenant') refuseSharedJoins(builder)
    if (planeOf(meta) === 'shared') {
      const refuse = () => refuseSharedWrite(meta.className, this.tenant.slug)
      Object.assign(builder, { insert: refuse, update: refuse, delete: refuse, truncate: refuse })
    }
    return builder
  }
}

/** The driver of an EntityManager if it belongs to a tenant. */
export function tenantDriverOf(manager: EntityManager): TenantDriver | undefined {
  const driver: unknown = manager.getDriver()
  return driver instanceof TenantDriver ? driver : undefined
}

/** @throws CROSS_TENANT_ENTITY */
export function refuseSharedWrite(entity: string, slug: string): never {
  throw new CrossTenantEntityError(
    `${entity} is a shared entity, and tenant "${slug}" is active: a tenant reads it and never writes it.`,
    'Write it through controlEm(), under tenancy.runAsSystem(name, work) or as a global actor with the permission.',
  )
}

function refuseSharedSchema(entity: string, schema: string): never {
  throw new CrossTenantEntityError(
    `${entity} does not stand in the schema ${JSON.stringify(schema)}.`,
    'Drop the schema: it follows from the entity.',
  )
}

/** Shared tables stand in another database than the tenant's: a join would fail in PostgreSQL, and here it says why. */
function refuseSharedJoins(builder: QueryBuilderInternals): void {
  const toQuery = builder.toQuery.bind(builder)
  builder.toQuery = () => {
    const query = toQuery()
    for (const { prop, schema } of Object.values(builder.state.joins)) {
      if (schema === SHARED_SCHEMA) throw new CrossDatabaseQueryError(prop.targetMeta?.className ?? prop.name)
    }
    return query
  }
}

/** Options for a query on another connection: the tenant's transaction and schema stay behind. */
function outside(options: DriverOptions | undefined): DriverOptions {
  const { ctx: _transaction, schema: _schema, ...rest } = options ?? {}
  return rest
}
