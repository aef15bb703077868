/**
 * The driver of one tenant in one run or request: the only object through which a tenant's tables are reached, and it knows one schema.
 *
 * Whatever an EntityManager, a repository, a collection or a query builder asks for goes through the methods below, so that no option,
 * assignment or clone can name another schema, and no entity manager outlives its run. In a database of the tenant's own it also sends
 * reads of shared entities to the control plane.
 *
 * Its objects are made by copying the control plane's driver, not by a constructor: hence `private`, not `#`.
 */
import type { EntityManager, EntityMetadata, EventManager } from '@mikro-orm/postgresql'
import type { Row } from '../audit/attribution.ts'
import type { BulkWrite, RecordingDriver } from '../audit/bulk-write.ts'
import { cloneRow, deleteRows, insertRow, insertRows, updateEachRow, updateRows, type BaseWrites } from '../audit/audited-writes.ts'
import { planeOf } from '../classification/scope.ts'
import type { ControlDriver } from '../connections/control-driver.ts'
import {
  BaseDriver,
  type BindingConnection,
  type ConnectionInternals,
  type DriverInternals,
  type DriverOptions,
  type QueryBuilderInternals,
  type SchemaOptions,
} from '../connections/internals.ts'
import { currentContext, type TenantRef } from '../context/context.ts'
import { CrossTenantEntityError, HistoryAppendOnlyError, NoTenantContextError } from '../errors.ts'
import { historyOf, isAuditEvent } from '../history/audit-event.ts'
import { makeEventsOf, recordFlush, recordWrite } from '../history/flush-recording.ts'
import { parseIdentifier } from '../naming.ts'
import { pinnedQueryBuilder, refuseOtherSchema, refuseSharedWrite } from './pinned-query-builder.ts'
import { RunConnection } from './run-connection.ts'
import { selectByTemplate } from './select-templates.ts'
import { SharedReadingDriver } from './shared-reading-driver.ts'

let units = 0

export class TenantDriver extends BaseDriver implements RecordingDriver {
  declare readonly tenant: TenantRef
  declare readonly control: ControlDriver
  declare readonly events: EventManager
  declare sharedReading: SharedReadingDriver | undefined
  declare held: RunConnection | undefined
  /** MikroORM finds the EntityManager of a transaction by name: one of its own per run keeps runs apart. */
  declare readonly contextName: string
  declare ended: boolean

  /** A driver for one run in one tenant. It shares everything with the control plane's driver but the schema and, maybe, the connection. */
  static forRun(control: ControlDriver, tenant: TenantRef, connection: ConnectionInternals, events: EventManager): TenantDriver {
    units = (units + 1) % Number.MAX_SAFE_INTEGER
    const fields = {
      tenant,
      control,
      sharedReading: undefined,
      held: undefined,
      connection,
      events,
      replicas: [],
      contextName: `tenant:${tenant.id}:${units}`,
      ended: false,
    }
    return Object.assign(Object.create(TenantDriver.prototype) as TenantDriver, control, fields)
  }

  /** Shared entities, for reading. Made when it is first asked for: most runs never do. */
  get shared(): SharedReadingDriver {
    return (this.sharedReading ??= SharedReadingDriver.forRun(this.control, this))
  }

