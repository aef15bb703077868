/** The back office: its start against AdminJS's own, a page of a list against the ORM, and the bytes of a first visit. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { escapeIdentifier } from 'pg'
import { Fleet } from '../fleet.ts'
import type { Bench, Group, Prepared } from '../harness/group.ts'
import { query } from '../harness/place.ts'
import { rowOf, type Row } from '../harness/report.ts'
import { alternate } from '../harness/rounds.ts'
import { median } from '../harness/statistics.ts'
import type { Listed, PanelTask, Started } from '../panel-process.ts'

const TABLES = 2
const SLUG = 's0x'
const PER_ROUND = 5

export const admin: Group = {
  name: 'admin',
  tenants: () => ({ schemas: 0, databases: 0 }),
  async prepare(bench): Promise<Prepared> {
    const fleet = await Fleet.make(bench.place, 'admin', { tables: TABLES })
    const [tenant] = await fleet.schemaTenants(1)
    await query(fleet.plan.url, moreSql(`${escapeIdentifier(tenant!.ref.schema)}.item`, rowsOf(bench)))
    return { measure: () => measure(bench, fleet), [Symbol.asyncDispose]: () => fleet[Symbol.asyncDispose]() }
  },
}

async function measure(bench: Bench, fleet: Fleet): Promise<readonly Row[]> {
  const { plan } = fleet
  bench.say('starts of the back office')
  const starts = await alternate(bench.sizes.quick ? 2 : 9, [
    () => inProcess<Started>({ do: 'start the panel', plan }),
    () => inProcess<Started>({ do: 'import adminjs' }),
  ])
  bench.say(`pages of a list of ${rowsOf(bench)} rows`)
  const list = await inProcess<Listed>({ do: 'list', plan, slug: SLUG, rounds: bench.sizes.fewRounds * 2, perRound: PER_ROUND })
  const kilobytes = Object.fromEntries(Object.entries(list.wire).map(([what, bytes]) => [`${what}_kb`, bytes / 1_000]))
  const megabytes = Object.values(list.wire).reduce((sum, bytes) => sum + bytes, 0) / 1_000_000
  return [
    rowOf({
      name: 'back office: import and start, against the import of adminjs alone',
      unit: 'ms',
      goal: { op: '<=', value: 1.5 },
      pairs: starts.map(([a, b]) => ({ a: a!.ms, b: b!.ms })),
      details: { cpu_ratio: median(starts.map(([a, b]) => a!.cpu / b!.cpu)) },
    }),
    rowOf({
      name: `back office: warm page of 50 rows of ${list.total}, against findAndCount of the same`,
      unit: 'ms',
      goal: { op: '<=', value: 2 },
      pairs: list.pairs,
    }),
    rowOf({
      name: 'back office: log-in page and first page with all their files, in MB over the wire',
      unit: 'MB',
      goal: { op: '<=', value: 1.1 },
      pairs: [{ a: megabytes, b: 1 }],
      details: kilobytes,
    }),
  ]
}

function rowsOf({ sizes }: Bench): number {
  return sizes.quick ? 40_000 : 100_000
}

/** One task in a process of its own, as it would be in production. */
async function inProcess<T>(task: PanelTask): Promise<T> {
  const env = { ...process.env, NODE_ENV: 'production' }
  const child = fork(join(import.meta.dirname, '..', 'panel-process.ts'), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], env })
  const exited = once(child, 'exit')
  child.send(task)
  const answer = await Promise.race([once(child, 'message').then(([message]) => message as T), exited.then(() => undefined)])
  if (answer === undefined) throw new Error(`The process that was to ${task.do} ended without an answer.`)
  await exited
  return answer
}

/** Up to so many rows, beside those that every tenant of the bench has. */
function moreSql(table: string, rows: number): string {
  return `insert into ${table} (id, title, amount, note, created_at, created_by, updated_at, updated_by)
    select ('00000000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid, 'Z row among many, number ' || n, n, null,
      now(), 'system:bench', now(), 'system:bench' from generate_series(101, ${rows}) n;
    analyze ${table}`
}
