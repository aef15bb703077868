/** Many-to-many in forms, through the panel, on both isolations, with the pivot table as plain SQL shows it. */
import { assert } from 'chai'
import { p } from '@mikro-orm/postgresql'
import { controlEm, em, newId, tenantEntity } from 'mikro-tenantkit'
import { MikroResource } from '../../admin/adapter/resource.ts'
import { databaseUrl, query } from '../helpers/postgres.ts'
import { testTenancy } from '../helpers/tenancy.ts'
import { as, type Client } from './client.ts'
import { Tag, Thing, entities, startWorld, type World } from './world.ts'

const NOBODY = '01a2148a-3605-707e-9158-b441fba2072f'

describe('admin: collections', function () {
  this.timeout(60_000)
  let world: World
  const tags = new Map<string, Record<string, string>>()

  before(async () => {
    world = await startWorld()
    for (const slug of ['acme', 'globex'])
      await world.inTenant(slug, async () => {
        const made = ['red', 'green', 'blue', 'old'].map(name => em().create(Tag, { name } as never))
        await em().persist(made).flush()
        tags.set(slug, Object.fromEntries(made.map(({ id, name }) => [name, id])))
      })
  })
  after(() => world?.[Symbol.asyncDispose]())

  for (const tenant of ['acme', 'globex'])
    describe(tenant === 'acme' ? 'schema tenant' : 'database tenant', () => {
      let client: Client
      let tag: Record<string, string>
      const api = `/admin/t/${tenant}/api/resources/Thing`
      let next = 0

      before(async () => {
        client = await as(world.origin, 'admin', tenant)
        tag = tags.get(tenant)!
      })

      const create = async (json: Record<string, unknown>) =>
        (await client.post(`${api}/actions/new`, { json: { code: `m${++next}`, color: 'red', ...json } })).json
      const edit = async (id: string, json: Record<string, unknown>) => (await client.post(`${api}/records/${id}/edit`, { json })).json
      const shown = async (id: string) => (await client.get(`${api}/records/${id}/show`)).json.record
      const sql = <Row extends object>(text: string, id: string): Promise<Row[]> => {
        const { prefix, url } = world.kit
        return tenant === 'acme'
          ? query<Row>(url, text.replaceAll('%s', `${prefix}_acme`), [id])
          : query<Row>(databaseUrl(`${prefix}_globex`), text.replaceAll('%s', 'tenant'), [id])
      }
      /** The names behind the pivot's rows, deleted ones too. */
      const pivot = async (id: string): Promise<string[]> => {
        const rows = await sql<{ name: string }>(
          'select t.name from %s.thing_tags p join %s.tag t on t.id = p.tag_id where p.thing_id = $1 order by 1',
          id,
        )
        return rows.map(({ name }) => name)
      }
      const events = async (id: string): Promise<{ before: string; after: string }[]> => {
        const { entries } = (await client.get(`${api}/records/${id}/history`)).json
        return entries.flatMap((entry: { changes: { field: string; before: { text: string }; after: { text: string } }[] }) =>
          entry.changes.filter(({ field }) => /tags/i.test(field)).map(({ before, after }) => ({ before: before.text, after: after.text })),
        )
      }

      it('are written with the other fields, shown by title, and told by the history of their owner', async () => {
        const made = await create({ 'tags.0': tag['red'], 'tags.1': tag['green'], 'tags.2': tag['red'] })
        assert.equal(made.notice.type, 'success', JSON.stringify(made))
        const { id } = made.record
        assert.deepEqual(await pivot(id), ['green', 'red'])
        const { params, populated } = await shown(id)
        const titles = ['tags.0', 'tags.1'].map(path => populated[path].title as string)
        assert.sameMembers(titles, ['green', 'red'])
        assert.notProperty(params, 'tags.2')
        const { notice, record } = await edit(id, { 'tags.0': tag['green'], 'tags.1': tag['blue'], note: 'both' })
        assert.equal(notice.type, 'success', JSON.stringify(record?.errors))
        assert.deepEqual(await pivot(id), ['blue', 'green'])
        const [last] = await events(id)
        for (const name of ['red', 'green']) assert.include(last!.before, tag[name]!)
        assert.notInclude(last!.before, tag['blue']!)
        for (const name of ['green', 'blue']) assert.include(last!.after, tag[name]!)
        assert.notInclude(last!.after, tag['red']!)
      })

      it('stay as they are when they are not sent, or sent as they were shown, and go when they are sent empty', async () => {
        const { id, params } = (await create({ 'tags.0': tag['red'], 'tags.1': tag['blue'] })).record
        assert.equal((await edit(id, { note: 'nothing of tags' })).notice.type, 'success')
        assert.deepEqual(await pivot(id), ['blue', 'red'])
        const told = (await events(id)).length
        const { params: now } = await shown(id)
        assert.equal((await edit(id, now)).notice.type, 'success')
        assert.deepEqual(await pivot(id), ['blue', 'red'])
        assert.lengthOf(await events(id), told, 'what did not change is not told')
        assert.property(params, 'tags.0')
        // As the browser sends an empty list.
        assert.equal((await edit(id, { tags: '__FORM_VALUE_EMPTY_ARRAY__' })).notice.type, 'success')
        assert.deepEqual(await pivot(id), [])
        assert.deepEqual((await shown(id)).params.tags, [])
      })

      it('keep deleted members, which no form shows, and take none anew', async () => {
        const { id } = (await create({ 'tags.0': tag['red'], 'tags.1': tag['old'] })).record
        const other = (await create({})).record.id
        await world.inTenant(tenant, async () =>
          em()
            .remove(await em().findOneOrFail(Tag, { id: tag['old']! }))
            .flush(),
        )
        const { params } = await shown(id)
        assert.equal(params['tags.0'], tag['red'])
        assert.notProperty(params, 'tags.1')
        assert.equal((await edit(id, { ...params, note: 'touched' })).notice.type, 'success')
        assert.deepEqual(await pivot(id), ['old', 'red'])
        const { updatedAt } = (await shown(id)).params
        // The form was opened before the tag was deleted.
        assert.equal((await edit(id, { updatedAt, 'tags.0': tag['old'], 'tags.1': tag['blue'] })).notice.type, 'success')
        assert.deepEqual(await pivot(id), ['blue', 'old'])
        assert.equal((await edit(id, { tags: [] })).notice.type, 'success')
        assert.deepEqual(await pivot(id), ['old'])
        assert.equal((await edit(other, { 'tags.0': tag['old'] })).record.errors.tags.message, 'Refers to nothing')
        assert.deepEqual(await pivot(other), [])
        await sql('update %s.tag set deleted_at = null, deleted_by = null where id = $1', tag['old']!)
      })

      it('refuse ids of nothing, of other tenants and of other entities, and then save nothing at all', async () => {
        const foreign = tags.get(tenant === 'acme' ? 'globex' : 'acme')!['red']!
        const { id } = (await create({ 'tags.0': tag['red'], note: 'before' })).record
        for (const wrong of [NOBODY, foreign, id, 'x', "' or 1=1", '__proto__']) {
          const { notice, record } = await edit(id, { 'tags.0': tag['red'], 'tags.1': wrong, note: 'after' })
          assert.equal(notice.type, 'error', wrong)
          assert.equal(record.errors.tags?.message, 'Refers to nothing', wrong)
        }
        for (const odd of [{ tags: 'x' }, { tags: { a: { b: 1 } } }, { 'tags.0.x': tag['blue'] }]) {
          const { status, json } = await client.post(`${api}/records/${id}/edit`, { json: { ...odd, note: 'after' } })
          assert.equal(status, 200)
          assert.equal(json.notice.type, 'error', JSON.stringify(odd))
        }
        assert.equal((await edit(id, { 'tags.4294967290': NOBODY })).record.errors.tags.message, 'Refers to nothing')
        // AdminJS drops such a name; what is left is a form without tags.
        await edit(id, { 'tags.__proto__': 'x' })
        const many = Object.fromEntries(Array.from({ length: 201 }, (_, at) => [`tags.${at}`, newId()]))
        assert.equal((await edit(id, many)).record.errors.tags.message, 'At most 200 records')
        assert.deepEqual(await pivot(id), ['red'])
        assert.equal((await shown(id)).params.note, 'before')
        assert.equal((await create({ 'tags.0': foreign })).record.errors.tags.message, 'Refers to nothing')
      })

      it('are guarded against a second editor, although they alone have changed', async () => {
        const { id } = (await create({ 'tags.0': tag['red'] })).record
        const { params } = await shown(id)
        await new Promise(resolve => setTimeout(resolve, 5))
        assert.equal((await edit(id, { ...params, 'tags.0': tag['blue'] })).notice.type, 'success')
        assert.include((await edit(id, { ...params, 'tags.0': tag['green'] })).notice.message, 'changed this record')
        assert.deepEqual(await pivot(id), ['blue'])
        const row = await world.inTenant(tenant, () => em().findOneOrFail(Thing, { id }))
        assert.match(String(row.updatedBy), /^tenant:/)
        assert.isAbove(Number(row.updatedAt), Number(new Date(params.updatedAt)))
      })

      it('are in no list and no filter, and are not written by who only reads', async () => {
        const { id } = (await create({ 'tags.0': tag['red'] })).record
        const { records, meta } = (await client.get(`${api}/actions/list?perPage=500&filters.tags=${NOBODY}`)).json
        assert.isAbove(meta.total, 0)
        for (const { params } of records) assert.isEmpty(Object.keys(params).filter(name => name.startsWith('tags')))
        const viewer = await as(world.origin, 'viewer', tenant)
        await viewer.post(`${api}/records/${id}/edit`, { json: { tags: [] } })
        assert.deepEqual(await pivot(id), ['red'])
      })
    })
})

