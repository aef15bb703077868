import { assert } from 'chai'
import { TenantInvalidError } from '../../src/errors.ts'
import { fromSession } from '../../src/resolvers/from-session.ts'
import { resolveTenant } from '../../src/resolvers/resolve-tenant.ts'
import { NOTHING, resolverContract } from './contract.ts'
import { rejects } from './rejects.ts'

describe('fromSession', () => {
  resolverContract(fromSession, text => ({ ...NOTHING, session: { active_tenant: text } }))

  it('reads active_tenant by default, or another key', async () => {
    const evidence = { ...NOTHING, session: { active_tenant: 'acme', org: 'globex' } }
    assert.equal(await resolveTenant([fromSession()], evidence), 'acme')
    assert.equal(await resolveTenant([fromSession('org')], evidence), 'globex')
  })

  it('finds nothing in a session without tenant', async () => {
    for (const session of [{}, { active_tenant: undefined }, { active_tenant: null }, { active_tenant_id: 'acme' }])
      assert.isUndefined(await resolveTenant([fromSession()], { ...NOTHING, session }))
  })

  it('refuses anything but a string, and the empty one', async () => {
    for (const odd of ['', 7, 0, true, false, ['acme'], {}, { toString: 1 }, Object.create(null) as object, Symbol('acme'), () => 'acme']) {
      await rejects(resolveTenant([fromSession()], { ...NOTHING, session: { active_tenant: odd } }), TenantInvalidError)
    }
  })
})
