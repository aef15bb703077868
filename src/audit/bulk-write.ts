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
}

/** What the driver answers. */
export interface BulkResult {
  readonly affectedRows?: number
  readonly rows?: readonly Record<string, unknown>[]
}

/** Runs a write. */
export async function bulkWrite<Result>(write: BulkWrite, run: (transaction: unknown) => Promise<Result>): Promise<Result> {
  return run(write.transaction)
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
