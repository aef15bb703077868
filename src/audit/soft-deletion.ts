/**
 * Soft deletion of rows and of what refers to them, loaded or not: one statement for each relation and level.
 *
 * What goes along remembers with which row it went (`deleted_with`), so that restoring brings back exactly that.
 */
import type { EntityMetadata } from '@mikro-orm/postgresql'
import type { BuilderOptions, DriverInternals, DriverOptions } from '../connections/internals.ts'
import { ConflictError } from '../errors.ts'
import { attribute, stampNow, type Row, type Stamp } from './attribution.ts'
import { DELETED_WITH } from './audit-fields.ts'
import { bulkWrite, inTransaction, isRecorded } from './bulk-write.ts'
import { dependenciesOf, type AllMetadata, type Dependency } from './policies.ts'
import { Rows, groupNames, isIn, rowName, type Fragment, type Group, type Key } from './rows.ts'

/** Whether deleting a row of this entity has to look at others. */
export function hasDependents(driver: DriverInternals, meta: EntityMetadata): boolean {
  return dependenciesOf(driver.getMetadata() as AllMetadata, meta).some(({ policy }) => policy !== 'keep')
}

/**
 * Deletes the live rows that a condition names, softly.
 *
 * @throws NO_ACTOR, CONFLICT where a live row's relation says `restrict`
 */
export async function softDelete(
  driver: DriverInternals,
  meta: EntityMetadata,
  where: unknown,
  options: DriverOptions & BuilderOptions,
): Promise<{ affectedRows: number }> {
  const key = meta.primaryKeys[0]!
  const deep = hasDependents(driver, meta)
  const given = typeof where === 'object' && where !== null ? where : { [key]: where }
  const condition = options.unionWhere?.length ? await driver.applyUnionWhere(meta, given, options, true) : given
  const run = async (transaction: unknown) => {
    const stamp = stampNow(transaction)
    const row: Row = {}
    attribute(row, 'delete', stamp)
    const builder = driver.createQueryBuilder(meta.class, transaction, 'write', false, options.loggerContext)
    builder.withSchema(driver.getSchemaName(meta, options))
    builder.update(row)
    builder.where(condition as object)
    builder.andWhere({ deletedAt: null })
    builder.returning([...meta.primaryKeys])
    const result = await bulkWrite({ driver, meta, action: 'delete', transaction, where }, () => builder.execute('run', false))
    const column = meta.properties[key]!.fieldNames[0]!
    const keys = (result.rows ?? []).map(each => each[column] as Key)
    if (deep && keys.length > 0) await deleteDependents(driver, [{ meta, keys }], stamp, transaction)
    return { ...result, affectedRows: result.affectedRows }
  }
  // The builder has its transaction from the beginning.
  return deep || isRecorded(driver, meta) ? inTransaction(driver, options.ctx, run) : run(options.ctx)
}

/** Those rows of groups that live, locked: a row that is deleted already takes nothing along again, and nobody refers to one meanwhile. */
export async function lockLive(driver: DriverInternals, groups: readonly Group[], transaction: unknown): Promise<readonly Group[]> {
  const rows = new Rows(driver)
  const live: Group[] = []
  for (const { meta, keys } of groups) {
    const among = isIn(rows.key(meta), keys)
    const sql = `select ${rows.key(meta)} as id from ${rows.table(meta)} where ${among.sql} and ${rows.column(meta, 'deletedAt')} is null
      order by ${rows.key(meta)} for update`
    const found = (await driver.execute(sql, among.params, 'all', transaction)) as { id: Key }[]
    if (found.length > 0) live.push({ meta, keys: found.map(({ id }) => id) })
  }
  return live
}

/**
 * Deletes what refers to rows that were just deleted, as far as the relations say so; then looks for live rows that forbid it. Answers the
 * keys of what it deleted of the entities that `isWanted`.
 *
 * @throws CONFLICT
 */
