/** Which properties of an entity the panel shows, and where their values stand in the entity. */
import { ReferenceKind, type EntityMetadata, type EntityProperty } from '@mikro-orm/postgresql'
import { marksOf, VISIBLE_TO } from '../../src/classification/scope.ts'
import { ConfigurationError } from '../../src/errors.ts'
import { isCollection, isReference, kindOf } from './kind.ts'
import { MikroProperty } from './property.ts'

/** Names that say what a row is, the best first. */
const TITLES = ['title', 'name', 'label', 'subject', 'number', 'code', 'email', 'slug', 'key'] as const

/** Whether an entity is in the panel, so that rows of others can name its own. */
export type IsNamed = (meta: EntityMetadata) => boolean

/** The properties of an entity, by name. @throws CONFIGURATION_INVALID for a key of several columns */
export function propertiesOf(meta: EntityMetadata, isNamed: IsNamed): ReadonlyMap<string, MikroProperty> {
  const [key, ...more] = meta.primaryKeys
  if (key === undefined || more.length > 0) {
    throw new ConfigurationError(
      [`${meta.className}: the back office cannot show an entity with ${key === undefined ? 'no' : 'a composite'} primary key.`],
      `Give it a key of one column, or leave it out: resources: { ${meta.className}: false }.`,
    )
  }
  const visibleTo = marksOf(meta)[VISIBLE_TO]
  const shown = meta.props.filter(property => isShown(property, meta, isNamed))
  const title = titleOf(shown)
  return new Map(
    shown.map((property, position) => [
      property.name,
      new MikroProperty(property, {
        // What a person reads comes first.
        position: property.primary === true ? 9_000 : position,
        isTitle: property.name === title,
        ...(property.name === visibleTo ? { refersTo: 'Tenant' } : {}),
      }),
    ]),
  )
}

/** The path of a property's value in the entity: more than one step for what is embedded. */
export function pathOf(property: EntityProperty, meta: EntityMetadata): readonly string[] {
  const [parent, child] = property.embedded ?? []
  if (parent === undefined || child === undefined) return [property.name]
  return [...pathOf(meta.properties[parent]!, meta), child]
}

/** The value at a path. */
export function valueAt(entity: object, path: readonly string[]): unknown {
  return path.reduce<unknown>((value, key) => (typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined), entity)
}

/** Puts a value at a path of plain objects. */
export function putAt(target: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [key, ...rest] = path
  if (key === undefined) return
  if (rest.length === 0) target[key] = value
  else putAt((target[key] ??= {}) as Record<string, unknown>, rest, value)
}

function isShown(property: EntityProperty, meta: EntityMetadata, isNamed: IsNamed): boolean {
  if (property.hidden === true || /^(?:bytea|blob)/i.test(property.columnTypes?.[0] ?? '')) return false
  const isInObject = property.embedded !== undefined && meta.properties[property.embedded[0]]?.object === true
  if (property.object === true && property.kind !== ReferenceKind.EMBEDDED) return false
  if (isInObject) return false
  // Its columns are shown one by one, unless it is stored as JSON.
  if (property.kind === ReferenceKind.EMBEDDED) return property.object === true || property.array === true
  if (isCollection(property, meta)) return isNamed(property.targetMeta!)
  return property.kind === ReferenceKind.SCALAR || isReference(property)
}

function titleOf(properties: readonly EntityProperty[]): string | undefined {
  const texts = properties.filter(property => ['string', 'text', 'enum'].includes(kindOf(property)) && !property.primary)
  return (TITLES.find(name => texts.some(property => property.name === name)) ?? texts.find(({ name }) => !/At$|By$/.test(name))?.name) as
    | string
    | undefined
}
