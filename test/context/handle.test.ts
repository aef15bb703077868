import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from 'chai'
import { currentActor, currentContext, em, type TenantHandle } from 'mikro-tenantkit'
import { Tag, ada, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'

let kit: TestTenancy

async function codeOf(work: () => unknown): Promise<string | undefined> {
  try {
    await work()
    return undefined
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).message
  }
}

describe('a tenant held open', () => {
  before(async () => {
    kit = await testTenancy()
    await twoTenants(kit)
  })
  after(() => kit?.[Symbol.asyncDispose]())
  afterEach(() => assert.equal(kit.tenancy.stats().leases, 0))

  for (const slug of ['acme', 'globex']) {
    it(`has one EntityManager and one lease for all its runs, and none afterwards, in ${slug}`, async () => {
      let kept: TenantHandle
      {
        await using handle = await kit.tenancy.open(slug, { actor: ada })
        kept = handle
        assert.equal(handle.tenant.slug, slug)
        assert.isUndefined(currentContext())
        const first = await handle.run(async () => {
          em().create(Tag, { label: 'held' })
          await em().flush()
          assert.equal(currentActor(), ada)
          return em()
        })
        assert.equal(kit.tenancy.stats().leases, 1)
        assert.isUndefined(currentContext())
        await handle.run(async () => assert.equal(em(), first))
        assert.equal(await codeOf(() => handle.run(() => Promise.reject(new Error('thrown')))), 'thrown')
        await handle.run(async () => assert.equal(await em().count(Tag, { label: 'held' }), 1))
        // Between the runs there is no context: the EntityManager refuses.
        assert.equal(await codeOf(() => first.count(Tag)), 'NO_TENANT_CONTEXT')
      }
      assert.equal(kit.tenancy.stats().leases, 0)
      assert.equal(await codeOf(() => kept.run(async () => 1)), 'NO_TENANT_CONTEXT')
      await kept[Symbol.asyncDispose]()
      await kept[Symbol.asyncDispose]()
      assert.equal(kit.tenancy.stats().leases, 0)
    })

    it(`rolls back what is open when it is disposed, also by a throw, in ${slug}`, async () => {
      const scope = async () => {
        await using handle = await kit.tenancy.open(slug, { actor: ada })
        await handle.run(async () => {
          await em().begin()
          em().create(Tag, { label: 'open' })
          await em().flush()
        })
        throw new Error('thrown')
      }
      assert.equal(await codeOf(scope), 'thrown')
      await kit.tenancy.run(slug, async () => assert.equal(await em().count(Tag, { label: 'open' }), 0))
    })

    it(`ends a run that is in flight when it is disposed, in ${slug}`, async () => {
      const handle = await kit.tenancy.open(slug, { actor: ada })
      const slow = codeOf(() => handle.run(() => em().execute('select pg_catalog.pg_sleep(30)')))
      let go = (): void => undefined
      const waiting = codeOf(() =>
        handle.run(async () => {
          await new Promise<void>(resolve => (go = resolve))
          await em().count(Tag)
        }),
      )
      await sleep(200)
      const started = Date.now()
      await handle[Symbol.asyncDispose]()
      assert.equal(kit.tenancy.stats().leases, 0)
      go()
      assert.equal(await slow, 'RUN_ABORTED')
      assert.equal(await waiting, 'RUN_ABORTED')
      assert.isBelow(Date.now() - started, 5000)
    })
  }

  it('keeps to itself beside a run of another tenant', async () => {
    await using acme = await kit.tenancy.open('acme', { actor: ada })
    await kit.tenancy.run('globex', async () => {
      await acme.run(async () => assert.equal(currentContext()?.tenant?.slug, 'acme'))
      assert.equal(currentContext()?.tenant?.slug, 'globex')
    })
  })

  it('is not opened for a tenant that does not serve', async () => {
    assert.equal(await codeOf(() => kit.tenancy.open('nobody')), 'TENANT_NOT_FOUND')
    assert.equal(await codeOf(() => kit.tenancy.open('NOT A SLUG')), 'TENANT_INVALID')
  })

  for (const isolation of ['schema', 'database'] as const) {
    const slug = `again-${isolation}`
    const operate = (operation: string) => kit.asSystem(() => kit.tenancy.operate(slug, operation, { confirm: `DELETE ${slug}` }))
    const provision = () => kit.asSystem(() => kit.tenancy.provision({ slug, name: 'Again', isolation }))

    it(`looks again, for each run, whether its tenant serves, by ${isolation}`, async () => {
      await provision()
      await using handle = await kit.tenancy.open(slug, { actor: ada })
      assert.equal(await handle.run(() => em().count(Tag)), 0)
      await operate('suspend')
      assert.equal(await codeOf(() => handle.run(() => em().count(Tag))), 'TENANT_SUSPENDED')
      await operate('resume')
      assert.equal(await handle.run(() => em().count(Tag)), 0)
    })

    it(`never reads the tenant that has the slug of its own afterwards, by ${isolation}`, async () => {
      const handle = await kit.tenancy.open(slug, { actor: ada })
      let purged: (() => void) | undefined
      const isPurged = new Promise<void>(resolve => (purged = resolve))
      const underway = codeOf(() =>
        kit.tenancy.run(slug, async () => {
          await isPurged
          return em().find(Tag, {})
        }),
      )
      await kit.asSystem(() => kit.tenancy.archive(slug))
      await operate('purge')
      await provision()
      await kit.tenancy.run(
        slug,
        () =>
          em()
            .persist(em().create(Tag, { label: 'of another tenant' }))
            .flush(),
        { actor: ada },
      )
      purged!()
      assert.equal(await underway, 'RUN_ABORTED')
      assert.equal(await codeOf(() => handle.run(() => em().find(Tag, {}))), 'NO_TENANT_CONTEXT')
      await handle[Symbol.asyncDispose]()
    })
  }

  it('says so and gives the lease back when nobody can dispose it any more', async () => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const warnings: string[] = []
    const listen = (warning: Error & { code?: string }) => void warnings.push(String(warning.code))
    process.on('warning', listen)
    try {
      await (async () => void (await kit.tenancy.open('acme')))()
      assert.equal(kit.tenancy.stats().leases, 1)
      for (let tries = 0; tries < 100 && kit.tenancy.stats().leases > 0; tries++) {
        collect()
        await sleep(10)
      }
      await sleep(10)
      assert.equal(kit.tenancy.stats().leases, 0)
      assert.deepEqual(warnings, ['TENANTKIT_HANDLE_FORGOTTEN'])
    } finally {
      process.off('warning', listen)
    }
  })
})

