import { assert } from 'chai'
import { onlyDeleted, purge, purgeDeleted, restore, withDeleted, type Actor } from 'mikro-tenantkit'
import { testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'
import { refused } from '../tenants/refused.ts'
import {
  Customer,
  Folder,
  Label,
  Line,
  Order,
  Price,
  Plan,
  Product,
  Remark,
  bob,
  controlPlace,
  entities,
  eve,
  tenantPlace,
  type Place,
  type Stored,
} from './model.ts'

const purger: Actor = { ...eve, permissions: new Set(['data:write', 'data:purge']) }
const system: Actor = { plane: 'system', id: 'test', label: 'test' }
let serial = 0
const number = () => `N-${++serial}`

describe('soft delete and restoring', function () {
  this.timeout(60_000)
  let kit: TestTenancy
  before(async () => {
    kit = await testTenancy({ entities })
    await twoTenants(kit)
  })
  after(() => kit[Symbol.asyncDispose]())

  for (const place of [tenantPlace(() => kit, 'acme'), tenantPlace(() => kit, 'globex')]) describe(`in ${place.name}`, () => livesIn(place))
  describe('in the control plane', () => sharedLives(controlPlace(() => kit)))
})

function livesIn(place: Place): void {
  const stored = async (table: string, id: string): Promise<Stored | undefined> =>
    (await place.sql<Stored>(`select * from %s.${table} where id = $1`, [id]))[0]
  const isLive = async (table: string, id: string) => assert.isNull((await stored(table, id))!.deleted_at, `${table} lives`)
  const isDeleted = async (table: string, id: string) => assert.isNotNull((await stored(table, id))!.deleted_at, `${table} is deleted`)

  /** A customer with an order of two lines of a product, and a remark. */
  const family = (email?: string) =>
    place.as(bob, async manager => {
      const customer = manager.create(Customer, { name: 'c', email: email ?? null })
      const product = manager.create(Product, { name: 'p' })
      const order = manager.create(Order, { number: number(), customer })
      const lines = [1, 2].map(quantity => manager.create(Line, { quantity, order, product }))
      const remark = manager.create(Remark, { text: 'r', customer })
      await manager.flush()
      return { customer: customer.id, order: order.id, product: product.id, lines: lines.map(line => line.id), remark: remark.id }
    })
  const remove = (entity: typeof Customer | typeof Order | typeof Line | typeof Product, id: string, actor: Actor = eve) =>
    place.as(actor, async manager => manager.remove(manager.getReference(entity as typeof Customer, id)).flush())

  it('shows live rows, all rows, or deleted ones', async () => {
    const [one, two] = [await family(), await family()]
    await remove(Customer, one.customer)
    await place.as(bob, async manager => {
      const where = { id: { $in: [one.customer, two.customer] } }
      const ids = async (options?: object) => (await manager.find(Customer, where, options)).map(row => row.id).sort()
      assert.deepEqual(await ids(), [two.customer])
      assert.deepEqual(await ids(withDeleted()), [one.customer, two.customer].sort())
      assert.deepEqual(await ids(onlyDeleted({ orderBy: { id: 'asc' } })), [one.customer])
      assert.equal(await manager.count(Customer, where, onlyDeleted()), 1)
      assert.equal(await manager.count(Customer, where), 1)
      manager.clear()
      assert.isNull(await manager.findOne(Customer, one.customer))
      assert.isOk(await manager.findOne(Customer, one.customer, withDeleted({ filters: { other: true } })))
    })
  })

  it('a live child of a deleted parent stays in lists, and its parent deleted', async () => {
    const { customer, remark } = await family()
    await remove(Customer, customer)
    await isLive('remark', remark)
    for (const strategy of ['joined', 'select-in'] as const)
      await place.as(bob, async manager => {
        const found = await manager.find(Remark, { id: remark }, { populate: ['customer'], strategy })
        assert.lengthOf(found, 1, strategy)
        found[0]!.text = strategy
        await manager.flush()
      })
    await place.as(bob, async manager => assert.equal(await manager.count(Remark, { id: remark }), 1))
    await isDeleted('customer', customer)
    assert.equal((await stored('remark', remark))!['customer_id'], customer, 'it refers to it still')
  })

  it('restores exactly what went along', async () => {
    const { customer, order, lines, remark } = await family()
    await remove(Line, lines[0]!, bob)
    await remove(Customer, customer)
    for (const [table, id] of [
      ['customer', customer],
      ['orders', order],
      ['line', lines[0]!],
      ['line', lines[1]!],
    ] as const)
      await isDeleted(table, id)
    await isLive('remark', remark)
    await place.as(bob, async manager => {
      const row = await manager.findOneOrFail(Customer, customer, onlyDeleted())
      assert.equal(await restore(manager, row), 1)
      assert.isNull(row.deletedAt)
      manager.getUnitOfWork().computeChangeSets()
      assert.isEmpty(manager.getUnitOfWork().getChangeSets())
      assert.equal(await restore(manager, Customer, { id: customer }), 0, 'it lives already')
    })
    await isLive('customer', customer)
    await isLive('orders', order)
    await isLive('line', lines[1]!)
    await isDeleted('line', lines[0]!)
    const row = (await stored('line', lines[1]!))!
    assert.deepInclude(row, { deleted_by: null, deleted_with: null, updated_by: 'tenant:bob', created_by: 'tenant:bob' })
    assert.deepInclude((await stored('customer', customer))!, { deleted_by: null, updated_by: 'tenant:bob' })
  })

  it('restores what a condition over a relation names', async () => {
    const { order, lines } = await family()
    await remove(Line, lines[0]!)
    const [row] = await place.sql<{ number: string }>('select number from %s.orders where id = $1', [order])
    await place.as(bob, async manager => assert.equal(await restore(manager, Line, { order: { number: row!.number } }), 1))
    await isLive('line', lines[0]!)
  })

  it('does not restore a row whose parent is deleted', async () => {
    const { customer, order, product, lines } = await family()
    await remove(Customer, customer)
    await remove(Product, product)
    await place.as(bob, async manager => {
      const alone = await refused(restore(manager, Order, { id: order }), 'CONFLICT')
      assert.include(alone.message, customer)
      const restricted = await refused(restore(manager, Customer, { id: customer }), 'CONFLICT')
      assert.include(restricted.message, product)
      await isDeleted('customer', customer)
      await restore(manager, Product, { id: product })
      await restore(manager, Customer, { id: customer })
    })
    await isLive('line', lines[0]!)
  })

  it('names the live row that has taken a unique value, and lets the transaction go on', async () => {
    const email = `${number()}@x.test`
    const { customer } = await family(email)
    await remove(Customer, customer)
    const other = await family(email)
    await place.as(eve, async manager => {
      const error = await refused(restore(manager, Customer, { id: customer }), 'CONFLICT')
      assert.deepInclude(error.details, { entity: 'Customer', id: other.customer, restored: customer })
      await manager.transactional(async inner => {
        await refused(restore(inner, Customer, { id: customer }), 'CONFLICT')
        await inner.nativeUpdate(Customer, { id: other.customer }, { note: 'went on' })
      })
    })
    assert.equal((await stored('customer', other.customer))!['note'], 'went on')
    await isDeleted('customer', customer)
  })

  it('names it among what went along, and two that would be restored', async () => {
    const { customer, order } = await family()
    await remove(Customer, customer)
    const taken = (await stored('orders', order))!['number']
    await place.as(eve, async manager => {
      const owner = manager.create(Customer, { name: 'new' })
      const live = manager.create(Order, { number: String(taken), customer: owner })
      await manager.flush()
      const error = await refused(restore(manager, Customer, { id: customer }), 'CONFLICT')
      assert.deepInclude(error.details, { entity: 'Order', id: live.id })
    })
    const email = `${number()}@x.test`
    await remove(Customer, (await family(email)).customer)
    const second = await family(email)
    await remove(Customer, second.customer)
    await place.as(eve, manager => refused(restore(manager, Customer, { email }), 'CONFLICT'))
    await isDeleted('customer', second.customer)
  })

  it('two transactions at once cannot both restore into one value', async () => {
    for (let round = 0; round < 10; round++) {
      const email = `${number()}@x.test`
      const ids: string[] = []
      for (let n = 0; n < 2; n++) {
        const { customer } = await family(email)
        await remove(Customer, customer)
        ids.push(customer)
      }
      let arrived = 0
      let go: () => void = () => undefined
      const both = new Promise<void>(resolve => (go = resolve))
      const attempts = ids.map(id =>
        place.as(eve, manager =>
          manager.transactional(async inner => {
            await inner.execute('select 1')
            if (++arrived === 2) go()
            await both
            await restore(inner, Customer, { id })
          }),
        ),
      )
      const ended = await Promise.allSettled(attempts)
      assert.lengthOf(
        ended.filter(each => each.status === 'fulfilled'),
        1,
      )
      const [lost] = ended.filter(each => each.status === 'rejected')
      assert.equal((lost!.reason as { code: string }).code, 'CONFLICT')
      const live = await place.sql('select id from %s.customer where email = $1 and deleted_at is null', [email])
      assert.lengthOf(live, 1)
    }
  })

  it('frees a unique value when its row is deleted, in one flush too', async () => {
    const email = `${number()}@x.test`
    const { customer } = await family(email)
    await place.as(eve, async manager => {
      manager.remove(await manager.findOneOrFail(Customer, customer))
      manager.create(Customer, { name: 'instead', email })
      await manager.flush()
    })
    await isDeleted('customer', customer)
    const duplicate = place.as(eve, async manager => {
      manager.create(Customer, { name: 'twice', email })
      await manager.flush()
    })
    assert.equal(
      await duplicate.then(
        () => 'stored',
        (error: { code: string }) => error.code,
      ),
      '23505',
    )
  })

  it('a tree goes and comes back, by remove and by nativeDelete', async () => {
    const [root, middle, leaf, other] = await place.as(bob, async manager => {
      const top = manager.create(Folder, { name: 'root' })
      const second = manager.create(Folder, { name: 'middle', parent: top })
      const third = manager.create(Folder, { name: 'leaf', parent: second })
      const aside = manager.create(Folder, { name: 'other' })
      await manager.flush()
      return [top.id, second.id, third.id, aside.id]
    })
    for (const way of ['remove', 'nativeDelete'] as const) {
      await place.as(eve, async manager => {
        if (way === 'remove') await manager.remove(manager.getReference(Folder, root)).flush()
        else await manager.nativeDelete(Folder, { id: { $in: [root, other] } })
      })
      for (const id of [root, middle, leaf]) await isDeleted('folder', id)
      assert.equal((await stored('folder', leaf))!.deleted_with, `Folder:${root}`)
      await place.as(eve, async manager => {
        await refused(restore(manager, Folder, { id: leaf }), 'CONFLICT')
        await restore(manager, Folder, { id: root })
      })
      for (const id of [root, middle, leaf]) await isLive('folder', id)
    }
    await isDeleted('folder', other)
  })

  it('rows of a pivot table survive', async () => {
    const { order } = await family()
    await place.as(bob, async manager => {
      const row = await manager.findOneOrFail(Order, order, { populate: ['tags'] })
      row.tags.add(manager.create(Label, { name: 'l' }))
      await manager.flush()
    })
    const before = await place.sql('select * from %s.orders_tags where order_id = $1', [order])
    assert.lengthOf(before, 1)
    await remove(Order, order)
    await place.as(eve, manager => restore(manager, Order, { id: order }))
    assert.deepEqual(await place.sql('select * from %s.orders_tags where order_id = $1', [order]), before)
  })

  it('10,000 children that are not loaded go by one statement for each table', async () => {
    const { customer, order } = await family()
    await place.sql(
      `insert into %s.line (id, quantity, order_id, created_at, created_by, updated_at, updated_by)
       select gen_random_uuid(), n, $1, now(), 'system:t', now(), 'system:t' from generate_series(1, 10000) n`,
      [order],
    )
    const statements: string[] = []
    await place.as(eve, async manager => {
      const driver = manager.getDriver() as unknown as { execute: (...args: unknown[]) => Promise<unknown> }
      const execute = driver.execute.bind(driver)
      driver.execute = (...args) => {
        statements.push(String(args[0]))
        return execute(...args)
      }
      await manager.remove(manager.getReference(Customer, customer)).flush()
    })
    const updates = statements.filter(sql => /^\s*update/.test(sql))
    assert.lengthOf(
      updates.filter(sql => sql.includes('"orders"') && !sql.includes('"line"')),
      1,
    )
    assert.lengthOf(
      updates.filter(sql => sql.includes('"line"')),
      1,
    )
    const [row] = await place.sql('select count(*)::int as n from %s.line where order_id = $1 and deleted_by = $2', [order, 'tenant:eve'])
    assert.equal(row!['n'], 10_002)
    await place.as(eve, manager => restore(manager, Customer, { id: customer }))
    const [live] = await place.sql('select count(*)::int as n from %s.line where order_id = $1 and deleted_at is null', [order])
    assert.equal(live!['n'], 10_002)
  })

  it('purges deleted rows alone, with what went along, and nothing that is referred to', async () => {
    const { customer, order, lines, product, remark } = await family()
    await place.as(eve, manager => refused(purge(manager, Customer, { id: customer }), 'FORBIDDEN'))
    await place.as(purger, async manager => assert.equal(await purge(manager, Customer, { id: customer }), 0))
    await remove(Customer, customer)
    await remove(Product, product)
    await place.as(purger, async manager => {
      const error = await refused(purge(manager, Customer, { id: customer }), 'CONFLICT')
      assert.deepInclude(error.details, { entity: 'Remark', id: remark })
      const sold = await refused(purge(manager, Product, { id: product }), 'CONFLICT')
      assert.deepInclude(sold.details, { entity: 'Line' })
      await manager.nativeUpdate(Remark, { id: remark }, { customer: null })
      assert.equal(await purge(manager, await manager.findOneOrFail(Customer, customer, onlyDeleted())), 1)
      assert.equal(await purge(manager, Product, { id: product }), 1)
    })
    for (const [table, id] of [
      ['customer', customer],
      ['orders', order],
      ['line', lines[0]!],
      ['product', product],
    ] as const)
      assert.isUndefined(await stored(table, id))
  })

  it('purges by age, in batches, and goes on where it stopped', async () => {
    const made = await place.as(bob, async manager => {
      const rows = Array.from({ length: 25 }, () => manager.create(Product, { name: 'old' }))
      const held = manager.create(Product, { name: 'held' })
      const order = manager.create(Order, { number: number(), customer: manager.create(Customer, { name: 'c' }) })
      const line = manager.create(Line, { quantity: 1, order, product: held })
      await manager.flush()
      await manager.remove(line).flush()
      for (const row of [...rows, held]) manager.remove(row)
      await manager.flush()
      return { ids: rows.map(row => row.id), held: held.id }
    })
    const old = `update %s.product set deleted_at = now() - interval '10 days' where id = any($1)`
    await place.sql(old, [[...made.ids.slice(0, 20), made.held]])
    await place.as(purger, async manager => {
      const stop = new AbortController()
      stop.abort()
      const none = await purgeDeleted(manager, { entity: Product, olderThan: 5 * 86_400_000, signal: stop.signal })
      assert.deepEqual(none.purged, {})
      const report = await purgeDeleted(manager, { entity: Product, olderThan: 5 * 86_400_000, batchSize: 7 })
      assert.deepEqual(report, { purged: { Product: 20 }, kept: { Product: 1 } })
      await refused(purgeDeleted(manager, { olderThan: new Date(Date.now() + 60_000) }), 'VALIDATION_FAILED')
      await refused(purgeDeleted(manager, { olderThan: 0, batchSize: 0 }), 'VALIDATION_FAILED')
    })
    const left = await place.sql('select id from %s.product where id = any($1)', [made.ids])
    assert.lengthOf(left, 5)
    // Everything deleted, children first, in one call.
    await place.as(purger, async manager => {
      const all = await purgeDeleted(manager, { olderThan: -1 + 1 })
      assert.isAtLeast(all.purged['Product'] ?? 0, 6)
      assert.isAtLeast(all.purged['Line'] ?? 0, 1)
    })
    const [row] = await place.sql('select count(*)::int as n from %s.line where deleted_at is not null', [])
    assert.equal(row!['n'], 0)
  })
}

function sharedLives(place: Place): void {
  it('follows the same rules', async () => {
    const [plan, price] = await place.as(system, async manager => {
      const row = manager.create(Plan, { code: number() })
      const amount = manager.create(Price, { amount: 1, plan: row })
      await manager.flush()
      await manager.nativeUpdate(Price, { id: amount.id }, { amount: 2 })
      await manager.insert(Plan, { id: crypto.randomUUID(), code: number() } as never)
      await manager.createQueryBuilder(Price).update({ amount: 3 }).where({ id: amount.id }).execute()
      return [row.id, amount.id]
    })
    const both = async () => [
      (await place.sql<Stored>('select * from %s.plan where id = $1', [plan]))[0],
      (await place.sql<Stored>('select * from %s.price where id = $1', [price]))[0],
    ]
    await place.as(system, manager => manager.nativeDelete(Plan, { id: plan }))
    for (const row of await both()) assert.deepInclude(row!, { deleted_by: 'system:test', created_by: 'system:test' })
    const reader: Actor = { plane: 'global', id: 'reader', label: 'r', permissions: new Set(['data:read', 'data:purge']) }
    await place.as(reader, async manager => {
      await refused(restore(manager, Plan, { id: plan }), 'FORBIDDEN')
      await refused(purge(manager, Plan, { id: plan }), 'FORBIDDEN')
      await refused(purgeDeleted(manager, { olderThan: 0 }), 'FORBIDDEN')
    })
    await place.as(system, manager => restore(manager, Plan, { id: plan }))
    for (const row of await both()) assert.deepInclude(row!, { deleted_by: null, deleted_at: null })
    await place.as(system, async manager => {
      await manager.remove(await manager.findOneOrFail(Plan, plan)).flush()
      assert.equal(await purge(manager, Plan, { id: plan }), 1)
    })
    assert.deepEqual(await both(), [undefined, undefined])
  })
}
