/** What tenants take: measured, kept by day, and compared with what plain SQL says of them. */
import { assert } from 'chai'
import { controlEm, createTenancy, em, type Tenancy, type TenancyOptions } from 'mikro-tenantkit'
import { isDay, resolveUsage } from '../../src/usage/usage-types.ts'
import { databaseUrl, query } from '../helpers/postgres.ts'
import { Book, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'
import { refused } from '../tenants/refused.ts'

const BOOKS = { acme: 700, globex: 300 } as const

describe('usage', function () {
  this.timeout(60_000)
  let kit: TestTenancy
  let tenancy: Tenancy
  const others: Tenancy[] = []

  before(async () => {
    kit = await testTenancy()
    tenancy = kit.tenancy
    await twoTenants(kit)
    for (const [slug, count] of Object.entries(BOOKS))
      await tenancy.run(
        slug,
        async () => {
          for (let at = 0; at < count; at++) em().persist(em().create(Book, { title: `book ${at} `.repeat(20) }))
          await em().flush()
        },
        { actor: { plane: 'system', id: 'test', label: 'test' } },
      )
    await query(kit.url, `analyze "${kit.prefix}_acme".book`)
  })
  after(async () => {
    for (const each of others) await each.close()
    await kit[Symbol.asyncDispose]()
  })

  const today = () => new Date().toISOString().slice(0, 10)
  const stored = () =>
    query<Record<string, unknown>>(
      kit.url,
      `select t.slug, u.day::text, u.storage_bytes::int as bytes, u.table_count as tables, u.row_estimate::int as rows, u.created_by, u.updated_by, u.id
       from public.tenantkit_tenant_usage u join public.tenantkit_tenant t on t.id = u.tenant_id order by t.slug, u.day`,
    )

  it('measures a schema tenant and a database tenant, as plain SQL does', async () => {
    const seen: string[] = []
    let total = 0
    const report = await kit.asSystem(() =>
      tenancy.usage.collect({ total: count => void (total = count), measured: ({ tenant }) => void seen.push(tenant) }),
    )
    assert.deepEqual(report, { day: today(), measured: 2, failed: [], removed: 0 })
    assert.equal(total, 2)
    assert.sameMembers(seen, ['acme', 'globex'])
    const [acme, globex] = await stored()
    const [schema] = await query(
      kit.url,
      `select sum(pg_total_relation_size(c.oid))::int as bytes, count(*)::int as tables from pg_class c
       where c.relkind = 'r' and c.relnamespace = '"${kit.prefix}_acme"'::regnamespace`,
    )
    const url = databaseUrl(`${kit.prefix}_globex`)
    const [database] = await query(
      url,
      `select pg_database_size(current_database())::int as bytes,
         (select count(*)::int from pg_class where relkind = 'r' and relnamespace = 'tenant'::regnamespace) as tables`,
    )
    assert.deepInclude(acme, { slug: 'acme', day: today(), ...schema, created_by: 'system:test', updated_by: 'system:test' })
    assert.deepInclude(globex, { slug: 'globex', tables: database!['tables'] })
    // What the catalog reads for itself may add a page meanwhile.
    assert.closeTo(Number(globex!['bytes']), Number(database!['bytes']), 200_000)
    assert.isAbove(Number(globex!['bytes']), Number(acme!['bytes']))
    // Analyzed there, and by the statistics of what was written here; the tables beside have a few rows of their own.
    assert.isAtLeast(Number(acme!['rows']), BOOKS.acme)
    assert.isAtMost(Number(acme!['rows']), BOOKS.acme * 3)
    assert.isAtMost(Number(globex!['rows']), BOOKS.globex * 3)
    assert.isAbove(Number(acme!['bytes']), BOOKS.acme * 200)
  })

  it('estimates rows that no analyze has seen yet', async () => {
    // The server hears of what was written when the connection that wrote is idle, or gone.
    for (let tries = 0; tries < 50; tries++) {
      await tenancy.usage.collect({ tenants: ['globex'] })
      const [row] = await tenancy.usage.list({ tenants: ['globex'] })
      if (row!.row_estimate >= BOOKS.globex) return
      await new Promise(resolve => setTimeout(resolve, 200))
    }
    assert.fail('the rows are never seen')
  })

  it('keeps one row for a tenant and day, also when several processes measure at once', async () => {
    const before = await stored()
    await Promise.all(Array.from({ length: 4 }, () => tenancy.usage.collect()))
    const rows = await stored()
    assert.lengthOf(rows, 2)
    assert.deepEqual(
      rows.map(({ id }) => id),
      before.map(({ id }) => id),
    )
    // Nobody acted: it is the measurement's own.
    assert.deepInclude(rows[0], { created_by: 'system:test', updated_by: 'system:usage' })
    const again = `insert into public.tenantkit_tenant_usage select gen_random_uuid(), tenant_id, day, 1, 1, 1, now(), 'x', now(), 'x' from public.tenantkit_tenant_usage`
    assert.equal(await query(kit.url, again).catch((error: { code: string }) => error.code), '23505')
  })

  it('tells who cannot be reached, and measures the others', async () => {
    const url = databaseUrl(`${kit.prefix}_globex`)
    await query(kit.url, `alter schema "${kit.prefix}_acme" rename to "${kit.prefix}_elsewhere"`)
    try {
      const { measured, failed } = await tenancy.usage.collect()
      assert.equal(measured, 1)
      assert.deepEqual(failed, [{ tenant: 'acme', error: `the schema "${kit.prefix}_acme" does not exist` }])
    } finally {
      await query(kit.url, `alter schema "${kit.prefix}_elsewhere" rename to "${kit.prefix}_acme"`)
    }
    await query(url, 'alter schema tenant rename to elsewhere')
    try {
      const { measured, failed } = await tenancy.usage.collect()
      assert.equal(measured, 1)
      assert.deepEqual(failed, [{ tenant: 'globex', error: 'the schema "tenant" does not exist' }])
    } finally {
      await query(url, 'alter schema elsewhere rename to tenant')
    }
    // The server answers, and lets nobody in: another tenancy has no connection there yet.
    const other = await createTenancy(kit.options)
    others.push(other)
    await query(kit.url, `alter database "${kit.prefix}_globex" with allow_connections false`)
    try {
      const { measured, failed } = await other.usage.collect()
      assert.equal(measured, 1)
      assert.deepEqual(
        failed.map(({ tenant }) => tenant),
        ['globex'],
      )
      assert.notMatch(failed[0]!.error, /:\/\//)
    } finally {
      await query(kit.url, `alter database "${kit.prefix}_globex" with allow_connections true`)
    }
  })

  it('measures an archived tenant, whose data is kept, and no others than are named', async () => {
    await kit.asSystem(() => tenancy.archive('globex'))
    try {
      assert.equal((await tenancy.usage.collect({ tenants: ['globex'] })).measured, 1)
    } finally {
      await kit.asSystem(() => tenancy.operate('globex', 'restore'))
    }
    await refused(tenancy.usage.collect({ tenants: ['acme', 'nobody'] }), 'TENANT_NOT_FOUND')
  })

  it('lists a day, the largest first, and removes what is older than is kept', async () => {
    const day = (ago: number) => new Date(Date.now() - ago * 86_400_000).toISOString().slice(0, 10)
    for (const ago of [1, 399, 401, 900])
      await query(
        kit.url,
        `insert into public.tenantkit_tenant_usage select gen_random_uuid(), id, '${day(ago)}', ${ago}, 1, 1, now(), 'x', now(), 'x' from public.tenantkit_tenant where slug = 'acme'`,
      )
    assert.equal((await tenancy.usage.collect()).removed, 2)
    const rows = await tenancy.usage.list()
    assert.deepEqual(
      rows.map(row => [row.day, row.tenant, row.isolation_mode]),
      [
        [today(), 'globex', 'database'],
        [today(), 'acme', 'schema'],
      ],
    )
    assert.closeTo(Date.parse(rows[0]!.measured_at), Date.now(), 60_000)
    assert.deepEqual(
      (await tenancy.usage.list({ day: day(399) })).map(({ storage_bytes }) => storage_bytes),
      [399],
    )
    assert.lengthOf(await tenancy.usage.list({ limit: 1 }), 1)
    for (const wrong of [{ day: '2026-02-30' }, { day: 'today' }, { limit: 0 }, { limit: 1.5 }, { limit: 1001 }])
      await refused(tenancy.usage.list(wrong), 'VALIDATION_FAILED')
  })

  it('is read by the entity in the control plane, and by nobody in a tenant', async () => {
    const { TenantUsage } = await import('mikro-tenantkit')
    const rows = await kit.asSystem(() => controlEm().find(TenantUsage, { day: today() }, { orderBy: { storageBytes: 'desc' } }))
    assert.lengthOf(rows, 2)
    assert.isNumber(rows[0]!.storageBytes)
    await refused(
      tenancy.run('acme', () => em().find(TenantUsage as never, {}), { actor: { plane: 'tenant', id: 'x', label: 'x' } }),
      'CROSS_TENANT_ENTITY',
    )
  })

  describe('by the clock', () => {
    const measuring = async (everyMinutes: number): Promise<Tenancy> => {
      const made = await createTenancy({ ...kit.options, usage: { everyMinutes } } as TenancyOptions)
      others.push(made)
      return made
    }
    const measuredAt = async (): Promise<number> => {
      const [row] = await query<{ at: Date }>(kit.url, 'select max(updated_at) as at from public.tenantkit_tenant_usage')
      return row!.at.getTime()
    }
    const until = async (condition: () => Promise<boolean>): Promise<void> => {
      for (const end = Date.now() + 20_000; !(await condition()); await new Promise(resolve => setTimeout(resolve, 50)))
        assert.isBelow(Date.now(), end, 'waited in vain')
    }

    it('measures again and again, in one process of several, and stops when the tenancy is closed', async () => {
      const begun = await measuredAt()
      // Once a second; two processes do it as often as one.
      const both = [await measuring(1 / 60), await measuring(1 / 60)]
      await until(async () => (await measuredAt()) > begun)
      const first = await measuredAt()
      await until(async () => (await measuredAt()) > first)
      await Promise.all(both.map(each => each.close()))
      const last = await measuredAt()
      await new Promise(resolve => setTimeout(resolve, 1_500))
      assert.equal(await measuredAt(), last)
    })

    it('gives the turn to one process alone', async () => {
      const { claimTurn } = await import('../../src/usage/store.ts')
      await query(kit.url, `delete from public.tenantkit_control where key = 'usage.begun'`)
      const claims = () => kit.asSystem(() => Promise.all(Array.from({ length: 8 }, () => claimTurn(controlEm(), 3_600))))
      assert.lengthOf((await claims()).filter(Boolean), 1)
      assert.lengthOf((await claims()).filter(Boolean), 0)
      await query(kit.url, `update public.tenantkit_control set value = (value::bigint - 3600)::text where key = 'usage.begun'`)
      assert.lengthOf((await claims()).filter(Boolean), 1)
    })

    it('is off unless it is asked for, and refuses what is no time', () => {
      assert.deepEqual(resolveUsage(), { everyMinutes: 0, keepDays: 400 })
      for (const wrong of [
        { everyMinutes: -1 },
        { everyMinutes: Number.NaN },
        { everyMinutes: 20_000 },
        { keepDays: 0 },
        { keepDays: 1.5 },
      ])
        assert.throws(() => resolveUsage(wrong), /usage\.(everyMinutes|keepDays) must be/)
      assert.deepEqual(['2026-02-28', '2026-02-29', '2026-2-1', '', '0000-00-00'].map(isDay), [true, false, false, false, false])
    })
  })
})
