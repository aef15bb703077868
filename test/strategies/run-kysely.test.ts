/** Transactions of Kysely: they end with their run, and are used nowhere else. */
import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from 'chai'
import { em } from 'mikro-tenantkit'
import { ada, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'

interface Transaction {
  executeQuery(compiled: unknown): Promise<{ readonly rows: readonly unknown[] }>
  rollback(): { execute(): Promise<void> }
}
const SELECT = { sql: 'select 1 as one', parameters: [], query: { kind: 'SelectQueryNode' }, queryId: { queryId: 'test' } }

const begin = () =>
  (em().getKysely() as unknown as { startTransaction(): { execute(): Promise<Transaction> } }).startTransaction().execute()
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'nothing was refused',
    (error: { code?: string; message: string }) => error.code ?? error.message,
  )

describe('a transaction of Kysely', () => {
  let kit: TestTenancy
  const inTenant = <T>(slug: string, work: () => Promise<T>) => kit.tenancy.run(slug, work, { actor: ada })
  const inUse = () => {
    const { shared, connections } = kit.tenancy.stats()
    return shared.inUse + connections.inUse
  }
  async function free(): Promise<void> {
    for (let tries = 0; inUse() > 0 && tries < 200; tries++) await sleep(10)
    assert.equal(inUse(), 0, 'connections in use')
  }

  before(async () => {
    kit = await testTenancy()
    await twoTenants(kit)
  })
  after(() => kit?.[Symbol.asyncDispose]())

  for (const [slug, other] of [
    ['acme', 'globex'],
    ['globex', 'acme'],
  ] as const) {
    it(`of ${slug} is refused in ${other} and without a tenant, and goes on in its run`, async () => {
      await inTenant(slug, async () => {
        const transaction = await begin()
        await inTenant(other, async () => assert.equal(await codeOf(transaction.executeQuery(SELECT)), 'CROSS_TENANT_ENTITY'))
        await kit.asSystem(async () => assert.equal(await codeOf(transaction.executeQuery(SELECT)), 'CROSS_TENANT_ENTITY'))
        assert.deepEqual((await transaction.executeQuery(SELECT)).rows, [{ one: 1 }])
        await transaction.rollback().execute()
      })
      await free()
    })

    it(`that ${slug} leaves open is rolled back when its run ends, and refused afterwards`, async () => {
      const kept = await inTenant(slug, async () => ({ transaction: await begin() }))
      await free()
      assert.equal(await codeOf(kept.transaction.executeQuery(SELECT)), 'NO_TENANT_CONTEXT')
      await inTenant(slug, async () => {
        // The connection is this run's by now.
        const own = await begin()
        assert.equal(await codeOf(kept.transaction.executeQuery(SELECT)), 'NO_TENANT_CONTEXT')
        await kept.transaction.rollback().execute()
        assert.equal(inUse(), 1)
        assert.deepEqual((await own.executeQuery(SELECT)).rows, [{ one: 1 }])
        await own.rollback().execute()
      })
      await free()
    })

    it(`that ${slug} began by its connection is rolled back when its run ends`, async () => {
      await inTenant(slug, async () => {
        await (em().getConnection() as unknown as { begin(): Promise<object> }).begin()
        assert.equal(inUse(), 1)
      })
      await free()
    })
  }
})
