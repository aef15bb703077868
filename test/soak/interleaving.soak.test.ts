/** The interleaving test at length: a million operations, with the same tenants over the same few connections. */
import { assert } from 'chai'
import type { TestTenancy } from '../helpers/tenancy.ts'
import { interleave } from '../interleaving/engine.ts'
import { makeWorld } from '../interleaving/make-world.ts'
import type { World } from '../interleaving/world.ts'

const OPERATIONS = Number(process.env['INTERLEAVING_OPERATIONS'] ?? 1_000_000)
const CLIENTS = 64
const HOURS = 3_600_000
const seed = Number(process.env['INTERLEAVING_SEED'] ?? Date.now() % 1_000_000)

describe('interleaving, at length', function () {
  this.timeout(6 * HOURS)
  let kit: TestTenancy
  let world: World

  before(async () => {
    ;({ kit, world } = await makeWorld({ schemas: 170, databases: 30, slots: 8, pool: { shared: 20, perTenant: 2 } }))
  })
  after(() => kit?.[Symbol.asyncDispose]())

  it(`mixes nothing in ${OPERATIONS} operations`, async () => {
    const report = await interleave(world, { operations: OPERATIONS, clients: CLIENTS, seed, secondConnections: 4 })
    const message = `seed ${seed} (INTERLEAVING_SEED)`
    assert.deepEqual(report.findings, [], message)
    assert.equal(report.done, OPERATIONS, message)
  })
})
