/** Hard deletion by age: of everything that was deleted long enough ago, in batches. */
import type { EntityManager, EntityMetadata, EntityName } from '@mikro-orm/postgresql'
import type { DriverInternals } from '../connections/internals.ts'
import { ValidationFailedError } from '../errors.ts'
import { inheritsAudit, isAudited } from './audit-fields.ts'
import { inTransaction } from './bulk-write.ts'
import { dependenciesOf } from './policies.ts'
import { assertMayPurge, childrenFirst, purgeRows } from './purging.ts'
import { assertWritable } from './targets.ts'
import { Rows, isIn, type Fragment, type Key } from './rows.ts'

/** What `purgeDeleted` takes. */
export interface PurgeDeletedOptions<Entity extends object = object> {
  /** Rows of this entity alone. Default: of every audited entity that this EntityManager writes, what refers first. */
  readonly entity?: EntityName<Entity>
  /** Rows that were deleted before this instant, or this many milliseconds ago. */
  readonly olderThan: Date | number
  /** Rows for each transaction. Default 1000. */
  readonly batchSize?: number
  /** Ends it between two batches when it fires. Default: none. */
  readonly signal?: AbortSignal
}

/** What `purgeDeleted` did, by entity. */
export interface PurgeReport {
  readonly purged: Readonly<Record<string, number>>
  /** Rows that are old enough, and that something refers to still. */
  readonly kept: Readonly<Record<string, number>>
}

/**
 * Deletes for good what was deleted before an instant. Each batch is a transaction of its own: when it is stopped, what was purged stays so,
 * and the next call goes on. What something refers to is kept, and counted.
 *
 * @throws VALIDATION_FAILED, NO_ACTOR, FORBIDDEN without the permission `data:purge`
 * @example await purgeDeleted(em(), { olderThan: 90 * 24 * 3_600_000 })
 */
export async function purgeDeleted<Entity extends object = object>(
  manager: EntityManager,
  options: PurgeDeletedOptions<Entity>,
): Promise<PurgeReport> {
  assertMayPurge()
  const { batchSize = 1_000, signal } = options
  const before = instantBefore(options.olderThan)
  if (!Number.isSafeInteger(batchSize) || batchSize < 1)
    throw new ValidationFailedError([{ path: 'batchSize', message: 'must be a positive whole number' }])
  const driver = manager.getDriver() as unknown as DriverInternals
  const rows = new Rows(driver)
  const purged: Record<string, number> = {}
  const kept: Record<string, number> = {}
  const metas = chosen(manager, rows, options.entity)
  for (const meta of metas) assertWritable(manager, meta)
  for (const meta of childrenFirst(rows, metas)) {
    let count = 0
    for (let last = -1; last !== 0 && signal?.aborted !== true; count += last)
      last = await purgeBatch(rows, meta, before, batchSize, manager.getTransactionContext())
    if (count > 0) purged[meta.className] = count
    const left = await rows.first(
      {
        sql: `select count(*)::int as n from ${rows.table(meta)} where ${rows.column(meta, 'deletedAt')} < ?`,
        params: [before],
      },
      manager.getTransactionContext(),
    )
    if (Number(left?.['n']) > 0) kept[meta.className] = Number(left!['n'])
  }
  return { purged, kept }
}

function instantBefore(olderThan: Date | number): Date {
  const at = typeof olderThan === 'number' ? new Date(Date.now() - olderThan) : olderThan
  const isPast = at instanceof Date && at.getTime() <= Date.now()
  if (isPast) return at
  throw new ValidationFailedError([{ path: 'olderThan', message: 'must be an instant in the past, or an age in milliseconds' }])
}

/** The entities of the plane that this EntityManager writes. */
function chosen<Entity extends object>(
  manager: EntityManager,
  rows: Rows,
  entity: EntityName<Entity> | undefined,
): readonly EntityMetadata[] {
  const isTenant = manager.schema !== undefined
  const all = [...rows.metadata.getAll().values()].filter(
    meta =>
      isAudited(meta) && !inheritsAudit(meta) && meta.primaryKeys.length === 1 && !meta.abstract && (meta.root.schema === '*') === isTenant,
  )
  if (entity === undefined) return all
  const meta = manager.getMetadata(entity) as unknown as EntityMetadata
  if (all.includes(meta)) return [meta]
  throw new ValidationFailedError([{ path: 'entity', message: `${meta.className} is not purged by this EntityManager` }])
}

async function purgeBatch(rows: Rows, meta: EntityMetadata, before: Date, size: number, outer: unknown): Promise<number> {
  return inTransaction(rows.driver, outer, async transaction => {
    const chosenRows = unreferred(rows, meta, before, size)
    const found = (await rows.driver.execute(chosenRows.sql, chosenRows.params, 'all', transaction)) as { id: Key }[]
    if (found.length === 0) return 0
    const among = isIn(
      rows.key(meta),
      found.map(({ id }) => id),
    )
    const statement = { sql: `delete from ${rows.table(meta)} where ${among.sql}`, params: among.params }
    await purgeRows(rows.driver, { meta, transaction }, each => rows.run(statement, each))
    return found.length
  })
}

/** A batch of rows that nothing refers to. Two that purge at once take different ones. */
function unreferred(rows: Rows, meta: EntityMetadata, before: Date, size: number): Fragment {
  const free = dependenciesOf(rows.metadata, meta).map(
    ({ child, column, key }) =>
      ` and not exists (select from ${rows.table(child)} as c where c.${rows.quote(column)} = p.${rows.quote(key)})`,
  )
  return {
    sql: `select p.${rows.key(meta)} as id from ${rows.table(meta)} as p
      where p.${rows.column(meta, 'deletedAt')} < ?${free.join('')} order by p.${rows.key(meta)} limit ? for update skip locked`,
    params: [before, size],
  }
}
