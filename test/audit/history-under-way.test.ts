/** Events that are made while the rows of their flush are under way: they tell what is stored all the same. */
import { p, type EntityManager, type EventSubscriber } from '@mikro-orm/postgresql'
import { assert } from 'chai'
import { em, newId, tenantEntity } from 'mikro-tenantkit'
import { databaseUrl, query } from '../helpers/postgres.ts'
import { operator, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'

const id = () =>
  p
    .uuid()
    .primary()
    .onCreate(() => newId())

const Part = tenantEntity({
  name: 'Part',
  history: true,
  properties: { id: id(), title: p.string(), size: p.integer(), note: p.text().nullable(), next: () => p.manyToOne(Part).nullable() },
})
const Mark = tenantEntity({ name: 'Mark', properties: { id: id(), text: p.string() } })
const Page = tenantEntity({
  name: 'Page',
  history: true,
  properties: { id: id(), title: p.string(), marks: () => p.manyToMany(Mark) },
})

/** What the subscriber below does; nothing where a test does not say. */
const does: {
  beforeUpdate?: ((payload: object) => void) | undefined
  onFlush?: ((manager: EntityManager) => Promise<unknown>) | undefined
} = {}
const subscriber: EventSubscriber = {
  beforeUpdate: ({ changeSet }) => {
    does.beforeUpdate?.(changeSet!.payload)
    return Promise.resolve()
  },
  onFlush: async ({ em: manager }) => {
    const { onFlush } = does
    does.onFlush = undefined
    await onFlush?.(manager as EntityManager)
  },
}

/** More than MikroORM writes with one statement. */
const MANY = 700

type Changes = Record<string, [unknown, unknown]>

describe('history: events made while their rows are under way', function () {
  this.timeout(60_000)
  let kit: TestTenancy
  before(async () => {
    kit = await testTenancy({ entities: [Part, Mark, Page], subscribers: [subscriber] })
    await twoTenants(kit)
  })
  after(() => kit[Symbol.asyncDispose]())
  afterEach(() => {
    does.beforeUpdate = undefined
    does.onFlush = undefined
  })

  for (const slug of ['acme', 'globex']) {
    describe(slug === 'acme' ? 'in a schema' : 'in a database', () => {
      const place = () =>
        slug === 'acme' ? { url: kit.url, schema: `${kit.prefix}_acme` } : { url: databaseUrl(`${kit.prefix}_globex`), schema: 'tenant' }
      const sql = (statement: string) => query(place().url, statement.replaceAll('@', `"${place().schema}".`))
      const inside = <T>(work: () => Promise<T>) => kit.tenancy.run(slug, work, { actor: operator })
      const events = (entity: string, action: string) =>
        sql(`select id, entity_id, at, changes from @tenantkit_audit_event where entity = '${entity}' and action = '${action}' order by id`)
      beforeEach(() => sql('truncate @part, @page, @mark, @page_marks, @tenantkit_audit_event cascade'))

      it('tell each row once, at one time, whatever the number of statements', async () => {
        await inside(async () => {
          const parts = Array.from({ length: MANY }, (_, size) => em().create(Part, { title: `Part ${size}`, size }))
          await em().flush()
          for (const part of parts.slice(0, MANY - 1)) part.size += 10_000
          em().remove(parts.at(-1)!)
          await em().flush()
        })
        const created = await events('Part', 'create')
        const updated = await events('Part', 'update')
        assert.lengthOf(created, MANY)
        assert.lengthOf(updated, MANY - 1)
        assert.lengthOf(await events('Part', 'delete'), 1)
        for (const some of [created, updated]) {
          assert.lengthOf(new Set(some.map(({ entity_id }) => entity_id)), some.length)
          assert.lengthOf(new Set(some.map(({ at }) => Number(at))), 1, 'one time for a flush')
          // The time of an event is the one in its id.
          const time = Number.parseInt(String(some[0]!['id']).replace('-', '').slice(0, 12), 16)
          assert.equal(Number(some[0]!['at']), time)
        }
        const stored = await sql('select id, size from @part where deleted_at is null')
        const told = new Map(updated.map(({ entity_id, changes }) => [entity_id, (changes as Changes)['size']]))
        for (const { id: key, size } of stored) assert.deepEqual(told.get(key), [Number(size) - 10_000, size])
      })

      it('tell a relation that is written after both rows are', async () => {
        await inside(async () => {
          const parts = Array.from({ length: 6 }, (_, size) => em().create(Part, { title: `Part ${size}`, size }))
          // A ring: none can be inserted with the row that it names.
          for (const [index, part] of parts.entries()) part.next = parts[(index + 1) % parts.length]!
          await em().flush()
        })
        const stored = new Map((await sql('select id, next_id from @part')).map(row => [row['id'], row['next_id']]))
        const created = await events('Part', 'create')
        assert.lengthOf(created, 6)
        for (const { entity_id, changes } of created) assert.deepEqual((changes as Changes)['next'], [null, stored.get(entity_id)])
        assert.notInclude([...stored.values()], null)
        assert.isEmpty(await events('Part', 'update'), 'the rest of the same change')
      })

      it('tell what a hook makes of a change, and nothing that it takes out', async () => {
        does.beforeUpdate = payload => void Object.assign(payload, { note: 'by the hook', deletedAt: new Date(0) })
        await inside(async () => {
          const parts = Array.from({ length: 5 }, (_, size) => em().create(Part, { title: `Part ${size}`, size }))
          await em().flush()
          for (const part of parts) part.size = 9
          await em().flush()
        })
        const updated = await events('Part', 'update')
        assert.lengthOf(updated, 5, 'and none of them a deletion')
        for (const { changes } of updated) assert.deepEqual((changes as Changes)['note']?.[1], 'by the hook')
        assert.deepEqual(await sql('select distinct note, deleted_at from @part'), [{ note: 'by the hook', deleted_at: null }])
      })

      it('tell a collection together with the columns', async () => {
        const ids = await inside(async () => {
          const marks = Array.from({ length: 2 }, (_, n) => em().create(Mark, { text: `Mark ${n}` }))
          for (let n = 0; n < 3; n++) em().create(Page, { title: `Page ${n}`, marks })
          await em().flush()
          return marks.map(mark => mark.id)
        })
        const created = await events('Page', 'create')
        assert.lengthOf(created, 3)
        for (const { changes } of created) {
          assert.deepEqual(Object.keys(changes as Changes).toSorted(), ['marks', 'title'])
          assert.sameMembers((changes as Changes)['marks']![1] as unknown[], ids)
        }
      })

      it('tell nothing of a flush that fails in its last statement', async () => {
        await inside(async () => {
          for (let size = 0; size < MANY; size++) em().create(Part, { title: `Part ${size}`, size })
          em().create(Part, { title: 'x'.repeat(300), size: 0 })
          const outcome = await em()
            .flush()
            .then(
              () => 'written',
              (error: unknown) => (error as { code?: string }).code,
            )
          assert.equal(outcome, '22001')
        })
        assert.deepEqual(await sql('select count(*)::int as n from @tenantkit_audit_event'), [{ n: 0 }])
        assert.deepEqual(await sql('select count(*)::int as n from @part'), [{ n: 0 }])
      })

      it('are each their own of flushes that run at once', async () => {
        await Promise.all(
          Array.from({ length: 8 }, (_, worker) =>
            inside(async () => {
              for (let size = 0; size < 40; size++) em().create(Part, { title: `Worker ${worker}`, size: worker * 100 + size })
              await em().flush()
            }),
          ),
        )
        const created = await events('Part', 'create')
        assert.lengthOf(created, 320)
        const stored = new Map((await sql('select id, title, size from @part')).map(row => [row['id'], row]))
        for (const { entity_id, changes } of created) {
          const row = stored.get(entity_id)!
          assert.deepEqual(changes as Changes, { title: [null, row['title']], size: [null, row['size']] })
        }
      })
    })
  }

  it('are not made of rows that a subscriber writes by itself in the flush', async () => {
    does.onFlush = manager =>
      manager.insertMany(Part, [
        { id: newId(), title: 'Beside 1', size: 1 },
        { id: newId(), title: 'Beside 2', size: 2 },
      ])
    await kit.tenancy.run(
      'acme',
      async () => {
        for (let size = 0; size < 3; size++) em().create(Part, { title: `Flushed ${size}`, size })
        await em().flush()
      },
      { actor: operator },
    )
    const rows = await query(
      kit.url,
      `select action, count, count(*)::int as n from "${kit.prefix}_acme".tenantkit_audit_event
        where entity = 'Part' and changes::text like '%Flushed%' or count = 2 group by action, count order by count`,
    )
    assert.deepEqual(rows, [
      { action: 'create', count: 1, n: 3 },
      { action: 'create', count: 2, n: 1 },
    ])
  })
})
