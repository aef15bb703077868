import { Client } from 'pg'
import { assert } from 'chai'
import fc from 'fast-check'
import { CONTROL_PLANE, TenancyError, controlEm, em, type ChainVerification, type EventJson, type PlaneOutcome } from 'mikro-tenantkit'
import { sealBatch, type HistoryPlane } from '../../src/history/chain.ts'
import { purgePlane } from '../../src/history/retention.ts'
import { parseIdentifier } from '../../src/naming.ts'
import { Rate, historyKit, type HistoryKit } from './history-model.ts'

describe('history: the sealed chain', function () {
  this.timeout(60_000)
  let h: HistoryKit
  before(async () => (h = await historyKit()))
  after(() => h.kit[Symbol.asyncDispose]())

  const PLACES = [undefined, 'acme', 'globex'] as const
  const nameOf = (slug: string | undefined) => slug ?? CONTROL_PLANE
  const scopeOf = (slug: string | undefined) =>
    slug === undefined ? { scope: 'shared' as const } : { scope: 'tenant' as const, tenants: [slug] }
  const seal = async (slug: string | undefined) => (await h.kit.tenancy.history.seal(scopeOf(slug)))[0]!
  /** Until nothing is left: transactions of whoever else uses the server hold the sealer back. Answers how many were sealed. */
  const sealAll = async (slug: string | undefined): Promise<number> => {
    let all = 0
    for (const deadline = Date.now() + 20_000; Date.now() < deadline; await new Promise(resolve => setTimeout(resolve, 20))) {
      const outcome = await seal(slug)
      if (outcome.error !== undefined) assert.fail(outcome.error.message)
      all += outcome.sealed
      const [row] = await h.sql(slug, 'select count(*)::int as n from @event where position is null')
      if (row!['n'] === 0) return all
    }
    return assert.fail('something is never sealed')
  }
  const verify = async (slug: string | undefined, options = {}): Promise<ChainVerification> => {
    const [outcome] = (await h.kit.tenancy.history.verify({ ...scopeOf(slug), ...options })) as PlaneOutcome<ChainVerification>[]
    if (outcome!.error !== undefined) throw new Error(outcome!.error.message)
    return outcome as ChainVerification
  }
  /** Rates in the control plane, orders in a tenant. */
  const changes = async (slug: string | undefined, count: number) => {
    if (slug !== undefined) return h.orders(slug, count)
    await h.kit.asSystem(async () => {
      const control = controlEm()
      for (let n = 0; n < count; n++) {
        control.create(Rate, { code: `R${n}` })
        await control.flush()
      }
    })
  }
  /** The rows of a plane as they are, to be put back. */
  const keep = async (slug: string | undefined, work: () => Promise<void>) => {
    await h.sql(slug, 'create table @event_kept as table @event; create table @chain_kept as table @chain')
    try {
      await work()
    } finally {
      await h.sql(
        slug,
        'truncate @event, @chain; insert into @event table @event_kept; insert into @chain table @chain_kept; drop table @event_kept, @chain_kept',
      )
    }
  }

  for (const slug of PLACES) {
    describe(nameOf(slug), () => {
      it('seals what is there, once, in the order of the transactions', async () => {
        await changes(slug, 7)
        assert.isAtLeast(await sealAll(slug), 7)
        assert.deepEqual(await seal(slug), { plane: nameOf(slug), sealed: 0 })
        const verified = await verify(slug)
        assert.include(verified, { ok: true, break: null, unsealed: 0 })
        assert.equal(verified.checked, verified.head.position)
        const positions = (await h.sql(slug, 'select position::int from @event order by tx, id')).map(row => Number(row['position']))
        assert.deepEqual(
          positions,
          positions.map((_, index) => index + 1),
        )
        await changes(slug, 2)
        assert.include(await verify(slug), { ok: true, unsealed: 2 })
        await sealAll(slug)
        assert.equal((await verify(slug, { newest: 3 })).checked, 3)
      })

      const tamperings: Record<string, readonly [sql: string, kind: string]> = {
        'a changed value': [`update @event set changes = '{"code":[null,"forged"]}' where position = 4`, 'changed'],
        'a changed actor': [`update @event set actor = 'global:somebody-else' where position = 4`, 'changed'],
        'a changed time': [`update @event set at = at - interval '1 ms' where position = 4`, 'changed'],
        'a changed transaction': [`update @event set tx = '1' where position = 4`, 'changed'],
        'a hash taken away': [`update @event set position = null, hash = null, previous_hash = null where position = 4`, 'removed'],
        'a removed row': ['delete from @event where position = 4', 'removed'],
        'a removed row with the gap closed': [
          'delete from @event where position = 4; update @event set position = -position where position > 4; update @event set position = -position - 1 where position < 0',
          'order',
        ],
        'removed rows at the end': ['delete from @event where position > 4', 'removed'],
        'removed rows at the beginning': ['delete from @event where position < 5', 'removed'],
        'two rows that changed places': [
          'update @event set position = -4 where position = 4; update @event set position = 4 where position = 5; update @event set position = 5 where position = -4',
          'order',
        ],
        'an inserted row': [
          `update @event set position = -position where position >= 4; update @event set position = -position + 1 where position < 0;
           insert into @event (id, entity, action, actor, at, changes, count, position, hash, previous_hash)
           select '00000000-0000-7000-8000-000000000000', entity, action, actor, at, changes, count, 4, hash, previous_hash from @event where position = 3`,
          'changed',
        ],
        'a row after the end': [
          `insert into @event (id, entity, action, actor, at, changes, count, position, hash, previous_hash)
           select '00000000-0000-7000-8000-000000000001', entity, action, actor, at, changes, count, head_position + 1, head_hash, head_hash
           from @event, @chain where position = 3`,
          'changed',
        ],
        'another end': [`update @chain set head_position = 6, head_hash = (select hash from @event where position = 6)`, 'head'],
        'no end': ['delete from @chain', 'removed'],
      }
      for (const [name, [sql, kind]] of Object.entries(tamperings)) {
        it(`finds ${name}`, () =>
          keep(slug, async () => {
            assert.isTrue((await verify(slug)).ok)
            await h.sql(slug, sql)
            const { ok, break: found } = await verify(slug)
            assert.isFalse(ok)
            assert.equal(found?.kind, kind)
            if (kind === 'changed' && !name.includes('after')) assert.equal(found?.position, 4)
          }))
      }

      it('finds a chain that was made anew, by a head that was kept elsewhere', () =>
        keep(slug, async () => {
          const known = { [nameOf(slug)]: (await verify(slug)).head }
          assert.isTrue((await verify(slug, { known })).ok)
          await h.sql(
            slug,
            `update @event set actor = 'global:somebody-else' where position = 4; update @event set position = null, hash = null, previous_hash = null;
             update @chain set head_position = 0, head_hash = anchor_hash`,
          )
          await sealAll(slug)
          assert.isTrue((await verify(slug)).ok, 'nothing in the database says so')
          assert.equal((await verify(slug, { known })).break?.kind, 'head')
        }))

      it('does not pass over a transaction that commits late', async () => {
        const { url, schema } = h.placeOf(slug)
        const late = new Client({ connectionString: url })
        await late.connect()
        const write = (n: number) =>
          late.query(
            `insert into "${schema}".tenantkit_audit_event (id, entity, action, actor, at, changes, count)
             values (gen_random_uuid(), 'Late', 'create', 'system:late', now(), '{"n":[null,${n}]}', 1)`,
          )
        try {
          await sealAll(slug)
          const { head } = await verify(slug)
          await late.query('begin')
          await write(1)
          // Begun later, committed earlier.
          await changes(slug, 3)
          await seal(slug)
          assert.equal((await verify(slug)).head.position, head.position, 'nothing behind the open transaction is sealed')
          await write(2)
          await late.query('commit')
          await sealAll(slug)
        } finally {
          await late.end()
        }
        const verified = await verify(slug)
        assert.include(verified, { ok: true, unsealed: 0 })
        const order = await h.sql(slug, `select entity, action, entity_id, tx, id, position from @event order by position desc limit 8`)
        assert.deepEqual(
          order.map(row => row['entity']).slice(0, 5),
          [...Array.from({ length: 3 }, () => (slug === undefined ? 'Rate' : 'Order')), 'Late', 'Late'],
          JSON.stringify(order),
        )
      })

      it('seals rows that were written on another server, whose transactions have higher numbers', async () => {
        await h.sql(
          slug,
          `insert into @event (id, entity, action, actor, at, changes, count, tx)
           values (gen_random_uuid(), 'Moved', 'create', 'system:elsewhere', now(), '{}', 1, '9999999999999')`,
        )
        await sealAll(slug)
        assert.include(await verify(slug), { ok: true, unsealed: 0 })
      })

      it('seals in the order of numbers, not of texts', async () => {
        await h.sql(
          slug,
          `insert into @event (id, entity, action, actor, at, changes, count, tx)
           select gen_random_uuid(), 'Counted', 'create', 'system:test', now(), json_build_object('n', json_build_array(null, n)), 1, n::text::xid8
           from unnest(array[100, 9, 99, 10]) n`,
        )
        await sealAll(slug)
        const rows = await h.sql(slug, `select tx::text as tx from @event where entity = 'Counted' order by position`)
        assert.deepEqual(
          rows.map(row => row['tx']),
          ['9', '10', '99', '100'],
        )
      })

      it('seals once when sealers and writers meet', async () => {
        await sealAll(slug)
        const before = (await verify(slug)).head.position
        let writing = true
        let sealed = 0
        const sealers = Array.from({ length: 3 }, async () => {
          do {
            const batch = await inPlane(slug, plane => sealBatch(plane, 3))
            sealed += batch
          } while (writing)
        })
        await Promise.all([changes(slug, 15), changes(slug, 15)])
        writing = false
        await Promise.all(sealers)
        const rest = await sealAll(slug)
        const verified = await verify(slug)
        assert.include(verified, { ok: true, unsealed: 0 })
        assert.equal(sealed + rest, 30)
        assert.equal(verified.head.position, before + 30)
      })

      it('forgets what is old, says so, and can still be verified', async () => {
        await changes(slug, 10)
        await sealAll(slug)
        const { head } = await verify(slug)
        const middle = head.position - 5
        // The events before it are made older, and sealed again as if they had been so.
        await h.sql(
          slug,
          `update @event set at = case when position <= ${middle} then timestamptz '2020-01-01' else at end, position = null, hash = null, previous_hash = null;
           update @chain set head_position = 0, head_hash = anchor_hash`,
        )
        await sealAll(slug)
        // One that a later number of its transaction put behind younger ones stays as long as these.
        const [row] = await h.sql(slug, `select min(position) - 1 as old from @event where at >= '2021-01-01'`)
        const old = Number(row!['old'])
        assert.isAbove(old, 10)
        const before = new Date('2021-01-01')
        assert.equal(await inPlane(slug, plane => purgePlane(plane, before, 'system:test', 4)), old)
        assert.equal(await inPlane(slug, plane => purgePlane(plane, before, 'system:test', 4)), 0)
        await sealAll(slug)
        const verified = await verify(slug)
        assert.include(verified, { ok: true, unsealed: 0 })
        assert.equal(verified.head.position - verified.checked, old)
        const purges = await h.events(slug, 'AuditEvent')
        assert.equal(
          purges.reduce((sum, { count }) => sum + count, 0),
          old,
        )
        for (const purge of purges) assert.include(purge, { action: 'history.purge', actor: 'system:test' })
        await keep(slug, async () => {
          await h.sql(slug, 'update @chain set anchor_position = anchor_position + 1')
          assert.isFalse((await verify(slug)).ok)
        })
      })
    })
  }

  describe('all planes', () => {
    it('does not take another plane’s chain for its own', () =>
      keep('acme', async () => {
        // Both stand in one server: the rows of globex instead of acme's.
        const rows = (await h.sql('globex', 'select row_to_json(e) as row from @event e')).map(({ row }) => row)
        const [chain] = await h.sql('globex', 'select * from @chain')
        await h.sql('acme', 'truncate @event')
        await h.sql(
          'acme',
          `insert into @event select * from json_populate_recordset(null::@event, '${JSON.stringify(rows).replaceAll("'", "''")}');
         update @chain set anchor_position = ${String(chain!['anchor_position'])}, anchor_hash = '${String(chain!['anchor_hash'])}',
           head_position = ${String(chain!['head_position'])}, head_hash = '${String(chain!['head_hash'])}'`,
        )
        assert.equal((await verify('acme')).break?.kind, 'changed')
        assert.isTrue((await verify('globex')).ok)
      }))

    it('works on all planes, in a bounded way, and tells of one that fails', async () => {
      const { history } = h.kit.tenancy
      for (const slug of PLACES) await sealAll(slug)
      const planes = await history.verify({ newest: 2, concurrency: 2 })
      assert.deepEqual(
        planes.map(({ plane }) => plane),
        [CONTROL_PLANE, 'acme', 'globex'],
      )
      for (const plane of planes) assert.include(plane, { ok: true, checked: 2 })
      await h.sql('acme', 'alter table @event rename to hidden')
      try {
        const [control, acme, globex] = await history.verify()
        assert.isUndefined(control?.error)
        assert.equal(acme?.error?.code, 'INTERNAL')
        assert.isUndefined(globex?.error)
      } finally {
        const { schema } = h.placeOf('acme')
        await h.sql('acme', `alter table "${schema}".hidden rename to tenantkit_audit_event`)
      }
      for (const work of [
        () => history.verify({ newest: 0 }),
        () => history.seal({ concurrency: 0 }),
        () => history.seal({ tenants: ['nobody'] }),
        () => history.purge({ olderThan: new Date(Number.NaN) }),
      ])
        assert.include(['VALIDATION_FAILED', 'TENANT_NOT_FOUND'], await code(work))
    })
  })

  describe('pages', () => {
    it('give every event once, newest first, whatever they are narrowed to', async () => {
      const all = (await h.sql('acme', 'select * from @event order by id desc')) as unknown as EventJson[]
      const times = all.map(({ id }) => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16))
      // Those that were written by SQL have ids without a time.
      const known = times.filter(time => time < 4e12).slice(0, 30)
      const some = fc.record(
        {
          limit: fc.integer({ min: 1, max: 200 }),
          entity: fc.constantFrom('Order', 'Late', 'AuditEvent', 'Nothing'),
          entity_id: fc.constantFrom(...all.slice(0, 5).map(event => event.entity_id ?? 'none'), 'nobody'),
          actor: fc.constantFrom('global:operator-1', 'system:late', 'tenant:nobody'),
          action: fc.constantFrom('create', 'history.purge'),
          from: fc.constantFrom(...known),
          to: fc.constantFrom(...known),
        },
        { requiredKeys: ['limit'] },
      )
      await fc.assert(
        fc.asyncProperty(some, async ({ from, to, ...query }) => {
          if (query.entity === undefined) delete query.entity_id
          const times = {
            ...(from === undefined ? {} : { from: new Date(from).toISOString() }),
            ...(to === undefined ? {} : { to: new Date(to).toISOString() }),
          }
          const found: string[] = []
          let cursor: string | null = null
          do {
            const page = await h.kit.tenancy.history.list({ tenant: 'acme', ...query, ...times, ...(cursor === null ? {} : { cursor }) })
            assert.isAtMost(page.items.length, query.limit)
            if (page.next_cursor !== null) assert.lengthOf(page.items, query.limit)
            found.push(...page.items.map(({ id }) => id))
            cursor = page.next_cursor
          } while (cursor !== null)
          const time = (id: string) => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
          const expected = all.filter(
            event =>
              (query.entity === undefined || event.entity === query.entity) &&
              (query.entity_id === undefined || event.entity_id === query.entity_id) &&
              (query.actor === undefined || event.actor === query.actor) &&
              (query.action === undefined || event.action === query.action) &&
              (from === undefined || time(event.id) >= from) &&
              (to === undefined || time(event.id) < to),
          )
          assert.deepEqual(
            found,
            expected.map(({ id }) => id),
          )
        }),
        { numRuns: 60 },
      )
    })

    it('refuse bad input', async () => {
      const { history } = h.kit.tenancy
      for (const query of [
        { limit: 0 },
        { limit: 201 },
        { limit: 1.5 },
        { cursor: 'x' },
        { cursor: Buffer.from("' or 1=1").toString('base64url') },
        { entity_id: 'x' },
        { actor: 'a\0b' },
        { from: 'yesterday' },
        { to: '2026-13-01' },
      ])
        assert.equal(await code(() => history.list({ tenant: 'acme', ...query })), 'VALIDATION_FAILED', JSON.stringify(query))
      assert.equal(await code(() => history.list({ tenant: 'nobody' })), 'TENANT_NOT_FOUND')
      await fc.assert(
        fc.asyncProperty(fc.string({ maxLength: 40 }), async cursor => {
          const outcome = await history.list({ cursor }).then(
            () => 'answered',
            (error: unknown) => (error as TenancyError).code,
          )
          assert.equal(outcome, 'VALIDATION_FAILED')
        }),
        { numRuns: 50 },
      )
    })

    it('use the indexes', async () => {
      const { url, schema } = h.placeOf('acme')
      const client = new Client({ connectionString: url })
      await client.connect()
      await client.query('set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off')
      const plan = async (where: string) =>
        JSON.stringify(
          (
            await client.query(
              `explain (format json) select * from "${schema}".tenantkit_audit_event where ${where} order by id desc limit 51`,
            )
          ).rows,
        )
      assert.include(await plan(`entity = 'Order' and entity_id = 'x'`), 'tenantkit_audit_event_entity_index')
      assert.include(await plan(`actor = 'x'`), 'tenantkit_audit_event_actor_index')
      const byTime = await plan(`id < '01900000-0000-0000-0000-000000000000'`)
      assert.include(byTime, 'tenantkit_audit_event_pkey')
      assert.notInclude(byTime, '"Sort"')
      await client.end()
    })
  })

  async function code(work: () => Promise<unknown>): Promise<string> {
    try {
      await work()
    } catch (error) {
      return error instanceof TenancyError ? error.code : String(error)
    }
    return assert.fail('it did not refuse')
  }

  async function inPlane<T>(slug: string | undefined, work: (plane: HistoryPlane) => Promise<T>): Promise<T> {
    if (slug === undefined) return h.kit.asSystem(() => work({ em: controlEm(), schema: parseIdentifier('public'), key: 'control' }))
    const { ref } = (await h.kit.tenancy.find(slug))!
    return h.inside(slug, () => work({ em: em(), schema: parseIdentifier(ref.schema), key: ref.id }))
  }
})
