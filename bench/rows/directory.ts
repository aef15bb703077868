/** Finding a tenant that is known already, against asking the control plane. */
import { Tenant, controlEm } from 'mikro-tenantkit'
import type { Bench, Group, Prepared } from '../harness/group.ts'
import { rowOf, type Row } from '../harness/report.ts'
import { alternate, timed } from '../harness/rounds.ts'

const WARM_UP = 3
const PER_ROUND = 100

export const directory: Group = {
  name: 'directory',
  tenants: () => ({ schemas: 1, databases: 0 }),
  prepare: bench => Promise.resolve({ measure: () => measure(bench), [Symbol.asyncDispose]: () => Promise.resolve() } satisfies Prepared),
}

async function measure({ fleet, schemas, sizes, say }: Bench): Promise<readonly Row[]> {
  say('look-ups of a tenant')
  const { tenancy } = fleet
  const { slug } = schemas[0]!.ref
  const each = (work: () => Promise<unknown>) => async () => {
    const took = await timed(async () => {
      for (let times = 0; times < PER_ROUND; times++) await work()
    })
    return (took / PER_ROUND) * 1000
  }
  const sides = [
    each(() => tenancy.find(slug)),
    each(() => tenancy.runAsSystem('bench', () => controlEm().findOne(Tenant, { slug }, { filters: false }))),
  ]
  await alternate(WARM_UP, sides)
  const rounds = await alternate(sizes.fewRounds, sides)
  const pairs = rounds.map(([a, b]) => ({ a: a!, b: b! }))
  return [rowOf({ name: 'look-up of a known tenant against a query', unit: 'us', pairs })]
}
