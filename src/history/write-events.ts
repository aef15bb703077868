/** The one way in which events come into a table: one statement for all of them. */
import type { EntityManager } from '@mikro-orm/postgresql'
import { quoteElement } from '../audit/array-statements.ts'
import type { BindingConnection } from '../connections/internals.ts'
import { quoteIdentifier, type Identifier } from '../naming.ts'
import { EVENT_TABLE } from './audit-event.ts'
import type { EventRow } from './new-event.ts'

/** Sends a statement that numbers its parameters, with their values: over a connection of the plane, in the transaction of the change. */
export type Send = (sql: string, values: readonly unknown[]) => Promise<unknown>

/** Sends over the connection of an EntityManager, in its transaction if it has one. */
export function sendingBy(manager: EntityManager): Send {
  const connection = manager.getConnection() as unknown as BindingConnection
  return (sql, values) => connection.executeBound(sql, values, manager.getTransactionContext())
}

type Column = keyof EventRow

const TYPES = {
  id: 'uuid',
  entity: 'text',
  entity_id: 'text',
  action: 'text',
  actor: 'text',
  at: 'timestamptz',
  request_id: 'text',
  changes: 'json',
  details: 'json',
  count: 'int',
  cascade_id: 'uuid',
} as const satisfies Record<Column, string>
const COLUMNS = Object.keys(TYPES) as readonly Column[]

/**
 * Writes events into the table of a schema. What is the same in all rows is sent once, the rest as one array a column: PostgreSQL takes that
 * apart in a third less time than as many rows of values, or as JSON. The changes are lines of one text: JSON is full of quotes, which an
 * array would have escaped, and holds no end of a line.
 */
export async function writeEvents(send: Send, schema: Identifier, rows: readonly EventRow[]): Promise<void> {
  const [first] = rows
  if (first === undefined) return
  const selected: string[] = []
  const arrays: string[] = []
  const names: string[] = []
  const values: (string | null)[] = [rows.map(({ changes }) => changes).join('\n')]
  for (const column of COLUMNS) {
    if (column === 'changes') {
      selected.push('e."changes"::json')
    } else if (column !== 'id' && rows.every(row => row[column] === first[column])) {
      selected.push(`$${values.push(textOf(first[column]))}::${TYPES[column]}`)
    } else {
      selected.push(`e."${column}"`)
      arrays.push(`$${values.push(arrayOf(rows, column))}::${TYPES[column]}[]`)
      names.push(`"${column}"`)
    }
  }
  await send(
    `insert into ${quoteIdentifier(schema)}."${EVENT_TABLE}" (${COLUMNS.map(column => `"${column}"`).join(', ')})
      select ${selected.join(', ')} from rows from (unnest(${arrays.join(', ')}), pg_catalog.string_to_table($1::text, pg_catalog.chr(10)))
        as e(${names.join(', ')}, "changes")`,
    values,
  )
}

function textOf(value: EventRow[Column]): string | null {
  return value === null ? null : String(value)
}

/** Source: https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO */
function arrayOf(rows: readonly EventRow[], column: Column): string {
  let elements = ''
  for (const row of rows) {
    const value = textOf(row[column])
    elements += `${elements === '' ? '' : ','}${value === null ? 'null' : quoteElement(value)}`
  }
  return `{${elements}}`
}
