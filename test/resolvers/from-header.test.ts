import { assert } from 'chai'
import { TenantInvalidError } from '../../src/errors.ts'
import { fromHeader } from '../../src/resolvers/from-header.ts'
import { resolveTenant } from '../../src/resolvers/resolve-tenant.ts'
import { rejects } from './rejects.ts'
import { NOTHING, resolverContract, withHeaders } from './contract.ts'

describe('fromHeader', () => {
  resolverContract(fromHeader, text => withHeaders({ 'x-tenant': text }))

  it('reads x-tenant by default, or another header in any case', async () => {
    const evidence = withHeaders({ 'x-tenant': 'acme', 'x-org': 'globex' })
    assert.equal(await resolveTenant([fromHeader()], evidence), 'acme')
    assert.equal(await resolveTenant([fromHeader('X-Org')], evidence), 'globex')
    assert.equal(fromHeader('X-Org').name, 'header x-org')
  })

  it('refuses an empty header, which is not the same as none', async () => {
    await rejects(resolveTenant([fromHeader()], withHeaders({ 'x-tenant': '' })), TenantInvalidError)
    await rejects(resolveTenant([fromHeader()], withHeaders({ 'x-tenant': [''] })), TenantInvalidError)
  })

  it('refuses a repeated header, equal values too', async () => {
    await rejects(resolveTenant([fromHeader()], withHeaders({ 'x-tenant': ['acme', 'globex'] })), TenantInvalidError)
    await rejects(resolveTenant([fromHeader()], withHeaders({ 'x-tenant': ['acme', 'acme'] })), TenantInvalidError)
    await rejects(resolveTenant([fromHeader()], withHeaders({ 'x-tenant': 'acme, acme' })), TenantInvalidError)
  })

  it('asks the evidence with its own this', async () => {
    class Request {
      readonly #headers = { 'x-tenant': 'acme' }
      header(name: string): string | undefined {
        return Object.entries(this.#headers).find(([key]) => key === name)?.[1]
      }
    }
    assert.equal(await resolveTenant([fromHeader()], new Request()), 'acme')
  })

  it('takes a list of one, no list and null as servers give them', async () => {
    assert.equal(await resolveTenant([fromHeader()], withHeaders({ 'x-tenant': ['acme'] })), 'acme')
    assert.isUndefined(await resolveTenant([fromHeader()], withHeaders({ 'x-tenant': [] })))
    assert.isUndefined(await resolveTenant([fromHeader()], { ...NOTHING, header: () => null }))
  })
})
