/**
 * Migrations that PostgreSQL takes in no transaction, such as `create index concurrently`: each statement by itself, with a mark of how
 * far it came. One that was cut off goes on there: an invalid index is dropped and built again, one that was finished is left as it is.
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
  const { begun, ended } = await progressOf(lane, run)
  const mark = (what: string) => lane.query(`comment on table ${run.table} is ${quoteLiteral(`${markOf(run)}${what}`)}`)
  // Of the session, since there is no transaction; the lane is handed back clean.
  await lane.query(`set search_path to ${quoteIdentifier(run.schema)}`)
  try {
    for (const [place, statement] of (await run.statements()).entries()) {
      if (place <= ended) continue
      const index = typeof statement === 'string' ? indexOf(statement) : undefined
      const state = index === undefined ? undefined : await indexState(lane, run.schema, index)
      if (state === 'invalid') await lane.query(`drop index concurrently ${quoteIdentifier(run.schema)}.${quoteForeignName(index!)}`)
      // It was not there when the statement was begun: it is the one. What somebody else made under the name is refused by PostgreSQL.
      if (state === 'valid' && place === begun) continue
      if (state !== 'valid') await mark(`begun ${place}`)
      await run.execute(statement)
      await mark(`ended ${place}`)
    }
  } finally {
    await lane.query(`set search_path to ''`)
  }
  await lane.transactional(async transaction => {
    await lane.query(run.record, transaction)
    await lane.query(`comment on table ${run.table} is null`, transaction)
  })
}

function markOf({ way, name }: ApartRun): string {
  return `${way} ${name}: `
}

/** The places of the statements that were begun and that ended last, or -1. */
async function progressOf(lane: Lane, run: ApartRun): Promise<{ readonly begun: number; readonly ended: number }> {
  const [row] = await lane.query<{ mark: string | null }>(
    `select pg_catalog.obj_description(${quoteLiteral(run.table)}::regclass, 'pg_class') as mark`,
  )
  const mark = row?.mark?.startsWith(markOf(run)) === true ? row.mark.slice(markOf(run).length) : ''
  const place = Number(/\d+$/.exec(mark)?.[0] ?? -1)
  return mark.startsWith('ended') ? { begun: -1, ended: place } : { begun: place, ended: Math.max(place - 1, -1) }
}

/** The index that a statement makes. */
function indexOf(statement: string): string | undefined {
  const [, quoted, plain] = CREATES_INDEX.exec(statement) ?? []
  return quoted?.replaceAll('""', '"') ?? plain?.toLowerCase()
}

async function indexState(lane: Lane, schema: Identifier, index: string): Promise<'valid' | 'invalid' | undefined> {
  const [found] = await lane.query<{ valid: boolean }>(
    `select i.indisvalid and i.indisready as valid from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid
     where c.relnamespace = ${quoteLiteral(quoteIdentifier(schema))}::regnamespace and c.relname = ${quoteLiteral(index)}`,
  )
  return found === undefined ? undefined : found.valid ? 'valid' : 'invalid'
}
