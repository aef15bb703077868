/** Hard deletion: of rows that are deleted already, by an explicit call, and never of what something refers to. */
import type { EntityManager, EntityMetadata, EntityName, FilterQuery } from '@mikro-orm/postgresql'
import type { DriverInternals } from '../connections/internals.ts'
import { currentActor } from '../context/context.ts'
import { ConflictError, ForbiddenError, NoActorError } from '../errors.ts'
import { bulkWrite, inTransaction, type BulkWrite } from './bulk-write.ts'
import { dependenciesOf } from './policies.ts'
import { Rows, groupNames, type Group } from './rows.ts'
import { lockDeleted, targetOf } from './targets.ts'

/** The permission that hard deletion needs; `system` may. */
export const PURGE_PERMISSION = 'data:purge'

const FOREIGN_KEY_VIOLATION = '23503'

/**
 * Deletes deleted rows for good, with what was deleted with them. Answers how many rows of the entity are gone; live rows are left.
 *
 * It runs in the active transaction or in one of its own, all or nothing. Nobody's foreign key is emptied by it: as long as any row refers to
 * one of these, live or deleted, none is purged.
 *
 * @throws CONFLICT naming what refers to a row still; FORBIDDEN without the permission `data:purge`; NO_ACTOR, CROSS_TENANT_ENTITY,
 *   VALIDATION_FAILED
 * @example await purge(em(), Invoice, { number: 'A-1' })
 */
export function purge<Entity extends object>(manager: EntityManager, entity: Entity): Promise<number>
export function purge<Entity extends object>(
  manager: EntityManager,
  entityName: EntityName<Entity>,
  where: FilterQuery<Entity>,
): Promise<number>
export async function purge<Entity extends object>(
  manager: EntityManager,
  given: EntityName<Entity> | Entity,
  where?: FilterQuery<Entity>,
): Promise<number> {
  assertMayPurge()
  const target = targetOf(manager, given, where)
  const { driver, meta, entity } = target
  const rows = new Rows(driver)
  const purged = await inTransaction(driver, manager.getTransactionContext(), async transaction => {
    const group: Group = { meta, keys: await lockDeleted(target, transaction) }
    if (group.keys.length > 0) await purgeGroup(rows, group, transaction)
    return group.keys.length
  })
  if (entity !== undefined && purged > 0) manager.getUnitOfWork().unsetIdentity(entity)
  return purged
}

/** @throws NO_ACTOR, FORBIDDEN */
export function assertMayPurge(): void {
  const actor = currentActor()
  if (actor === undefined) throw new NoActorError()
  if (actor.plane !== 'system' && actor.permissions?.has(PURGE_PERMISSION) !== true) throw new ForbiddenError(PURGE_PERMISSION)
}

async function purgeGroup(rows: Rows, group: Group, transaction: unknown): Promise<void> {
  const { meta: root } = group
  const affected = childrenFirst(rows, [root, ...rows.followers(root).filter(meta => meta !== root)])
  for (const meta of affected) await refuseReferred(rows, meta, group, transaction)
  const cascade = groupNames(group).join(', ')
  for (const meta of affected) {
    const among = rows.inGroups(meta, 'c', [group])
    const statement = {
      sql: `delete from ${rows.table(meta)} as c where ${among.sql} and c.${rows.column(meta, 'deletedAt')} is not null`,
      params: among.params,
    }
    const followed = meta === root ? undefined : cascade
    const where = followed === undefined && group.keys.length === 1 ? group.keys[0] : undefined
    await purgeRows(rows.driver, { meta, transaction, cascade: followed, where }, each => rows.run(statement, each))
  }
}

/** Runs a hard delete. @throws CONFLICT for what refers to a row from where this plane does not see */
export async function purgeRows<Result>(
  driver: DriverInternals,
  write: Omit<BulkWrite, 'driver' | 'action'>,
  run: (transaction: unknown) => Promise<Result>,
): Promise<Result> {
  const { meta } = write
  return bulkWrite({ ...write, driver, action: 'purge' }, run).catch((error: unknown) => {
    const { code, table } = error as { readonly code?: string; readonly table?: string }
    if (code !== FOREIGN_KEY_VIOLATION) throw error
    throw new ConflictError(`Rows of the table "${table ?? ''}" refer to a ${meta.className} that would be purged.`, {
      hint: 'Purge or change them first. Nothing was purged.',
      details: { table },
      cause: error,
    })
  })
}

/** Any row that would be left referring to nothing, or whose foreign key PostgreSQL would empty. */
async function refuseReferred(rows: Rows, meta: EntityMetadata, group: Group, transaction: unknown): Promise<void> {
  const parents = rows.inGroups(meta, 'p', [group])
  for (const { child, column, key, property } of dependenciesOf(rows.metadata, meta)) {
    const goesToo = rows.inGroups(child, 'c', [group])
    const deleted = 'deletedAt' in child.properties ? `c.${rows.column(child, 'deletedAt')} is not null` : 'false'
    const found = await rows.first(
      {
        sql: `select c.${rows.key(child)} as id, p.${rows.key(meta)} as parent from ${rows.table(child)} as c
          join ${rows.table(meta)} as p on c.${rows.quote(column)} = p.${rows.quote(key)}
          where ${parents.sql} and p.${rows.column(meta, 'deletedAt')} is not null and not (coalesce(${goesToo.sql}, false) and ${deleted})`,
        params: [...parents.params, ...goesToo.params],
      },
      transaction,
    )
    if (found === undefined) continue
    throw new ConflictError(
      `${child.className} ${String(found['id'])} refers to ${meta.className} ${String(found['parent'])}, which would be purged, by its relation "${property.name}".`,
      {
        hint: `Purge that ${child.className} first, or let it refer to another ${meta.className}. Nothing was purged.`,
        details: { entity: child.className, id: found['id'], relation: property.name },
      },
    )
  }
}

/** Entities in an order in which what refers comes before what it refers to. */
export function childrenFirst(rows: Rows, metas: readonly EntityMetadata[]): readonly EntityMetadata[] {
  const ordered = new Set<EntityMetadata>()
  const entered = new Set<EntityMetadata>()
  const visit = (meta: EntityMetadata): void => {
    if (entered.has(meta)) return
    entered.add(meta)
    for (const { child } of dependenciesOf(rows.metadata, meta)) if (metas.includes(child)) visit(child)
    ordered.add(meta)
  }
  for (const meta of metas) visit(meta)
  return [...ordered]
}
