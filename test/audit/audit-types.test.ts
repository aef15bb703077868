/** The columns of the audit fields are neither copied nor compared at length; everything else is as with any date and any text. */
import { p, raw, serialize, type EntityManager } from '@mikro-orm/postgresql'
import { assert } from 'chai'
import { controlEm, em, newId, onlyDeleted, sharedEntity, tenantEntity, withDeleted } from 'mikro-tenantkit'
import { query } from '../helpers/postgres.ts'
import { operator, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'

const properties = () => ({
  id: p
    .uuid()
    .primary()
    .onCreate(() => newId()),
  text: p.string(),
})
const Letter = tenantEntity({ name: 'Letter', history: true, properties: properties() })
const Poster = sharedEntity({ name: 'Poster', properties: properties() })

describe('the types of the audit fields', function () {
  this.timeout(60_000)
  let kit: TestTenancy
  before(async () => {
    kit = await testTenancy({ entities: [Letter, Poster] })
    await twoTenants(kit)
  })
  after(() => kit[Symbol.asyncDispose]())

  const inside = <T>(work: (manager: EntityManager) => Promise<T>) => kit.tenancy.run('acme', () => work(em()), { actor: operator })
  const sql = (text: string) => query(kit.url, text.replaceAll('@', `"${kit.prefix}_acme".`))
  const letters = (count: number) =>
    inside(async manager => {
      const made = Array.from({ length: count }, (_, n) => manager.create(Letter, { text: `Letter ${n}` }))
      await manager.flush()
      return made.map(({ id }) => id)
    })
  const stored = (id: string) => sql(`select * from @letter where id = '${id}'`).then(([row]) => row!)
  /** How many events there are of an entity: each flush that writes leaves some. */
  const events = async (id: string) => (await sql(`select 1 from @tenantkit_audit_event where entity_id = '${id}'`)).length

  it('read dates and texts', async () => {
    const [id] = await letters(1)
    const row = await stored(id!)
    await inside(async manager => {
      const letter = await manager.findOneOrFail(Letter, id!)
      assert.instanceOf(letter.createdAt, Date)
      assert.deepEqual(letter.createdAt, row['created_at'])
      assert.deepEqual(letter.updatedAt, row['updated_at'])
      assert.isNull(letter.deletedAt)
      assert.deepEqual([letter.createdBy, letter.updatedBy, letter.deletedBy], ['global:operator-1', 'global:operator-1', null])
      const json = JSON.parse(JSON.stringify(serialize(letter))) as Record<string, unknown>
      assert.equal(json['createdAt'], (row['created_at'] as Date).toISOString())
    })
  })

  it('make no change of what was only read, however it was', async () => {
    const [id] = await letters(1)
    const before = await stored(id!)
    const ways: Readonly<Record<string, (manager: EntityManager) => Promise<unknown>>> = {
      findOne: manager => manager.findOneOrFail(Letter, id!),
      refresh: async manager => manager.refresh(await manager.findOneOrFail(Letter, id!)),
      'find again': async manager => [await manager.find(Letter, { id: id! }), await manager.find(Letter, { id: id! }, { refresh: true })],
      'some fields': async manager => [
        await manager.find(Letter, { id: id! }, { fields: ['createdAt', 'createdBy'] }),
        await manager.find(Letter, { id: id! }),
      ],
      builder: manager => manager.createQueryBuilder(Letter).where({ id: id! }).getResultList(),
      map: async manager => manager.map(Letter, (await sql(`select * from @letter where id = '${id!}'`))[0] as never),
      merge: async manager => manager.merge(await manager.fork().findOneOrFail(Letter, id!)),
      assign: async manager => {
        const letter = await manager.findOneOrFail(Letter, id!)
        manager.assign(letter, { createdAt: new Date(letter.createdAt), text: letter.text })
      },
    }
    for (const [name, read] of Object.entries(ways)) {
      await inside(async manager => {
        await read(manager)
        await manager.flush()
      })
      assert.deepEqual(await stored(id!), before, name)
    }
    assert.deepEqual(await stored(id!), before)
    assert.equal(await events(id!), 1)
  })

  it('write no time that was set in place, and no other that was put there', async () => {
    const [id] = await letters(1)
    const before = await stored(id!)
    await inside(async manager => {
      const letter = await manager.findOneOrFail(Letter, id!)
      letter.createdAt.setFullYear(1999)
      letter.updatedAt.setFullYear(1999)
      await manager.flush()
      letter.createdBy = 'global:mallory' as never
      letter.updatedAt = new Date(0) as never
      await manager.flush()
    })
    assert.deepEqual(await stored(id!), before)
    await inside(async manager => {
      const letter = await manager.findOneOrFail(Letter, id!)
      letter.createdAt.setFullYear(1999)
      letter.text = 'changed'
      await manager.flush()
    })
    const { created_at, updated_at, text } = await stored(id!)
    assert.deepEqual([created_at, text], [before['created_at'], 'changed'])
    assert.isAtLeast(Number(updated_at), Number(before['updated_at']))
  })

  it('are changed by the next flush of the same entity, and by its deletion', async () => {
    await inside(async manager => {
      const letter = manager.create(Letter, { text: 'one' })
      await manager.flush()
      const first = letter.updatedAt
      await new Promise(resolve => setTimeout(resolve, 3))
      letter.text = 'two'
      await manager.flush()
      assert.isAbove(Number(letter.updatedAt), Number(first))
      assert.deepEqual((await stored(letter.id))['updated_at'], letter.updatedAt)
      manager.remove(letter)
      await manager.flush()
      const row = await stored(letter.id)
      assert.deepEqual([row['deleted_at'], row['deleted_by']], [letter.deletedAt, 'global:operator-1'])
      const gone = await manager.findOneOrFail(Letter, letter.id, onlyDeleted())
      assert.instanceOf(gone.deletedAt, Date)
      await manager.flush()
      assert.deepEqual(await stored(letter.id), row)
    })
  })

  it('are asked for like any date and any text', async () => {
    const ids = await letters(3)
    const place = { id: { $in: ids } }
    const times = ['2020-01-01T00:00:00.000Z', '2021-01-01T00:00:00.000Z', '2022-01-01T00:00:00.000Z']
    for (const [index, id] of ids.entries()) await sql(`update @letter set created_at = '${times[index]!}' where id = '${id}'`)
    await inside(async manager => {
      const count = (where: object) => manager.count(Letter, { $and: [place, where] })
      assert.equal(await count({ createdAt: new Date(times[1]!) }), 1)
      assert.equal(await count({ createdAt: times[1] }), 1)
      assert.equal(await count({ createdAt: { $gte: new Date(times[1]!) } }), 2)
      assert.equal(await count({ createdAt: { $in: times.slice(0, 2).map(time => new Date(time)) } }), 2)
      assert.equal(await count({ createdBy: 'global:operator-1', deletedAt: null, deletedBy: null }), 3)
      assert.equal(await count({ createdBy: { $like: 'tenant:%' } }), 0)
      assert.equal(await count({ createdAt: { $lt: raw(`timestamptz '2021-06-01'`) } }), 2)
      const orderBy = { createdAt: 'desc', id: 'asc' } as const
      const found = await manager.find(Letter, place, withDeleted({ orderBy }))
      assert.deepEqual(
        found.map(({ id }) => id),
        ids.toReversed(),
      )
      const page = await manager.findByCursor(Letter, { where: place, first: 2, orderBy })
      assert.deepEqual(
        page.items.map(({ id }) => id),
        ids.toReversed().slice(0, 2),
      )
      const next = await manager.findByCursor(Letter, { where: place, first: 2, after: page.endCursor!, orderBy })
      assert.deepEqual(
        next.items.map(({ id }) => id),
        [ids[0]],
      )
    })
  })

  it('are the same in the control plane', async () => {
    await kit.tenancy.runAsSystem('test', async () => {
      const writing = controlEm()
      const poster = writing.create(Poster, { text: 'one' })
      await writing.flush()
      const manager = controlEm().fork()
      const read = await manager.findOneOrFail(Poster, poster.id)
      assert.deepEqual([read.createdAt, read.createdBy], [poster.createdAt, 'system:test'])
      read.createdAt.setFullYear(1999)
      await manager.flush()
      const [row] = await query(kit.url, `select created_at from public.poster where id = '${poster.id}'`)
      assert.deepEqual(row!['created_at'], poster.createdAt)
    })
  })
})
