/** The driver of the control plane in a running application: what it writes is attributed. */
import { QueryFlag } from '@mikro-orm/postgresql'
import type { Row } from '../audit/attribution.ts'
import { AuditedQueryBuilder } from '../audit/audited-query-builder.ts'
import { cloneRow, deleteRows, insertRow, insertRows, updateEachRow, updateRows, type BaseWrites } from '../audit/audited-writes.ts'
import { ControlDriver } from '../connections/control-driver.ts'
import type { DriverOptions } from '../connections/internals.ts'

export class AuditedControlDriver extends ControlDriver {
  /** @throws NO_TENANT_CONTEXT for every tenant entity. */
  override createQueryBuilder(...args: Parameters<ControlDriver['createQueryBuilder']>): ReturnType<ControlDriver['createQueryBuilder']> {
    const [entityName, transaction, type, convertCustomTypes, loggerContext, alias, em] = args
    const connectionType = em === undefined ? this.resolveConnectionType({ ctx: transaction, connectionType: type }) : type
    const builder = new AuditedQueryBuilder(entityName, this.metadata, this, transaction, alias, connectionType, em, loggerContext)
    if (convertCustomTypes !== true) builder.unsetFlag(QueryFlag.CONVERT_CUSTOM_TYPES)
    this.getSchemaName(builder.mainAlias.meta)
    return builder
  }

  override async nativeInsert(entityName: unknown, row: Row, options?: DriverOptions): Promise<unknown> {
    return insertRow(this, entityName, row, options, this.baseWrites(entityName))
  }

  override async nativeInsertMany(entityName: unknown, rows: readonly Row[], options?: DriverOptions): Promise<unknown> {
    return insertRows(this, entityName, rows, options, this.baseWrites(entityName))
  }

  override async nativeUpdate(entityName: unknown, where: unknown, row: Row, options?: DriverOptions): Promise<unknown> {
    return updateRows(this, entityName, where, row, options, this.baseWrites(entityName))
  }

  override async nativeUpdateMany(
    entityName: unknown,
    where: readonly unknown[],
    rows: readonly Row[],
    options?: DriverOptions,
  ): Promise<unknown> {
    return updateEachRow(this, entityName, where, rows, options, this.baseWrites(entityName))
  }

  override async nativeDelete(entityName: unknown, where: unknown, options?: DriverOptions): Promise<unknown> {
    return deleteRows(this, entityName, where, options, this.baseWrites(entityName))
  }

  override async nativeClone(entityName: unknown, where: unknown, overrides?: Row, options?: DriverOptions): Promise<unknown> {
    return cloneRow(this, entityName, where, overrides, options, this.baseWrites(entityName))
  }

  private baseWrites(entity: unknown): BaseWrites {
    // A tenant's entity is refused before anyone asks who acts.
    this.getSchemaName(this.metadata.find(entity))
    return {
      insert: (row, options) => super.nativeInsert(entity, row, options),
      insertMany: (rows, options, transform) => super.nativeInsertMany(entity, rows, options, transform),
      update: (where, row, options) => super.nativeUpdate(entity, where, row, options),
      updateMany: (where, rows, options, transform) => super.nativeUpdateMany(entity, where, rows, options, transform),
      delete: (where, options) => super.nativeDelete(entity, where, options),
      clone: (where, overrides, options) => super.nativeClone(entity, where, overrides, options),
    }
  }
}
