import { defineEntity, p } from '@mikro-orm/postgresql'
import { assert } from 'chai'
import { createTenancy, defineTenancy, generateKey, type TenancyOptions } from 'mikro-tenantkit'
import { resolveOptions, resolveUrl } from '../src/options.ts'
import { entities } from './helpers/tenancy.ts'
import { refused } from './tenants/refused.ts'

const URL = 'postgresql://u:p@127.0.0.1:1/control'
const options = (change: Partial<TenancyOptions> = {}) =>
  defineTenancy({ entities, database: { url: URL }, keys: generateKey('k1'), migrations: { path: 'nowhere' }, ...change })

describe('options', () => {
  it('are frozen, and complete when they are resolved', async () => {
    const given = options()
    assert.isTrue(Object.isFrozen(given))
    const resolved = await resolveOptions(given)
    assert.isTrue(Object.isFrozen(resolved))
    assert.include(resolved, { url: URL, directUrl: URL, provisioningUrl: URL, prefix: 'tenant', strict: false, pooled: false })
    assert.deepEqual(resolved.sharedPool, {
      max: 10,
      idleTimeoutMillis: 30_000,
      connectionTimeoutMillis: 10_000,
      maxLifetimeSeconds: 1_800,
    })
    assert.equal(resolved.tenantPool.max, 4)
    assert.deepEqual(resolved.hooks, [])
  })

  it('take the URLs that are given, and an empty one counts as not set', async () => {
    const database = { url: URL, directUrl: `${URL}_direct`, provisioningUrl: `${URL}_provisioning` }
    assert.include(await resolveOptions(options({ database })), database)
    assert.include(await resolveOptions(options({ database: { url: URL, directUrl: '', provisioningUrl: '  ' } })), {
      directUrl: URL,
      provisioningUrl: URL,
    })
    assert.include(await resolveOptions(options({ database: { url: URL, directUrl: 'direct' } })), { provisioningUrl: 'direct' })
    assert.equal(await resolveUrl({ url: () => Promise.resolve(URL) }), URL)
  })

  it('have no default database', async () => {
    for (const url of [undefined, '', '   ', () => Promise.resolve('')]) {
      const error = await refused(createTenancy(options({ database: { url } })), 'CONFIGURATION_INVALID')
      assert.include(error.message, 'database.url')
    }
  })

  it('never repeat a URL that is wrong', async () => {
    for (const url of ['secret-word', 'mysql://u:secret-word@host/db', `${URL}?sslmode=secret-word`]) {
      const error = await refused(createTenancy(options({ database: { url } })), 'CONFIGURATION_INVALID')
      assert.notInclude(`${error.message} ${error.hint}`, 'secret-word')
    }
  })

  it('refuse wrong sizes, all at once', async () => {
    const pool = { shared: 0, perTenant: -1, maxTenants: 1.5, waitMs: Number.NaN, idleMs: -1, maxLifetimeSeconds: -1 }
    const error = await refused(resolveOptions(options({ pool })), 'CONFIGURATION_INVALID')
    for (const key of Object.keys(pool)) assert.include(error.message, `pool.${key}`)
    const zero = await resolveOptions(options({ pool: { idleMs: 0, maxLifetimeSeconds: 0 } }))
    assert.include(zero.tenantPool, { idleTimeoutMillis: 0, maxLifetimeSeconds: 0 })
  })

  it('refuse wrong prefixes', async () => {
    for (const prefix of ['', 'A', '1a', 'a_b', 'a-b', 'pg', 'a'.repeat(13), 'a"b'])
      await refused(resolveOptions(options({ naming: { prefix } })), 'VALIDATION_FAILED')
    assert.equal((await resolveOptions(options({ naming: { prefix: 'a'.repeat(12) } }))).prefix, 'a'.repeat(12))
  })

  it('refuse wrong keys without repeating them, and take a function', async () => {
    for (const keys of ['', 'k1', 'k1:c2VjcmV0LXdvcmQ=', 'k1:!!!']) {
      const error = await refused(resolveOptions(options({ keys })), 'CONFIGURATION_INVALID')
      assert.notInclude(error.message, 'c2VjcmV0')
    }
    const resolved = await resolveOptions(options({ keys: () => generateKey('k9') }))
    assert.isDefined(resolved.keyRing)
  })

  it('refuse entities without a scope, and name them', async () => {
    const Stray = defineEntity({ name: 'Stray', properties: { id: p.uuid().primary() } })
    const error = await refused(createTenancy(options({ entities: [...entities, Stray] })), 'CONFIGURATION_INVALID')
    assert.include(error.message, 'Stray')
  })

  it('connect nowhere until it is needed, and close what they started', async () => {
    let closed = 0
    const tenancy = await createTenancy(options({ close: () => Promise.resolve(void closed++) }))
    assert.deepInclude(tenancy.stats().shared, { open: 0, idle: 0, waiting: 0 })
    await tenancy.close()
    assert.equal(closed, 1)
  })
})
