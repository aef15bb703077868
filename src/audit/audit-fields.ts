/**
 * The six audit fields and the soft-delete filter that every entity of this framework carries.
 *
 * They are filled by the ORM from the context's actor; one clock reading serves all fields of one entity.
 */
import { p } from '@mikro-orm/postgresql'
import { actorKey } from '../context/context.ts'

/** Long enough for `<plane>:<id>` with any id an application is likely to have. */
const ACTOR_LENGTH = 255

/** The names of the six audit fields, in the order in which they are shown. */
export const AUDIT_FIELDS = ['createdAt', 'createdBy', 'updatedAt', 'updatedBy', 'deletedAt', 'deletedBy'] as const

/** One of the six audit fields. */
export type AuditField = (typeof AUDIT_FIELDS)[number]

/** The name of the default filter that hides deleted rows; `{ filters: { [SOFT_DELETE_FILTER]: false } }` shows them. */
export const SOFT_DELETE_FILTER = 'notDeleted'

/**
 * The six audit fields, to spread into `properties`. `sharedEntity`, `tenantEntity` and `bothEntity` do so.
 *
 * The values are made anew for each entity: a property builder must not be shared between two of them.
 */
export function auditProperties() {
  return {
    createdAt: p.datetime(3).onCreate(() => new Date()),
    createdBy: p
      .string()
      .length(ACTOR_LENGTH)
      .onCreate(() => actorKey()),
    updatedAt: p
      .datetime(3)
      .onCreate(() => new Date())
      .onUpdate(() => new Date()),
    updatedBy: p
      .string()
      .length(ACTOR_LENGTH)
      .onCreate(() => actorKey())
      .onUpdate(() => actorKey()),
    deletedAt: p.datetime(3).nullable(),
    deletedBy: p.string().length(ACTOR_LENGTH).nullable(),
  }
}

/** The type of {@link auditProperties}. */
export type AuditProperties = ReturnType<typeof auditProperties>

/** The soft-delete filter, on by default. */
export function softDeleteFilter() {
  return { [SOFT_DELETE_FILTER]: { name: SOFT_DELETE_FILTER, cond: { deletedAt: null }, default: true } }
}
