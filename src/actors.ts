/** From stored actors (`global:<id>`, `tenant:<id>`, `system:<job>`) to what people read. */
import type { EntityManager, EntityMetadata, EntitySchema } from '@mikro-orm/postgresql'
import { withDeleted } from './audit/views.ts'
import { currentContext } from './context/context.ts'

/** Where the people of one plane are found. */
export interface ActorEntity {
  /** The entity whose id an actor has: `User.tenant`, `User.shared`. */
  readonly entity: EntitySchema
  /** The property that is read, for one an email address. */
  readonly label: string
}

/** Labels by id; what is missing is unknown. It is called once for all ids. */
export type ActorLabels = (ids: readonly string[]) => Promise<ReadonlyMap<string, string>>

/** Where the actors of each plane are found, as an entity or by a function. Default: their labels are their keys. */
export interface ActorsOptions {
  /** In the active tenant. A function runs inside it. */
  readonly tenant?: ActorEntity | ActorLabels
  /** In the control plane. */
  readonly global?: ActorEntity | ActorLabels
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
const WHOLE = /^-?\d{1,18}$/

/** The labels of stored actors, by key; one query for each plane. Who is unknown (or of no active tenant) keeps the key. */
export async function resolveActors(
  keys: Iterable<string>,
  sources: ActorsOptions,
  control: () => EntityManager,
): Promise<ReadonlyMap<string, string>> {
  const labels = new Map<string, string>()
  const ids: Readonly<Record<'tenant' | 'global', string[]>> = { tenant: [], global: [] }
  for (const key of new Set(keys)) {
    const [plane, id] = [key.slice(0, key.indexOf(':')), key.slice(key.indexOf(':') + 1)]
    labels.set(key, plane === 'system' ? id : key)
    if (plane === 'tenant' || plane === 'global') ids[plane].push(id)
  }
  const tenant = currentContext()?.em
  const found = {
    tenant: tenant === undefined ? undefined : await labelsOf(ids.tenant, sources.tenant, () => tenant.fork()),
    global: await labelsOf(ids.global, sources.global, control),
  }
  for (const plane of ['tenant', 'global'] as const)
    for (const [id, label] of found[plane] ?? []) if (labels.has(`${plane}:${id}`)) labels.set(`${plane}:${id}`, label)
  return labels
}

async function labelsOf(
  ids: readonly string[],
  source: ActorEntity | ActorLabels | undefined,
  manager: () => EntityManager,
): Promise<ReadonlyMap<string, string> | undefined> {
  if (ids.length === 0 || source === undefined) return undefined
  if (typeof source === 'function') return source(ids)
  const em = manager()
  const meta = em.getMetadata(source.entity) as unknown as EntityMetadata
  const key = meta.primaryKeys[0]!
  const possible = ids.filter(id => isPossible(meta, key, id))
  if (possible.length === 0) return undefined
  // Who was deleted meanwhile has a name still.
  const options = withDeleted({ fields: [key, source.label] })
  const rows = await em.find(source.entity, { [key]: { $in: possible } } as never, options as never)
  return new Map((rows as Record<string, unknown>[]).map(row => [String(row[key]), String(row[source.label])]))
}

/** What no key of this type looks like is not asked for: PostgreSQL would refuse the whole query. */
function isPossible(meta: EntityMetadata, key: string, id: string): boolean {
  const type = meta.properties[key]!.columnTypes[0] ?? ''
  if (type === 'uuid') return UUID.test(id)
  return /int/.test(type) ? WHOLE.test(id) : true
}