export async function deleteDependents(
  driver: DriverInternals,
  groups: readonly Group[],
  stamp: Stamp,
  transaction: unknown,
  isWanted: (meta: EntityMetadata) => boolean = () => false,
): Promise<readonly Group[]> {
  const rows = new Rows(driver)
  const cascade = groups.flatMap(groupNames).join(', ')
  const taken: Group[] = []
  const take = async (dependency: Dependency, { sql, params }: Fragment): Promise<boolean> => {
    const { child: meta } = dependency
    const wanted = isWanted(meta)
    const statement = wanted ? { sql: `${sql} returning c.${rows.key(meta)} as id`, params } : { sql, params }
    const result = await bulkWrite({ driver, meta, action: 'delete', transaction, cascade }, each => rows.run(statement, each))
    if (wanted) taken.push({ meta, keys: result.rows.map(row => row['id'] as Key) })
    return result.affectedRows > 0
  }
  const touched = new Set<EntityMetadata>()
  const queue: EntityMetadata[] = []
  const reached = (child: EntityMetadata) => {
    touched.add(child)
    if (!queue.includes(child)) queue.push(child)
  }
  for (const group of groups)
    for (const dependency of rows.cascades(group.meta))
      if (await take(dependency, firstLevel(rows, dependency, group, stamp))) reached(dependency.child)
  const names = groups.flatMap(groupNames)
  for (let meta = queue.shift(); meta !== undefined; meta = queue.shift())
    for (const dependency of rows.cascades(meta))
      if (await take(dependency, nextLevel(rows, dependency, names, stamp))) reached(dependency.child)
  for (const group of groups) await refuseRestricted(rows, group.meta, isIn(`p.${rows.key(group.meta)}`, group.keys), transaction)
  for (const meta of touched) await refuseRestricted(rows, meta, isIn(`p.${rows.column(meta, DELETED_WITH)}`, names), transaction)
  return taken
}

function firstLevel(rows: Rows, { child, column }: Dependency, { meta, keys }: Group, stamp: Stamp): Fragment {
  const refers = rows.quote(column)
  const set = deletion(rows, child, stamp)
  const among = isIn(refers, keys)
  return {
    sql: `update ${rows.table(child)} as c set ${set.sql}, ${rows.column(child, DELETED_WITH)} = ? || ${refers}::text${rows.versionStep(child)}
      where ${among.sql} and ${rows.column(child, 'deletedAt')} is null`,
    params: [...set.params, rowName(meta, ''), ...among.params],
  }
}

function nextLevel(rows: Rows, { child, parent, column, key }: Dependency, names: readonly string[], stamp: Stamp): Fragment {
  const set = deletion(rows, child, stamp)
  const followed = `p.${rows.column(parent, DELETED_WITH)}`
  const among = isIn(followed, names)
  return {
    sql: `update ${rows.table(child)} as c set ${set.sql}, ${rows.column(child, DELETED_WITH)} = ${followed}${rows.versionStep(child, 'c.')}
      from ${rows.table(parent)} as p
      where c.${rows.quote(column)} = p.${rows.quote(key)} and ${among.sql} and c.${rows.column(child, 'deletedAt')} is null`,
    params: [...set.params, ...among.params],
  }
}

function deletion(rows: Rows, meta: EntityMetadata, { at, by }: Stamp): Fragment {
  const values = { deletedAt: at, deletedBy: by, updatedAt: at, updatedBy: by }
  const columns = Object.keys(values).map(property => `${rows.column(meta, property)} = ?`)
  return { sql: columns.join(', '), params: Object.values(values) }
}

/** What lives still after everything else was deleted, and must not be left behind. */
async function refuseRestricted(rows: Rows, meta: EntityMetadata, among: Fragment, transaction: unknown): Promise<void> {
  for (const { child, parent, property, policy, column, key } of dependenciesOf(rows.metadata, meta)) {
    if (policy !== 'restrict') continue
    const found = await rows.first(
      {
        sql: `select c.${rows.key(child)} as id from ${rows.table(child)} as c join ${rows.table(parent)} as p
          on c.${rows.quote(column)} = p.${rows.quote(key)} where ${among.sql} and c.${rows.column(child, 'deletedAt')} is null`,
        params: among.params,
      },
      transaction,
    )
    if (found === undefined) continue
    throw new ConflictError(
      `${child.className} ${String(found['id'])} refers to a ${meta.className} that would be deleted, by its relation "${property.name}".`,
      {
        hint: `Delete that ${child.className} first, or let it refer to another ${meta.className}. Nothing was deleted.`,
        details: { entity: child.className, id: found['id'], relation: property.name },
      },
    )
  }
}
