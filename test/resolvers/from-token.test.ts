import { assert } from 'chai'
import { TenantInvalidError } from '../../src/errors.ts'
import { createTokens } from '../../src/auth/tokens.ts'
import { fromToken } from '../../src/resolvers/from-token.ts'
import { resolveTenant } from '../../src/resolvers/resolve-tenant.ts'
import { NOTHING, resolverContract } from './contract.ts'
import { rejects } from './rejects.ts'

describe('fromToken', () => {
  resolverContract(fromToken, text => ({ ...NOTHING, claims: { plane: 'tenant', tenant_slug: text } }))

  it('reads the claims of a verified token', async () => {
    const tokens = createTokens({ secret: 'x'.repeat(32), issuer: 'i', audience: 'a' })
    const claims = await tokens.verify(await tokens.sign({ sub: 'u1', plane: 'tenant', tenant_id: 't1', tenant_slug: 'acme' }))
    assert.equal(await resolveTenant([fromToken()], { ...NOTHING, claims }), 'acme')
    const owner = await tokens.verify(await tokens.sign({ sub: 'u1', plane: 'global' }))
    assert.isUndefined(await resolveTenant([fromToken()], { ...NOTHING, claims: owner }))
  })

  it('finds nothing in a global token, or in claims that know nothing of planes', async () => {
    for (const claims of [{ plane: 'global' }, {}, { sub: 'u1' } as object, undefined])
      assert.isUndefined(await resolveTenant([fromToken()], { ...NOTHING, claims }))
  })

  const odd: Readonly<Record<string, object>> = {
    'a tenant identity without slug': { plane: 'tenant' },
    'an empty slug': { plane: 'tenant', tenant_slug: '' },
    'a null slug': { plane: 'tenant', tenant_slug: null },
    'a slug that is a number': { plane: 'tenant', tenant_slug: 7 },
    'a slug that is a list': { plane: 'tenant', tenant_slug: ['acme'] },
    'a slug that cannot become text': { plane: 'tenant', tenant_slug: { toString: 1 } },
    'a global identity with a tenant': { plane: 'global', tenant_slug: 'acme' },
    'a global identity with a null tenant': { plane: 'global', tenant_slug: null },
    'a tenant without plane': { tenant_slug: 'acme' },
    'an unknown plane': { plane: 'system' },
    'a plane that is a list': { plane: ['tenant'], tenant_slug: 'acme' },
  }
  for (const [name, claims] of Object.entries(odd)) {
    it(`refuses ${name}`, async () => {
      await rejects(resolveTenant([fromToken()], { ...NOTHING, claims }), TenantInvalidError)
    })
  }
})
