/** What becomes of a row when the row it refers to is deleted: declared on the relation, kept on the entity's metadata. */
import type { EntityMetadata, EntityProperty } from '@mikro-orm/postgresql'
import { ConfigurationError } from '../errors.ts'
import { inheritsAudit, isAudited } from './audit-fields.ts'

/**
 * `cascade`: deleted too, and restored with it. `restrict`: while it lives, the row it refers to cannot be deleted. `keep`: it stays as it
 * is, and goes on referring to a deleted row.
 */
export type DeletePolicy = 'cascade' | 'restrict' | 'keep'

export const DELETE_POLICIES = Symbol.for('mikro-tenantkit.delete-policies')

interface PolicyMarks {
  [DELETE_POLICIES]?: Readonly<Record<string, DeletePolicy>>
}

/** The policies that a wrapper left on an entity's metadata, by property. */
export function policiesOf(meta: object): Readonly<Record<string, DeletePolicy>> {
  return (meta as PolicyMarks)[DELETE_POLICIES] ?? {}
}

/** Leaves them there. */
export function setPolicies(meta: object, policies: Readonly<Record<string, DeletePolicy>>): void {
  ;(meta as PolicyMarks)[DELETE_POLICIES] = policies
}

/** A to-one relation, seen from the row it refers to. */
export interface Dependency {
  readonly child: EntityMetadata
  readonly parent: EntityMetadata
  readonly property: EntityProperty
  readonly policy: DeletePolicy
  /** The column of the child that refers, and the column of the parent that it refers to. */
  readonly column: string
  readonly key: string
}

/** All entities, as MikroORM discovered them. */
export interface AllMetadata {
  getAll(): ReadonlyMap<unknown, EntityMetadata>
}

const graphs = new WeakMap<AllMetadata, ReadonlyMap<EntityMetadata, readonly Dependency[]>>()

/** What refers to an entity by a to-one relation in its own plane, whatever the policy. */
export function dependenciesOf(metadata: AllMetadata, parent: EntityMetadata): readonly Dependency[] {
  let graph = graphs.get(metadata)
  if (graph === undefined) graphs.set(metadata, (graph = graphOf(metadata)))
  return graph.get(parent.root ?? parent) ?? []
}

/** The relations by which a row went with another, or kept it from going: to them it must not be restored alone. */
export function parentsOf(child: EntityMetadata): readonly EntityProperty[] {
  const policies = policiesOf(child)
  return child.relations.filter(property => (policies[property.name] ?? 'keep') !== 'keep')
}

/** @throws CONFIGURATION_INVALID for policies on what is no relation of this kind, listing all of them. */
export function refuseWrongPolicies(metadata: AllMetadata): void {
  const problems: string[] = []
  for (const meta of metadata.getAll().values()) {
    for (const [name, policy] of Object.entries(policiesOf(meta))) {
      const property = meta.properties[name]
      const target = property?.targetMeta
      const at = `${meta.className}.onSoftDelete.${name}`
      if (property === undefined || target === undefined || !isOwning(property)) problems.push(`${at}: there is no such to-one relation.`)
      else if (policy === 'keep' || !isOwn(meta, name)) continue
      else if (inheritsAudit(meta))
        problems.push(
          `${at}: ${meta.className} has a table beside that of ${meta.root.className}, and its own relations can only be "keep".`,
        )
      else if (property.fieldNames.length !== 1) problems.push(`${at}: a relation over several columns can only be "keep".`)
      else if (!isAudited(target)) problems.push(`${at}: ${target.className} has no soft delete.`)
      else if ((target.root ?? target).schema !== (meta.root ?? meta).schema)
        problems.push(`${at}: ${target.className} stands in the other plane, where only "keep" is possible.`)
    }
  }
  if (problems.length > 0) throw new ConfigurationError(problems)
}

function graphOf(metadata: AllMetadata): ReadonlyMap<EntityMetadata, readonly Dependency[]> {
  const graph = new Map<EntityMetadata, Dependency[]>()
  for (const child of metadata.getAll().values()) {
    if (child.abstract || child.embeddable || child.virtual || child.pivotTable) continue
    for (const property of child.relations) {
      const parent = property.targetMeta?.root
      if (!isOwn(child, property.name)) continue
      if (!isOwning(property) || parent === undefined || property.fieldNames.length !== 1) continue
      if (parent.schema !== (child.root ?? child).schema) continue
      const policy = policiesOf(child)[property.name] ?? 'keep'
      const dependency = { child, parent, property, policy, column: property.fieldNames[0]!, key: property.referencedColumnNames[0]! }
      graph.set(parent, [...(graph.get(parent) ?? []), dependency])
    }
  }
  return graph
}

/** Whether the column stands in the entity's own table, and not in its parent's, where each type has one. */
function isOwn(meta: EntityMetadata, name: string): boolean {
  return meta.inheritanceType !== 'tpt' || (meta.ownProps ?? meta.props).some(each => each.name === name)
}

function isOwning(property: EntityProperty): boolean {
  return property.kind === 'm:1' || (property.kind === '1:1' && property.owner)
}
