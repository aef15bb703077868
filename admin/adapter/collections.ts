/** Relations to many rows in forms: the ids of those that are live are shown and sent; who is deleted stays in the collection, unseen. */
import { helper, type Collection, type EntityManager, type EntityProperty } from '@mikro-orm/postgresql'
import { touch } from '../../src/audit/audit-subscriber.ts'
import { FieldError, fromForm } from './values.ts'

type Row = Record<string, unknown>

/** How many members a form can give. */
export const MAX_MEMBERS = 200

/** The ids of the live members, as text; undefined for what is not loaded, which is no empty collection. */
export function idsOf(value: unknown): string[] | undefined {
  const collection = value as Collection<object> | undefined
  return collection?.isInitialized() === true ? collection.getItems(false).filter(isLive).map(idOf) : undefined
}

/**
 * The members that a form sends, and with them the deleted ones that are there already. Every other id must be that of a row which the context
 * sees: the database of a tenant has no others, and its filters hide what is not for it.
 *
 * @throws FieldError
 */
export async function membersFrom(
  property: EntityProperty,
  raw: unknown,
  em: EntityManager,
  filters: Readonly<Record<string, boolean>>,
  present?: Collection<object>,
): Promise<object[]> {
  const there = present?.getItems(false) ?? []
  const target = property.targetMeta!
  const key = target.getPrimaryProps()[0]!
  const sent = listOf(raw)
  if (sent.length > Math.max(MAX_MEMBERS, there.length)) throw new FieldError(`At most ${MAX_MEMBERS} records`)
  const ids = [...new Set(sent.map(each => keyFrom(key, each, em)))]
  const isAsked = (member: object): boolean => ids.includes(idOf(member))
  const gone = there.filter(each => !isLive(each))
  const wanted = ids.filter(id => !gone.some(each => idOf(each) === id))
  const where = { [key.name]: { $in: wanted } } as never
  const found = wanted.length === 0 ? [] : ((await em.find(target.class, where, { filters })) as object[]).filter(isAsked)
  if (found.length < wanted.length) throw new FieldError('Refers to nothing')
  return [...gone, ...found]
}

/** Puts members into the collections of a row. What changes the collection changes the row: who saves later is told of it. */
export function putMembers(row: Row, members: ReadonlyMap<string, readonly object[]>, isNew: boolean): void {
  for (const [name, wanted] of members) {
    const collection = row[name] as Collection<object>
    const there = new Set<object>(collection.getItems(false))
    if (wanted.length === there.size && wanted.every(each => there.has(each))) continue
    collection.set([...wanted])
    if (!isNew && 'updatedAt' in row) touch(row)
  }
}

function listOf(raw: unknown): readonly unknown[] {
  // What has no place in a list must not be taken for an empty one.
  if (raw === undefined || (typeof raw === 'object' && raw !== null && !Array.isArray(raw))) throw new FieldError('Refers to nothing')
  // A forged list may have one value at a place far away, and nothing before it.
  const values: unknown[] = Array.isArray(raw) ? Object.values(raw) : [raw]
  return values.filter(each => each !== null && each !== '')
}

/** What cannot be an id is the id of nothing. */
function keyFrom(key: EntityProperty, raw: unknown, em: EntityManager): string {
  try {
    return String(fromForm(key, raw, em))
  } catch (error) {
    throw error instanceof FieldError ? new FieldError('Refers to nothing') : error
  }
}

function idOf(member: object): string {
  return String(helper(member).getPrimaryKey())
}

function isLive(member: object): boolean {
  return (member as { readonly deletedAt?: unknown }).deletedAt == null
}
