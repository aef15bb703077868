/** Migrating many tenants: against a loop by hand, against MikroORM's own migrator, with nothing to do, and the memory it takes; and drift. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TenantRecord } from 'mikro-tenantkit'
import { changeSql, HandLoop, StockMigrator } from '../fleet-rivals.ts'
import { Fleet } from '../fleet.ts'
import type { Bench, Group, Prepared } from '../harness/group.ts'
import { query, withClient } from '../harness/place.ts'
import { rowOf, type Row } from '../harness/report.ts'
import { alternate, timed } from '../harness/rounds.ts'
import type { Pair } from '../harness/statistics.ts'

const CONCURRENCY = 8
/** Of the tenants that are set up, in a full run 2,000. */
const MIGRATED = 0.5
const FEW = 0.05
const MIGRATION_ROUNDS = 3
const SEQUENTIAL_SHARE = 0.25
/** Tenants whose columns are asked for one after the other. */
const LOOKED_INTO = 50
const NO_OP_ROUNDS = 15
const MEMORY_ROUNDS = 2

let migrations = 0

export const fleet: Group = {
  name: 'fleet',
  tenants: sizes => ({ schemas: sizes.schemas, databases: 0 }),
  async prepare(bench): Promise<Prepared> {
    const stack = new AsyncDisposableStack()
    const many = bench.sizes.quick ? 1_000 : 10_000
    const [large, small] = [stack.use(await registered(bench, 'large', many)), stack.use(await registered(bench, 'small', many / 10))]
    const { url } = bench.fleet.plan
    const tenants = bench.schemas.slice(0, Math.max(1, Math.round(bench.schemas.length * MIGRATED)))
    const some = tenants.slice(0, Math.max(1, Math.round(tenants.length * SEQUENTIAL_SHARE)))
    const hand = await HandLoop.make(url, CONCURRENCY, tenants)
    const stock = await StockMigrator.make(url, some)
    stack.defer(() => stock.close())
    // What writes a file first creates its folder.
    await mkdir(join(bench.fleet.plan.migrations, 'tenant'), { recursive: true })
    return {
      measure: () => measure(bench, { large, small, tenants, some, hand, stock }),
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    }
  },
}

interface Sides {
  readonly large: Fleet
  readonly small: Fleet
  readonly tenants: readonly TenantRecord[]
  readonly hand: HandLoop
  /** Those that are migrated one after the other. */
  readonly some: readonly TenantRecord[]
  readonly stock: StockMigrator
}

async function measure(bench: Bench, { large, small, tenants, some, hand, stock }: Sides): Promise<readonly Row[]> {
  bench.say(`migrating ${tenants.length} schema tenants: a column and an index`)
  const rounds = await alternate(MIGRATION_ROUNDS, [
    () => ours(bench.fleet, tenants),
    () => timed(() => hand.migrate(tenants)),
    async () => {
      const migrate = await stock.prepare()
      return timed(() => migrate(some))
    },
  ])
  const details = { tenants: tenants.length, concurrency: CONCURRENCY }
  return [
    rowOf({
      name: `${tenants.length} tenants migrated against a loop by hand`,
      unit: 'ms',
      goal: { op: '<=', value: 2 },
      pairs: rounds.map(([a, b]) => ({ a: a!, b: b! })),
      details,
    }),
    rowOf({
      name: `tenants migrated against MikroORM's migrator in sequence`,
      unit: 'tenants/s',
      goal: { op: '>=', value: 5 },
      pairs: rounds.map(([a, , c]) => ({ a: perSecond(a!, tenants.length), b: perSecond(c!, some.length) })),
      details: { ...details, tenants_of_b: some.length },
    }),
    await drift(bench, bench.schemas.slice(tenants.length)),
    ...(await noOps(bench, large, small)),
    await memory(bench),
  ]
}

function perSecond(ms: number, count: number): number {
  return (count * 1000) / ms
}

/** One deployment: a new file, and `tenancy.migrate`. */
async function ours({ plan, tenancy }: Fleet, tenants: readonly TenantRecord[]): Promise<number> {
  await writeMigration(plan.migrations)
  const slugs = tenants.map(({ ref }) => ref.slug)
  return timed(async () => {
    const { run } = await tenancy.runAsSystem('bench', () => tenancy.migrate({ scope: 'tenant', tenants: slugs, concurrency: CONCURRENCY }))
    if (run?.applied !== tenants.length) throw new Error(`${run?.failed} of ${tenants.length} tenants failed`)
  })
}

async function writeMigration(folder: string): Promise<void> {
  const number = migrations++
  const sql = changeSql(`ours_${number}`)
    .map(each => `    this.addSql(${JSON.stringify(each)})`)
    .join('\n')
  const text = `import { TenantMigration } from 'mikro-tenantkit'\n\nexport class Written extends TenantMigration {\n  override up(): void {\n${sql}\n  }\n}\n`
  await writeFile(join(folder, 'tenant', `Migration9${String(number).padStart(13, '0')}.ts`), text)
}

