/** The guard of a flush: its share of the time of a flush of 1,000 entities, by clocks inside it. */
import { em } from 'mikro-tenantkit'
import { TenantGuard } from '../../src/strategies/tenant-guard.ts'
import type { Bench, Group, Prepared } from '../harness/group.ts'
import { rowOf, type Row } from '../harness/report.ts'
import { timed } from '../harness/rounds.ts'
import { median } from '../harness/statistics.ts'
import { Item, Part } from '../model.ts'

const ENTITIES = 1000
const WARM_UP = 3

/** Milliseconds in the guard: while entities come to life, and in the flush. */
interface Clock {
  init: number
  flush: number
}

/** The methods of the guard, as values. */
interface Listeners {
  onInit: (this: TenantGuard, ...args: Parameters<TenantGuard['onInit']>) => void
  onFlush: (this: TenantGuard, ...args: Parameters<TenantGuard['onFlush']>) => Promise<void>
}

interface Took extends Clock {
  /** Of the whole flush. */
  readonly all: number
}

export const flushGuard: Group = {
  name: 'flush-guard',
  tenants: () => ({ schemas: 1, databases: 0 }),
  prepare: bench => Promise.resolve({ measure: () => measure(bench), [Symbol.asyncDispose]: () => Promise.resolve() } satisfies Prepared),
}

async function measure(bench: Bench): Promise<readonly Row[]> {
  bench.say(`flushes of ${ENTITIES} entities`)
  const clock: Clock = { init: 0, flush: 0 }
  const restore = putClocks(clock)
  try {
    const inserts: Took[] = []
    const updates: Took[] = []
    for (let round = -WARM_UP; round < bench.sizes.fewRounds; round++) {
      const { insert, update } = await insertAndUpdate(bench, clock)
      if (round < 0) continue
      inserts.push(insert)
      updates.push(update)
    }
    return [
      rowOf({
        name: `time in the flush guard as a share of a flush of ${ENTITIES} entities`,
        unit: 'ms',
        goal: { op: '<=', value: 0.03 },
        pairs: inserts.map(({ init, flush, all }) => ({ a: init + flush, b: all })),
        details: {
          a_on_flush_ms: median(inserts.map(({ flush }) => flush)),
          a_on_init_ms: median(inserts.map(({ init }) => init)),
          updates_share: median(updates.map(({ flush, all }) => flush / all)),
          updates_guard_ms: median(updates.map(({ flush }) => flush)),
          updates_flush_ms: median(updates.map(({ all }) => all)),
        },
      }),
    ]
  } finally {
    restore()
  }
}

/** Half of the entities refer to the other half: the guard looks at relations too. All are inserted, then all changed, then deleted. */
async function insertAndUpdate({ fleet, schemas }: Bench, clock: Clock): Promise<{ readonly insert: Took; readonly update: Took }> {
  const { tenancy } = fleet
  return tenancy.runAsSystem('bench', () =>
    tenancy.run(schemas[0]!.ref.slug, async () => {
      const manager = em()
      Object.assign(clock, { init: 0, flush: 0 })
      const items = Array.from({ length: ENTITIES / 2 }, (_, n) => manager.create(Item, { title: `Flushed ${n}`, amount: n } as never))
      const parts = items.map((item, n) => manager.create(Part, { label: `Part ${n}`, quantity: n, price: '1.00', item } as never))
      const insert = { all: await timed(() => manager.flush()), ...clock }
      for (const item of items) item.amount++
      for (const part of parts) part.quantity++
      Object.assign(clock, { init: 0, flush: 0 })
      const update = { all: await timed(() => manager.flush()), ...clock }
      const theirs = (entities: readonly { readonly id: string }[]) => ({ id: { $in: entities.map(({ id }) => id) } })
      await manager.nativeDelete(Part, theirs(parts))
      await manager.nativeDelete(Item, theirs(items))
      return { insert, update }
    }),
  )
}

/** MikroORM looks a subscriber's methods up when it calls them, so that the prototype's can be replaced for a while. */
function putClocks(clock: Clock): () => void {
  const prototype = TenantGuard.prototype as Listeners
  const { onInit, onFlush } = prototype
  prototype.onInit = function (...args) {
    const begun = performance.now()
    onInit.apply(this, args)
    clock.init += performance.now() - begun
  }
  prototype.onFlush = async function (...args) {
    const begun = performance.now()
    await onFlush.apply(this, args)
    clock.flush += performance.now() - begun
  }
  return () => Object.assign(prototype, { onInit, onFlush })
}
