/** What a flush does, as the history tells it: from change sets and collections to happenings. */
import {
  ChangeSetType,
  JsonType,
  helper,
  isRaw,
  type ChangeSet,
  type Collection,
  type EntityMetadata,
  type EntityProperty,
  type UnitOfWork,
} from '@mikro-orm/postgresql'
import type { BulkWrite } from '../audit/bulk-write.ts'
import { historyOf, type EventChanges } from './audit-event.ts'
import type { Happening } from './new-event.ts'

/** What stands instead of a secret. That there is none, or none any more, is told. */
export const REDACTED = '[redacted]'

/** Told by action, actor and time of the event itself. */
const TOLD: ReadonlySet<string> = new Set(['createdAt', 'createdBy', 'updatedAt', 'updatedBy', 'deletedAt', 'deletedBy', 'deletedWith'])

type Show = (value: unknown) => unknown
type Payload = Readonly<Record<string, unknown>>

/** What happened to the entities of a flush that have a history, but for the change sets that are told already. */
export function happeningsOf(uow: UnitOfWork, told: Pick<ReadonlySet<ChangeSet<object>>, 'has'>): Happening[] {
  const collections = changedCollections(uow)
  const happenings: Happening[] = []
  for (const changeSet of uow.getChangeSets() as ChangeSet<object>[]) {
    if (historyOf(changeSet.meta) === undefined || told.has(changeSet)) continue
    const happening = happeningOf(changeSet, collections.get(changeSet.entity))
    collections.delete(changeSet.entity)
    if (happening !== undefined) happenings.push(happening)
  }
  for (const [owner, changes] of collections) {
    const { className } = metaOf(owner)
    happenings.push({ entity: className, entityId: keyOf(helper(owner).getPrimaryKey(true)), action: 'update', changes })
  }
  return happenings
}

/** Whether all that happens to the entity of a change set is its columns', whose values will not change any more once they were sent. */
export function isToldByColumns({ meta, tptChangeSets }: ChangeSet<object>): boolean {
  return historyOf(meta) !== undefined && tptChangeSets === undefined && !meta.relations.some(({ kind }) => kind === 'm:n')
}

/** What happened to one entity; `undefined` where a flush changed nothing that is told. */
export function happeningOf(changeSet: ChangeSet<object>, collections?: EventChanges): Happening | undefined {
  const { meta, type, entity } = changeSet
  const at = { entity: meta.className, entityId: keyOf(changeSet.getPrimaryKey()) }
  const before = (changeSet.originalEntity ?? (helper(entity).__originalEntityData as Payload | undefined) ?? {}) as Payload
  if (type === ChangeSetType.DELETE || type === ChangeSetType.DELETE_EARLY)
    return { ...at, action: 'deletedAt' in meta.properties ? 'purge' : 'delete', changes: changesOf(meta, before, undefined) }
  const payload = wholePayload(changeSet)
  if (type === ChangeSetType.CREATE) return { ...at, action: 'create', changes: changesOf(meta, undefined, payload, collections) }
  const changes = changesOf(meta, changeSet.originalEntity as Payload | undefined, payload, collections)
  const action = updateAction(changeSet.originalEntity as Payload | undefined, payload)
  return action === 'update' && Object.keys(changes).length === 0 ? undefined : { ...at, action, changes }
}

/** Deleting softly and restoring are updates of one column. */
function updateAction(before: Payload | undefined, after: Payload): 'update' | 'delete' | 'restore' {
  if (!('deletedAt' in after)) return 'update'
  const [was, is] = [before?.['deletedAt'] != null, after['deletedAt'] != null]
  if (was === is) return 'update'
  return is ? 'delete' : 'restore'
}

/** With the tables of an inheritance that have one each, a change set has parts. */
function wholePayload({ payload, tptChangeSets }: ChangeSet<object>): Payload {
  if (tptChangeSets === undefined) return payload as Payload
  return Object.assign({}, ...(tptChangeSets ?? []).map(part => part.payload), payload) as Payload
}

function changesOf(
  meta: EntityMetadata,
  before: Payload | undefined,
  after: Payload | undefined,
  collections?: EventChanges,
): EventChanges {
  const changes: Record<string, readonly [unknown, unknown]> = {}
  const plan = planOf(meta)
  for (const name of Object.keys(after ?? before ?? {})) {
    const show = showing(plan, meta, name)
    if (show === null) continue
    const pair = [show(before?.[name]), show(after?.[name])] as const
    // A new row's empty fields say nothing.
    if (pair[0] !== null || pair[1] !== null) changes[name] = pair
  }
  return collections === undefined ? changes : Object.assign(changes, collections)
}

