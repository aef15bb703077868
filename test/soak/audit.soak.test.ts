/** The same as `audit/oracle.test.ts`, for longer. */
import { testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'
import { entities, tenantPlace } from '../audit/model.ts'
import { runSequences } from '../audit/oracle.ts'

const SEQUENCES = 20_000

describe('audit and soft delete, against an oracle, for long', function () {
  this.timeout(3_600_000)
  let kit: TestTenancy
  before(async () => {
    kit = await testTenancy({ entities })
    await twoTenants(kit)
  })
  after(() => kit[Symbol.asyncDispose]())

  it(`${SEQUENCES} random sequences end as they should`, async () => {
    const [acme, globex] = [tenantPlace(() => kit, 'acme'), tenantPlace(() => kit, 'globex')]
    await runSequences([acme, globex, acme, globex], SEQUENCES)
  })
})
