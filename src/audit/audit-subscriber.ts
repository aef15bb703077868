/**
 * The audit of a flush: who and when on every row, `em.remove` as an update, and what goes along with a deleted row.
 *
 * It is called after the application's own subscribers, so that nothing they do to a change set escapes it.
 */
import {
  ChangeSet,
  ChangeSetType,
  helper,
  type EntityManager,
  type EntityMetadata,
  type EventSubscriber,
  type FlushEventArgs,
} from '@mikro-orm/postgresql'
import type { DriverInternals } from '../connections/internals.ts'
import { attribute, stampNow, type Row, type Stamp } from './attribution.ts'
import { AUDIT_FIELDS, DELETED_WITH, inheritsAudit, isAudited } from './audit-fields.ts'
import type { Group, Key } from './rows.ts'
import { deleteDependents, hasDependents, lockLive } from './soft-deletion.ts'

type UnitOfWork = FlushEventArgs['uow']

/** The part of a unit of work that is extended for one flush. */
interface Persisting {
  persistToDatabase?(groups: unknown, transaction: unknown): Promise<void>
}

/** What one flush deletes. */
interface Deletions {
  readonly entities: Set<object>
  readonly groups: Group[]
  readonly stamp: Stamp
}

const AUDIT: ReadonlySet<string> = new Set([...AUDIT_FIELDS, DELETED_WITH])

const lifeChanges = new WeakMap<object, 'delete' | 'restore' | 'update'>()

/**
 * Deletes or restores an entity with the next flush, in the same update as its other changes, and keeps it managed: for what is archived by a
 * status as well. It takes nothing along.
 */
export function changeLife(entity: object, change: 'delete' | 'restore'): void {
  lifeChanges.set(entity, change)
  // Seen as changed even if nothing else is.
  ;(entity as Row)['deletedAt'] = change === 'delete' ? new Date() : null
}

/** Attributes an update with the next flush though no column changes: of what changes in its collections alone. It must have audit fields. */
export function touch(entity: object): void {
  lifeChanges.set(entity, 'update')
  // Seen as changed; the flush puts its own time.
  ;(entity as Row)['updatedAt'] = new Date(0)
}

export class AuditSubscriber implements EventSubscriber {
  readonly #deletions = new WeakMap<UnitOfWork, Deletions>()

  onFlush({ uow, em }: FlushEventArgs): Promise<void> {
    let stamp: Stamp | undefined
    const deletions: Deletions['entities'] = new Set()
    const groups = new Map<ChangeSet<object>['meta'], Key[]>()
    const driver = em.getDriver() as unknown as DriverInternals
    for (const changeSet of uow.getChangeSets()) {
      if (!isAudited(changeSet.meta)) continue
      stamp ??= stampNow((em as EntityManager).getTransactionContext())
      if (!attributeChange(ownerOf(changeSet), changeSet, stamp, uow)) continue
      deletions.add(changeSet.entity)
      if (!hasDependents(driver, changeSet.meta)) continue
      const key = changeSet.getPrimaryKey() as Key
      const keys = groups.get(changeSet.meta)
      if (keys === undefined) groups.set(changeSet.meta, [key])
      else keys.push(key)
    }
    if (deletions.size === 0) return Promise.resolve()
    const deleted = { entities: deletions, groups: [...groups].map(([meta, keys]) => ({ meta, keys })), stamp: stamp! }
    this.#deletions.set(uow, deleted)
    if (deleted.groups.length > 0) {
      const isLoaded = (meta: EntityMetadata) => uow.getIdentityMap().getStore(meta).size > 0
      extend(uow, async (persist, transaction) => {
        const live = await lockLive(driver, deleted.groups, transaction)
        await persist()
        const gone = await deleteDependents(driver, live, deleted.stamp, transaction, isLoaded)
        for (const entity of loadedAmong(uow, gone)) deletions.add(entity)
      })
    }
    return Promise.resolve()
  }

  /** As after a real delete: a later `findOne` asks the database, where the filter hides the row. */
  afterFlush({ uow }: FlushEventArgs): Promise<void> {
    const deletions = this.#deletions.get(uow)
    if (deletions === undefined) return Promise.resolve()
    this.#deletions.delete(uow)
    const { entities, stamp } = deletions
    for (const entity of entities) {
      Object.assign(entity, { deletedAt: stamp.at, deletedBy: stamp.by, updatedAt: stamp.at, updatedBy: stamp.by })
      uow.unsetIdentity(entity)
    }
    return Promise.resolve()
  }
}

