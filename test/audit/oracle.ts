/**
 * The rules of audit and soft delete once more, in the plainest form: rows in memory, looked at one by one. Random sequences run against it
 * and against the real thing; what is stored must say the same.
 */
import type { EntityManager, EntityName } from '@mikro-orm/postgresql'
import { assert } from 'chai'
import fc from 'fast-check'
import { newId, purge, restore, type Actor } from 'mikro-tenantkit'
import { Customer, Line, Order, Product, Remark, bob, eve, type Place } from './model.ts'

const KINDS = ['customer', 'order', 'line', 'product', 'remark'] as const
type Kind = (typeof KINDS)[number]

interface Relation {
  readonly field: string
  readonly to: Kind
  readonly policy: 'cascade' | 'restrict' | 'keep'
}

const RELATIONS: Readonly<Record<Kind, readonly Relation[]>> = {
  customer: [],
  order: [{ field: 'customer', to: 'customer', policy: 'cascade' }],
  line: [
    { field: 'order', to: 'order', policy: 'cascade' },
    { field: 'product', to: 'product', policy: 'restrict' },
  ],
  product: [],
  remark: [{ field: 'customer', to: 'customer', policy: 'keep' }],
}
const NAMES: Readonly<Record<Kind, string>> = {
  customer: 'Customer',
  order: 'Order',
  line: 'Line',
  product: 'Product',
  remark: 'Remark',
}
const ENTITIES = { customer: Customer, order: Order, line: Line, product: Product, remark: Remark } as unknown as Record<
  Kind,
  EntityName<{ id: string }>
>
const TABLES: Readonly<Record<Kind, string>> = { customer: 'customer', order: 'orders', line: 'line', product: 'product', remark: 'remark' }

/** One step; numbers choose rows and values, modulo how many there are. */
export type Step =
  | { readonly do: 'create'; readonly kind: Kind; readonly parent: number; readonly value: number; readonly by: number }
  | { readonly do: 'change' | 'restore' | 'purge'; readonly row: number; readonly by: number }
  | { readonly do: 'delete'; readonly row: number; readonly other: number | null; readonly native: boolean; readonly by: number }

const index = fc.nat({ max: 30 })
const by = fc.nat({ max: 1 })
export const steps = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ do: fc.constant('create' as const), kind: fc.constantFrom(...KINDS), parent: index, value: index, by }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('change' as const, 'purge' as const), row: index, by }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('restore' as const), row: index, by }) },
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant('delete' as const), row: index, other: fc.option(index), native: fc.boolean(), by }),
    },
  ) as fc.Arbitrary<Step>,
  { minLength: 4, maxLength: 12 },
)

interface Row {
  readonly id: string
  readonly kind: Kind
  readonly parents: Readonly<Record<string, Row | null>>
  /** Unique among live rows of the kind; null never is. */
  readonly value: string | null
  readonly created: string
  updated: string
  deleted: string | null
  with: string | null
}

type Outcome = 'done' | 'CONFLICT' | '23505'

/** What should be so. */
class Oracle {
  rows: Row[] = []

