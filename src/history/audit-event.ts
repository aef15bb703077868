/**
 * The events of the history: one table in the control plane and one in each tenant, made by the framework's own migrations.
 *
 * They are written by SQL of the framework (`write-events.ts`) and read like any entity; every other way of writing them is refused.
 */
import { defineEntity, p, type EntityMetadata } from '@mikro-orm/postgresql'
import { HISTORY, SCOPE, WILDCARD_SCHEMA, marksOf, type HistoryMark, type Plane } from '../classification/scope.ts'
import { SHARED_SCHEMA } from '../naming.ts'

/** The table of the events, in each plane. */
export const EVENT_TABLE = 'tenantkit_audit_event'

/** Where the sealed chain of a plane begins and ends: one row, and no entity. */
export const CHAIN_TABLE = 'tenantkit_audit_chain'

/** The tables of the history, in each plane. */
export const HISTORY_TABLES = [EVENT_TABLE, CHAIN_TABLE] as const

/**
 * What changed, by property: the values before and after. In an event of many rows (`count`) the values before are not known, and null.
 * Values are JSON: dates in ISO 8601, relations as ids, secrets as `[redacted]`.
 */
export type EventChanges = Readonly<Record<string, readonly [before: unknown, after: unknown]>>

const properties = () => ({
  id: p.uuid().primary(),
  /** The name of the entity that changed, or what a control-plane event is about. */
  entity: p.string().length(255),
  /** Null in an event of many rows. */
  entityId: p.text().nullable(),
  /** `create`, `update`, `delete`, `restore`, `purge`, or the name of a control-plane event such as `tenant.suspend`. */
  action: p.string().length(63),
  /** As in audit columns. */
  actor: p.string().length(255),
  /** When it was recorded; the time that stands in the id. */
  at: p.datetime(3),
  requestId: p.text().nullable(),
  changes: p.json<EventChanges>().columnType('json'),
  /** Facts of a control-plane event. */
  details: p.json<Readonly<Record<string, unknown>>>().columnType('json').nullable(),
  /** How many rows it is about. */
  count: p.integer(),
  /** The same in all events of one cascade. */
  cascadeId: p.uuid().nullable(),
  /** The place in the sealed chain, from 1; null until it is sealed. */
  position: p.bigint('number').nullable(),
  hash: p.string().length(64).nullable(),
  previousHash: p.string().length(64).nullable(),
})

function event<const Name extends string>(name: Name, plane: Plane) {
  const schema = plane === 'tenant' ? WILDCARD_SCHEMA : SHARED_SCHEMA
  const entity = defineEntity({ name, tableName: EVENT_TABLE, schema, properties: properties() })
  marksOf(entity.meta)[SCOPE] = 'both'
  return entity
}

/**
 * The events of the history, for reading: `AuditEvent.tenant` in a tenant, `AuditEvent.shared` in the control plane.
 *
 * @example const events = await em().find(AuditEvent.tenant, { entity: 'Invoice', entityId: id }, { orderBy: { id: 'desc' } })
 */
export const AuditEvent = Object.freeze({
  name: 'AuditEvent',
  shared: event('SharedAuditEvent', 'shared'),
  tenant: event('AuditEvent', 'tenant'),
})

/** Whether an entity is the history's own. */
export function isAuditEvent(meta: EntityMetadata | undefined): boolean {
  return meta?.tableName === EVENT_TABLE
}

/** What is recorded of an entity; `undefined` when nothing is. */
export function historyOf(meta: EntityMetadata): HistoryMark | undefined {
  return marksOf(meta)[HISTORY] ?? (meta.root === undefined ? undefined : marksOf(meta.root)[HISTORY])
}
