/** Probes inside tenants: schemas, builders, entities, transactions, caches. */
import { currentTenant, newId } from 'mikro-tenantkit'
import { Author, Book, Country, Notice, Person, Tag } from '../helpers/tenancy.ts'
import { stamps } from '../interleaving/data-operations.ts'
import { FOREIGN, NO_CONTEXT, inTenant, must, mustBeFree, mustRefuse, mustRefuseUnsent, type Ground, type Probe } from './probe.ts'

/** The part of Kysely that is used. */
interface Kysely {
  selectNoFrom(make: (builder: { lit(value: number): { as(name: string): unknown } }) => unknown): { execute(): Promise<unknown> }
}

/** The part of a connection that is kept. */
interface KeptConnection {
  execute(sql: string): Promise<unknown>
  stream(sql: string): AsyncIterableIterator<unknown>
  executeDump(sql: string): Promise<void>
  begin(): Promise<object>
  commit(transaction: object): Promise<void>
  rollback(transaction: object): Promise<void>
  transactional(work: () => Promise<void>): Promise<void>
  getClient(): unknown
  getNativeClient(): Promise<unknown>
}

const both = (ground: Ground) => [ground.acme, ground.globex]

export const TENANT_PROBES: Readonly<Record<string, Probe>> = {
  'another schema, by every option': async ground => {
    for (const place of both(ground)) {
      const schema = ground.initech.schema
      await inTenant(ground, place, async manager => {
        await mustRefuse(FOREIGN, 'find', () => manager.find(Tag, {}, { schema }))
        await mustRefuse(FOREIGN, 'nativeUpdate', () => manager.nativeUpdate(Tag, {}, { label: 'x' }, { schema }))
        const row = { id: newId(), label: 'x', ...stamps() }
        await mustRefuse(FOREIGN, 'insert', () => manager.insert(Tag, row, { schema }))
        await mustRefuse(FOREIGN, 'insertMany', () => manager.insertMany(Tag, [row, { ...row, id: newId() }], { schema }))
        await mustRefuse(FOREIGN, 'upsertMany', () => manager.upsertMany(Tag, [row, { ...row, id: newId() }], { schema }))
        await mustRefuse(FOREIGN, 'a fork', () => manager.fork({ schema }).find(Tag, {}, { schema }))
        await mustRefuse(FOREIGN, 'the setter', () => (manager.schema = schema))
        await mustRefuse(FOREIGN, 'withSchema', () => manager.createQueryBuilder(Tag).withSchema(schema).getResult())
        await mustRefuse(FOREIGN, 'withSchema of a clone', () => manager.createQueryBuilder(Tag).clone().withSchema(schema).getResult())
        await mustRefuse(FOREIGN, 'withSchema of a clone of a clone', () =>
          manager.createQueryBuilder(Tag).clone().clone().withSchema(schema).getResult(),
        )
        await mustRefuse(FOREIGN, 'a join', () => manager.createQueryBuilder(Author, 'a').leftJoin('a.books', 'b', {}, schema).getResult())
        await mustRefuse(FOREIGN, 'from', () =>
          manager
            .createQueryBuilder(Tag)
            .from(Country as never)
            .getResult(),
        )
      })
    }
  },
  'what is kept after a run': async ground => {
    for (const place of both(ground)) {
      const keep = () =>
        inTenant(ground, place, async manager => {
          const author = manager.create(Author, { name: `${place.slug}:kept` })
          await manager.flush()
          await manager.find(Tag, {}, { cache: ['kept', 5_000] })
          const connection = manager.getConnection() as unknown as KeptConnection
          const builder = manager.createQueryBuilder(Tag)
          return { manager, author, connection, kysely: manager.getKysely() as unknown as Kysely, builder: { of: builder } }
        })
      const one = await keep()
      const uses = (kept: typeof one): readonly (readonly [string, () => unknown])[] => [
        ['find', () => kept.manager.find(Tag, {})],
        ['count', () => kept.manager.count(Tag, {})],
        ['flush', () => ((kept.author.name = 'x'), kept.manager.flush())],
        ['a cached find', () => kept.manager.find(Tag, {}, { cache: ['kept', 5_000] })],
        [
          'flush of a new entity',
          () =>
            kept.manager
              .fork()
              .persist(kept.manager.create(Tag, { label: 'x' }))
              .flush(),
        ],
        ['the SQL of a builder', () => kept.builder.of.getQuery()],
        ['execute', () => kept.manager.execute('select 1')],
        ['getConnection', () => kept.manager.getConnection()],
        ['a commit of the unit of work', () => ((kept.author.name = 'x'), kept.manager.getUnitOfWork().commit())],
        ['a connection', () => kept.connection.execute('select 1')],
        ['a stream of a connection', () => kept.connection.stream('select 1').next()],
        ['a dump of a connection', () => kept.connection.executeDump('select 1')],
        ['a transaction of a connection', () => kept.connection.transactional(() => Promise.resolve())],
        ['begin of a connection', () => kept.connection.begin()],
        ['the client of a connection', () => kept.connection.getClient()],
        ['a builder', () => kept.builder.of.getResult()],
        ['a new builder', () => kept.manager.createQueryBuilder(Tag)],
        ['a transaction', () => kept.manager.transactional(() => Promise.resolve())],
        ['begin', () => kept.manager.begin()],
        ['a collection', () => kept.author.books.init()],
        ['the driver', () => kept.manager.getDriver().find(Tag, {}, {})],
        ['the driver’s SQL', () => kept.manager.getDriver().execute('select 1')],
        ['nativeDelete of the driver', () => kept.manager.getDriver().nativeDelete(Tag, {})],
        ['a shared entity', () => kept.manager.find(Country, {})],
        ['getRepository', () => kept.manager.getRepository(Tag).findAll()],
      ]
      for (const [what, use] of uses(one)) await mustRefuseUnsent(NO_CONTEXT, `${what} outside of everything`, use)
      const two = await keep()
      await inTenant(ground, place, async () => {
        for (const [what, use] of uses(two)) await mustRefuseUnsent(NO_CONTEXT, `${what} in the next run`, use)
      })
      await mustBeFree(ground, 'what was kept and refused is in use')
      await mustRefuse(NO_CONTEXT, 'Kysely', () => one.kysely.selectNoFrom(builder => builder.lit(1).as('one')).execute())
    }
  },
  'an EntityManager in another run': async ground => {
    await inTenant(ground, ground.acme, async manager => {
      const author = manager.create(Author, { name: `${ground.acme.slug}:mine` })
      await manager.flush()
      for (const other of [ground.initech, ground.globex]) {
        await inTenant(ground, other, async () => {
          await mustRefuse(FOREIGN, 'find', () => manager.find(Tag, {}))
          await mustRefuse(FOREIGN, 'execute', () => manager.execute('select 1'))
          await mustRefuse(FOREIGN, 'flush', () => ((author.name = 'x'), manager.flush()))
          await mustRefuse(FOREIGN, 'the driver', () => manager.getDriver().find(Tag, {}, {}))
        })
      }
      await ground.tenancy.runAsSystem('probe', () => mustRefuse(NO_CONTEXT, 'find in the control plane', () => manager.find(Tag, {})))
      manager.clear()
      // A second flush waits for the first, and would begin in the context of that one.
      manager.create(Tag, { label: `${ground.acme.slug}:flushed` })
      const first = manager.flush()
      await inTenant(ground, ground.initech, () => mustRefuse(FOREIGN, 'a flush behind another one', () => manager.flush()))
      await first
    })
  },
  'entities of another tenant': async ground => {
    for (const [from, to] of [
      [ground.acme, ground.initech],
      [ground.globex, ground.hooli],
      [ground.globex, ground.acme],
    ] as const) {
      const load = () =>
        inTenant(ground, from, async manager => {
          const [author, written] = ['stolen', 'written'].map(name => manager.create(Author, { name: `${from.slug}:${name}` }))
          const tag = manager.create(Tag, { label: `${from.slug}:stolen` })
          const book = manager.create(Book, { title: `${from.slug}:stolen` })
          await manager.flush()
          // As most are: found, not made.
          const found = await manager.fork().findOneOrFail(Author, { id: author!.id })
          return { author: author!, written: written!, found, tag, book }
        })
      const { author, written, found, tag, book } = await load()
      await inTenant(ground, to, async manager => {
        const fresh = () => manager.fork()
        await mustRefuse(FOREIGN, 'persist', () => ((written.name = 'x'), fresh().persist(written).flush()))
        await mustRefuse(FOREIGN, 'persist of what was found', () => ((found.name = 'x'), fresh().persist(found).flush()))
        await mustRefuse(FOREIGN, 'assign', () => fresh().assign(author, { name: 'x' }))
        await mustRefuse(FOREIGN, 'refresh', () => fresh().refresh(author))
        await mustRefuse(FOREIGN, 'populate', () => fresh().populate(author, ['books']))
        await mustRefuse(FOREIGN, 'the loader', () =>
          fresh()
            .getEntityLoader()
            .populate(Author, [author], [{ field: 'books' }] as never, {}),
        )
        await mustRefuse(FOREIGN, 'a relation', async () => {
          const fork = fresh()
          fork.create(Book, { title: 'x', author })
          await fork.flush()
        })
        await mustRefuse(FOREIGN, 'persist of the unit of work', () => {
          const fork = fresh()
          book.title = 'x'
          fork.getUnitOfWork().persist(book)
          return fork.flush()
        })
        await mustRefuse(FOREIGN, 'a collection', async () => {
          const fork = fresh()
          fork.create(Book, { title: 'x' }).tags.add(tag)
          await fork.flush()
        })
        await mustRefuse(FOREIGN, 'a collection of a row that stands', async () => {
          const fork = fresh()
          const book = fork.create(Book, { title: `${to.slug}:stands` })
          await fork.flush()
          book.tags.add(tag)
          await fork.flush()
        })
        await mustRefuse(FOREIGN, 'insert', () => fresh().insert(Book, { id: newId(), title: 'x', author, ...stamps() } as never))
        await mustRefuse(FOREIGN, 'insertMany', () => fresh().insertMany(Book, [{ id: newId(), title: 'x', author, ...stamps() } as never]))
        await mustRefuse(FOREIGN, 'upsert', () => fresh().upsert(Tag, tag))
      })
    }
  },
  'shared entities in a tenant': async ground => {
    for (const place of both(ground)) {
      await inTenant(ground, place, async manager => {
        const data = { id: newId(), code: 'XX', ...stamps() }
        const [country] = await manager.find(Country, {}, { limit: 1 })
        must(country !== undefined, 'a tenant reads no shared entity')
        const { code } = country!
        await mustRefuseUnsent(FOREIGN, 'flush', () => write(manager.fork()))
        await mustRefuseUnsent(FOREIGN, 'a change', () => ((country!.code = 'XX'), manager.flush()))
        manager.clear()
        await mustRefuse(FOREIGN, 'insert', () => manager.insert(Country, data))
        await mustRefuse(FOREIGN, 'insertMany', () => manager.insertMany(Country, [data, { ...data, id: newId() }]))
        await mustRefuse(FOREIGN, 'upsert', () => manager.upsert(Country, data))
        await mustRefuse(FOREIGN, 'nativeUpdate', () => manager.nativeUpdate(Country, {}, { code: 'XX' }))
        await mustRefuse(FOREIGN, 'nativeDelete', () => manager.nativeDelete(Country, {}))
        await mustRefuse(FOREIGN, 'nativeDelete of the driver', () => manager.getDriver().nativeDelete(Country, {}))
        for (const builder of [manager.createQueryBuilder(Country), manager.createQueryBuilder(Country).clone()]) {
          await mustRefuse(FOREIGN, 'update of a builder', () => builder.update({ code: 'XX' }).execute())
        }
        for (const work of [() => manager.find(Person.shared, {}), () => manager.createQueryBuilder(Person.shared).getResult()])
          await mustRefuse(FOREIGN, 'the other half of a both entity', work)
        const author = manager.create(Author, { name: `${place.slug}:of a country`, country: country!.id } as never)
        await manager.flush()
        for (const strategy of ['joined', 'select-in'] as const) {
          const [found] = await manager.fork().find(Author, { id: author.id }, { populate: ['country'], strategy })
          const populated = (found!.country as unknown as { code?: string } | undefined)?.code
          must(populated === code, `a shared relation is not populated (${strategy})`)
        }
      })
    }
    await inTenant(ground, ground.globex, async manager => {
      await mustRefuse('CROSS_DATABASE_QUERY', 'a join over databases', () =>
        manager.createQueryBuilder(Author, 'a').leftJoinAndSelect('a.country', 'c').getResult(),
      )
      await mustRefuse('VALIDATION_FAILED', 'a shared row that is not there', () => {
        const fork = manager.fork()
        fork.create(Author, { name: 'x', country: newId() } as never)
        return fork.flush()
      })
      await manager.transactional(async inner => {
        await inner.execute('select 1')
        must((await inner.count(Country)) > 0, 'inside a transaction a tenant reads no shared entity')
        must((await inner.find(Country, {})).length > 0, 'inside a transaction a tenant finds no shared entity')
      })
    })
  },
  'rows that others alone may see': async ground => {
    for (const place of [ground.acme, ground.initech, ground.globex, ground.hooli]) {
      await inTenant(ground, place, async manager => {
        const mayRead = (texts: readonly string[]) => {
          const others = texts.filter(text => text !== 'for all' && !text.startsWith(`${place.slug}:`))
          must(others.length === 0, `${place.slug} sees ${others.join()}`)
        }
        mayRead((await manager.find(Notice, {})).map(({ text }) => text))
        mayRead((await manager.fork().find(Notice, {}, { filters: false })).map(({ text }) => text))
        mayRead((await manager.createQueryBuilder(Notice).getResult()).map(({ text }) => text))
        mayRead((await manager.createQueryBuilder(Notice).clone().getResult()).map(({ text }) => text))
      })
    }
  },
  'a transaction begun by hand ends with its run': async ground => {
    for (const place of both(ground)) {
      await inTenant(ground, place, async manager => {
        await manager.begin()
        manager.create(Tag, { label: `${place.slug}:left open` })
        await manager.flush()
      })
      await inTenant(ground, place, async manager => {
        must((await manager.count(Tag, { label: `${place.slug}:left open` })) === 0, 'it was committed')
      })
      await mustBeFree(ground, 'its connection is in use still')
    }
  },
  'a transaction is joined by nobody else': async ground => {
    for (const [outer, inner] of [
      [ground.acme, ground.acme],
      [ground.acme, ground.initech],
      [ground.globex, ground.globex],
    ] as const) {
      const label = `${inner.slug}:inside ${newId()}`
      await inTenant(ground, outer, manager =>
        manager.transactional(async () => {
          await inTenant(ground, inner, async nested => {
            nested.create(Tag, { label })
            await nested.flush()
          })
          throw new Error('on purpose')
        }),
      ).catch((error: Error) => must(error.message === 'on purpose', error.message))
      await inTenant(ground, inner, async manager =>
        must((await manager.count(Tag, { label })) === 1, 'a nested run was rolled back with the outer one'),
      )
    }
  },
  'a transaction of another tenant': async ground => {
    await inTenant(ground, ground.acme, manager =>
      manager.transactional(async outer => {
        const transaction = outer.getTransactionContext() as unknown as object
        await inTenant(ground, ground.initech, async inner => {
          await mustRefuse(FOREIGN, 'SQL in it', () => inner.getConnection().execute('select 1', [], 'all', transaction as never))
          const connection = inner.getConnection() as unknown as KeptConnection
          await mustRefuse(FOREIGN, 'its commit', () => connection.commit(transaction))
          await mustRefuse(FOREIGN, 'its rollback', () => connection.rollback(transaction))
        })
      }),
    )
  },
  'the pool behind a connection': async ground => {
    for (const place of both(ground)) {
      await inTenant(ground, place, async manager => {
        await mustRefuse(FOREIGN, 'close', () => manager.getConnection().close(true))
        await mustRefuse(FOREIGN, 'the client of the pool', () => manager.getConnection().getNativeClient())
        const kysely = manager.getKysely() as unknown as Kysely & { destroy(): Promise<void> }
        await kysely.selectNoFrom(builder => builder.lit(1).as('one')).execute()
        await kysely.destroy()
        must((await manager.count(Tag)) >= 0, 'the pool is closed')
      })
    }
  },
  'one cache key for every tenant': async ground => {
    for (const place of [ground.globex, ground.hooli, ground.acme, ground.initech]) {
      await inTenant(ground, place, async manager => {
        manager.create(Tag, { label: `${place.slug}:cached` })
        await manager.flush()
        const cached = await manager.fork().find(Tag, {}, { cache: ['probe', 2_000] })
        const foreign = cached.filter(({ label }) => !label.startsWith(`${place.slug}:`))
        must(foreign.length === 0 && currentTenant().slug === place.slug, `${place.slug} reads ${foreign[0]?.label} from the cache`)
      })
    }
  },
  'unqualified SQL': async ground => {
    for (const place of both(ground)) {
      await inTenant(ground, place, async manager => {
        await mustRefuse(NO_CONTEXT, 'a tenant table', () => manager.execute('select * from tag'))
        await mustRefuse(NO_CONTEXT, 'a shared table', () => manager.execute('select * from country'))
      })
    }
  },
}

function write(manager: { create(entity: typeof Country, data: { code: string }): unknown; flush(): Promise<void> }): Promise<void> {
  manager.create(Country, { code: 'XX' })
  return manager.flush()
}