/** A control plane that has so many tenants registered, one of which there is. */
async function registered(bench: Bench, label: string, count: number): Promise<Fleet> {
  const made = await Fleet.make(bench.place, label, { tables: 2 })
  await made.schemaTenants(1)
  await query(
    made.plan.url,
    `insert into tenantkit_tenant (id, slug, name, isolation_mode, schema_name, status, schema_version, schema_fingerprint, version, created_at, created_by, updated_at, updated_by)
     select gen_random_uuid(), 'many-' || n, 'One of many', 'schema', 'many_' || n, 'ready', s.schema_version, s.schema_fingerprint, 1, now(), 'bench', now(), 'bench'
     from generate_series(2, ${count}) n, tenantkit_tenant s where s.slug = 's0x'; analyze tenantkit_tenant`,
  )
  return made
}

async function noOps(bench: Bench, large: Fleet, small: Fleet): Promise<readonly Row[]> {
  const many = bench.sizes.quick ? 1_000 : 10_000
  const deploy = (of: Fleet) => () => timed(() => of.tenancy.runAsSystem('bench', () => of.tenancy.migrate()))
  const ping = () => timed(() => large.tenancy.ping())
  const sides = [deploy(large), deploy(small), ping]
  await alternate(NO_OP_ROUNDS, sides)
  const rounds = await alternate(NO_OP_ROUNDS * 4, sides)
  return [
    rowOf({
      name: `nothing to migrate in ${many} tenants against one round trip`,
      unit: 'ms',
      goal: { op: '<=', value: 50 },
      pairs: rounds.map(([a, , c]) => ({ a: a!, b: c! })),
    }),
    rowOf({
      name: `nothing to migrate in ${many} tenants against ${many / 10}`,
      unit: 'ms',
      goal: { op: '<=', value: 1.5 },
      pairs: rounds.map(([a, b]) => ({ a: a!, b: b! })),
    }),
  ]
}

/** The catalogs of tenants that nobody else has changed, against one look at the columns of each. */
async function drift({ fleet: { plan, tenancy }, say }: Bench, tenants: readonly TenantRecord[]): Promise<Row> {
  say(`comparing ${tenants.length} schema tenants with what their migrations make`)
  const slugs = tenants.map(({ ref }) => ref.slug)
  const some = tenants.slice(0, LOOKED_INTO)
  const ours = async (): Promise<void> => {
    const { same } = await tenancy.drift({ tenants: slugs })
    if (same !== tenants.length) throw new Error(`${tenants.length - same} tenants drifted`)
  }
  const byHand = (): Promise<void> =>
    withClient(plan.url, async client => {
      for (const { ref } of some)
        await client.query('select table_name, column_name, data_type from information_schema.columns where table_schema = $1', [
          ref.schema,
        ])
    })
  const rounds = await alternate(MIGRATION_ROUNDS, [() => timed(ours), () => timed(byHand)])
  return rowOf({
    name: `tenants compared in full against one query of columns for each`,
    unit: 'tenants/s',
    pairs: rounds.map(([a, b]) => ({ a: perSecond(a!, tenants.length), b: perSecond(b!, some.length) })),
    details: { tenants: tenants.length, tenants_of_b: some.length },
  })
}

/** The most that a process of its own takes, with all tenants and with few. */
async function memory(bench: Bench): Promise<Row> {
  const few = bench.schemas.slice(0, Math.max(1, Math.round(bench.schemas.length * FEW)))
  const pairs: Pair[] = []
  for (let round = 0; round < MEMORY_ROUNDS; round++) {
    await writeMigration(bench.fleet.plan.migrations)
    const b = await peakOf(bench, few)
    pairs.push({ a: await peakOf(bench, bench.schemas), b })
  }
  return rowOf({
    name: `memory to migrate ${bench.schemas.length} tenants against ${few.length}`,
    unit: 'MB',
    goal: { op: '<=', value: 1.3 },
    pairs,
  })
}

async function peakOf({ fleet: { plan } }: Bench, tenants: readonly TenantRecord[]): Promise<number> {
  const child = fork(join(import.meta.dirname, '..', 'migrating-process.ts'), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const exit = once(child, 'exit')
  child.send({ plan, slugs: tenants.map(({ ref }) => ref.slug), concurrency: CONCURRENCY })
  const [answer] = (await Promise.race([once(child, 'message'), exit.then(() => [undefined])])) as [
    { applied: number; megabytes: number } | undefined,
  ]
  await exit
  if (answer?.applied !== tenants.length) throw new Error(`${answer?.applied} of ${tenants.length} tenants were migrated`)
  return answer.megabytes
}
