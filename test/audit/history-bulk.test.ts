import { p } from '@mikro-orm/postgresql'
import { assert } from 'chai'
import { controlEm, em, newId, purge, purgeDeleted, restore, sharedEntity, tenantEntity, type Actor } from 'mikro-tenantkit'
import { databaseUrl, query } from '../helpers/postgres.ts'
import { operator, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'
import type { StoredEvent } from './history-model.ts'

const id = () =>
  p
    .uuid()
    .primary()
    .onCreate(() => newId())

const Firm = tenantEntity({ name: 'Firm', history: true, properties: { id: id(), name: p.string(), pin: p.string().nullable().hidden() } })
const Desk = tenantEntity({
  name: 'Desk',
  history: true,
  onSoftDelete: { firm: 'cascade' },
  properties: { id: id(), label: p.string(), firm: () => p.manyToOne(Firm) },
})
const Drawer = tenantEntity({
  name: 'Drawer',
  history: true,
  onSoftDelete: { desk: 'cascade' },
  properties: { id: id(), label: p.string(), desk: () => p.manyToOne(Desk) },
})
/** Its id is PostgreSQL's, so that it can be cloned. */
const Sticker = tenantEntity({
  name: 'Sticker',
  history: true,
  properties: { id: p.uuid().primary().defaultRaw('gen_random_uuid()'), text: p.string() },
})
const Town = sharedEntity({ name: 'Town', history: true, properties: { id: id(), name: p.string() } })
const PURGER: Actor = { ...operator, permissions: new Set([...operator.permissions!, 'data:purge']) }

describe('history: what is no flush', function () {
  this.timeout(60_000)
  let kit: TestTenancy
  before(async () => {
    kit = await testTenancy({ entities: [Firm, Desk, Drawer, Sticker, Town] })
    await twoTenants(kit)
  })
  after(() => kit[Symbol.asyncDispose]())

  const placeOf = (slug: string) =>
    slug === 'globex'
      ? { url: databaseUrl(`${kit.prefix}_globex`), schema: 'tenant' }
      : slug === ''
        ? { url: kit.url, schema: 'public' }
        : { url: kit.url, schema: `${kit.prefix}_${slug}` }
  /** What was recorded while the work ran, without the registry. */
  const recorded = async (slug: string, work: () => Promise<unknown>): Promise<StoredEvent[]> => {
    const { url, schema } = placeOf(slug)
    const [last] = await query<{ id: string | null }>(url, `select max(id::text) as id from "${schema}".tenantkit_audit_event`)
    if (slug === '') await kit.tenancy.runAsActor(PURGER, work, { requestId: 'bulk-1' })
    else await kit.tenancy.run(slug, work, { actor: PURGER, requestId: 'bulk-1' })
    return query<StoredEvent>(
      url,
      `select * from "${schema}".tenantkit_audit_event where id > $1 and entity not in ('Tenant', 'Session') order by id`,
      [last!.id ?? '00000000-0000-0000-0000-000000000000'],
    )
  }
  const told = (events: readonly StoredEvent[]) => events.map(({ entity, action, count }) => `${action} ${count} ${entity}`)

  for (const slug of ['acme', 'globex']) {
    describe(slug, () => {
      it('the copy of a row is a row that was made', async () => {
        let copy = ''
        const events = await recorded(slug, async () => {
          const sticker = em().create(Sticker, { text: 'x' })
          await em().flush()
          copy = (await em().clone(Sticker, { id: sticker.id } as never, { text: 'y' } as never)).id
        })
        assert.deepEqual(told(events), ['create 1 Sticker', 'create 1 Sticker'])
        assert.notEqual(events[0]!.entity_id, copy)
        assert.deepEqual(events[1]!.actor, events[0]!.actor)
      })

      it('one event for each statement, whatever its way, with the rows that it reached', async () => {
        const firm = { id: newId(), name: 'One', pin: 'pin-4711' }
        const ways: readonly (readonly [string, readonly string[], () => Promise<unknown>])[] = [
          ['insert', ['create 1 Firm'], () => em().insert(Firm, firm as never)],
          ['insert of an entity', ['create 1 Firm'], () => em().insert(em().create(Firm, { name: 'Two' }, { persist: false }))],
          ['insertMany', ['create 3 Firm'], () => em().insertMany(Firm, ['a', 'b', 'c'].map(name => ({ id: newId(), name })) as never)],
          ['upsert of a new row', ['create 1 Firm'], () => em().upsert(Firm, { id: newId(), name: 'Three' } as never)],
          ['upsert of a known row', ['create 1 Firm'], () => em().upsert(Firm, { id: firm.id, name: 'One!' } as never)],
          [
            'upsertMany',
            ['create 2 Firm'],
            () =>
              em().upsertMany(Firm, [
                { id: firm.id, name: '1' },
                { id: newId(), name: '4' },
              ] as never),
          ],
          [
            'nativeUpdate',
            ['update 3 Firm'],
            () => em().nativeUpdate(Firm, { name: { $in: ['a', 'b', 'c'] } }, { name: 'abc', pin: 'pin-4712' }),
          ],
          ['nativeUpdate of nothing', [], () => em().nativeUpdate(Firm, { name: 'nobody' }, { name: 'x' })],
          ['nativeDelete', ['delete 2 Firm'], () => em().nativeDelete(Firm, { name: { $in: ['Two', 'Three'] } })],
          [
            'builder insert',
            ['create 1 Firm'],
            () =>
              em()
                .createQueryBuilder(Firm)
                .insert({ id: newId(), name: 'Five' } as never)
                .execute(),
          ],
          [
            'builder update',
            ['update 3 Firm'],
            () => em().createQueryBuilder(Firm).update({ name: 'cba' }).where({ name: 'abc' }).execute(),
          ],
          [
            'builder delete',
            ['delete 1 Drawer'],
            () => inDrawer(drawer => em().createQueryBuilder(Drawer).delete({ id: drawer }).execute()),
          ],
        ]
        for (const [name, expected, work] of ways) {
          const events = (await recorded(slug, work)).filter(
            ({ action, entity }) => !(name === 'builder delete' && (action === 'create' || entity !== 'Drawer')),
          )
          assert.deepEqual(told(events), expected, name)
          for (const event of events) assert.include(event, { actor: 'global:operator-1', request_id: 'bulk-1' }, name)
          if (name === 'insert') {
            assert.equal(events[0]!.entity_id, firm.id)
            assert.deepEqual(events[0]!.changes, { name: [null, 'One'], pin: [null, '[redacted]'] })
          }
          if (name === 'nativeUpdate') {
            assert.isNull(events[0]!.entity_id)
            assert.deepEqual(events[0]!.changes, { name: [null, 'abc'], pin: [null, '[redacted]'] })
          }
        }
        const { url, schema } = placeOf(slug)
        assert.isEmpty(await query(url, `select 1 from "${schema}".tenantkit_audit_event where changes::text like '%471%'`))
      })

      it('one event for each table that a cascade takes, with one id, and the same for restoring and purging', async () => {
        const { firm } = await kit.tenancy.run(slug, () => furnish(3, 2), { actor: PURGER })
        const cascade = (events: readonly StoredEvent[], action: string) => {
          const [first, ...others] = events
          assert.include(first, { entity: 'Firm', action, count: 1, entity_id: firm })
          assert.isNull(first!['cascade_id'])
          assert.sameMembers(told(others), [`${action} 3 Desk`, `${action} 6 Drawer`])
          assert.lengthOf(new Set(others.map(event => event['cascade_id'])), 1)
          for (const other of others) {
            assert.isString(other['cascade_id'])
            assert.deepEqual(other.details, { cascade: [`Firm:${firm}`], cascade_rows: 1 })
          }
          return others[0]!['cascade_id']
        }
        const removed = cascade(
          await recorded(slug, async () =>
            em()
              .remove(await em().findOneOrFail(Firm, { id: firm }))
              .flush(),
          ),
          'delete',
        )
        const back = await recorded(slug, async () => restore(em(), Firm, { id: firm }))
        assert.notEqual(cascade(back, 'restore'), removed)
        cascade(await recorded(slug, () => em().nativeDelete(Firm, { id: firm })), 'delete')
        const gone = await recorded(slug, () => purge(em(), Firm, { id: firm }))
        assert.sameMembers(told(gone), ['purge 6 Drawer', 'purge 3 Desk', 'purge 1 Firm'])
        assert.equal(gone.find(({ entity }) => entity === 'Firm')!.entity_id, firm)
      })

      it('what is purged by age', async () => {
        await kit.tenancy.run(
          slug,
          async () => {
            const { firm } = await furnish(1, 1)
            await em().nativeDelete(Firm, { id: firm })
          },
          { actor: PURGER },
        )
        const events = await recorded(slug, () => purgeDeleted(em(), { olderThan: new Date(), entity: Drawer }))
        assert.deepEqual(
          events.map(({ entity, action }) => `${action} ${entity}`),
          ['purge Drawer'],
        )
      })

      it('nothing of what is rolled back, and nothing without its event', async () => {
        assert.isEmpty(
          await recorded(slug, () =>
            em()
              .transactional(async inner => {
                await inner.insertMany(Firm, [{ id: newId(), name: 'Gone' }] as never)
                await inner.nativeUpdate(Firm, {}, { name: 'Gone' })
                await inner.createQueryBuilder(Firm).update({ name: 'Gone' }).execute()
                throw new Error('back')
              })
              .catch(() => undefined),
          ),
        )
        const { url, schema } = placeOf(slug)
        // Where the event cannot be written, the row is not either.
        await query(url, `alter table "${schema}".tenantkit_audit_event add constraint none check (request_id <> 'bulk-1') not valid`)
        try {
          const ways: readonly (() => Promise<unknown>)[] = [
            () => em().insert(Firm, { id: newId(), name: 'Unrecorded' } as never),
            () => em().insertMany(Firm, [{ id: newId(), name: 'Unrecorded' }] as never),
            () => em().nativeUpdate(Firm, { name: 'cba' }, { name: 'Unrecorded' }),
            () =>
              em()
                .createQueryBuilder(Firm)
                .insert({ id: newId(), name: 'Unrecorded' } as never)
                .execute(),
            () => em().createQueryBuilder(Firm).update({ name: 'Unrecorded' }).where({ name: 'cba' }).execute(),
            async () =>
              em()
                .persist(em().create(Firm, { name: 'Unrecorded' }))
                .flush(),
          ]
          for (const work of ways) {
            await recorded(slug, work).then(
              () => assert.fail(`it was written: ${String(work)}`),
              () => undefined,
            )
          }
          assert.isEmpty(await query(url, `select 1 from "${schema}".firm where name = 'Unrecorded'`))
        } finally {
          await query(url, `alter table "${schema}".tenantkit_audit_event drop constraint none`)
        }
      })
    })
  }

  it('the same in the control plane', async () => {
    const town = newId()
    const ways: readonly (readonly [readonly string[], () => Promise<unknown>])[] = [
      [
        ['create 2 Town'],
        () =>
          controlEm().insertMany(Town, [
            { id: town, name: 'a' },
            { id: newId(), name: 'b' },
          ] as never),
      ],
      [['update 2 Town'], () => controlEm().nativeUpdate(Town, {}, { name: 'c' })],
      [['update 2 Town'], () => controlEm().createQueryBuilder(Town).update({ name: 'd' }).execute()],
      [['delete 1 Town'], () => controlEm().nativeDelete(Town, { id: town })],
      [['restore 1 Town'], () => restore(controlEm(), Town, { id: town })],
      [['create 1 Town'], () => controlEm().upsert(Town, { id: town, name: 'e' } as never)],
    ]
    for (const [expected, work] of ways) assert.deepEqual(told(await recorded('', work)), expected, String(work))
  })

  async function furnish(desks: number, drawers: number): Promise<{ readonly firm: string }> {
    const firm = em().create(Firm, { name: 'Furnished' })
    for (let n = 0; n < desks; n++) {
      const desk = em().create(Desk, { label: `Desk ${n}`, firm })
      for (let m = 0; m < drawers; m++) em().create(Drawer, { label: `Drawer ${n} ${m}`, desk })
    }
    await em().flush()
    em().clear()
    return { firm: firm.id }
  }

  async function inDrawer(work: (drawer: string) => Promise<unknown>): Promise<void> {
    await furnish(1, 1)
    const drawer = await em().findOneOrFail(Drawer, {}, { orderBy: { id: 'desc' } })
    await work(drawer.id)
  }
})
