/** The one way in which events come into a table: one statement for all of them. */
import { raw } from '@mikro-orm/postgresql'
import { quoteElement } from '../audit/array-statements.ts'
import { quoteIdentifier, quoteLiteral, type Identifier } from '../naming.ts'
import { EVENT_TABLE } from './audit-event.ts'
import type { EventRow } from './new-event.ts'

/** Sends a statement with parameters: a connection of the plane, in the transaction of the change. */
export type Send = (sql: string, parameters: readonly unknown[]) => Promise<unknown>

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

/** What JSON of PostgreSQL cannot be taken apart with: a zero character, and halves of surrogate pairs. Its text has neither. */
const UNFIT = /\\u(?:0000|d[89a-f])/i

/**
 * Writes events into the table of a schema. What is the same in all rows is sent once, the rest as one array a column: PostgreSQL takes that
 * apart in a third less time than as many rows of values, or as JSON. The changes are lines of one text: JSON is full of quotes, which an
 * array would have escaped twice, and holds no end of a line.
 */
export async function writeEvents(send: Send, schema: Identifier, rows: readonly EventRow[]): Promise<void> {
  const [first] = rows
  if (first === undefined) return
  const selected: string[] = []
  const arrays: string[] = []
  const names: string[] = []
  const constants: unknown[] = []
  const parameters: unknown[] = []
  for (const column of COLUMNS) {
    if (column === 'changes') {
      selected.push('e."changes"::json')
    } else if (column !== 'id' && rows.every(row => row[column] === first[column])) {
      selected.push(`?::${TYPES[column]}`)
      constants.push(textOf(first[column]))
    } else {
      selected.push(`e."${column}"`)
      arrays.push(`?::${TYPES[column]}[]`)
      names.push(`"${column}"`)
      // A literal made here: MikroORM's own goes through a text of some hundred kilobytes character by character.
      parameters.push(raw(quoteLiteral(arrayOf(rows, column))))
    }
  }
  const lines = raw(quoteLiteral(rows.map(({ changes }) => jsonOf(changes)).join('\n')))
  await send(
    `insert into ${quoteIdentifier(schema)}."${EVENT_TABLE}" (${COLUMNS.map(column => `"${column}"`).join(', ')})
      select ${selected.join(', ')} from rows from (unnest(${arrays.join(', ')}), pg_catalog.string_to_table(?, pg_catalog.chr(10)))
        as e(${names.join(', ')}, "changes")`,
    [...constants, ...parameters, lines],
  )
}

function textOf(value: EventRow[Column]): string | null {
  if (value === null) return null
  return typeof value === 'object' ? jsonOf(value) : String(value)
}

function jsonOf(value: object): string {
  const json = JSON.stringify(value)
  return UNFIT.test(json) ? JSON.stringify(value, (_key, part: unknown) => (typeof part === 'string' ? wellFormed(part) : part)) : json
}

function wellFormed(text: string): string {
  return text.toWellFormed().replaceAll('\0', '')
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
