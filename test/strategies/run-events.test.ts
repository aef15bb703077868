import { assert } from 'chai'
import type { EventSubscriber, FlushEventArgs } from '@mikro-orm/postgresql'
import { controlEm, currentContext, em } from 'mikro-tenantkit'
import { Author, Book, Country, ada, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'

describe('subscribers', () => {
  let kit: TestTenancy
  const heard: string[] = []
  let meddle: ((args: FlushEventArgs) => void) | undefined
  const subscriber: EventSubscriber = {
    afterCreate: ({ meta }) => void heard.push(`${currentContext()?.tenant?.slug ?? 'control'}: ${meta.className}`),
    onFlush: args => meddle?.(args),
  }
  const inTenant = <T>(slug: string, work: () => Promise<T>) => kit.tenancy.run(slug, work, { actor: ada })

  before(async () => {
    kit = await testTenancy({ subscribers: [subscriber] })
    await twoTenants(kit)
  })
  beforeEach(() => {
    heard.length = 0
    meddle = undefined
  })
  after(() => kit[Symbol.asyncDispose]())

  it('of the options hear every tenant and the control plane', async () => {
    const add = () => {
      em().create(Author, { name: 'A' })
      return em().flush()
    }
    await inTenant('acme', add)
    await inTenant('globex', add)
    await kit.asSystem(async () => {
      const control = controlEm()
      control.create(Country, { code: 'PT' })
      await control.flush()
    })
    assert.deepEqual(heard, ['acme: Author', 'globex: Author', 'control: Country'])
  })

  it('are called before the guard of a flush, which sees what they did', async () => {
    const foreign = await inTenant('globex', async () => em().create(Author, { name: 'of globex' }, { persist: false }))
    await inTenant('acme', async () => {
      const book = em().create(Book, { title: 'of acme' })
      meddle = ({ uow }) => {
        book.author = foreign as never
        uow.computeChangeSet(book)
      }
      const error = await em()
        .flush()
        .catch((reason: unknown) => reason)
      assert.propertyVal(error, 'code', 'CROSS_TENANT_ENTITY')
    })
  })

  for (const slug of ['acme', 'globex']) {
    it(`cannot be registered on the EntityManager of a run in ${slug}, where they would hear every tenant`, async () => {
      await inTenant(slug, async () => {
        assert.throws(
          () =>
            em()
              .getEventManager()
              .registerSubscriber({ onInit: () => undefined }),
          /every tenant/,
        )
        assert.throws(
          () =>
            em()
              .fork()
              .getEventManager()
              .registerSubscriber({ onInit: () => undefined }),
          /every tenant/,
        )
        em().getEventManager().getSubscribers().clear()
        assert.isNotEmpty(em().getEventManager().getSubscribers())
      })
    })

    it(`may be registered on a fork with subscribers of its own in ${slug}`, async () => {
      let inits = 0
      await inTenant(slug, async () => {
        const fork = em().fork({ cloneEventManager: true })
        fork.getEventManager().registerSubscriber({ onInit: () => void inits++ })
        fork.create(Author, { name: 'once' })
        em().create(Author, { name: 'not heard' })
      })
      await inTenant(slug, async () => void em().create(Author, { name: 'not heard either' }))
      assert.equal(inits, 1)
    })
  }
})
