import { assert } from 'chai'
import { TenancyError, controlEm, em, restore, type Actor } from 'mikro-tenantkit'
import { query } from '../helpers/postgres.ts'
import { operator } from '../helpers/tenancy.ts'
import { AuditEvent, Label, Order, Rate, historyKit, type HistoryKit, type StoredEvent } from './history-model.ts'

const ADA: Actor = { plane: 'tenant', id: 'ada', label: 'ada@acme.test', permissions: new Set(['data:write']) }

describe('history: what a flush records', function () {
  this.timeout(60_000)
  let h: HistoryKit
  before(async () => (h = await historyKit()))
  after(() => h.kit[Symbol.asyncDispose]())

  const code = async (work: () => unknown): Promise<string> => {
    try {
      await work()
    } catch (error) {
      return error instanceof TenancyError ? error.code : String(error)
    }
    return assert.fail('it did not refuse')
  }
  const told = (events: readonly StoredEvent[]) => events.map(({ action, changes }) => ({ action, changes }))
  const forId = (events: readonly StoredEvent[], id: string) => events.filter(event => event.entity_id === id)

  for (const slug of ['acme', 'globex']) {
    describe(slug, () => {
      it('create, update, delete and restore, with the values before and after', async () => {
        const id = await h.inside(
          slug,
          async () => {
            const order = em().create(Order, {
              title: 'First',
              amount: '1.50',
              facts: { a: [1, 'x'] },
              due: new Date('2026-01-02T03:04:05.678Z'),
            })
            await em().flush()
            order.title = 'It\'s \\ "changed" ?'
            order.facts = { b: null }
            order.due = null
            await em().flush()
            em().remove(order)
            await em().flush()
            const deleted = await em().findOneOrFail(Order, { id: order.id }, { filters: false })
            assert.equal(await restore(em(), deleted), 1)
            return order.id
          },
          ADA,
        )
        const events = forId(await h.events(slug, 'Order'), id)
        assert.deepEqual(told(events), [
          {
            action: 'create',
            changes: {
              title: [null, 'First'],
              amount: [null, '1.50'],
              due: [null, '2026-01-02T03:04:05.678Z'],
              facts: [null, { a: [1, 'x'] }],
            },
          },
          {
            action: 'update',
            changes: {
              title: ['First', 'It\'s \\ "changed" ?'],
              due: ['2026-01-02T03:04:05.678Z', null],
              facts: [{ a: [1, 'x'] }, { b: null }],
            },
          },
          { action: 'delete', changes: {} },
          { action: 'restore', changes: {} },
        ])
        for (const event of events) {
          assert.include(event, { actor: 'tenant:ada', request_id: 'request-1', count: 1, position: null })
          assert.match(event.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7/)
        }
      })

      it('relations as ids, of rows that the same flush makes too, and what is added to and taken from a collection', async () => {
        const { parent, child, red, blue } = await h.inside(slug, async () => {
          const root = em().create(Order, { title: 'Parent' })
          const [one, two] = ['red', 'blue'].map(text => em().create(Label, { text }))
          const leaf = em().create(Order, { title: 'Child', parent: root, labels: [one!] })
          await em().flush()
          leaf.labels.add(two!)
          leaf.labels.remove(one!)
          await em().flush()
          return { parent: root.id, child: leaf.id, red: one!.id, blue: two!.id }
        })
        const events = forId(await h.events(slug, 'Order'), child)
        assert.deepEqual(told(events), [
          { action: 'create', changes: { title: [null, 'Child'], parent: [null, parent], labels: [[], [red]] } },
          { action: 'update', changes: { labels: [[red], [blue]] } },
        ])
        assert.isEmpty(await h.events(slug, 'Label'), 'an entity without the option has no history')
      })

      it('never a hidden value, nor one that is named', async () => {
        const id = await h.inside(slug, async () => {
          const order = em().create(Order, { title: 'Secret', pin: 'pin-4711', iban: 'DE-4711' })
          await em().flush()
          order.pin = 'pin-4712'
          order.iban = null
          await em().flush()
          return order.id
        })
        assert.deepEqual(told(forId(await h.events(slug, 'Order'), id)), [
          { action: 'create', changes: { title: [null, 'Secret'], pin: [null, '[redacted]'], iban: [null, '[redacted]'] } },
          { action: 'update', changes: { pin: ['[redacted]', '[redacted]'], iban: ['[redacted]', null] } },
        ])
        assert.isEmpty(await h.sql(slug, `select 1 from @event where changes::text ~ '471[12]'`))
      })

      it('nothing of what is rolled back: a transaction, a savepoint, a flush that fails', async () => {
        const before = (await h.events(slug, 'Order')).length
        await h.inside(slug, async () => {
          await em()
            .transactional(async inner => {
              inner.create(Order, { title: 'Gone' })
              await inner.flush()
              throw new Error('back')
            })
            .catch(() => undefined)
          await em().transactional(async outer => {
            outer.create(Order, { title: 'Kept' })
            await outer.flush()
            await outer
              .transactional(async inner => {
                inner.create(Order, { title: 'Gone too' })
                await inner.flush()
                throw new Error('back')
              })
              .catch(() => undefined)
          })
          const own = em().fork()
          own.create(Order, { title: 'Fails', amount: 'no number' })
          await own.flush().then(
            () => assert.fail('it did not fail'),
            () => undefined,
          )
          const taken = await em().begin()
          assert.isUndefined(taken)
          em().create(Order, { title: 'By hand' })
          await em().flush()
          await em().rollback()
        })
        const events = (await h.events(slug, 'Order')).slice(before)
        assert.deepEqual(
          events.map(({ changes }) => changes['title']),
          [[null, 'Kept']],
        )
      })

      it('all events of a flush in one statement, and those of flushes that meet', async () => {
        const before = (await h.events(slug, 'Order')).length
        await h.inside(slug, async () => {
          const forks = Array.from({ length: 4 }, () => em().fork())
          await Promise.all(
            forks.map(async (own, n) => {
              for (let m = 0; m < 25; m++) own.create(Order, { title: `Fork ${n} ${m}` })
              await Promise.all([own.flush(), own.flush()])
            }),
          )
        })
        const events = (await h.events(slug, 'Order')).slice(before)
        assert.lengthOf(events, 100)
        assert.lengthOf(new Set(events.map(({ entity_id }) => entity_id)), 100)
        assert.lengthOf(new Set(events.map(event => event['tx'])), 4)
      })

      it('text that JSON and PostgreSQL take differently', async () => {
        const odd = 'half \ud800 of a pair, \u2028, \ufffd, "?", ${x}, __no_tenant__, \'; drop table x; --'
        await h.inside(slug, async () => {
          em().create(Order, { title: odd })
          await em().flush()
        })
        const [event] = (await h.events(slug, 'Order')).slice(-1)
        assert.deepEqual(event?.changes['title'], [null, odd.toWellFormed()])
      })

      it('is read in the tenant, its own alone, and written by no other way', async () => {
        await h.inside(slug, async () => {
          const events = await em().find(AuditEvent.tenant, {}, { orderBy: { id: 'asc' } })
          assert.isNotEmpty(events)
          const own = new Set((await h.sql(slug, 'select id from @event')).map(row => row['id']))
          for (const event of events) assert.isTrue(own.has(event.id))
          const [event] = events
          const manager = em()
          const data = { ...event!, action: 'forged' }
          const refused = {
            'a change': () => {
              event!.action = 'forged'
              return manager.flush().finally(() => manager.clear())
            },
            'a removal': () =>
              manager
                .remove(manager.getReference(AuditEvent.tenant, event!.id))
                .flush()
                .finally(() => manager.clear()),
            'a new one': () => {
              manager.create(AuditEvent.tenant, { ...data, id: '00000000-0000-7000-8000-000000000000' } as never)
              return manager.flush().finally(() => manager.clear())
            },
            insert: () => manager.insert(AuditEvent.tenant, data as never),
            insertMany: () => manager.insertMany(AuditEvent.tenant, [data, data] as never),
            upsert: () => manager.upsert(AuditEvent.tenant, data as never),
            upsertMany: () => manager.upsertMany(AuditEvent.tenant, [data, data] as never),
            nativeUpdate: () => manager.nativeUpdate(AuditEvent.tenant, {}, { action: 'forged' }),
            nativeDelete: () => manager.nativeDelete(AuditEvent.tenant, {}),
            'builder insert': () =>
              manager
                .createQueryBuilder(AuditEvent.tenant)
                .insert(data as never)
                .execute(),
            'builder update': () => manager.createQueryBuilder(AuditEvent.tenant).update({ action: 'forged' }).execute(),
            'builder delete': () => manager.createQueryBuilder(AuditEvent.tenant).delete().execute(),
            'builder truncate': () => manager.createQueryBuilder(AuditEvent.tenant).truncate().execute(),
            'clone of a builder': () => manager.createQueryBuilder(AuditEvent.tenant).clone().delete().execute(),
          }
          for (const [name, work] of Object.entries(refused)) assert.equal(await code(work), 'HISTORY_APPEND_ONLY', name)
          assert.equal(await code(() => manager.find(AuditEvent.shared, {})), 'CROSS_TENANT_ENTITY')
          await em().execute('select 1')
        })
        assert.isEmpty(await h.sql(slug, `select 1 from @event where action = 'forged'`))
      })

      it('refuses a unit of work that is committed past flush()', async () => {
        await h.inside(slug, async () => {
          const own = em().fork()
          own.create(Order, { title: 'Unrecorded' })
          assert.equal(await code(() => own.getUnitOfWork().commit()), 'HISTORY_APPEND_ONLY')
        })
        assert.equal(
          await code(() =>
            h.kit.tenancy.run(slug, async () =>
              em()
                .persist(em().create(Order, { title: 'By nobody' }))
                .flush(),
            ),
          ),
          'NO_ACTOR',
        )
      })
    })
  }

  describe('in the control plane', () => {
    it('records shared entities that have the option, and refuses all other writing', async () => {
      const id = await h.kit.tenancy.runAsActor(
        operator,
        async () => {
          const control = controlEm()
          const rate = control.create(Rate, { code: 'A' })
          await control.flush()
          rate.code = 'B'
          await control.flush()
          return rate.id
        },
        { requestId: 'request-2' },
      )
      const events = forId(await h.events(undefined, 'Rate'), id)
      assert.deepEqual(told(events), [
        { action: 'create', changes: { code: [null, 'A'] } },
        { action: 'update', changes: { code: ['A', 'B'] } },
      ])
      assert.include(events[0], { actor: 'global:operator-1', request_id: 'request-2' })
      await h.kit.asSystem(async () => {
        const data = { id: events[0]!.id, entity: 'Rate', action: 'forged', actor: 'x', at: new Date(), changes: {}, count: 1 }
        const refused = [
          () => controlEm().insert(AuditEvent.shared, data as never),
          () => controlEm().insertMany(AuditEvent.shared, [data, data] as never),
          () => controlEm().upsert(AuditEvent.shared, data as never),
          () => controlEm().upsertMany(AuditEvent.shared, [data, data] as never),
          () => controlEm().nativeUpdate(AuditEvent.shared, {}, { action: 'forged' }),
          () => controlEm().nativeDelete(AuditEvent.shared, {}),
          () => controlEm().createQueryBuilder(AuditEvent.shared).delete().execute(),
          () => controlEm().createQueryBuilder(AuditEvent.shared).clone().update({ action: 'forged' }).execute(),
          async () => {
            const control = controlEm()
            const event = await control.findOneOrFail(AuditEvent.shared, { id: events[0]!.id })
            event.action = 'forged'
            await control.flush()
          },
        ]
        for (const work of refused) assert.equal(await code(work), 'HISTORY_APPEND_ONLY', String(work))
      })
    })

    it('records the registry by itself, without what is sealed', async () => {
      const events = await h.events(undefined, 'Tenant')
      const created = events.filter(({ action }) => action === 'create')
      assert.sameMembers(
        created.map(({ changes }) => changes['slug']?.[1]),
        ['acme', 'globex'],
      )
      const globex = created.find(({ changes }) => changes['slug']?.[1] === 'globex')
      assert.deepEqual(globex?.changes['connectionString'], [null, '[redacted]'])
      assert.isNotEmpty(events.filter(({ action, changes }) => action === 'update' && changes['status']?.[1] === 'ready'))
      assert.isEmpty(await h.sql(undefined, `select 1 from @event where changes::text ~ 'v1\\.test\\.'`))
    })

    it('is no difference between entities and tables, in any plane, and no reason for a new migration', async () => {
      assert.isUndefined(await h.kit.tenancy.createMigration('shared', 'again'))
      assert.isUndefined(await h.kit.tenancy.createMigration('tenant', 'again'))
      assert.isFalse(await h.kit.tenancy.pendingMigrations())
    })
  })
})

