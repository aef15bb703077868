/** The test kit: a tenancy that leaves nothing behind. */
import { assert } from 'chai'
import { bothEntity, sharedEntity, tenantEntity } from '../../src/classification/entities.ts'
import { generateKey } from '../../src/crypto/key-ring.ts'
import { defineTenancy, type TenancyOptions } from '../../src/options.ts'
import { createTestTenancy } from '../../src/testing/test-tenancy.ts'
import { query, serverUrl } from '../helpers/postgres.ts'

const options = (): TenancyOptions =>
  defineTenancy({
    entities: [
      sharedEntity({ name: 'Plan', properties: p => ({ id: p.uuid().primary(), code: p.string() }) }),
      tenantEntity({ name: 'Customer', properties: p => ({ id: p.uuid().primary(), name: p.string() }) }),
      bothEntity({ name: 'User', properties: p => ({ id: p.uuid().primary(), email: p.string(), passwordHash: p.string() }) }),
    ],
    database: { url: 'postgres://nobody@127.0.0.1:9/none' },
    keys: generateKey('k1'),
    migrations: { path: '/nonexistent/migrations' },
  })

const remains = async (prefix: string): Promise<string[]> =>
  (
    await query<{ name: string }>(
      serverUrl(),
      `select datname as name from pg_database where datname like '%' || $1 || '%' union all select rolname from pg_roles where rolname like $1 || '%'`,
      [prefix],
    )
  ).map(({ name }) => name)

describe('createTestTenancy', function () {
  this.timeout(30_000)

  it('gives a migrated tenancy and removes its databases and roles', async () => {
    const test = await createTestTenancy(options(), { url: serverUrl() })
    try {
      const { tenancy } = test
      for (const isolation of ['schema', 'database'] as const) {
        await tenancy.runAsSystem('test', () => tenancy.provision({ slug: `by-${isolation}`, name: isolation, isolation }))
      }
      assert.lengthOf((await tenancy.runAsSystem('test', () => tenancy.listTenants({}))).items, 2)
      assert.isAtLeast((await remains(test.prefix)).length, 2)
    } finally {
      await test.dispose()
    }
    assert.deepEqual(await remains(test.prefix), [])
    await test.dispose()
  })

  it('leaves nothing when the tenancy cannot be made', async () => {
    const before = (await remains('tenantkit_test_')).length
    const wrong = { ...options(), entities: [{ nonsense: true }] } as unknown as TenancyOptions
    const refused = await createTestTenancy(wrong, { url: serverUrl() }).then(
      () => false,
      () => true,
    )
    assert.isTrue(refused)
    assert.isAtMost((await remains('tenantkit_test_')).length, before)
  })
})
