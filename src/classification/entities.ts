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
import { auditProperties, deletedWithProperty, softDeleteFilters, type AuditField, type AuditProperties } from '../audit/audit-fields.ts'
import { setPolicies, type DeletePolicy } from '../audit/policies.ts'
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
  /**
   * Whether it is over live rows alone: a partial index, and a value is free again once its row is deleted. Default: true for a unique
   * constraint without `where`, else false.
   */
  readonly live?: boolean
}

/** What the option `history` takes beside `true`. */
export interface HistoryOptions<TName extends string> {
  /** Properties whose values are left out of the history; those that are `hidden()` always are. Default: none. */
  readonly redact?: readonly NoInfer<TName>[]
}

/** What `sharedEntity` and `tenantEntity` take: MikroORM's `defineEntity` options without `schema`, which follows from the scope. */
export interface ScopedEntityOptions<
  TName extends string,
  TTable extends string,
  TProperties extends EntityProperties,
  TAudit extends boolean = boolean,
> extends Omit<
  EntityMetadataWithProperties<TName, TTable, TProperties & AuditProperties>,
  'properties' | 'schema' | 'extends' | 'indexes' | 'uniques'
> {
  /**
   * Whether the entity carries the six audit fields and is deleted softly. `false` is for what needs neither: its rows are attributed to
   * nobody and deleting is final; `tenantkit check` lists it. Default true.
   */
  readonly audit?: TAudit
  /** Indexes. `live: true` makes a partial one over live rows, which lists of them are read by. */
  readonly indexes?: readonly ScopedIndex<Extract<keyof TProperties, string> | AuditField>[]
  /** Unique constraints: among live rows, unless `live: false` or a `where` says otherwise. */
  readonly uniques?: readonly ScopedIndex<Extract<keyof TProperties, string> | AuditField>[]
  /** Records every change of a row in the history of its plane, in the same transaction. Default false. */
  readonly history?: boolean | HistoryOptions<Extract<keyof TProperties, string>>
  /**
   * What becomes of a row when the row that a to-one relation refers to is deleted, by the relation's name: `cascade` deletes it too (and
   * restores it with the other), `restrict` refuses to delete the other, `keep` leaves it. Default: `keep`.
   */
  readonly onSoftDelete?: Readonly<Partial<Record<NoInfer<Extract<keyof TProperties, string>>, DeletePolicy>>>
  readonly properties: TProperties | ((p: PropertyBuilders) => TProperties)
}

/** What `sharedEntity` takes beside it. */
export interface SharedEntityOptions<
  TName extends string,
  TTable extends string,
  TProperties extends EntityProperties,
  TVisible extends string = never,
  TAudit extends boolean = boolean,
> extends ScopedEntityOptions<TName, TTable, TProperties, TAudit> {
  /**
   * The name of a property, added to the entity, that lists the ids of the tenants who may see a row. A row with an empty list is seen by
   * all; without a tenant only such rows are seen; `runAsSystem` sees all. Default: every row is seen by everyone.
   */
  readonly visibleTo?: TVisible
}

/** What `bothEntity` takes: the properties may depend on the plane, so that a relation can name the right half of another pair. */
export interface BothEntityOptions<
  TName extends string,
  TTable extends string,
  TProperties extends EntityProperties,
  TAudit extends boolean = boolean,
> extends Omit<ScopedEntityOptions<TName, TTable, TProperties, TAudit>, 'properties'> {
  readonly properties: TProperties | ((p: PropertyBuilders, plane: Plane) => TProperties)
}

/** The properties of an entity, with the six audit fields unless it does without. */
export type WithAudit<TProperties extends EntityProperties, TAudit extends boolean> = TAudit extends false
  ? TProperties
  : TProperties & AuditProperties

/** An entity with the six audit fields, unless it does without. */
export type ScopedEntity<
  TName extends string,
  TTable extends string,
  TProperties extends EntityProperties,
  TAudit extends boolean = true,
> = EntitySchemaWithMeta<TName, TTable, InferEntityFromProperties<WithAudit<TProperties, TAudit>>, never, WithAudit<TProperties, TAudit>>

/** The two entities of one definition: a table in the control plane, and a table in each tenant. */
export interface BothEntity<
  TName extends string,
  TTable extends string,
  TProperties extends EntityProperties,
  TAudit extends boolean = true,
