/** What a property of an entity is to a form: MikroORM knows many ways to say the same column. */
import { ReferenceKind, type EntityProperty } from '@mikro-orm/postgresql'

/** How a property is shown, edited and filtered. */
export type PropertyKind =
  | 'reference'
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
  if (property.kind === ReferenceKind.EMBEDDED) return 'json'
  if (property.enum) return 'enum'
  const column = columnOf(property)
  return BY_COLUMN.find(([pattern]) => pattern.test(column))?.[1] ?? 'string'
}
