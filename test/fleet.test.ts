/** Migrating a fleet, seen from outside: by the tenancy, and by the catalog in plain SQL. */
import { cpSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from 'chai'
import type { Tenancy } from 'mikro-tenantkit'
import { query } from './helpers/postgres.ts'
import { sentDuring } from './helpers/spy.ts'
import { addColumn, scene, type Scene } from './fleet/scene.ts'
import { refused } from './tenants/refused.ts'

/** Registers tenants that are at the head. */
function manyTenants(count: number): string {
  return `insert into public.tenantkit_tenant (id, slug, name, isolation_mode, schema_name, status, schema_version, schema_fingerprint, version, created_at, created_by, updated_at, updated_by)
    select gen_random_uuid(), 'many-' || n, 'M', 'schema', 'many_' || n, 'ready', s.schema_version, s.schema_fingerprint, 1, now(), 'sql', now(), 'sql'
    from generate_series(1, ${count}) n, public.tenantkit_tenant s where s.slug = 's0x'`
}

/** A node of \`explain (format json)\`, as far as it is looked at. */
interface PlanNode {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly 'Index Name'?: string
  readonly 'Actual Rows': number
  readonly 'Rows Removed by Filter'?: number
  readonly Plans?: readonly PlanNode[]
}

function nodesOf(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(nodesOf)]
}

