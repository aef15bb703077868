/** Entities in forms and lists, through the panel, on both isolations. */
import { assert } from 'chai'
import fc from 'fast-check'
import { p } from '@mikro-orm/postgresql'
import { Tenant, controlEm, em, tenantEntity } from 'mikro-tenantkit'
import { accountsOf, createAdminPanel } from 'mikro-tenantkit/admin'
import { MikroResource } from '../../admin/adapter/resource.ts'
import { operator, testTenancy, twoTenants } from '../helpers/tenancy.ts'
import { as, type Client } from './client.ts'
import { Country, Person, Thing, entities, startWorld, type World } from './world.ts'

describe('admin: adapter', function () {
  this.timeout(60_000)
  let world: World

  before(async () => {
    world = await startWorld()
  })
  after(() => world?.[Symbol.asyncDispose]())

  for (const tenant of ['acme', 'globex'])
    describe(tenant === 'acme' ? 'schema tenant' : 'database tenant', () => {
      let client: Client
      const api = `/admin/t/${tenant}/api/resources/Thing`

      before(async () => {
        client = await as(world.origin, 'admin', tenant)
      })

      const create = async (json: Record<string, unknown>) => (await client.post(`${api}/actions/new`, { json })).json
      const edit = async (id: string, json: Record<string, unknown>) => (await client.post(`${api}/records/${id}/edit`, { json })).json
      const list = async (query = '') => (await client.get(`${api}/actions/list?${query}`)).json
      const row = (id: string) => world.inTenant(tenant, () => em().findOneOrFail(Thing, { id }))
      let next = 0
      const good = (more: Record<string, unknown> = {}) => ({ code: `c${++next}`, color: 'green', ...more })

      it('keeps every type from the form to the database and back, without loss of a digit', async () => {
        const country = (await client.get(`/admin/t/${tenant}/api/resources/Country/actions/search/Peru`)).json.records[0]
        assert.equal(country.title, 'Peru')
        const { record, notice } = await create({
          ...good(),
          note: 'line 1\nline 2 <b>',
          facts: '{"a":{"b":[1,"2",true,null]}}',
          'labels.0': 'x',
          'labels.1': 'y',
          price: '12345678901234567890.0123456789',
          big: '9007199254740993',
          small: '-5',
          ratio: '0.5',
          isOpen: 'true',
          day: '1990-05-17',
          moment: '2026-03-01T10:20:30.456Z',
          clock: '09:30:00',
          link: '01a2148a-3605-707e-9158-b441fba2072f',
          country: country.id,
          address_city: 'Lima',
        })
        assert.equal(notice.type, 'success', JSON.stringify(record.errors))
        const stored = await row(record.id)
        assert.deepEqual(stored.facts, { a: { b: [1, '2', true, null] } })
        assert.deepEqual(stored.labels, ['x', 'y'])
        assert.equal(String(stored.price), '12345678901234567890.0123456789')
        assert.equal(String(stored.big), '9007199254740993')
        assert.deepInclude(stored as object, { small: -5, ratio: 0.5, isOpen: true, day: '1990-05-17', clock: '09:30:00', color: 'green' })
        assert.equal((stored.moment as Date).toISOString(), '2026-03-01T10:20:30.456Z')
        assert.equal(stored.address?.city, 'Lima')
        const { params, populated } = (await client.get(`${api}/records/${record.id}/show`)).json.record
        assert.equal(params.price, '12345678901234567890.0123456789')
        assert.equal(params.big, '9007199254740993')
        assert.deepEqual(JSON.parse(params.facts), { a: { b: [1, '2', true, null] } })
        assert.equal(params.day, '1990-05-17')
        assert.equal(populated.country.title, 'Peru')
        // What the form was shown is what it sends: nothing changes by saving it.
        const again = await edit(record.id, params)
        assert.equal(again.notice.type, 'success', JSON.stringify(again))
        const after = await row(record.id)
        assert.deepEqual({ ...after, version: 0, updatedAt: 0, updatedBy: 0 }, { ...stored, version: 0, updatedAt: 0, updatedBy: 0 })
      })

      it('says what is wrong at its field, never success, and stores nothing', async () => {
        const wrong: Record<string, unknown> = {
          code: '',
          color: 'blue',
          facts: '{"a":',
          price: '12,5',
          big: '9223372036854775808',
          small: '2147483648',
          ratio: 'many',
          day: '2026-02-30',
          moment: 'yesterday',
          clock: '25:00',
          link: 'x',
          country: 'x',
          note: 'a\u0000b',
        }
        const { record, notice } = await create(wrong)
        assert.equal(notice.type, 'error')
        assert.sameMembers(Object.keys(record.errors), Object.keys(wrong))
        for (const { message } of Object.values(record.errors) as { message: string }[]) assert.isNotEmpty(message)
        for (const [name, value] of [
          ['code', 'x'.repeat(21)],
          ['price', '1.00000000001'],
          ['price', `1${'0'.repeat(20)}`],
        ] as const)
          assert.property((await create(good({ [name]: value }))).record.errors, name, `${name} ${value}`)
        assert.property((await create({ ...good(), code: `${tenant}-1` })).record.errors, 'code', 'a value that is taken')
      })

      it('tells as an error what belongs to no field', async () => {
        const { notice } = await create(good({ country: '01a2148a-3605-707e-9158-b441fba2072f' }))
        assert.equal(notice.type, 'error')
      })

      it('takes editable properties alone, whatever else is sent', async () => {
        const { record } = await create(good())
        const forged = {
          id: '01a2148a-3605-707e-9158-b441fba2072f',
          createdBy: 'tenant:forged',
          createdAt: '2000-01-01T00:00:00Z',
          deletedBy: 'x',
          secret: 'seen',
          version: 99,
          nothing: 1,
          'constructor.x': 1,
          '__proto__.x': 1,
        }
        const { version: _, ...sent } = forged
        await edit(record.id, { ...sent, note: 'edited' })
        const stored = await row(record.id)
        assert.equal(stored.note, 'edited')
        assert.match(stored.createdBy, /^tenant:/)
        assert.notEqual(stored.createdBy, 'tenant:forged')
        assert.isNull(stored.secret)
        assert.isNull(stored.deletedBy)
        const made = await create(good({ id: forged.id, version: 7 }))
        assert.notEqual(made.record.id, forged.id)
        assert.equal((await row(made.record.id)).version, 1)
        assert.notProperty((await client.get(`${api}/records/${record.id}/show`)).json.record.params, 'secret')
      })

      it('refuses the second of two editors, of whom neither saw the other, also at the same time', async () => {
        const { record } = await create(good({ note: 'first' }))
        const seen = record.params
        assert.equal((await edit(record.id, { ...seen, note: 'one' })).notice.type, 'success')
        const late = await edit(record.id, { ...seen, note: 'two' })
        assert.equal(late.notice.type, 'error')
        assert.include(late.notice.message, 'changed this record')
        assert.equal((await row(record.id)).note, 'one')
        const fresh = (await client.get(`${api}/records/${record.id}/edit`)).json.record.params
        const answers = await Promise.all(['a', 'b', 'c', 'd'].map(note => edit(record.id, { ...fresh, note })))
        assert.lengthOf(
          answers.filter(answer => answer.notice.type === 'success'),
          1,
        )
      })

      it('deletes many in one transaction, softly, and shows them under their status', async () => {
        const ids = await Promise.all([1, 2].map(async () => (await create(good())).record.id as string))
        const { notice } = (await client.post(`${api}/bulk/bulkDelete?recordIds=${ids.join(',')}`, { json: {} })).json
        assert.equal(notice.message, '2 deleted')
        const shown = async (status: string) =>
          (await list(`perPage=500&filters.soft_delete_status=${status}`)).records.map((each: { id: string }) => each.id)
        assert.notIncludeMembers(await shown(''), ids)
        assert.includeMembers(await shown('deleted'), ids)
        assert.includeMembers(await shown('all'), ids)
        assert.equal((await edit(ids[0]!, { note: 'x' })).notice.type, 'error')
      })

      it('bounds pages, sorting and filters, whatever the query says', async () => {
        for (const query of [
          'perPage=abc',
          'perPage=-1',
          'perPage=1e99',
          'page=-5',
          'page=NaN',
          'page=99999999999999999999',
          'sortBy=nope',
          'sortBy=facts',
          'sortBy=secret',
          'sortBy=__proto__',
          'direction=;drop',
          'filters.nope=1',
          'filters.__proto__=1',
          'filters.constructor.x=1',
          'filters.small=x',
          'filters.big=99999999999999999999999',
          'filters.link=x',
          'filters.country=x',
          'filters.day.from=x',
          'filters.moment.from=%00',
          'filters.code=%00',
          'filters.isOpen=maybe',
          'filters.clock=x',
          'filters.labels=x',
          'filters.color=blue',
          'filters.code.x=1',
          'filters.secret=x',
        ]) {
          const { records, meta, notice } = await list(query)
          assert.isUndefined(notice, query)
          assert.isArray(records, query)
          assert.isAtMost(records.length, 500)
          assert.isNumber(meta.total)
        }
        assert.isAtMost((await list('perPage=2')).records.length, 2)
      })

      it('finds text as it is written: % and _ and \\ stand for themselves', async () => {
        const texts = ['100%', '100x', 'a_b', 'axb', 'c\\d', 'cxd', "q'q"]
        const ids = new Map<string, string>()
        for (const note of texts) ids.set(note, (await create(good({ note }))).record.id)
        for (const note of texts) {
          const found = (await list(`filters.note=${encodeURIComponent(note)}`)).records.map((each: { id: string }) => each.id)
          assert.deepEqual(found, [ids.get(note)], note)
        }
        await fc.assert(
          fc.asyncProperty(
            fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }),
            fc.constantFrom('note', 'code', 'small', 'price', 'day', 'link'),
            async (text, name) => {
              const { records } = await list(`filters.${name}=${encodeURIComponent(text)}`)
              for (const { params } of records) if (name === 'note') assert.include(params.note.toLowerCase(), text.toLowerCase())
            },
          ),
          { numRuns: 30 },
        )
      })

      it('sorts, filters and pages', async () => {
        for (const [code, small] of [
          ['s-a', 1],
          ['s-b', 3],
          ['s-c', 2],
        ] as const)
          await create({ code, color: 'red', small })
        const codes = async (query: string) => (await list(query)).records.map((each: { params: { code: string } }) => each.params.code)
        assert.deepEqual(await codes('filters.code=s-&sortBy=small&direction=desc'), ['s-b', 's-c', 's-a'])
        assert.deepEqual(await codes('filters.code=s-&sortBy=small&direction=asc&perPage=1&page=2'), ['s-c'])
        assert.deepEqual(await codes('filters.code=s-&filters.small=2'), ['s-c'])
        assert.equal((await list('filters.code=s-')).meta.total, 3)
      })

      it('writes to the record of the path, whichever id the form sends', async () => {
        const [target, other] = [(await create(good())).record.id as string, (await create(good())).record.id as string]
        await edit(target, { id: other, note: 'mine' })
        assert.equal((await row(target)).note, 'mine')
        assert.isNull((await row(other)).note)
      })
    })
})

