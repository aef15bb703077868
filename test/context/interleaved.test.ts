import { AsyncResource } from 'node:async_hooks'
import { EventEmitter, on } from 'node:events'
import { Readable, Transform, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setImmediate as immediate, setInterval as every, setTimeout as sleep } from 'node:timers/promises'
import { assert } from 'chai'
import { bindContext, currentContext, em, newId } from 'mikro-tenantkit'
import { Author, Book, Tag, ada, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'

let kit: TestTenancy

const SLUGS = ['acme', 'globex'] as const
const active = () => currentContext()?.tenant?.slug ?? 'none'
const inTenant = <T>(slug: string, work: () => Promise<T>) => kit.tenancy.run(slug, work, { actor: ada })
/** Whose rows are read here. */
const owner = async () => [...new Set((await em().find(Tag, {})).map(tag => tag.label.split(' ')[0]!))].join()

async function codeOf(work: () => unknown): Promise<string> {
  try {
    await work()
    return 'nothing was thrown'
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).message
  }
}

/** Runs the same work in both tenants, eight times each, all at once. */
async function interleaved(work: (slug: string) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: 16 }, (_, index) => inTenant(SLUGS[index % 2]!, () => work(SLUGS[index % 2]!))))
  assert.equal(kit.tenancy.stats().leases, 0)
}

