import { assert } from 'chai'
import { controlEm, createTenancy, currentActor, currentContext, em, mikroOrmConfigs } from 'mikro-tenantkit'
import { HISTORY_TABLES } from '../src/history/audit-event.ts'
import { databaseUrl, query } from './helpers/postgres.ts'
import { Author, Country, ada, operator, testTenancy, twoTenants, type TestTenancy } from './helpers/tenancy.ts'
import { fieldsOf, refused, rowOf, tablesOf } from './tenants/refused.ts'

describe('tenancy', () => {
  let kit: TestTenancy
  const events: string[] = []
  let hookFails = false

  before(async () => {
    const note = (name: string) => (event: { tenant: { slug: string; schema: string } }) => {
      events.push(`${name} ${event.tenant.slug}`)
      return hookFails ? Promise.reject(new Error('the hook failed')) : Promise.resolve()
    }
    kit = await testTenancy({
      hooks: [
        {
          name: 'notes',
          provisioned: note('provisioned'),
          migrated: ({ tenant, migrations }) => Promise.resolve(void events.push(`migrated ${tenant.slug} ${migrations.length}`)),
          suspended: note('suspended'),
          resumed: note('resumed'),
          archived: note('archived'),
          restored: note('restored'),
          purged: note('purged'),
        },
        { name: 'second', suspended: note('second') },
      ],
    })
    await twoTenants(kit)
  })
  after(() => kit[Symbol.asyncDispose]())
  beforeEach(() => void events.splice(0))

  const operate = (slug: string, name: string, options = {}) => kit.asSystem(() => kit.tenancy.operate(slug, name, options))
  const schemaOf = (slug: string) => `${kit.prefix}_${slug}`

  describe('runs', () => {
    it('give the tenant, its data and the actor, and nothing outside', async () => {
      for (const slug of ['acme', 'globex']) {
        const seen = await kit.tenancy.run(
          slug,
          async () => {
            em().create(Author, { name: slug })
            await em().flush()
            return {
              slug: currentContext()?.tenant?.slug,
              actor: currentActor()?.id,
              names: (await em().find(Author, {})).map(a => a.name),
            }
          },
          { actor: ada },
        )
        assert.deepEqual(seen, { slug, actor: 'ada', names: [slug] })
      }
      assert.isUndefined(currentContext())
      assert.throws(() => em(), /./)
      assert.equal(kit.tenancy.stats().leases, 0)
    })

    it('nest, and restore the outer tenant however the inner one ends', async () => {
      await kit.tenancy.run('acme', async () => {
        await kit.tenancy.run('globex', () => Promise.reject(new Error('x'))).catch(() => undefined)
        assert.equal(currentContext()?.tenant?.slug, 'acme')
        await kit.tenancy.run('globex', async () => assert.equal(currentContext()?.tenant?.slug, 'globex'))
        assert.equal(currentContext()?.tenant?.slug, 'acme')
      })
      assert.equal(kit.tenancy.stats().leases, 0)
    })

    it('pass a global actor on, and never a local user of another tenant', async () => {
      await kit.tenancy.run('acme', () => kit.tenancy.run('globex', async () => assert.isUndefined(currentActor())), { actor: ada })
      await kit.tenancy.run('acme', () => kit.tenancy.run('acme', async () => assert.equal(currentActor()?.id, 'ada')), { actor: ada })
      await kit.tenancy.run('acme', () => kit.tenancy.run('globex', async () => assert.equal(currentActor()?.id, operator.id)), {
        actor: operator,
      })
    })

    it('keep the request id', async () => {
      await kit.tenancy.runAsActor(operator, () => kit.tenancy.run('acme', async () => assert.equal(currentContext()?.requestId, 'r1')), {
        requestId: 'r1',
      })
    })

    it('of the system have a proper name', async () => {
      for (const name of ['', 'A', '1a', 'a b', 'a'.repeat(64)])
        assert.deepEqual(
          fieldsOf(
            await refused(
              kit.tenancy.runAsSystem(name, () => Promise.resolve()),
              'VALIDATION_FAILED',
            ),
          ),
          ['name'],
        )
      await kit.tenancy.runAsSystem('nightly', async () => {
        // Each call gives a new unit of work.
        const control = controlEm()
        control.create(Country, { code: 'NL' })
        await control.flush()
      })
      const [row] = await query(kit.url, 'select created_by from public.country')
      assert.equal(row?.['created_by'], 'system:nightly')
    })
  })

  describe('hooks', () => {
    it('hear of everything, in order', async () => {
      await kit.asSystem(() => kit.tenancy.provision({ slug: 'heard', name: 'H', isolation: 'schema' }))
      await operate('heard', 'suspend')
      await operate('heard', 'resume')
      await kit.asSystem(() => kit.tenancy.archive('heard'))
      await operate('heard', 'restore')
      await kit.asSystem(() => kit.tenancy.archive('heard'))
      await operate('heard', 'purge', { confirm: 'DELETE heard' })
      const names = ['provisioned', 'suspended', 'second', 'resumed', 'archived', 'restored', 'archived', 'purged']
      assert.deepEqual(
        events,
        names.map(name => `${name} heard`),
      )
    })

    it('that fail undo nothing: the operation succeeded, and says which failed', async () => {
      const warnings: string[] = []
      const listen = (warning: Error) => void warnings.push(warning.message)
      process.on('warning', listen)
      hookFails = true
      try {
        const { operation, tenant } = await operate('acme', 'suspend')
        assert.deepInclude(operation, { status: 'succeeded' })
        const message = 'the hook failed'
        assert.deepEqual(operation.result, {
          hook_failures: [
            { name: 'notes', message },
            { name: 'second', message },
          ],
        })
        assert.equal(tenant.status, 'suspended')
        const made = await kit.asSystem(() => kit.tenancy.provision({ slug: 'hooked', name: 'H', isolation: 'schema' }))
        assert.equal(made.status, 'ready')
      } finally {
        hookFails = false
      }
      assert.deepEqual((await operate('acme', 'resume')).operation.result, {})
      await kit.asSystem(() => kit.tenancy.archive('hooked'))
      await new Promise(resolve => setImmediate(resolve))
      process.off('warning', listen)
      assert.lengthOf(
        warnings.filter(message => message.includes('the hook failed')),
        3,
      )
    })

    it('hear what a migration of one tenant applied, and of no second provisioning', async () => {
      await kit.asSystem(() => kit.tenancy.provision({ slug: 'behind', name: 'B', isolation: 'schema' }))
      for (const operation of ['migrate', 'provision_and_migrate']) {
        await emptied('behind')
        events.splice(0)
        const { result } = (await operate('behind', operation)).operation
        assert.lengthOf(result['applied'] as string[], 2)
        assert.deepEqual(events, ['migrated behind 2'])
      }
      events.splice(0)
      await operate('behind', 'provision_and_migrate')
      assert.deepEqual(events, [])
      await kit.asSystem(() => kit.tenancy.archive('behind'))
    })

    /** As before its first migration. */
    const emptied = async (slug: string) => {
      const name = `${kit.prefix}_${slug}`
      const [mark] = await query<{ mark: string }>(kit.url, 'select obj_description(oid) as mark from pg_namespace where nspname = $1', [
        name,
      ])
      await query(kit.url, `drop schema "${name}" cascade; create schema "${name}"; comment on schema "${name}" is '${mark?.mark}'`)
    }

    it('hear nothing of what was refused', async () => {
      await refused(operate('acme', 'resume'), 'INVALID_STATE')
      await refused(operate('acme', 'purge'), 'CONFIRMATION_REQUIRED')
      assert.deepEqual(events, [])
    })
  })

  describe('migrate', () => {
    it('has nothing to do twice', async () => {
      const report = await kit.asSystem(() => kit.tenancy.migrate())
      assert.deepEqual(report, {
        shared: [],
        tenants: [
          { tenant: 'acme', status: 'applied', names: [] },
          { tenant: 'globex', status: 'applied', names: [] },
        ],
      })
      assert.deepEqual(events, [])
      assert.isFalse(await kit.tenancy.pendingMigrations())
    })

    it('refuses unknown tenants and wrong numbers', async () => {
      await refused(kit.tenancy.migrate({ tenants: ['acme', 'nobody'] }), 'TENANT_NOT_FOUND')
      for (const concurrency of [0, -1, 1.5, Number.NaN])
        assert.deepEqual(fieldsOf(await refused(kit.tenancy.migrate({ concurrency }), 'VALIDATION_FAILED')), ['concurrency'])
    })

    it('refuses another prefix than the control plane was set up with', async () => {
      const other = await createTenancy({ ...kit.options, naming: { prefix: 'other' } })
      const error = await refused(other.migrate(), 'CONFIGURATION_INVALID')
      assert.include(error.message, 'naming.prefix')
      await other.close()
    })

    it('goes on after a tenant that fails, says why, and leaves archived ones alone', async () => {
      await kit.asSystem(async () => {
        for (const slug of ['broken', 'resting']) await kit.tenancy.provision({ slug, name: slug, isolation: 'schema' })
        await kit.tenancy.archive('resting')
      })
      await operate('acme', 'suspend')
      const tracking = (await tablesOf(kit.url, schemaOf('acme'))).find(table => table.includes('migration'))!
      for (const [url, schema] of [
        [kit.url, schemaOf('acme')],
        [kit.url, schemaOf('broken')],
        [databaseUrl(schemaOf('globex')), 'tenant'],
      ] as const)
        await query(
          url,
          `delete from "${schema}"."${tracking}"; drop table "${schema}".book_tags, "${schema}".book, "${schema}".author, "${schema}".tag, "${schema}".person, "${schema}".${HISTORY_TABLES.join(`, "${schema}".`)}`,
        )
      await query(kit.url, `create table "${schemaOf('broken')}".author (id int)`)
      await query(kit.url, `update public.tenantkit_tenant set schema_version = null where status <> 'archived'`)
      assert.isTrue(await kit.tenancy.pendingMigrations())
      const behind = (await kit.tenancy.check()).find(({ name }) => name === 'tenant migrations')
      assert.include(behind, { level: 'warning', ok: true })
      assert.match(behind!.message, /^3 of 3 /)
      events.splice(0)
      const { tenants } = await kit.asSystem(() => kit.tenancy.migrate({ scope: 'tenant', concurrency: 2 }))
      assert.deepEqual(
        tenants.map(({ tenant, status }) => [tenant, status]),
        [
          ['acme', 'applied'],
          ['broken', 'failed'],
          ['globex', 'applied'],
        ],
      )
      assert.lengthOf(tenants[0]!.names, 2)
      assert.match(String(tenants[1]!.error), /author|already exists|Migration/)
      assert.notInclude(String(tenants[1]!.error), 'postgresql://u')
      // The history's own migration went through in the one that failed at the next.
      assert.sameMembers(events, ['migrated acme 2', 'migrated broken 1', 'migrated globex 2'])
      assert.include([...(await tablesOf(databaseUrl(schemaOf('globex')), 'tenant'))], 'book')
      assert.isTrue(await kit.tenancy.pendingMigrations())
      await query(kit.url, `drop table "${schemaOf('broken')}".author`)
      const again = await operate('broken', 'migrate')
      assert.lengthOf(again.operation.result['applied'] as string[], 1)
      assert.isFalse(await kit.tenancy.pendingMigrations())
      assert.equal((await rowOf(kit, 'broken'))?.['schema_version'], (await rowOf(kit, 'acme'))?.['schema_version'])
      await operate('acme', 'resume')
    })
  })

  it('checks a healthy installation without a warning', async () => {
    const findings = await kit.tenancy.check()
    assert.deepEqual(
      findings.filter(({ level }) => level !== 'ok'),
      [],
    )
    assert.includeMembers(
      findings.map(({ name }) => name),
      ['entities', 'tables', 'secrets', 'database', 'migration files', 'shared migrations', 'tenant migrations'],
    )
    await kit.tenancy.ping()
  })

  it('checks an unreachable database as an error, without its password', async () => {
    const gone = await createTenancy({ ...kit.options, database: { url: 'postgresql://u:secret-word@127.0.0.1:1/gone' } })
    const findings = await gone.check()
    assert.include(
      findings.find(({ name }) => name === 'database'),
      { ok: false, level: 'error' },
    )
    assert.notInclude(JSON.stringify(findings), 'secret-word')
    await gone.close()
  })

  describe('the configurations of the stock command line', () => {
    type Config = { contextName?: string; dbName?: string; schema?: string } | undefined
    const configOf = async (context: string) => {
      const factories = mikroOrmConfigs(kit.options)
      assert.lengthOf(factories, 1)
      return (await factories[0]!(context)) as Config
    }

    it('answer for the two planes and each tenant, and for nothing else', async () => {
      for (const context of ['default', 'tenant', 'db:globex', 'db:acme']) assert.equal((await configOf(context))?.contextName, context)
      for (const context of ['', 'other', 'globex', 'DEFAULT', 'db']) assert.isUndefined(await configOf(context), context)
      await refused(configOf('db:nobody'), 'TENANT_NOT_FOUND')
      await refused(configOf('db:NO--'), 'TENANT_INVALID')
    })

    it('lead to the right database', async () => {
      const [shared, own] = [await configOf('default'), await configOf('db:globex')]
      assert.include(JSON.stringify([shared?.dbName, (shared as any)?.clientUrl]), new URL(kit.url).pathname.slice(1))
      assert.include(JSON.stringify([own?.dbName, (own as any)?.clientUrl]), schemaOf('globex'))
    })

    it('connect nowhere when they are only made', () => {
      mikroOrmConfigs({ ...kit.options, database: { url: () => Promise.reject(new Error('asked')) } })
    })
  })
})
