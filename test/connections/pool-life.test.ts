/** Connections that end: by age, by idleness, by the server's hand. The next request works, and the process goes on. */
import { mkdtempSync, chmodSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from 'chai'
import { controlEm, createTenancy, em, generateKey, type TenancyOptions } from 'mikro-tenantkit'
import { removeEmbedded, startEmbedded } from '../../src/embedded/index.ts'
import { query, serverUrl } from '../helpers/postgres.ts'
import { Tag, ada, entities, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'
import { settled } from './churn.ts'

const SLUGS = ['acme', 'globex']

async function kitWith(pool: TenancyOptions['pool']): Promise<TestTenancy> {
  const kit = await testTenancy({ pool: { shared: 3, perTenant: 2, ...pool } })
  await twoTenants(kit)
  return kit
}

async function until(holds: () => boolean | Promise<boolean>, milliseconds = 8_000): Promise<boolean> {
  for (const end = Date.now() + milliseconds; Date.now() < end; await sleep(20)) if (await holds()) return true
  return false
}

describe('the life of pooled connections', function () {
  this.timeout(60_000)
  const uncaught: unknown[] = []
  const note = (error: unknown) => void uncaught.push(error)
  before(() => void process.on('uncaughtExceptionMonitor', note))
  after(() => {
    process.removeListener('uncaughtExceptionMonitor', note)
    assert.isEmpty(uncaught)
  })

  const pidIn = (kit: TestTenancy, slug: string) =>
    kit.tenancy.run(slug, async () => (await em().execute<{ pid: number }[]>('select pg_backend_pid() as pid'))[0]!.pid, { actor: ada })

  it('a connection is replaced after its longest life', async () => {
    const kit = await kitWith({ maxLifetimeSeconds: 1 })
    try {
      for (const slug of SLUGS) {
        const first = await pidIn(kit, slug)
        assert.equal(await pidIn(kit, slug), first)
        await sleep(1_200)
        assert.notEqual(await pidIn(kit, slug), first)
      }
    } finally {
      await kit[Symbol.asyncDispose]()
    }
  })

  it('idle connections are closed after their time, and counted no more', async () => {
    const kit = await kitWith({ idleMs: 150 })
    try {
      for (const slug of SLUGS) await pidIn(kit, slug)
      const open = () => kit.tenancy.stats().connections.open + kit.tenancy.stats().shared.open
      assert.isTrue(await until(() => open() === 0))
      assert.deepEqual(await settled(kit), { seen: 0, open: 0 })
      assert.deepEqual(kit.tenancy.stats().servers[new URL(serverUrl()).host] ?? 0, 0)
      assert.equal(kit.tenancy.stats().databases.open, 1, 'the pool itself stays, without a connection')
      for (const slug of SLUGS) await pidIn(kit, slug)
    } finally {
      await kit[Symbol.asyncDispose]()
    }
  })

  it('a backend that is killed while it is idle, or in use, costs at most the statement that was running', async () => {
    const kit = await kitWith({})
    try {
      for (const slug of SLUGS) {
        const kind = slug === 'acme' ? 'shared' : 'connections'
        const idle = await pidIn(kit, slug)
        await query(serverUrl(), 'select pg_terminate_backend($1)', [idle])
        await sleep(100)
        assert.notEqual(await pidIn(kit, slug), idle)
        const killed = await kit.tenancy
          .run(
            slug,
            async () => {
              await em().begin()
              const [row] = await em().execute<{ pid: number }[]>('select pg_backend_pid() as pid')
              const sleeping = em().execute('select pg_sleep(20)')
              setTimeout(() => void query(serverUrl(), 'select pg_terminate_backend($1)', [row!.pid]), 50)
              await sleeping
            },
            { actor: ada },
          )
          .then(
            () => 'survived',
            () => 'failed',
          )
        assert.equal(killed, 'failed')
        assert.equal(await kit.tenancy.run(slug, () => em().count(Tag), { actor: ada }), 0)
        assert.isTrue(await until(() => kit.tenancy.stats()[kind].inUse === 0))
      }
      const { seen, open } = await settled(kit)
      assert.equal(seen, open)
    } finally {
      await kit[Symbol.asyncDispose]()
    }
  })

  it('a server that goes away and comes back is survived', async () => {
    const folder = mkdtempSync(join(tmpdir(), `tenantkit-test-${process.pid}-restart-`))
    chmodSync(folder, 0o711)
    const start = () => startEmbedded({ dataDir: folder, settings: { fsync: 'off' } })
    let server = await start()
    const tenancy = await createTenancy({
      entities,
      database: { url: server.url },
      keys: generateKey('test'),
      migrations: { path: folder },
      pool: { shared: 2, waitMs: 5_000 },
    })
    const ask = (sql: string) => tenancy.runAsSystem('ask', () => controlEm().execute(sql))
    try {
      await tenancy.ping()
      const running = Promise.allSettled([ask('select pg_sleep(20)'), ask('select pg_sleep(20)'), sleep(100)])
      await sleep(100)
      assert.equal(tenancy.stats().shared.inUse, 2)
      await server.stop()
      const ends = (await running).map(({ status }) => status)
      assert.deepEqual(ends, ['rejected', 'rejected', 'fulfilled'])
      assert.isTrue(await until(() => tenancy.stats().shared.open === 0))
      const refused = await tenancy.ping().then(
        () => false,
        () => true,
      )
      assert.isTrue(refused)
      const { port } = new URL(server.url)
      server = await start()
      assert.equal(new URL(server.url).port, port)
      await tenancy.ping()
      assert.deepInclude(tenancy.stats().shared, { inUse: 0, open: 1, waiting: 0 })
    } finally {
      await tenancy.close()
      await until(() => Object.keys(tenancy.stats().servers).length === 0)
      await server.stop()
      await removeEmbedded({ dataDir: folder })
      rmSync(folder, { recursive: true, force: true })
    }
    assert.deepEqual(tenancy.stats().servers, {})
  })
})
