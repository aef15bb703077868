/**
 * Records flushes. The events of a flush are written inside its transaction, in one statement, after its inserts and updates: by then keys
 * and defaults of the database are known, and what happens to the transaction happens to the events.
 *
 * MikroORM tells subscribers of a flush before its transaction begins and after it has ended. In between, and always, it calls the driver's
 * `syncCollections`; which flush that is, is known by the asynchronous context.
 */
import type { ChangeSet, EventSubscriber, FlushEventArgs, UnitOfWork } from '@mikro-orm/postgresql'
import type { BulkWrite } from '../audit/bulk-write.ts'
import { Carried } from '../context/carried.ts'
import { HistoryAppendOnlyError } from '../errors.ts'
import { newId, newIds } from '../ids.ts'
import type { Identifier } from '../naming.ts'
import { historyOf, isAuditEvent } from './audit-event.ts'
import { happeningOf, happeningOfWrite, happeningsOf, isToldByColumns } from './happenings.ts'
import { eventRows, type EventRow } from './new-event.ts'
import { writeEvents, type Send } from './write-events.ts'

/** What was made of a change set while its row was under way. */
interface Made {
  /** `undefined` where nothing changed that is told. */
  readonly event: EventRow | undefined
  /** How many columns were written. A relation that must wait for another row is written afterwards, and put into the change set then. */
  readonly columns: number
}

/** What is made while the rows of a flush are under way. */
interface Ahead {
  /** By the row that is written of it. */
  readonly changeSets: ReadonlyMap<object, ChangeSet<object>>
  /** All of one millisecond, so that the time of the events is said once. */
  readonly ids: string[]
  readonly made: Map<ChangeSet<object>, Made>
}

interface Flush {
  /** From when its changes are known until they are recorded. */
  work?: UnitOfWork | undefined
  ahead?: Ahead | undefined
}

const flushes = new Carried<Flush>()

/** Runs a flush so that it can be recorded. */
export function recordingFlush<T>(flush: () => Promise<T>): Promise<T> {
  return flushes.run({}, flush)
}

/** Refuses flushes that write the history, or pass it by. It must stand last of the framework's subscribers. */
export class HistorySubscriber implements EventSubscriber {
  /** @throws HISTORY_APPEND_ONLY */
  onFlush({ uow }: FlushEventArgs): Promise<void> {
    const flush = flushes.current()
    if (flush !== undefined) flush.work = uow
    for (const { meta } of uow.getChangeSets()) {
      if (isAuditEvent(meta)) throw new HistoryAppendOnlyError()
      if (flush === undefined && historyOf(meta) !== undefined)
        throw new HistoryAppendOnlyError(
          `${meta.className} has a history, and a unit of work was committed past its EntityManager's flush().`,
        )
    }
    return Promise.resolve()
  }
}

/**
 * Makes the events of rows that a flush has just sent, while the server writes them: the application would only wait. The values of the rows
 * must be final. What cannot be made here is made when the flush is recorded, and fails there.
 */
export function makeEventsOf(rows: readonly object[]): void {
  const flush = flushes.current()
  const work = flush?.work
  if (flush === undefined || work === undefined) return
  // By then the statement is on its way.
  setImmediate(() => {
    if (flush.work !== work) return
    const { changeSets, ids, made } = (flush.ahead ??= aheadOf(work))
    try {
      const sent = rows.flatMap(row => changeSets.get(row) ?? []).filter(isToldByColumns)
      const told = sent.map(changeSet => ({ changeSet, happening: happeningOf(changeSet) }))
      const happenings = told.flatMap(({ happening }) => happening ?? [])
      const events = eventRows(happenings, {}, ids.splice(0, happenings.length)).values()
      for (const { changeSet, happening } of told)
        made.set(changeSet, { event: happening && events.next().value, columns: columnsOf(changeSet) })
    } catch {
      // It fails again, and is heard, when the flush is recorded.
    }
  })
}

function aheadOf(work: UnitOfWork): Ahead {
  const changeSets = work.getChangeSets() as ChangeSet<object>[]
  return { changeSets: new Map(changeSets.map(each => [each.payload, each])), ids: newIds(changeSets.length), made: new Map() }
}

function columnsOf({ payload }: ChangeSet<object>): number {
  return Object.keys(payload).length
}

/** Writes the events of the flush under way, in its transaction. @throws NO_ACTOR */
export async function recordFlush(schema: Identifier, send: Send): Promise<void> {
  const flush = flushes.current()
  const work = flush?.work
  if (flush === undefined || work === undefined) return
  const made = flush.ahead?.made ?? new Map<ChangeSet<object>, Made>()
  flush.work = undefined
  flush.ahead = undefined
  const events: EventRow[] = []
  for (const [changeSet, { event, columns }] of made) {
    if (columnsOf(changeSet) !== columns) made.delete(changeSet)
    else if (event !== undefined) events.push(event)
  }
  const others = happeningsOf(work, made)
  await writeEvents(send, schema, others.length === 0 ? events : [...events, ...eventRows(others)])
}

const cascades = new WeakMap<object, Map<string, string>>()

/** Writes the event of a statement that is no flush's, in its transaction. @throws NO_ACTOR */
export async function recordWrite(
  schema: Identifier,
  send: Send,
  write: BulkWrite,
  affectedRows: number,
  transaction: unknown,
): Promise<void> {
  const happening = happeningOfWrite(write, affectedRows, cascadeIdOf(write, transaction as object))
  await writeEvents(send, schema, eventRows([happening]))
}

/** One id for all tables that one deleting, restoring or purging takes along. */
function cascadeIdOf({ cascade, action }: BulkWrite, transaction: object): string | undefined {
  if (cascade === undefined) return undefined
  const known = cascades.get(transaction) ?? new Map<string, string>()
  cascades.set(transaction, known)
  const key = `${action} ${cascade}`
  const id = known.get(key) ?? newId()
  known.set(key, id)
  return id
}