describe('history: an installation that had none', function () {
  this.timeout(60_000)

  it('is behind until it is migrated, the control plane and every tenant', async () => {
    const h = await historyKit()
    await using kit = h.kit
    const head = (await kit.tenancy.showTenant('acme')).schema_version
    await h.orders('acme', 1)
    // As it was before there were these tables.
    for (const slug of [undefined, 'acme', 'globex'] as const) {
      const { url, schema } = h.placeOf(slug)
      await query(
        url,
        `drop table "${schema}".tenantkit_audit_event, "${schema}".tenantkit_audit_chain;
         delete from "${schema}".tenantkit_migration where name like 'tenantkit%history'`,
      )
    }
    assert.isTrue(await kit.tenancy.pendingMigrations())
    const shared = await kit.asSystem(() => kit.tenancy.migrate({ scope: 'shared' }))
    assert.deepEqual(shared.shared, ['tenantkit_0002_history'])
    assert.isTrue(await kit.tenancy.pendingMigrations(), 'the tenants are behind still')
    const { tenants } = await kit.asSystem(() => kit.tenancy.migrate())
    assert.deepEqual(tenants, [
      { tenant: 'acme', status: 'applied', names: ['tenantkit_0001_history'] },
      { tenant: 'globex', status: 'applied', names: ['tenantkit_0001_history'] },
    ])
    assert.isFalse(await kit.tenancy.pendingMigrations())
    assert.equal((await kit.tenancy.showTenant('acme')).schema_version, head)
    for (const slug of ['acme', 'globex'] as const) {
      await h.orders(slug, 1)
      assert.lengthOf(await h.events(slug, 'Order'), 1)
    }
    assert.isUndefined(await kit.tenancy.createMigration('tenant', 'again'))
  })
})
