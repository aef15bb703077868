/**
 * Many tenants of both kinds, many clients, tens of thousands of operations in turn: afterwards every row stands in its own tenant, and
 * nothing is left in use. `INTERLEAVING_SEED` repeats a run; `INTERLEAVING_OPERATIONS` makes it shorter or longer.
 */
import { assert } from 'chai'
import { itWithTwoConnections } from './helpers/pooler.ts'
import { poolSize } from './helpers/pooler.ts'
import { databaseOptions, query, serverUrl } from './helpers/postgres.ts'
import type { TestTenancy } from './helpers/tenancy.ts'
import { interleave } from './interleaving/engine.ts'
import { makeWorld } from './interleaving/make-world.ts'
import type { World } from './interleaving/world.ts'

const CLIENTS = 64
const WHOLE = 50_000
const PART = 5_000
const POOL = { shared: 12, perTenant: 2 }
const SLOTS = 16
const seed = Number(process.env['INTERLEAVING_SEED'] ?? Date.now() % 1_000_000)

/** The whole of it in continuous integration, on the newest PostgreSQL alone: what differs on another one is the server, and that shows early. */
async function operationsHere(): Promise<number> {
  const given = process.env['INTERLEAVING_OPERATIONS']
  if (given !== undefined) return Number(given)
  const isVariant = databaseOptions(serverUrl()).pooled === true || process.env['TENANTKIT_TEST_STRICT'] === '1'
  if (isVariant || process.env['INTERLEAVING_WHOLE'] === undefined) return PART
  const [row] = await query<{ version: number }>(serverUrl(), `select current_setting('server_version_num')::int as version`)
  return row!.version >= 180_000 ? WHOLE : PART
}

describe('interleaving', function () {
  this.timeout(600_000)
  let kit: TestTenancy
  let world: World
  let operations: number

  before(async () => {
    operations = await operationsHere()
    ;({ kit, world } = await makeWorld({ schemas: 170, databases: 30, slots: SLOTS, pool: POOL }))
  })
  after(() => kit?.[Symbol.asyncDispose]())

  itWithTwoConnections(`mixes nothing, whatever ${CLIENTS} clients do in 200 tenants at the same time`, async () => {
    const secondConnections = poolSize() === 1 ? 0 : poolSize() > 1 ? 1 : 4
    const report = await interleave(world, { operations, clients: CLIENTS, seed, secondConnections })
    const message = `seed ${seed} (INTERLEAVING_SEED)`
    assert.deepEqual(report.findings, [], message)
    assert.equal(report.done, operations, message)
    // Each of these was done, or what it proves was not tried at all.
    const missing = Object.entries(report.operations).filter(
      ([name, times]) => times === 0 && (name !== 'nestedInTransaction' || secondConnections > 0),
    )
    if (operations >= PART) assert.deepEqual(missing, [], message)
    const { evicted } = kit.tenancy.stats().databases
    assert.isAbove(evicted, 10, `pools were evicted, ${message}`)
    if (process.env['INTERLEAVING_VERBOSE']) console.log(JSON.stringify({ ...report, evicted }))
  })
})