describe('admin: the way to the data', function () {
  this.timeout(60_000)

  it('is the context of the request alone, which refuses what does not belong to it', async () => {
    await using kit = await testTenancy({ entities })
    await twoTenants(kit)
    const { tenancy } = kit
    const metadata = await kit.asSystem(async () => controlEm().getMetadata())
    const resource = (entity: object) => new MikroResource(metadata.get(entity as never))
    const [thing, country, tenant] = [resource(Thing), resource(Country), resource(Tenant)]
    const codeOf = (work: () => unknown): string => {
      try {
        work()
        return 'let through'
      } catch (error) {
        return (error as { code: string }).code
      }
    }
    for (const each of [thing, country])
      assert.equal(
        codeOf(() => each.manager('read')),
        'NO_TENANT_CONTEXT',
      )
    await kit.asSystem(async () => {
      assert.equal(
        codeOf(() => thing.manager('read')),
        'NO_TENANT_CONTEXT',
      )
      for (const each of [country, tenant])
        assert.equal(
          codeOf(() => each.manager('write')),
          'let through',
        )
    })
    for (const slug of ['acme', 'globex'])
      await tenancy.run(
        slug,
        async () => {
          assert.equal(
            codeOf(() => thing.manager('write')),
            'let through',
          )
          assert.equal(
            codeOf(() => country.manager('read')),
            'let through',
          )
          assert.equal(
            codeOf(() => country.manager('write')),
            'FORBIDDEN',
          )
          for (const access of ['read', 'write'] as const)
            assert.equal(
              codeOf(() => tenant.manager(access)),
              'FORBIDDEN',
            )
        },
        { actor: operator },
      )
  })
})

