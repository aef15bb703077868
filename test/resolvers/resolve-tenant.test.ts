import { assert } from 'chai'
import fc from 'fast-check'
import { TenantEvidenceConflictError, TenantInvalidError, UnauthenticatedError } from '../../src/errors.ts'
import { isSlug } from '../../src/naming.ts'
import type { RequestEvidence, ResolveTenant, TenantResolver } from '../../src/resolvers/evidence.ts'
import { fromHeader } from '../../src/resolvers/from-header.ts'
import { fromSession } from '../../src/resolvers/from-session.ts'
import { fromSubdomain } from '../../src/resolvers/from-subdomain.ts'
import { fromToken } from '../../src/resolvers/from-token.ts'
import { resolveTenant } from '../../src/resolvers/resolve-tenant.ts'
import { anyString, NOTHING, withHeaders } from './contract.ts'
import { rejects } from './rejects.ts'

const ALL = [fromToken(), fromSession(), fromHeader(), fromSubdomain({ baseDomain: 'example.com' })]

/** Evidence in which each source may name a tenant. */
function evidence(given: {
  token?: string | undefined
  session?: string | undefined
  header?: string | undefined
  host?: string | undefined
}): RequestEvidence {
  const rest = {
    ...(given.token === undefined ? {} : { claims: { plane: 'tenant', tenant_slug: given.token } }),
    ...(given.session === undefined ? {} : { session: { active_tenant: given.session } }),
    ...(given.host === undefined ? {} : { host: `${given.host}.example.com` }),
  }
  return withHeaders(given.header === undefined ? {} : { 'x-tenant': given.header }, rest)
}

/** All orders of a list. */
function orders<T>(list: readonly T[]): (readonly T[])[] {
  return list.length < 2 ? [list] : list.flatMap((first, index) => orders(list.toSpliced(index, 1)).map(rest => [first, ...rest]))
}

describe('resolveTenant', () => {
  it('gives undefined without resolvers and without evidence', async () => {
    assert.isUndefined(await resolveTenant([], NOTHING))
    assert.isUndefined(await resolveTenant(ALL, NOTHING))
  })

  it('gives the tenant that any one source names, in any order of resolvers', async () => {
    for (const resolvers of orders(ALL)) {
      for (const source of ['token', 'session', 'header', 'host'])
        assert.equal(await resolveTenant(resolvers, evidence({ [source]: 'acme' })), 'acme')
    }
  })

  it('takes sources that agree', async () => {
    assert.equal(await resolveTenant(ALL, evidence({ token: 'acme', session: 'acme', header: 'acme', host: 'ACME' })), 'acme')
  })

  it('refuses sources that disagree, in any order, and names the resolvers but no slug', async () => {
    for (const resolvers of orders(ALL)) {
      const error = await rejects(resolveTenant(resolvers, evidence({ token: 'acme', header: 'globex' })), TenantEvidenceConflictError)
      assert.include(error.message, 'token')
      assert.include(error.message, 'header x-tenant')
      assert.notMatch(error.message, /session|subdomain|acme|globex/)
    }
  })

  it('refuses one that disagrees with two', async () => {
    await rejects(resolveTenant(ALL, evidence({ token: 'acme', session: 'acme', host: 'globex' })), TenantEvidenceConflictError)
  })

  it('refuses malformed evidence beside good evidence, in any order', async () => {
    for (const resolvers of orders(ALL)) {
      await rejects(resolveTenant(resolvers, evidence({ token: 'acme', header: 'a_b' })), TenantInvalidError)
      await rejects(resolveTenant(resolvers, evidence({ token: 'A_B', header: 'acme' })), TenantInvalidError)
      await rejects(resolveTenant(resolvers, evidence({ session: '', header: 'acme' })), TenantInvalidError)
    }
  })

  it('calls evidence malformed before it calls it a conflict', async () => {
    for (const resolvers of orders(ALL))
      await rejects(resolveTenant(resolvers, evidence({ token: 'acme', session: 'globex', header: 'a_b' })), TenantInvalidError)
  })

  it('gives undefined, a slug that was there, or one of the two errors, whatever arrives', async () => {
    const maybe = fc.option(anyString, { nil: undefined })
    await fc.assert(
      fc.asyncProperty(fc.record({ token: maybe, session: maybe, header: maybe, host: maybe }), async given => {
        const result = await resolveTenant(ALL, evidence(given)).catch((error: unknown) => error)
        if (isSlug(result))
          assert.include(
            Object.values(given).map(text => text?.toLowerCase()),
            result,
          )
        else
          assert.isTrue(
            result === undefined || result instanceof TenantInvalidError || result instanceof TenantEvidenceConflictError,
            String(result),
          )
      }),
      { numRuns: 300 },
    )
  })
})

describe('resolvers of an application', () => {
  it('are plain functions or objects, and may be asynchronous', async () => {
    const later: ResolveTenant = async ({ host }) => (await Promise.resolve(host))?.split('/')[0]
    const named: TenantResolver = { name: 'path', resolve: () => 'acme' }
    assert.equal(await resolveTenant([later, named, () => undefined, () => null], { ...NOTHING, host: 'acme/invoices' }), 'acme')
  })

  it('are asked with their own this', async () => {
    const counting = {
      name: 'counting',
      calls: 0,
      resolve(): string {
        this.calls++
        return 'acme'
      },
    }
    await resolveTenant([counting], NOTHING)
    assert.equal(counting.calls, 1)
  })

  it('are checked like the others', async () => {
    for (const odd of ['', 'A', 7, {}, { toString: 1 }, ['acme'], true, Object.create(null) as object])
      await rejects(resolveTenant([() => odd as string], NOTHING), TenantInvalidError)
  })

  it('are named in a conflict by function name or by place', async () => {
    const byCookie: ResolveTenant = () => 'acme'
    const error = await rejects(resolveTenant([byCookie, () => 'globex'], NOTHING), TenantEvidenceConflictError)
    assert.include(error.message, 'byCookie and resolver 2')
  })

  it('throw their own errors before those of evidence: a bad token is a 401 first', async () => {
    const failing: ResolveTenant = () => {
      throw new UnauthenticatedError()
    }
    for (const resolvers of orders([fromHeader(), failing, fromToken()])) {
      await rejects(resolveTenant(resolvers, evidence({ header: 'a_b', token: 'acme' })), UnauthenticatedError)
      await rejects(resolveTenant(resolvers, evidence({ header: 'globex', token: 'acme' })), UnauthenticatedError)
    }
  })

  it('are all asked, and all awaited, before an error comes out', async () => {
    let ended = false
    const slow: ResolveTenant = async () => {
      await new Promise(resolve => setTimeout(resolve, 10))
      ended = true
      return 'acme'
    }
    await rejects(resolveTenant([fromHeader(), slow], evidence({ header: 'a_b' })), TenantInvalidError)
    assert.isTrue(ended)
  })
})
