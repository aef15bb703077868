/** The control plane's driver of the running application: it records flushes, and writes no history by any other way. */
import { ControlDriver } from '../connections/control-driver.ts'
import type { DriverInternals } from '../connections/internals.ts'
import { HistoryAppendOnlyError } from '../errors.ts'
import { isAuditEvent } from '../history/audit-event.ts'
import { recordFlush } from '../history/flush-recording.ts'
import { SHARED_SCHEMA } from '../naming.ts'

type Builder = ReturnType<ControlDriver['createQueryBuilder']>

export class RecordingControlDriver extends ControlDriver {
  /** Every flush that writes comes by here, in its transaction, after its inserts and updates. */
  override async syncCollections(...[collections, options]: Parameters<DriverInternals['syncCollections']>): Promise<void> {
    await super.syncCollections(collections, options)
    const send = (sql: string, parameters: readonly unknown[]) => this.connection.execute(sql, parameters, 'run', options?.ctx)
    await recordFlush(SHARED_SCHEMA, send)
  }

  override createQueryBuilder(...args: Parameters<ControlDriver['createQueryBuilder']>): Builder {
    const builder = super.createQueryBuilder(...args)
    return isAuditEvent(builder.mainAlias.meta) ? readOnly(builder) : builder
  }

  override nativeInsertMany(entityName: unknown, ...rest: unknown[]): Promise<unknown> {
    this.refuseEvent(entityName)
    return super.nativeInsertMany(entityName, ...rest)
  }

  override nativeUpdateMany(entityName: unknown, ...rest: unknown[]): Promise<unknown> {
    this.refuseEvent(entityName)
    return super.nativeUpdateMany(entityName, ...rest)
  }

  override nativeClone(entityName: unknown, ...rest: unknown[]): Promise<unknown> {
    this.refuseEvent(entityName)
    return super.nativeClone(entityName, ...rest)
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
    update: refuse,
    delete: refuse,
    truncate: refuse,
    clone: (...args: unknown[]) => readOnly(clone(...args)),
  })
}

function refuse(): never {
  throw new HistoryAppendOnlyError()
}
