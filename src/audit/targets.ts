/** What `restore` and `purge` are pointed at: a loaded row, or the deleted rows that a condition names. */
import { Utils, helper, type EntityManager, type EntityMetadata, type EntityName, type FilterQuery } from '@mikro-orm/postgresql'
import type { DriverInternals } from '../connections/internals.ts'
import { ValidationFailedError } from '../errors.ts'
import { attribute, stampNow, type Row } from './attribution.ts'
import { inheritsAudit, isAudited } from './audit-fields.ts'
import { Rows, isIn, type Key } from './rows.ts'

/** Rows to restore or to purge. */
export interface Target {
  readonly driver: DriverInternals
  /** The entity in whose table the fields stand: that of the parent, where each type has a table. */
  readonly meta: EntityMetadata
  /** The entity that the condition is about. */
  readonly named: EntityMetadata
  readonly where: object
  /** The loaded row, if that is what was given. */
  readonly entity: object | undefined
}

/** @throws VALIDATION_FAILED for an entity without soft delete, and for what the manager may not write what it refuses itself */
export function targetOf<Entity extends object>(
  manager: EntityManager,
  given: EntityName<Entity> | Entity,
  where?: FilterQuery<Entity>,
): Target {
  const driver = manager.getDriver() as unknown as DriverInternals
  const isRow = Utils.isEntity(given)
  const meta = (isRow ? helper(given).__meta : manager.getMetadata(given as EntityName<Entity>)) as unknown as EntityMetadata
  if (!isAudited(meta) || meta.primaryKeys.length !== 1)
    throw new ValidationFailedError(
      [{ path: 'entity', message: `${meta.className} is not deleted softly by a key of one column` }],
      'Only what carries the audit fields can be restored and purged.',
    )
  const key = meta.primaryKeys[0]!
  const condition: unknown = isRow ? (helper(given).getPrimaryKey() as unknown) : where
  if (condition === undefined)
    throw new ValidationFailedError([{ path: 'where', message: 'is missing' }], 'Name the rows; {} means every deleted one.')
  const rows = typeof condition === 'object' && condition !== null ? condition : { [key]: condition }
  const owner = inheritsAudit(meta) ? meta.root : meta
  assertWritable(manager, owner)
  return { driver, meta: owner, named: meta, where: rows, entity: isRow ? given : undefined }
}

/** The keys of the deleted rows among them, locked until the transaction ends. */
export async function lockDeleted({ driver, meta, named, where }: Target, transaction: unknown): Promise<Key[]> {
  const key = meta.primaryKeys[0]!
  const builder = driver.createQueryBuilder(named.class, transaction, 'write', true)
  builder.select([key])
  builder.where(where)
  builder.andWhere({ deletedAt: { $ne: null } })
  const found = (await builder.execute('all')) as unknown as Row[]
  const keys = [...new Set(found.map(row => row[key] as Key))]
  if (keys.length === 0) return []
  // Not in the same query: its condition may join other tables, whose rows cannot all be locked.
  const rows = new Rows(driver)
  const among = isIn(rows.key(meta), keys)
  const sql = `select ${rows.key(meta)} as id from ${rows.table(meta)} where ${among.sql} and ${rows.column(meta, 'deletedAt')} is not null
    order by ${rows.key(meta)} for update`
  const locked = (await driver.execute(sql, among.params, 'all', transaction)) as { id: Key }[]
  return locked.map(({ id }) => id)
}

/** Asked of a builder, which knows what this EntityManager may write. @throws FORBIDDEN, CROSS_TENANT_ENTITY, NO_ACTOR */
export function assertWritable(manager: EntityManager, meta: EntityMetadata): void {
  const driver = manager.getDriver() as unknown as DriverInternals
  const row: Row = {}
  attribute(row, 'restore', stampNow(manager.getTransactionContext()))
  driver.createQueryBuilder(meta.class, undefined, 'write').update(row)
}
