/** The control plane's driver of the running application: it records flushes and all other writes, and writes no history by any other way. */
import type { EntityMetadata } from '@mikro-orm/postgresql'
import type { Row } from '../audit/attribution.ts'
import type { BulkWrite, RecordingDriver } from '../audit/bulk-write.ts'
import type { BindingConnection, DriverInternals, DriverOptions } from '../connections/internals.ts'
import { HistoryAppendOnlyError } from '../errors.ts'
import { historyOf, isAuditEvent } from '../history/audit-event.ts'
import { makeEventsOf, recordFlush, recordWrite } from '../history/flush-recording.ts'
import { SHARED_SCHEMA } from '../naming.ts'
import { AuditedControlDriver } from './audited-control-driver.ts'

type Builder = ReturnType<AuditedControlDriver['createQueryBuilder']>

export class RecordingControlDriver extends AuditedControlDriver implements RecordingDriver {
  /** Every flush that writes comes by here, in its transaction, after its inserts and updates. */
  override async syncCollections(...[collections, options]: Parameters<DriverInternals['syncCollections']>): Promise<void> {
    await super.syncCollections(collections, options)
    await recordFlush(SHARED_SCHEMA, this.sendIn(options?.ctx))
  }

  /** @internal Whether writes of an entity are recorded. */
  recordsWrites(meta: EntityMetadata): boolean {
    return historyOf(meta) !== undefined
  }

  /** @internal Records a write that is no flush's, in its transaction. */
  async recordWrite(write: BulkWrite, affectedRows: number, transaction: unknown): Promise<void> {
    await recordWrite(SHARED_SCHEMA, this.sendIn(transaction), write, affectedRows, transaction)
  }

  override createQueryBuilder(...args: Parameters<AuditedControlDriver['createQueryBuilder']>): Builder {
    const builder = super.createQueryBuilder(...args)
    return isAuditEvent(builder.mainAlias.meta) ? readOnly(builder) : builder
  }

  override async nativeInsertMany(entityName: unknown, rows: readonly Row[], options?: DriverOptions): Promise<unknown> {
    this.refuseEvent(entityName)
    return super.nativeInsertMany(entityName, rows, options)
  }

  override async nativeUpdateMany(
    entityName: unknown,
    where: readonly unknown[],
    rows: readonly Row[],
    options?: DriverOptions,
  ): Promise<unknown> {
    this.refuseEvent(entityName)
    return super.nativeUpdateMany(entityName, where, rows, options)
  }

  override async nativeClone(entityName: unknown, where: unknown, overrides?: Row, options?: DriverOptions): Promise<unknown> {
    this.refuseEvent(entityName)
    return super.nativeClone(entityName, where, overrides, options)
  }

  /** @internal Has the events of a flush's rows made while these are under way. */
  rowsSent(rows: readonly object[]): void {
    makeEventsOf(rows)
  }

  private sendIn(transaction: unknown) {
    const connection = this.connection as unknown as BindingConnection
    return (sql: string, values: readonly unknown[]) => connection.executeBound(sql, values, transaction)
  }

  /** These make their SQL without a query builder. */
  private refuseEvent(entityName: unknown): void {
    if (isAuditEvent(this.metadata.find(entityName))) throw new HistoryAppendOnlyError()
  }
}

/** In every clone as well: a clone has the methods of its class again. */
function readOnly(builder: Builder): Builder {
  const clone = builder.clone.bind(builder)
  return Object.assign(builder, {
    insert: refuse,
    insertFrom: refuse,
    update: refuse,
    delete: refuse,
    truncate: refuse,
    clone: (...args: unknown[]) => readOnly(clone(...args)),
  })
}

function refuse(): never {
  throw new HistoryAppendOnlyError()
}
