/** Special ways, in both isolations: transactions, streams, caches, sessions, hooks, and what is kept or carried from one tenant to another. */
import { raw, sql, wrap, type EventArgs } from '@mikro-orm/postgresql'
import { assert } from 'chai'
import { em } from 'mikro-tenantkit'
import { Author, Book, Tag } from './entities.ts'
import { pairs, underTest } from './places.ts'
import { openStage, sceneOf, type Stage } from './scene.ts'
import { itWithTwoConnections } from '../helpers/pooler.ts'
import { sentDuring } from '../helpers/spy.ts'

let stage: Stage

async function codeOf(work: () => unknown): Promise<string> {
  try {
    await work()
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
  return 'nothing was refused'
}

/** Refused with the code, before any SQL. */
async function assertRefused(code: string, work: () => unknown): Promise<void> {
  let answer = ''
  const sent = await sentDuring(async () => (answer = await codeOf(work)))
  assert.equal(answer, code)
  assert.isEmpty(sent)
}

describe('no way round: special ways', function () {
  this.timeout(20_000)

  before(async () => {
    stage = await openStage()
  })
  after(() => stage[Symbol.asyncDispose]())
  afterEach(async () => {
    assert.isEmpty(await stage.places.changes())
  })

  for (const [own, other] of pairs) {
    // Behind a pooler, schema tenants share its connections to one database.
    const itBeside = [own, other].includes('acme') && [own, other].includes('initech') ? itWithTwoConnections : it
    describe(`${own} and ${other}`, () => {
      itBeside('a transaction that the other began is taken by nothing of this one', () =>
        stage.run(other, () =>
          em().transactional(async theirs => {
            const foreign = theirs.getTransactionContext()
            await stage.run(own, async () => {
              const manager = em().fork()
              manager.setTransactionContext(foreign)
              await assertRefused('CROSS_TENANT_ENTITY', () => manager.find(Author, {}))
              await assertRefused('CROSS_TENANT_ENTITY', () => manager.createQueryBuilder(Author).getResult())
              await assertRefused('CROSS_TENANT_ENTITY', () => manager.insert(Tag, sceneOf(own).tag))
              await assertRefused('CROSS_TENANT_ENTITY', () => manager.execute('select 1'))
              await assertRefused('CROSS_TENANT_ENTITY', () => em().find(Author, {}, { ctx: foreign } as never))
              await assertRefused('CROSS_TENANT_ENTITY', () => em().begin({ ctx: foreign as never }))
              // What does not look at the option works on its own.
              const careless = [
                () => em().transactional(inner => inner.find(Author, {}, { refresh: true }), { ctx: foreign as never }),
                () => sceneOf(own).books.matching({ ctx: foreign as never }),
              ]
              for (const work of careless) {
                const answer = await codeOf(async () => {
                  for (const { mark } of await work()) assert.equal(mark, `row of ${own}`)
                })
                assert.include(['CROSS_TENANT_ENTITY', 'nothing was refused'], answer)
              }
              await assertRefused('CROSS_TENANT_ENTITY', () => (em().getConnection() as any).execute('select 1', [], 'all', foreign))
            })
          }),
        ),
      )

      it('a stream that the other began gives it no more rows here', () =>
        stage.run(other, async () => {
          const rows = em().stream(Author, {})
          const built = em().createQueryBuilder(Author).select('*').stream()
          assert.equal((await rows.next()).value.mark, `row of ${other}`)
          assert.equal((await built.next()).value!.mark, `row of ${other}`)
          await stage.run(own, async () => {
            assert.equal(await codeOf(() => rows.next()), 'CROSS_TENANT_ENTITY')
            assert.equal(await codeOf(() => built.next()), 'CROSS_TENANT_ENTITY')
          })
        }))

      it('cached answers are not shared, named or not, of find, count and the query builder', async () => {
        const name = `cached ${own} ${other}`
        for (const slug of [own, other, own, other]) {
          await stage.run(slug, async () => {
            for (const cache of [true, [name, 5000]] as const) {
              const found = await em()
                .fork()
                .find(Author, {}, { cache: cache as true })
              const built = await em()
                .fork()
                .createQueryBuilder(Author)
                .select('*')
                .cache(cache as true)
                .execute<{ mark: string }[]>()
              for (const { mark } of [...found, ...built]) assert.equal(mark, `row of ${slug}`)
            }
          })
        }
      })

      it('a schema that is put on an entity, a reference or a row leads nowhere', () =>
        stage.run(own, async () => {
          const schema = stage.places.schemaOf(other) === em().schema ? 'public' : stage.places.schemaOf(other)
          const manager = () => em().fork()
          const marked = manager()
          const { author } = sceneOf(own, marked)
          wrap(author).setSchema(schema)
          author.mark = 'changed'
          await assertRefused('CROSS_TENANT_ENTITY', () => marked.flush())
          await assertRefused('CROSS_TENANT_ENTITY', () =>
            (manager().getReference(Author, 1, { schema, wrapped: true } as never) as any).load(),
          )
          await assertRefused('CROSS_TENANT_ENTITY', () => {
            const creating = manager()
            creating.create(Tag, { id: 9, mark: 'new' }, { schema })
            return creating.flush()
          })
          await assertRefused('CROSS_TENANT_ENTITY', () => {
            const merging = manager()
            merging.merge(Author, { id: 1, mark: 'given' }, { schema }).mark = 'changed'
            return merging.flush()
          })
        }))

      it('what was serialised in the other is merged and written as this one’s own', async () => {
        const dto = await stage.run(other, async () => wrap(await em().findOneOrFail(Tag, { id: 1 })).toObject())
        await stage.run(own, async () => {
          await em()
            .transactional(async manager => {
              const merged = manager.merge(Tag, { ...dto, mark: 'carried' } as never) as any
              merged.mark = 'changed'
              await manager.flush()
              assert.equal((await manager.fork({ keepTransactionContext: true }).findOneOrFail(Tag, { id: 1 })).mark, 'changed')
              const [row] = await stage.places
                .client(other)
                .query(`select mark from "${stage.places.schemaOf(other)}".tag where id = 1`)
                .then(({ rows }) => rows)
              assert.equal(row.mark, `row of ${other}`)
              await manager.rollback()
            })
            .catch(() => undefined)
        })
        await stage.places.reset()
      })

      it('an id of the other is an id of this one', () =>
        stage.run(own, async () => {
          const author = em().getReference(Author, 1)
          await wrap(author).init()
          assert.equal(author.mark, `row of ${own}`)
        }))
    })
  }

  for (const [isolation, slug] of Object.entries(underTest)) {
    describe(`by ${isolation}`, () => {
      it('a stream gives nothing after its run', async () => {
        const kept = await stage.run(slug, async () => {
          const rows = em().stream(Author, {})
          await rows.next()
          return { rows }
        })
        await assertRefused('NO_TENANT_CONTEXT', () => kept.rows.next())
      })

      it('a session takes variables, and neither a role nor a search_path', () =>
        stage.run(slug, async () => {
          for (const session of [
            { role: 'x' },
            { variables: { search_path: 'public' } },
            { variables: { SEARCH_PATH: 'public' } },
            { variables: { role: 'x' } },
          ]) {
            await assertRefused('SQL_REFUSED', () => em().setSessionContext(session))
            await assertRefused('SQL_REFUSED', () => em().fork({ session }))
          }
          const manager = em().fork({ session: { variables: { 'app.some': 'value' } } })
          assert.lengthOf(await manager.find(Author, {}), 2)
        }))

      it('a kept transaction, begun by hand or by Kysely, ends with its run', async () => {
        const kept = await stage.run(slug, async () => {
          const manager = em()
          await manager.begin()
          await manager.find(Author, {})
          return { manager, kysely: manager.getKysely() as any }
        })
        await assertRefused('NO_TENANT_CONTEXT', () => kept.manager.find(Author, {}))
        assert.notEqual(await codeOf(() => kept.kysely.selectFrom('author').execute()), 'nothing was refused')
      })

      it('fragments, raw conditions and orders stay in its tables', () =>
        stage.run(slug, async () => {
          const mark = `row of ${slug}`
          const found = await em().find(Author, { [raw(alias => `upper(${alias}.mark)`)]: mark.toUpperCase() } as never, {
            orderBy: { [sql`random()` as never]: 'asc' } as never,
          })
          assert.deepEqual(
            found.map(author => author.mark),
            [mark, mark],
          )
          assert.deepEqual(await em().countBy(Author, 'mark', { where: { books: { tags: { id: { $gt: 0 } } } } }), { [mark]: 2 })
          const populated = await em()
            .fork()
            .find(Author, {}, { populate: ['books'], populateWhere: { books: { id: 1 } }, populateOrderBy: { books: { id: 'desc' } } })
          assert.deepEqual(
            populated.flatMap(author => author.books.getItems().map(book => book.mark)),
            [mark],
          )
          assert.equal(await codeOf(() => em().find(Author, { id: { $in: sql`(select id from author)` } } as never)), 'NO_TENANT_CONTEXT')
        }))

      it('a batch loader that is not installed says so', () =>
        stage.run(slug, async () => {
          const { books } = sceneOf(slug)
          assert.match(await codeOf(() => books.load({ dataloader: true })), /dataloader.*installed/)
        }))

      it('hooks and filters of one run are not of the next', async () => {
        const heard: string[] = []
        await stage.run(slug, async () => {
          const manager = em().fork({ cloneEventManager: true })
          manager.getEventManager().registerSubscriber({
            onLoad: ({ em: at }: EventArgs<object>) => {
              heard.push(at.schema!)
            },
          })
          manager.addFilter({ name: 'none', cond: { id: -1 } as never, entity: [Author] as never })
          em().addFilter({ name: 'none', cond: { id: -1 } as never, entity: [Author] as never })
          assert.isEmpty(await manager.find(Author, {}))
          assert.isEmpty(await em().find(Author, {}))
          await manager.find(Book, {})
        })
        const times = heard.length
        assert.isAbove(times, 0)
        assert.deepEqual([...new Set(heard)], [stage.places.schemaOf(slug)])
        for (const next of ['acme', 'initech', 'globex', 'hooli'] as const)
          await stage.run(next, async () => {
            assert.lengthOf(await em().find(Author, {}), 2)
          })
        assert.lengthOf(heard, times)
      })
    })
  }
})
