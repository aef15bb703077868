/** What was wrong elsewhere with audit and soft delete, and must never happen here. */
import { assert } from 'chai'
import { restore } from 'mikro-tenantkit'
import { Customer, bob, entities, eve, tenantPlace, type Stored } from '../audit/model.ts'
import { testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'

describe('faults of audit', function () {
  this.timeout(60_000)
  let kit: TestTenancy
  before(async () => {
    kit = await testTenancy({ entities })
    await twoTenants(kit)
  })
  after(() => kit[Symbol.asyncDispose]())

  it('S37: no row without its authors after an insert, a bulk write or a delete, and none keeps deleted_by when it is restored', async () => {
    for (const place of [tenantPlace(() => kit, 'acme'), tenantPlace(() => kit, 'globex')]) {
      await place.as(bob, async manager => {
        manager.create(Customer, { name: 'api' })
        await manager.flush()
        await manager.insertMany(Customer, [{ id: crypto.randomUUID(), name: 'bulk' }] as never)
      })
      await place.as(eve, async manager => {
        await manager.nativeDelete(Customer, { name: 'bulk' })
        await manager.remove(await manager.findOneOrFail(Customer, { name: 'api' })).flush()
      })
      const rows = () => place.sql<Stored>('select * from %s.customer')
      assert.lengthOf(await rows(), 2)
      for (const row of await rows())
        assert.deepInclude(row, { created_by: 'tenant:bob', updated_by: 'tenant:eve', deleted_by: 'tenant:eve' })
      await place.as(bob, async manager => assert.equal(await restore(manager, Customer, {}), 2))
      for (const row of await rows()) assert.deepInclude(row, { updated_by: 'tenant:bob', deleted_by: null, deleted_at: null })
    }
  })

  it('what does without audit is listed by the check', async () => {
    const findings = await kit.tenancy.check()
    const entity = findings.find(({ name }) => name === 'entities')!
    assert.include(entity.message, 'without audit fields: Counter')
    assert.isTrue(entity.ok)
  })
})
