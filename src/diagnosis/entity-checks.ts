/** Checks of the entities and their classification: what may stay as it is, and is more likely a mistake. */
import { counted } from '../errors.ts'
import type { EntityMetadata } from '@mikro-orm/postgresql'
import { isBothEntity, nameOf, scopeOf, type AnyEntity, type ClassificationOptions } from '../classification/classify.ts'
import { hasTable, planeOf } from '../classification/scope.ts'
import { fine, some, warning, wrong, type Diagnostic, type Observation } from './finding.ts'
import { isAuditEvent } from '../history/audit-event.ts'
import type { ResolvedOptions } from '../options.ts'
import { REGISTRY_ENTITIES } from '../tenants/entities.ts'

export interface EntityCheckOptions {
  readonly options: ResolvedOptions
  /** The entities as the ORM discovered them. */
  readonly metadata: () => readonly EntityMetadata[]
}

/** Who may log in to a control plane and to tenants alike needs a table in each. */
const IDENTITIES = ['User', 'Group', 'Account']

export function entityChecks(context: EntityCheckOptions): readonly Diagnostic[] {
  return [
    { name: 'entities', run: async () => scopes(context) },
    { name: 'identities', run: async () => identities(context) },
    { name: 'classification', run: async () => classification(context.options) },
    { name: 'tables', run: async () => tables(context.metadata()) },
    { name: 'keys of tenants', run: async () => keys(context.metadata()) },
  ]
}

function scopes({ options }: EntityCheckOptions): Observation[] {
  const { all } = options.entities
  const count = (scope: string) => all.filter(entity => scopeOf(entity) === scope).length
  // The framework's own without them are its records, which nobody changes.
  const ours: readonly unknown[] = REGISTRY_ENTITIES
  const unaudited = all
    .filter(({ meta }) => !meta.embeddable && !isAuditEvent(meta))
    .filter(entity => !('createdBy' in entity.properties) && !ours.includes(entity))
    .map(nameOf)
  const message = `${count('shared')} shared, ${count('tenant')} tenant, ${count('both') / 2} both`
  if (unaudited.length === 0) return [fine(message)]
  return [
    warning(`${message}; without audit fields: ${unaudited.join(', ')}`, 'Define them with sharedEntity, tenantEntity or bothEntity.'),
  ]
}

/** A user of one plane only is possible; that operators and tenants' users share one table is the mistake. */
function identities({ options }: EntityCheckOptions): Observation[] {
  const found = options.entities.all.filter(entity => IDENTITIES.includes(nameOf(entity)))
  const shared = found.filter(entity => scopeOf(entity) === 'shared').map(nameOf)
  const tenant = found.filter(entity => scopeOf(entity) === 'tenant').map(nameOf)
  if (shared.length + tenant.length === 0)
    return [fine(found.length === 0 ? 'no entity is named like one' : 'they have a table in each plane')]
  return [
    warning(
      [
        ...(shared.length > 0 ? [`${shared.join(', ')}: in the control plane only, so that tenants have no users of their own`] : []),
        ...(tenant.length > 0 ? [`${tenant.join(', ')}: in tenants only, so that nobody can log in without a tenant`] : []),
      ].join('; '),
      'Define them with bothEntity: global operators and the users of a tenant are different people.',
    ),
  ]
}

/** What is contradictory is refused at start; what one setting overrides silently is said here. */
function classification({ given }: ResolvedOptions): Observation[] {
  const settings = given.classification ?? {}
  const observations: Observation[] = []
  if (settings.dual !== undefined)
    observations.push(warning('classification.dual is the old name of classification.both', 'Rename it to both.'))
  const overridden = overlaps(settings, given.entities)
  if (overridden.length > 0) {
    observations.push(warning(some(overridden), 'Leave one of the two: the wrapper wins, then mixed, then both, then shared and tenant.'))
  }
  return observations.length === 0 ? [fine('every entity is classified once')] : observations
}

function overlaps(settings: ClassificationOptions, inputs: readonly unknown[]): string[] {
  const places = new Map<AnyEntity, string[]>()
  for (const kind of ['both', 'dual', 'shared', 'tenant'] as const) {
    for (const [module, content] of Object.entries(settings[kind] ?? {})) {
      for (const entity of Object.values<unknown>(content)) {
        for (const each of isBothEntity(entity) ? [entity.shared, entity.tenant] : [entity]) {
          if (each === null || typeof each !== 'object' || !('meta' in each)) continue
          places.set(each as AnyEntity, [...(places.get(each as AnyEntity) ?? []), `${kind}.${module}`])
        }
      }
    }
  }
  const wrapped = new Set(inputs.flatMap(input => (isBothEntity(input) ? [input.shared, input.tenant] : [input])))
  return [...places].flatMap(([entity, names]) => {
    const byWrapper =
      wrapped.has(entity) && 'createdBy' in entity.properties && names.every(name => !name.startsWith(`${scopeOf(entity)}.`))
    const reasons = [
      ...names,
      ...(settings.mixed !== undefined && nameOf(entity) in settings.mixed ? ['mixed'] : []),
      ...(byWrapper ? [`its wrapper (${scopeOf(entity)})`] : []),
    ]
    return reasons.length > 1 ? [`${nameOf(entity)} is classified by ${reasons.join(' and ')}`] : []
  })
}

/** Two entities of one plane on one table would write over each other's columns. */
function tables(metas: readonly EntityMetadata[]): Observation[] {
  const byTable = new Map<string, Set<string>>()
  for (const meta of metas) {
    if (!hasTable(meta) || (meta.root ?? meta) !== meta) continue
    const table = `${planeOf(meta)} table ${meta.tableName}`
    byTable.set(table, new Set([...(byTable.get(table) ?? []), meta.className]))
  }
  const twice = [...byTable].filter(([, names]) => names.size > 1).map(([table, names]) => `${table}: ${[...names].join(', ')}`)
  if (twice.length > 0) return [wrong(some(twice), 'Give each entity a table of its own: tableName.')]
  return [fine(`${counted(byTable.size, 'table')}, each of one entity`)]
}

/** A key that the database counts up is unique in one tenant only, and meets another's when tenants are moved or merged. */
function keys(metas: readonly EntityMetadata[]): Observation[] {
  const counted = metas
    .filter(meta => hasTable(meta) && !meta.pivotTable && planeOf(meta) === 'tenant')
    .filter(meta => meta.getPrimaryProps().some(property => property.autoincrement === true))
    .map(meta => meta.className)
  if (counted.length === 0) return [fine('no key is counted up by the database')]
  return [
    warning(`counted up by the database: ${some(counted)}`, 'Use p.uuid().primary().onCreate(() => newId()): such a key survives a move.'),
  ]
}
