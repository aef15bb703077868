import { assert } from 'chai'
import fc from 'fast-check'
import { ConfigurationError, TenantInvalidError } from '../../src/errors.ts'
import { isSlug } from '../../src/naming.ts'
import { fromSubdomain } from '../../src/resolvers/from-subdomain.ts'
import { resolveTenant } from '../../src/resolvers/resolve-tenant.ts'
import { anyString, NOTHING, resolverContract } from './contract.ts'
import { rejects } from './rejects.ts'

const resolver = fromSubdomain({ baseDomain: 'example.com' })
const of = (host: string | undefined) => resolveTenant([resolver], { ...NOTHING, host })

describe('fromSubdomain', () => {
  resolverContract(
    () => fromSubdomain({ baseDomain: 'example.com' }),
    text => ({ ...NOTHING, host: `${text}.example.com` }),
  )

  it('takes one label before the base domain; port, case and a final dot do not count', async () => {
    for (const host of [
      'acme.example.com',
      'acme.example.com:3000',
      'ACME.Example.COM',
      'acme.example.com.',
      'acme.example.com.:80',
      'acme.example.com:',
    ])
      assert.equal(await of(host), 'acme', host)
    assert.equal(
      await resolveTenant([fromSubdomain({ baseDomain: 'Apps.Example.com' })], { ...NOTHING, host: 'acme.apps.example.com' }),
      'acme',
    )
    assert.equal(await resolveTenant([fromSubdomain({ baseDomain: 'localhost' })], { ...NOTHING, host: 'acme.localhost:3000' }), 'acme')
  })

  it('finds nothing in the base domain, www, an address or another host', async () => {
    const hosts = [
      'example.com',
      'EXAMPLE.com:80',
      'www.example.com',
      'WWW.example.com:3000',
      '127.0.0.1',
      '127.0.0.1:3000',
      '[::1]',
      '[::1]:3000',
      '::1',
      'localhost',
      '',
      'acme.example.org',
      'acme.example.com.evil.org',
      'acmeexample.com',
      'evil-example.com',
      'acme',
    ]
    for (const host of [...hosts, undefined]) assert.isUndefined(await of(host), host)
  })

  it('refuses deeper names and labels that are no slug', async () => {
    for (const host of [
      'a.acme.example.com',
      'www.acme.example.com',
      'acme.www.example.com',
      '.example.com',
      'acme..example.com',
      'ab.example.com',
      'acme@evil.example.com',
      'a_b.example.com',
      'xn--4ca.example.com',
      'evil.org/.example.com',
      'acme:80.example.com',
      ' acme.example.com',
    ]) {
      await rejects(of(host), TenantInvalidError)
    }
  })

  it('gives undefined, a slug or TENANT_INVALID for any host', async () => {
    await fc.assert(
      fc.asyncProperty(anyString, fc.constantFrom('', '.example.com', '.example.com:3000', 'example.com'), async (text, end) => {
        const result = await of(text + end).catch((error: unknown) => error)
        assert.isTrue(result === undefined || isSlug(result) || result instanceof TenantInvalidError, String(result))
      }),
    )
  })

  it('refuses a base domain that is none', () => {
    for (const baseDomain of [
      '',
      '.',
      '.example.com',
      'example.com.',
      'example.com:80',
      'https://example.com',
      '127.0.0.1',
      '[::1]',
      'exa mple.com',
      '*.example.com',
      '-a.com',
      `${'a.'.repeat(130)}com`,
    ]) {
      assert.throws(() => fromSubdomain({ baseDomain }), ConfigurationError, undefined, baseDomain)
    }
  })
})
