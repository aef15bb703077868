/** Plain look-ups by template: the same SQL and the same rows as the query builder's, in each tenant its own. */
import { LockMode, p } from '@mikro-orm/postgresql'
import { assert } from 'chai'
import fc from 'fast-check'
import { em, newId, tenantEntity } from 'mikro-tenantkit'
import { MAX_SHAPES } from '../../src/strategies/select-templates.ts'
import { tenantDriverOf } from '../../src/strategies/tenant-driver.ts'
import type { DriverInternals } from '../../src/connections/internals.ts'
import { sentDuring } from '../helpers/spy.ts'
import { Author, Book, ada, entities, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'

const Thing = tenantEntity({
  name: 'Thing',
  properties: {
    id: p
      .uuid()
      .primary()
      .onCreate(() => newId()),
    title: p.string(),
    amount: p.integer(),
    isOpen: p.boolean(),
    note: p.text().nullable(),
    price: p.decimal().nullable(),
    size: p.enum(['small', 'large'] as const).nullable(),
    big: p.bigint().nullable(),
    facts: p.json<Record<string, unknown>>().nullable(),
    labels: p.array().nullable(),
    secret: p.text().nullable().lazy(),
    author: () => p.manyToOne(Author).nullable(),
  },
})

/** Many columns: more shapes than are kept. */
const Wide = tenantEntity({
  name: 'Wide',
  properties: {
    id: p
      .uuid()
      .primary()
      .onCreate(() => newId()),
    ...Object.fromEntries(Array.from({ length: 8 }, (_, number) => [`column${number}`, p.integer().nullable()])),
  },
})

const values: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  id: fc.uuid(),
  title: fc.constantFrom('one', "o'two", 'what?', '?? \\ " $1', '\u0001' + '0', ''),
  amount: fc.integer({ min: -1, max: 3 }),
  isOpen: fc.boolean(),
  note: fc.constantFrom(null, 'one', '?'),
  price: fc.constantFrom(null, '1.50', 2),
  size: fc.constantFrom(null, 'small', 'large'),
  secret: fc.constantFrom(null, 'hidden'),
  deletedBy: fc.constantFrom(null, 'tenant:ada'),
}
const where = fc
  .uniqueArray(fc.constantFrom(...Object.keys(values)), { minLength: 1, maxLength: 4 })
  .chain(names => fc.record(Object.fromEntries(names.map(name => [name, values[name]!]))))

