/**
 * Migrations that PostgreSQL takes in no transaction, such as `create index concurrently`: each statement by itself, with a mark of where
 * they began. One that was cut off goes on: an invalid index is dropped and built again, one that was finished is left as it is.
 *
 * Source: https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY
 */
import { quoteForeignName, quoteIdentifier, quoteLiteral, type Identifier } from '../naming.ts'
import type { Lane } from './lanes.ts'

/** What runs apart. */
export interface ApartRun {
  readonly schema: Identifier
  /** The tracking table, quoted. */
  readonly table: string
  readonly name: string
  readonly way: 'up' | 'down'
  /** What records that it has run. */
  readonly record: string
  /** Makes the statements; called with the search_path in force. */
  statements(): Promise<readonly unknown[]>
  execute(statement: unknown): Promise<unknown>
}

const CREATES_INDEX =
  /^\s*create\s+(?:unique\s+)?index\s+concurrently\s+(?:if\s+not\s+exists\s+)?(?:"((?:[^"]|"")+)"|([a-z_][\w$]*))\s+on\b/i

/** Runs it on a session of its own, which holds the target's lock. */
export async function runApart(lane: Lane, run: ApartRun): Promise<void> {
  const mark = `${run.way} ${run.name} began`
  const began = (await markOf(lane, run.table)) === mark
  // Of the session, since there is no transaction; the lane is handed back clean.
  await lane.query(`set search_path to ${quoteIdentifier(run.schema)}`)
  try {
    const statements = await run.statements()
    if (!began) await lane.query(`comment on table ${run.table} is ${quoteLiteral(mark)}`)
    for (const statement of statements) {
      if (typeof statement === 'string' && (await isDone(lane, run.schema, statement, began))) continue
      await run.execute(statement)
    }
  } finally {
    await lane.query(`set search_path to ''`)
  }
  await lane.transactional(async transaction => {
    await lane.query(run.record, transaction)
    await lane.query(`comment on table ${run.table} is null`, transaction)
  })
}

/** Whether a statement need not run: the index that it makes was finished before the migration was cut off. Drops what was left half done. */
async function isDone(lane: Lane, schema: Identifier, statement: string, began: boolean): Promise<boolean> {
  const [, quoted, plain] = CREATES_INDEX.exec(statement) ?? []
  const index = quoted?.replaceAll('""', '"') ?? plain?.toLowerCase()
  if (index === undefined) return false
  const [found] = await lane.query<{ valid: boolean }>(
    `select i.indisvalid and i.indisready as valid from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid
     where c.relnamespace = ${quoteLiteral(quoteIdentifier(schema))}::regnamespace and c.relname = ${quoteLiteral(index)}`,
  )
  if (found === undefined) return false
  // Only if this migration began it: what somebody else made under the name is not known to be the same.
  if (found.valid) return began
  await lane.query(`drop index concurrently ${quoteIdentifier(schema)}.${quoteForeignName(index)}`)
  return false
}

async function markOf(lane: Lane, table: string): Promise<string | null | undefined> {
  const [row] = await lane.query<{ mark: string | null }>(
    `select pg_catalog.obj_description(${quoteLiteral(table)}::regclass, 'pg_class') as mark`,
  )
  return row?.mark
}
