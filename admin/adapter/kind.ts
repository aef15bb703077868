/** What a property of an entity is to a form: MikroORM knows many ways to say the same column. */
import { ReferenceKind, type EntityMetadata, type EntityProperty } from '@mikro-orm/postgresql'
import { planeOf } from '../../src/classification/scope.ts'

/** How a property is shown, edited and filtered. */
export type PropertyKind =
  | 'reference'
  | 'collection'
  | 'json'
  | 'enum'
  | 'uuid'
  | 'boolean'
  | 'datetime'
  | 'date'
  | 'time'
  | 'integer'
  | 'bigint'
  | 'decimal'
  | 'float'
  | 'text'
  | 'string'

const BY_COLUMN: readonly (readonly [RegExp, PropertyKind])[] = [
  [/^jsonb?\b/, 'json'],
  [/^uuid\b/, 'uuid'],
  [/^bool/, 'boolean'],
  [/^timestamp/, 'datetime'],
  [/^date\b/, 'date'],
  [/^time\b/, 'time'],
  [/^(?:bigint|int8|bigserial)\b/, 'bigint'],
  [/^(?:numeric|decimal)\b/, 'decimal'],
  [/^(?:int|integer|int2|int4|smallint|tinyint|mediumint|smallserial|serial)\b/, 'integer'],
  [/^(?:real|float|double)/, 'float'],
  [/^text\b/, 'text'],
]

/** The type of the column, in lower case, without the brackets of an array. */
export function columnOf(property: EntityProperty): string {
  return (property.columnTypes?.[0] ?? '').toLowerCase().replace(/\[\]$/, '')
}

/** Whether the property holds a list of values in one column. */
export function isArray(property: EntityProperty): boolean {
  return property.array === true || (property.columnTypes?.[0] ?? '').endsWith('[]')
}

/** Whether the property is the owning side of a relation to one row. */
export function isReference(property: EntityProperty): boolean {
  return property.kind === ReferenceKind.MANY_TO_ONE || (property.kind === ReferenceKind.ONE_TO_ONE && property.owner)
}

/**
 * Whether the property is the owning side of a relation to many rows of the same plane, kept in a table of two keys and nothing else: what that
 * table holds beside them, a form would lose.
 */
export function isCollection(property: EntityProperty, owner: EntityMetadata): boolean {
  const { kind, owner: isOwner, joinColumns, inverseJoinColumns, targetMeta } = property
  if (kind !== ReferenceKind.MANY_TO_MANY || !isOwner || joinColumns?.length !== 1 || inverseJoinColumns?.length !== 1) return false
  if (targetMeta === undefined || planeOf(targetMeta) !== planeOf(owner)) return false
  // MikroORM's own word of what a class is; it names pivots that it made itself nowhere else.
  const pivot = (property.pivotEntity as unknown as { readonly prototype?: { readonly __meta?: EntityMetadata } }).prototype?.__meta
  return pivot !== undefined && Object.values(pivot.properties).every(each => each.kind === ReferenceKind.MANY_TO_ONE)
}

/** Asked for each value of each row of a list. */
const KINDS = new WeakMap<EntityProperty, PropertyKind>()

/** The kind of a property; what is not known is text, which every column can be read as. */
export function kindOf(property: EntityProperty): PropertyKind {
  const known = KINDS.get(property)
  if (known !== undefined) return known
  const kind = findKind(property)
  KINDS.set(property, kind)
  return kind
}

function findKind(property: EntityProperty): PropertyKind {
  if (isReference(property)) return 'reference'
  if (property.kind === ReferenceKind.MANY_TO_MANY) return 'collection'
  if (property.kind === ReferenceKind.EMBEDDED) return 'json'
  if (property.enum) return 'enum'
  const column = columnOf(property)
  return BY_COLUMN.find(([pattern]) => pattern.test(column))?.[1] ?? 'string'
}
