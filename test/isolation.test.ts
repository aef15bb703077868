/**
 * Nothing of one tenant is seen or changed by another, and nothing at all without a tenant, on any path of the ORM and in both isolations.
 *
 * Each guard was taken out once, by hand; this is what failed then (of this file, where no other is named):
 *
 * | guard | test that fails without it |
 * |---|---|
 * | `TenantDriver.assertActive` | an EntityManager kept after its run … reaches nothing; its EntityManager … refused while the other is active |
 * | `TenantDriver.pin` | no option, assignment, fork or clone names another schema; shared entities are read and never written |
 * | `TenantDriver.refuseSchema` | no option, assignment, fork or clone names another schema |
 * | `TenantDriver.refuseWrite` | shared entities are read and never written |
 * | `TenantDriver.refuseUnreadable` | the control plane's half of a both entity cannot be read |
 * | `refuseSharedJoins` | strategies/shared: joins a shared entity by schema, and says by database that it cannot |
 * | `ControlDriver.getSchemaName` | controlEm() reaches no tenant entity, under any schema |
 * | `ReadingControlDriver`, clones | controlEm() is forbidden to its actors, and only read by an actor who may only read |
 * | `TenantEntityManager.schema` | controlEm() reaches no tenant entity; no option, assignment, fork or clone names another schema |
 * | `TenantEntityManager.flush`, `prepareOptions` | an EntityManager kept after its run … reaches nothing |
 * | `TenantDriver.contextName` | a transaction is not joined by a nested run in the same or another tenant |
 * | `outside`, the options of reads in the control plane | shared entities are read from the control plane inside a transaction too |
 * | `TenantGuard.onInit` | every test "between … and …" |
 * | `TenantGuard.onFlush` | every test "between … and …"; shared entities are read and never written |
 * | `assertSharedReferences` | strategies/shared: globex refuses an id of a shared entity that does not exist |
 * | `TenantResultCache`, its key | a named result cache is not shared |
 * | `ConnectionRegistry`, counting leases | connections/connection-registry: counts a lease once; evicts … never what is in use |
 * | `GuardedConnection`, closed | connections/database-tenants: a connection that was closed refuses |
 * | `GuardedConnection`, 42P01 | raw SQL and Kysely on unqualified names find no table |
 * | `SoftDeleteSubscriber.afterFlush` | strategies/shared: fills the audit columns, and deletes softly |
 */
import { assert } from 'chai'
import { controlEm, currentTenant, em, newId } from 'mikro-tenantkit'
import type { Actor } from 'mikro-tenantkit'
import { Author, Book, Country, Notice, Person, Tag, ada, operator, testTenancy, twoTenants, type TestTenancy } from './helpers/tenancy.ts'
import { itWithTwoConnections } from './helpers/pooler.ts'
import { databaseUrl, query } from './helpers/postgres.ts'
import { sentDuring as spy } from './helpers/spy.ts'

type Manager = ReturnType<typeof em>
type Step = readonly [name: string, work: () => unknown]

const isolations = { schema: ['acme', 'initech'], database: ['globex', 'hooli'] } as const
const everyTenant = ['acme', 'initech', 'globex', 'hooli'] as const
const eachPair = [
  ['acme', 'initech'],
  ['acme', 'globex'],
  ['globex', 'acme'],
  ['globex', 'hooli'],
] as const

/** What the ORM fills in a flush and not in a native insert. */
const stamps = () => ({ createdAt: new Date(), createdBy: 'test', updatedAt: new Date(), updatedBy: 'test' })

let kit: TestTenancy
let countryId: string

const inTenant = <T>(slug: string, work: () => Promise<T>, actor: Actor = ada) => kit.tenancy.run(slug, work, { actor })

/** Where the tables of a tenant stand, for plain SQL. */
function placeOf(slug: string): { url: string; schema: string } {
  const name = `${kit.prefix}_${slug}`
  return slug === 'acme' || slug === 'initech' ? { url: kit.url, schema: name } : { url: databaseUrl(name), schema: 'tenant' }
}

async function rowsOf(slug: string, table: string): Promise<Record<string, unknown>[]> {
  const { url, schema } = placeOf(slug)
  return query(url, `select * from "${schema}"."${table}" order by 1`)
}