  create(row: Row): Outcome {
    if (this.#taken([row])) return '23505'
    this.rows.push(row)
    return 'done'
  }

  change(row: Row, actor: string): Outcome {
    if (row.deleted === null) row.updated = actor
    return 'done'
  }

  delete(roots: readonly Row[], actor: string): Outcome {
    const before = new Map(this.rows.map(row => [row, { ...row }]))
    const gone: Row[] = []
    const go = (row: Row, root: string | null) => {
      Object.assign(row, { deleted: actor, updated: actor, with: root })
      gone.push(row)
    }
    const alive = [...new Set(roots)].filter(row => row.deleted === null)
    for (const row of alive) go(row, null)
    for (const root of alive) this.#takeAlong(root, nameOf(root), go)
    const forbidden = this.rows.some(
      row =>
        row.deleted === null && RELATIONS[row.kind].some(each => each.policy === 'restrict' && gone.includes(row.parents[each.field]!)),
    )
    if (!forbidden) return 'done'
    for (const [row, old] of before) Object.assign(row, old)
    return 'CONFLICT'
  }

  restore(root: Row, actor: string): Outcome {
    if (root.deleted === null) return 'done'
    const back = this.#with(root)
    const orphaned = back.some(row =>
      RELATIONS[row.kind].some(({ field, policy }) => {
        const parent = row.parents[field]
        return policy !== 'keep' && parent != null && parent.deleted !== null && !back.includes(parent)
      }),
    )
    if (orphaned || this.#taken(back)) return 'CONFLICT'
    for (const row of back) Object.assign(row, { deleted: null, with: null, updated: actor })
    return 'done'
  }

  purge(root: Row): Outcome {
    if (root.deleted === null) return 'done'
    const gone = this.#with(root)
    const isReferred = this.rows.some(row => !gone.includes(row) && Object.values(row.parents).some(parent => gone.includes(parent!)))
    if (isReferred) return 'CONFLICT'
    this.rows = this.rows.filter(row => !gone.includes(row))
    return 'done'
  }

  #takeAlong(parent: Row, root: string, go: (row: Row, root: string) => void): void {
    for (const row of this.rows)
      for (const { field, policy } of RELATIONS[row.kind]) {
        if (policy !== 'cascade' || row.deleted !== null || row.parents[field] !== parent) continue
        go(row, root)
        this.#takeAlong(row, root, go)
      }
  }

  #with(root: Row): Row[] {
    return [root, ...this.rows.filter(row => row.with === nameOf(root))]
  }

  #taken(coming: readonly Row[]): boolean {
    return coming.some(
      row =>
        row.value !== null &&
        [...this.rows.filter(each => each.deleted === null), ...coming].some(
          each => each !== row && each.kind === row.kind && each.value === row.value,
        ),
    )
  }
}

/** Runs a sequence both ways and compares what each step answered, and what is stored in the end. */
export async function runSequence(place: Place, sequence: readonly Step[]): Promise<void> {
  const oracle = new Oracle()
  const space = newId()
  const ids: string[] = []
  for (const step of sequence) {
    const actor = step.by === 0 ? bob : eve
    const acts = { ...actor, permissions: new Set([...actor.permissions!, 'data:purge']) }
    const [expected, work] = plan(oracle, step, `tenant:${actor.id}`, space)
    if (work === undefined) continue
    ids.push(...oracle.rows.map(row => row.id).filter(id => !ids.includes(id)))
    const got = await place.as(acts as Actor, manager => outcomeOf(() => work(manager)))
    assert.equal(got, expected, JSON.stringify(step))
  }
  assert.deepEqual(await storedOf(place, ids), oracle.rows.map(shown).sort(byId))
}

function plan(
  oracle: Oracle,
  step: Step,
  actor: string,
  space: string,
): readonly [Outcome, ((manager: EntityManager) => Promise<unknown>)?] {
  const { rows } = oracle
  if (step.do === 'create') return planCreate(oracle, step, actor, space)
  if (rows.length === 0) return ['done']
  const row = rows[step.row % rows.length]!
  const entity = ENTITIES[row.kind]
  switch (step.do) {
    case 'change':
      return [oracle.change(row, actor), manager => manager.nativeUpdate(entity, { id: row.id } as never, changeOf(row.kind))]
    case 'restore':
      return [oracle.restore(row, actor), manager => restore(manager, entity, { id: row.id } as never)]
    case 'purge':
      return [oracle.purge(row), manager => purge(manager, entity, { id: row.id } as never)]
    case 'delete': {
      const other = step.other === null ? row : rows[step.other % rows.length]!
      // One statement is one entity's.
      const chosen = step.native && other.kind !== row.kind ? [row] : [row, other]
      return [oracle.delete(chosen, actor), manager => deleteThem(manager, chosen, step.native)]
    }
  }
}

