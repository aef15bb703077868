import { AsyncLocalStorage } from 'node:async_hooks'
import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { assert } from 'chai'
import { controlEm, createTenancy, em, Tenant, type Tenancy, type TenancyOptions } from 'mikro-tenantkit'
import { Client } from 'pg'
import { TENANT_CHANNEL, changedSlug } from '../../src/tenants/tenant-changes.ts'
import { query } from '../helpers/postgres.ts'
import { Author, entities, operator, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'
import { refused } from './refused.ts'

/** So long that nothing below is seen because of it. */
const FOREVER = { ttlMs: 3_600_000, negativeTtlMs: 3_600_000, maxEntries: 1_000 }

describe('the tenant directory', () => {
  let kit: TestTenancy
  const others: Tenancy[] = []

  before(async () => {
    kit = await testTenancy({ directory: FOREVER })
    await twoTenants(kit)
    await listening(kit.tenancy)
  })
  afterEach(() => Promise.all(others.splice(0).map(tenancy => tenancy.close())))
  after(() => kit[Symbol.asyncDispose]())

  const another = async (more: Partial<TenancyOptions> = {}): Promise<Tenancy> => {
    const tenancy = await createTenancy({ ...kit.options, entities, ...more })
    others.push(tenancy)
    return tenancy
  }
  const operate = (slug: string, operation: string, more = {}) => kit.asSystem(() => kit.tenancy.operate(slug, operation, more))
  const statusOf = async (slug: string, tenancy = kit.tenancy) => (await tenancy.find(slug))?.status

  describe('when warm', () => {
    for (const slug of ['acme', 'globex']) {
      it(`asks the database nothing: ${slug}`, async () => {
        await kit.tenancy.run(slug, () => em().count(Author), { actor: operator })
        assert.deepEqual(await sentDuring(() => kit.tenancy.find(slug)), [])
        assert.deepEqual(await sentDuring(() => kit.tenancy.run(slug, () => Promise.resolve())), [])
        const sent = await sentDuring(() => kit.tenancy.run(slug, () => em().count(Author), { actor: operator }))
        assert.lengthOf(sent, 1)
        assert.notMatch(sent[0]!, /tenantkit_tenant/)
      })
    }

    it('asks nothing for an unknown slug either, and never for what is no slug', async () => {
      assert.isUndefined(await kit.tenancy.find('nobody-here'))
      assert.deepEqual(await sentDuring(() => kit.tenancy.find('nobody-here')), [])
      const before = kit.tenancy.stats().directory
      for (const slug of ['', 'NO', 'a--b', '../x', "acme' or true", 'x'.repeat(1_000), 7, null]) {
        assert.deepEqual(await sentDuring(async () => assert.isUndefined(await kit.tenancy.find(slug as never))), [])
        await refused(
          kit.tenancy.run(slug as never, () => Promise.resolve()),
          'TENANT_INVALID',
        )
      }
      assert.deepEqual(kit.tenancy.stats().directory, before)
    })

    it('counts', async () => {
      const tenancy = await another()
      assert.deepEqual(tenancy.stats().directory, { hits: 0, misses: 0, entries: 0, unknown: 0, listening: false })
      await tenancy.find('acme')
      await waitFor(() => Promise.resolve(tenancy.stats().directory.listening))
      assert.deepEqual(tenancy.stats().directory, { hits: 0, misses: 1, entries: 0, unknown: 0, listening: true })
      for (const slug of ['acme', 'acme', 'acme', 'nobody', 'nobody', 'globex']) await tenancy.find(slug)
      assert.deepEqual(tenancy.stats().directory, { hits: 3, misses: 4, entries: 2, unknown: 1, listening: true })
    })
  })

  describe('when cold', () => {
    it('asks once, however many look a tenant up, and once for many tenants', async () => {
      const tenancy = await another()
      await tenancy.ping()
      await tenancy.find('nobody')
      await listening(tenancy)
      const look = async () => {
        const slugs = Array.from({ length: 64 }, (_, index) => (index < 50 ? 'acme' : index < 60 ? 'globex' : `nobody-${index}`))
        const found = await Promise.all(slugs.map(slug => statusOf(slug, tenancy)))
        assert.deepEqual(found, [...Array.from({ length: 60 }, () => 'ready'), ...Array.from({ length: 4 }, () => undefined)])
      }
      const sent = await sentDuring(look)
      assert.lengthOf(sent, 1)
      assert.deepEqual(await sentDuring(look), [])
    })

    it('gives the newest of the purged ones, and the live one before them', async () => {
      for (const name of ['first', 'second', 'third']) {
        await kit.asSystem(() => kit.tenancy.provision({ slug: 'again', name, isolation: 'schema' }))
        assert.equal((await kit.tenancy.find('again'))?.ref.name, name)
        if (name === 'third') break
        await kit.asSystem(() => kit.tenancy.archive('again'))
        await operate('again', 'purge', { confirm: 'DELETE again' })
        assert.include(await kit.tenancy.find('again'), { status: 'purged' })
        assert.equal((await kit.tenancy.find('again'))?.ref.name, name)
      }
      // Made before the purged ones, as far as the clock goes.
      await query(kit.url, `update public.tenantkit_tenant set created_at = '2001-01-01' where slug = 'again' and status = 'ready'`)
      assert.equal(await statusOf('again', await another()), 'ready')
    })

    it('keeps nothing of a row but a frozen record, and no secret in the clear', async () => {
      const record = (await kit.tenancy.find('globex'))!
      assert.isFrozen(record)
      assert.isFrozen(record.ref)
      assert.strictEqual(await kit.tenancy.find('globex'), record)
      assert.equal(Object.getPrototypeOf(record), Object.prototype)
      for (const value of [...Object.values(record), ...Object.values(record.ref)])
        if (value !== record.ref) assert.include(['string', 'undefined'], typeof value)
      assert.notMatch(JSON.stringify(record), /postgres(ql)?:/)
      assert.isString(record.connectionString)
    })

    it('does not keep an answer that was asked for before a change', async () => {
      const tenancy = await another()
      await tenancy.find('globex')
      await listening(tenancy)
      const held = holdNext(/tenantkit_tenant/)
      const early = statusOf('acme', tenancy)
      await held.reached
      await kit.asSystem(() => tenancy.operate('acme', 'suspend'))
      const late = statusOf('acme', tenancy)
      assert.equal(await late, 'suspended')
      held.release()
      assert.equal(await early, 'ready')
      assert.equal(await statusOf('acme', tenancy), 'suspended')
      await kit.asSystem(() => tenancy.operate('acme', 'resume'))
      assert.equal(await statusOf('acme', tenancy), 'ready')
    })

    it('says what the database says when it does not answer, and asks anew', async () => {
      const tenancy = await another()
      const outcome = await withQuery(
        () => () => Promise.reject(new Error('the server is away')),
        () =>
          tenancy.find('acme').then(
            () => 'found',
            (error: Error) => error.message,
          ),
      )
      assert.match(outcome, /the server is away/)
      assert.equal(await statusOf('acme', tenancy), 'ready')
    })

    it('runs in nobody’s context, and keeps nobody’s alive', async () => {
      const tenancy = await another()
      const outer = new AsyncLocalStorage<object>()
      const seen: unknown[] = []
      await withQuery(
        original =>
          function (this: unknown, ...args: unknown[]) {
            seen.push(outer.getStore())
            return original.apply(this, args)
          },
        async () => {
          // The first opens the connection and begins to listen, and the others wait for it.
          await outer.run({ a: 'request' }, () => Promise.all(Array.from({ length: 20 }, (_, index) => tenancy.find(`nobody-${index}`))))
          await listening(tenancy)
        },
      )
      assert.isAtLeast(seen.length, 2)
      assert.deepEqual(seen, Array.from({ length: seen.length }))
    })

    it('survives a flood of unknown slugs: few queries, and a bounded memory', async function () {
      this.timeout(60_000)
      const tenancy = await another()
      await tenancy.find('acme')
      await listening(tenancy)
      await tenancy.find('acme')
      const flood = async (from: number, to: number) => {
        for (let wave = from; wave < to; wave += 5_000)
          await Promise.all(Array.from({ length: 5_000 }, (_, index) => tenancy.find(`nobody-${wave + index}`)))
      }
      await flood(0, 5_000)
      const before = heap()
      const sent = await sentDuring(() => flood(5_000, 105_000))
      const grown = heap() - before
      const { unknown, entries } = tenancy.stats().directory
      assert.isAtMost(sent.length, 100_000 / 500)
      assert.isAtMost(unknown, FOREVER.maxEntries)
      assert.equal(entries, 1, 'what is known is not driven out by what is not')
      assert.isBelow(grown, 4_000_000)
      assert.deepEqual(await sentDuring(() => tenancy.find('acme')), [])
    })
  })

  describe('after a change in this process', () => {
    it('knows of it before the operation has answered', async () => {
      const steps: readonly (readonly [string, () => Promise<unknown>])[] = [
        ['suspended', () => operate('acme', 'suspend')],
        ['archived', () => kit.asSystem(() => kit.tenancy.archive('acme'))],
        ['suspended', () => operate('acme', 'restore')],
        ['ready', () => operate('acme', 'resume')],
      ]
      // Without its own notifications: they come a moment later, and are not what this relies on.
      await deaf(async () => {
        for (const [status, work] of steps) {
          await kit.tenancy.find('acme')
          await work()
          assert.equal(await statusOf('acme'), status)
          const run = () => kit.tenancy.run('acme', () => Promise.resolve())
          if (status === 'ready') await run()
          else await refused(run, status === 'suspended' ? 'TENANT_SUSPENDED' : 'TENANT_ARCHIVED')
        }
      })
    })

    it('finds a tenant that was unknown a moment before, and says of each status what is true', async () => {
      const seen: unknown[] = []
      const tenancy = await another({ seed: async () => void seen.push(await statusOf('fresh', tenancy)) })
      assert.isUndefined(await statusOf('fresh', tenancy))
      await kit.asSystem(() => tenancy.provision({ slug: 'fresh', name: 'F', isolation: 'schema' }))
      assert.equal(await statusOf('fresh', tenancy), 'ready')
      assert.deepEqual(seen, ['provisioning'])
      const failing = await another({ seed: () => Promise.reject(new Error('no seed today')) })
      assert.isUndefined(await statusOf('fails', failing))
      const outcome = await kit
        .asSystem(() => failing.provision({ slug: 'fails', name: 'F', isolation: 'schema' }))
        .catch((error: Error) => error.message)
      assert.match(String(outcome), /no seed today/)
      assert.equal(await statusOf('fails', failing), 'failed')
    })

    it('reads the registry itself for what the registry shows and does', async () => {
      await kit.tenancy.find('globex')
      await query(kit.url, `update public.tenantkit_tenant set name = 'By hand' where slug = 'globex'`)
      assert.equal((await kit.tenancy.find('globex'))?.ref.name, 'Globex', 'nobody told the directory')
      assert.equal((await kit.tenancy.showTenant('globex')).name, 'By hand')
      assert.equal((await kit.tenancy.listTenants({ search: 'By hand' })).items.length, 1)
      await query(kit.url, `update public.tenantkit_tenant set status = 'suspended' where slug = 'globex'`)
      await operate('globex', 'resume')
      assert.deepInclude(await kit.tenancy.find('globex'), { status: 'ready' })
      assert.equal((await kit.tenancy.find('globex'))?.ref.name, 'By hand')
    })
  })

  describe('what is told', () => {
    const heard: string[] = []
    let ear: Client

    before(async () => {
      ear = new Client({ connectionString: kit.url })
      await ear.connect()
      ear.on('notification', ({ payload }) => void heard.push(payload ?? ''))
      await ear.query(`listen ${TENANT_CHANNEL}`)
    })
    beforeEach(() => void heard.splice(0))
    after(() => ear.end())

    /** What was told up to now: a notification of our own comes after all that was committed before. */
    const toldUntilNow = async (): Promise<unknown[]> => {
      await ear.query(`notify ${TENANT_CHANNEL}, 'end'`)
      while (!heard.includes('end')) await sleep(2)
      return heard.splice(0, heard.indexOf('end') + 1).slice(0, -1)
    }

    it('is the tenant, by id and slug, and nothing else', async () => {
      const { id } = await kit.tenancy.showTenant('acme')
      await operate('acme', 'suspend')
      await operate('acme', 'resume')
      assert.deepEqual(
        (await toldUntilNow()).map(text => JSON.parse(String(text)) as unknown),
        [
          { id, slug: 'acme' },
          { id, slug: 'acme' },
        ],
      )
    })

    it('is told when the change commits, and never when it does not', async () => {
      const rename = async (control: ReturnType<typeof controlEm>, name: string) => {
        const row = await control.findOneOrFail(Tenant, { slug: 'acme' })
        row.name = name
        await control.flush()
      }
      await kit.asSystem(async () => {
        await controlEm()
          .transactional(async control => {
            await rename(control as never, 'Never')
            throw new Error('rolled back')
          })
          .catch(() => undefined)
        assert.deepEqual(await toldUntilNow(), [])
        await controlEm().transactional(async control => {
          await rename(control as never, 'Later')
          assert.deepEqual(await toldUntilNow(), [])
        })
        assert.lengthOf(await toldUntilNow(), 1)
      })
      await waitFor(async () => (await kit.tenancy.find('acme'))?.ref.name === 'Later')
    })

    it('is every change that a record is made from, and no other', async () => {
      await kit.asSystem(() => kit.tenancy.updateTenant('acme', { metadata: { note: 'x' } }))
      assert.deepEqual(await toldUntilNow(), [])
      await kit.asSystem(() => kit.tenancy.updateTenant('acme', { name: 'Acme the Second' }))
      assert.lengthOf(await toldUntilNow(), 1)
      await kit.asSystem(async () => {
        const row = await controlEm().findOneOrFail(Tenant, { slug: 'acme' })
        const { name, isolationMode, provisioningMode, schemaName } = row
        const copy = { slug: 'upserted', name, isolationMode, provisioningMode, schemaName: `${schemaName!}_x` }
        await controlEm().upsert(Tenant, copy as never, { onConflictFields: ['id'] })
        const control = controlEm()
        control.create(Tenant, {
          ...copy,
          slug: 'created',
          schemaName: `${schemaName!}_y`,
          metadata: {},
          status: 'pending',
          createdResources: [],
        } as never)
        await control.flush()
      })
      assert.lengthOf(await toldUntilNow(), 2)
    })

    it('clears everything when it is not understood', async () => {
      for (const payload of ['', 'x', 'null', '7', '{}', '{"slug":7}', `{"slug":"acme' or true"}`]) {
        assert.isUndefined(changedSlug(payload))
        // What was told before may still be on its way.
        await waitFor(async () => {
          await kit.tenancy.find('acme')
          return (await sentDuring(() => kit.tenancy.find('acme'))).length === 0
        })
        await query(kit.url, 'select pg_notify($1, $2)', [TENANT_CHANNEL, payload])
        await waitFor(() => Promise.resolve(kit.tenancy.stats().directory.entries === 0))
      }
      assert.equal(changedSlug('{"id":"1","slug":"acme"}'), 'acme')
    })
  })

  describe('with other options', () => {
    it('asks each time, and does not listen, with ttlMs 0', async () => {
      const tenancy = await another({ directory: { ttlMs: 0 } })
      await tenancy.find('acme')
      assert.lengthOf(await sentDuring(() => tenancy.find('acme')), 1)
      await query(kit.url, `update public.tenantkit_tenant set status = 'suspended' where slug = 'acme'`)
      assert.equal(await statusOf('acme', tenancy), 'suspended')
      await query(kit.url, `update public.tenantkit_tenant set status = 'ready' where slug = 'acme'`)
      assert.equal(await statusOf('acme', tenancy), 'ready')
      await sleep(100)
      assert.deepInclude(tenancy.stats().directory, { entries: 0, unknown: 0, hits: 0, listening: false })
    })

    it('asks again when the time is over', async () => {
      const tenancy = await another({ directory: { ttlMs: 150, negativeTtlMs: 50 } })
      for (const slug of ['acme', 'nobody']) await tenancy.find(slug)
      await listening(tenancy)
      for (const slug of ['acme', 'nobody']) await tenancy.find(slug)
      await sleep(60)
      assert.deepEqual(await sentDuring(() => tenancy.find('acme')), [])
      assert.lengthOf(await sentDuring(() => tenancy.find('nobody')), 1)
      await sleep(100)
      assert.lengthOf(await sentDuring(() => tenancy.find('acme')), 1)
    })

    it('trusts nothing for longer than a second while it hears nothing', async () => {
      const tenancy = await another({ database: { url: kit.url, directUrl: 'postgresql://nobody@127.0.0.1:1/none' } })
      await tenancy.find('acme')
      await tenancy.find('nobody')
      assert.deepEqual(await sentDuring(() => Promise.all([tenancy.find('acme'), tenancy.find('nobody')])), [])
      await sleep(1_050)
      assert.isFalse(tenancy.stats().directory.listening)
      assert.lengthOf(await sentDuring(() => Promise.all([tenancy.find('acme'), tenancy.find('nobody')])), 1)
    })

    it('listens no more when it is closed', async () => {
      const tenancy = await another()
      await tenancy.find('acme')
      await listening(tenancy)
      const ears = () =>
        query(
          kit.url,
          `select 1 from pg_stat_activity where application_name = 'mikro-tenantkit listener' and datname = current_database()`,
        )
      const before = (await ears()).length
      await tenancy.close()
      others.splice(0)
      await waitFor(async () => (await ears()).length === before - 1)
      await tenancy.find('acme').catch(() => undefined)
      await sleep(50)
      assert.lengthOf(await ears(), before - 1)
    })
  })
})

type Query = (...args: unknown[]) => unknown
const prototype = Client.prototype as unknown as { query: Query; emit?: (name: string, ...args: unknown[]) => boolean }

/** Runs work with another `query` in every connection. */
async function withQuery<T>(make: (original: Query) => Query, work: () => Promise<T>): Promise<T> {
  const original = prototype.query
  prototype.query = make(original)
  try {
    return await work()
  } finally {
    prototype.query = original
  }
}

/** What is sent to PostgreSQL. */
async function sentDuring(work: () => Promise<unknown>): Promise<string[]> {
  const sent: string[] = []
  const note = (original: Query): Query =>
    function (this: unknown, ...args: unknown[]) {
      sent.push(textOf(args))
      return original.apply(this, args)
    }
  await withQuery(note, work)
  return sent
}

/** Holds the answer of the next matching query back. */
function holdNext(pattern: RegExp): { readonly reached: Promise<void>; readonly release: () => void } {
  const original = prototype.query
  let release!: () => void
  const released = new Promise<void>(resolve => (release = resolve))
  const reached = new Promise<void>(resolve => {
    prototype.query = function (this: unknown, ...args: unknown[]) {
      if (!pattern.test(textOf(args))) return original.apply(this, args)
      prototype.query = original
      return (original.apply(this, args) as Promise<unknown>).then(async answer => {
        resolve()
        await released
        return answer
      })
    }
  })
  return { reached, release }
}

function textOf([query]: readonly unknown[]): string {
  return typeof query === 'string' ? query : String((query as { text?: string }).text)
}

/** Runs work while no connection of this process hears a notification. */
async function deaf(work: () => Promise<void>): Promise<void> {
  prototype.emit = function (this: EventEmitter, name, ...args) {
    return name === 'notification' || EventEmitter.prototype.emit.call(this, name, ...args)
  }
  try {
    await work()
  } finally {
    delete prototype.emit
  }
}

async function listening(tenancy: Tenancy): Promise<void> {
  if (!tenancy.stats().directory.listening) await tenancy.find('acme')
  await waitFor(() => Promise.resolve(tenancy.stats().directory.listening))
}

async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 5_000
  while (!(await condition())) {
    assert.isBelow(performance.now(), end, `in vain waited for ${String(condition)}`)
    await sleep(2)
  }
}

function heap(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().heapUsed
}
