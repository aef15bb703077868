/** Requests in strict mode, where a PostgreSQL role guards each schema, against requests without. */
import { em } from 'mikro-tenantkit'
import { Fleet } from '../fleet.ts'
import type { Bench, Group, Prepared } from '../harness/group.ts'
import { rowOf, type Row } from '../harness/report.ts'
import { alternate } from '../harness/rounds.ts'
import type { ServerProcess } from '../harness/server-process.ts'
import { median } from '../harness/statistics.ts'
import { inTurn, load, requestsOf, startServer, warmUp, warmUpAll } from './requests.ts'

const CLIENTS = [1, 32]
/** Requests before the first round of a number of clients, on sides that are warm. */
const AGAIN = 200

export const strict: Group = {
  name: 'strict',
  tenants: () => ({ schemas: 1, databases: 0 }),
  async prepare(bench): Promise<Prepared> {
    await using stack = new AsyncDisposableStack()
    const fleet = stack.use(await Fleet.make(bench.place, 'strict', { tables: bench.sizes.tables, strict: true }))
    const schemas = await fleet.schemaTenants(1)
    await assertStrict(bench, fleet)
    const ours: Bench = { ...bench, fleet, schemas }
    const servers = [stack.use(await startServer(ours, 'tenancy')), stack.use(await startServer(bench, 'tenancy'))]
    const asked = [ours, bench].map(async ({ secret, schemas: [tenant] }, index) => ({
      server: servers[index]!,
      next: inTurn(await requestsOf(secret, tenant!)),
    }))
    await warmUpAll(await Promise.all(asked), bench.sizes.warmUp)
    const open = stack.move()
    return { measure: () => measure(ours, bench, servers), [Symbol.asyncDispose]: () => open.disposeAsync() }
  },
}

async function measure(ours: Bench, bench: Bench, servers: readonly ServerProcess[]): Promise<readonly Row[]> {
  const { sizes } = bench
  const rows: Row[] = []
  for (const count of CLIENTS) {
    bench.say(`strict mode, ${count} at once`)
    const sides = await Promise.all(
      [ours, bench].map(async ({ secret, schemas }, index) => {
        const next = inTurn(await requestsOf(secret, schemas[0]!))
        const clients = await servers[index]!.clients(count)
        await warmUp(clients, next, AGAIN)
        return (milliseconds: number) => load(servers[index]!, clients, next, milliseconds)
      }),
    )
    const rounds = await alternate(
      sizes.fewRounds,
      sides.map(side => () => side(sizes.roundMs)),
    )
    rows.push(
      rowOf({
        name: `request in strict mode against without, ${count} ${count === 1 ? 'client' : 'clients'}`,
        unit: 'requests/s',
        pairs: rounds.map(([a, b]) => ({ a: a!.perSecond, b: b!.perSecond })),
        details: { cpu_ratio: median(rounds.map(([a, b]) => a!.cpu / b!.cpu)) },
      }),
    )
  }
  return rows
}

/** Two sides that do the same would measure nothing. */
async function assertStrict({ place }: Bench, { tenancy }: Fleet): Promise<void> {
  const user = await tenancy.runAsSystem('bench', () =>
    tenancy.run('s0x', async () => (await em().execute<{ user: string }[]>('select current_user as user'))[0]!.user),
  )
  if (user === decodeURIComponent(new URL(place.url).username)) throw new Error('Strict mode is asked for, and the role is the same.')
}