function planCreate(oracle: Oracle, step: Step & { do: 'create' }, actor: string, space: string): ReturnType<typeof plan> {
  const { kind } = step
  const parents: Record<string, Row | null> = {}
  for (const { field, to } of RELATIONS[kind]) {
    const candidates = oracle.rows.filter(row => row.kind === to)
    const parent = candidates[step.parent % Math.max(candidates.length, 1)]
    if (parent === undefined && field !== 'product' && kind !== 'remark') return ['done']
    parents[field] = parent ?? null
  }
  const isUnique = kind === 'order' || (kind === 'customer' && step.value % 4 !== 0)
  const value = isUnique ? `${space}-${step.value % 4}` : null
  const row: Row = { id: newId(), kind, parents, value, created: actor, updated: actor, deleted: null, with: null }
  const references = Object.fromEntries(Object.entries(parents).map(([field, parent]) => [field, parent?.id ?? null]))
  const data = { id: row.id, ...references, ...valuesOf(kind, value) }
  return [oracle.create(row), manager => flush(manager, () => manager.create(ENTITIES[kind], data as never))]
}

async function deleteThem(manager: EntityManager, rows: readonly Row[], isNative: boolean): Promise<void> {
  if (isNative) {
    await manager.nativeDelete(ENTITIES[rows[0]!.kind], { id: { $in: rows.map(({ id }) => id) } } as never)
    return
  }
  await flush(manager, () => {
    for (const { id, kind } of rows) manager.remove(manager.getReference(ENTITIES[kind], id as never))
  })
}

async function flush(manager: EntityManager, work: () => unknown): Promise<void> {
  work()
  await manager.flush()
}

async function outcomeOf(work: () => Promise<unknown>): Promise<string> {
  try {
    await work()
    return 'done'
  } catch (error) {
    const { code } = error as { code?: string }
    if (code === undefined) throw error
    return code
  }
}

const valuesOf = (kind: Kind, value: string | null): object =>
  ({
    customer: { name: 'n', email: value },
    order: { number: value },
    line: { quantity: 1 },
    product: { name: 'n' },
    remark: { text: 't' },
  })[kind]
const changeOf = (kind: Kind) =>
  ({ customer: { note: 'x' }, order: {}, line: { quantity: 2 }, product: { name: 'x' }, remark: { text: 'x' } })[kind] as never

const nameOf = ({ kind, id }: Row) => `${NAMES[kind]}:${id}`
const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1)
const shown = ({ id, created, updated, deleted, with: root }: Row) => ({ id, created, updated, deleted, root })

async function storedOf(place: Place, ids: readonly string[]): Promise<object[]> {
  const parts = KINDS.map(
    kind => `select id::text, created_by as created, updated_by as updated, deleted_by as deleted,
      ${kind === 'order' || kind === 'line' ? 'deleted_with' : 'null::text'} as root, deleted_at is null as live from %s.${TABLES[kind]} where id in (?)`,
  )
  const rows = await place.as(bob, async manager => {
    const text = parts.join(' union all ').replaceAll('%s', `"${manager.schema}"`)
    return manager.execute<{ id: string; deleted: string | null; live?: boolean }[]>(text, KINDS.map(() => [...ids, newId()]) as never)
  })
  for (const row of rows) {
    assert.equal(row.live, row.deleted === null)
    delete row.live
  }
  return rows.sort(byId)
}

/** Runs random sequences, some at once. */
export async function runSequences(places: readonly Place[], count: number, seed?: number): Promise<void> {
  await Promise.all(
    places.map((place, number) =>
      fc.assert(
        fc.asyncProperty(steps, sequence => runSequence(place, sequence)),
        { numRuns: Math.ceil(count / places.length), ...(seed === undefined ? {} : { seed: seed + number }) },
      ),
    ),
  )
}