describe('admin: entities that cannot be shown', function () {
  this.timeout(60_000)
  const Pair = tenantEntity({ name: 'Pair', properties: { left: p.uuid().primary(), right: p.uuid().primary() } })

  it('are refused clearly, and can be left out', async () => {
    await using kit = await testTenancy({ entities: [...entities, Pair] })
    const accounts = accountsOf(Person)
    const refused = await createAdminPanel(kit.tenancy, { accounts })
      .load()
      .then(
        () => undefined,
        (error: Error & { code?: string; hint?: string }) => error,
      )
    assert.equal(refused?.code, 'CONFIGURATION_INVALID')
    assert.match(refused!.message, /Pair.*composite primary key/)
    assert.match(refused!.hint!, /resources: \{ Pair: false \}/)
    await createAdminPanel(kit.tenancy, { accounts, resources: { Pair: false } }).load()
    const unknown = await createAdminPanel(kit.tenancy, { accounts, resources: { Pair: false, Nope: {} } })
      .load()
      .catch((error: Error) => error.message)
    assert.match(String(unknown), /Nope/)
  })

  it('options that would let everybody in are refused at once', () => {
    const isAccessible = (async () => false) as never
    const action = { label: 'x', question: 'x?', isAccessible, run: async () => '' }
    assert.throws(
      () => createAdminPanel({} as never, { accounts: accountsOf(Person), resources: { Thing: { actions: { action } } } }),
      /async/,
    )
    for (const idleMinutes of [0, -1, Number.NaN, Infinity])
      assert.throws(() => createAdminPanel({} as never, { accounts: accountsOf(Person), idleMinutes }), /idleMinutes/)
  })
})
