/** What holds behind PgBouncer alone; `npm run test:pgbouncer` runs it. */
import { assert } from 'chai'
import { Client } from 'pg'
import { createTenancy, em, type Tenancy } from 'mikro-tenantkit'
import { withLogin } from '../../src/connections/settings.ts'
import { itWithTwoConnections, poolSize, poolerConsole } from '../helpers/pooler.ts'
import { databaseOptions, query, serverUrl } from '../helpers/postgres.ts'
import { Author, Tag, ada, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'

type Refusal = Error & { code?: string; hint?: string }

let kit: TestTenancy

const inTenant = <T>(slug: string, work: () => Promise<T>) => kit.tenancy.run(slug, work, { actor: ada })
const backend = async () => (await em().execute<{ pid: number }[]>('select pg_backend_pid() as pid'))[0]!.pid

/** The connections of PgBouncer to the server, by database. */
async function serversOf(database: string): Promise<number[]> {
  const rows = await query<{ database: string; remote_pid: number }>(poolerConsole()!, 'show servers')
  return rows.filter(row => row.database === database).map(row => Number(row.remote_pid))
}

async function refusalOf(work: () => Promise<unknown>): Promise<Refusal> {
  try {
    await work()
  } catch (error) {
    return error as Refusal
  }
  throw new Error('nothing was refused')
}

describe('behind PgBouncer', () => {
  if (poolerConsole() === undefined) {
    it('(skipped: there is none; npm run test:pgbouncer brings one)')
    return
  }
  before(async () => {
    kit = await testTenancy()
    await twoTenants(kit)
  })
  after(() => kit[Symbol.asyncDispose]())

  it('every connection of the run time is one of PgBouncer, in both isolations, in transaction mode', async () => {
    const control = new URL(kit.url).pathname.slice(1)
    for (const [slug, database] of [
      ['acme', control],
      ['globex', `${kit.prefix}_globex`],
    ] as const) {
      const pids = await inTenant(slug, () => Promise.all(Array.from({ length: 4 }, backend)))
      assert.includeMembers(await serversOf(database), pids)
      assert.isAtMost(new Set(pids).size, poolSize())
    }
    const [mode] = await query<{ value: string }>(poolerConsole()!, 'show config').then(rows =>
      (rows as { key: string; value: string }[]).filter(({ key }) => key === 'pool_mode'),
    )
    assert.equal(mode!.value, 'transaction')
  })

  itWithTwoConnections(
    'two statements of one EntityManager may run on different connections, and those of a transaction on one',
    async () => {
      await inTenant('acme', async () => {
        // A transaction of another client holds the connection that the first statement ran on.
        const first = await backend()
        const { url } = databaseOptions(kit.url)
        const holders: Client[] = []
        try {
          for (let held = 0; held !== first;) {
            const holder = new Client({ connectionString: url as string, application_name: 'mikro-tenantkit' })
            holders.push(holder)
            await holder.connect()
            await holder.query('begin')
            held = (await holder.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]!.pid
            assert.isBelow(holders.length, poolSize(), 'the connection of the first statement is not found')
          }
          assert.notEqual(await backend(), first)
          assert.equal(await em().count(Tag), 0)
          await em().transactional(async () => assert.equal(await backend(), await backend()))
        } finally {
          for (const holder of holders) await holder.end()
        }
      })
    },
  )

  it('the framework sets nothing that stays on a connection of the server', async () => {
    for (const slug of ['acme', 'globex']) {
      await inTenant(slug, async () => {
        em().create(Author, { name: 'state' })
        await em().flush()
        await em().transactional(manager => manager.find(Author, {}))
        for await (const author of em().stream(Author, {})) assert.equal(author.name, 'state')
      })
      const left = await inTenant(slug, () =>
        em().execute<{ path: string; prepared: number; temporary: number; locks: number; listening: number }[]>(
          `select current_setting('search_path') as path, (select count(*)::int from pg_prepared_statements) as prepared,
             (select count(*)::int from pg_class where relpersistence = 't') as temporary,
             (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks,
             (select count(*)::int from pg_listening_channels()) as listening`,
        ),
      )
      assert.deepEqual(left, [{ path: '""', prepared: 0, temporary: 0, locks: 0, listening: 0 }])
    }
  })

  it("a tenant whose operator gives a connection through the pooler is made past it, and its role's setting as well", async () => {
    const name = `${kit.prefix}_manual`
    await query(serverUrl(), `create role "${name}" login password 'of-this-test'`)
    await query(serverUrl(), `create database "${name}" owner "${name}" template template0`)
    const login = { user: name, password: 'of-this-test', database: name }
    const connectionString = withLogin(databaseOptions(kit.url).url as string, login)
    await kit.asSystem(() =>
      kit.tenancy.provision({
        slug: 'manual',
        name: 'M',
        isolation: 'database',
        provisioning: 'manual',
        connectionAlias: name,
        connectionString,
      }),
    )
    await inTenant('manual', async () => {
      em().create(Tag, { label: 'manual' })
      await em().flush()
      assert.include(await serversOf(name), await backend())
    })
    assert.deepEqual(await query(withLogin(serverUrl(), login), 'show search_path'), [{ search_path: '""' }])
    const [outcome] = (await kit.asSystem(() => kit.tenancy.migrate({ scope: 'tenant', tenants: ['manual'] }))).tenants
    assert.equal(outcome!.status, 'applied', outcome!.error)
    await query(serverUrl(), `alter role "${name}" in database "${name}" reset search_path`)
    await query(poolerConsole()!, 'reconnect')
    const other = await createTenancy(kit.options)
    const refused = await refusalOf(() => other.run('manual', () => em().count(Tag), { actor: ada }))
    await other.close()
    assert.equal(refused.code, 'CONFIGURATION_INVALID')
    assert.include(refused.hint!, `alter role "${name}" in database "${name}" set search_path to ''`)
  })

  describe('that is told to ignore the start-up parameter, or not', () => {
    const told = async (value: string) => query(poolerConsole()!, `set ignore_startup_parameters = '${value}'`)
    const role = () => `${kit.prefix}_plain`

    /** A tenancy that does not know of the pooler, by a role whose search_path is that of the server. */
    async function unaware<T>(work: (tenancy: Tenancy) => Promise<T>): Promise<T> {
      const url = new URL(databaseOptions(kit.url).url as string)
      url.username = role()
      url.password = 'of-this-test'
      const tenancy = await createTenancy({ ...kit.options, database: { url: url.href, directUrl: kit.url } })
      try {
        return await work(tenancy)
      } finally {
        await tenancy.close()
      }
    }

    before(() => query(kit.url, `create role "${role()}" login superuser password 'of-this-test'`))
    after(() => told(''))

    it('a parameter that it refuses is an error that says what to set', async () => {
      await unaware(async tenancy => {
        const { code, hint } = await refusalOf(() => tenancy.ping())
        assert.equal(code, 'CONFIGURATION_INVALID')
        assert.include(hint!, 'database.pooled')
      })
    })

    it('a parameter that it ignores is noticed: nothing runs with the search_path of the server', async () => {
      await told('options')
      await unaware(async tenancy => {
        for (const work of [
          () => tenancy.ping(),
          () => tenancy.run('acme', () => em().execute('select * from tenantkit_tenant'), { actor: ada }),
        ]) {
          const { code, message } = await refusalOf(work)
          assert.equal(code, 'CONFIGURATION_INVALID', message)
          assert.include(message, 'is "$user", public; it must be empty')
        }
      })
    })

    it('connections that it opened before the role was changed are refused until it opens them anew', async () => {
      await told('')
      const { url, directUrl } = databaseOptions(kit.url)
      const own = Object.assign(new URL(url as string), { username: role(), password: 'of-this-test' }).href
      const tenancy = await createTenancy({ ...kit.options, database: { url: own, directUrl, pooled: true } })
      try {
        await refusalOf(() => tenancy.ping())
        const { code, hint } = await refusalOf(() => tenancy.runAsSystem('test', () => tenancy.migrate({ scope: 'shared' })))
        assert.equal(code, 'CONFIGURATION_INVALID')
        assert.include(hint!, 'RECONNECT')
        await query(poolerConsole()!, 'reconnect')
        await tenancy.runAsSystem('test', () => tenancy.migrate({ scope: 'shared' }))
        await tenancy.ping()
      } finally {
        await tenancy.close()
      }
    })
  })
})