describe('admin: collections that a form does not show', function () {
  this.timeout(60_000)
  const id = () =>
    p
      .uuid()
      .primary()
      .onCreate(() => newId())
  const Team = tenantEntity({ name: 'Team', properties: { id: id(), name: p.string() } })
  const Membership = tenantEntity({
    name: 'Membership',
    properties: { player: (): any => p.manyToOne(Player).primary(), team: () => p.manyToOne(Team).primary(), since: p.date() },
  })
  const Player: any = tenantEntity({
    name: 'Player',
    properties: {
      id: id(),
      name: p.string(),
      teams: () => p.manyToMany(Team).pivotEntity(() => Membership),
      friends: () => p.manyToMany(Team),
    },
  } as never)

  it('are those whose table holds more than keys, and those of entities that are left out', async () => {
    await using kit = await testTenancy({ entities: [...entities, Team, Membership, Player] })
    const meta = await kit.asSystem(async () => controlEm().getMetadata().get(Player))
    const namesOf = (resource: MikroResource): string[] =>
      resource.properties().flatMap(each => (each.kind === 'collection' ? [each.path()] : []))
    assert.deepEqual(namesOf(new MikroResource(meta)), ['friends'])
    assert.deepEqual(namesOf(new MikroResource(meta, {}, ({ className }) => className !== 'Team')), [])
    const team = await kit.asSystem(async () => controlEm().getMetadata().get(Team))
    assert.deepEqual(namesOf(new MikroResource(team)), [], 'the other side')
  })
})
