import { EventEmitter, once } from 'node:events'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from 'chai'
import { bindContext, controlEm, currentActor, currentContext, currentTenant, em, type Actor } from 'mikro-tenantkit'
import { actorKey, runInContext } from '../../src/context/context.ts'
import { Tag, ada, operator, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'

let kit: TestTenancy

const inTenant = <T>(slug: string, work: () => Promise<T>, actor: Actor = ada) => kit.tenancy.run(slug, work, { actor })
const active = () => currentContext()?.tenant?.slug

async function codeOf(work: () => unknown): Promise<string | undefined> {
  try {
    await work()
    return undefined
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).message
  }
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void
  const promise = new Promise<void>(done => (resolve = done))
  return { promise, resolve }
}

describe('the context', () => {
  before(async () => {
    kit = await testTenancy()
    await twoTenants(kit)
    for (const slug of ['acme', 'globex']) {
      await inTenant(slug, async () => {
        for (let index = 0; index < 5; index++) em().create(Tag, { label: `${slug} ${index}` })
        await em().flush()
      })
    }
  })
  after(() => kit[Symbol.asyncDispose]())

  const labels = async () => new Set((await em().find(Tag, {})).map(tag => tag.label.split(' ')[0]))

  it('is absent outside of a run, and gone after it, also after a throw', async () => {
    assert.isUndefined(currentContext())
    await inTenant('acme', async () => assert.equal(active(), 'acme'))
    assert.isUndefined(currentContext())
    assert.equal(await codeOf(() => inTenant('acme', () => Promise.reject(new Error('thrown')))), 'thrown')
    assert.isUndefined(currentContext())
    assert.equal(kit.tenancy.stats().leases, 0)
  })

  it('is frozen and names the tenant and the actor', async () => {
    await inTenant('acme', async () => {
      assert.isFrozen(currentContext())
      assert.equal(currentTenant().slug, 'acme')
      assert.equal(currentActor(), ada)
      assert.equal(actorKey(), 'tenant:ada')
    })
    assert.equal(await codeOf(() => actorKey()), 'NO_ACTOR')
    assert.equal(await codeOf(() => kit.tenancy.run('acme', async () => actorKey())), 'NO_ACTOR')
  })

  it('nests, and the outer tenant is current again after the inner one, also after a throw', async () => {
    await inTenant('acme', async () => {
      const outer = em()
      await inTenant('globex', async () => {
        assert.equal(active(), 'globex')
        assert.deepEqual(await labels(), new Set(['globex']))
        await inTenant('acme', async () => assert.notEqual(em(), outer))
        assert.equal(active(), 'globex')
      })
      assert.equal(em(), outer)
      for (const end of [
        () => Promise.reject(new Error('thrown')),
        () => {
          throw new Error('thrown')
        },
      ]) {
        assert.equal(await codeOf(() => inTenant('globex', end)), 'thrown')
        assert.equal(active(), 'acme')
        assert.equal(em(), outer)
      }
      assert.equal(await codeOf(() => inTenant('nobody', async () => 1)), 'TENANT_NOT_FOUND')
      assert.equal(await codeOf(() => inTenant('NOT A SLUG', async () => 1)), 'TENANT_INVALID')
      assert.equal(active(), 'acme')
      await kit.asSystem(async () => {
        assert.isUndefined(active())
        assert.equal(await codeOf(() => em()), 'NO_TENANT_CONTEXT')
      })
      assert.deepEqual(await labels(), new Set(['acme']))
    })
  })

  it('hands the actor of a job or an operator on, and never a local user to another tenant', async () => {
    await inTenant('acme', () => kit.tenancy.run('globex', async () => assert.isUndefined(currentActor())))
    await inTenant('acme', () => kit.tenancy.run('acme', async () => assert.equal(currentActor(), ada)))
    await inTenant('acme', () => kit.tenancy.run('globex', async () => assert.equal(currentActor(), operator)), operator)
    await kit.asSystem(() => kit.tenancy.run('acme', async () => assert.equal(actorKey(), 'system:test')))
  })

  it('holds through parallel work, timers and microtasks', async () => {
    const visit = (slug: string, index: number) =>
      inTenant(slug, async () => {
        await sleep(index % 5)
        assert.equal(active(), slug)
        await new Promise<void>(resolve => setImmediate(resolve))
        await new Promise<void>((resolve, reject) =>
          setTimeout(() => (active() === slug ? resolve() : reject(new Error(`lost ${slug}`))), index % 3),
        )
        queueMicrotask(() => assert.equal(active(), slug))
        const found = await Promise.all([labels(), labels(), sleep(1).then(labels)])
        for (const each of found) assert.deepEqual(each, new Set([slug]))
      })
    await Promise.all(Array.from({ length: 40 }, (_, index) => visit(index % 2 === 0 ? 'acme' : 'globex', index)))
    assert.equal(kit.tenancy.stats().leases, 0)
  })

  it('is bound to a listener by bindContext, whoever emits', async () => {
    const emitter = new EventEmitter()
    const heard: (string | undefined)[] = []
    await inTenant('acme', async () => {
      emitter.on('plain', () => heard.push(active()))
      emitter.on(
        'bound',
        bindContext((suffix: string) => heard.push(`${active()}${suffix}`)),
      )
      await inTenant('globex', async () => {
        emitter.emit('plain')
        emitter.emit('bound', '!')
      })
      emitter.on(
        'read',
        bindContext(() => void labels().then(found => emitter.emit('answer', found))),
      )
      const answer = once(emitter, 'answer')
      runInContext({ tenant: undefined, actor: undefined, em: undefined, control: undefined, requestId: undefined }, () =>
        emitter.emit('read'),
      )
      assert.deepEqual((await answer)[0], new Set(['acme']))
    })
    emitter.emit('plain')
    assert.deepEqual(heard, ['globex', 'acme!', undefined])
  })

  it('a bound callback that comes after the run is refused', async () => {
    const late = await inTenant('acme', async () => bindContext(() => em().count(Tag)))
    assert.equal(await codeOf(late), 'NO_TENANT_CONTEXT')
  })

  it('holds through streams', async () => {
    await inTenant('acme', async () => {
      const seen: (string | undefined)[] = []
      const rows: string[] = []
      for await (const tag of em().stream(Tag, {})) {
        rows.push(tag.label)
        seen.push(active())
      }
      assert.lengthOf(rows, 5)
      const sink = new Writable({
        objectMode: true,
        write: (_chunk, _encoding, done) => {
          seen.push(active())
          setTimeout(done, 1)
        },
      })
      await pipeline(Readable.from(em().stream(Tag, {})), sink)
      assert.deepEqual(new Set(seen), new Set(['acme']))
      assert.lengthOf(seen, 10)
    })
  })

  it('two streams of two tenants that are read in turn keep apart', async () => {
    const read = (slug: string) =>
      inTenant(slug, async () => {
        const found = new Set<string>()
        for await (const tag of em().stream(Tag, {})) {
          found.add(tag.label.split(' ')[0]!)
          await sleep(1)
        }
        return [...found]
      })
    assert.deepEqual(await Promise.all([read('acme'), read('globex'), read('acme')]), [['acme'], ['globex'], ['acme']])
  })

  it('em() in a transaction of one tenant is not that of a parallel run in the same tenant', async () => {
    const inside = deferred()
    const leave = deferred()
    const first = inTenant('acme', () =>
      em().transactional(async () => {
        em().create(Tag, { label: 'acme uncommitted' })
        await em().flush()
        inside.resolve()
        await leave.promise
        throw new Error('roll back')
      }),
    )
    await inside.promise
    await inTenant('acme', async () => {
      assert.isFalse(em().isInTransaction())
      assert.equal(await em().count(Tag), 5)
    })
    leave.resolve()
    assert.equal(await codeOf(() => first), 'roll back')
  })

  it('controlEm() gives a new unit of work each time', async () => {
    await kit.asSystem(async () => assert.notEqual(controlEm(), controlEm()))
    assert.equal(await codeOf(() => kit.tenancy.runAsSystem('Not a name', async () => 1)), 'VALIDATION_FAILED')
  })
})
