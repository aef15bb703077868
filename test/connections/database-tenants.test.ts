import { setTimeout } from 'node:timers/promises'
import { assert } from 'chai'
import { em, newId } from 'mikro-tenantkit'
import { GuardedConnection } from '../../src/connections/guarded-connection.ts'
import { withDatabase, withLogin } from '../../src/connections/settings.ts'
import { connectedDatabases } from '../helpers/pooler.ts'
import { databaseUrl, query, serverUrl } from '../helpers/postgres.ts'
import { Author, Tag, ada, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'

let kit: TestTenancy

const inTenant = <T>(slug: string, work: () => Promise<T>) => kit.tenancy.run(slug, work, { actor: ada })
const databaseOf = (slug: string) => `${kit.prefix}_${slug.replaceAll('-', '_')}`

async function codeOf(work: () => unknown): Promise<string | undefined> {
  try {
    await work()
    return undefined
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).message
  }
}

/** A tenant's own role under a password of ours. */
async function loginOf(slug: string, database: string): Promise<string> {
  await query(serverUrl(), `alter role "${databaseOf(slug)}" password 'of-this-test'`)
  return withLogin(serverUrl(), { user: databaseOf(slug), password: 'of-this-test', database })
}

/** What stands behind the connection of a run: one for all runs of a tenant. */
const connectionOf = (manager: object) => (manager as unknown as { getDriver(): { connection: GuardedConnection } }).getDriver().connection

