/**
 * The one place through which every write passes that is no flush's: inserts, upserts, updates and deletes of many rows, query builders,
 * cascades, restoring and purging. Here entity, action, number of rows, cascade and transaction are known together.
 */
import type { EntityMetadata } from '@mikro-orm/postgresql'
import type { DriverInternals } from '../connections/internals.ts'

/** What happens to the rows. */
export type BulkAction = 'create' | 'update' | 'delete' | 'restore' | 'purge'

/** A write of any number of rows of one entity. */
export interface BulkWrite {
  readonly driver: DriverInternals
  readonly meta: EntityMetadata
  /** An upsert is a `create`. */
  readonly action: BulkAction
  /** MikroORM's transaction, or `undefined`: then the statement is its own. */
  readonly transaction: unknown
  /** The row whose deletion or restoring took these along: `<Entity>:<id>`; one for many rows deleted at once is theirs, joined by commas. */
  readonly cascade?: string | undefined
  /** The values of the row, or of every row that is changed, by property; where there is one answer. */
  readonly data?: Readonly<Record<string, unknown>> | undefined
  /** The condition, as MikroORM takes it. */
  readonly where?: unknown
}

/** A driver that records writes. */
export interface RecordingDriver {
  recordsWrites(meta: EntityMetadata): boolean
  /** Called in the transaction of the write, after it. */
  recordWrite(write: BulkWrite, affectedRows: number, transaction: unknown): Promise<void>
  /** Called when rows of a flush have been sent as they will stay. */
  rowsSent(rows: readonly object[]): void
}

/** What the driver answers. */
export interface BulkResult {
  readonly affectedRows?: number
  readonly rows?: readonly Record<string, unknown>[]
}

/** Runs a write; one that is recorded runs in a transaction with its record. */
export async function bulkWrite<Result>(write: BulkWrite, run: (transaction: unknown) => Promise<Result>): Promise<Result> {
  if (!isRecorded(write.driver, write.meta)) return run(write.transaction)
  return inTransaction(write.driver, write.transaction, async transaction => {
    const result = await run(transaction)
    const affectedRows = countOf(result)
    if (affectedRows > 0) await (write.driver as unknown as RecordingDriver).recordWrite(write, affectedRows, transaction)
    return result
  })
}

/** Whether writes of an entity are recorded, and therefore need a transaction. */
export function isRecorded(driver: DriverInternals, meta: EntityMetadata): boolean {
  return 'recordsWrites' in driver && (driver as unknown as RecordingDriver).recordsWrites(meta)
}

/** A statement answers how many rows it affected, or the rows that it returned, or one of them. */
function countOf(result: unknown): number {
  if (Array.isArray(result)) return result.length
  return (result as BulkResult | null | undefined)?.affectedRows ?? (result == null ? 0 : 1)
}

/** Runs work in the transaction that is given, or in one of its own. */
export async function inTransaction<Result>(
  driver: DriverInternals,
  transaction: unknown,
  work: (transaction: unknown) => Promise<Result>,
): Promise<Result> {
  if (transaction != null) return work(transaction)
  return driver.getConnection('write').transactional(work)
}