describe('the signal of a run', () => {
  before(async () => {
    kit = await testTenancy()
    await twoTenants(kit)
  })
  after(() => kit?.[Symbol.asyncDispose]())

  for (const slug of ['acme', 'globex']) {
    it(`aborts it, in ${slug}`, async () => {
      const stop = new AbortController()
      const run = kit.tenancy.run(
        slug,
        () =>
          em().transactional(async () => {
            await em().insert(Tag, {
              id: crypto.randomUUID(),
              label: 'stopped',
              createdAt: new Date(),
              createdBy: 'x',
              updatedAt: new Date(),
              updatedBy: 'x',
            })
            await em().execute('select pg_catalog.pg_sleep(30)')
          }),
        { actor: ada, signal: stop.signal },
      )
      setTimeout(() => stop.abort(), 200)
      assert.equal(await codeOf(() => run), 'RUN_ABORTED')
      assert.equal(kit.tenancy.stats().leases, 0)
      await kit.tenancy.run(slug, async () => assert.equal(await em().count(Tag, { label: 'stopped' }), 0))
      // One that has fired already opens nothing.
      assert.equal(await codeOf(() => kit.tenancy.run(slug, async () => 1, { signal: stop.signal })), 'RUN_ABORTED')
    })
  }

  it('fires late without effect', async () => {
    const stop = new AbortController()
    assert.equal(await kit.tenancy.run('acme', async () => 1, { signal: stop.signal }), 1)
    stop.abort()
    assert.equal(kit.tenancy.stats().leases, 0)
  })

  it('a run that ended may be followed by runs that it started and did not await', async () => {
    let later: Promise<number> | undefined
    await kit.tenancy.run('acme', async () => {
      later = sleep(20).then(() => kit.tenancy.run('globex', () => em().count(Tag)))
    })
    assert.equal(await later, 0)
  })
})
