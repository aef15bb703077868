/**
 * The scope of an entity, and where its table stands.
 *
 * The scope is kept on the metadata under a symbol that survives MikroORM's discovery; the plane of a table follows from its schema, so
 * that pivot tables and the children of an inheritance answer as well.
 */
import type { EntityMetadata } from '@mikro-orm/postgresql'

/** `shared`: the control plane only; `tenant`: each tenant only; `both`: a table in each. */
export type Scope = 'shared' | 'tenant' | 'both'

/** Where a table stands: in the control plane, or in a tenant. */
export type Plane = 'shared' | 'tenant'

/** MikroORM's sign for "the schema of the EntityManager". */
export const WILDCARD_SCHEMA = '*'

export const SCOPE = Symbol.for('mikro-tenantkit.scope')
export const CONTROL_ONLY = Symbol.for('mikro-tenantkit.control-only')
export const VISIBLE_TO = Symbol.for('mikro-tenantkit.visible-to')
export const HISTORY = Symbol.for('mikro-tenantkit.history')

/** That changes of an entity are recorded, and of which properties the values are left out. */
export interface HistoryMark {
  readonly redact: ReadonlySet<string>
}

/** What the wrappers leave on an entity's metadata. */
export interface ScopeMarks {
  [SCOPE]?: Scope
  /** Shared, and not even read by tenants. */
  [CONTROL_ONLY]?: boolean
  /** The property that lists the tenants who may see a row; empty means everyone. */
  [VISIBLE_TO]?: string
  /** Present when its changes are recorded. */
  [HISTORY]?: HistoryMark
}

/** The marks of an entity's metadata, to read and to write. */
export function marksOf(meta: object): ScopeMarks {
  return meta as ScopeMarks
}

/** Whether the metadata needs a scope at all: abstract entities and embeddables have no table of their own. */
export function hasTable(meta: EntityMetadata): boolean {
  return !meta.abstract && !meta.embeddable && !meta.virtual
}

/** The plane of a discovered entity's table. */
export function planeOf(meta: EntityMetadata): Plane {
  return (meta.root ?? meta).schema === WILDCARD_SCHEMA ? 'tenant' : 'shared'
}
