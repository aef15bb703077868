import { assert } from 'chai'
import { newId, type TenancyError } from 'mikro-tenantkit'
import { query } from '../helpers/postgres.ts'
import { testTenancy, type TestTenancy } from '../helpers/tenancy.ts'
import { fieldsOf, refused, rowOf } from './refused.ts'

describe('tenants that collide', () => {
  let kit: TestTenancy
  before(async () => void (kit = await testTenancy()))
  after(() => kit[Symbol.asyncDispose]())

  type Input = Parameters<typeof kit.tenancy.provision>[0]
  const provision = (input: Partial<Input> & { slug: string }) =>
    kit.asSystem(() => kit.tenancy.provision({ name: 'T', isolation: 'schema', ...input }))
  const manual = (slug: string, schemaName: string) => provision({ slug, provisioning: 'manual', schemaName })
  const database = (slug: string, connectionAlias: string) =>
    provision({
      slug,
      isolation: 'database',
      provisioning: 'manual',
      connectionAlias,
      connectionString: 'postgresql://u:p@127.0.0.1:1/nowhere',
    })

  it('a generated and a given schema, whichever comes first', async () => {
    await manual('first-a', `${kit.prefix}_a_b`)
    const taken = await refused(provision({ slug: 'a-b' }), 'SCHEMA_TAKEN')
    assert.deepEqual([taken.status, ...fieldsOf(taken)], [409, 'schema_name'])
    assert.isUndefined(await rowOf(kit, 'a-b'))
    await provision({ slug: 'c-d' })
    await refused(manual('second-c', `${kit.prefix}_c_d`), 'SCHEMA_TAKEN')
    assert.isUndefined(await rowOf(kit, 'second-c'))
  })

  it('by slug, whatever the isolation and the status', async () => {
    await provision({ slug: 'same' })
    for (const input of [{ slug: 'same' }, { slug: 'same', isolation: 'database' as const }]) {
      const taken = await refused(provision(input), 'SLUG_TAKEN')
      assert.deepEqual([taken.status, ...fieldsOf(taken)], [409, 'slug'])
    }
    await kit.asSystem(() => kit.tenancy.archive('same'))
    await refused(manual('same', 'another_schema'), 'SLUG_TAKEN')
  })

  it('by alias', async () => {
    await refused(database('alias-a', 'one_alias'), 'PROVISIONING_FAILED')
    const taken = await refused(database('alias-b', 'one_alias'), 'ALIAS_TAKEN')
    assert.deepEqual([taken.status, ...fieldsOf(taken)], [409, 'connection_alias'])
    await refused(database('alias-c', `${kit.prefix}_x_y`), 'PROVISIONING_FAILED')
    await refused(provision({ slug: 'x-y', isolation: 'database' }), 'ALIAS_TAKEN')
  })

  for (const isolation of ['schema', 'database'] as const) {
    it(`two creations at once (${isolation}): one wins`, async () => {
      const slug = `race-${isolation}`
      const results = await Promise.allSettled(Array.from({ length: 4 }, () => provision({ slug, isolation })))
      assert.lengthOf(
        results.filter(({ status }) => status === 'fulfilled'),
        1,
      )
      for (const result of results) {
        if (result.status === 'fulfilled') continue
        const error = result.reason as TenancyError
        assert.include(['SLUG_TAKEN', 'OPERATION_CONFLICT'], error.code)
        assert.equal(error.status, 409)
      }
      assert.equal((await rowOf(kit, slug))?.['status'], 'ready')
      const [count] = await query(kit.url, 'select count(*)::int as n from public.tenantkit_tenant where slug = $1', [slug])
      assert.equal(count?.['n'], 1)
    })
  }

  it('two creations of one schema at once: one wins', async () => {
    const results = await Promise.allSettled([manual('race-m', 'one_schema'), manual('race-n', 'one_schema')])
    const lost = results.filter(result => result.status === 'rejected')
    assert.deepEqual(
      lost.map(({ reason }) => (reason as TenancyError).code),
      ['SCHEMA_TAKEN'],
    )
  })

  it('two operations at once: one wins, and none runs twice', async () => {
    await provision({ slug: 'twice' })
    const results = await Promise.allSettled(Array.from({ length: 4 }, () => kit.asSystem(() => kit.tenancy.operate('twice', 'suspend'))))
    assert.lengthOf(
      results.filter(({ status }) => status === 'fulfilled'),
      1,
    )
    for (const result of results) {
      if (result.status === 'rejected') assert.include(['OPERATION_CONFLICT', 'INVALID_STATE'], (result.reason as TenancyError).code)
    }
  })

  it('a purged tenant frees its slug, schema and alias, and its row stays', async () => {
    for (const isolation of ['schema', 'database'] as const) {
      const slug = `again-${isolation}`
      const first = await provision({ slug, isolation })
      await kit.asSystem(async () => {
        await kit.tenancy.archive(slug)
        await kit.tenancy.operate(slug, 'purge', { confirm: `DELETE ${slug}` })
      })
      assert.equal((await kit.tenancy.showTenant(slug)).status, 'purged')
      const second = await provision({ slug, isolation })
      assert.notEqual(second.id, first.id)
      assert.include(await kit.tenancy.showTenant(slug), { id: second.id, status: 'ready' })
      const rows = await query(kit.url, 'select status from public.tenantkit_tenant where slug = $1 order by created_at', [slug])
      assert.deepEqual(
        rows.map(({ status }) => status),
        ['purged', 'ready'],
      )
    }
  })

  it('the table itself refuses contradictions and duplicates', async () => {
    const row = {
      slug: 'by-sql',
      isolation_mode: 'schema',
      provisioning_mode: 'auto',
      schema_name: 'by_sql' as string | null,
      connection_alias: null as string | null,
      connection_string: null as string | null,
      provisioning_connection_string: null as string | null,
      status: 'pending',
    }
    const insert = (change: Partial<typeof row>) => {
      const { slug, isolation_mode, provisioning_mode, ...rest } = { ...row, ...change }
      return query(
        kit.url,
        `insert into public.tenantkit_tenant (id, name, metadata, created_resources, version, created_at, created_by, updated_at, updated_by,
           slug, isolation_mode, provisioning_mode, schema_name, connection_alias, connection_string, provisioning_connection_string, status)
         values ($1, 'T', '{}', '[]', 1, now(), 'sql', now(), 'sql', $2, $3, $4, $5, $6, $7, $8, $9)`,
        [
          newId(),
          slug,
          isolation_mode,
          provisioning_mode,
          rest.schema_name,
          rest.connection_alias,
          rest.connection_string,
          rest.provisioning_connection_string,
          rest.status,
        ],
      ).then(
        () => 'accepted',
        (error: { constraint?: string }) => String(error.constraint),
      )
    }
    const own = { isolation_mode: 'database', schema_name: null, connection_alias: 'by_sql', connection_string: 'sealed' }
    const check = (name: string) => `tenantkit_tenant_${name}_check`
    assert.equal(await insert({ isolation_mode: 'table' }), check('isolation_mode'))
    assert.equal(await insert({ provisioning_mode: 'magic' }), check('provisioning_mode'))
    for (const change of [
      { schema_name: null },
      { connection_alias: 'a' },
      { connection_string: 'a' },
      { provisioning_connection_string: 'a' },
    ])
      assert.equal(await insert(change), check('schema'), JSON.stringify(change))
    for (const change of [{ schema_name: 'a' }, { connection_alias: null }, { connection_string: null }])
      assert.equal(await insert({ ...own, ...change }), check('database'), JSON.stringify(change))
    assert.equal(await insert({}), 'accepted')
    assert.equal(await insert({ schema_name: 'by_sql_b' }), 'tenantkit_tenant_slug_unique')
    assert.equal(await insert({ slug: 'by-sql-b' }), 'tenantkit_tenant_schema_name_unique')
    assert.equal(await insert({ status: 'purged' }), 'accepted')
    assert.equal(await insert({ ...own, slug: 'by-sql-c' }), 'accepted')
    assert.equal(await insert({ ...own, slug: 'by-sql-d' }), 'tenantkit_tenant_connection_alias_unique')
    await query(kit.url, `delete from public.tenantkit_tenant where created_by = 'sql'`)
  })
})
