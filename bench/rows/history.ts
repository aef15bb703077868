/** What the history costs a flush: new and changed entities with audit fields and history, against the same entities without either. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { defineEntity, p } from '@mikro-orm/postgresql'
import { createTenancy, em, generateKey, newId, tenantEntity, type Tenancy } from 'mikro-tenantkit'
import type { Bench, Group, Prepared } from '../harness/group.ts'
import { query } from '../harness/place.ts'
import { rowOf, type Row } from '../harness/report.ts'
import { alternate, clocked, type Took } from '../harness/rounds.ts'
import { median } from '../harness/statistics.ts'

const ENTITIES = 1000
/** As long as flushes become faster from one to the next, on both sides. */
const WARM_UP = 10
const SLUG = 'history'

const properties = () => ({
  id: p
    .uuid()
    .primary()
    .onCreate(() => newId()),
  title: p.string(),
  amount: p.integer(),
  note: p.text().nullable(),
})
const Recorded = tenantEntity({ name: 'Recorded', history: true, properties: properties() })
const Bare = defineEntity({ name: 'Bare', properties: properties() })

interface Flushes {
  readonly insert: Took
  readonly update: Took
}

export const history: Group = {
  name: 'history',
  tenants: () => ({ schemas: 0, databases: 0 }),
  prepare,
}

async function prepare(bench: Bench): Promise<Prepared> {
  const scratch = join(import.meta.dirname, '..', '.scratch')
  await mkdir(scratch, { recursive: true })
  const path = await mkdtemp(join(scratch, 'migrations-'))
  const url = await bench.place.database('history')
  const prefix = `${bench.place.prefix}hi`
  const tenancy = await createTenancy({
    entities: [Recorded],
    classification: { tenant: { bench: [Bare] } },
    database: { url },
    keys: generateKey('bench'),
    naming: { prefix },
    migrations: { path },
  })
  await tenancy.createMigration('tenant', 'initial')
  await tenancy.migrate()
  await tenancy.runAsSystem('bench', () => tenancy.provision({ slug: SLUG, name: 'History', isolation: 'schema' }))
  return {
    measure: () => measure(bench, tenancy, url, `${prefix}_${SLUG}`),
    [Symbol.asyncDispose]: async () => {
      await tenancy.close()
      await rm(path, { recursive: true, force: true })
    },
  }
}

async function measure({ sizes, say }: Bench, tenancy: Tenancy, url: string, schema: string): Promise<readonly Row[]> {
  say(`flushes of ${ENTITIES} new and ${ENTITIES} changed entities, with history and without`)
  const side = (entity: typeof Recorded | typeof Bare) => async (): Promise<Flushes> => {
    const took = await tenancy.runAsSystem('bench', () => tenancy.run(SLUG, () => insertAndUpdate(entity)))
    await query(url, `truncate "${schema}".recorded, "${schema}".bare, "${schema}".tenantkit_audit_event`)
    return took
  }
  const sides = [side(Recorded), side(Bare)]
  await alternate(WARM_UP, sides)
  const rounds = await alternate(sizes.rounds, sides)
  const ratio = (of: keyof Flushes) => median(rounds.map(([a, b]) => a![of].wall / b![of].wall))
  const processor = ({ insert, update }: Flushes): number => insert.processor + update.processor
  return [
    rowOf({
      name: `flush of ${ENTITIES} new and ${ENTITIES} changed entities with audit fields and history, against neither`,
      unit: 'ms',
      goal: { op: '<=', value: 1.6 },
      pairs: rounds.map(([a, b]) => ({ a: a!.insert.wall + a!.update.wall, b: b!.insert.wall + b!.update.wall })),
      details: {
        insert_ratio: ratio('insert'),
        update_ratio: ratio('update'),
        processor_ratio: median(rounds.map(([a, b]) => processor(a!) / processor(b!))),
      },
    }),
  ]
}

async function insertAndUpdate(entity: typeof Recorded | typeof Bare): Promise<Flushes> {
  const manager = em()
  const entities = Array.from({ length: ENTITIES }, (_, n) =>
    manager.create(entity as typeof Bare, { title: `An item of which there are several, number ${n}`, amount: n }),
  )
  const insert = await clocked(() => manager.flush())
  for (const each of entities) each.amount++
  return { insert, update: await clocked(() => manager.flush()) }
}
