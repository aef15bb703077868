/** Entities whose types have a table each: a flush attributes them, and what would pass the fields by is refused. */
import { defineEntity, p } from '@mikro-orm/postgresql'
import { assert } from 'chai'
import { newId, onlyDeleted, purge, purgeDeleted, restore, tenantEntity } from 'mikro-tenantkit'
import { testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'
import { refused } from '../tenants/refused.ts'
import { bob, eve, tenantPlace, type Place, type Stored } from './model.ts'

const Vehicle = tenantEntity({
  name: 'Vehicle',
  inheritance: 'tpt',
  properties: {
    id: p
      .uuid()
      .primary()
      .onCreate(() => newId()),
    mark: p.string(),
    owner: () => p.manyToOne(Owner).nullable(),
  },
} as never) as any
const Owner = tenantEntity({
  name: 'Owner',
  properties: {
    id: p
      .uuid()
      .primary()
      .onCreate(() => newId()),
    name: p.string(),
  },
} as never) as any
const Car = defineEntity({ name: 'Car', extends: Vehicle, properties: { doors: p.integer() } } as never) as any

describe('audit fields of a table for each type', function () {
  this.timeout(60_000)
  let kit: TestTenancy
  before(async () => {
    kit = await testTenancy({ entities: [Vehicle, Owner], classification: { tenant: { children: { Car } } } as never })
    await twoTenants(kit)
  })
  after(() => kit[Symbol.asyncDispose]())

  for (const place of [tenantPlace(() => kit, 'acme'), tenantPlace(() => kit, 'globex')])
    describe(`in ${place.name}`, () => layersIn(place))
})

function layersIn(place: Place): void {
  const stored = async (id: string) =>
    (await place.sql<Stored & { doors: number }>('select v.*, c.doors from %s.vehicle v join %s.car c using (id) where v.id = $1', [id]))[0]
  const made = () =>
    place.as(bob, async manager => {
      const car: any = manager.create(Car, { mark: 'x', doors: 4 } as never)
      await manager.flush()
      return car.id as string
    })

  it('a flush fills them: creating, changing either table, deleting', async () => {
    const id = await made()
    assert.deepInclude(await stored(id), { created_by: 'tenant:bob', updated_by: 'tenant:bob', deleted_at: null })
    await place.as(eve, async manager => {
      const car: any = await manager.findOneOrFail(Car, id)
      car.doors = 2
      await manager.flush()
    })
    assert.deepInclude(await stored(id), { created_by: 'tenant:bob', updated_by: 'tenant:eve', doors: 2 })
    await place.as(bob, async manager => {
      manager.remove(await manager.findOneOrFail(Car, id))
      await manager.flush()
      assert.isNull(await manager.findOne(Car, id))
      assert.isNotNull(await manager.findOne(Car, id, onlyDeleted() as never))
    })
    assert.deepInclude(await stored(id), { updated_by: 'tenant:bob', deleted_by: 'tenant:bob', doors: 2 })
  })

  it('every bulk write of a child is refused, and changes nothing', async () => {
    const id = await made()
    const before = await stored(id)
    const row = { mark: 'y', doors: 9 }
    await place.as(eve, async manager => {
      const car: any = await manager.findOneOrFail(Car, id)
      const builder = () => manager.createQueryBuilder(Car) as any
      const writes: Record<string, () => unknown> = {
        insert: () => manager.insert(Car, { id: newId(), ...row } as never),
        insertMany: () =>
          manager.insertMany(Car, [
            { id: newId(), ...row },
            { id: newId(), ...row },
          ] as never),
        upsert: () => manager.upsert(Car, { id, ...row } as never),
        upsertMany: () =>
          manager.upsertMany(Car, [
            { id, ...row },
            { id: newId(), ...row },
          ] as never),
        nativeUpdate: () => manager.nativeUpdate(Car, { id } as never, { doors: 9 } as never),
        nativeDelete: () => manager.nativeDelete(Car, { id } as never),
        clone: () => manager.clone(car),
        'builder insert': () => builder().insert({ id: newId(), doors: 9 }),
        'builder update': () => builder().update({ doors: 9 }).where({ id }),
        'builder delete': () => builder().delete({ id }),
        'builder truncate': () => builder().truncate(),
      }
      for (const [name, write] of Object.entries(writes)) {
        const error = await refused(async () => write(), 'SQL_REFUSED')
        assert.match(error.message, /Car, whose audit fields stand in the table of Vehicle/, name)
      }
    })
    assert.deepEqual(await stored(id), before)
    assert.lengthOf(await place.sql('select * from %s.car', []), await place.sql('select * from %s.vehicle', []).then(rows => rows.length))
  })

  it('is restored and purged', async () => {
    const id = await made()
    await place.as(bob, async manager => {
      manager.remove(await manager.findOneOrFail(Car, id))
      await manager.flush()
    })
    const asPurger = { ...bob, permissions: new Set([...bob.permissions!, 'data:purge']) }
    await place.as(eve, manager => restore(manager, Car, { id } as never))
    assert.deepInclude(await stored(id), { updated_by: 'tenant:eve', deleted_at: null, deleted_by: null })
    await place.as(asPurger, manager => purge(manager, Car, { id } as never))
    assert.isDefined(await stored(id))
    await place.as(eve, async manager => {
      manager.remove(await manager.findOneOrFail(Car, id))
      await manager.flush()
    })
    await place.as(asPurger, manager => purge(manager, Car, { id } as never))
    assert.isUndefined(await stored(id))
    assert.isEmpty(await place.sql('select * from %s.vehicle where id = $1', [id]))
  })

  it('is purged by age with its root, and by no name of its own', async () => {
    const id = await made()
    const asPurger = { ...bob, permissions: new Set([...bob.permissions!, 'data:purge']) }
    await place.as(eve, async manager => {
      manager.remove(await manager.findOneOrFail(Car, id))
      await manager.flush()
    })
    await place.as(asPurger, async manager => {
      await refused(purgeDeleted(manager, { olderThan: 0, entity: Car }), 'VALIDATION_FAILED')
      await purgeDeleted(manager, { olderThan: 0 })
    })
    assert.isUndefined(await stored(id))
  })

  it('does not stand in the way of what its root refers to', async () => {
    const owner = await place.as(bob, async manager => {
      const row: any = manager.create(Owner, { name: 'x' } as never)
      await manager.flush()
      return row.id as string
    })
    const asPurger = { ...bob, permissions: new Set([...bob.permissions!, 'data:purge']) }
    await place.as(asPurger, async manager => {
      manager.remove(await manager.findOneOrFail(Owner, owner))
      await manager.flush()
      assert.equal(await purge(manager, Owner, { id: owner } as never), 1)
    })
    assert.isEmpty(await place.sql('select * from %s.owner where id = $1', [owner]))
  })
}
