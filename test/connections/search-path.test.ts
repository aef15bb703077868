import { setTimeout } from 'node:timers/promises'
import { assert } from 'chai'
import { createTenancy, em, type Tenancy } from 'mikro-tenantkit'
import { withDirectClient } from '../../src/connections/direct.ts'
import { emptySearchPathOf, refusedStartUp } from '../../src/connections/search-path.ts'
import { withLogin } from '../../src/connections/settings.ts'
import { query, serverUrl } from '../helpers/postgres.ts'
import { Tag, ada, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'

type Refusal = Error & { code?: string; hint?: string }

let kit: TestTenancy

async function refusalOf(work: () => Promise<unknown>): Promise<Refusal> {
  try {
    await work()
  } catch (error) {
    return error as Refusal
  }
  throw new Error('nothing was refused')
}

const databaseOf = (slug: string) => `${kit.prefix}_${slug}`

/** The same tenancy as another process would run it, told that it is behind a pooler: no start-up parameter is sent. */
async function withPooled<T>(url: string, work: (tenancy: Tenancy) => Promise<T>): Promise<T> {
  const tenancy = await createTenancy({ ...kit.options, database: { url, directUrl: kit.url, pooled: true } })
  try {
    return await work(tenancy)
  } finally {
    await tenancy.close()
  }
}

describe('the empty search_path', () => {
  before(async () => {
    kit = await testTenancy()
    await twoTenants(kit)
  })
  after(() => kit[Symbol.asyncDispose]())

  /** A role of its own that may read and write the control plane, and its URL. */
  async function runtimeRole(name: string): Promise<{ role: string; url: string; database: string }> {
    const role = `${kit.prefix}_${name}`
    const database = new URL(kit.url).pathname.slice(1)
    await query(serverUrl(), `create role "${role}" login superuser password 'of-this-test'`)
    return { role, database, url: withLogin(kit.url, { user: role, password: 'of-this-test', database }) }
  }

  it('is made for the role by migrate behind a pooler; before that its connections are refused with the statement that does it', async () => {
    const { role, database, url } = await runtimeRole('before_migrate')
    await withPooled(url, async tenancy => {
      const enter = () => tenancy.run('acme', () => em().execute('select * from tenantkit_tenant'), { actor: ada })
      for (const refused of [enter, () => tenancy.ping(), enter]) {
        const { code, message, hint } = await refusalOf(refused)
        assert.equal(code, 'CONFIGURATION_INVALID')
        assert.include(message, `role "${role}" in database "${database}" is "$user", public`)
        assert.include(hint!, `alter role "${role}" in database "${database}" set search_path to ''`)
      }
      assert.equal(tenancy.stats().shared.open, 0)
      const found = async () => (await tenancy.check()).find(({ name }) => name === 'database')!
      assert.deepInclude(await found(), { level: 'error' })
      assert.include((await found()).hint!, `alter role "${role}"`)
      await tenancy.runAsSystem('test', () => tenancy.migrate({ scope: 'shared' }))
      assert.equal((await refusalOf(enter)).code, 'NO_TENANT_CONTEXT')
      assert.equal(await tenancy.run('acme', () => em().count(Tag), { actor: ada }), 0)
      assert.include((await found()).message, "search_path empty by the role's setting")
    })
  })

  it('is refused when it is that of the role, or of the database, and not empty', async () => {
    const { role, database, url } = await runtimeRole('wrong_path')
    for (const whose of [`role "${role}"`, `role "${role}" in database "${database}"`]) {
      await query(serverUrl(), `alter ${whose} set search_path to public`)
      await withPooled(url, async tenancy => assert.include((await refusalOf(() => tenancy.ping())).message, 'is public; it must be empty'))
    }
    // The start-up parameter is stronger than either.
    const direct = await createTenancy({ ...kit.options, database: { url } })
    await direct.ping()
    await direct.close()
  })

  it('is looked for on each connection of a pool, and once on each', async () => {
    const { role, database, url } = await runtimeRole('each')
    await query(serverUrl(), `alter role "${role}" in database "${database}" set search_path to ''`)
    await withPooled(url, async tenancy => {
      const pause = (seconds = 0) => tenancy.run('acme', () => em().execute('select pg_sleep(?)', [seconds]), { actor: ada })
      await pause()
      // The directory asks for the runs under way when it begins to listen, beside the first one or not.
      for (let tries = 0; tries < 500 && !tenancy.stats().directory.listening; tries++) await setTimeout(10)
      await pause()
      const { open } = tenancy.stats().shared
      await query(serverUrl(), `alter role "${role}" in database "${database}" set search_path to public`)
      // All but one have the connections that are open, and that one opens another, which must not take longer than the others sleep.
      const ends = await Promise.allSettled(Array.from({ length: open + 1 }, () => pause(2)))
      assert.lengthOf(
        ends.filter(({ status }) => status === 'rejected'),
        1,
      )
      await pause()
      assert.equal(tenancy.stats().shared.open, open)
    })
  })

  it("is that of a tenant's role in its own database, which provisioning made", async () => {
    const [row] = await query<{ setting: string }>(
      serverUrl(),
      `select array_to_string(setconfig, ',') as setting from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase
       where d.datname = $1 and s.setrole = to_regrole($1)`,
      [databaseOf('globex')],
    )
    assert.equal(row!.setting, 'search_path=""')
    // Its URL has the host and port of the pooled one, so no start-up parameter is sent to it either.
    await withPooled(kit.url, async tenancy => {
      await tenancy.runAsSystem('test', () => tenancy.migrate({ scope: 'shared' }))
      const count = () => tenancy.run('globex', () => em().count(Tag), { actor: ada })
      assert.equal(await count(), 0)
    })
    await query(serverUrl(), `alter role "${databaseOf('globex')}" in database "${databaseOf('globex')}" set search_path to tenant`)
    try {
      await withPooled(kit.url, async tenancy => {
        const refused = await refusalOf(() => tenancy.run('globex', () => em().count(Tag), { actor: ada }))
        assert.equal(refused.code, 'CONFIGURATION_INVALID')
        assert.include(refused.message, `role "${databaseOf('globex')}" in database "${databaseOf('globex')}" is tenant`)
        assert.equal(await tenancy.run('acme', () => em().count(Tag), { actor: ada }), 0)
      })
    } finally {
      await query(serverUrl(), `alter role "${databaseOf('globex')}" in database "${databaseOf('globex')}" set search_path to ''`)
    }
  })

  it('may have been made by an administrator; a role that may not make it says which statement does', async () => {
    const { role, database } = await runtimeRole('by_hand')
    const weak = `${kit.prefix}_weak`
    await query(kit.url, `create role "${weak}" login password 'of-this-test'; grant connect on database "${database}" to "${weak}"`)
    const url = withLogin(kit.url, { user: weak, password: 'of-this-test', database })
    const make = () => withDirectClient(url, client => emptySearchPathOf(client, role))
    const refused = await refusalOf(make)
    assert.equal(refused.code, 'CONFIGURATION_INVALID')
    const repair = /alter role .*/.exec(refused.hint!)![0]
    await query(serverUrl(), repair)
    await make()
    // Its own setting every role may make; one that does not exist, the pooler's business, is left alone.
    await withDirectClient(url, client => Promise.all([weak, `${kit.prefix}_nobody`].map(name => emptySearchPathOf(client, name))))
    assert.deepEqual(await query(withLogin(kit.url, { user: weak, password: 'of-this-test', database }), 'show search_path'), [
      { search_path: '""' },
    ])
    assert.equal(
      (await refusalOf(() => withDirectClient(url, client => emptySearchPathOf(client, undefined)))).code,
      'CONFIGURATION_INVALID',
    )
  })

  it('can be made by several processes at once', async () => {
    const { role } = await runtimeRole('at_once')
    await Promise.all(Array.from({ length: 8 }, () => withDirectClient(kit.url, client => emptySearchPathOf(client, role))))
  })

  it("the refusals of poolers are known by PgBouncer's words", () => {
    for (const words of ['options', 'search_path'])
      assert.equal(refusedStartUp(new Error(`unsupported startup parameter: ${words}`))?.code, 'CONFIGURATION_INVALID')
    assert.equal(refusedStartUp(new Error('unsupported startup parameter in options: search_path'))?.code, 'CONFIGURATION_INVALID')
    assert.isUndefined(refusedStartUp(new Error('unsupported startup parameter: extra_float_digits')))
    assert.isUndefined(refusedStartUp('unsupported startup parameter: options'))
  })

  it('needs a direct URL behind a pooler', async () => {
    const refused = await refusalOf(() => createTenancy({ ...kit.options, database: { url: kit.url, pooled: true } }))
    assert.equal(refused.code, 'CONFIGURATION_INVALID')
    assert.include(refused.hint!, 'DATABASE_DIRECT_URL')
  })
})
