import { assert } from 'chai'
import type { TenantQuery } from 'mikro-tenantkit'
import { query } from '../helpers/postgres.ts'
import { testTenancy, type TestTenancy } from '../helpers/tenancy.ts'
import { fieldsOf, refused } from './refused.ts'

describe('the list of tenants', () => {
  let kit: TestTenancy
  const slugs = ['alpha', 'beta', 'delta', 'gamma', 'omega']

  before(async () => {
    kit = await testTenancy()
    await kit.asSystem(async () => {
      for (const slug of slugs) await kit.tenancy.provision({ slug, name: slug.toUpperCase(), isolation: 'schema' })
      await kit.tenancy.provision({ slug: 'percent', name: '100%_real \\ thing', isolation: 'database' })
      await kit.tenancy.archive('omega')
      await kit.tenancy.operate('gamma', 'suspend')
    })
  })
  after(() => kit[Symbol.asyncDispose]())

  const slugsOf = async (asked: TenantQuery) => (await kit.tenancy.listTenants(asked)).items.map(({ slug }) => slug)

  it('shows live tenants by slug; others by their status', async () => {
    assert.deepEqual(await slugsOf({}), ['alpha', 'beta', 'delta', 'gamma', 'percent'])
    assert.deepEqual(await slugsOf({ status: 'archived' }), ['omega'])
    assert.deepEqual(await slugsOf({ status: 'suspended' }), ['gamma'])
    assert.deepEqual(await slugsOf({ status: 'purged' }), [])
    assert.deepEqual(await slugsOf({ isolation_mode: 'database' }), ['percent'])
    assert.deepEqual(await slugsOf({ isolation_mode: 'schema', status: 'ready' }), ['alpha', 'beta', 'delta'])
  })

  it('goes page by page without a gap or a repetition, even while tenants come and go', async () => {
    for (const limit of [1, 2, 3, 5, 200]) {
      const seen: string[] = []
      let cursor: string | undefined
      do {
        const page = await kit.tenancy.listTenants({ limit, cursor })
        assert.isAtMost(page.items.length, limit)
        seen.push(...page.items.map(({ slug }) => slug))
        cursor = page.next_cursor ?? undefined
      } while (cursor !== undefined)
      assert.deepEqual(seen, ['alpha', 'beta', 'delta', 'gamma', 'percent'], String(limit))
    }
    const { next_cursor: cursor } = await kit.tenancy.listTenants({ limit: 2 })
    await query(kit.url, `update public.tenantkit_tenant set slug = 'aaa-was-beta' where slug = 'beta'`)
    assert.deepEqual(await slugsOf({ cursor: cursor! }), ['delta', 'gamma', 'percent'])
    await query(kit.url, `update public.tenantkit_tenant set slug = 'beta' where slug = 'aaa-was-beta'`)
  })

  it('searches slug and name, and takes wildcards as text', async () => {
    assert.deepEqual(await slugsOf({ search: 'LPH' }), ['alpha'])
    assert.deepEqual(await slugsOf({ search: 'ta' }), ['beta', 'delta'])
    assert.deepEqual(await slugsOf({ search: '' }), ['alpha', 'beta', 'delta', 'gamma', 'percent'])
    for (const wildcard of ['%', '_', '0%_r', '\\', '\\ th']) assert.deepEqual(await slugsOf({ search: wildcard }), ['percent'], wildcard)
    assert.deepEqual(await slugsOf({ search: "' or true --" }), [])
    assert.deepEqual(await slugsOf({ search: 'real', status: 'ready' }), ['percent'])
  })

  it('refuses wrong queries by their field', async () => {
    const cursor = (value: unknown) => ({ cursor: Buffer.from(JSON.stringify(value)).toString('base64url') })
    const id = '01a206e5-b5d2-7209-8562-e5d1afb9623b'
    const wrong: readonly (readonly [Record<string, unknown>, string])[] = [
      [{ limit: 0 }, 'limit'],
      [{ limit: 201 }, 'limit'],
      [{ limit: 1.5 }, 'limit'],
      [{ limit: Number.NaN }, 'limit'],
      [{ status: 'gone' }, 'status'],
      [{ isolation_mode: 'table' }, 'isolation_mode'],
      [{ search: 'a\0b' }, 'search'],
      [{ cursor: '' }, 'cursor'],
      [{ cursor: 'nonsense' }, 'cursor'],
      [cursor({}), 'cursor'],
      [cursor(['alpha']), 'cursor'],
      [cursor([1, id]), 'cursor'],
      [cursor(['alpha', id, id]), 'cursor'],
      [cursor(['alpha', '-'.repeat(36)]), 'cursor'],
      [cursor(['al\0pha', id]), 'cursor'],
      [cursor(['alpha', { toString: 1 }]), 'cursor'],
    ]
    for (const [asked, path] of wrong) {
      const error = await refused(() => kit.tenancy.listTenants(asked as TenantQuery), 'VALIDATION_FAILED')
      assert.deepEqual(fieldsOf(error), [path], JSON.stringify(asked))
    }
    assert.deepEqual(await slugsOf(cursor(['beta', id])), ['delta', 'gamma', 'percent'].toSpliced(0, 0, ...(await betaAfter(id))))
  })

  const betaAfter = async (id: string) => ((await kit.tenancy.showTenant('beta')).id > id ? ['beta'] : [])
})
