/** Many database tenants over few slots, touched at random, against one; and what it costs to open one. */
import { Client } from 'pg'
import type { Bench, Group, Prepared } from '../harness/group.ts'
import { rowOf, type Row } from '../harness/report.ts'
import { alternate, timed } from '../harness/rounds.ts'
import type { ServerProcess } from '../harness/server-process.ts'
import { median, type Pair } from '../harness/statistics.ts'
import { itemId } from '../model.ts'
import { inTurn, load, requestOfEach, startServer, warmUp } from './requests.ts'

/** Fewer than the slots: a request waits for a connection to open, never for a slot. */
const CLIENTS = 4
/** Cold requests: below the slots an LRU of a cycle over all tenants is always cold. */
const CYCLES = 2

/** The steps of opening a connection, in order: each ends with what `pg` hears, or with the proof of the password that it sends. */
const NAMES = ['tcp', 'backend_start', 'scram_request', 'scram_proof', 'session_start', 'mark_check', 'first_query', 'second_query']
const MARK = `select
  (select pg_catalog.shobj_description(d.oid, 'pg_database') from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()),
  (select pg_catalog.obj_description(n.oid, 'pg_namespace') from pg_catalog.pg_namespace n where n.nspname = 'tenant'),
  pg_catalog.current_setting('search_path')`
const FIND = 'select * from tenant.item where id = $1'

export const manyDatabases: Group = {
  name: 'many-databases',
  tenants: sizes => ({ schemas: 0, databases: sizes.databases }),
  async prepare(bench): Promise<Prepared> {
    await using stack = new AsyncDisposableStack()
    const server = stack.use(await startServer(bench, 'tenancy'))
    const each = await requestOfEach(bench.secret, bench.databases)
    using clients = await server.clients(CLIENTS)
    await warmUp(clients, inTurn([each[0]!]), bench.sizes.warmUp)
    await warmUp(clients, inTurn(each), each.length)
    const open = stack.move()
    return { measure: () => measure(bench, server, each), [Symbol.asyncDispose]: () => open.disposeAsync() }
  },
}

async function measure(bench: Bench, server: ServerProcess, each: readonly Buffer[]): Promise<readonly Row[]> {
  const { sizes, databases } = bench
  bench.say(`${databases.length} database tenants over ${sizes.slots} slots`)
  using clients = await server.clients(CLIENTS)
  const one = inTurn([each[0]!])
  const random = (): Buffer => each[Math.floor(Math.random() * each.length)]!
  const rounds = await alternate(sizes.rounds, [
    () => load(server, clients, random, sizes.roundMs),
    async () => {
      // The random round evicted it, maybe: all clients open it again before the clock runs.
      await clients.runAll(Array.from({ length: CLIENTS * 2 }, one))
      return load(server, clients, one, sizes.roundMs)
    },
  ])
  return [
    rowOf({
      name: `${databases.length} database tenants over ${sizes.slots} slots at random against 1`,
      unit: 'requests/s',
      pairs: rounds.map(([a, b]) => ({ a: a!.perSecond, b: b!.perSecond })),
      details: { cpu_ratio: median(rounds.map(([a, b]) => a!.cpu / b!.cpu)), clients: CLIENTS },
    }),
    rowOf({
      name: 'request that opens a database tenant against a warm one',
      unit: 'ms',
      pairs: await coldAndWarm(server, each),
      details: await coldProfile(bench),
    }),
  ]
}

/** Walks over all tenants, more than there are slots: the first request of each finds it closed, and the third is warm. */
async function coldAndWarm(server: ServerProcess, each: readonly Buffer[]): Promise<readonly Pair[]> {
  using client = await server.clients(1)
  const pairs: Pair[] = []
  for (const request of Array.from({ length: CYCLES }, () => each).flat()) {
    const cold = await timed(() => client.body(request))
    await client.body(request)
    pairs.push({ a: cold, b: await timed(() => client.body(request)) })
  }
  return pairs
}

/** Where the time of opening goes, in milliseconds: the medians over all tenants, step by step, by `pg` alone. */
async function coldProfile({ fleet, databases }: Bench): Promise<Readonly<Record<string, number>>> {
  const profiles: (readonly number[])[] = []
  for (const tenant of databases) profiles.push(await openStepByStep(fleet.urlOf(tenant)))
  const steps = NAMES.map((name, step) => [`cold_${name}_ms`, median(profiles.map(profile => profile[step]!))] as const)
  return Object.fromEntries(steps)
}

async function openStepByStep(url: string): Promise<readonly number[]> {
  const client = new Client({ connectionString: url, options: '-c search_path=' })
  const times = [performance.now()]
  const lap = (): void => void times.push(performance.now())
  const { connection } = client as unknown as {
    connection: { once(event: string, listener: () => void): void; sendSCRAMClientFinalMessage(message: string): void }
  }
  for (const event of ['connect', 'authenticationSASL', 'authenticationSASLContinue']) connection.once(event, lap)
  const send = connection.sendSCRAMClientFinalMessage.bind(connection)
  connection.sendSCRAMClientFinalMessage = message => {
    lap()
    send(message)
  }
  await client.connect()
  lap()
  await client.query(MARK)
  lap()
  for (const number of [0, 1]) {
    await client.query(FIND, [itemId(number)])
    lap()
  }
  await client.end()
  return times.slice(1).map((time, index) => time - times[index]!)
}