describe('tenants with databases of their own', () => {
  before(async () => {
    // Opening a connection through a pooler has to fit into it on a slow machine as well.
    kit = await testTenancy({ pool: { maxTenants: 2, perTenant: 2, shared: 4, waitMs: 3_000 } })
    await twoTenants(kit)
    await kit.asSystem(async () => {
      await kit.tenancy.provision({ slug: 'hooli', name: 'Hooli', isolation: 'database' })
      await kit.tenancy.provision({ slug: 'pied-piper', name: 'Pied Piper', isolation: 'database' })
    })
  })
  after(() => kit[Symbol.asyncDispose]())

  it('S28: a warm request opens no connection, and no more pools are open than allowed', async () => {
    await inTenant('globex', () => em().count(Tag))
    const { opened } = kit.tenancy.stats().databases
    for (let index = 0; index < 20; index++) await inTenant('globex', () => em().count(Tag))
    assert.equal(kit.tenancy.stats().databases.opened, opened)
    for (const slug of ['globex', 'hooli', 'pied-piper', 'globex', 'hooli']) {
      await inTenant(slug, () => em().count(Tag))
      assert.isAtMost(kit.tenancy.stats().databases.open, 2)
    }
    assert.deepInclude(kit.tenancy.stats().databases, { inUse: 0, waiting: 0 })
  })

  it('a run waits for a slot, is refused with POOL_EXHAUSTED, and schema tenants go on', async () => {
    let leave!: () => void
    const held = new Promise<void>(resolve => (leave = resolve))
    const holders: Promise<void>[] = []
    for (const slug of ['globex', 'hooli']) {
      await new Promise<void>(entered => {
        holders.push(
          inTenant(slug, () => {
            entered()
            return held
          }),
        )
      })
    }
    assert.equal(await codeOf(() => inTenant('pied-piper', () => em().count(Tag))), 'POOL_EXHAUSTED')
    assert.equal(await inTenant('acme', () => em().count(Tag)), 0)
    const waiting = inTenant('pied-piper', () => em().count(Tag))
    leave()
    assert.equal(await waiting, 0)
    await Promise.all(holders)
    assert.equal(kit.tenancy.stats().leases, 0)
  })

  it('a pool that served transactions alone is closed with its connections, before they would be idle for too long', async () => {
    for (const slug of ['globex', 'hooli', 'pied-piper', 'globex'])
      await inTenant(slug, () => em().transactional(manager => manager.count(Tag)))
    const { connections } = kit.tenancy.stats()
    for (const end = Date.now() + 3_000; kit.tenancy.stats().connections.open > 2 && Date.now() < end;) await setTimeout(20)
    assert.isAtMost(kit.tenancy.stats().connections.open, 2, JSON.stringify(connections))
  })

  it('a connection that was closed refuses, and never reaches the control database', async () => {
    const { connection, manager } = await inTenant('globex', async () => {
      await em().count(Tag)
      return { connection: connectionOf(em()), manager: em() }
    })
    assert.instanceOf(connection, GuardedConnection)
    assert.isFalse(connection.closed)
    for (const slug of ['hooli', 'pied-piper']) await inTenant(slug, () => em().count(Tag))
    assert.isTrue(connection.closed)
    for (const work of [
      () => connection.execute('select current_database()'),
      () => connection.executeDump('select 1'),
      () => connection.getClient(),
      () => connection.connect(),
      () => connection.ensureConnection(),
      () => connection.prepareQuery('select 1'),
    ]) {
      assert.equal(await codeOf(work), 'CONNECTION_CLOSED')
    }
    assert.equal(await codeOf(() => manager.find(Tag, {})), 'NO_TENANT_CONTEXT')
    await inTenant('globex', async () => {
      const [row] = await em().execute<{ name: string }[]>('select current_database() as name')
      assert.equal(row!.name, databaseOf('globex'))
    })
  })

  it('S28: after a rotation of the credentials the new ones are used, and the runs that go on are not cut off', async () => {
    await inTenant('hooli', async () => {
      const old = connectionOf(em())
      await em().count(Tag)
      const url = await loginOf('hooli', databaseOf('hooli'))
      await kit.asSystem(() => kit.tenancy.updateTenant('hooli', { connectionString: url }))
      assert.equal(await em().count(Tag), 0)
      assert.isFalse(old.closed)
      await inTenant('hooli', async () => {
        assert.notEqual(connectionOf(em()), old)
        await em().count(Tag)
      })
    })
    assert.equal(kit.tenancy.stats().leases, 0)
    // A string that leads elsewhere is refused, and nothing else is tried instead: no such database, and another tenant's.
    const login = { user: databaseOf('hooli'), password: 'wrong', database: 'no_such_database' }
    for (const elsewhere of [withLogin(serverUrl(), login), withDatabase(serverUrl(), databaseOf('globex')), kit.url]) {
      const change = () => kit.asSystem(() => kit.tenancy.updateTenant('hooli', { connectionString: elsewhere }))
      assert.equal(await codeOf(change), 'VALIDATION_FAILED')
    }
    assert.equal(await inTenant('hooli', () => em().count(Tag)), 0)
  })

  it('S28: a request that read its tenant before a rotation does not bring the old connection back', async () => {
    const old = (await kit.tenancy.find('pied-piper'))!
    await inTenant('pied-piper', () => em().count(Tag))
    const url = await loginOf('pied-piper', databaseOf('pied-piper'))
    await kit.asSystem(() => kit.tenancy.updateTenant('pied-piper', { connectionString: url }))
    await inTenant('pied-piper', async () => {
      const inForce = connectionOf(em())
      const { opened } = kit.tenancy.stats().databases
      await Promise.all(
        Array.from({ length: 5 }, () =>
          kit.tenancy.runInTenant(old, async () => assert.equal(connectionOf(em()), inForce), { actor: ada }),
        ),
      )
      assert.equal(kit.tenancy.stats().databases.opened, opened)
    })
  })

  it('S27: saving a name drops no live connection, and two workers never provision one tenant', async () => {
    await inTenant('globex', async () => {
      const { opened } = kit.tenancy.stats().databases
      await kit.asSystem(() => kit.tenancy.updateTenant('globex', { name: 'Globex Inc.' }))
      assert.equal(await em().count(Tag), 0)
      await inTenant('globex', () => em().count(Tag))
      assert.equal(kit.tenancy.stats().databases.opened, opened)
    })
    const provision = () => kit.asSystem(() => kit.tenancy.provision({ slug: 'twice', name: 'Twice', isolation: 'schema' }))
    const codes = await Promise.all([codeOf(provision), codeOf(provision), codeOf(provision)])
    assert.equal(codes.filter(code => code === undefined).length, 1, codes.join())
    for (const code of codes) assert.include([undefined, 'SLUG_TAKEN', 'OPERATION_CONFLICT'], code)
  })

  it("S21: a tenant's role connects to its own database and to no other", async () => {
    const connects = async (database: string) => codeOf(async () => query(await loginOf('hooli', database), 'select 1'))
    assert.isUndefined(await connects(databaseOf('hooli')))
    const control = new URL(kit.url).pathname.slice(1)
    for (const database of [control, databaseOf('globex'), databaseOf('pied-piper'), 'postgres', 'template1']) {
      assert.equal(await connects(database), '42501', database)
    }
    const templates = await query<{ name: string }>(
      serverUrl(),
      'select datname as name from pg_database where starts_with(datname, $1) and datistemplate',
      [`${kit.prefix}__`],
    )
    assert.isNotEmpty(templates)
    // 55000: not currently accepting connections.
    for (const { name } of templates) assert.include(['42501', '55000'], await connects(name))
  })

  it("S21: a tenant's role uses its tables, sequences and what comes later, and owns nothing", async () => {
    await query(
      databaseUrl(databaseOf('hooli')),
      'create table tenant.later (id serial primary key, text text); create sequence tenant.numbers',
    )
    const login = await loginOf('hooli', databaseOf('hooli'))
    const rows = await query(login, `insert into tenant.later (text) values ('a') returning id, nextval('tenant.numbers') as number`)
    assert.deepEqual(rows, [{ id: 1, number: '1' }])
    assert.equal(await codeOf(() => query(login, 'update tenant.later set text = null; delete from tenant.later')), undefined)
    for (const sql of [
      'drop table tenant.later',
      'create table tenant.own ()',
      'create table public.own ()',
      'create schema own',
      'create database own',
      'create role own',
      'set role postgres',
      `grant all on schema tenant to public`,
      'truncate tenant.later',
    ]) {
      const code = await codeOf(() => query(login, sql))
      if (sql.startsWith('grant')) continue
      assert.equal(code, '42501', sql)
    }
    await query(databaseUrl(databaseOf('hooli')), 'drop table tenant.later; drop sequence tenant.numbers')
  })

  it('S3: no session state stays on a pooled connection', async () => {
    for (const slug of ['acme', 'globex']) {
      await inTenant(slug, async () => {
        em().create(Author, { name: 'state' })
        await em().flush()
        await codeOf(() => em().transactional(manager => manager.execute('select 1/0')))
        await em().transactional(manager => manager.count(Author))
      })
      const shown = await inTenant(slug, () =>
        Promise.all(
          Array.from({ length: 4 }, () =>
            em().execute<{ path: string; role: string; own: string }[]>(
              `select current_setting('search_path') as path, current_user as role, session_user as own, pg_sleep(0.01)`,
            ),
          ),
        ),
      )
      for (const [row] of shown) {
        assert.include(['', '""'], row!.path)
        assert.equal(row!.role, row!.own)
      }
    }
    await kit.asSystem(() => inTenant('acme', async () => assert.equal(await em().count(Author), 1)))
  })

  it('S3: a statement that would leave something in the session is not sent', async () => {
    for (const slug of ['acme', 'globex']) {
      for (const sql of [
        `set search_path to "${kit.prefix}_acme"`,
        '\n SET SESSION timezone to 1',
        "set time zone 'UTC'",
        'reset all',
        'discard all',
        'listen x',
        'prepare x as select 1',
      ]) {
        const dump = () => (em().getConnection() as unknown as { executeDump(sql: string): Promise<void> }).executeDump(sql)
        for (const send of [() => em().execute(sql), () => em().transactional(manager => manager.execute(sql)), dump])
          assert.equal(await codeOf(() => inTenant<unknown>(slug, send)), 'SQL_REFUSED', sql)
      }
      await inTenant(slug, () =>
        em().transactional(async manager => {
          await manager.execute('set local statement_timeout = 5000')
          await manager.execute('set transaction read only')
          await manager.execute('set constraints all immediate')
        }),
      )
    }
  })

  it('closing the tenancy closes every connection to every database', async () => {
    const own = await testTenancy()
    try {
      await twoTenants(own)
      for (const slug of ['acme', 'globex']) await own.tenancy.run(slug, () => em().insert(Tag, row()), { actor: ada })
      await own.tenancy.close()
      // A backend is listed for a moment after its client has gone.
      const left = () => connectedDatabases([new URL(own.url).pathname.slice(1), `${own.prefix}_globex`])
      for (let tries = 0; tries < 500 && (await left()).length > 0; tries++) await setTimeout(20)
      assert.isEmpty(await left())
      assert.isDefined(await codeOf(() => own.tenancy.run('globex', () => em().count(Tag))))
    } finally {
      await own[Symbol.asyncDispose]()
    }
  })
})

const row = () => ({ id: newId(), label: 'x', createdAt: new Date(), createdBy: 'test', updatedAt: new Date(), updatedBy: 'test' })
