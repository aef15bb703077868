/** An event before it is written: who, when, what. */
import { actorKey, currentContext } from '../context/context.ts'
import { newIds, timeOfId } from '../ids.ts'
import type { EventChanges } from './audit-event.ts'

/** What happened to one row, or to many rows of one entity. */
export interface Happening {
  readonly entity: string
  readonly entityId?: string | null
  readonly action: string
  readonly changes?: EventChanges
  readonly details?: Readonly<Record<string, unknown>> | undefined
  /** Default 1. */
  readonly count?: number
  readonly cascadeId?: string | undefined
}

/** A row of the table, by column; JSON is text already. */
export interface EventRow {
  readonly id: string
  readonly entity: string
  readonly entity_id: string | null
  readonly action: string
  readonly actor: string
  readonly at: string
  readonly request_id: string | null
  readonly changes: string
  readonly details: string | null
  readonly count: number
  readonly cascade_id: string | null
}

/** Who did it, where it is not who the context says. */
export interface Attribution {
  /** As in audit columns. */
  readonly actor?: string | undefined
  readonly requestId?: string | undefined
}

/** Of the time that an id begins with, with the hyphen in it. */
const TIME_LENGTH = 13

/** Rows for what happened, by the active actor unless another one is named. @throws NO_ACTOR */
export function eventRows(
  happenings: readonly Happening[],
  by: Attribution = {},
  ids: readonly string[] = newIds(happenings.length),
): EventRow[] {
  const actor = by.actor ?? actorKey()
  const requestId = by.requestId ?? currentContext()?.requestId ?? null
  let stamped = ''
  let at = ''
  return happenings.map(({ entity, entityId, action, changes, details, count, cascadeId }, index) => {
    const id = ids[index]!
    // Many events have one millisecond.
    const time = id.slice(0, TIME_LENGTH)
    if (time !== stamped) {
      stamped = time
      at = timeOfId(id).toISOString()
    }
    return {
      id,
      entity,
      entity_id: entityId ?? null,
      action,
      actor,
      at,
      request_id: requestId,
      changes: changes === undefined ? '{}' : jsonOf(changes),
      details: details === undefined ? null : jsonOf(details),
      count: count ?? 1,
      cascade_id: cascadeId ?? null,
    }
  })
}

/** What JSON of PostgreSQL cannot be taken apart with: a zero character, and halves of surrogate pairs. Its text has neither. */
const UNFIT = /\\u(?:0000|d[89a-f])/i

function jsonOf(value: object): string {
  const json = JSON.stringify(value)
  return UNFIT.test(json) ? JSON.stringify(value, (_key, part: unknown) => (typeof part === 'string' ? wellFormed(part) : part)) : json
}

function wellFormed(text: string): string {
  return text.toWellFormed().replaceAll('\0', '')
}
