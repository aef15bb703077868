/** Deleting, restoring and deleting for good, over HTTP, on both isolations. */
import { assert } from 'chai'
import { em, withDeleted } from 'mikro-tenantkit'
import { as, type Client } from './client.ts'
import { Thing, startWorld, type World } from './world.ts'

describe('admin: deleted records', function () {
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
      let next = 0

      before(async () => {
        client = await as(world.origin, 'admin', tenant)
      })

      const make = async (json: object = {}): Promise<string> =>
        (await client.post(`${api}/actions/new`, { json: { code: `d${++next}`, color: 'red', ...json } })).json.record.id as string
      const deleted = async (json: object = {}): Promise<string> => {
        const id = await make(json)
        assert.equal((await client.post(`${api}/records/${id}/delete`, { json: {} })).json.notice.type, 'success')
        return id
      }
      const act = async (id: string, action: string, json: object = {}) =>
        (await client.post(`${api}/records/${id}/${action}`, { json })).json
      const actAll = async (ids: readonly string[], action: string, json: object = {}) =>
        (await client.post(`${api}/bulk/${action}?recordIds=${ids.join(',')}`, { json })).json
      const rows = (ids: readonly string[]) => world.inTenant(tenant, () => em().find(Thing, { id: { $in: [...ids] } }, withDeleted()))

      it('deletes softly, under the own name', async () => {
        const id = await deleted()
        const [row] = await rows([id])
        assert.match(row!.deletedBy!, /^tenant:/)
        const { record } = (await client.get(`${api}/records/${id}/show`)).json
        assert.isString(record.params.deletedAt)
        assert.includeMembers(
          record.recordActions.map(({ name }: { name: string }) => name),
          ['restore', 'hard_delete'],
        )
        for (const action of ['edit', 'delete']) {
          const names = record.recordActions.map(({ name }: { name: string }) => name)
          assert.notInclude(names, action)
          assert.equal((await act(id, action, { note: 'x' })).notice.type, 'error')
        }
      })

      it('restores one and many, in one transaction', async () => {
        const ids = [await deleted(), await deleted(), await deleted()]
        assert.equal((await act(ids[0]!, 'restore')).notice.message, '1 restored')
        assert.equal((await actAll(ids.slice(1), 'restore_selected')).notice.message, '2 restored')
        for (const row of await rows(ids)) assert.isNull(row.deletedAt)
        assert.equal((await act(ids[0]!, 'restore')).notice.type, 'error', 'it lives already')
        // All of them, or none: one value is taken meanwhile.
        const [free, taken] = [await deleted({ code: 'free' }), await deleted({ code: 'taken' })]
        await make({ code: 'taken' })
        const { notice } = await actAll([free, taken], 'restore_selected')
        assert.equal(notice.type, 'error')
        for (const row of await rows([free, taken])) assert.isNotNull(row.deletedAt)
      })

      it('deletes for good by the phrase alone, which the server checks', async () => {
        const ids = [await deleted(), await deleted()]
        for (const confirm_hard_delete of [undefined, '', 'hard delete', 'HARD DELETE ', 'DELETE', true, ['HARD DELETE']]) {
          assert.equal((await act(ids[0]!, 'hard_delete', { confirm_hard_delete })).notice.type, 'error')
          assert.equal((await actAll(ids, 'hard_delete_selected', { confirm_hard_delete })).notice.type, 'error')
        }
        for (const query of ['?confirm_hard_delete=HARD%20DELETE', '?confirm=1'])
          await client.get(`${api}/records/${ids[0]}/hard_delete${query}`)
        assert.lengthOf(await rows(ids), 2)
        const live = await make()
        const confirmed = { confirm_hard_delete: 'HARD DELETE' }
        assert.equal((await act(live, 'hard_delete', confirmed)).notice.type, 'error', 'a live record')
        assert.equal((await actAll([...ids, live], 'hard_delete_selected', confirmed)).notice.type, 'error', 'a live record among them')
        assert.lengthOf(await rows([...ids, live]), 3)
        assert.equal((await act(ids[0]!, 'hard_delete', confirmed)).notice.message, '1 deleted permanently')
        assert.equal((await actAll([ids[1]!], 'hard_delete_selected', confirmed)).notice.message, '1 deleted permanently')
        assert.lengthOf(await rows(ids), 0)
      })

      it('keeps what something refers to, and says what', async () => {
        const parent = await make()
        const child = await make({ parent })
        await client.post(`${api}/bulk/bulkDelete?recordIds=${child},${parent}`, { json: {} })
        const { notice } = await act(parent, 'hard_delete', { confirm_hard_delete: 'HARD DELETE' })
        assert.equal(notice.type, 'error')
        assert.lengthOf(await rows([parent, child]), 2)
      })
    })
})
