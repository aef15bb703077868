/** The one way in which events come into a table: one statement for all of them. */
import { raw } from '@mikro-orm/postgresql'
import { quoteIdentifier, quoteLiteral, type Identifier } from '../naming.ts'
import { EVENT_TABLE } from './audit-event.ts'
import type { EventRow } from './new-event.ts'

/** Sends a statement with parameters: a connection of the plane, in the transaction of the change. */
export type Send = (sql: string, parameters: readonly unknown[]) => Promise<unknown>

/** What `json` refuses to take apart: a zero character, and halves of surrogate pairs. PostgreSQL's text has neither. */
const UNFIT = /\\u(?:0000|d[89a-f])/i

/** Writes events into the table of a schema. */
export async function writeEvents(send: Send, schema: Identifier, rows: readonly EventRow[]): Promise<void> {
  if (rows.length === 0) return
  // A literal made here: MikroORM's own goes through a text of some hundred kilobytes character by character.
  await send(insertSql(schema), [raw(quoteLiteral(jsonOf(rows)))])
}

/** One parameter, a JSON array of rows; the texts of `changes` and `details` are stored as they stand there. */
function insertSql(schema: Identifier): string {
  return `insert into ${quoteIdentifier(schema)}."${EVENT_TABLE}"
    (id, entity, entity_id, action, actor, at, request_id, changes, details, count, cascade_id)
    select id, entity, entity_id, action, actor, at, request_id, changes, details, count, cascade_id
    from pg_catalog.json_to_recordset(?) as e(id uuid, entity text, entity_id text, action text, actor text, at timestamptz,
      request_id text, changes json, details json, count int, cascade_id uuid)`
}

function jsonOf(rows: readonly EventRow[]): string {
  const json = JSON.stringify(rows)
  if (!UNFIT.test(json)) return json
  return JSON.stringify(rows, (_key, value: unknown) => (typeof value === 'string' ? value.toWellFormed().replaceAll('\0', '') : value))
}
