import { assert } from 'chai'
import { assertTokenTenant, withTenantClaims, type IdentityClaims } from '../../src/auth/claims.ts'
import { ConfigurationError, TenantForbiddenError } from '../../src/errors.ts'

const acme = { id: 't1', slug: 'acme' }
const ada: IdentityClaims = { sub: 'u1', plane: 'tenant', tenant_id: 't1', tenant_slug: 'acme' }

describe('withTenantClaims', () => {
  it('puts id, slug and plane of the tenant into the claims', () => {
    assert.deepEqual(withTenantClaims({ sub: 'u1' }, acme), ada)
    assert.deepEqual(withTenantClaims({ sub: 'u1', plane: 'tenant' }, acme), ada)
  })

  it('marks a global identity explicitly', () => {
    assert.deepEqual(withTenantClaims({ sub: 'u1' }, undefined), { sub: 'u1', plane: 'global' })
  })

  it('never moves an identity to the other plane', () => {
    assert.throws(() => withTenantClaims({ sub: 'u1', plane: 'global' }, acme), ConfigurationError)
    assert.throws(() => withTenantClaims({ sub: 'u1', plane: 'tenant' }, undefined), ConfigurationError)
  })

  it('drops everything else, such as the tenant of before', () => {
    assert.deepEqual(withTenantClaims({ ...ada, sub: 'u2', exp: 9 } as { sub: string }, { id: 't2', slug: 'globex' }), {
      sub: 'u2',
      plane: 'tenant',
      tenant_id: 't2',
      tenant_slug: 'globex',
    })
  })

  it('refuses an identity or a tenant that is no name', () => {
    assert.throws(() => withTenantClaims({ sub: '' }, acme), ConfigurationError)
    assert.throws(() => withTenantClaims({ sub: 'u1' }, { id: '', slug: 'acme' }), ConfigurationError)
    assert.throws(() => withTenantClaims({ sub: 'u1' }, { id: 't1', slug: '' }), ConfigurationError)
  })
})

describe('assertTokenTenant', () => {
  it('passes when id and slug are those of the tenant', () => {
    assertTokenTenant(ada, acme)
  })

  const refused: Readonly<Record<string, readonly [Parameters<typeof assertTokenTenant>[0], Parameters<typeof assertTokenTenant>[1]]>> = {
    'no claims': [undefined, acme],
    'claims without tenant': [{ plane: 'tenant' }, acme],
    'no slug in the claims': [{ plane: 'tenant', tenant_id: 't1' }, acme],
    'no id in the claims': [{ plane: 'tenant', tenant_slug: 'acme' }, acme],
    'a global identity': [{ plane: 'global' }, acme],
    'a tenant in a global identity': [{ ...ada, plane: 'global' }, acme],
    'no plane': [{ tenant_id: 't1', tenant_slug: 'acme' }, acme],
    'no tenant': [ada, undefined],
    'no claims and no tenant': [undefined, undefined],
    'a tenant without names and claims without names': [{ plane: 'tenant' }, {} as { id: string; slug: string }],
    'another tenant': [ada, { id: 't2', slug: 'globex' }],
    'the same slug, created again with another id': [ada, { id: 't2', slug: 'acme' }],
    'the same id with another slug': [ada, { id: 't1', slug: 'globex' }],
  }
  const messages = new Set<string>()
  for (const [name, [claims, tenant]] of Object.entries(refused)) {
    it(`refuses ${name}, and names no slug`, () => {
      try {
        assertTokenTenant(claims, tenant)
      } catch (error) {
        assert.instanceOf(error, TenantForbiddenError)
        const { message, hint, details } = error as TenantForbiddenError
        assert.notMatch(`${message} ${hint} ${JSON.stringify(details)}`, /acme|globex|t1|t2/)
        messages.add(message)
        assert.equal(messages.size, 1)
        return
      }
      assert.fail('passed')
    })
  }
})