> {
  readonly name: TName
  /** The table in the control plane; its entity is named `Shared<name>`. */
  readonly shared: ScopedEntity<`Shared${TName}`, TTable, TProperties, TAudit>
  /** The table in each tenant. */
  readonly tenant: ScopedEntity<TName, TTable, TProperties, TAudit>
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
  const TAudit extends boolean = true,
>(
  options: SharedEntityOptions<TName, TTable, TProperties, TVisible, TAudit>,
): ScopedEntity<TName, TTable, TProperties & Record<TVisible, ReturnType<typeof visibilityProperty>>, TAudit> {
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
export function tenantEntity<
  const TName extends string,
  const TTable extends string,
  const TProperties extends EntityProperties,
  const TAudit extends boolean = true,
>(options: ScopedEntityOptions<TName, TTable, TProperties, TAudit>): ScopedEntity<TName, TTable, TProperties, TAudit> {
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
export function bothEntity<
  const TName extends string,
  const TTable extends string,
  const TProperties extends EntityProperties,
  const TAudit extends boolean = true,
>(options: BothEntityOptions<TName, TTable, TProperties, TAudit>): BothEntity<TName, TTable, TProperties, TAudit> {
  const { properties } = options
  const half = (plane: Plane) => ({ ...options, properties: typeof properties === 'function' ? properties(p, plane) : properties })
  const tenant = scoped<TName, TTable, TProperties, TAudit>(half('tenant'), 'both', 'tenant')
  const tableName = options.tableName ?? snakeCase(options.name)
  const shared = scoped<`Shared${TName}`, TTable, TProperties, TAudit>(
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

function scoped<TName extends string, TTable extends string, TProperties extends EntityProperties, TAudit extends boolean>(
  options: ScopedEntityOptions<TName, TTable, TProperties, TAudit>,
  scope: Scope,
  plane: Plane,
  visibleTo?: string,
): ScopedEntity<TName, TTable, TProperties, TAudit> {
  const { properties, history = false, audit, onSoftDelete = {}, indexes, uniques, ...meta } = options
  const isAudited = audit !== false
  const policies = onSoftDelete as Readonly<Record<string, DeletePolicy>>
  const own: EntityProperties = typeof properties === 'function' ? properties(p) : properties
  const added: EntityProperties = {
    ...(visibleTo === undefined ? {} : { [visibleTo]: visibilityProperty() }),
    ...(isAudited ? auditProperties() : {}),
    ...(Object.values(policies).includes('cascade') ? deletedWithProperty() : {}),
  }
  const problems = problemsOf(options.name, own, added, policies, isAudited, history !== false)
  if (problems.length > 0) throw new ConfigurationError(problems)
  const entity = defineEntity({
    ...meta,
    ...(indexes === undefined ? {} : { indexes: indexes.map(index => among(index, index.live === true, isAudited)) }),
    ...(uniques === undefined
      ? {}
      : { uniques: uniques.map(unique => among(unique, unique.live ?? unique.where === undefined, isAudited)) }),
    schema: plane === 'tenant' ? WILDCARD_SCHEMA : SHARED_SCHEMA,
    filters: {
      ...(isAudited ? softDeleteFilters() : {}),
      ...(visibleTo === undefined ? {} : visibilityFilter(visibleTo)),
      ...meta.filters,
    },
    properties: { ...own, ...added },
  } as never) as unknown as ScopedEntity<TName, TTable, TProperties, TAudit>
  const marks = marksOf(entity.meta)
  marks[SCOPE] = scope
  if (visibleTo !== undefined) marks[VISIBLE_TO] = visibleTo
  if (history !== false) marks[HISTORY] = historyMark(options.name, own, history === true ? [] : (history.redact ?? []))
  setPolicies(entity.meta, policies)
  return entity
}

function historyMark(entity: string, own: EntityProperties, redact: readonly string[]): HistoryMark {
  const unknown = redact.filter(name => !(name in own))
  if (unknown.length > 0) throw new ConfigurationError([`${entity}: history.redact names ${unknown.join(', ')}, which it does not have.`])
  return Object.freeze({ redact: new Set(redact) })
}

function problemsOf(
  name: string,
  own: EntityProperties,
  added: EntityProperties,
  policies: Readonly<Record<string, DeletePolicy>>,
  isAudited: boolean,
  isRecorded: boolean,
): string[] {
  const twice = Object.keys(added).filter(property => property in own)
  const problems = twice.length === 0 ? [] : [`${name}: ${twice.join(', ')} come with the entity; do not define them again.`]
  if (!isAudited && isRecorded) problems.push(`${name}: history needs the audit fields, and audit is false.`)
  if (!isAudited && Object.keys(policies).length > 0) problems.push(`${name}: onSoftDelete needs the audit fields, and audit is false.`)
  return problems
}

/** An index without what this framework adds to its options; over live rows, if it is to be. */
function among(index: ScopedIndex<string>, isLive: boolean, isAudited: boolean): object {
  const { live: _live, where, ...rest } = index
  if (!isLive || !isAudited) return where === undefined ? rest : { ...rest, where }
  if (where === undefined) return { ...rest, where: { deletedAt: null } }
  return { ...rest, where: typeof where === 'string' ? `(${where}) and deleted_at is null` : { ...where, deletedAt: null } }
}

/** MikroORM's UnderscoreNamingStrategy, for the table name that both halves of a pair share. */
export function snakeCase(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase()
}
