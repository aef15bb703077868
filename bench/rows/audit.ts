/** Audit and soft delete: flushes against the same without the six fields, reading with the filter against without, and a list of few live rows. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { p } from '@mikro-orm/postgresql'
import { escapeIdentifier } from 'pg'
import { createTenancy, em, generateKey, newId, tenantEntity, withDeleted, type Tenancy } from 'mikro-tenantkit'
import type { Bench, Group, Prepared } from '../harness/group.ts'
import { query } from '../harness/place.ts'
import { rowOf, type Row } from '../harness/report.ts'
import { alternate, clocked, timed, type Took } from '../harness/rounds.ts'
import { median } from '../harness/statistics.ts'

const ENTITIES = 1_000
const WARM_UP = 3
/** As long as flushes become faster from one to the next, on both sides. */
const FLUSH_WARM_UP = 10
const LISTED = 100_000
const PAGE = 50
const FINDS = 10

const properties = () => ({
  id: p
    .uuid()
    .primary()
    .onCreate(() => newId()),
  title: p.string(),
  amount: p.integer(),
  note: p.text().nullable(),
})
const Audited = tenantEntity({
  name: 'Audited',
  properties: properties(),
  indexes: [{ name: 'audited_live', properties: 'id', live: true }],
})
const Unindexed = tenantEntity({ name: 'Unindexed', properties: properties() })
const Flushed = tenantEntity({ name: 'Flushed', properties: properties() })
const Bare = tenantEntity({ name: 'Bare', audit: false, properties: properties() })

interface Place {
  readonly tenancy: Tenancy
  readonly url: string
  /** Quoted. */
  readonly schema: string
}

export const audit: Group = {
  name: 'audit',
  tenants: () => ({ schemas: 0, databases: 0 }),
  prepare: async bench => {
    const url = await bench.place.database('audit')
    const scratch = join(import.meta.dirname, '..', '.scratch')
    await mkdir(scratch, { recursive: true })
    const path = await mkdtemp(join(scratch, 'migrations-'))
    const prefix = `${bench.place.prefix}au`
    const tenancy = await createTenancy({
      entities: [Audited, Unindexed, Flushed, Bare],
      database: { url },
      keys: generateKey('bench'),
      naming: { prefix },
      migrations: { path },
    })
    await tenancy.createMigration('shared', 'initial')
    await tenancy.createMigration('tenant', 'initial')
    await tenancy.migrate()
    await tenancy.runAsSystem('bench', () => tenancy.provision({ slug: 'acme', name: 'Acme', isolation: 'schema' }))
    const place = { tenancy, url, schema: escapeIdentifier(`${prefix}_acme`) }
    for (const table of ['audited', 'unindexed']) await query(url, fillSql(`${place.schema}.${table}`))
    return {
      measure: () => measure(bench, place),
      [Symbol.asyncDispose]: async () => {
        await tenancy.close()
        await rm(path, { recursive: true, force: true })
      },
    } satisfies Prepared
  },
}

async function measure(bench: Bench, place: Place): Promise<readonly Row[]> {
  const run = <T>(work: () => Promise<T>) => place.tenancy.runAsSystem('bench', () => place.tenancy.run('acme', work))
  return [await flushes(bench, place, run), await finds(bench, run), await lists(bench, place, run)]
}

type Run = <T>(work: () => Promise<T>) => Promise<T>

async function flushes({ say, sizes }: Bench, { url, schema }: Place, run: Run): Promise<Row> {
  say(`flushes of ${ENTITIES} new and ${ENTITIES} changed entities, with the six fields and without`)
  const emptied = async (table: string, work: () => Promise<Took>): Promise<Took> => {
    const took = await work()
    await query(url, `truncate ${schema}.${table}`)
    return took
  }
  const sides = [
    () => emptied('flushed', () => run(() => insertAndUpdate(Flushed))),
    () => emptied('bare', () => run(() => insertAndUpdate(Bare as unknown as typeof Flushed))),
  ]
  await alternate(FLUSH_WARM_UP, sides)
  const rounds = await alternate(sizes.rounds, sides)
  return rowOf({
    name: `flush of ${ENTITIES} new and ${ENTITIES} changed entities with the six audit fields`,
    unit: 'ms',
    goal: { op: '<=', value: 1.15 },
    pairs: rounds.map(([a, b]) => ({ a: a!.wall, b: b!.wall })),
    details: { processor_ratio: median(rounds.map(([a, b]) => a!.processor / b!.processor)) },
  })
}

/** The time of two flushes. */
async function insertAndUpdate(entity: typeof Flushed): Promise<Took> {
  const manager = em()
  const rows = Array.from({ length: ENTITIES }, (_, n) => manager.create(entity, { title: `Flushed ${n}`, amount: n, note: null }))
  const inserted = await clocked(() => manager.flush())
  for (const row of rows) row.amount++
  const changed = await clocked(() => manager.flush())
  return { wall: inserted.wall + changed.wall, processor: inserted.processor + changed.processor }
}

async function finds({ say, sizes }: Bench, run: Run): Promise<Row> {
  say('finding with the soft-delete filter and without')
  const live = { id: { $gte: idOf(LISTED - LISTED / 20) } }
  const order = { orderBy: { id: 'asc' }, limit: PAGE } as const
  const find = (options: object) =>
    run(() =>
      timed(async () => {
        for (let n = 0; n < FINDS; n++) await em().fork().find(Audited, live, options)
      }),
    )
  const sides = [() => find(order), () => find(withDeleted(order))]
  await alternate(WARM_UP, sides)
  const rounds = await alternate(sizes.rounds, sides)
  return rowOf({
    name: `find of ${PAGE} rows with the soft-delete filter`,
    unit: 'ms',
    goal: { op: '<=', value: 1.05 },
    pairs: rounds.map(([a, b]) => ({ a: a! / FINDS, b: b! / FINDS })),
  })
}

async function lists({ say, sizes }: Bench, { url, schema }: Place, run: Run): Promise<Row> {
  say(`lists of ${LISTED} rows of which 90 % are deleted`)
  const list = (entity: typeof Audited) => run(() => timed(() => em().find(entity, {}, { orderBy: { id: 'asc' }, limit: PAGE })))
  const sides = [() => list(Audited), () => list(Unindexed as unknown as typeof Audited)]
  await alternate(2, sides)
  const rounds = await alternate(sizes.rounds, sides)
  const plan = await query<{ 'QUERY PLAN': string }>(
    url,
    `explain (costs off) select * from ${schema}.audited where deleted_at is null order by id limit ${PAGE}`,
  )
  return rowOf({
    name: `list of ${PAGE} live rows of ${LISTED} of which 90 % are deleted, by the partial index, against the primary key's`,
    unit: 'ms',
    goal: { op: '<=', value: 1 },
    pairs: rounds.map(([a, b]) => ({ a: a!, b: b! })),
    details: { plan: plan.map(row => row['QUERY PLAN'].trim()).join(' ') },
  })
}

function idOf(number: number): string {
  return `00000000-0000-7000-8000-${number.toString(16).padStart(12, '0')}`
}

/** The older rows are the deleted ones. */
function fillSql(table: string): string {
  return `insert into ${table} (id, title, amount, note, created_at, created_by, updated_at, updated_by, deleted_at, deleted_by)
    select ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'A row among many, number ' || n, n, null, now(), 'system:bench', now(),
      'system:bench', case when n < ${LISTED * 0.9} then now() end, case when n < ${LISTED * 0.9} then 'system:bench' end
    from generate_series(0, ${LISTED - 1}) n;
    analyze ${table}`
}
