/** Many schema tenants, touched at random, against one: throughput, and what the process and PostgreSQL keep of each. */
import type { Bench, Group, Prepared } from '../harness/group.ts'
import type { LoadGenerator } from '../harness/load.ts'
import { rowOf, type Row } from '../harness/report.ts'
import { alternate } from '../harness/rounds.ts'
import type { ServerProcess } from '../harness/server-process.ts'
import { median, type Pair } from '../harness/statistics.ts'
import { inTurn, load, requestOfEach, startServer, warmUp } from './requests.ts'

const CLIENTS = 8
/** How often it is measured what the heap grows by without new tenants, before they are touched and after. */
const DRIFTS = 3
const KB = 1024
/** Requests for each tenant before the clock runs: about one and a half for each tenant and backend. */
const TOUCHES = 12

export const manySchemas: Group = {
  name: 'many-schemas',
  tenants: sizes => ({ schemas: sizes.schemas, databases: 0 }),
  async prepare(bench): Promise<Prepared> {
    await using stack = new AsyncDisposableStack()
    const server = stack.use(await startServer(bench, 'tenancy'))
    const each = await requestOfEach(bench.secret, bench.schemas)
    using clients = await server.clients(CLIENTS)
    await warmUp(clients, inTurn([each[0]!]), bench.sizes.warmUp)
    const open = stack.move()
    return { measure: () => measure(bench, server, each), [Symbol.asyncDispose]: () => open.disposeAsync() }
  },
}

async function measure(bench: Bench, server: ServerProcess, each: readonly Buffer[]): Promise<readonly Row[]> {
  const { sizes, schemas } = bench
  bench.say(`${schemas.length} schema tenants at random against 1`)
  using clients = await server.clients(CLIENTS)
  const one = inTurn([each[0]!])
  const before = Math.max(...(await server.backends()))
  const growth = await heapGrowth(server, clients, each)
  const random = (): Buffer => each[Math.floor(Math.random() * each.length)]!
  // A backend reads a table's catalog rows when it meets the table: most are to have met most of them, as after a while of serving.
  await warmUp(clients, random, schemas.length * TOUCHES)
  const rounds = await alternate(
    sizes.rounds,
    [random, one].map(next => () => load(server, clients, next, sizes.roundMs)),
  )
  const after = Math.max(...(await server.backends()))
  const backends = { backend_kb_after_one_tenant: before / KB, backend_kb_after_all_tenants: after / KB }
  return [
    rowOf({
      name: `${schemas.length} schema tenants at random against 1`,
      unit: 'requests/s',
      goal: { op: '>=', value: 0.9 },
      pairs: rounds.map(([a, b]) => ({ a: a!.perSecond, b: b!.perSecond })),
      details: { cpu_ratio: median(rounds.map(([a, b]) => a!.cpu / b!.cpu)), clients: CLIENTS, ...backends },
    }),
    rowOf({
      name: 'heap for each schema tenant touched, in KB',
      unit: 'KB : tenants',
      goal: { op: '<=', value: 1 },
      pairs: growth,
      details: { heap_kb_of_all: median(growth.map(({ a }) => a)), ...backends },
    }),
  ]
}

/**
 * What the heap grows by when every tenant is touched for the first time. What it grows by when as many requests go to one tenant, again
 * and again, is not theirs: it is taken off, measured several times before and after.
 */
async function heapGrowth(server: ServerProcess, clients: LoadGenerator, each: readonly Buffer[]): Promise<readonly Pair[]> {
  const [first, ...others] = each
  const touch = async (requests: readonly Buffer[]): Promise<number> => {
    const before = await server.heap()
    await clients.runAll(requests)
    return (await server.heap()) - before
  }
  const drift = async (): Promise<number> => touch(others.map(() => first!))
  await drift()
  const drifts: number[] = []
  for (let times = 0; times < DRIFTS; times++) drifts.push(await drift())
  const growth = await touch(others)
  for (let times = 0; times < DRIFTS; times++) drifts.push(await drift())
  return drifts.map(other => ({ a: (growth - other) / KB, b: others.length }))
}
