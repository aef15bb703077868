/**
 * `sharedEntity`, `tenantEntity`, `bothEntity`: MikroORM's `defineEntity` with a scope, the six audit fields and the soft-delete filter.
 */
import {
  defineEntity,
  p,
  type EntityMetadataWithProperties,
  type EntitySchema,
  type EntitySchemaWithMeta,
  type InferEntityFromProperties,
  type PropertyBuilders,
} from '@mikro-orm/postgresql'
import { auditProperties, softDeleteFilter, type AuditField, type AuditProperties } from '../audit/audit-fields.ts'
import { ConfigurationError } from '../errors.ts'
import { SHARED_SCHEMA } from '../naming.ts'
import { visibilityFilter } from './visibility.ts'
import { HISTORY, SCOPE, VISIBLE_TO, WILDCARD_SCHEMA, marksOf, type HistoryMark, type Plane, type Scope } from './scope.ts'

/** The properties of an entity: builders, and functions that return one where entities refer to each other. */
export type EntityProperties = Record<string, unknown>

/** An index or a unique constraint over properties of the entity. */
export interface ScopedIndex<TName extends string> {
  readonly properties: NoInfer<TName> | readonly NoInfer<TName>[]
  readonly name?: string
  readonly type?: string
  readonly where?: NoInfer<{ readonly [K in TName]?: unknown }> | string
}

/** What the option `history` takes beside `true`. */
export interface HistoryOptions<TName extends string> {
  /** Properties whose values are left out of the history; those that are `hidden()` always are. Default: none. */
  readonly redact?: readonly NoInfer<TName>[]
}

/** What `sharedEntity` and `tenantEntity` take: MikroORM's `defineEntity` options without `schema`, which follows from the scope. */
export interface ScopedEntityOptions<TName extends string, TTable extends string, TProperties extends EntityProperties> extends Omit<
  EntityMetadataWithProperties<TName, TTable, TProperties & AuditProperties>,
  'properties' | 'schema' | 'extends' | 'indexes' | 'uniques'
> {
  /** Indexes. `where` makes a partial one: `{ deletedAt: null }` holds among live rows only. */
  readonly indexes?: readonly ScopedIndex<Extract<keyof TProperties, string> | AuditField>[]
  /** Unique constraints. `where: { deletedAt: null }` frees a value when its row is deleted. */
  readonly uniques?: readonly ScopedIndex<Extract<keyof TProperties, string> | AuditField>[]
  /** Records every change of a row in the history of its plane, in the same transaction. Default false. */
  readonly history?: boolean | HistoryOptions<Extract<keyof TProperties, string>>
  readonly properties: TProperties | ((p: PropertyBuilders) => TProperties)
}

/** What `sharedEntity` takes beside it. */
export interface SharedEntityOptions<
  TName extends string,
  TTable extends string,
  TProperties extends EntityProperties,
  TVisible extends string = never,
> extends ScopedEntityOptions<TName, TTable, TProperties> {
  /**
   * The name of a property, added to the entity, that lists the ids of the tenants who may see a row. A row with an empty list is seen by
   * all; without a tenant only such rows are seen; `runAsSystem` sees all. Default: every row is seen by everyone.
   */
  readonly visibleTo?: TVisible
}

/** What `bothEntity` takes: the properties may depend on the plane, so that a relation can name the right half of another pair. */
export interface BothEntityOptions<TName extends string, TTable extends string, TProperties extends EntityProperties> extends Omit<
  ScopedEntityOptions<TName, TTable, TProperties>,
  'properties'
> {
  readonly properties: TProperties | ((p: PropertyBuilders, plane: Plane) => TProperties)
}

/** An entity with the six audit fields. */
export type ScopedEntity<TName extends string, TTable extends string, TProperties extends EntityProperties> = EntitySchemaWithMeta<
  TName,
  TTable,
  InferEntityFromProperties<TProperties & AuditProperties>,
  never,
  TProperties & AuditProperties
>

/** The two entities of one definition: a table in the control plane, and a table in each tenant. */
export interface BothEntity<TName extends string, TTable extends string, TProperties extends EntityProperties> {
  readonly name: TName
  /** The table in the control plane; its entity is named `Shared<name>`. */
  readonly shared: ScopedEntity<`Shared${TName}`, TTable, TProperties>
  /** The table in each tenant. */
  readonly tenant: ScopedEntity<TName, TTable, TProperties>
}

/** A pair of any properties. */
export interface AnyBothEntity {
  readonly name: string
  readonly shared: EntitySchema
  readonly tenant: EntitySchema
}