/** All that stands in the tenants' tables and the shared ones, as text: one connection for each database. */
async function everything(): Promise<unknown> {
  const tables = ['author', 'book', 'tag', 'book_tags', 'person']
  const places = everyTenant.flatMap(slug => tables.map(table => ({ ...placeOf(slug), table })))
  const shared = ['country', 'notice', 'person'].map(table => ({ url: kit.url, schema: 'public', table }))
  const byDatabase = Map.groupBy([...places, ...shared], ({ url }) => url)
  return Promise.all(
    [...byDatabase].map(([url, all]) =>
      query(
        url,
        all
          .map(
            ({ schema, table }) =>
              `select '${schema}.${table}' as name, array(select t::text from "${schema}"."${table}" t order by 1) as rows`,
          )
          .join(' union all '),
      ),
    ),
  )
}

/** The code of the error that the work ends with. */
async function codeOf(work: () => unknown): Promise<string> {
  try {
    await work()
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
  return 'nothing was refused'
}

/** What PostgreSQL was sent while the work ran. */
const sentDuring = async (work: () => Promise<unknown>) => (await spy(work)).map(({ text }) => text)

/** Every step is refused with the code, and nothing is sent to PostgreSQL. */
async function assertAllRefused(code: string, steps: readonly Step[], mayAsk = false): Promise<void> {
  const results: string[] = []
  for (const [name, work] of steps) {
    let answer = ''
    const sent = await sentDuring(async () => (answer = await codeOf(work)))
    results.push(`${name}: ${answer}${sent.length > 0 && !mayAsk ? `, after ${sent.join('; ')}` : ''}`)
  }
  assert.deepEqual(
    results,
    steps.map(([name]) => `${name}: ${code}`),
  )
}

const person = () => ({ id: newId(), email: 'new@example.test' })
const author = (name = 'new') => ({ id: newId(), name, ...stamps() })
const loadedAuthor = (manager: Manager = em()) => manager.findOneOrFail(Author, { name: 'Le Guin' })

/** Every way from a tenant entity to SQL. */
function paths(manager: Manager): Step[] {
  return [
    ['find', () => manager.find(Author, {})],
    ['find with populate', () => manager.find(Book, {}, { populate: ['author', 'tags'] })],
    ['findAll', () => manager.findAll(Author)],
    ['findOne', () => manager.findOne(Author, { name: 'x' })],
    ['findAndCount', () => manager.findAndCount(Author, {})],
    ['findByCursor', () => manager.findByCursor(Author, { first: 1, orderBy: { id: 'asc' } })],
    ['count', () => manager.count(Author)],
    [
      'stream',
      async () => {
        for await (const row of manager.stream(Author, {})) assert.fail(String(row))
      },
    ],
    ['insert', () => manager.insert(Author, author())],
    ['insertMany', () => manager.insertMany(Author, [author(), author()])],
    ['upsert', () => manager.upsert(Tag, { id: newId(), label: 'x' })],
    ['upsertMany', () => manager.upsertMany(Tag, [{ id: newId(), label: 'x' }])],
    ['nativeUpdate', () => manager.nativeUpdate(Author, {}, { name: 'x' })],
    ['nativeDelete', () => manager.nativeDelete(Author, {})],
    ['query builder select', () => manager.createQueryBuilder(Author).getResult()],
    ['query builder insert', () => manager.createQueryBuilder(Author).insert(author()).execute()],
    ['query builder update', () => manager.createQueryBuilder(Author).update({ name: 'x' }).execute()],
    ['query builder delete', () => manager.createQueryBuilder(Author).delete().execute()],
    ['query builder truncate', () => manager.createQueryBuilder(Author).truncate().execute()],
    ['repository', () => manager.getRepository(Author).findAll()],
    ['reference', () => manager.getReference(Author, newId(), { wrapped: true }).load()],
    ['fork and find', () => manager.fork().find(Author, {})],
    ['both entity', () => manager.find(Person.tenant, {})],
    ['driver', () => manager.getDriver().find(Author, {}, {})],
  ]
}

/** Ways that need no entity, or one that was loaded before. */
function keptPaths(manager: Manager, loaded: Awaited<ReturnType<typeof loadedAuthor>>): Step[] {
  return [
    ...paths(manager),
    ['getConnection', () => manager.getConnection()],
    ['execute', () => manager.execute('select 1')],
    ['Kysely', () => manager.getKysely()],
    ['transactional', () => manager.transactional(() => Promise.resolve())],
    ['begin', () => manager.begin()],
    ['shared entity', () => manager.find(Country, {})],
    ['shared query builder', () => manager.createQueryBuilder(Country).getResult()],
    ['collection init', () => loaded.books.init()],
    ['collection loadCount', () => loaded.books.loadCount({ refresh: true })],
    ['collection matching', () => loaded.books.matching({})],
    ['refresh', () => manager.refresh(loaded)],
    ['populate', () => manager.populate([loaded], ['books'])],
    [
      'flush of a change',
      () => {
        loaded.name = `changed ${newId()}`
        return manager.flush()
      },
    ],
    ['flush of a new entity', () => manager.persist(manager.create(Author, author())).flush()],
    ['flush of a removal', () => manager.remove(loaded).flush()],
  ]
}

describe('isolation', function () {
  this.timeout(20_000)

  before(async () => {
    kit = await testTenancy()
    await twoTenants(kit)
    await kit.asSystem(async () => {
      await kit.tenancy.provision({ slug: 'initech', name: 'Initech', isolation: 'schema' })
      await kit.tenancy.provision({ slug: 'hooli', name: 'Hooli', isolation: 'database' })
      const france = controlEm().create(Country, { code: 'FR' })
      countryId = france.id
      const control = controlEm()
      await control.persist(france).flush()
      await control.persist(control.create(Person.shared, { email: 'operator@example.test' })).flush()
    })
    for (const slug of everyTenant) {
      await inTenant(slug, async () => {
        const guin = em().create(Author, { name: 'Le Guin', country: countryId })
        const book = em().create(Book, { title: `Book of ${slug}`, author: guin })
        book.tags.add(em().create(Tag, { label: `tag of ${slug}` }))
        em().create(Person.tenant, { email: `user@${slug}.test` })
        await em().flush()
      })
    }
  })

  after(() => kit[Symbol.asyncDispose]())

  describe('without a tenant', () => {
    it('em() and currentTenant() throw, and controlEm() outside of everything', async () => {
      assert.equal(await codeOf(() => em()), 'NO_TENANT_CONTEXT')
      assert.equal(await codeOf(() => currentTenant()), 'NO_TENANT_CONTEXT')
      assert.equal(await codeOf(() => controlEm()), 'NO_TENANT_CONTEXT')
      assert.equal(await codeOf(() => kit.asSystem(() => Promise.resolve(em()))), 'NO_TENANT_CONTEXT')
    })

    it('these tests see what is sent to PostgreSQL', async () => {
      for (const slug of everyTenant) {
        const sent = await inTenant(slug, () => sentDuring(() => em().count(Author)))
        assert.match(sent.join(), /select count.*"author"/)
      }
    })

    for (const slug of ['acme', 'globex']) {
      it(`an EntityManager kept after its run in ${slug} reaches nothing, whatever is active now`, async () => {
        const before = await everything()
        const keep = () =>
          inTenant(slug, async () => {
            const manager = em()
            return { manager, loaded: await loadedAuthor(manager) }
          })
        const one = await keep()
        await assertAllRefused('NO_TENANT_CONTEXT', keptPaths(one.manager, one.loaded))
        const two = await keep()
        await kit.asSystem(() => assertAllRefused('NO_TENANT_CONTEXT', keptPaths(two.manager, two.loaded)))
        for (const other of everyTenant) {
          const three = await keep()
          await inTenant(other, () => assertAllRefused('NO_TENANT_CONTEXT', keptPaths(three.manager, three.loaded)))
        }
        assert.deepEqual(await everything(), before)
      })

      it(`a query builder kept after its run in ${slug} runs nowhere, nor does its clone`, async () => {
        const before = await everything()
        const keep = () => inTenant(slug, async () => ({ builder: em().createQueryBuilder(Author) }))
        const steps = async (): Promise<Step[]> => {
          const { builder } = await keep()
          return [
            ['query builder', () => builder.getResult()],
            ['clone', () => builder.clone().getResult()],
            ['update', () => builder.clone().update({ name: 'x' }).execute()],
            ['delete', () => builder.clone().delete().execute()],
          ]
        }
        await assertAllRefused('NO_TENANT_CONTEXT', await steps())
        for (const other of everyTenant) await inTenant(other, async () => assertAllRefused('NO_TENANT_CONTEXT', await steps()))
        assert.deepEqual(await everything(), before)
      })

      it(`an EntityManager of a run in ${slug} that still goes on is refused outside of it`, async () => {
        await inTenant(slug, async () => {
          const manager = em()
          const loaded = await loadedAuthor(manager)
          await kit.asSystem(() => assertAllRefused('NO_TENANT_CONTEXT', keptPaths(manager, loaded)))
        })
      })
    }

    it('controlEm() reaches no tenant entity, under any schema', async () => {
      const before = await everything()
      const loaded = await inTenant('acme', () => loadedAuthor())
      await kit.asSystem(async () => {
        await assertAllRefused('NO_TENANT_CONTEXT', paths(controlEm()))
        for (const schema of ['x', 'public', '*', placeOf('acme').schema]) {
          await assertAllRefused('NO_TENANT_CONTEXT', [
            [`find in ${schema}`, () => controlEm().find(Author, {}, { schema })],
            [`count in ${schema}`, () => controlEm().count(Author, {}, { schema })],
            [`insert in ${schema}`, () => controlEm().insert(Author, author(), { schema })],
            [`nativeUpdate in ${schema}`, () => controlEm().nativeUpdate(Author, {}, { name: 'x' }, { schema })],
            [`nativeDelete in ${schema}`, () => controlEm().nativeDelete(Author, {}, { schema })],
            [`query builder in ${schema}`, () => controlEm().createQueryBuilder(Author).withSchema(schema).getResult()],
            [`fork for ${schema}`, () => controlEm().fork({ schema }).find(Author, {})],
          ])
        }
        await assertAllRefused('NO_TENANT_CONTEXT', [
          ['populate', () => controlEm().populate([loaded], ['books'])],
          [
            'flush of a new entity',
            () =>
              controlEm()
                .persist(new (Author.class as unknown as new () => object)())
                .flush(),
          ],
          [
            'flush of a created entity',
            () => {
              const control = controlEm()
              return control.persist(control.create(Author, author())).flush()
            },
          ],
          [
            'flush of a merged entity',
            () => {
              const control = controlEm()
              const merged = control.merge(Author, { id: loaded.id, name: 'Le Guin' })
              merged.name = 'changed'
              return control.flush()
            },
          ],
        ])
        assert.equal(await codeOf(() => (controlEm().schema = placeOf('acme').schema)), 'CROSS_TENANT_ENTITY')
      })
      assert.deepEqual(await everything(), before)
    })
  })

  for (const [isolation, [own, twin]] of Object.entries(isolations)) {
    describe(`in a tenant by ${isolation}`, () => {
      const foreign = () =>
        ['public', 'x', placeOf(twin).schema, `q'v?'mark`, 'a.b', placeOf('acme').schema].filter(name => name !== placeOf(own).schema)

      it('no option, assignment, fork or clone names another schema', async () => {
        const before = await everything()
        await inTenant(own, async () => {
          for (const schema of foreign()) {
            await assertAllRefused('CROSS_TENANT_ENTITY', [
              ['find', () => em().find(Author, {}, { schema })],
              ['findOne', () => em().findOne(Author, { name: 'x' }, { schema })],
              ['count', () => em().count(Author, {}, { schema })],
              ['insert', () => em().insert(Author, author(), { schema })],
              ['upsert', () => em().upsert(Tag, { id: newId(), label: 'x' }, { schema })],
              ['nativeUpdate', () => em().nativeUpdate(Author, {}, { name: 'x' }, { schema })],
              ['nativeDelete', () => em().nativeDelete(Author, {}, { schema })],
              ['withSchema', () => em().createQueryBuilder(Author).withSchema(schema).getResult()],
              ['withSchema of a clone', () => em().createQueryBuilder(Author).clone().withSchema(schema).getResult()],
              [
                'withSchema of a clone of a clone',
                () => em().createQueryBuilder(Author, 'a').select('*').clone().clone().withSchema(schema).getResult(),
              ],
              ['schema =', () => (em().schema = schema)],
              ['fork', () => em().fork({ schema }).find(Author, {})],
            ])
          }
          assert.equal((await em().createQueryBuilder(Author).clone().getResult()).length, 1)
          assert.equal(em().schema, placeOf(own).schema)
        })
        assert.deepEqual(await everything(), before)
      })

      it('raw SQL and Kysely on unqualified names find no table', async () => {
        await inTenant(own, async () => {
          await assertAllRefused(
            'NO_TENANT_CONTEXT',
            [
              ['execute', () => em().execute('select * from author')],
              ['execute on a shared table', () => em().execute('select * from country')],
              ['execute of a write', () => em().execute('delete from author')],
              ['getConnection().execute', () => em().getConnection().execute('select * from author')],
              ['Kysely', () => (em().getKysely() as any).selectFrom('author').selectAll().execute()],
              ['Kysely update', () => (em().getKysely() as any).updateTable('author').set({ name: 'x' }).execute()],
              ['in a transaction', () => em().transactional(manager => manager.execute('select * from author'))],
            ],
            true,
          )
          const [row] = await em().execute<{ count: number }[]>(`select count(*)::int as count from "${placeOf(own).schema}".author`)
          assert.equal(row!.count, 1)
        })
      })

      it('shared entities are read and never written', async () => {
        const before = await everything()
        await inTenant(own, async () => {
          assert.deepEqual(
            (await em().find(Country, {})).map(row => row.code),
            ['FR'],
          )
          assert.equal(await em().count(Country), 1)
          assert.equal((await em().createQueryBuilder(Country).getResult()).length, 1)
          const values = () => ({ id: newId(), code: 'XX' })
          await assertAllRefused('CROSS_TENANT_ENTITY', [
            [
              'flush',
              () =>
                em()
                  .fork()
                  .persist(em().create(Country, values(), { persist: false }))
                  .flush(),
            ],
            ['insert', () => em().insert(Country, values())],
            ['insertMany', () => em().insertMany(Country, [values()])],
            ['upsert', () => em().upsert(Country, values())],
            ['upsertMany', () => em().upsertMany(Country, [values()])],
            ['nativeUpdate', () => em().nativeUpdate(Country, {}, { code: 'XX' })],
            ['nativeDelete', () => em().nativeDelete(Country, {})],
            ['query builder insert', () => em().createQueryBuilder(Country).insert(values()).execute()],
            ['query builder update', () => em().createQueryBuilder(Country).update({ code: 'XX' }).execute()],
            ['query builder delete', () => em().createQueryBuilder(Country).delete().execute()],
            ['query builder truncate', () => em().createQueryBuilder(Country).truncate().execute()],
            ['query builder clone', () => em().createQueryBuilder(Country).clone().delete().execute()],
            ['driver', () => em().getDriver().nativeInsert(Country.class, values())],
          ])
          const loaded = em().fork()
          const france = await loaded.findOneOrFail(Country, { code: 'FR' })
          france.code = 'XX'
          assert.equal(await codeOf(() => loaded.flush()), 'CROSS_TENANT_ENTITY')
          const removing = em().fork()
          removing.remove(await removing.findOneOrFail(Country, { code: 'FR' }))
          assert.equal(await codeOf(() => removing.flush()), 'CROSS_TENANT_ENTITY')
        })
        assert.deepEqual(await everything(), before)
      })

      it("the control plane's half of a both entity cannot be read", async () => {
        await inTenant(own, async () => {
          await assertAllRefused('CROSS_TENANT_ENTITY', [
            ['find', () => em().find(Person.shared, {})],
            ['findOne', () => em().findOne(Person.shared, { email: 'x' })],
            ['count', () => em().count(Person.shared)],
            ['query builder', () => em().createQueryBuilder(Person.shared).getResult()],
            ['insert', () => em().insert(Person.shared, person())],
          ])
          assert.deepEqual(
            (await em().find(Person.tenant, {})).map(row => row.email),
            [`user@${own}.test`],
          )
        })
      })

      it('controlEm() is forbidden to its actors, and only read by an actor who may only read', async () => {
        assert.equal(await codeOf(() => inTenant(own, async () => controlEm())), 'FORBIDDEN')
        const before = await everything()
        const reader: Actor = { ...operator, permissions: new Set(['data:read']) }
        const values = () => ({ id: newId(), code: 'XX' })
        await inTenant(
          own,
          async () => {
            assert.equal(await controlEm().count(Country), 1)
            await assertAllRefused(
              'FORBIDDEN',
              [
                [
                  'flush',
                  () => {
                    const control = controlEm()
                    return control.persist(control.create(Country, values())).flush()
                  },
                ],
                ['insert', () => controlEm().insert(Country, values())],
                ['upsert', () => controlEm().upsert(Country, values())],
                ['nativeUpdate', () => controlEm().nativeUpdate(Country, {}, { code: 'XX' })],
                ['nativeDelete', () => controlEm().nativeDelete(Country, {})],
                ['query builder', () => controlEm().createQueryBuilder(Country).update({ code: 'XX' }).execute()],
                ['query builder clone', () => controlEm().createQueryBuilder(Country).clone().update({ code: 'XX' }).execute()],
                ['transaction', () => controlEm().transactional(control => control.insert(Country, values()))],
              ],
              true,
            )
          },
          reader,
        )
        assert.deepEqual(await everything(), before)
      })

      itWithTwoConnections('controlEm() inherits neither the tenant nor its transaction', async () => {
        await inTenant(
          own,
          async () => {
            await codeOf(() =>
              em().transactional(async manager => {
                await manager.insert(Tag, { id: newId(), label: 'rolled back', ...stamps() })
                assert.isFalse(controlEm().isInTransaction())
                assert.equal(controlEm().schema, undefined)
                assert.equal(await codeOf(() => controlEm().find(Author, {})), 'NO_TENANT_CONTEXT')
                assert.equal((await controlEm().find(Person.shared, {}))[0]!.email, 'operator@example.test')
                await controlEm().insert(Notice, { id: newId(), text: `kept by ${own}`, allowedTenants: [], ...stamps() })
                throw new Error('roll back')
              }),
            )
          },
          operator,
        )
        assert.notInclude(
          (await rowsOf(own, 'tag')).map(row => row['label']),
          'rolled back',
        )
        assert.equal((await query(kit.url, 'delete from public.notice where text = $1 returning id', [`kept by ${own}`])).length, 1)
      })

      it('a named result cache is not shared', async () => {
        const cached = (slug: string) =>
          inTenant(slug, async () => (await em().find(Book, {}, { cache: ['books', 5000] })).map(book => book.title))
        for (const slug of [own, twin, own, twin]) assert.deepEqual(await cached(slug), [`Book of ${slug}`])
        assert.equal(await inTenant(own, () => em().count(Author, {}, { cache: ['count', 5000] })), 1)
        await inTenant(twin, () => em().insert(Author, author('second')))
        assert.equal(await inTenant(twin, () => em().count(Author, {}, { cache: ['count', 5000] })), 2)
        await inTenant(twin, () => em().nativeDelete(Author, { name: 'second' }))
      })

      it('Collection.matching() on M:N reads its own pivot table', async () => {
        const tags = await inTenant(own, async () => {
          const book = await em().findOneOrFail(Book, { title: `Book of ${own}` })
          return (await book.tags.matching({ where: {} })).map(tag => tag.label)
        })
        assert.deepEqual(tags, [`tag of ${own}`])
      })

      it('em() joins the transaction that the work opened, and rolls back with it', async () => {
        const label = `in a transaction of ${own}`
        await inTenant(own, async () => {
          const thrown = await codeOf(() =>
            em().transactional(async () => {
              assert.isTrue(em().isInTransaction())
              await em().insert(Tag, { id: newId(), label, ...stamps() })
              em().create(Tag, { label })
              await em().flush()
              assert.equal(await em().count(Tag, { label }), 2)
              const [row] = await em().execute<{ n: number }[]>(
                `select count(*)::int n from "${placeOf(own).schema}".tag where label = ?`,
                [label],
              )
              assert.equal(row!.n, 2)
              throw Object.assign(new Error(), { code: 'ROLL_BACK' })
            }),
          )
          assert.equal(thrown, 'ROLL_BACK')
          assert.equal(await em().fork().count(Tag, { label }), 0)
        })
      })

      itWithTwoConnections('shared entities are read from the control plane inside a transaction too', async () => {
        await inTenant(own, async () => {
          await em().transactional(async manager => {
            const [guin] = await manager.find(Author, {}, { populate: ['country'] })
            assert.equal(guin!.country?.code, 'FR')
            assert.lengthOf(await manager.fork().find(Country, {}), 1)
            assert.equal((await manager.findOne(Country, { code: 'FR' }))?.id, countryId)
            assert.equal(await manager.count(Country), 1)
            assert.lengthOf(await manager.createQueryBuilder(Country).getResult(), 1)
            assert.lengthOf(await manager.createQueryBuilder(Country).clone().getResult(), 1)
            const streamed: string[] = []
            for await (const country of manager.stream(Country, {})) streamed.push(country.code)
            assert.deepEqual(streamed, ['FR'])
          })
        })
      })

      itWithTwoConnections('a transaction is not joined by a nested run in the same or another tenant', async () => {
        await inTenant(own, () =>
          em().transactional(async () => {
            for (const slug of [own, twin]) {
              await inTenant(slug, async () => {
                assert.isFalse(em().isInTransaction())
                assert.equal(await em().count(Author), 1)
              })
            }
            assert.isTrue(em().isInTransaction())
          }),
        )
      })
    })
  }

  for (const [a, b] of eachPair) {
    describe(`between ${a} and ${b}`, () => {
      /** An author, a book and a tag that were loaded in the other tenant. */
      const strangers = () =>
        inTenant(b, async () => {
          const book = await em().findOneOrFail(Book, { title: `Book of ${b}` }, { populate: ['author', 'tags'] })
          return { author: book.author!, book, tag: book.tags.getItems()[0]! }
        })

      const assertRefusedAtFlush = async (mix: (manager: Manager, theirs: Awaited<ReturnType<typeof strangers>>) => unknown) => {
        const before = await everything()
        const theirs = await strangers()
        await inTenant(a, async () => {
          let answer = await codeOf(() => mix(em(), theirs))
          const sent = await sentDuring(async () => {
            if (answer === 'nothing was refused') answer = await codeOf(() => em().flush())
          })
          assert.equal(answer, 'CROSS_TENANT_ENTITY')
          assert.isEmpty(sent)
        })
        assert.deepEqual(await everything(), before)
      }

      it('a relation to an entity of the other is refused', () =>
        assertRefusedAtFlush((manager, { author: foreign }) => manager.create(Book, { title: 'mixed', author: foreign as never })))

      it('an assignment of a relation is refused', () =>
        assertRefusedAtFlush(async (manager, { author: foreign }) => {
          const book = await manager.findOneOrFail(Book, { title: `Book of ${a}` })
          book.author = foreign
        }))

      it('an item of the other in a collection is refused', () =>
        assertRefusedAtFlush(async (manager, { tag }) => {
          const book = await manager.findOneOrFail(Book, { title: `Book of ${a}` }, { populate: ['tags'] })
          book.tags.add(tag)
        }))

      it('an item of the other in a one-to-many collection is refused', () =>
        assertRefusedAtFlush(async (manager, { book }) => {
          const guin = await manager.findOneOrFail(Author, { name: 'Le Guin' }, { populate: ['books'] })
          guin.books.add(book)
        }))

      it('a changed entity of the other that is persisted is refused', () =>
        assertRefusedAtFlush((manager, { author: foreign }) => {
          foreign.name = 'changed'
          manager.persist(foreign)
        }))

      it('an entity of the other that is removed is refused', () => assertRefusedAtFlush((manager, { tag }) => manager.remove(tag)))

      it('an entity of the other that is merged and changed is refused', () =>
        assertRefusedAtFlush((manager, { author: foreign }) => {
          manager.merge(foreign)
          foreign.name = 'changed'
        }))

      it('its EntityManager and its collections are refused while the other is active', async () => {
        const before = await everything()
        await inTenant(a, async () => {
          const manager = em()
          const loaded = await loadedAuthor(manager)
          await inTenant(b, () => assertAllRefused('CROSS_TENANT_ENTITY', keptPaths(manager, loaded)))
        })
        assert.deepEqual(await everything(), before)
      })
    })
  }
})
