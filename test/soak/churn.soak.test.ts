/** The same as `connections/churn.test.ts`, with more of everything. */
import { assert } from 'chai'
import { churn, manyTenants, mostBackends, settled } from '../connections/churn.ts'
import { testTenancy, type TestTenancy } from '../helpers/tenancy.ts'

const TENANTS = 500
const SLOTS = 20
const TOTAL = 40

describe('many database tenants over few connections, for long', () => {
  let kit: TestTenancy
  let slugs: string[]

  before(async () => {
    kit = await testTenancy({ pool: { maxTenants: SLOTS, perTenant: 3, shared: 8, total: TOTAL, waitMs: 120_000 } })
    slugs = await manyTenants(kit, TENANTS)
  })
  after(() => kit[Symbol.asyncDispose]())

  it(`${TENANTS} tenants over ${SLOTS} slots: nothing mixes, nothing is cut off, nothing is left, and no cap is passed`, async () => {
    const most = await mostBackends(kit, () => churn(kit, { slugs, clients: 64, operations: 20_000, seed: Date.now() % 1_000_000 }))
    assert.isAtMost(most.tenants, TOTAL)
    assert.isAtMost(most.shared, 8)
    assert.isAtMost(kit.tenancy.stats().databases.open, SLOTS)
    assert.isAbove(kit.tenancy.stats().databases.evicted, 10 * TENANTS)
    const { seen, open } = await settled(kit)
    assert.equal(seen, open)
  })
})