/**
 * Defines an entity of the control plane: one table for all tenants, in the schema `public`.
 *
 * A tenant reads it and never writes it. It must not refer to a tenant or both entity's tenant half.
 *
 * @throws CONFIGURATION_INVALID if an audit field is defined again.
 * @example
 * export const Plan = sharedEntity({ name: 'Plan', properties: p => ({ id: p.uuid().primary().onCreate(() => newId()), code: p.string() }) })
 */
export function sharedEntity<
  const TName extends string,
  const TTable extends string,
  const TProperties extends EntityProperties,
  const TVisible extends string = never,
>(
  options: SharedEntityOptions<TName, TTable, TProperties, TVisible>,
): ScopedEntity<TName, TTable, TProperties & Record<TVisible, ReturnType<typeof visibilityProperty>>> {
  const { visibleTo, ...rest } = options
  return scoped(rest as never, 'shared', 'shared', visibleTo)
}

/**
 * Defines an entity of the tenants: a table in each tenant, and none in the control plane.
 *
 * @throws CONFIGURATION_INVALID if an audit field is defined again.
 * @example
 * export const Invoice = tenantEntity({ name: 'Invoice', properties: p => ({ id: p.uuid().primary().onCreate(() => newId()) }) })
 */
export function tenantEntity<const TName extends string, const TTable extends string, const TProperties extends EntityProperties>(
  options: ScopedEntityOptions<TName, TTable, TProperties>,
): ScopedEntity<TName, TTable, TProperties> {
  return scoped(options, 'tenant', 'tenant')
}

/**
 * Defines a pair of entities: a table in the control plane, and a table in each tenant. Rows never mix.
 *
 * @throws CONFIGURATION_INVALID if an audit field is defined again.
 * @example
 * export const User = bothEntity({ name: 'User', properties: p => ({ id: p.uuid().primary().onCreate(() => newId()), email: p.string() }) })
 * await em().find(User.tenant, {})
 * await controlEm().find(User.shared, {})
 */
export function bothEntity<const TName extends string, const TTable extends string, const TProperties extends EntityProperties>(
  options: BothEntityOptions<TName, TTable, TProperties>,
): BothEntity<TName, TTable, TProperties> {
  const { properties } = options
  const half = (plane: Plane) => ({ ...options, properties: typeof properties === 'function' ? properties(p, plane) : properties })
  const tenant = scoped<TName, TTable, TProperties>(half('tenant'), 'both', 'tenant')
  const tableName = options.tableName ?? snakeCase(options.name)
  const shared = scoped<`Shared${TName}`, TTable, TProperties>(
    { ...half('shared'), name: `Shared${options.name}`, tableName } as never,
    'both',
    'shared',
  )
  return Object.freeze({ name: options.name, shared, tenant })
}

/** The ids of the tenants who may see a row; empty means everyone. */
function visibilityProperty() {
  return p.array().$type<string[]>().columnType('uuid[]').default([])
}

function scoped<TName extends string, TTable extends string, TProperties extends EntityProperties>(
  options: ScopedEntityOptions<TName, TTable, TProperties>,
  scope: Scope,
  plane: Plane,
  visibleTo?: string,
): ScopedEntity<TName, TTable, TProperties> {
  const { properties, history = false, ...meta } = options
  const own: EntityProperties = typeof properties === 'function' ? properties(p) : properties
  const added: EntityProperties = {
    ...(visibleTo === undefined ? {} : { [visibleTo]: visibilityProperty() }),
    ...auditProperties(),
  }
  const twice = Object.keys(added).filter(name => name in own)
  if (twice.length > 0)
    throw new ConfigurationError([`${options.name}: ${twice.join(', ')} come with the entity; do not define them again.`])
  const entity = defineEntity({
    ...meta,
    schema: plane === 'tenant' ? WILDCARD_SCHEMA : SHARED_SCHEMA,
    filters: { ...softDeleteFilter(), ...(visibleTo === undefined ? {} : visibilityFilter(visibleTo)), ...meta.filters },
    properties: { ...own, ...added },
  } as never) as unknown as ScopedEntity<TName, TTable, TProperties>
  const marks = marksOf(entity.meta)
  marks[SCOPE] = scope
  if (visibleTo !== undefined) marks[VISIBLE_TO] = visibleTo
  if (history !== false) marks[HISTORY] = historyMark(options.name, own, history === true ? [] : (history.redact ?? []))
  return entity
}

function historyMark(entity: string, own: EntityProperties, redact: readonly string[]): HistoryMark {
  const unknown = redact.filter(name => !(name in own))
  if (unknown.length > 0) throw new ConfigurationError([`${entity}: history.redact names ${unknown.join(', ')}, which it does not have.`])
  return Object.freeze({ redact: new Set(redact) })
}

/** MikroORM's UnderscoreNamingStrategy, for the table name that both halves of a pair share. */
export function snakeCase(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase()
}
