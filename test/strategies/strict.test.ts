import { assert } from 'chai'
import { raw } from '@mikro-orm/postgresql'
import { controlEm, createTenancy, currentTenant, em, type Tenancy } from 'mikro-tenantkit'
import { itWithTwoConnections } from '../helpers/pooler.ts'
import { databaseUrl, query, serverUrl } from '../helpers/postgres.ts'
import { Author, Book, Country, Person, ada, operator, testTenancy, type TestTenancy } from '../helpers/tenancy.ts'

interface Refusal extends Error {
  readonly code?: string
  readonly hint?: string
}
interface Kysely {
  executeQuery(compiled: unknown): Promise<{ rows: Record<string, unknown>[] }>
  destroy(): Promise<void>
  startTransaction(): { execute(): Promise<{ rollback(): { execute(): Promise<unknown> } }> }
}

let kit: TestTenancy
let acme: string
let initech: string
let readers: string

const inTenant = <T>(slug: string, work: () => Promise<T>, tenancy: Tenancy = kit.tenancy) => tenancy.run(slug, work, { actor: ada })
const asSystem = <T>(tenancy: Tenancy, work: () => Promise<T>) => tenancy.runAsActor(operator, work)
const sent = (sql: string, parameters: unknown[] = [], method: 'all' | 'get' | 'run' = 'all'): Promise<unknown> =>
  em().getConnection().execute(sql, parameters, method)
const kysely = () => em().getConnection().getClient() as unknown as Kysely
const compiled = (sql: string, parameters: unknown[] = []) => ({
  sql,
  parameters,
  query: { kind: 'SelectQueryNode' },
  queryId: { queryId: 'test' },
})
const rowsOf = async (rows: AsyncIterable<unknown>) => {
  const all: unknown[] = []
  for await (const row of rows) all.push(row)
  return all
}

async function refusal(work: () => Promise<unknown>): Promise<Refusal> {
  try {
    await work()
  } catch (error) {
    return error as Refusal
  }
  return assert.fail('nothing was refused')
}

/** Asks every open connection of the shared pool, all held at once, whether it is itself and in no transaction. */
async function poolRoles(): Promise<string[]> {
  const pool = await kit.asSystem(async () => {
    return (await controlEm().getConnection().getNativeClient()) as unknown as {
      readonly totalCount: number
      connect(): Promise<{ query(sql: string): Promise<{ rows: { who: string }[] }>; release(): void }>
    }
  })
  const clients = await Promise.all(Array.from({ length: pool.totalCount }, () => pool.connect()))
  const answers = await Promise.all(
    clients.map(client => client.query(`select current_user = session_user and now() = statement_timestamp() as who`)),
  )
  clients.forEach(client => client.release())
  return answers.map(({ rows }) => String(rows[0]!.who))
}

async function assertNoRoleKept(): Promise<void> {
  const answers = await poolRoles()
  assert.isAbove(answers.length, 0)
  assert.deepEqual(
    answers.filter(answer => answer !== 'true'),
    [],
    'a pooled connection kept a role',
  )
}

const privileges = async (role: string) => {
  const [row] = await query<Record<string, boolean>>(
    kit.url,
    `select has_schema_privilege($1, $2, 'USAGE') as own, has_schema_privilege($1, $2, 'CREATE') as creates, has_schema_privilege($1, $3, 'USAGE') as foreign,
      has_table_privilege($1, 'public.country', 'SELECT') as shared, has_table_privilege($1, 'public.country', 'UPDATE') as writes_shared,
      has_table_privilege($1, 'public.tenantkit_tenant', 'SELECT') as registry, has_table_privilege($1, 'public.person', 'SELECT') as shared_half,
      has_table_privilege($1, $4, 'INSERT') as inserts`,
    [role, acme, initech, `${acme}.author`],
  )
  return row!
}

