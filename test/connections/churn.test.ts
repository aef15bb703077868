/** Eviction is safe in use, and the caps hold what they say: the server is asked while it happens. */
import { assert } from 'chai'
import { em } from 'mikro-tenantkit'
import { Tag, ada, testTenancy, type TestTenancy } from '../helpers/tenancy.ts'
import { churn, manyTenants, mostBackends, settled } from './churn.ts'

const TENANTS = 60
const SLOTS = 8
const PER_TENANT = 2
const SHARED = 3
const ROOM = 10

describe('many database tenants over few connections', function () {
  this.timeout(180_000)
  let kit: TestTenancy
  let slugs: string[]

  before(async () => {
    // Eight pools of two would have 16: the server's cap leaves 10, and of these 9 may be open in all.
    const pool = { maxTenants: SLOTS, perTenant: PER_TENANT, shared: SHARED, perServer: SHARED + ROOM, total: ROOM - 1, waitMs: 40_000 }
    kit = await testTenancy({ pool })
    slugs = await manyTenants(kit, TENANTS)
  })
  after(() => kit[Symbol.asyncDispose]())

  it(`${TENANTS} tenants over ${SLOTS} slots with 64 clients: nothing mixes, nothing is cut off, nothing is left, and no cap is passed`, async () => {
    const most = await mostBackends(kit, () => churn(kit, { slugs, clients: 64, operations: 400, seed: Date.now() % 1_000_000 }))
    assert.isAbove(most.looks, 20)
    assert.isAtMost(most.tenants, ROOM - 1, 'open connections to tenants')
    assert.isAbove(most.tenants, SLOTS / 2)
    assert.isAtMost(most.shared, SHARED)
    const { seen, open } = await settled(kit)
    assert.equal(seen, open)
    const { databases, connections } = kit.tenancy.stats()
    assert.isAtMost(databases.open, SLOTS)
    assert.isAbove(databases.evicted, TENANTS)
    assert.isAbove(connections.evicted, 0, 'the budget closed idle connections for others')
    assert.isAbove(connections.waitedMs, 0)
    assert.isAtLeast(connections.longestWaitMs, 1)
  })

  it('a tenant has no more connections than its pool, however much it asks for', async () => {
    const [slug] = slugs as [string]
    const ask = () => em().fork().execute('select pg_sleep(0.01)')
    const work = () => kit.tenancy.run(slug, () => Promise.all(Array.from({ length: 20 }, ask)), { actor: ada })
    const most = await mostBackends(kit, work, slug)
    assert.equal(most.tenants, PER_TENANT)
  })

  it('runs that nest while everything is taken end in POOL_EXHAUSTED at the deadline', async () => {
    const small = await testTenancy({ pool: { maxTenants: 4, perTenant: 1, shared: 2, total: 2, waitMs: 2_000 } })
    try {
      const [a, b, c, d] = (await manyTenants(small, 4)) as [string, string, string, string]
      let inside = 0
      let everyone!: () => void
      const everyoneIsIn = new Promise<void>(resolve => (everyone = resolve))
      const nest = (outer: string, inner: string) =>
        small.tenancy
          .run(
            outer,
            () =>
              em().transactional(async () => {
                await em().count(Tag)
                // Both hold a connection before either asks for another one.
                if (++inside === 2) everyone()
                await everyoneIsIn
                await small.tenancy.run(inner, () => em().count(Tag), { actor: ada })
              }),
            { actor: ada },
          )
          .then(
            () => 'done',
            (error: { code?: string }) => error.code,
          )
      const begun = performance.now()
      const ends = await Promise.all([nest(a, c), nest(b, d)])
      assert.isBelow(performance.now() - begun, 15_000)
      assert.include(ends, 'POOL_EXHAUSTED')
      assert.isAtLeast(small.tenancy.stats().connections.rejected, 1)
      assert.deepInclude(small.tenancy.stats().connections, { inUse: 0, waiting: 0 })
      assert.equal(await small.tenancy.run(d, () => em().count(Tag), { actor: ada }), 0)
      assert.equal(small.tenancy.stats().leases, 0)
    } finally {
      await small[Symbol.asyncDispose]()
    }
  })
})
