/** Faults of the framework that this one succeeds, each as a test that looks at the catalog and the rows with plain SQL. */
import { assert } from 'chai'
import { createTenancy, currentContext, em, type Tenancy } from 'mikro-tenantkit'
import { databaseUrl, query } from '../helpers/postgres.ts'
import { Person, Tag, ada, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'

let kit: TestTenancy

const SLUGS = ['acme', 'globex'] as const
const placeOf = (slug: string) =>
  slug === 'acme' ? { url: kit.url, schema: `${kit.prefix}_acme` } : { url: databaseUrl(`${kit.prefix}_${slug}`), schema: 'tenant' }

async function tablesIn(url: string, schema: string): Promise<string[]> {
  const rows = await query<{ name: string }>(url, 'select tablename as name from pg_catalog.pg_tables where schemaname = $1 order by 1', [
    schema,
  ])
  return rows.map(({ name }) => name)
}

async function codeOf(work: () => unknown): Promise<string> {
  try {
    await work()
    return 'nothing was thrown'
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).message
  }
}

const TENANT_TABLES = ['author', 'book', 'person', 'tag']
const SHARED_TABLES = ['country', 'notice', 'tenantkit_tenant']

describe('faults of isolation that must never happen', function () {
  this.timeout(60_000)
  before(async () => {
    kit = await testTenancy()
    await twoTenants(kit)
    for (const slug of SLUGS)
      await kit.tenancy.run(
        slug,
        () =>
          em()
            .persist(em().create(Tag, { label: `of ${slug}` }))
            .flush(),
        { actor: ada },
      )
  })
  after(() => kit?.[Symbol.asyncDispose]())

  describe('S1: shared tables are made in a tenant, its own are skipped and recorded as applied', () => {
    for (const slug of SLUGS) {
      it(`a tenant has every table of its own and no shared one, in ${slug}`, async () => {
        const { url, schema } = placeOf(slug)
        const tables = await tablesIn(url, schema)
        assert.includeMembers(tables, TENANT_TABLES)
        for (const shared of SHARED_TABLES) assert.notInclude(tables, shared)
        if (slug === 'globex') assert.deepEqual(await tablesIn(url, 'public'), [])
      })
    }
    it('the control plane has no table of a tenant', async () => {
      const tables = await tablesIn(kit.url, 'public')
      assert.includeMembers(tables, SHARED_TABLES)
      for (const own of ['author', 'book', 'tag']) assert.notInclude(tables, own)
    })
  })

  describe('S2: the history of the control plane is read for a tenant, nothing is applied, and success is said', () => {
    for (const slug of SLUGS) {
      it(`its history stands beside its tables, and names its own migration, in ${slug}`, async () => {
        const { url, schema } = placeOf(slug)
        const tables = await tablesIn(url, schema)
        const histories = tables.filter(name => /migration/.test(name))
        assert.lengthOf(histories, 1)
        const rows = await query<{ name: string }>(url, `select name from "${schema}"."${histories[0]}"`)
        const own = rows.map(({ name }) => name).filter(name => name !== 'tenantkit_0001_history')
        assert.lengthOf(own, 1)
        assert.lengthOf(rows, 2, 'beside it stands the framework’s own of tenants, and none of the control plane')
      })
    }
  })

  describe('S3: the search_path of a tenant stays on a pooled connection', () => {
    for (const slug of SLUGS) {
      it(`connections that served ${slug} still have none`, async () => {
        const paths = async () =>
          (await Promise.all(Array.from({ length: 4 }, () => em().execute<{ search_path: string }[]>('show search_path')))).map(([row]) =>
            row!.search_path.replaceAll('"', ''),
          )
        await kit.tenancy.run(slug, async () => {
          await em().count(Tag)
          assert.deepEqual(new Set(await paths()), new Set(['']))
          assert.equal(await codeOf(() => em().execute('select * from tag')), 'NO_TENANT_CONTEXT')
        })
        assert.equal(await codeOf(() => em().count(Tag)), 'NO_TENANT_CONTEXT')
      })
    }
  })

  describe('S5: where schemas cannot be made, tenants share tables silently', () => {
    it('another database than PostgreSQL stops the start', async () => {
      const start = (url: string) => codeOf(() => createTenancy({ ...kit.options, database: { url } }))
      assert.equal(await start('mysql://root@127.0.0.1/app'), 'CONFIGURATION_INVALID')
      assert.equal(await start('sqlite:app.db'), 'CONFIGURATION_INVALID')
    })
    it('a role without the right to make schemas gets no tenant, and no table anywhere', async () => {
      const role = `${kit.prefix}_limited`
      await query(
        kit.url,
        `create role "${role}" login password 'limited'; grant connect on database "${new URL(kit.url).pathname.slice(1)}" to "${role}"; grant usage on schema public to "${role}"; grant all on all tables in schema public to "${role}"`,
      )
      const url = new URL(kit.url)
      url.username = role
      url.password = 'limited'
      const before = await tablesIn(kit.url, 'public')
      const tenancy: Tenancy = await createTenancy({ ...kit.options, database: { url: url.href } })
      try {
        const provision = () => tenancy.provision({ slug: 'limited', name: 'Limited', isolation: 'schema' })
        assert.equal(await tenancy.runAsSystem('test', () => codeOf(provision)), 'SCHEMA_PROVISIONING_UNSUPPORTED')
        assert.include(['TENANT_NOT_READY', 'TENANT_NOT_FOUND'], await codeOf(() => tenancy.run('limited', async () => 1)))
      } finally {
        await tenancy.close()
        await query(kit.url, `drop owned by "${role}"`)
      }
      assert.deepEqual(await tablesIn(kit.url, 'public'), before)
      assert.deepEqual(await query(kit.url, 'select 1 from pg_namespace where nspname = $1', [`${kit.prefix}_limited`]), [])
    })
  })

  describe('S6: a tenant that is not provisioned falls back to public, for its users too', () => {
    it('its users are not looked for, and nothing is written', async () => {
      await query(kit.url, `update public.tenantkit_tenant set status = 'provisioning' where slug = any($1)`, [[...SLUGS]])
      const fresh = await createTenancy(kit.options)
      try {
        const people = async () => (await query(kit.url, 'select id from public.person')).length
        const before = await people()
        for (const slug of SLUGS) {
          const bootstrap = () =>
            em()
              .persist(em().create(Person.tenant, { email: 'root@example.test' }))
              .flush()
          assert.equal(await codeOf(() => fresh.run(slug, bootstrap, { actor: ada })), 'TENANT_NOT_READY')
        }
        assert.equal(await people(), before)
      } finally {
        await fresh.close()
        await query(kit.url, `update public.tenantkit_tenant set status = 'ready' where slug = any($1)`, [[...SLUGS]])
      }
    })
  })

  describe('S7: an unknown, suspended or malformed tenant is served', () => {
    it('each is refused by a code of its own', async () => {
      assert.equal(await codeOf(() => kit.tenancy.run('nobody', async () => 1)), 'TENANT_NOT_FOUND')
      assert.equal(await codeOf(() => kit.tenancy.run('12 or 1=1', async () => 1)), 'TENANT_INVALID')
      for (const slug of SLUGS) {
        await kit.asSystem(() => kit.tenancy.operate(slug, 'suspend'))
        assert.equal(await codeOf(() => kit.tenancy.run(slug, async () => 1)), 'TENANT_SUSPENDED')
        await kit.asSystem(() => kit.tenancy.operate(slug, 'resume'))
      }
    })
  })

  describe('S8: a tenant entity without a context, or a tenant without its place, ends in the control plane', () => {
    it('it throws, and writes nothing', async () => {
      assert.equal(await codeOf(() => em().find(Tag, {})), 'NO_TENANT_CONTEXT')
      await kit.asSystem(async () => assert.equal(await codeOf(() => currentContext()!.control!().find(Tag, {})), 'NO_TENANT_CONTEXT'))
    })
    it('a database tenant cannot lose its connection string, and its metadata chooses nothing', async () => {
      const change = (set: string) => codeOf(() => query(kit.url, `update public.tenantkit_tenant set ${set} where slug = 'globex'`))
      assert.equal(await change('connection_string = null'), '23514')
      assert.equal(await change(`metadata = '{"database":{"alias":"default"}}'`), 'nothing was thrown')
      const fresh = await createTenancy(kit.options)
      try {
        const [row] = await fresh.run('globex', () => em().execute<{ name: string }[]>('select current_database() as name'))
        assert.equal(row?.name, `${kit.prefix}_globex`)
      } finally {
        await fresh.close()
      }
    })
  })

  describe('S21: the role of a tenant connects elsewhere, or cannot use its own tables', () => {
    it('it may connect to its own database alone', async () => {
      const [rights] = await query(
        kit.url,
        `select has_database_privilege($1, $2, 'connect') as own, has_database_privilege($1, $3, 'connect') as control`,
        [`${kit.prefix}_globex`, `${kit.prefix}_globex`, new URL(kit.url).pathname.slice(1)],
      )
      assert.deepEqual(rights, { own: true, control: false })
      await kit.tenancy.run('globex', async () => {
        const [{ name } = { name: '' }] = await em().execute<{ name: string }[]>('select current_user as name')
        assert.equal(name, `${kit.prefix}_globex`)
        assert.equal(await em().count(Tag), 1)
      })
    })
  })

  describe('S26: a crafted schema name runs SQL, or public becomes a tenant', () => {
    for (const [schemaName, code] of [
      ['a"; drop schema public cascade; --', 'VALIDATION_FAILED'],
      ['public', 'RESERVED_NAME'],
      ['pg_catalog', 'RESERVED_NAME'],
    ] as const) {
      it(`refuses ${schemaName}`, async () => {
        const input = { slug: 'crafted', name: 'Crafted', isolation: 'schema', provisioning: 'manual', schemaName } as const
        assert.equal(await kit.asSystem(() => codeOf(() => kit.tenancy.provision(input))), code)
        assert.deepEqual(await query(kit.url, `select 1 from public.tenantkit_tenant where slug = 'crafted'`), [])
      })
    }
  })

  describe('S27: two provision at once, or saving a tenant drops its connection', () => {
    for (const isolation of ['schema', 'database'] as const) {
      it(`one of two wins, by ${isolation}`, async () => {
        const input = { slug: `twice-${isolation}`, name: 'Twice', isolation }
        const results = await kit.asSystem(() =>
          Promise.all([codeOf(() => kit.tenancy.provision(input)), codeOf(() => kit.tenancy.provision(input))]),
        )
        assert.lengthOf(
          results.filter(code => code === 'nothing was thrown'),
          1,
        )
        for (const code of results) assert.include(['nothing was thrown', 'SLUG_TAKEN', 'OPERATION_CONFLICT'], code)
        assert.equal(await kit.tenancy.run(input.slug, () => em().count(Tag)), 0)
      })
    }
    for (const slug of SLUGS) {
      it(`a change of ${slug} leaves a transaction in it alone`, async () => {
        await kit.tenancy.run(slug, () =>
          em().transactional(async () => {
            await kit.asSystem(() => kit.tenancy.updateTenant(slug, { name: 'Renamed' }))
            assert.equal(await em().count(Tag), 1)
          }),
        )
      })
    }
  })

  describe('S28: a connection outlives its credentials, or each request opens one', () => {
    it('a warm request opens none', async () => {
      await kit.tenancy.run('globex', () => em().count(Tag))
      const { opened } = kit.tenancy.stats().databases
      for (let index = 0; index < 10; index++) await kit.tenancy.run('globex', () => em().count(Tag))
      assert.equal(kit.tenancy.stats().databases.opened, opened)
    })
  })

  describe('S44: a nested activation clears the outer tenant', () => {
    for (const slug of SLUGS) {
      it(`${slug} is current again, also after an error`, async () => {
        const other = slug === 'acme' ? 'globex' : 'acme'
        await kit.tenancy.run(slug, async () => {
          const own = em()
          await kit.tenancy.run(other, () => em().count(Tag))
          assert.equal(currentContext()?.tenant?.slug, slug)
          assert.equal(await codeOf(() => kit.tenancy.run(other, () => Promise.reject(new Error('thrown')))), 'thrown')
          assert.equal(em(), own)
          assert.deepEqual(
            (await em().find(Tag, {})).map(({ label }) => label),
            [`of ${slug}`],
          )
        })
      })
    }
  })
})