/** How many rows that a cascade began with are named. */
const NAMES_MAX = 20

/** What a write of many rows does: one happening, whatever their number. Values before are not known. */
export function happeningOfWrite(write: BulkWrite, affectedRows: number, cascadeId: string | undefined): Happening {
  const { meta, action, data, where, cascade } = write
  const begins = cascade?.split(', ') ?? []
  return {
    entity: meta.className,
    entityId: affectedRows === 1 ? (keyIn(meta, data) ?? keyIn(meta, where)) : null,
    action,
    changes: data === undefined ? {} : changesOf(meta, undefined, data),
    details: cascade === undefined ? undefined : { cascade: begins.slice(0, NAMES_MAX), cascade_rows: begins.length },
    count: affectedRows,
    cascadeId,
  }
}

/** The key of the one row that data or a condition names, if it does so plainly. */
function keyIn(meta: EntityMetadata, given: unknown): string | null {
  const name = meta.primaryKeys[0]
  if (name === undefined || meta.primaryKeys.length > 1 || given == null) return null
  const key: unknown = typeof given === 'object' ? (given as Payload)[name] : given
  return typeof key === 'string' || typeof key === 'number' || typeof key === 'bigint' ? String(key) : null
}

/** By property. */
type Plan = Map<string, Show | null>

const plans = new WeakMap<EntityMetadata, Plan>()

function planOf(meta: EntityMetadata): Plan {
  const known = plans.get(meta)
  if (known !== undefined) return known
  const plan: Plan = new Map()
  plans.set(meta, plan)
  return plan
}

/** How a property's values are shown; `null` for one that is not. Found once for each. */
function showing(plan: Plan, meta: EntityMetadata, name: string): Show | null {
  let show = plan.get(name)
  if (show === undefined) plan.set(name, (show = showOf(meta, name)))
  return show
}

function showOf(meta: EntityMetadata, name: string): Show | null {
  const property = meta.properties[name] as EntityProperty | undefined
  if (property === undefined || property.primary === true || property.version === true || TOLD.has(name)) return null
  if (isSecret(meta, property)) return value => (value == null ? null : REDACTED)
  return property.customType instanceof JsonType ? value => shown(parsed(value)) : shown
}

/** Hidden or named, itself or the embeddable that it is a part of. */
function isSecret(meta: EntityMetadata, property: EntityProperty): boolean {
  if (property.hidden === true || historyOf(meta)?.redact.has(property.name) === true) return true
  const outer = property.embedded?.[0]
  return outer !== undefined && isSecret(meta, meta.properties[outer] as EntityProperty)
}

/** Snapshots hold JSON as the text that goes to the database. */
function parsed(value: unknown): unknown {
  if (typeof value !== 'string') return value
  try {
    return JSON.parse(value) as unknown
  } catch {
    return value
  }
}

function shown(value: unknown): unknown {
  if (value == null) return null
  if (typeof value === 'bigint') return value.toString()
  if (typeof value !== 'object') return value
  if (value instanceof Date) return value.toJSON()
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  if (isRaw(value)) return '[sql]'
  // The id of a row that the same flush has just made.
  if ('getValue' in value && typeof value.getValue === 'function') return shown(value.getValue())
  if (helper(value) !== undefined) return keyOf(helper(value).getPrimaryKey(true))
  return Array.isArray(value) ? value.map(shown) : value
}

/** An id as text: one column as it is, several as a JSON array. */
function keyOf(key: unknown): string | null {
  if (key == null) return null
  return typeof key === 'object' && !(key instanceof Date) ? JSON.stringify(key) : String(shown(key))
}

/** Many-to-many collections: the ids before (null where they were not loaded) and after. */
function changedCollections(uow: UnitOfWork): Map<object, EventChanges> {
  const changed = new Map<object, Record<string, readonly [unknown, unknown]>>()
  for (const collection of uow.getCollectionUpdates() as Collection<object>[]) {
    const { owner, property } = collection
    if (property.kind !== 'm:n' || historyOf(metaOf(owner)) === undefined) continue
    const ids = (items: readonly object[]) => items.map(item => keyOf(helper(item).getPrimaryKey(true)))
    const snapshot = collection.getSnapshot() as object[] | undefined
    const changes = changed.get(owner) ?? {}
    changes[property.name] = [snapshot === undefined ? null : ids(snapshot), ids(collection.getItems(false))]
    changed.set(owner, changes)
  }
  return changed
}

function metaOf(entity: object): EntityMetadata {
  return helper(entity).__meta as EntityMetadata
}
