/** Many schema tenants, touched at random, against one: throughput, and what the process and PostgreSQL keep of each. */
import type { Bench, Group, Prepared } from '../harness/group.ts'
import type { LoadGenerator } from '../harness/load.ts'
import { rowOf, type Row } from '../harness/report.ts'
import { alternate } from '../harness/rounds.ts'
import type { ServerProcess } from '../harness/server-process.ts'
import { median, type Pair } from '../harness/statistics.ts'
import { inTurn, load, requestOfEach, startServer, warmUp } from './requests.ts'

const CLIENTS = 8
/** Into how many parts the tenants are split, each a sample of the heap's growth. */
const BATCHES = 5
const KB = 1024

export const manySchemas: Group = {
  name: 'many-schemas',
  tenants: sizes => ({ schemas: sizes.schemas, databases: 0 }),
  async prepare(bench): Promise<Prepared> {
    const server = await startServer(bench, 'tenancy')
    return { measure: () => measure(bench, server), [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
  },
}

async function measure(bench: Bench, server: ServerProcess): Promise<readonly Row[]> {
  const { sizes, schemas, secret } = bench
  bench.say(`${schemas.length} schema tenants at random against 1`)
  using clients = await server.clients(CLIENTS)
  const each = await requestOfEach(secret, schemas)
  const one = inTurn([each[0]!])
  await warmUp(clients, one, sizes.warmUp)
  const before = Math.max(...(await server.backends()))
  const growth = await heapGrowth(server, clients, each)
  const random = (): Buffer => each[Math.floor(Math.random() * each.length)]!
  await warmUp(clients, random, sizes.warmUp)
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
      details: { heap_kb_of_all: growth.reduce((sum, { a }) => sum + a, 0), ...backends },
    }),
  ]
}

/** Touches tenants that were not touched before, in batches; what the heap grows by when they are touched again is not theirs. */
async function heapGrowth(server: ServerProcess, clients: LoadGenerator, each: readonly Buffer[]): Promise<readonly Pair[]> {
  const [first, ...others] = each
  const size = Math.floor(others.length / BATCHES)
  const touch = async (batch: readonly Buffer[]): Promise<number> => {
    await clients.runAll(batch)
    return server.heap()
  }
  // As many requests as a batch has, again and again: what they leave behind in caches is there before the first sample.
  for (let times = 0; times < BATCHES; times++) await touch(Array.from({ length: size }, () => first!))
  const growth: Pair[] = []
  for (let number = 0; number < BATCHES; number++) {
    const batch = others.slice(number * size, (number + 1) * size)
    const before = await touch(Array.from({ length: size }, () => first!))
    const after = await touch(batch)
    const again = await touch(batch)
    growth.push({ a: (after - before - (again - after)) / KB, b: size })
  }
  return growth
}
