/**
 * Records flushes. The events of a flush are written inside its transaction, in one statement, after its inserts and updates: by then keys
 * and defaults of the database are known, and what happens to the transaction happens to the events.
 *
 * MikroORM tells subscribers of a flush before its transaction begins and after it has ended. In between, and always, it calls the driver's
 * `syncCollections`; which flush that is, is known by the asynchronous context.
 */
import type { EventSubscriber, FlushEventArgs, UnitOfWork } from '@mikro-orm/postgresql'
import { Carried } from '../context/carried.ts'
import { HistoryAppendOnlyError } from '../errors.ts'
import type { Identifier } from '../naming.ts'
import { historyOf, isAuditEvent } from './audit-event.ts'
import { happeningsOf } from './happenings.ts'
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
