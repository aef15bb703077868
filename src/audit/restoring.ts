/** Restoring what was deleted softly, with exactly what went with it. */
import { helper, type EntityManager, type EntityMetadata, type EntityName, type FilterQuery } from '@mikro-orm/postgresql'
import { ConflictError } from '../errors.ts'
import { stampNow, type Row, type Stamp } from './attribution.ts'
import { DELETED_WITH } from './audit-fields.ts'
import { bulkWrite } from './bulk-write.ts'
import { parentsOf } from './policies.ts'
import { Rows, groupNames, type Fragment, type Group } from './rows.ts'
import { lockDeleted, targetOf } from './targets.ts'

const UNIQUE_VIOLATION = '23505'

/**
 * Restores a deleted row, or the deleted rows that a condition names, and exactly what was deleted with them. Answers how many rows of the
 * entity were restored; what lives already is not counted.
 *
 * It runs in the active transaction or in one of its own, and restores all or nothing. A row whose relation says `cascade` or `restrict` is
 * not restored while the row it refers to is deleted. Loaded entities other than the one given are not refreshed.
 *
 * @throws CONFLICT when a live row has a value that must be unique (`details.id` names it), or a row it refers to is deleted; NO_ACTOR,
 *   FORBIDDEN, CROSS_TENANT_ENTITY, VALIDATION_FAILED
 * @example
 * const invoice = await em().findOneOrFail(Invoice, id, onlyDeleted())
 * await restore(em(), invoice)
 * await restore(em(), Invoice, { customer: customerId })
 */
export function restore<Entity extends object>(manager: EntityManager, entity: Entity): Promise<number>
export function restore<Entity extends object>(
  manager: EntityManager,
  entityName: EntityName<Entity>,
  where: FilterQuery<Entity>,
): Promise<number>
export async function restore<Entity extends object>(
  manager: EntityManager,
  given: EntityName<Entity> | Entity,
  where?: FilterQuery<Entity>,
): Promise<number> {
  const target = targetOf(manager, given, where)
  const { driver, meta, entity } = target
  const rows = new Rows(driver)
  const outer: unknown = manager.getTransactionContext()
  let group: Group = { meta, keys: [] }
  let stamp: Stamp | undefined
  try {
    // A savepoint in the active transaction, which goes on when a value is taken.
    await driver.getConnection('write').transactional(
      async transaction => {
        group = { meta, keys: await lockDeleted(target, transaction) }
        if (group.keys.length === 0) return
        stamp = stampNow(transaction)
        await restoreGroup(rows, group, stamp, transaction)
      },
      { ctx: outer },
    )
  } catch (error) {
    throw codeOf(error) === UNIQUE_VIOLATION ? await taken(rows, group, outer, error) : error
  }
  if (entity !== undefined && stamp !== undefined) reflect(entity, stamp, manager)
  return group.keys.length
}

async function restoreGroup(rows: Rows, group: Group, stamp: Stamp, transaction: unknown): Promise<void> {
  const { driver } = rows
  const affected = affectedBy(rows, group)
  for (const meta of affected) await refuseOrphans(rows, meta, group, transaction)
  const cascade = groupNames(group).join(', ')
  for (const meta of affected) {
    const among = rows.inGroups(meta, 'c', [group])
    const set = restoration(rows, meta, stamp)
    const statement = {
      sql: `update ${rows.table(meta)} as c set ${set.sql}${rows.versionStep(meta, 'c.')}
        where ${among.sql} and c.${rows.column(meta, 'deletedAt')} is not null`,
      params: [...set.params, ...among.params],
    }
    const followed = meta === group.meta ? undefined : cascade
    const where = followed === undefined && group.keys.length === 1 ? group.keys[0] : undefined
    await bulkWrite({ driver, meta, action: 'restore', transaction, cascade: followed, where }, each => rows.run(statement, each))
  }
}

/** The entity of a group, then those whose rows may have gone with it. */
function affectedBy(rows: Rows, { meta }: Group): readonly EntityMetadata[] {
  return [meta, ...rows.followers(meta).filter(each => each !== meta)]
}

function restoration(rows: Rows, meta: EntityMetadata, { at, by }: Stamp): Fragment {
  const values: Row = { deletedAt: null, deletedBy: null, updatedAt: at, updatedBy: by }
  if (rows.canFollow(meta)) values[DELETED_WITH] = null
  const columns = Object.keys(values).map(property => `${rows.column(meta, property)} = ?`)
  return { sql: columns.join(', '), params: Object.values(values) }
}

