/**
 * Records flushes. The events of a flush are written inside its transaction, in one statement, after its inserts and updates: by then keys
 * and defaults of the database are known, and what happens to the transaction happens to the events.
 *
 * MikroORM tells subscribers of a flush before its transaction begins and after it has ended. In between, and always, it calls the driver's
 * `syncCollections`; which flush that is, is known by the asynchronous context.
 */
import type { EventSubscriber, FlushEventArgs, UnitOfWork } from '@mikro-orm/postgresql'
import type { BulkWrite } from '../audit/bulk-write.ts'
import { Carried } from '../context/carried.ts'
import { HistoryAppendOnlyError } from '../errors.ts'
import { newId } from '../ids.ts'
import type { Identifier } from '../naming.ts'
import { historyOf, isAuditEvent } from './audit-event.ts'
import { happeningOfWrite, happeningsOf } from './happenings.ts'
import { eventRows } from './new-event.ts'
import { writeEvents, type Send } from './write-events.ts'

interface Flush {
  work: UnitOfWork | undefined
}

const flushes = new Carried<Flush>()

/** Runs a flush so that it can be recorded. */
export function recordingFlush<T>(flush: () => Promise<T>): Promise<T> {
  return flushes.run({ work: undefined }, flush)
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

/** Writes the events of the flush under way, in its transaction. @throws NO_ACTOR */
export async function recordFlush(schema: Identifier, send: Send): Promise<void> {
  const flush = flushes.current()
  const work = flush?.work
  if (flush === undefined || work === undefined) return
  flush.work = undefined
  const happenings = happeningsOf(work)
  if (happenings.length > 0) await writeEvents(send, schema, eventRows(happenings))
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
