/** Pages of a history, newest first, by keyset over the id, which holds the time. */
import type { EntityManager, EntitySchema } from '@mikro-orm/postgresql'
import { ValidationFailedError } from '../errors.ts'
import { lowestIdAt } from '../ids.ts'
import type { AuditEvent, EventChanges } from './audit-event.ts'

/** What a list of events may be narrowed to. */
export interface EventQuery {
  /** The name of the entity, as in `AuditEvent.entity`. */
  readonly entity?: string | undefined
  /** Needs `entity`. */
  readonly entity_id?: string | undefined
  /** As in audit columns: `global:<id>`, `tenant:<id>`, `system:<job>`. */
  readonly actor?: string | undefined
  readonly action?: string | undefined
  /** From this time on, ISO 8601. */
  readonly from?: string | undefined
  /** Before this time, ISO 8601. */
  readonly to?: string | undefined
  /** 1 to 200. Default 50. */
  readonly limit?: number | undefined
  readonly cursor?: string | undefined
}

/** An event as clients see it. */
export interface EventJson {
  readonly id: string
  readonly entity: string
  readonly entity_id: string | null
  readonly action: string
  readonly actor: string
  /** ISO 8601 in UTC. */
  readonly at: string
  readonly request_id: string | null
  readonly changes: EventChanges
  readonly details: Readonly<Record<string, unknown>> | null
  readonly count: number
  readonly cascade_id: string | null
  /** The place in the sealed chain; null until it is sealed. */
  readonly position: number | null
  readonly hash: string | null
}

/** A page of events. */
export interface EventPage {
  readonly items: readonly EventJson[]
  readonly next_cursor: string | null
}

const DEFAULT_LIMIT = 50
const MAX_LIMIT = 200
const MAX_LENGTH = 1_000
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** @throws VALIDATION_FAILED */
export async function listEvents(em: EntityManager, entity: EntitySchema, query: EventQuery): Promise<EventPage> {
  const limit = query.limit ?? DEFAULT_LIMIT
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > MAX_LIMIT)
    throw invalid('limit', `must be a whole number from 1 to ${MAX_LIMIT}`)
  const where = { $and: conditionsOf(query) }
  const rows = (await em.find(entity, where as never, { orderBy: { id: 'desc' } as never, limit: limit + 1 })) as unknown as EventEntity[]
  const page = rows.slice(0, limit)
  return {
    items: page.map(toJson),
    next_cursor: rows.length > limit ? Buffer.from(page.at(-1)!.id).toString('base64url') : null,
  }
}

type EventEntity = (typeof AuditEvent.tenant)['~entity']

function conditionsOf(query: EventQuery): object[] {
  const { entity, entity_id: entityId, actor, action, from, to, cursor } = query
  if (entityId !== undefined && entity === undefined) throw invalid('entity', 'is required with entity_id')
  const conditions: object[] = []
  for (const [path, column, value] of [
    ['entity', 'entity', entity],
    ['entity_id', 'entityId', entityId],
    ['actor', 'actor', actor],
    ['action', 'action', action],
  ] as const) {
    if (value === undefined) continue
    // PostgreSQL's text cannot hold a zero character.
    if (value.length > MAX_LENGTH || value.includes('\0'))
      throw invalid(path, `must have at most ${MAX_LENGTH} characters, and no zero character`)
    conditions.push({ [column]: value })
  }
  if (from !== undefined) conditions.push({ id: { $gte: lowestIdAt(timeOf('from', from)) } })
  if (to !== undefined) conditions.push({ id: { $lt: lowestIdAt(timeOf('to', to)) } })
  if (cursor !== undefined) {
    const id = Buffer.from(cursor, 'base64url').toString('utf8')
    if (!UUID.test(id)) throw invalid('cursor', 'is not a cursor of this list')
    conditions.push({ id: { $lt: id } })
  }
  return conditions
}

function timeOf(path: string, text: string): Date {
  const time = new Date(text)
  if (!/^\d{4}-\d{2}-\d{2}/.test(text) || Number.isNaN(time.getTime())) throw invalid(path, 'must be a time in ISO 8601')
  return time
}

function toJson(row: EventEntity): EventJson {
  return {
    id: row.id,
    entity: row.entity,
    entity_id: row.entityId ?? null,
    action: row.action,
    actor: row.actor,
    at: row.at.toISOString(),
    request_id: row.requestId ?? null,
    changes: row.changes,
    details: row.details ?? null,
    count: row.count,
    cascade_id: row.cascadeId ?? null,
    position: row.position ?? null,
    hash: row.hash ?? null,
  }
}

function invalid(path: string, message: string): ValidationFailedError {
  return new ValidationFailedError([{ path, message }])
}