/** A row that went with another, or kept it from going, does not live without it. */
async function refuseOrphans(rows: Rows, meta: EntityMetadata, group: Group, transaction: unknown): Promise<void> {
  const among = rows.inGroups(meta, 'c', [group])
  for (const property of parentsOf(meta)) {
    const parent = property.targetMeta!
    const parentGoes = rows.inGroups(parent, 'p', [group])
    const found = await rows.first(
      {
        sql: `select c.${rows.key(meta)} as id, p.${rows.key(parent)} as parent from ${rows.table(meta)} as c
          join ${rows.table(parent)} as p on c.${rows.quote(property.fieldNames[0]!)} = p.${rows.key(parent)}
          where ${among.sql} and c.${rows.column(meta, 'deletedAt')} is not null
          and p.${rows.column(parent, 'deletedAt')} is not null and not coalesce(${parentGoes.sql}, false)`,
        params: [...among.params, ...parentGoes.params],
      },
      transaction,
    )
    if (found === undefined) continue
    throw new ConflictError(
      `${meta.className} ${String(found['id'])} cannot be restored: its relation "${property.name}" refers to ${parent.className} ${String(found['parent'])}, which is deleted.`,
      {
        hint: `Restore that ${parent.className} first. Nothing was restored.`,
        details: { entity: parent.className, id: found['parent'], relation: property.name },
      },
    )
  }
}

/** The error that names the live row which has a value that a restored one would have again. */
async function taken(rows: Rows, group: Group, transaction: unknown, cause: unknown): Promise<ConflictError> {
  const hint = 'Change or delete that row first, or change the value of the deleted one. Nothing was restored.'
  for (const meta of affectedBy(rows, group)) {
    for (const { name, properties, where } of meta.uniques) {
      const names = (Array.isArray(properties) ? properties : [properties]) as string[]
      const found = await rows.first(conflict(rows, meta, group, names, where), transaction)
      if (found === undefined) continue
      return new ConflictError(
        `${meta.className} ${String(found['id'])} cannot be restored: the live ${meta.className} ${String(found['live'])} has the same ${names.join(' and ')}.`,
        { hint, details: { entity: meta.className, id: found['live'], restored: found['id'], properties: names, index: name }, cause },
      )
    }
  }
  const index = (cause as { readonly constraint?: string }).constraint
  return new ConflictError('Rows that would be restored have a value in common that must be unique.', { hint, details: { index }, cause })
}

function conflict(rows: Rows, meta: EntityMetadata, group: Group, properties: readonly string[], where: unknown): Fragment {
  const among = rows.inGroups(meta, 'c', [group])
  const same = properties.map(property => `l.${rows.column(meta, property)} = c.${rows.column(meta, property)}`).join(' and ')
  const [key, table, deleted] = [rows.key(meta), rows.table(meta), rows.column(meta, 'deletedAt')]
  const predicate =
    typeof where === 'string' ? where : where === undefined ? 'true' : rows.driver.renderPartialIndexWhere(meta.class, where)
  return {
    sql: `select c.${key} as id, l.${key} as live from ${table} as c join ${table} as l on ${same} and l.${key} <> c.${key}
      where ${among.sql} and c.${deleted} is not null and l.${deleted} is null
      and l.${key} in (select ${key} from ${table} where ${predicate})`,
    params: among.params,
  }
}

/** SQLSTATE: MikroORM's exceptions carry it, and so do PostgreSQL's. */
function codeOf(error: unknown): unknown {
  return (error as { readonly code?: unknown } | undefined)?.code
}

/** The entity says what is stored, and is not taken for changed. */
function reflect(entity: object, { at, by }: Stamp, manager: EntityManager): void {
  Object.assign(entity, { deletedAt: null, deletedBy: null, updatedAt: at, updatedBy: by })
  const original = helper(entity).__originalEntityData as Row | undefined
  if (original === undefined) return
  const known = manager.getComparator().prepareEntity(entity) as Row
  for (const field of ['deletedAt', 'deletedBy', 'updatedAt', 'updatedBy']) original[field] = known[field]
  if (DELETED_WITH in original) {
    original[DELETED_WITH] = null
    ;(entity as Row)[DELETED_WITH] = null
  }
}
