import { assert } from 'chai'
import { withDeleted } from 'mikro-tenantkit'
import { testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'
import { refused } from '../tenants/refused.ts'
import { Customer, Label, Line, Order, Product, Remark, bob, entities, eve, tenantPlace, type Place, type Stored } from './model.ts'

const FORGED = { createdAt: new Date(0), createdBy: 'global:mallory', updatedAt: new Date(0), updatedBy: 'global:mallory' }
const FORGED_ALL = { ...FORGED, deletedAt: new Date(0), deletedBy: 'global:mallory' }

describe('every write path', function () {
  this.timeout(60_000)
  let kit: TestTenancy
  before(async () => {
    kit = await testTenancy({ entities })
    await twoTenants(kit)
  })
  after(() => kit[Symbol.asyncDispose]())

  for (const place of [tenantPlace(() => kit, 'acme'), tenantPlace(() => kit, 'globex')]) describe(`in ${place.name}`, () => pathsIn(place))
})

function pathsIn(place: Place): void {
  const customer = async (id: string): Promise<Stored & { name: string }> => {
    const rows = await place.sql<Stored & { readonly name: string }>('select * from %s.customer where id = $1', [id])
    return rows[0]!
  }
  const isLive = (row: Stored, created: string, updated: string) => {
    assert.deepInclude(row, { created_by: created, updated_by: updated, deleted_at: null, deleted_by: null })
    assert.closeTo(row.created_at.getTime(), Date.now(), 60_000)
    assert.closeTo(row.updated_at.getTime(), Date.now(), 60_000)
    assert.isAtLeast(row.updated_at.getTime(), row.created_at.getTime())
  }
  const isDeleted = (row: Stored, created: string, deleted: string) => {
    assert.deepInclude(row, { created_by: created, updated_by: deleted, deleted_by: deleted })
    assert.deepEqual(row.deleted_at, row.updated_at)
  }
  /** A customer that bob made. */
  const made = (name = 'made') =>
    place.as(bob, async manager => {
      const row = manager.create(Customer, { name })
      await manager.flush()
      return row.id
    })

  it('persist and flush', async () => {
    const id = await place.as(bob, async manager => {
      const row = manager.create(Customer, { name: 'x', ...FORGED_ALL })
      await manager.flush()
      isEntity(row, 'tenant:bob', 'tenant:bob')
      return row.id
    })
    isLive(await customer(id), 'tenant:bob', 'tenant:bob')
    await place.as(eve, async manager => {
      const row = await manager.findOneOrFail(Customer, id)
      row.name = 'y'
      Object.assign(row, FORGED)
      await manager.flush()
      isEntity(row, 'tenant:bob', 'tenant:eve')
      manager.getUnitOfWork().computeChangeSets()
      assert.isEmpty(manager.getUnitOfWork().getChangeSets(), 'what was written is what is known')
    })
    const row = await customer(id)
    isLive(row, 'tenant:bob', 'tenant:eve')
    assert.equal(row.name, 'y')
  })

  it('assign of forged fields alone changes nothing', async () => {
    const id = await made()
    const before = await customer(id)
    await place.as(eve, async manager => {
      const row = await manager.findOneOrFail(Customer, id)
      manager.assign(row, FORGED_ALL)
      await manager.flush()
      isEntity(row, 'tenant:bob', 'tenant:bob')
      const other = manager.create(Customer, { name: 'other' })
      manager.assign(row, { ...FORGED_ALL, name: 'changed' })
      await manager.flush()
      assert.isOk(other.id)
    })
    const row = await customer(id)
    assert.deepEqual(row.created_at, before.created_at)
    isLive(row, 'tenant:bob', 'tenant:eve')
    assert.equal(row.name, 'changed')
  })

  it('many changes, forgeries and deletions in one flush', async () => {
    const ids = [await made('a'), await made('b'), await made('c'), await made('d')]
    await place.as(eve, async manager => {
      const [a, b, c, d] = await Promise.all(ids.map(id => manager.findOneOrFail(Customer, id)))
      a!.name = 'a2'
      b!.note = 'b2'
      manager.assign(c!, FORGED_ALL)
      manager.remove(d!)
      await manager.flush()
    })
    const [a, b, c, d] = await Promise.all(ids.map(customer))
    isLive(a!, 'tenant:bob', 'tenant:eve')
    assert.equal(a!.name, 'a2')
    isLive(b!, 'tenant:bob', 'tenant:eve')
    isLive(c!, 'tenant:bob', 'tenant:bob')
    isDeleted(d!, 'tenant:bob', 'tenant:eve')
  })

  it('remove, of a loaded row and of a reference', async () => {
    const [one, two] = [await made(), await made()]
    await place.as(eve, async manager => {
      await manager.remove(await manager.findOneOrFail(Customer, one)).flush()
      await manager.remove(manager.getReference(Customer, two)).flush()
      assert.isNull(await manager.findOne(Customer, one))
    })
    isDeleted(await customer(one), 'tenant:bob', 'tenant:eve')
    isDeleted(await customer(two), 'tenant:bob', 'tenant:eve')
    const before = await customer(one)
    await place.as(bob, async manager => {
      await manager.remove(manager.getReference(Customer, one)).flush()
      await manager.remove(await manager.findOneOrFail(Customer, two, withDeleted())).flush()
    })
    assert.deepEqual(await customer(one), before, 'deleted twice is deleted once')
    isDeleted(await customer(two), 'tenant:bob', 'tenant:eve')
  })

  it('em.insert and em.insertMany, of data and of entities', async () => {
    const ids = await place.as(bob, async manager => {
      const one = await manager.insert(Customer, { id: newKey(1), name: 'x', ...FORGED_ALL } as never)
      await manager.insertMany(Customer, [
        { id: newKey(2), name: 'x', ...FORGED_ALL },
        { id: newKey(3), name: 'x' },
      ] as never)
      const entity = manager.create(Customer, { id: newKey(4), name: 'x', ...FORGED_ALL }, { persist: false })
      await manager.insert(entity)
      const more = [5, 6].map(n => manager.create(Customer, { id: newKey(n), name: 'x', ...FORGED_ALL }, { persist: false }))
      await manager.insertMany(more)
      return [one as string, newKey(2), newKey(3), entity.id, ...more.map(row => row.id)]
    })
    for (const id of ids) isLive(await customer(id), 'tenant:bob', 'tenant:bob')
  })

  it('em.upsert and em.upsertMany, both branches', async () => {
    const id = await made()
    const before = await customer(id)
    const [fresh, more] = await place.as(eve, async manager => {
      await manager.upsert(Customer, { id, name: 'merged', ...FORGED_ALL })
      const inserted = await manager.upsert(Customer, { id: newKey(11), name: 'inserted', ...FORGED_ALL })
      const many = await manager.upsertMany(Customer, [
        { id, name: 'merged twice', ...FORGED_ALL },
        { id: newKey(12), name: 'inserted', ...FORGED_ALL },
      ])
      isEntity(inserted, 'tenant:eve', 'tenant:eve')
      return [inserted.id, many[1]!.id]
    })
    const row = await customer(id)
    assert.deepEqual(row.created_at, before.created_at)
    isLive(row, 'tenant:bob', 'tenant:eve')
    assert.equal(row.name, 'merged twice')
    isLive(await customer(fresh), 'tenant:eve', 'tenant:eve')
    isLive(await customer(more), 'tenant:eve', 'tenant:eve')
  })

  it('em.upsert into a value that is unique among live rows, and with fields named', async () => {
    const id = await made()
    await place.as(bob, async manager => {
      await manager.nativeUpdate(Customer, { id }, { email: 'one@x.test' })
    })
    await place.as(eve, async manager => {
      const row = await manager.upsert(
        Customer,
        { email: 'one@x.test', name: 'by email', ...FORGED_ALL },
        { onConflictFields: ['email'], onConflictMergeFields: ['name', 'createdBy'] },
      )
      assert.equal(row.id, id)
      isEntity(row, 'tenant:bob', 'tenant:eve')
    })
    const row = await customer(id)
    isLive(row, 'tenant:bob', 'tenant:eve')
    assert.equal(row.name, 'by email')
  })

  it('em.nativeUpdate', async () => {
    const id = await made()
    await place.as(eve, async manager => {
      assert.equal(await manager.nativeUpdate(Customer, { id }, { name: 'z', ...FORGED_ALL }), 1)
      await refused(manager.nativeUpdate(Customer, { id }, { deletedAt: new Date() }), 'VALIDATION_FAILED')
    })
    const row = await customer(id)
    isLive(row, 'tenant:bob', 'tenant:eve')
    assert.equal(row.name, 'z')
  })

  it('em.nativeDelete deletes softly, and live rows alone', async () => {
    const [one, two] = [await made('native'), await made('native')]
    await place.as(eve, async manager => assert.equal(await manager.nativeDelete(Customer, { id: one }), 1))
    const before = await customer(one)
    isDeleted(before, 'tenant:bob', 'tenant:eve')
    await place.as(bob, async manager => {
      assert.equal(await manager.nativeDelete(Customer, { name: 'native' }, { filters: false }), 1)
    })
    assert.deepEqual(await customer(one), before)
    isDeleted(await customer(two), 'tenant:bob', 'tenant:bob')
  })

  it('em.clone makes a row of its own', async () => {
    const id = await label('original')
    const copy = await place.as(eve, async manager => {
      const row = await manager.clone(Label, { id }, FORGED_ALL)
      isEntity(row, 'tenant:eve', 'tenant:eve')
      return row.id
    })
    const stored = async (of: string) => (await place.sql<Stored>('select * from %s.label where id = $1', [of]))[0]!
    isLive(await stored(copy), 'tenant:eve', 'tenant:eve')
    isLive(await stored(id), 'tenant:bob', 'tenant:bob')
  })

  it('query builders', async () => {
    const [id, other] = [newKey(21), await made()]
    await place.as(bob, async manager => {
      await manager
        .createQueryBuilder(Customer)
        .insert({ id, name: 'built', ...FORGED_ALL } as never)
        .execute()
    })
    isLive(await customer(id), 'tenant:bob', 'tenant:bob')
    await place.as(eve, async manager => {
      await manager
        .createQueryBuilder(Customer)
        .update({ name: 'rebuilt', ...FORGED_ALL })
        .where({ id })
        .execute()
      const built = manager.createQueryBuilder(Customer).insert({ id: other, name: 'merged', ...FORGED_ALL } as never)
      await built.onConflict('id').merge().execute()
    })
    isLive(await customer(id), 'tenant:bob', 'tenant:eve')
    isLive(await customer(other), 'tenant:bob', 'tenant:eve')
    assert.equal((await customer(other)).name, 'merged')
    const tag = await label('built', bob)
    await place.as(eve, async manager => {
      await refused(async () => manager.createQueryBuilder(Customer).delete({ id }), 'SQL_REFUSED')
      await refused(async () => manager.createQueryBuilder(Customer).truncate(), 'SQL_REFUSED')
      await refused(async () => manager.createQueryBuilder(Label).insertFrom(manager.createQueryBuilder(Label).select('*')), 'SQL_REFUSED')
      await manager.createQueryBuilder(Label).delete().where({ id: tag }).execute()
    })
    const [row] = await place.sql<Stored & Record<string, unknown>>('select * from %s.label where id = $1', [tag])
    isDeleted(row!, 'tenant:bob', 'tenant:eve')
  })

  it('nobody writes', async () => {
    const id = await made()
    const before = await customer(id)
    await place.as(undefined, async manager => {
      const writes: readonly (() => unknown)[] = [
        () => manager.insert(Customer, { id: newKey(31), name: 'x' } as never),
        () => manager.insertMany(Customer, [{ id: newKey(31), name: 'x' }] as never),
        () => manager.upsert(Customer, { id, name: 'x' }),
        () => manager.upsertMany(Customer, [{ id, name: 'x' }]),
        () => manager.nativeUpdate(Customer, { id }, { name: 'x' }),
        () => manager.nativeDelete(Customer, { id }),
        () => manager.createQueryBuilder(Label).insert({ id: newKey(31), name: 'x' } as never),
        () => manager.createQueryBuilder(Customer).update({ name: 'x' }).where({ id }).execute(),
        () => manager.createQueryBuilder(Label).delete({ id }),
      ]
      for (const write of writes) await refused(async () => write(), 'NO_ACTOR')
      const row = await manager.findOneOrFail(Customer, id)
      row.name = 'x'
      await refused(manager.flush(), 'NO_ACTOR')
      manager.clear()
      await refused(manager.remove(manager.getReference(Customer, id)).flush(), 'NO_ACTOR')
      manager.clear()
      await refused(async () => manager.create(Customer, { name: 'x' }), 'NO_ACTOR')
    })
    assert.deepEqual(await customer(id), before)
  })

  it('collections: orphans, moves, what is not loaded, and a pivot table', async () => {
    const [owner, other] = [await made(), await made()]
    const remarks = await place.as(bob, async manager => {
      const rows = [1, 2, 3].map(n => manager.create(Remark, { text: `r${n}`, customer: owner }))
      await manager.flush()
      return rows.map(row => row.id)
    })
    const remark = async (id: string) =>
      (await place.sql<Stored & { customer_id: string }>('select * from %s.remark where id = $1', [id]))[0]!
    await place.as(eve, async manager => {
      const loaded = await manager.findOneOrFail(Customer, owner, { populate: ['notes'] })
      loaded.notes.remove(loaded.notes.getItems().find(row => row.id === remarks[0])!)
      const moved = loaded.notes.getItems().find(row => row.id === remarks[1])!
      moved.customer = manager.getReference(Customer, other) as never
      await manager.flush()
    })
    isDeleted(await remark(remarks[0]!), 'tenant:bob', 'tenant:eve')
    isLive(await remark(remarks[1]!), 'tenant:bob', 'tenant:eve')
    assert.equal((await remark(remarks[1]!)).customer_id, other)
    await place.as(eve, async manager => {
      const row = await manager.findOneOrFail(Customer, owner)
      row.notes.set([manager.create(Remark, { text: 'instead' })])
      await manager.flush()
    })
    isDeleted(await remark(remarks[2]!), 'tenant:bob', 'tenant:eve')
  })

  it('one instant for all that a transaction writes, savepoints included', async () => {
    const before = await made()
    const ids = await place.as(eve, async manager =>
      manager.transactional(async inner => {
        const first = inner.create(Customer, { name: 'first' })
        await inner.flush()
        await new Promise(resolve => setTimeout(resolve, 15))
        await inner.nativeUpdate(Customer, { id: before }, { name: 'in it' })
        const second = await inner.transactional(async nested => {
          const row = nested.create(Customer, { name: 'second' })
          await nested.flush()
          return row
        })
        await inner.nativeDelete(Customer, { id: second.id })
        return [first.id, second.id]
      }),
    )
    const rows = await Promise.all([...ids, before].map(customer))
    assert.lengthOf(new Set(rows.map(row => row.updated_at.getTime())), 1)
    assert.deepEqual(rows[1]!.deleted_at, rows[0]!.created_at)
  })

  it('cascades to what is loaded and to what is not, in one statement for each table', async () => {
    const owner = await made()
    const [order, ...lines] = await place.as(bob, async manager => {
      const row = manager.create(Order, { number: newKey(Math.random()), customer: owner })
      const many = [1, 2].map(quantity => manager.create(Line, { quantity, order: row }))
      await manager.flush()
      return [row.id, ...many.map(line => line.id)]
    })
    await place.as(eve, async manager => {
      const loaded = await manager.findOneOrFail(Line, lines[0]!)
      await manager.remove(manager.getReference(Customer, owner)).flush()
      assert.isNull(await manager.findOne(Line, loaded.id))
    })
    for (const [table, id] of [
      ['orders', order],
      ['line', lines[0]],
      ['line', lines[1]],
    ] as const) {
      const [row] = await place.sql<Stored & Record<string, unknown>>(`select * from %s.${table} where id = $1`, [id])
      isDeleted(row!, 'tenant:bob', 'tenant:eve')
      assert.equal(row!.deleted_with, `Customer:${owner}`)
      assert.deepEqual(row!.deleted_at, (await customer(owner)).deleted_at)
    }
    const [row] = await place.sql<{ version: number }>('select version from %s.orders where id = $1', [order])
    assert.equal(row!.version, 2)
  })

  it('a live child that forbids it', async () => {
    const owner = await made()
    const [product, line] = await place.as(bob, async manager => {
      const sold = manager.create(Product, { name: 'p' })
      const row = manager.create(Order, { number: newKey(Math.random()), customer: owner })
      const one = manager.create(Line, { quantity: 1, order: row, product: sold })
      await manager.flush()
      return [sold.id, one.id]
    })
    await place.as(eve, async manager => {
      const error = await refused(manager.remove(manager.getReference(Product, product)).flush(), 'CONFLICT')
      assert.include(error.message, line)
      manager.clear()
      await refused(manager.nativeDelete(Product, { id: product }), 'CONFLICT')
      const [row] = await place.sql<Stored & Record<string, unknown>>('select * from %s.product where id = $1', [product])
      assert.isNull(row!.deleted_at)
      // With what refers to it, it goes.
      manager.remove(manager.getReference(Product, product))
      manager.remove(manager.getReference(Customer, owner))
      await manager.flush()
    })
  })

  async function label(name: string, actor = bob): Promise<string> {
    return place.as(actor, async manager => {
      const row = manager.create(Label, { name })
      await manager.flush()
      return row.id
    })
  }

  function newKey(n: number): string {
    const digits = Math.floor(n < 1 ? n * 1e12 : n).toString(16)
    return `0198${digits.padStart(8, '0').slice(0, 4)}-0000-7000-8000-${digits.padStart(12, '0').slice(-12)}`
  }
}

function isEntity(row: { createdBy?: unknown; updatedBy?: unknown; deletedAt?: unknown }, created: string, updated: string): void {
  assert.equal(row.createdBy, created)
  assert.equal(row.updatedBy, updated)
  assert.isNotOk(row.deletedAt)
}