describe('strict mode', () => {
  before(async () => {
    kit = await testTenancy({ isolation: { strict: true } })
    acme = `${kit.prefix}_acme`
    initech = `${kit.prefix}_initech`
    readers = `${kit.prefix}__readers`
    await asSystem(kit.tenancy, async () => {
      await kit.tenancy.provision({ slug: 'acme', name: 'Acme', isolation: 'schema' })
      await kit.tenancy.provision({ slug: 'initech', name: 'Initech', isolation: 'schema', provisioning: 'manual', schemaName: initech })
      await kit.tenancy.provision({ slug: 'globex', name: 'Globex', isolation: 'database' })
    })
    for (const slug of ['acme', 'initech', 'globex']) {
      await inTenant(slug, async () => {
        em().create(Author, { name: `author of ${slug}` })
        await em().flush()
      })
    }
  })
  after(() => kit[Symbol.asyncDispose]())
  afterEach(assertNoRoleKept)

  it('each schema tenant has a role that reaches its own schema, reads shared tables and cannot log in', async () => {
    const [role] = await query(kit.url, 'select rolcanlogin, rolsuper, rolbypassrls, rolcreaterole from pg_roles where rolname = $1', [
      acme,
    ])
    assert.deepEqual(role, { rolcanlogin: false, rolsuper: false, rolbypassrls: false, rolcreaterole: false })
    assert.deepEqual(await privileges(acme), {
      own: true,
      creates: false,
      foreign: false,
      shared: true,
      writes_shared: false,
      registry: false,
      shared_half: false,
      inserts: true,
    })
    assert.include(await privileges(initech), { own: false, foreign: true, shared: true, registry: false, inserts: false })
  })

  it('every statement runs in the role of the tenant, in a transaction and outside of one', async () => {
    for (const [slug, role] of [
      ['acme', acme],
      ['initech', initech],
    ] as const) {
      await inTenant(slug, async () => {
        const who = async () => (await em().execute<{ who: string }[]>('select current_user as who'))[0]!.who
        assert.equal(await who(), role)
        await em().transactional(async () => {
          assert.equal(await who(), role)
          await em()
            .transactional(async () => {
              assert.equal(await who(), role)
              throw new Error('back')
            })
            .catch(() => undefined)
          assert.equal(await who(), role)
        })
        assert.equal((await kysely().executeQuery(compiled('select current_user as who where $1 = 1', [1]))).rows[0]!['who'], role)
        assert.equal((await em().findOneOrFail(Author, { name: `author of ${slug}` })).name, `author of ${slug}`)
      })
    }
  })

  it('the answer of a statement is its own, with its rows and its count', async () => {
    await inTenant('acme', async () => {
      assert.deepEqual(await sent('select 1 as one union all select 2 order by 1'), [{ one: 1 }, { one: 2 }])
      assert.deepEqual(await sent('select 1 as one', [], 'get'), { one: 1 })
      assert.deepEqual(await sent('select 1 as one where false'), [])
      const insert = `insert into ??.tag (id, label, created_at, created_by, updated_at, updated_by)
        select gen_random_uuid(), 'run', now(), 't', now(), 't' from generate_series(1, 3)`
      assert.include(await sent(insert, [acme], 'run'), { affectedRows: 3 })
      assert.include(await sent(`delete from ??.tag where label = 'run'`, [acme], 'run'), { affectedRows: 3 })
    })
  })

  describe('refuses SQL that names another schema', () => {
    const paths: readonly (readonly [string, (sql: string) => Promise<unknown>])[] = [
      ['em.execute', sql => em().execute(sql)],
      ['em.execute with parameters', sql => em().execute(`${sql} where ? = 1`, [1])],
      ['getConnection().execute', sql => em().getConnection().execute(sql)],
      [
        'getConnection().executeDump',
        sql => (em().getConnection() as unknown as { executeDump(sql: string): Promise<void> }).executeDump(sql),
      ],
      ['Kysely', sql => kysely().executeQuery(compiled(sql))],
      ['Kysely with parameters', sql => kysely().executeQuery(compiled(`${sql} where $1 = 1`, [1]))],
      [
        'a fragment in a query builder',
        sql =>
          em()
            .createQueryBuilder(Author, 'a')
            .where(raw(`exists (${sql})`))
            .execute(),
      ],
      ['a fragment in a condition', sql => em().find(Author, { [raw(`exists (${sql})`)]: true })],
      ['a stream', sql => rowsOf(em().getConnection().stream(sql) as AsyncIterable<unknown>)],
      [
        'a stream of a query builder',
        sql =>
          rowsOf(
            em()
              .createQueryBuilder(Author, 'a')
              .where(raw(`exists (${sql})`))
              .stream(),
          ),
      ],
      [
        'a transaction of the connection',
        sql =>
          em()
            .getConnection()
            .transactional(async trx => em().getConnection().execute(sql, [], 'all', trx)),
      ],
    ]
    /** These join an open transaction; the others take a second connection beside it. */
    const joining = /^em\.execute|^a fragment|of a query builder$/
    for (const [name, send] of paths) {
      for (const where of ['outside of a transaction', 'in a transaction'] as const) {
        const test = where === 'in a transaction' && !joining.test(name) ? itWithTwoConnections : it
        test(`by ${name} ${where}`, async () => {
          await inTenant('acme', async () => {
            const foreign = () => send(`select * from "${initech}"."author"`)
            const refused = await refusal(() => (where === 'in a transaction' ? em().transactional(foreign) : foreign()))
            assert.equal(refused.code, 'CROSS_TENANT_ENTITY', refused.message)
            assert.match(refused.message, /permission denied/)
            assert.match(refused.hint!, /open a run there/)
            await send(`select * from "${acme}"."author"`)
            await send(`select * from public.country`)
          })
        })
      }
    }

    it('and the registry, and the control plane half of a both entity', async () => {
      await inTenant('acme', async () => {
        for (const table of ['public.tenantkit_tenant', 'public.tenantkit_control', 'public.person']) {
          assert.equal((await refusal(() => em().execute(`select * from ${table}`))).code, 'CROSS_TENANT_ENTITY', table)
        }
        assert.deepEqual(await em().find(Person.tenant, {}), [])
        assert.equal(
          (await refusal(() => em().execute(`insert into public.country (id) values (gen_random_uuid())`))).code,
          'CROSS_TENANT_ENTITY',
        )
        assert.deepEqual(await em().find(Country, {}), [])
      })
    })
  })

  describe('refuses text that could leave the role, before it is sent', () => {
    const texts = [
      'select 1; reset role; select 2',
      'reset role',
      'set role postgres',
      'set local role postgres',
      'SET SESSION AUTHORIZATION DEFAULT',
      'set local session authorization default',
      'set local search_path to public',
      'discard all',
      'commit',
      'begin',
      `do $$ begin reset role; end $$`,
      `select set_config('role', 'postgres', false)`,
      `select pg_catalog."set_config"('role', 'postgres', false)`,
      `select U&"set\\005fconfig"('role', 'postgres', false)`,
      `update pg_settings set setting = 'postgres' where name = 'role'`,
      `select query_to_xml('select 1', true, true, '')`,
      `select public.set_limit(0.1)`,
      `select pg_catalog.run_command_on_workers('reset role')`,
      `select public.pg_background_launch('reset role')`,
      `select 1 /* ; */ ; /* ; */ reset role`,
      `select 'a''b' ; reset role`,
      `select E'a\\'' ; reset role`,
      `select E'a'\n'b\\' ' ; reset role -- '`,
      `select $a$ ; $a$ ; reset role`,
      `select "a;b" ; reset role`,
      `-- x\nreset role`,
      `/* /* */ */ reset role`,
      `create temp table t (a int)`,
      `prepare p as select 1`,
      `copy public.country to stdout`,
      `(select 'open`,
    ]
    for (const text of texts) {
      it(JSON.stringify(text), async () => {
        await inTenant('acme', async () => {
          assert.equal((await refusal(() => em().execute(text))).code, 'SQL_REFUSED')
          assert.equal((await refusal(() => kysely().executeQuery(compiled(text)))).code, 'SQL_REFUSED')
          assert.equal((await refusal(() => em().transactional(() => em().execute(text)))).code, 'SQL_REFUSED')
          assert.equal((await refusal(() => rowsOf(em().getConnection().stream(text) as AsyncIterable<unknown>))).code, 'SQL_REFUSED')
        })
      })
    }

    it('and takes what only looks like it', async () => {
      await inTenant('acme', async () => {
        for (const text of [
          `select 1;`,
          `select ';' as a`,
          `select ';' as "reset role;" -- ; reset role`,
          `/* ; reset role */ select $x$ ; reset role $x$`,
          `(select 1) union (select 2)`,
          `select E'\\'; reset role'`,
          `set local statement_timeout = 1000`,
          `explain select 1`,
          `with a as (select ';' as b) select * from a`,
        ]) {
          await em().execute(text)
        }
        const [row] = await em().execute<{ text: string }[]>('select ? as text', ["'; reset role; --"])
        assert.equal(row!.text, "'; reset role; --")
      })
    })

    it('and the pool itself, which bears no role', async () => {
      const refused = await refusal(() => inTenant('acme', () => em().getConnection().getNativeClient()))
      assert.equal(refused.code, 'CROSS_TENANT_ENTITY')
    })
  })

  describe('a pooled connection comes back without the role', () => {
    const failing = 'select 1 / 0'
    for (const [name, work] of [
      ['after an error', () => em().execute(failing)],
      ['after an error in a transaction', () => em().transactional(() => em().execute(failing))],
      ['after an error of a query with parameters', () => kysely().executeQuery(compiled('select 1 / $1::int', [0]))],
      [
        'after a stream that failed',
        () => rowsOf(em().getConnection().stream('select 1 / (3 - a) from generate_series(1, 1000) a') as AsyncIterable<unknown>),
      ],
      [
        'after a stream that was left',
        async () => {
          for await (const _ of em().getConnection().stream('select * from generate_series(1, 5000) a') as AsyncIterable<unknown>)
            throw new Error('left')
        },
      ],
      [
        'after a throw in the middle of a transaction',
        () =>
          em().transactional(async () => {
            await em().execute('select 1')
            throw new Error('thrown')
          }),
      ],
      [
        'after a query that was aborted',
        () =>
          em().execute('select pg_sleep(5)', [], { signal: AbortSignal.timeout(50), inflightQueryAbortStrategy: 'cancel query' } as never),
      ],
      ['after a transaction that does not begin', () => em().transactional(async () => undefined, { isolationLevel: 'nonsense' as never })],
    ] as const) {
      it(name, async () => {
        await refusal(() => inTenant('acme', async () => void (await work())))
      })
    }

    it('after a transaction that the run left open', async () => {
      await inTenant('acme', async () => {
        await em().begin()
        await em().execute('select 1')
      })
      await new Promise(resolve => setTimeout(resolve, 50))
    })

    it('after a Kysely client was destroyed, which closes nothing but itself', async () => {
      await inTenant('acme', () => kysely().destroy())
      await inTenant('acme', () => em().execute('select 1'))
    })
  })

  it('a tenant whose role is gone is refused, and no connection stays behind', async () => {
    await query(kit.url, `drop owned by "${initech}"; drop role "${initech}"`)
    try {
      for (const work of [
        () => em().execute('select 1'),
        () => em().find(Author, {}),
        () => em().transactional(() => em().find(Author, {})),
        () => kysely().executeQuery(compiled('select $1', [1])),
      ]) {
        const refused = await refusal(() => inTenant('initech', async () => void (await work())))
        assert.equal(refused.code, 'CONFIGURATION_INVALID')
        assert.match(refused.hint!, /tenantkit migrate/)
      }
      const finding = (await kit.tenancy.check()).find(({ name }) => name === 'strict mode')
      assert.include(finding, { ok: false, level: 'error' })
      assert.match(finding!.message, /initech/)
      assert.isTrue(await kit.tenancy.pendingMigrations())
    } finally {
      await asSystem(kit.tenancy, () => kit.tenancy.migrate())
    }
    assert.equal((await kit.tenancy.check()).find(({ name }) => name === 'strict mode')?.level, 'ok')
    assert.isFalse(await kit.tenancy.pendingMigrations())
    await inTenant('initech', async () => assert.lengthOf(await em().find(Author, {}), 1))
    assert.include(await privileges(initech), { own: false, foreign: true })
  })

  it('a role that the pool may not take is refused like a missing one', async () => {
    const login = `${kit.prefix}__login`
    await query(serverUrl(), `create role "${login}" login password 'secret' in role pg_read_all_data`)
    await query(kit.url, `grant all on database "${new URL(kit.url).pathname.slice(1)}" to "${login}"`)
    const url = new URL(kit.url)
    url.username = login
    url.password = 'secret'
    await using tenancy = Object.assign(await createTenancy({ ...kit.options, database: { url: url.href, directUrl: kit.url } }), {
      async [Symbol.asyncDispose]() {
        await tenancy.close()
      },
    })
    assert.equal((await refusal(() => inTenant('acme', () => em().find(Author, {}), tenancy))).code, 'CONFIGURATION_INVALID')
    await asSystem(tenancy, () => tenancy.migrate())
    await inTenant('acme', async () => assert.lengthOf(await em().find(Author, {}), 1), tenancy)
    // The ordinary role that requests use does not have the tenant's rights all the time, where PostgreSQL knows the difference.
    const [granted] = await query<{ member: boolean; version: number }>(
      kit.url,
      `select pg_has_role($1, $2, 'MEMBER') as member, current_setting('server_version_num')::int as version`,
      [login, acme],
    )
    assert.isTrue(granted!.member)
    if (granted!.version >= 160_000) {
      const [inherits] = await query<{ usage: boolean }>(kit.url, `select pg_has_role($1, $2, 'USAGE') as usage`, [login, acme])
      assert.isFalse(inherits!.usage)
    }
    await query(kit.url, `drop owned by "${login}"`)
    await query(serverUrl(), `drop role "${login}"`)
  })

  it('both isolations pass a life with relations, forEach-like runs, and savepoints', async () => {
    for (const slug of ['acme', 'initech', 'globex']) {
      await inTenant(slug, async () => {
        await em().transactional(async () => {
          const author = em().create(Author, { name: 'with books' })
          em().create(Book, { title: 'one', author })
          await em().flush()
          await em()
            .transactional(async () => {
              em().create(Book, { title: 'two', author })
              await em().flush()
              throw new Error('back')
            })
            .catch(() => undefined)
        })
        em().clear()
        const [author] = await em().find(Author, { name: 'with books' }, { populate: ['books'] })
        assert.deepEqual(
          author!.books.getItems().map(book => book.title),
          ['one'],
        )
        await em().nativeDelete(Book, {})
        await em().nativeDelete(Author, { name: 'with books' })
      })
    }
  })

  it('a tenant with a database of its own is as it was', async () => {
    const url = databaseUrl(`${kit.prefix}_globex`)
    await inTenant('globex', async () => {
      const [row] = await em().execute<{ who: string; session: string }[]>('select current_user as who, session_user as session')
      assert.equal(row!.who, row!.session)
      assert.equal(row!.who, `${kit.prefix}_globex`)
    })
    assert.lengthOf(await query(url, 'select 1 from tenant.author where deleted_at is null'), 1)
  })

  it("a new shared table is read after the shared migrations ran, and one that is no tenant's is taken back", async () => {
    await query(kit.url, `revoke select on public.country from "${readers}"; grant select on public.person to "${readers}"`)
    await asSystem(kit.tenancy, () => kit.tenancy.migrate({ scope: 'shared' }))
    assert.include(await privileges(acme), { shared: true, shared_half: false })
  })

  it("tables of later migrations are the tenant's as well", async () => {
    await query(kit.url, `create table "${acme}".later (a int)`)
    await inTenant('acme', async () => {
      await em().execute(`insert into "${acme}".later values (1)`)
      assert.deepEqual(await em().execute(`select a from "${acme}".later`), [{ a: 1 }])
    })
    await query(kit.url, `drop table "${acme}".later`)
  })

  describe('in the life of a tenant', () => {
    const roleExists = async (name: string) => (await query(serverUrl(), 'select 1 from pg_roles where rolname = $1', [name])).length > 0

    it('purging drops the role, whether strict is on or off by then', async () => {
      for (const strict of [true, false]) {
        const name = `${kit.prefix}_short_lived`
        await asSystem(kit.tenancy, () => kit.tenancy.provision({ slug: 'short-lived', name: 'Short', isolation: 'schema' }))
        assert.isTrue(await roleExists(name))
        const tenancy = strict ? kit.tenancy : await createTenancy({ ...kit.options, isolation: { strict: false } })
        await asSystem(tenancy, async () => {
          await tenancy.archive('short-lived')
          const { operation } = await tenancy.operate('short-lived', 'purge', { confirm: 'DELETE short-lived' })
          assert.deepInclude(operation.result['dropped'], { kind: 'role', name })
        })
        if (!strict) await tenancy.close()
        assert.isFalse(await roleExists(name))
      }
    })

    it('a role of that name that is not ours is neither adopted nor dropped', async () => {
      const name = `${kit.prefix}_taken`
      await query(serverUrl(), `create role "${name}"`)
      const refused = await refusal(() =>
        asSystem(kit.tenancy, () => kit.tenancy.provision({ slug: 'taken', name: 'Taken', isolation: 'schema' })),
      )
      assert.equal(refused.code, 'PROVISIONING_FAILED')
      assert.isTrue(await roleExists(name))
      assert.lengthOf(await query(kit.url, 'select 1 from pg_namespace where nspname = $1', [name]), 0)
      await query(serverUrl(), `drop role "${name}"`)
      await asSystem(kit.tenancy, () => kit.tenancy.operate('taken', 'retry'))
      assert.isTrue(await roleExists(name))
      await inTenant('taken', async () => assert.deepEqual(await em().find(Author, {}), []))
    })

    it('a schema that lost its mark stays, and the role goes all the same', async () => {
      const name = `${kit.prefix}_lost_mark`
      await asSystem(kit.tenancy, () => kit.tenancy.provision({ slug: 'lost-mark', name: 'Lost', isolation: 'schema' }))
      await query(kit.url, `comment on schema "${name}" is null`)
      await asSystem(kit.tenancy, async () => {
        await kit.tenancy.archive('lost-mark')
        const refused = await refusal(() => kit.tenancy.operate('lost-mark', 'purge', { confirm: 'DELETE lost-mark' }))
        assert.equal(refused.code, 'PROVISIONING_FAILED')
        assert.match(JSON.stringify(refused), new RegExp(`schema ${name}`))
      })
      assert.isFalse(await roleExists(name))
      assert.lengthOf(await query(kit.url, 'select 1 from pg_namespace where nspname = $1', [name]), 1)
    })

    it('tenants provisioned at the same time all have their roles', async () => {
      const slugs = ['many-a', 'many-b', 'many-c', 'many-d']
      await asSystem(kit.tenancy, () => Promise.all(slugs.map(slug => kit.tenancy.provision({ slug, name: slug, isolation: 'schema' }))))
      for (const slug of slugs) await inTenant(slug, async () => assert.equal(currentTenant().slug, slug) ?? (await em().find(Author, {})))
    })

    it('strict mode is switched on for a fleet by migrating, and off again', async () => {
      const loose = await createTenancy({ ...kit.options, isolation: { strict: false } })
      await asSystem(loose, () => loose.provision({ slug: 'older', name: 'Older', isolation: 'schema' }))
      await inTenant('older', async () => assert.deepEqual(await em().find(Author, {}), []), loose)
      assert.isFalse(await roleExists(`${kit.prefix}_older`))
      assert.equal((await refusal(() => inTenant('older', () => em().find(Author, {})))).code, 'CONFIGURATION_INVALID')
      const { operation } = await asSystem(kit.tenancy, () => kit.tenancy.operate('older', 'migrate'))
      assert.deepEqual(operation.result['applied'], [])
      await inTenant('older', async () => assert.deepEqual(await em().find(Author, {}), []))
      await inTenant(
        'older',
        async () => assert.lengthOf(await em().execute(`select * from "${acme}".author where deleted_at is null`), 1),
        loose,
      )
      await loose.close()
    })
  })
})