describe('a fleet', function () {
  this.timeout(60_000)
  let fleet: Scene
  let number = 1
  const next = () => number++
  const statusesOf = (report: Awaited<ReturnType<Tenancy['migrate']>>) =>
    Object.fromEntries(report.tenants.map(({ tenant, status, names }) => [tenant, `${status} ${names.length}`]))
  const rowsOf = (run: string) =>
    query<{ slug: string; status: string; attempt: number; wave: number; error: string | null; names: string[] }>(
      fleet.kit.url,
      'select slug, status, attempt, wave, error, names from public.tenantkit_migration_run_tenant where run_id = $1 order by slug',
      [run],
    )
  const everywhere = async (check: (slug: string) => Promise<unknown>) => {
    for (const slug of fleet.slugs) await check(slug)
  }

  /** Waits until a run works on the tenant. */
  const begun = async (slug: string, on = fleet) => {
    const sql = `select from public.tenantkit_migration_run_tenant r join public.tenantkit_migration_run u on u.id = r.run_id
      join public.tenantkit_tenant t on t.id = r.tenant_id where u.status = 'running' and r.status = 'running' and r.slug = $1`
    for (const end = Date.now() + 15_000; Date.now() < end; await sleep(10)) if ((await query(on.kit.url, sql, [slug])).length > 0) break
    // The mark follows at once.
    await sleep(60)
  }

  before(async () => {
    fleet = await scene(4, 2)
  })
  after(() => fleet?.[Symbol.asyncDispose]())

  describe('with nothing to do', () => {
    const countRuns = () => query(fleet.kit.url, 'select count(*) from public.tenantkit_migration_run')

    it('is found so by one query, whatever the number of tenants, and no run is made', async function () {
      // Strict mode looks at the roles as well, which the rows written below do not have.
      if (process.env['TENANTKIT_TEST_STRICT'] === '1') this.skip()
      const before = await countRuns()
      await fleet.migrate()
      await fleet.migrate({ scope: 'tenant' })
      const look = async () => (await sentDuring(() => fleet.migrate())).map(({ text }) => text)
      const few = await look()
      assert.lengthOf(few, 1, few.join('\n'))
      assert.lengthOf(await sentDuring(() => fleet.tenancy.pendingMigrations()), 1)
      await query(fleet.kit.url, manyTenants(2_000))
      try {
        assert.deepEqual(await look(), few)
        const report = await fleet.migrate()
        assert.deepEqual(report, { shared: [], tenants: [] }, 'too many to list')
      } finally {
        await query(fleet.kit.url, `delete from public.tenantkit_tenant where slug like 'many-%'`)
      }
      assert.deepEqual(await countRuns(), before)
      assert.deepEqual(statusesOf(await fleet.migrate()), Object.fromEntries(fleet.slugs.map(slug => [slug, 'applied 0'])))
    })

    it('reads a few rows by the index, not the table, however many tenants there are', async function () {
      if (process.env['TENANTKIT_TEST_STRICT'] === '1') this.skip()
      const [sent] = await sentDuring(() => fleet.tenancy.pendingMigrations())
      await query(fleet.kit.url, `${manyTenants(5_000)}; analyze public.tenantkit_tenant`)
      try {
        const [row] = await query<{ 'QUERY PLAN': readonly { Plan: PlanNode }[] }>(
          fleet.kit.url,
          `explain (analyze, format json) ${sent!.text}`,
        )
        const reads = nodesOf(row!['QUERY PLAN'][0]!.Plan).filter(node => node['Relation Name'] === 'tenantkit_tenant')
        // Two isolations, four ranges each, and the list of the first.
        assert.isAtLeast(reads.length, 9)
        for (const node of reads) assert.match(node['Node Type'], /^Index (Only )?Scan$/, JSON.stringify(node))
        const probes = reads.filter(node => node['Index Name'] === 'tenantkit_tenant_schema_index')
        assert.isAtLeast(probes.length, 8)
        for (const node of probes) assert.equal(node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0), 0, JSON.stringify(node))
      } finally {
        await query(fleet.kit.url, `delete from public.tenantkit_tenant where slug like 'many-%'`)
      }
    })
  })

  describe('with a migration of pure SQL', () => {
    it('sends each tenant one message with its bookkeeping, in both isolations', async () => {
      const name = fleet.write(next(), addColumn('pure'))
      assert.isTrue(await fleet.tenancy.pendingMigrations())
      let report: Awaited<ReturnType<Tenancy['migrate']>> | undefined
      const sent = await sentDuring(async () => void (report = await fleet.migrate({ concurrency: 3 })))
      assert.deepEqual(statusesOf(report!), Object.fromEntries(fleet.slugs.map(slug => [slug, 'applied 1'])))
      const messages = sent.filter(({ text }) => text.includes('add column "pure"'))
      assert.lengthOf(messages, fleet.slugs.length)
      for (const { text } of messages) {
        assert.include(text, `insert into "tenantkit_migration" ("name") values ('${name}')`)
        assert.include(text, 'set local search_path')
      }
      await everywhere(async slug => {
        assert.include([...(await fleet.columns(slug, 'author'))], 'pure')
        assert.include([...(await fleet.recorded(slug))], name)
      })
      const heads = await query(
        fleet.kit.url,
        `select distinct schema_version as version, migrating_until as until, isolation_mode from public.tenantkit_tenant where status = 'ready' order by 3`,
      )
      assert.deepEqual(
        heads,
        ['database', 'schema'].map(isolation_mode => ({ version: name, until: null, isolation_mode })),
      )
      assert.isFalse(await fleet.tenancy.pendingMigrations())
    })

    it('leaves its beginning and its end in the history of the control plane', async () => {
      const { items } = await fleet.tenancy.history.list({ entity: 'MigrationRun' })
      const [run] = (await fleet.tenancy.fleet.status()).runs
      const own = items.filter(({ entity_id }) => entity_id === run!.id)
      assert.deepEqual(
        own.map(({ action }) => action),
        ['migration_run.finished', 'migration_run.started'],
      )
      for (const { actor } of own) assert.equal(actor, 'system:test')
      assert.deepInclude(own[0]!.details, { status: 'succeeded', tenants: 6, applied: 6, failed: 0, pending: 0 })
      assert.deepInclude(own[1]!.details, { tenants: 6 })
    })

    it('records the run: who, where to, and each tenant', async () => {
      const [run] = await query<{ id: string; status: string; actor: string; to_version: string }>(
        fleet.kit.url,
        'select * from public.tenantkit_migration_run order by started_at desc limit 1',
      )
      assert.deepInclude(run, { status: 'succeeded', actor: 'system:test' })
      const rows = await rowsOf(run!.id)
      assert.sameMembers(
        rows.map(({ slug }) => slug),
        [...fleet.slugs],
      )
      for (const row of rows) assert.deepInclude(row, { status: 'applied', attempt: 1, error: null, names: [run!.to_version] })
      const status = await fleet.tenancy.fleet.status()
      assert.deepInclude(status, { tenants: 6, behind: 0, migrating: 0, failed: [] })
      assert.deepEqual(status.versions, [{ version: run!.to_version, tenants: 6, current: true }])
      assert.deepInclude(status.runs[0], { id: run!.id, status: 'succeeded', applied: 6, total: 6, failed: 0, pending: 0 })
    })

    it('sees a migration that sorts before the head: two branches were merged', async () => {
      const name = fleet.write(0, addColumn('merged'))
      assert.isTrue(await fleet.tenancy.pendingMigrations())
      await fleet.migrate()
      await everywhere(async slug => assert.include([...(await fleet.recorded(slug))], name))
      assert.isFalse(await fleet.tenancy.pendingMigrations())
    })

    it('applies several in a row, and all or one by one where one fails', async () => {
      const [first, second] = [fleet.write(next(), addColumn('one')), fleet.write(next(), addColumn('two', 'book'))]
      await fleet.in('s1x', 'alter table @.book add column two text')
      const report = await fleet.migrate()
      assert.equal(statusesOf(report)['s1x'], 'failed 1')
      assert.include([...(await fleet.recorded('s1x'))], first)
      assert.notInclude([...(await fleet.recorded('s1x'))], second)
      const [row] = await query<{ version: string }>(
        fleet.kit.url,
        `select schema_version as version from public.tenantkit_tenant where slug = 's1x'`,
      )
      assert.equal(row?.version, first)
      await fleet.in('s1x', 'alter table @.book drop column two')
      assert.equal(statusesOf(await fleet.migrate())['s1x'], 'applied 1')
    })
  })

  for (const slug of ['s2x', 'd1x']) {
    it(`leaves the others migrated when ${slug} fails, and retries it alone after the repair`, async () => {
      const column = `planted_${slug}`
      const name = fleet.write(next(), addColumn(column))
      await fleet.in(slug, `alter table @.author add column ${column} text`)
      const report = await fleet.migrate()
      assert.equal(report.run?.status, 'failed')
      assert.deepInclude(report.run, { applied: 5, failed: 1, pending: 0 })
      for (const other of fleet.slugs) {
        const has = (await fleet.recorded(other)).includes(name)
        assert.equal(has, other !== slug, other)
      }
      const status = await fleet.tenancy.fleet.status()
      assert.equal(status.behind, 1)
      assert.deepEqual(
        status.failed.map(({ tenant }) => tenant),
        [slug],
      )
      assert.match(status.failed[0]!.error, new RegExp(column))
      assert.equal((await fleet.tenancy.find(slug))?.migratingUntil, undefined, 'it serves again')
      await fleet.in(slug, `alter table @.author drop column ${column}`)
      const again = await fleet.kit.asSystem(() => fleet.tenancy.fleet.resume(report.run!.id))
      assert.deepEqual(again.tenants, [{ tenant: slug, status: 'applied', names: [name] }])
      assert.deepInclude(again.run, { status: 'succeeded', applied: 6, failed: 0 })
      for (const row of await rowsOf(report.run!.id)) assert.equal(row.attempt, row.slug === slug ? 2 : 1)
      assert.isFalse(await fleet.tenancy.pendingMigrations())
    })
  }

  it('begins with the canaries, and with nobody else when one of them fails', async () => {
    const name = fleet.write(next(), addColumn('canary'))
    await fleet.in('d0x', 'alter table @.author add column canary text')
    const report = await fleet.migrate({ canary: ['s3x', 'd0x'] })
    assert.deepEqual(statusesOf(report), { s3x: 'applied 1', d0x: 'failed 0' })
    assert.deepInclude(report.run, { status: 'stopped', reason: 'a canary failed', pending: 4 })
    assert.notInclude([...(await fleet.recorded('s0x'))], name)
    await fleet.in('d0x', 'alter table @.author drop column canary')
    const rest = await fleet.kit.asSystem(() => fleet.tenancy.fleet.resume(report.run!.id))
    assert.sameMembers(
      rest.tenants.map(({ tenant }) => tenant),
      fleet.slugs.filter(slug => slug !== 's3x'),
    )
    await everywhere(async slug => assert.include([...(await fleet.recorded(slug))], name))
    await refused(fleet.migrate({ canary: ['nobody'] }), 'TENANT_NOT_FOUND')
    await refused(fleet.migrate({ canary: ['s0x'], tenants: ['s1x'] }), 'VALIDATION_FAILED')
    await refused(fleet.tenancy.fleet.resume('0198c0de-0000-7000-8000-000000000000'), 'NOT_FOUND')
    await refused(fleet.tenancy.fleet.resume('nothing'), 'VALIDATION_FAILED')
  })

  it('begins no more when too many have failed, and no further wave of which all failed', async () => {
    const name = fleet.write(next(), addColumn('limited'))
    for (const slug of ['d0x', 'd1x', 's0x']) await fleet.in(slug, 'alter table @.author add column limited text')
    const limited = await fleet.migrate({ concurrency: 1, maxFailures: 2 })
    assert.deepEqual(statusesOf(limited), { d0x: 'failed 0', d1x: 'failed 0' })
    assert.deepInclude(limited.run, { status: 'stopped', failed: 2, pending: 4, reason: '2 failed' })
    const waves = await fleet.migrate({ waves: [2, 1, 100] })
    assert.deepInclude(waves.run, { status: 'stopped', failed: 2, pending: 4 })
    assert.match(waves.run!.reason!, /wave 1 failed/)
    for (const slug of ['d0x', 'd1x', 's0x']) await fleet.in(slug, 'alter table @.author drop column limited')
    assert.equal((await fleet.migrate()).run?.status, 'succeeded')
    await everywhere(async slug => assert.include([...(await fleet.recorded(slug))], name))
    for (const bad of [{ maxFailures: 0 }, { waves: [0] }, { concurrency: 1.5 }]) await refused(fleet.migrate(bad), 'VALIDATION_FAILED')
  })

  it('lets two runs at once exclude each other per tenant, not per database', async () => {
    const name = fleet.write(next(), `    this.addSql('select pg_sleep(0.3)')\n    this.addSql('create table "twice" ("id" int)')`)
    const other = await fleet.another()
    const began = performance.now()
    const reports = await Promise.all([
      fleet.migrate({ concurrency: 2 }),
      other.runAsSystem('other', () => other.migrate({ concurrency: 2 })),
    ])
    assert.isBelow(performance.now() - began, 6 * 300 + 1_500, 'side by side')
    for (const report of reports) assert.equal(report.run?.failed, 0)
    const applied = reports.flatMap(({ tenants }) => tenants.filter(({ names }) => names.includes(name)).map(({ tenant }) => tenant))
    assert.sameMembers(applied, [...fleet.slugs])
    assert.isNotEmpty(
      reports[1].tenants.filter(({ names }) => names.length > 0),
      'both did some',
    )
    await everywhere(async slug =>
      assert.lengthOf(
        (await fleet.recorded(slug)).filter(each => each === name),
        1,
      ),
    )
  })

  it('brings tenants to the head that an older program made meanwhile', async () => {
    const old = `${fleet.kit.options.migrations.path}-old`
    cpSync(fleet.kit.options.migrations.path, old, { recursive: true })
    try {
      const name = fleet.write(next(), `    this.addSql('select pg_sleep(0.4)')\n${addColumn('late')}`)
      const older = await fleet.another({ migrations: { path: old } })
      const running = fleet.migrate({ concurrency: 6 })
      await begun('s0x')
      await older.runAsSystem('older', () => older.provision({ slug: 'sold', name: 'Old', isolation: 'schema' }))
      assert.notInclude([...(await fleet.recorded('sold'))], name)
      const report = await running
      assert.equal(statusesOf(report)['sold'], 'applied 1')
      assert.include([...(await fleet.recorded('sold'))], name)
      assert.isFalse(await fleet.tenancy.pendingMigrations())
      await fleet.kit.asSystem(() => fleet.tenancy.archive('sold'))
    } finally {
      rmSync(old, { recursive: true, force: true })
    }
  })

  it('leaves a tenant of a newer program as it is', async () => {
    await fleet.in('s0x', `insert into @.tenantkit_migration (name) values ('Migration99999999999999_newer')`)
    await query(fleet.kit.url, `update public.tenantkit_tenant set schema_version = 'Migration99999999999999_newer' where slug = 's0x'`)
    await fleet.migrate()
    const [row] = await query<{ version: string }>(
      fleet.kit.url,
      `select schema_version as version from public.tenantkit_tenant where slug = 's0x'`,
    )
    assert.equal(row?.version, 'Migration99999999999999_newer')
    await fleet.in('s0x', `delete from @.tenantkit_migration where name = 'Migration99999999999999_newer'`)
    await fleet.migrate()
    assert.isFalse(await fleet.tenancy.pendingMigrations())
  })

  describe('while a tenant is migrated', () => {
    for (const slug of ['s1x', 'd1x']) {
      it(`${slug} answers 503 everywhere, and serves again afterwards`, async () => {
        fleet.write(next(), `    this.addSql('select pg_sleep(0.8)')`)
        const other = await fleet.another()
        const serve = () => other.run(slug, () => Promise.resolve('served'))
        assert.equal(await serve(), 'served')
        const running = fleet.migrate()
        await begun(slug)
        const error = await refused(serve(), 'TENANT_NOT_READY')
        assert.include(error.message, 'being migrated')
        assert.isAbove(error.retryAfterSeconds ?? 0, 0)
        assert.isAbove((await fleet.tenancy.fleet.status()).migrating, 0)
        await running
        let answer = await serve().catch(() => undefined)
        // The other process hears of it in a moment.
        for (let tries = 0; answer === undefined && tries < 100; tries++)
          answer = await sleep(20)
            .then(serve)
            .catch(() => undefined)
        assert.equal(answer, 'served')
      })

      it(`${slug} goes on serving where all that is pending is declared online`, async () => {
        fleet.write(next(), `    this.addSql('select pg_sleep(0.6)')`, '  override readonly online = true')
        const running = fleet.migrate()
        await begun(slug)
        assert.equal(await fleet.tenancy.run(slug, () => Promise.resolve('served')), 'served')
        await running
      })

      it(`${slug} serves again by itself when the run was killed`, async () => {
        const set = (when: string) =>
          query(fleet.kit.url, `update public.tenantkit_tenant set migrating_until = now() + interval '${when}' where slug = $1`, [slug])
        const other = await fleet.another({ directory: { ttlMs: 0 } })
        await set('1 minute')
        await refused(
          other.run(slug, () => Promise.resolve()),
          'TENANT_NOT_READY',
        )
        await set('-1 second')
        await other.run(slug, () => Promise.resolve())
      })
    }

    it('one operation on one tenant marks it too', async () => {
      const name = fleet.write(next(), `    this.addSql('select pg_sleep(0.5)')`)
      const running = fleet.kit.asSystem(() => fleet.tenancy.operate('s3x', 'migrate'))
      const marked = `select from public.tenantkit_tenant where slug = 's3x' and migrating_until > now()`
      while ((await query(fleet.kit.url, marked)).length === 0) await sleep(10)
      await refused(
        fleet.tenancy.run('s3x', () => Promise.resolve()),
        'TENANT_NOT_READY',
      )
      assert.deepEqual((await running).operation.result, { applied: [name] })
      await fleet.tenancy.run('s3x', () => Promise.resolve())
      assert.equal(statusesOf(await fleet.migrate())['s3x'], 'applied 0')
    })

    it('no other operation takes the tenant', async () => {
      fleet.write(next(), `    this.addSql('select pg_sleep(0.5)')`)
      const running = fleet.migrate()
      await begun('s0x')
      await refused(
        fleet.kit.asSystem(() => fleet.tenancy.operate('s0x', 'suspend')),
        'OPERATION_CONFLICT',
      )
      await running
    })
  })

  describe('plan', () => {
    it('shows SQL and counts, and executes nothing', async () => {
      const name = fleet.write(next(), addColumn('planned'))
      const before = await query(fleet.kit.url, 'select count(*) from public.tenantkit_migration_run')
      const plan = await fleet.tenancy.fleet.plan()
      assert.deepInclude(plan, { shared: [], behind: 6, statements: 12 })
      assert.lengthOf(plan.tenant, 1)
      assert.deepInclude(plan.tenant[0], { name, transactional: true, online: false, destructive: false })
      assert.match(plan.tenant[0]!.statements![0]!, /add column "planned"/)
      assert.deepEqual(
        plan.groups.map(({ isolation, tenants, pending }) => ({ isolation, tenants, pending })),
        [
          { isolation: 'database', tenants: 2, pending: [name] },
          { isolation: 'schema', tenants: 4, pending: [name] },
        ],
      )
      assert.equal((await fleet.tenancy.fleet.plan({ tenants: ['s0x'] })).behind, 1)
      await refused(fleet.tenancy.fleet.plan({ tenants: ['nobody'] }), 'TENANT_NOT_FOUND')
      assert.deepEqual(await query(fleet.kit.url, 'select count(*) from public.tenantkit_migration_run'), before)
      await everywhere(async slug => assert.notInclude([...(await fleet.columns(slug, 'author'))], 'planned'))
      await fleet.migrate()
      assert.deepInclude(await fleet.tenancy.fleet.plan(), { behind: 0, statements: 0 })
    })
  })

  it('migrates suspended tenants, and no archived one', async () => {
    await fleet.kit.asSystem(async () => {
      await fleet.tenancy.operate('s0x', 'suspend')
      await fleet.tenancy.archive('s1x')
    })
    const name = fleet.write(next(), addColumn('asleep'))
    await fleet.migrate()
    assert.include([...(await fleet.recorded('s0x'))], name)
    assert.notInclude([...(await fleet.recorded('s1x'))], name)
    await fleet.kit.asSystem(async () => {
      await fleet.tenancy.operate('s0x', 'resume')
      await fleet.tenancy.operate('s1x', 'restore')
    })
    assert.isTrue(await fleet.tenancy.pendingMigrations(), 'the restored one is behind')
    await fleet.migrate()
  })

  for (const slug of ['s0x', 'd0x']) {
    it(`reverts the last migration of ${slug}, and of no other`, async () => {
      const name = fleet.write(
        next(),
        addColumn(`down_${slug}`),
        `  override down() {\n    this.addSql('alter table "author" drop column "down_${slug}"')\n  }\n`,
      )
      await fleet.migrate()
      assert.deepEqual(await fleet.kit.asSystem(() => fleet.tenancy.fleet.down(slug)), [name])
      assert.notInclude([...(await fleet.columns(slug, 'author'))], `down_${slug}`)
      assert.include([...(await fleet.columns('s2x', 'author'))], `down_${slug}`)
      const status = await fleet.tenancy.fleet.status()
      assert.equal(status.behind, 1)
      assert.lengthOf(status.versions, 2)
      assert.equal(statusesOf(await fleet.migrate())[slug], 'applied 1')
      await refused(fleet.tenancy.fleet.down('nobody'), 'TENANT_NOT_FOUND')
    })
  }

  it('ends what was begun when the tenancy is closed, and the run can be resumed', async () => {
    const name = fleet.write(next(), `    this.addSql('select pg_sleep(0.3)')`)
    const other = await fleet.another()
    const running = other.runAsSystem('closing', () => other.migrate({ concurrency: 2 }))
    await begun('d0x')
    const [error] = await Promise.all([refused(running, 'MIGRATION_INTERRUPTED'), other.close()])
    const run = error.details!['run'] as string
    const { runs } = await fleet.tenancy.fleet.status()
    assert.deepInclude(
      runs.find(({ id }) => id === run),
      { status: 'interrupted' },
    )
    const [end] = (await fleet.tenancy.history.list({ entity: 'MigrationRun', entity_id: run })).items
    assert.deepInclude(end?.details, { status: 'interrupted' })
    const report = await fleet.kit.asSystem(() => fleet.tenancy.fleet.resume(run))
    assert.equal(report.run?.status, 'succeeded')
    await everywhere(async slug => assert.include([...(await fleet.recorded(slug))], name))
  })
})
