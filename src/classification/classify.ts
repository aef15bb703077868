/**
 * The start-up check of entities: every one has a scope, scopes do not contradict each other, and no shared entity refers to a tenant's.
 *
 * Precedence: the wrapper used > `mixed` (per entity name) > `both` > `shared`/`tenant` (per module) > refused.
 */
import { EntitySchema, type EntityMetadata, type MetadataStorage } from '@mikro-orm/postgresql'
import { ConfigurationError } from '../errors.ts'
import { SHARED_SCHEMA } from '../naming.ts'
import { snakeCase, type AnyBothEntity } from './entities.ts'
import { SCOPE, WILDCARD_SCHEMA, hasTable, marksOf, planeOf, type Scope } from './scope.ts'

/** Any entity made by `defineEntity` or a wrapper. */
export type AnyEntity = EntitySchema

/** What the option `entities` takes: entities, and pairs made by `bothEntity`. */
export type EntityInput = AnyEntity | AnyBothEntity

/** Entities of a module: its namespace (`import * as billing from './billing.ts'`) or a list. Exports that are no entities are skipped. */
export type EntityModule = Readonly<Record<string, unknown>> | readonly EntityInput[]

/** Scopes for entities that were defined with plain `defineEntity`, by the full name of their module. */
export interface ClassificationOptions {
  /** Modules whose entities belong to the control plane. */
  readonly shared?: Readonly<Record<string, EntityModule>>
  /** Modules whose entities belong to each tenant. */
  readonly tenant?: Readonly<Record<string, EntityModule>>
  /** Modules whose entities have a table in each. The shared half is found with `sharedHalfOf(entity)`. */
  readonly both?: Readonly<Record<string, EntityModule>>
  /** @deprecated The old name of `both`. It works, with a warning. */
  readonly dual?: Readonly<Record<string, EntityModule>>
  /** The scope of single entities, by name; it beats the modules. */
  readonly mixed?: Readonly<Record<string, Scope>>
}

/** The entities of an application, each with its scope. */
export interface ClassifiedEntities {
  /** All of them, for the runtime ORM. */
  readonly all: readonly AnyEntity[]
  /** Those with a table in the control plane. */
  readonly shared: readonly AnyEntity[]
  /** Those with a table in each tenant. */
  readonly tenant: readonly AnyEntity[]
}

const sharedHalves = new WeakMap<AnyEntity, AnyEntity>()

/** Whether the value is a pair made by `bothEntity`. */
export function isBothEntity(value: unknown): value is AnyBothEntity {
  return typeof value === 'object' && value !== null && 'shared' in value && 'tenant' in value && value.shared instanceof EntitySchema
}

/**
 * The scope of an entity or a pair, or `undefined` if it has none yet.
 *
 * @example scopeOf(Invoice) // 'tenant'
 */
export function scopeOf(entity: EntityInput): Scope | undefined {
  if (isBothEntity(entity)) return 'both'
  return marksOf(entity.meta)[SCOPE]
}

/** The control plane's half of an entity that the configuration's `both` classified, or `undefined`. */
export function sharedHalfOf(entity: AnyEntity): AnyEntity | undefined {
  return sharedHalves.get(entity)
}

/**
 * Gives every entity its scope and its schema.
 *
 * @throws CONFIGURATION_INVALID listing every unclassified entity, every contradiction and every wrong schema.
 */
export function classify(inputs: readonly EntityInput[], options: ClassificationOptions = {}): ClassifiedEntities {
  const problems: string[] = []
  const configured = configuredScopes(options, problems)
  const all: AnyEntity[] = []
  for (const input of new Set([...inputs, ...configured.keys()])) {
    if (isBothEntity(input)) all.push(input.shared, input.tenant)
    else all.push(...withScope(input, configured, options.mixed ?? {}))
  }
  const entities = [...new Set(all)]
  const unclassified = entities.filter(entity => scopeOf(entity) === undefined && hasTable(entity.meta))
  if (unclassified.length > 0) {
    problems.push(`tenantkit.W001: no scope is given to ${unclassified.map(nameOf).join(', ')}.`)
  }
  problems.push(...namesTwice(entities), ...wrongSchemas(entities), ...unknownMixed(entities, options.mixed ?? {}))
  if (problems.length > 0) {
    throw new ConfigurationError(
      problems,
      'Define entities with sharedEntity, tenantEntity or bothEntity, or list their modules under classification.',
    )
  }
  return Object.freeze({
    all: entities,
    shared: entities.filter(entity => entity.meta.schema === SHARED_SCHEMA || !hasTable(entity.meta)),
    tenant: entities.filter(entity => entity.meta.schema === WILDCARD_SCHEMA || !hasTable(entity.meta)),
  })
}

/**
 * The discovery hook of the ORMs: refuses relations from shared to tenant, and tables without an explicit schema.
 *
 * @throws CONFIGURATION_INVALID listing all of them.
 */