/** A change set of a table for each type: those of its parents' tables hang on it. */
interface Layered {
  tptChangeSets?: ChangeSet<object>[]
}

/** The change set of the table in which the audit fields stand. */
function ownerOf(changeSet: ChangeSet<object>): ChangeSet<object> {
  if (!inheritsAudit(changeSet.meta)) return changeSet
  const parents = ((changeSet as Layered).tptChangeSets ??= [])
  const found = parents.find(({ meta }) => !inheritsAudit(meta))
  if (found !== undefined) return found
  const made = new ChangeSet(changeSet.entity, changeSet.type, {}, changeSet.meta.root)
  made.originalEntity = changeSet.originalEntity as never
  parents.push(made)
  return made
}

/** Attributes a change; answers whether it deletes a row that lives. */
function attributeChange(changeSet: ChangeSet<object>, leaf: ChangeSet<object>, stamp: Stamp, uow: UnitOfWork): boolean {
  const entity = changeSet.entity as Row
  const original = (leaf.originalEntity ?? {}) as Row
  const change = lifeChanges.get(entity)
  if (change !== undefined) lifeChanges.delete(entity)
  switch (changeSet.type) {
    case ChangeSetType.CREATE:
      attribute(changeSet.payload as Row, 'create', stamp)
      entity['createdAt'] = stamp.at
      entity['createdBy'] = stamp.by
      entity['updatedAt'] = stamp.at
      entity['updatedBy'] = stamp.by
      if (entity['deletedAt'] != null || entity['deletedBy'] != null) Object.assign(entity, { deletedAt: null, deletedBy: null })
      return false
    case ChangeSetType.UPDATE:
    case ChangeSetType.UPDATE_EARLY: {
      let isForgery = leaf === changeSet
      for (const field in changeSet.payload)
        if (AUDIT.has(field)) revert(entity, field, original[field])
        else isForgery = false
      const kind = change ?? (isForgery ? 'none' : 'update')
      attribute(changeSet.payload as Row, kind, stamp)
      if (kind === 'none') return false
      entity['updatedAt'] = stamp.at
      entity['updatedBy'] = stamp.by
      if (kind !== 'update')
        Object.assign(entity, kind === 'delete' ? { deletedAt: stamp.at, deletedBy: stamp.by } : { deletedAt: null, deletedBy: null })
      return false
    }
    case ChangeSetType.DELETE:
    case ChangeSetType.DELETE_EARLY: {
      const isGone = original['deletedAt'] != null
      const payload: Row = {}
      attribute(payload, isGone ? 'none' : 'delete', stamp)
      // Before what is inserted: a value that was unique is free for a new row.
      changeSet.type = ChangeSetType.UPDATE_EARLY
      changeSet.payload = payload
      if (leaf !== changeSet) {
        leaf.type = ChangeSetType.UPDATE_EARLY
        leaf.payload = {}
      }
      ;(uow.getRemoveStack() as Set<object>).delete(entity)
      if (!isGone) Object.assign(entity, { deletedAt: stamp.at, deletedBy: stamp.by, updatedAt: stamp.at, updatedBy: stamp.by })
      return !isGone
    }
  }
}

/** What was set by hand was never stored. */
function revert(entity: Row, field: string, stored: unknown): void {
  if (stored === undefined) delete entity[field]
  else entity[field] = stored !== null && field.endsWith('At') ? new Date(stored as string) : stored
}

/** Work around a flush's own statements, in its transaction. */
function extend(uow: UnitOfWork, work: (persist: () => Promise<void>, transaction: unknown) => Promise<void>): void {
  const target = uow as unknown as Persisting
  const persist = (Object.getPrototypeOf(target) as Required<Persisting>).persistToDatabase
  target.persistToDatabase = async function (groups, transaction) {
    delete target.persistToDatabase
    await work(() => persist.call(target, groups, transaction), transaction)
  }
}

/** What is loaded of rows that went along: it is not managed any more either. */
function* loadedAmong(uow: UnitOfWork, groups: readonly Group[]): Generator<object> {
  for (const { meta, keys } of groups) {
    const gone = new Set(keys.map(String))
    for (const entity of uow.getIdentityMap().getStore<object>(meta).values())
      if (gone.has(helper(entity).getSerializedPrimaryKey())) yield entity
  }
}
