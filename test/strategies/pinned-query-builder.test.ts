/** What a query builder could bring in from elsewhere: another schema by a join, another run's builder, the control plane's own rows. */
import { assert } from 'chai'
import { p } from '@mikro-orm/postgresql'
import { Tenant, TenantSetting, controlEm, em, newId, sharedEntity, type Actor } from 'mikro-tenantkit'
import {
  Author,
  Book,
  Notice,
  Person,
  Tag,
  ada,
  entities,
  operator,
  testTenancy,
  twoTenants,
  type TestTenancy,
} from '../helpers/tenancy.ts'
import { query } from '../helpers/postgres.ts'

const Post = sharedEntity({
  name: 'Post',
  properties: {
    id: p
      .uuid()
      .primary()
      .onCreate(() => newId()),
    author: () => p.manyToOne(Person.shared),
  },
})
const auditor: Actor = { plane: 'global', id: 'auditor', label: 'auditor@example.test', permissions: new Set(['data:read']) }

describe('a pinned query builder', () => {
  let kit: TestTenancy
  const inTenant = <T>(slug: string, work: () => Promise<T>) => kit.tenancy.run(slug, work, { actor: ada })
  const codeOf = async (work: () => Promise<unknown>): Promise<string | undefined> => {
    try {
      await work()
      return undefined
    } catch (error) {
      return (error as { code?: string }).code ?? String(error)
    }
  }

  before(async () => {
    kit = await testTenancy({ entities: [...entities, Post], pool: { shared: 3, waitMs: 2_000 } })
    await twoTenants(kit)
    await kit.asSystem(() => kit.tenancy.provision({ slug: 'beta', name: 'Beta', isolation: 'schema' }))
    for (const slug of ['acme', 'globex', 'beta']) {
      await inTenant(slug, async () => {
        const author = em().create(Author, { id: newId(), name: slug })
        em().create(Book, { title: `${slug}-secret`, author })
        await em().flush()
      })
    }
    await kit.asSystem(async () => {
      const control = controlEm()
      const person = control.create(Person.shared, { email: 'operator@example.test' })
      control.create(Post, { author: person })
      const beta = (await kit.tenancy.find('beta'))!
      control.create(Notice, { text: 'only beta', allowedTenants: [beta.ref.id] })
      await control.flush()
    })
  })
  after(() => kit[Symbol.asyncDispose]())

  it('joins no other schema', async () => {
    for (const schema of [`${kit.prefix}_beta`, 'public']) {
      const join = () =>
        em()
          .createQueryBuilder(Author, 'a')
          .select(['a.id', 'b.title'] as never)
          .leftJoin('a.books', 'b', {}, schema)
          .execute('all')
      for (const slug of ['acme', 'globex'])
        assert.equal(await inTenant(slug, () => codeOf(join)), 'CROSS_TENANT_ENTITY', `${slug} ${schema}`)
    }
    const own = () =>
      em()
        .createQueryBuilder(Author, 'a')
        .select(['a.id', 'b.title'] as never)
        .leftJoin('a.books', 'b')
        .execute('all')
    assert.lengthOf(await inTenant('acme', own), 1)
  })

  it('is refused inside the query of another run', async () => {
    const builder = await inTenant('beta', () => Promise.resolve({ kept: em().createQueryBuilder(Book, 'b').select('b.title').limit(1) }))
    await kit.tenancy.run(
      'beta',
      async () => {
        const open = em().createQueryBuilder(Book, 'b').select('b.title').limit(1)
        for (const sub of [builder.kept, open]) {
          for (const slug of ['acme', 'globex']) {
            const union = () =>
              em()
                .createQueryBuilder(Book, 'x')
                .select('x.title')
                .unionAll(sub.clone() as never)
                .execute('all')
            const field = () =>
              em()
                .createQueryBuilder(Author, 'a')
                .select(['a.id', sub.as('x') as never])
                .execute('all')
            const within = () =>
              em()
                .createQueryBuilder(Book, 'x')
                .select('x.id')
                .where({ title: { $in: sub } as never })
                .execute('all')
            for (const work of [union, field, within]) {
              assert.include(['CROSS_TENANT_ENTITY', 'NO_TENANT_CONTEXT'], await inTenant(slug, () => codeOf(work)))
            }
          }
        }
      },
      { actor: ada },
    )
  })

  for (const slug of ['acme', 'globex']) {
    it(`reaches neither operators nor the registry from ${slug}`, async () => {
      const attempts: (() => Promise<unknown>)[] = [
        () =>
          em()
            .createQueryBuilder(Post, 'p')
            .select(['p.id', 'u.email'] as never)
            .leftJoin('p.author', 'u')
            .execute('all'),
        () => em().count(Post, { author: { email: { $like: 'operator%' } } } as never),
        () => em().find(Post, {}, { populate: ['author'] as never }),
        () => em().find(Tenant, {}),
        () => em().find(TenantSetting, {}),
        () => em().createQueryBuilder(Tenant).select('*').execute('all'),
      ]
      for (const attempt of attempts) assert.equal(await inTenant(slug, () => codeOf(attempt)), 'CROSS_TENANT_ENTITY')
      assert.lengthOf(await inTenant(slug, () => em().find(Post, {})), 1)
    })

    it(`shows ${slug} no row that is meant for others, filters or not`, async () => {
      const rows = await inTenant(slug, async () => [
        await em().createQueryBuilder(Notice).select('*').execute('all'),
        await em().find(Notice, {}, { filters: false }),
        await em().find(Notice, {}),
      ])
      for (const found of rows) assert.isEmpty(found)
    })

    it(`refuses entities of another tenant on insert and upsert in ${slug}`, async () => {
      const book = await inTenant('beta', () => em().findOneOrFail(Book, {}))
      type Write = (...args: unknown[]) => Promise<unknown>
      for (const path of ['insert', 'upsert'] as const) {
        const write: Write = (...args) => (em()[path] as unknown as Write).apply(em(), args)
        assert.equal(await inTenant(slug, () => codeOf(() => write(book))), 'CROSS_TENANT_ENTITY', path)
        const row = {
          id: newId(),
          title: 'x',
          author: book.author,
          createdAt: new Date(),
          createdBy: 'x',
          updatedAt: new Date(),
          updatedBy: 'x',
        }
        assert.equal(await inTenant(slug, () => codeOf(() => write(Book, row))), 'CROSS_TENANT_ENTITY', path)
      }
    })

    it(`gives a connection back that a run in ${slug} left in a transaction`, async () => {
      for (let round = 0; round < 6; round++) {
        await inTenant(slug, async () => {
          const fork = em().fork()
          await fork.begin()
          await fork.count(Tag)
        })
      }
      const late: Promise<string | undefined>[] = []
      for (let round = 0; round < 6; round++) {
        await inTenant(slug, () => Promise.resolve(late.push(codeOf(() => em().fork().begin()))))
      }
      assert.deepEqual(
        await Promise.all(late),
        Array.from({ length: 6 }, () => 'NO_TENANT_CONTEXT'),
      )
      assert.equal(await inTenant(slug, () => em().count(Tag)), 0)
      await kit.tenancy.ping()
    })
  }

  it('gives an actor who may only read no way to write', async () => {
    const sql = `update public.person set email = 'x'`
    const attempts: (() => Promise<unknown>)[] = [
      () => controlEm().execute(sql),
      () => Promise.resolve(controlEm().getKysely()),
      () => Promise.resolve(controlEm().getConnection()),
    ]
    for (const attempt of attempts) assert.equal(await codeOf(() => kit.tenancy.runAsActor(auditor, () => attempt())), 'FORBIDDEN')
    assert.lengthOf(await kit.tenancy.runAsActor(auditor, () => controlEm().find(Person.shared, {})), 1)
    assert.deepEqual(await query(kit.url, 'select email from public.person'), [{ email: 'operator@example.test' }])
  })

  it('keeps cached rows apart by plane and by who sees everything', async () => {
    const cache: [string, number] = ['people', 5_000]
    await kit.tenancy.run('acme', async () => assert.lengthOf(await controlEm().find(Person.shared, {}, { cache }), 1), { actor: operator })
    await inTenant('acme', async () => assert.isEmpty(await em().find(Person.tenant, {}, { cache })))
    const notices: [string, number] = ['notices', 5_000]
    await kit.asSystem(async () => assert.lengthOf(await controlEm().find(Notice, {}, { cache: notices }), 1))
    await kit.tenancy.runAsActor(operator, async () => assert.isEmpty(await controlEm().find(Notice, {}, { cache: notices })))
  })
})