export function refuseWrongRelations(storage: MetadataStorage): void {
  const problems: string[] = []
  for (const meta of storage.getAll().values()) {
    if (!hasTable(meta)) continue
    const root = meta.root ?? meta
    if (root.schema !== SHARED_SCHEMA && root.schema !== WILDCARD_SCHEMA) {
      problems.push(
        `${meta.className}: a table needs an explicit schema, "${SHARED_SCHEMA}" or "${WILDCARD_SCHEMA}"; it has ${JSON.stringify(root.schema)}.`,
      )
    }
    if (planeOf(meta) === 'shared') problems.push(...relationsToTenants(meta))
  }
  if (problems.length > 0) {
    throw new ConfigurationError(
      problems,
      'The control plane knows no rows of tenants: keep the id in a plain property, or move the entity.',
    )
  }
}

function relationsToTenants(meta: EntityMetadata): string[] {
  return meta.relations.flatMap(property =>
    // A polymorphic relation has several targets, and the first of them is the one that is named.
    (property.polymorphTargets ?? (property.targetMeta === undefined ? [] : [property.targetMeta]))
      .filter(target => planeOf(target) === 'tenant')
      .map(target => `${meta.className}.${property.name}: a shared entity must not refer to the tenant entity ${target.className}.`),
  )
}

function configuredScopes(options: ClassificationOptions, problems: string[]): Map<AnyEntity, Scope> {
  if (options.dual !== undefined)
    process.emitWarning('classification.dual is deprecated; use classification.both', 'DeprecationWarning', 'TENANTKIT_DUAL')
  for (const name of Object.keys(options.shared ?? {})) {
    if (name in (options.tenant ?? {})) problems.push(`The module ${name} is listed as shared and as tenant.`)
  }
  const scopes = new Map<AnyEntity, Scope>()
  const groups: readonly (readonly [Scope, Readonly<Record<string, EntityModule>> | undefined])[] = [
    ['shared', options.shared],
    ['tenant', options.tenant],
    ['both', { ...options.dual, ...options.both }],
  ]
  for (const [scope, modules] of groups) {
    for (const module of Object.values(modules ?? {})) {
      for (const entity of Object.values(module)) {
        if (!(entity instanceof EntitySchema)) continue
        const before = scopes.get(entity)
        if (before !== undefined && before !== scope && scope !== 'both')
          problems.push(`${nameOf(entity)} is listed as ${before} and as ${scope}.`)
        scopes.set(entity, scope)
      }
    }
  }
  return scopes
}

/** An entity with its scope set; two of them where the configuration says `both`. */
function withScope(entity: AnyEntity, configured: ReadonlyMap<AnyEntity, Scope>, mixed: Readonly<Record<string, Scope>>): AnyEntity[] {
  const marks = marksOf(entity.meta)
  const scope = marks[SCOPE] ?? mixed[nameOf(entity)] ?? configured.get(entity)
  if (marks[SCOPE] !== undefined || scope === undefined || !hasTable(entity.meta)) {
    const half = sharedHalves.get(entity)
    return half === undefined ? [entity] : [half, entity]
  }
  marks[SCOPE] = scope
  const half = scope === 'both' ? sharedTwin(entity) : undefined
  entity.meta.schema ??= scope === 'shared' ? SHARED_SCHEMA : WILDCARD_SCHEMA
  return half === undefined ? [entity] : [half, entity]
}

function sharedTwin(entity: AnyEntity): AnyEntity {
  const { meta } = entity
  const twin = new EntitySchema({
    name: `Shared${nameOf(entity)}`,
    tableName: meta.tableName ?? snakeCase(nameOf(entity)),
    schema: SHARED_SCHEMA,
    properties: entity.properties,
    filters: meta.filters,
    indexes: meta.indexes,
    uniques: meta.uniques,
  } as unknown as ConstructorParameters<typeof EntitySchema>[0])
  marksOf(twin.meta)[SCOPE] = 'both'
  sharedHalves.set(entity, twin)
  return twin
}

/** The name of an entity; MikroORM types it wider than it is. */
export function nameOf(entity: AnyEntity): string {
  return entity.meta.className
}

function namesTwice(entities: readonly AnyEntity[]): string[] {
  const names = entities.map(nameOf)
  const twice = new Set(names.filter((name, index) => names.indexOf(name) !== index))
  return [...twice].map(name => `Two entities are named ${name}.`)
}

function wrongSchemas(entities: readonly AnyEntity[]): string[] {
  return entities.flatMap(entity => {
    const scope = scopeOf(entity)
    const { schema } = entity.meta
    if (scope === undefined || !hasTable(entity.meta)) return []
    if (schema === SHARED_SCHEMA && scope !== 'tenant') return []
    if (schema === WILDCARD_SCHEMA && scope !== 'shared') return []
    return [`${nameOf(entity)}: a ${scope} entity must not set the schema ${JSON.stringify(schema)}; it follows from the scope.`]
  })
}

function unknownMixed(entities: readonly AnyEntity[], mixed: Readonly<Record<string, Scope>>): string[] {
  const names = new Set(entities.map(nameOf))
  return Object.keys(mixed)
    .filter(name => !names.has(name))
    .map(name => `classification.mixed names ${name}, and there is no such entity.`)
}
