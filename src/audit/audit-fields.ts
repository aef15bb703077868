/**
 * The six audit fields and the filters that go with them, which every entity of this framework carries.
 *
 * They are filled from the context's actor and the clock of the transaction, and never from what a client gives.
 */
import { p, type EntityMetadata } from '@mikro-orm/postgresql'
import { actorKey } from '../context/context.ts'
import { AuditActor, AuditInstant } from './audit-types.ts'

/** Long enough for `<plane>:<id>` with any id an application is likely to have. */
const ACTOR_LENGTH = 255

/** The names of the six audit fields, in the order in which they are shown. */
export const AUDIT_FIELDS = ['createdAt', 'createdBy', 'updatedAt', 'updatedBy', 'deletedAt', 'deletedBy'] as const

/** One of the six audit fields. */
export type AuditField = (typeof AUDIT_FIELDS)[number]

/** The name of the default filter that hides deleted rows; `withDeleted()` and `onlyDeleted()` switch it off. */
export const SOFT_DELETE_FILTER = 'notDeleted'

/** The name of the filter that shows deleted rows alone; off by default. */
export const DELETED_FILTER = 'onlyDeleted'

/** The column that says with which row another one was deleted; on entities that a cascade reaches. */
export const DELETED_WITH = 'deletedWith'

/**
 * The six audit fields, to spread into `properties`. `sharedEntity`, `tenantEntity` and `bothEntity` do so.
 *
 * The values are made anew for each entity: a property builder must not be shared between two of them.
 */
export function auditProperties() {
  return {
    createdAt: p
      .type(AuditInstant)
      .length(3)
      .onCreate(() => new Date()),
    createdBy: p
      .type(AuditActor)
      .length(ACTOR_LENGTH)
      .onCreate(() => actorKey()),
    updatedAt: p
      .type(AuditInstant)
      .length(3)
      .onCreate(() => new Date()),
    updatedBy: p
      .type(AuditActor)
      .length(ACTOR_LENGTH)
      .onCreate(() => actorKey()),
    deletedAt: p.type(AuditInstant).length(3).nullable(),
    deletedBy: p.type(AuditActor).length(ACTOR_LENGTH).nullable(),
  }
}

/**
 * Lets a change of a child's own table be seen in its parent's, where the fields stand. For entities of one table that is not needed: the
 * flush attributes them.
 */
export function touchParentTables(metas: Iterable<EntityMetadata>): void {
  for (const meta of metas) {
    if (meta.inheritanceType !== 'tpt' || !isAudited(meta)) continue
    meta.properties['updatedAt']!.onUpdate = () => new Date()
    meta.properties['updatedBy']!.onUpdate = () => actorKey()
  }
}

/** The type of {@link auditProperties}. */
export type AuditProperties = ReturnType<typeof auditProperties>

/** The column {@link DELETED_WITH}, for entities with a relation whose policy is `cascade`. */
export function deletedWithProperty() {
  return { [DELETED_WITH]: p.string().length(ACTOR_LENGTH).nullable().hidden() }
}

/** The filters: hiding what is deleted, on by default, and showing nothing else, off by default. */
export function softDeleteFilters() {
  return {
    [SOFT_DELETE_FILTER]: { name: SOFT_DELETE_FILTER, cond: { deletedAt: null }, default: true },
    [DELETED_FILTER]: { name: DELETED_FILTER, cond: { deletedAt: { $ne: null } }, default: false },
  }
}

/** Whether the fields stand in another table than the entity's own: its parent's, where each type has a table. */
export function inheritsAudit(meta: EntityMetadata): boolean {
  return meta.inheritanceType === 'tpt' && !(meta.ownProps ?? meta.props).some(({ name }) => name === 'updatedBy')
}

/** Whether an entity carries the six fields. */
export function isAudited(meta: EntityMetadata | undefined): boolean {
  return meta !== undefined && 'deletedBy' in meta.properties && 'createdBy' in meta.properties && 'updatedBy' in meta.properties
}
