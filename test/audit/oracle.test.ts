import { testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'
import { entities, tenantPlace } from './model.ts'
import { runSequences } from './oracle.ts'

describe('audit and soft delete, against an oracle', function () {
  this.timeout(180_000)
  let kit: TestTenancy
  before(async () => {
    kit = await testTenancy({ entities })
    await twoTenants(kit)
  })
  after(() => kit[Symbol.asyncDispose]())

  it('1,000 random sequences of create, change, delete, restore and purge end as they should', async () => {
    const [acme, globex] = [tenantPlace(() => kit, 'acme'), tenantPlace(() => kit, 'globex')]
    await runSequences([acme, globex, acme, globex], 1_000)
  })
})
