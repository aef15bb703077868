import { randomBytes } from 'node:crypto'
import { assert } from 'chai'
import { ConflictError, currentActor, currentTenant, em, open, parseKeyRing, type Actor, type TenantRef } from 'mikro-tenantkit'
import { HISTORY_TABLES } from '../../src/history/audit-event.ts'
import { databaseUrl, dropRolesLike, freshDatabase, query, serverUrl, type TestDatabase } from '../helpers/postgres.ts'
import { Author, Person, operator, testTenancy, type TestTenancy } from '../helpers/tenancy.ts'
import { hasDatabase, hasRole, hasSchema, fieldsOf, refused, rowOf, tablesOf } from '../tenants/refused.ts'

const TENANT_TABLES = ['author', 'book', 'book_tags', 'person', 'tag', ...HISTORY_TABLES]

describe('provisioning', () => {
  let kit: TestTenancy
  let own: TestDatabase
  let seed: (tenant: TenantRef) => Promise<void> = () => Promise.resolve()
  const events: string[] = []

  before(async () => {
    own = await freshDatabase('provisioning own')
    kit = await testTenancy({
      seed: tenant => seed(tenant),
      bootstrapAdmin: async ({ email, tenant }) => {
        assert.equal(currentTenant().slug, tenant.slug)
        if ((await em().count(Person.tenant, { email })) > 0) throw new ConflictError('There is such a user.')
        em().create(Person.tenant, { email })
        await em().flush()
      },
      hooks: [
        { name: 'first', provisioned: async ({ tenant }) => void events.push(`first ${tenant.slug}`) },
        { name: 'silent' },
        { name: 'second', provisioned: async ({ tenant }) => void events.push(`second ${tenant.slug}`) },
      ],
    })
  })
  after(async () => {
    await kit[Symbol.asyncDispose]()
    await own.drop()
  })
  afterEach(() => {
    seed = () => Promise.resolve()
    events.splice(0)
  })

  const provision = (input: Parameters<typeof kit.tenancy.provision>[0]) => kit.asSystem(() => kit.tenancy.provision(input))
  const operate = (slug: string, name: string, options = {}) => kit.asSystem(() => kit.tenancy.operate(slug, name, options))
  const purge = async (slug: string) => {
    await kit.asSystem(() => kit.tenancy.archive(slug))
    return operate(slug, 'purge', { confirm: `DELETE ${slug}` })
  }
  const named = (slug: string) => `${kit.prefix}_${slug.replaceAll('-', '_')}`
  const idOf = async (slug: string) => String((await rowOf(kit, slug))?.['id'])
  const works = (slug: string) =>
    kit.tenancy.run(
      slug,
      async () => {
        em().create(Author, { name: 'Ada' })
        await em().flush()
        return em().count(Author)
      },
      { actor: operator },
    )
  /** A role by hand that may log in; `dropRolesLike` removes it. */
  const role = async (name: string, password: string) => {
    await query(serverUrl(), `create role "${name}" login password '${password}'`)
    return name
  }
  const login = (url: string, user: string, password: string) => {
    const changed = new URL(url)
    changed.username = user
    changed.password = password
    return changed.href
  }

  describe('the four modes', () => {
    it('schema/auto: a marked schema beside public', async () => {
      const tenant = await provision({ slug: 's-auto', name: 'S', isolation: 'schema' })
      assert.include(tenant, { status: 'ready', schema_name: named('s-auto'), connection_alias: null, is_active: true })
      const tables = await tablesOf(kit.url, named('s-auto'))
      assert.includeMembers([...tables], TENANT_TABLES)
      for (const shared of ['country', 'notice', 'tenantkit_tenant']) assert.notInclude(tables, shared)
      const extra = tables.filter(table => !TENANT_TABLES.includes(table))
      assert.lengthOf(extra, 1, 'only the tracking table is left')
      const tracked = await query<{ name: string }>(kit.url, `select name from "${named('s-auto')}"."${extra[0]}" order by 1`)
      assert.deepEqual(
        tracked.map(({ name }) => name),
        [tenant.schema_version, 'tenantkit_0001_history'],
      )
      const inPublic = await tablesOf(kit.url, 'public')
      for (const table of ['author', 'book', 'tag', 'book_tags']) assert.notInclude(inPublic, table)
      const [mark] = await query(kit.url, `select obj_description(oid, 'pg_namespace') as mark from pg_namespace where nspname = $1`, [
        named('s-auto'),
      ])
      assert.equal(mark?.['mark'], `mikro-tenantkit tenant ${await idOf('s-auto')}`)
      assert.deepEqual((await rowOf(kit, 's-auto'))?.['created_resources'], [{ kind: 'schema', name: named('s-auto') }])
      assert.equal(await works('s-auto'), 1)
    })

    it('schema/manual: the schema that was named', async () => {
      const tenant = await provision({ slug: 's-manual', name: 'S', isolation: 'schema', provisioning: 'manual', schemaName: 'chosen_one' })
      assert.equal(tenant.schema_name, 'chosen_one')
      assert.includeMembers([...(await tablesOf(kit.url, 'chosen_one'))], TENANT_TABLES)
      assert.isFalse(await hasSchema(kit.url, named('s-manual')))
      assert.equal(await works('s-manual'), 1)
    })

    it('database/auto: a marked database and role, an empty public, CONNECT for the role alone', async () => {
      const tenant = await provision({ slug: 'd-auto', name: 'D', isolation: 'database' })
      const name = named('d-auto')
      assert.include(tenant, { status: 'ready', schema_name: null, connection_alias: name, has_connection_string: true })
      const tables = await tablesOf(databaseUrl(name), 'tenant')
      assert.includeMembers([...tables], TENANT_TABLES)
      assert.lengthOf(tables, TENANT_TABLES.length + 1)
      assert.deepEqual(await tablesOf(databaseUrl(name), 'public'), [])
      const mark = `mikro-tenantkit tenant ${await idOf('d-auto')}`
      const [marks] = await query(
        serverUrl(),
        `select (select shobj_description(oid, 'pg_database') from pg_database where datname = $1) as database,
           (select shobj_description(oid, 'pg_authid') from pg_roles where rolname = $1) as role`,
        [name],
      )
      assert.deepEqual(marks, { database: mark, role: mark })
      assert.equal(await works('d-auto'), 1)
    })

    it('database/auto: with credentials of its own, everything is made by them and on their server', async () => {
      const maker = `${kit.prefix}_maker`
      await query(serverUrl(), `create role "${maker}" superuser login password 'maker'`)
      const provisioningConnectionString = login(serverUrl(), maker, 'maker').replace('127.0.0.1', 'localhost')
      await provision({ slug: 'd-maker', name: 'D', isolation: 'database', provisioningConnectionString })
      const [owner] = await query(serverUrl(), 'select pg_get_userbyid(datdba) as name from pg_database where datname = $1', [
        named('d-maker'),
      ])
      assert.equal(owner?.['name'], maker)
      const row = (await rowOf(kit, 'd-maker'))!
      const { keys } = kit.options
      const ring = parseKeyRing(typeof keys === 'function' ? keys() : keys)
      const url = open(ring, String(row['connection_string']), { tenantId: String(row['id']), purpose: 'connection_string' })
      assert.equal(new URL(url).host, new URL(provisioningConnectionString).host)
      await operate('d-maker', 'migrate')
      await purge('d-maker')
      assert.isFalse(await hasDatabase(named('d-maker')))
    })

    it('database/auto: credentials that were wrong are replaced, and their server with them', async () => {
      const wrong = login(serverUrl(), `${kit.prefix}_maker`, 'wrong').replace(/:\d+\//, ':1/')
      const input = { slug: 'd-moved', name: 'D', isolation: 'database', provisioningConnectionString: wrong } as const
      await refused(provision(input), 'PROVISIONING_FAILED')
      await kit.asSystem(() => kit.tenancy.updateTenant('d-moved', { provisioningConnectionString: serverUrl() }))
      assert.equal((await operate('d-moved', 'retry')).tenant.status, 'ready')
      assert.equal(await works('d-moved'), 1)
    })

    it('database/auto: what the role may do', async () => {
      const name = named('d-auto')
      const [rights] = await query(
        databaseUrl(name),
        `select has_table_privilege($1, 'tenant.author', 'select, insert, update, delete') as tables,
           has_table_privilege($1, 'tenant.author', 'truncate') as truncates,
           has_schema_privilege($1, 'tenant', 'create') as creates,
           has_schema_privilege($1, 'public', 'usage') as public,
           has_database_privilege($1, current_database(), 'connect') as own,
           has_database_privilege($1, current_database(), 'create') as makes,
           has_database_privilege($1, $2, 'connect') as control,
           has_database_privilege($1, 'postgres', 'connect') as maintenance,
           has_database_privilege($1, 'template1', 'connect') as template,
           rolsuper or rolcreatedb or rolcreaterole or rolbypassrls as mighty
         from pg_roles where rolname = $1`,
        [name, new URL(kit.url).pathname.slice(1)],
      )
      assert.deepEqual(rights, {
        tables: true,
        truncates: false,
        creates: false,
        public: false,
        own: true,
        makes: false,
        control: false,
        maintenance: false,
        template: false,
        mighty: false,
      })
      await provision({ slug: 'd-other', name: 'D', isolation: 'database' })
      const [other] = await query(serverUrl(), `select has_database_privilege($1, $2, 'connect') as may`, [name, named('d-other')])
      assert.isFalse(other?.['may'])
    })

    it('database/manual: a schema in the database of the operator, whose public stays as it was', async () => {
      await query(own.url, 'create table public.of_the_operator (id int)')
      const tenant = await provision({
        slug: 'd-manual',
        name: 'D',
        isolation: 'database',
        provisioning: 'manual',
        connectionAlias: 'own_alias',
        connectionString: own.url,
      })
      assert.include(tenant, { status: 'ready', connection_alias: 'own_alias', connection_string: null })
      assert.includeMembers([...(await tablesOf(own.url, 'tenant'))], TENANT_TABLES)
      assert.deepEqual(await tablesOf(own.url, 'public'), ['of_the_operator'])
      assert.equal(await works('d-manual'), 1)
      const { operation } = await purge('d-manual')
      assert.deepEqual(operation.result, { dropped: [{ kind: 'schema', name: 'tenant' }] })
      assert.isFalse(await hasSchema(own.url, 'tenant'))
      assert.deepEqual(await tablesOf(own.url, 'public'), ['of_the_operator'])
    })
  })

  describe('a name that exists already', () => {
    it('a schema: failed, untouched; retried when it is gone', async () => {
      await query(kit.url, `create schema "${named('taken-s')}"; create table "${named('taken-s')}".precious (id int)`)
      const error = await refused(provision({ slug: 'taken-s', name: 'T', isolation: 'schema' }), 'PROVISIONING_FAILED')
      assert.deepEqual(error.details, { step: 'create' })
      const row = await rowOf(kit, 'taken-s')
      assert.equal(row?.['status'], 'failed')
      assert.match(String(row?.['status_reason']), /create: .*already exists/)
      assert.deepEqual(row?.['created_resources'], [])
      assert.deepEqual(await tablesOf(kit.url, named('taken-s')), ['precious'])
      await refused(operate('taken-s', 'retry'), 'PROVISIONING_FAILED')
      assert.deepEqual(await tablesOf(kit.url, named('taken-s')), ['precious'])
      await query(kit.url, `drop schema "${named('taken-s')}" cascade`)
      const { tenant } = await operate('taken-s', 'retry')
      assert.include(tenant, { status: 'ready', status_reason: null })
      assert.equal(await works('taken-s'), 1)
    })

    it('a schema that was named by hand', async () => {
      await query(kit.url, 'create schema by_hand')
      const input = { slug: 'taken-m', name: 'T', isolation: 'schema', provisioning: 'manual', schemaName: 'by_hand' } as const
      assert.deepEqual((await refused(provision(input), 'PROVISIONING_FAILED')).details, { step: 'create' })
      assert.isTrue(await hasSchema(kit.url, 'by_hand'))
      assert.deepEqual(await tablesOf(kit.url, 'by_hand'), [])
    })

    it('a database: failed, untouched, its role undone; retried when it is gone', async () => {
      const name = named('taken-d')
      await query(serverUrl(), `create database "${name}" template template0`)
      await query(databaseUrl(name), 'create table precious (id int)')
      const error = await refused(provision({ slug: 'taken-d', name: 'T', isolation: 'database' }), 'PROVISIONING_FAILED')
      assert.deepEqual(error.details, { step: 'create' })
      assert.deepEqual(await tablesOf(databaseUrl(name), 'public'), ['precious'])
      assert.isFalse(await hasRole(name))
      assert.equal((await rowOf(kit, 'taken-d'))?.['status'], 'failed')
      await query(serverUrl(), `drop database "${name}" with (force)`)
      assert.equal((await operate('taken-d', 'retry')).tenant.status, 'ready')
      assert.equal(await works('taken-d'), 1)
    })

    it('a role: failed, untouched, no database; retried when it is gone', async () => {
      const name = await role(named('taken-r'), 'by-hand')
      const error = await refused(provision({ slug: 'taken-r', name: 'T', isolation: 'database' }), 'PROVISIONING_FAILED')
      assert.deepEqual(error.details, { step: 'create' })
      assert.isTrue(await hasRole(name))
      assert.isFalse(await hasDatabase(name))
      await query(login(serverUrl(), name, 'by-hand').replace(/\/[^/]*$/, `/${own.name}`), 'select 1')
      await query(serverUrl(), `drop role "${name}"`)
      assert.equal((await operate('taken-r', 'retry')).tenant.status, 'ready')
    })
  })

  describe('a step that fails', () => {
    for (const isolation of ['schema', 'database'] as const) {
      it(`seed, ${isolation}: everything is undone, and retry starts anew`, async () => {
        const slug = `seed-${isolation}`
        seed = async () => {
          assert.deepInclude(currentActor() as Actor, { plane: 'system', id: 'seed' })
          em().create(Author, { name: 'of the seed' })
          await em().flush()
          throw new Error('the seed is rotten')
        }
        const error = await refused(provision({ slug, name: 'S', isolation }), 'PROVISIONING_FAILED')
        assert.deepEqual(error.details, { step: 'seed' })
        assert.deepEqual(
          [await hasSchema(kit.url, named(slug)), await hasDatabase(named(slug)), await hasRole(named(slug))],
          [false, false, false],
        )
        const row = await rowOf(kit, slug)
        assert.equal(row?.['status'], 'failed')
        assert.include(String(row?.['status_reason']), 'the seed is rotten')
        assert.deepEqual(row?.['created_resources'], [])
        assert.deepEqual(events, [])
        seed = async () => {
          em().create(Author, { name: 'of the seed' })
          await em().flush()
        }
        assert.equal((await operate(slug, 'retry')).tenant.status, 'ready')
        assert.deepEqual(events, [`first ${slug}`, `second ${slug}`])
        const authors = await kit.tenancy.run(slug, () => em().find(Author, {}))
        assert.deepEqual(
          authors.map(author => author.createdBy),
          ['system:seed'],
        )
      })
    }

    it('a resource that lost its mark stays on record, and is named', async () => {
      const name = named('lost-mark')
      seed = async () => {
        await query(kit.url, `comment on schema "${name}" is 'mine now'`)
        throw new Error('the seed is rotten')
      }
      const error = await refused(provision({ slug: 'lost-mark', name: 'L', isolation: 'schema' }), 'PROVISIONING_FAILED')
      assert.equal(error.details?.['step'], 'seed')
      assert.match(String(error.details?.['leftovers']), new RegExp(`^create: .*schema ${name}$`))
      assert.isTrue(await hasSchema(kit.url, name))
      assert.deepEqual((await rowOf(kit, 'lost-mark'))?.['created_resources'], [{ kind: 'schema', name }])
    })

    it('a weak password or a bad email is refused before anything is made', async () => {
      const good = { email: 'root@example.test', password: 'a long enough password' }
      const cases = [
        [{ ...good, password: 'short' }, 'admin.password'],
        [{ ...good, password: 'aaaaaaaaaaaa' }, 'admin.password'],
        [{ ...good, email: 'nobody' }, 'admin.email'],
      ] as const
      await provision({ slug: 'admin-later', name: 'A', isolation: 'schema' })
      await query(kit.url, `update public.tenantkit_tenant set status = 'failed' where slug = 'admin-later'`)
      for (const [admin, path] of cases) {
        const refusals = [
          provision({ slug: 'weak-admin', name: 'W', isolation: 'schema', admin }),
          operate('admin-later', 'retry', { admin }),
          operate('admin-later', 'bootstrap_admin', { admin }),
        ]
        for (const refusal of refusals) assert.deepEqual(fieldsOf(await refused(refusal, 'VALIDATION_FAILED')), [path])
      }
      assert.isUndefined(await rowOf(kit, 'weak-admin'))
      assert.isTrue(await hasSchema(kit.url, named('admin-later')))
    })

    it("a tenant's first administrator is made once, and an existing user is refused", async () => {
      const admin = { email: 'root@example.test', password: 'a long enough password' }
      assert.equal((await provision({ slug: 'with-admin', name: 'A', isolation: 'schema', admin })).status, 'ready')
      assert.equal(await kit.tenancy.run('with-admin', () => em().count(Person.tenant, { email: admin.email })), 1)
      await refused(operate('with-admin', 'bootstrap_admin', { admin }), 'CONFLICT')
      await refused(operate('with-admin', 'bootstrap_admin'), 'VALIDATION_FAILED')
      await operate('with-admin', 'bootstrap_admin', { admin: { ...admin, email: 'second@example.test' } })
      assert.equal(await kit.tenancy.run('with-admin', () => em().count(Person.tenant)), 2)
      seed = async () => {
        em().create(Person.tenant, { email: admin.email })
        await em().flush()
      }
      await refused(provision({ slug: 'admin-twice', name: 'A', isolation: 'schema', admin }), 'CONFLICT')
      assert.isFalse(await hasSchema(kit.url, named('admin-twice')))
      assert.equal((await rowOf(kit, 'admin-twice'))?.['status'], 'failed')
    })
  })

  describe('a connection given by the operator', () => {
    const password = `pw${randomBytes(12).toString('hex')}`
    const manual = (slug: string, connectionString: string, provisioningConnectionString?: string) =>
      provision({
        slug,
        name: 'M',
        isolation: 'database',
        provisioning: 'manual',
        connectionAlias: `alias_${slug.replaceAll('-', '_')}`,
        connectionString,
        provisioningConnectionString,
      })

    it('with wrong credentials fails, and the reason holds no password', async () => {
      const user = await role(`${kit.prefix}_wrong`, 'the-right-one')
      const error = await refused(manual('wrong-login', login(own.url, user, password)), 'PROVISIONING_FAILED')
      assert.deepEqual(error.details, { step: 'create' })
      const row = await rowOf(kit, 'wrong-login')
      assert.equal(row?.['status'], 'failed')
      assert.notInclude(JSON.stringify([row, error.message, error.hint, error.details, error.stack]), password)
      await refused(manual('wrong-admin', own.url, login(own.url, user, password)), 'PROVISIONING_FAILED')
      assert.notInclude(JSON.stringify(await rowOf(kit, 'wrong-admin')), password)
    })

    it('must not lead to the control plane, by whatever name of its host', async () => {
      await refused(manual('to-control', kit.url), 'VALIDATION_FAILED')
      assert.isUndefined(await rowOf(kit, 'to-control'))
      const alias = new URL(kit.url)
      alias.hostname = alias.hostname === 'localhost' ? '127.0.0.1' : 'localhost'
      await refused(manual('to-control-b', alias.href), 'PROVISIONING_FAILED')
      assert.isFalse(await hasSchema(kit.url, 'tenant'))
      assert.deepEqual((await operateArchivePurge('to-control-b')).operation.result, { dropped: [] })
      assert.isTrue(await hasDatabase(new URL(kit.url).pathname.slice(1)))
    })

    const operateArchivePurge = (slug: string) => purge(slug)

    it('to a missing database fails without a provisioning URL', async () => {
      const name = `${kit.prefix}_missing`
      const error = await refused(manual('missing-a', databaseUrl(name)), 'PROVISIONING_FAILED')
      assert.deepEqual(error.details, { step: 'create' })
      assert.isFalse(await hasDatabase(name))
    })

    it('to a missing database creates it with one, and purging drops it again', async () => {
      const name = `${kit.prefix}_missing_b`
      const user = await role(`${kit.prefix}_owner`, password)
      const tenant = await manual('missing-b', login(databaseUrl(name), user, password), serverUrl())
      assert.include(tenant, { status: 'ready', has_provisioning_connection_string: true })
      assert.includeMembers([...(await tablesOf(databaseUrl(name), 'tenant'))], TENANT_TABLES)
      assert.equal(await works('missing-b'), 1)
      const may = `select exists (select 1 from aclexplode(datacl) where grantee = 0) as everyone, has_database_privilege($2, oid, 'connect') as own
        from pg_database where datname = $1`
      assert.deepEqual(await query(serverUrl(), may, [name, user]), [{ everyone: false, own: true }])
      assert.deepEqual((await purge('missing-b')).operation.result, {
        dropped: [
          { kind: 'schema', name: 'tenant' },
          { kind: 'database', name },
        ],
      })
      assert.isFalse(await hasDatabase(name))
      assert.isTrue(await hasRole(user))
    })

    it('whose user does not exist leaves no database behind', async () => {
      const name = `${kit.prefix}_missing_c`
      await refused(manual('missing-c', login(databaseUrl(name), `${kit.prefix}_nobody`, password), serverUrl()), 'PROVISIONING_FAILED')
      assert.isFalse(await hasDatabase(name))
    })

    it('to an existing database never drops it, provisioning URL or not', async () => {
      await manual('existing-a', own.url, serverUrl())
      assert.deepEqual((await purge('existing-a')).operation.result, { dropped: [{ kind: 'schema', name: 'tenant' }] })
      assert.isTrue(await hasDatabase(own.name))
    })

    it('whose database the operator dropped can be purged', async () => {
      const lost = await freshDatabase('provisioning lost')
      await manual('lost', lost.url)
      await lost.drop()
      assert.deepEqual((await purge('lost')).operation.result, { dropped: [] })
    })

    it("to another tenant's database is refused, and that tenant keeps its data", async () => {
      await provision({ slug: 'victim', name: 'V', isolation: 'database' })
      await works('victim')
      await refused(manual('thief', databaseUrl(named('victim'))), 'PROVISIONING_FAILED')
      assert.equal(await works('victim'), 2)
      assert.deepEqual((await purge('thief')).operation.result, { dropped: [] })
      assert.equal(await works('victim'), 3)
    })
  })

  it('several at once succeed', async () => {
    // As on a server where nobody took it yet: each of them will.
    await query(serverUrl(), `grant connect on database "${new URL(kit.url).pathname.slice(1)}" to public`)
    const slugs = ['many-a', 'many-b', 'many-c', 'many-d', 'many-e', 'many-f', 'many-g', 'many-h']
    await Promise.all(slugs.map((slug, i) => provision({ slug, name: slug, isolation: i % 2 === 0 ? 'database' : 'schema' })))
    for (const slug of slugs) assert.equal((await rowOf(kit, slug))?.['status'], 'ready')
    await dropRolesLike(`${kit.prefix}_many`)
  })
})

describe('provisioning without the option bootstrapAdmin', () => {
  it('refuses an administrator and leaves no row', async () => {
    await using kit = await testTenancy()
    const admin = { email: 'a@example.test', password: 'a long enough password' }
    const input = { slug: 'no-admin', name: 'A', isolation: 'schema', admin } as const
    await refused(
      kit.asSystem(() => kit.tenancy.provision(input)),
      'VALIDATION_FAILED',
    )
    assert.isUndefined(await rowOf(kit, 'no-admin'))
    await kit.asSystem(() => kit.tenancy.provision({ slug: 'plain', name: 'A', isolation: 'schema' }))
    await refused(
      kit.asSystem(() => kit.tenancy.operate('plain', 'bootstrap_admin', { admin })),
      'VALIDATION_FAILED',
    )
    await query(kit.url, `update public.tenantkit_tenant set status = 'failed' where slug = 'plain'`)
    await refused(
      kit.asSystem(() => kit.tenancy.operate('plain', 'retry', { admin })),
      'VALIDATION_FAILED',
    )
    assert.equal((await rowOf(kit, 'plain'))?.['status'], 'failed')
  })
})