  /** Ends the run: nothing is reached through this driver any more, and what is still out is taken back. */
  end(): void {
    this.ended = true
    this.held?.end()
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

  override createEntityManager(useContext?: boolean): EntityManager {
    const Manager = this.config.get('entityManager') as unknown as new (...args: unknown[]) => EntityManager
    return new Manager(this.config, this, this.metadata, useContext, this.events)
  }

  /** As the run may have it: what is kept of it does nothing after the run. */
  override getConnection(): ConnectionInternals {
    this.assertActive()
    return (this.held ??= new RunConnection(this.connection, this)) as unknown as ConnectionInternals
  }

  override connect(): Promise<never> {
    return Promise.reject(this.notOneRuns('connect'))
  }

  override reconnect(): Promise<never> {
    return Promise.reject(this.notOneRuns('reconnect'))
  }

  override close(): Promise<never> {
    return Promise.reject(this.notOneRuns('close'))
  }

  override setMetadata(): never {
    throw this.notOneRuns('setMetadata')
  }

  /** Statements that MikroORM builds without a query builder (inserts, updates of many rows) come this way. */
  override async execute(
    ...[query, params, method, transaction, logger, connection]: Parameters<DriverInternals['execute']>
  ): Promise<unknown> {
    return super.execute(query, params, method, transaction, logger, connection ?? this.getConnection())
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
    if (this.tenant.isolation === 'schema' || planeOf(this.metadata.get(args[0])) === 'tenant') return pinnedQueryBuilder(this, this, args)
    const [entityName, , type, convertCustomTypes, loggerContext, alias, em] = args
    return this.shared.createQueryBuilder(entityName, undefined, type, convertCustomTypes, loggerContext, alias, em)
  }

  override find(entityName: unknown, where: unknown, options?: DriverOptions): Promise<unknown[]> {
    const elsewhere = this.controlFor(entityName)
    if (elsewhere !== undefined) return elsewhere.find(entityName, where, outside(options))
    return this.plainly(entityName, where, options, options?.limit) ?? super.find(entityName, where, options)
  }

  override findOne(entityName: unknown, where: unknown, options?: DriverOptions): Promise<unknown> {
    const elsewhere = this.controlFor(entityName)
    if (elsewhere !== undefined) return elsewhere.findOne(entityName, where, outside(options))
    return this.plainly(entityName, where, options, 1)?.then(([row]) => row ?? null) ?? super.findOne(entityName, where, options)
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

  override async nativeInsert(entityName: unknown, row: Row, options?: DriverOptions): Promise<unknown> {
    this.refuseWrite(entityName)
    return insertRow(this, entityName, row, options, this.baseWrites(entityName))
  }

  override async nativeInsertMany(entityName: unknown, rows: readonly Row[], options?: DriverOptions): Promise<unknown> {
    this.refuseWrite(entityName)
    return insertRows(this, entityName, rows, options, this.baseWrites(entityName))
  }

  override async nativeUpdate(entityName: unknown, where: unknown, row: Row, options?: DriverOptions): Promise<unknown> {
    this.refuseWrite(entityName)
    return updateRows(this, entityName, where, row, options, this.baseWrites(entityName))
  }

  override async nativeUpdateMany(
    entityName: unknown,
    where: readonly unknown[],
    rows: readonly Row[],
    options?: DriverOptions,
  ): Promise<unknown> {
    this.refuseWrite(entityName)
    return updateEachRow(this, entityName, where, rows, options, this.baseWrites(entityName))
  }

  override async nativeDelete(entityName: unknown, where: unknown, options?: DriverOptions): Promise<unknown> {
    this.refuseWrite(entityName)
    return deleteRows(this, entityName, where, options, this.baseWrites(entityName))
  }

  override async nativeClone(entityName: unknown, where: unknown, overrides?: Row, options?: DriverOptions): Promise<unknown> {
    this.refuseWrite(entityName)
    return cloneRow(this, entityName, where, overrides, options, this.baseWrites(entityName))
  }

  private baseWrites(entity: unknown): BaseWrites {
    return {
      insert: (row, options) => super.nativeInsert(entity, row, options),
      insertMany: (rows, options, transform) => super.nativeInsertMany(entity, rows, options, transform),
      update: (where, row, options) => super.nativeUpdate(entity, where, row, options),
      updateMany: (where, rows, options, transform) => super.nativeUpdateMany(entity, where, rows, options, transform),
      delete: (where, options) => super.nativeDelete(entity, where, options),
      clone: (where, overrides, options) => super.nativeClone(entity, where, overrides, options),
    }
  }

  private plainly(entityName: unknown, where: unknown, options: DriverOptions = {}, limit?: number): Promise<unknown[]> | undefined {
    const meta = this.metadata.find(entityName)
    return meta === undefined ? undefined : selectByTemplate(this, meta, where, options, limit)
  }

  /** Every flush that writes comes by here, in its transaction, after its inserts and updates. */
  override async syncCollections(...[collections, options]: Parameters<DriverInternals['syncCollections']>): Promise<void> {
    await super.syncCollections(collections, options)
    await recordFlush(parseIdentifier(this.tenant.schema), this.sendIn(options?.ctx))
  }

  /** @internal Whether writes of an entity are recorded. */
  recordsWrites(meta: EntityMetadata): boolean {
    return historyOf(meta) !== undefined
  }

  /** @internal Records a write that is no flush's, in its transaction. */
  async recordWrite(write: BulkWrite, affectedRows: number, transaction: unknown): Promise<void> {
    await recordWrite(parseIdentifier(this.tenant.schema), this.sendIn(transaction), write, affectedRows, transaction)
  }

  /** @internal Has the events of a flush's rows made while these are under way. */
  rowsSent(rows: readonly object[]): void {
    makeEventsOf(rows)
  }

  private sendIn(transaction: unknown) {
    const connection = this.getConnection() as unknown as BindingConnection
    return (sql: string, values: readonly unknown[]) => connection.executeBound(sql, values, transaction)
  }

  /** The control plane's driver for a shared entity of a tenant that has a database of its own. */
  private controlFor(entityName: unknown): SharedReadingDriver | undefined {
    this.assertActive()
    if (this.tenant.isolation === 'schema') return undefined
    const meta = this.metadata.find(entityName)
    if (meta === undefined || planeOf(meta) === 'tenant') return undefined
    return this.shared
  }

  /** The refusal of what would concern all tenants. */
  private notOneRuns(method: string): CrossTenantEntityError {
    return new CrossTenantEntityError(
      `${method}() of a driver concerns every run, and this one is of a run in tenant "${this.tenant.slug}".`,
      'Connections are opened when they are needed; tenancy.close() closes them.',
    )
  }

  private refuseWrite(entityName: unknown): void {
    // Before anyone asks who acts.
    this.assertActive()
    const meta = this.metadata.find(entityName)
    if (meta !== undefined && planeOf(meta) === 'shared') refuseSharedWrite(meta.className, this.tenant.slug)
    if (isAuditEvent(meta)) throw new HistoryAppendOnlyError()
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