describe('plain look-ups by template', () => {
  let kit: TestTenancy
  const inTenant = <T>(slug: string, work: () => Promise<T>) => kit.tenancy.run(slug, work, { actor: ada })
  const TENANTS = ['acme', 'globex', 'beta'] as const

  before(async () => {
    kit = await testTenancy({ entities: [...entities, Thing, Wide] })
    await twoTenants(kit)
    await kit.asSystem(() => kit.tenancy.provision({ slug: 'beta', name: 'Beta', isolation: 'schema' }))
    for (const slug of TENANTS) {
      await inTenant(slug, async () => {
        const author = em().create(Author, { id: newId(), name: slug })
        em().create(Book, { title: `of ${slug}`, author })
        for (const amount of [0, 1, 2])
          for (const title of ['one', "o'two", 'what?'])
            em().create(Thing, { title, amount, isOpen: amount > 0, note: amount === 0 ? null : title, secret: slug, author } as never)
        await em().flush()
      })
    }
  })

  after(async () => kit[Symbol.asyncDispose]())

  /** What the builder writes for it, and what was sent, the first time and once more. */
  async function compared(looked: object, one: boolean): Promise<{ readonly expected: string; readonly sent: readonly string[] }> {
    const driver = tenantDriverOf(em())! as unknown as DriverInternals
    const filtered = { deletedAt: null, ...looked }
    const builder = (await driver.createQueryBuilderFromOptions(driver.metadata.get(Thing), filtered, {
      populate: [],
      orderBy: [],
      ...(one ? { limit: 1 } : {}),
    })) as unknown as { getFormattedQuery(): string }
    const sent = await sentDuring(async () => {
      for (const _ of [1, 2, 3]) {
        const found: unknown = one ? await em().findOne(Thing, looked as never) : await em().find(Thing, looked as never)
        em().clear()
        assert.isDefined(found)
      }
    })
    return { expected: builder.getFormattedQuery(), sent: sent.map(({ text }) => text) }
  }

  for (const slug of TENANTS) {
    it(`send what the query builder writes, in ${slug}`, async () => {
      await fc.assert(
        fc.asyncProperty(where, fc.boolean(), (looked, one) =>
          inTenant(slug, async () => {
            const { expected, sent } = await compared(looked, one)
            assert.deepEqual([...new Set(sent)], [expected])
            assert.lengthOf(sent, 3)
          }),
        ),
        { numRuns: 60 },
      )
    })
  }

  it('ask the query builder once for a shape, and not again in any tenant', async () => {
    const builders: string[] = []
    for (const slug of TENANTS) {
      await inTenant(slug, async () => {
        const driver = tenantDriverOf(em())!
        const createQueryBuilder = driver.createQueryBuilder.bind(driver)
        driver.createQueryBuilder = (...args) => {
          builders.push(slug)
          return createQueryBuilder(...args)
        }
        for (const amount of [4, 5, 6]) {
          await em().findOne(Author, { name: 'nobody', createdBy: `nobody:${amount}` })
          await em().find(Author, { updatedBy: `nobody:${amount}` }, { limit: 3 })
        }
      })
    }
    // Once each for the first answer, and twice to learn from it.
    assert.deepEqual(
      builders,
      Array.from({ length: 6 }, () => 'acme'),
    )
  })

  it('find rows of the own tenant, whichever tenant came first', async () => {
    for (const slug of [...TENANTS, ...TENANTS.toReversed()]) {
      await inTenant(slug, async () => {
        assert.equal((await em().findOneOrFail(Book, { title: `of ${slug}` })).title, `of ${slug}`)
        for (const other of TENANTS) if (other !== slug) assert.isNull(await em().findOne(Book, { title: `of ${other}` }))
        em().clear()
        const things = await em().find(Thing, { title: 'one' }, { populate: ['secret'] })
        assert.deepEqual([...new Set(things.map(({ secret }) => secret))], [slug])
        assert.lengthOf(await em().find(Author, { name: slug }), 1)
      })
    }
  })

  it('see what the own transaction wrote, and nothing that another has not committed', async () => {
    await inTenant('acme', async () => {
      for (const _ of [1, 2]) await em().fork().findOne(Thing, { title: 'new' })
      await em().transactional(async inside => {
        inside.create(Thing, { title: 'new', amount: 9, isOpen: true } as never)
        await inside.flush()
        inside.clear()
        assert.equal((await inside.findOne(Thing, { title: 'new' }))?.amount, 9)
        assert.isNull(await inTenant('acme', () => em().findOne(Thing, { title: 'new' })))
        await inside.nativeDelete(Thing, { title: 'new' })
      })
    })
  })

  it('give way to the builder for all that is not plain', async () => {
    await inTenant('beta', async () => {
      const count = async (looked: object, options: object = {}) => {
        em().clear()
        return (await em().find(Thing, looked as never, options as never)).length
      }
      for (const _ of [1, 2]) {
        const author = await em().findOneOrFail(Author, { name: 'beta' })
        assert.equal(await count({ title: 'one', amount: { $gte: 1 } }), 2)
        assert.equal(await count({ title: ['one', 'what?'] }), 6)
        assert.equal(await count({ author: author.id, title: 'one' }), 3)
        assert.equal(await count({ author: { name: 'beta' }, amount: 1 }), 3)
        assert.equal(await count({ $or: [{ title: 'one' }, { amount: 1 }] }), 5)
        assert.equal(await count({ title: 'one' }, { limit: 2, orderBy: { amount: 'desc' } }), 2)
        assert.equal(await count({ title: 'one' }, { limit: 2, offset: 2 }), 1)
        assert.equal(await count({ amount: 1n }), 3)
        em().clear()
        const [last] = await em().find(Thing, { title: 'one' }, { orderBy: { amount: 'desc' }, fields: ['amount'] })
        assert.deepEqual([last!.amount, (last as { title?: string }).title], [2, undefined])
        em().clear()
        const locked = await sentDuring(() =>
          em().transactional(inside => inside.findOne(Thing, { title: 'one' }, { lockMode: LockMode.PESSIMISTIC_WRITE })),
        )
        assert.match(locked.map(({ text }) => text).join('\n'), /for update/)
      }
    })
  })

  it('hide deleted rows, or show them where the filter is switched off', async () => {
    await inTenant('beta', async () => {
      const thing = em().create(Thing, { title: 'gone', amount: 1, isOpen: false } as never)
      await em().flush()
      em().remove(thing)
      await em().flush()
      for (const _ of [1, 2, 3]) {
        em().clear()
        assert.isNull(await em().findOne(Thing, { title: 'gone' }))
        assert.isNotNull(await em().findOne(Thing, { title: 'gone' }, { filters: { notDeleted: false } }))
      }
    })
  })

  it('are refused after the run, and in another tenant', async () => {
    const kept = await inTenant('acme', async () => {
      for (const _ of [1, 2]) await em().fork().findOne(Thing, { title: 'one' })
      return em()
    })
    const codeOf = (work: () => Promise<unknown>) =>
      work().then(
        () => undefined,
        (error: unknown) => (error as { code?: string }).code,
      )
    assert.equal(await codeOf(() => kept.findOne(Thing, { title: 'one' })), 'NO_TENANT_CONTEXT')
    await inTenant('acme', async () => {
      const own = em()
      const driver = tenantDriverOf(own)!
      const code = await inTenant('beta', () => codeOf(async () => driver.find(Thing, { title: 'one' }, {})))
      assert.equal(code, 'CROSS_TENANT_ENTITY')
    })
  })

  it('keep a bounded number of shapes', async () => {
    await inTenant('acme', async () => {
      const names = Array.from({ length: 8 }, (_, number) => `column${number}`)
      for (let bits = 1; bits < 2 ** names.length; bits++) {
        const looked = Object.fromEntries(names.filter((_, number) => (bits >> number) % 2 === 1).map(name => [name, 1]))
        if (bits > MAX_SHAPES + 20) break
        assert.isNull(await em().findOne(Wide, looked as never))
      }
      for (const looked of [{ column0: 1 }, { column7: null }]) assert.isNull(await em().findOne(Wide, looked as never))
    })
  })
})
