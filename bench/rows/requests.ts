/** Requests through the whole middleware, against MikroORM without tenants, and against a search_path set by hand. */
import type { TenantRecord } from 'mikro-tenantkit'
import type { Bench, Group, Prepared } from '../harness/group.ts'
import { requestOf, type LoadGenerator } from '../harness/load.ts'
import { rowOf, type Goal, type Row } from '../harness/report.ts'
import { alternate } from '../harness/rounds.ts'
import { ServerProcess } from '../harness/server-process.ts'
import { median } from '../harness/statistics.ts'
import { ITEMS, itemId } from '../model.ts'
import { tokensOf, type Application } from '../server.ts'

const APPLICATIONS = ['tenancy', 'plain', 'by-hand'] as const satisfies readonly Application[]
const CLIENTS = [1, 32]
/** Requests before the first round of a number of clients, on sides that are warm. */
const AGAIN = 200
const BY_HAND: Goal = { op: '>=', value: 1.5 }

/** What one side did in one round. */
export interface Measured {
  readonly perSecond: number
  /** Microseconds of the server's processor time for each request. */
  readonly cpu: number
}

export const requests: Group = {
  name: 'requests',
  tenants: () => ({ schemas: 1, databases: 0 }),
  async prepare(bench): Promise<Prepared> {
    await using stack = new AsyncDisposableStack()
    const servers = await Promise.all(APPLICATIONS.map(async application => stack.use(await startServer(bench, application))))
    const prepared = await requestsOf(bench.secret, bench.schemas[0]!)
    await assertSameAnswers(servers, prepared)
    await warmUpAll(
      servers.map(server => ({ server, next: inTurn(prepared) })),
      bench.sizes.warmUp,
    )
    const open = stack.move()
    return {
      measure: async () => {
        const rows: Row[] = []
        for (const clients of CLIENTS) {
          bench.say(`requests, ${clients} at once`)
          rows.push(...(await measure(bench, servers, prepared, clients)))
        }
        return rows
      },
      [Symbol.asyncDispose]: () => open.disposeAsync(),
    }
  },
}

/** The server of an application; MikroORM without tenants has a database of its own. */
export function startServer(bench: Bench, application: Application, flags: readonly string[] = []): Promise<ServerProcess> {
  const { fleet, plainUrl, secret, sizes } = bench
  const plan = application === 'plain' ? { ...fleet.plan, url: plainUrl } : fleet.plan
  return ServerProcess.start({ application, plan, maxTenants: sizes.slots, secret }, flags)
}

/** Requests for each item, by a user of the tenant. */
export async function requestsOf(secret: string, { ref }: TenantRecord): Promise<readonly Buffer[]> {
  const token = await tokensOf(secret).sign({ sub: 'bench', plane: 'tenant', tenant_id: ref.id, tenant_slug: ref.slug })
  return Array.from({ length: ITEMS }, (_, number) => requestOf(`/items/${itemId(number)}`, { authorization: `Bearer ${token}` }))
}

/** One request for each tenant. */
export async function requestOfEach(secret: string, tenants: readonly TenantRecord[]): Promise<readonly Buffer[]> {
  return Promise.all(tenants.map(async (tenant, number) => (await requestsOf(secret, tenant))[number % ITEMS]!))
}

/** Takes requests in turn, without end. */
export function inTurn(prepared: readonly Buffer[]): () => Buffer {
  let next = 0
  return () => prepared[next++ % prepared.length]!
}

/** Requests that nobody counts: they compile the code and fill the caches. */
export async function warmUp(clients: LoadGenerator, next: () => Buffer, count: number): Promise<void> {
  await clients.runAll(Array.from({ length: count }, next))
}

/** A server and what it is asked for. */
export interface Asked {
  readonly server: ServerProcess
  readonly next: () => Buffer
}

/** Warms all sides up at the same time, by as many requests each: half of them one by one, half of them many at once. */
export async function warmUpAll(all: readonly Asked[], count: number): Promise<void> {
  for (const atOnce of CLIENTS) {
    await Promise.all(
      all.map(async ({ server, next }) => {
        using clients = await server.clients(atOnce)
        await warmUp(clients, next, count / CLIENTS.length)
      }),
    )
  }
}

/** One round of one side. */
export async function load(server: ServerProcess, clients: LoadGenerator, next: () => Buffer, roundMs: number): Promise<Measured> {
  const before = await server.cpu()
  const { requests: count, milliseconds } = await clients.run(roundMs, next)
  const cpu = ((await server.cpu()) - before) / count
  return { perSecond: (count / milliseconds) * 1000, cpu }
}

async function measure(
  { sizes }: Bench,
  servers: readonly ServerProcess[],
  prepared: readonly Buffer[],
  count: number,
): Promise<readonly Row[]> {
  const clients = await Promise.all(servers.map(server => server.clients(count)))
  const sides = servers.map((server, index) => {
    const next = inTurn(prepared)
    return (milliseconds: number) => load(server, clients[index]!, next, milliseconds)
  })
  for (const each of clients) await warmUp(each, inTurn(prepared), AGAIN)
  const rounds = await alternate(
    sizes.rounds,
    sides.map(side => () => side(sizes.roundMs)),
  )
  for (const each of clients) each[Symbol.dispose]()
  const row = (name: string, other: number, goal: Goal): Row =>
    rowOf({
      name: `request against ${name}, ${count} ${count === 1 ? 'client' : 'clients'}`,
      unit: 'requests/s',
      goal,
      pairs: rounds.map(round => ({ a: round[0]!.perSecond, b: round[other]!.perSecond })),
      details: {
        a_cpu_us: median(rounds.map(round => round[0]!.cpu)),
        b_cpu_us: median(rounds.map(round => round[other]!.cpu)),
        cpu_ratio: median(rounds.map(round => round[0]!.cpu / round[other]!.cpu)),
      },
    })
  return [row('MikroORM without tenants', 1, { op: '>=', value: sizes.quick ? 0.9 : 0.95 }), row('search_path set by hand', 2, BY_HAND)]
}

/** A side that answers with something else would win or lose for the wrong reason. */
async function assertSameAnswers(servers: readonly ServerProcess[], prepared: readonly Buffer[]): Promise<void> {
  const bodies = new Set<string>()
  for (const server of servers) {
    using clients = await server.clients(1)
    for (const request of prepared.slice(0, 3)) bodies.add(await clients.body(request))
  }
  if (bodies.size !== 3) throw new Error(`The sides answer differently: ${[...bodies].join('\n')}`)
}