describe('the context, interleaved', function () {
  this.timeout(60_000)
  before(async () => {
    kit = await testTenancy()
    await twoTenants(kit)
    for (const slug of SLUGS) {
      await inTenant(slug, async () => {
        for (let index = 0; index < 5; index++) em().create(Tag, { label: `${slug} ${index}` })
        em().create(Book, { title: slug, author: em().create(Author, { name: slug }) })
        await em().flush()
      })
    }
  })
  after(() => kit?.[Symbol.asyncDispose]())

  const ways: Readonly<Record<string, () => Promise<string>>> = {
    setTimeout: () => new Promise((resolve, reject) => setTimeout(() => void owner().then(resolve, reject), 1)),
    setImmediate: () => new Promise((resolve, reject) => setImmediate(() => void owner().then(resolve, reject))),
    queueMicrotask: () => new Promise((resolve, reject) => queueMicrotask(() => void owner().then(resolve, reject))),
    'process.nextTick': () => new Promise((resolve, reject) => process.nextTick(() => void owner().then(resolve, reject))),
    setInterval: () =>
      new Promise((resolve, reject) => {
        const timer = setInterval(() => {
          clearInterval(timer)
          owner().then(resolve, reject)
        }, 1)
      }),
    'timers/promises': async () => {
      for await (const _ of every(1)) break
      await immediate()
      return sleep(1).then(owner)
    },
    'Promise.all, race, any and allSettled': async () => {
      const [first] = await Promise.all([owner(), sleep(1)])
      const second = await Promise.race([owner(), sleep(5000, '', { ref: false })])
      const third = await Promise.any([owner(), Promise.reject(new Error('no'))])
      const [fourth] = await Promise.allSettled([owner()])
      return [...new Set([first, second, third, (fourth as { value: string }).value])].join()
    },
    'a thenable': async () => {
      // oxlint-disable-next-line unicorn/no-thenable -- what is tried here
      const thenable = { then: (resolve: (value: unknown) => void) => void setTimeout(resolve, 1) }
      await (thenable as unknown as Promise<unknown>)
      return owner()
    },
    'Readable.from, Transform and pipeline': async () => {
      const seen = new Set<string>()
      const map = new Transform({
        objectMode: true,
        transform: (tag: { label: string }, _encoding, done) =>
          // oxlint-disable-next-line promise/no-callback-in-promise -- a stream has no other way
          void owner().then(found => done(null, `${tag.label.split(' ')[0]}|${found}`), done),
      })
      const sink = new Writable({
        objectMode: true,
        write: (chunk: string, _encoding, done) => {
          seen.add(chunk)
          setImmediate(done)
        },
      })
      await pipeline(Readable.from(em().stream(Tag, {})), map, sink)
      const [one = '', ...others] = [...seen]
      return others.length > 0 || one.split('|')[0] !== one.split('|')[1] ? [...seen].join() : one.split('|')[0]!
    },
    'events.on': async () => {
      const emitter = new EventEmitter()
      setTimeout(() => emitter.emit('row'), 1)
      for await (const _ of on(emitter, 'row')) break
      return owner()
    },
    AsyncResource: () => {
      class Job extends AsyncResource {}
      const job = new Job('job')
      return new Promise((resolve, reject) => setTimeout(() => job.runInAsyncScope(() => void owner().then(resolve, reject)), 1))
    },
  }
  for (const [name, way] of Object.entries(ways)) {
    it(`holds through ${name}`, () => interleaved(async slug => assert.equal(await way(), slug)))
  }

  it('a listener runs in the context of whoever emits; bindContext and AsyncResource give it its own', async () => {
    const emitter = new EventEmitter()
    const heard: string[] = []
    await inTenant('acme', async () => {
      const resource = new AsyncResource('listener')
      emitter.on('row', () => heard.push(`plain ${active()}`))
      emitter.on(
        'row',
        bindContext(() => heard.push(`bound ${active()}`)),
      )
      emitter.on('row', () => resource.runInAsyncScope(() => heard.push(`resource ${active()}`)))
      await inTenant('globex', async () => emitter.emit('row'))
    })
    assert.deepEqual(heard, ['plain globex', 'bound acme', 'resource acme'])
  })

  it('the loop over events.on is the reader’s, whoever emits', async () => {
    const emitter = new EventEmitter()
    const read = inTenant('acme', async () => {
      for await (const _ of on(emitter, 'row')) return owner()
      return 'none'
    })
    await inTenant('globex', async () => {
      await sleep(20)
      emitter.emit('row')
    })
    assert.equal(await read, 'acme')
  })

  it('a job queued in one tenant and taken by a loop of another runs as the loop’s, unless it is bound', async () => {
    const queue: (() => Promise<string>)[] = []
    const results: string[] = []
    const loop = inTenant('globex', async () => {
      while (results.length < 4) {
        const job = queue.shift()
        if (job === undefined) await sleep(1)
        else results.push(await job().catch((error: { code: string }) => error.code))
      }
    })
    await inTenant('acme', async () => {
      const own = em()
      queue.push(owner, bindContext(owner), async () => String(await own.count(Tag)))
      queue.push(bindContext(async () => String(await own.count(Tag))))
      await loop
    })
    assert.deepEqual(results, ['globex', 'acme', 'CROSS_TENANT_ENTITY', '5'])
  })

  it('a library that calls back outside of any context is refused, with a hint', async () => {
    const callbacks: (() => void)[] = []
    const drain = setInterval(() => callbacks.splice(0).forEach(call => call()), 1)
    try {
      await inTenant('acme', async () => {
        const own = em()
        const later = <T>(work: () => Promise<T>) =>
          new Promise<T>((resolve, reject) => callbacks.push(() => void work().then(resolve, reject)))
        assert.equal(await codeOf(() => later(async () => em())), 'NO_TENANT_CONTEXT')
        const refused = await later(() => own.count(Tag)).catch((error: Error & { code: string; hint: string }) => error)
        assert.deepInclude(refused, { code: 'NO_TENANT_CONTEXT' })
        assert.match((refused as { hint: string }).hint, /bindContext/)
        assert.equal(await later(bindContext(owner)), 'acme')
      })
    } finally {
      clearInterval(drain)
    }
  })

  for (const slug of SLUGS) {
    const other = slug === 'acme' ? 'globex' : 'acme'

    it(`generators made in ${slug} run as whoever takes from them, and never give its rows away`, async () => {
      await inTenant(slug, async () => {
        const lazy = (function* () {
          for (;;) yield active()
        })()
        const reading = (async function* () {
          for (;;) yield await owner()
        })()
        const streams = [em().stream(Tag, {}), em().createQueryBuilder(Tag).stream()]
        for (const stream of streams) assert.include(String(((await stream.next()).value as { label: string }).label), slug)
        const unread = em().stream(Tag, {})
        await inTenant(other, async () => {
          assert.equal(lazy.next().value, other)
          assert.equal((await reading.next()).value, other)
          for (const stream of streams) assert.equal(await codeOf(() => stream.next()), 'CROSS_TENANT_ENTITY')
          assert.equal(await codeOf(() => unread.next()), 'CROSS_TENANT_ENTITY')
        })
        assert.equal(await owner(), slug)
      })
    })

    it(`a stream of ${slug} ends with its run, and its connection is given back`, async () => {
      const kept = await inTenant(slug, async () => {
        const stream = em().stream(Tag, {})
        await stream.next()
        return { next: bindContext(() => stream.next()), bare: stream }
      })
      assert.equal(await codeOf(kept.next), 'NO_TENANT_CONTEXT')
      assert.isTrue((await kept.bare.next()).done)
      const { shared } = kit.tenancy.stats()
      assert.equal(shared.open, shared.idle)
    })

    it(`whatever is kept from a run in ${slug} throws after its end, in any context`, async () => {
      const kept: Readonly<Record<string, () => unknown>> = await inTenant(slug, async () => {
        const own = em()
        const author = await own.findOneOrFail(Author, { name: slug })
        const book = await own.findOneOrFail(Book, { title: slug })
        const reference = own.getReference(Author, newId(), { wrapped: true })
        const repository = own.getRepository(Tag)
        const builder = own.createQueryBuilder(Tag)
        own.create(Tag, { label: 'late' })
        return {
          EntityManager: () => own.count(Tag),
          fork: () => own.fork().count(Tag),
          repository: () => repository.count(),
          collection: () => author.books.init({ where: {} }),
          'lazy collection': () => book.tags.loadItems(),
          reference: () => reference.load(),
          'query builder': () => builder.execute(),
          getKysely: () => own.getKysely(),
          'raw SQL': () => own.execute('select 1'),
          begin: () => own.begin(),
          flush: () => own.flush(),
          'bound callback': bindContext(() => em().count(Tag)),
        }
      })
      for (const [name, use] of Object.entries(kept)) {
        assert.equal(await codeOf(use), 'NO_TENANT_CONTEXT', name)
        assert.equal(await codeOf(bindContext(use)), 'NO_TENANT_CONTEXT', name)
        await inTenant(slug, async () => assert.equal(await codeOf(use), 'NO_TENANT_CONTEXT', `${name} in a later run`))
        await inTenant(other, async () => assert.equal(await codeOf(use), 'NO_TENANT_CONTEXT', `${name} in ${other}`))
      }
    })

    it(`what was not awaited is refused after the run in ${slug}`, async () => {
      const codes: Promise<string>[] = []
      await inTenant(slug, async () => {
        codes.push(codeOf(() => sleep(10).then(() => em().count(Tag))))
        codes.push(new Promise(resolve => setTimeout(() => resolve(codeOf(() => em().count(Tag))), 10)))
        codes.push(
          codeOf(async () => {
            em().create(Tag, { label: 'late' })
            await sleep(10)
            await em().flush()
          }),
        )
      })
      assert.deepEqual(await Promise.all(codes), ['NO_TENANT_CONTEXT', 'NO_TENANT_CONTEXT', 'NO_TENANT_CONTEXT'])
      await inTenant(slug, async () => assert.equal(await em().count(Tag, { label: 'late' }), 0))
    })
  }
})
