/** What the panel does to tenants, over HTTP: through the registry, whose rules are told as they are. */
import { assert } from 'chai'
import { as, type Client } from './client.ts'
import { startWorld, type World } from './world.ts'

describe('admin: tenants', function () {
  this.timeout(60_000)
  let world: World
  let owner: Client
  let operator: Client
  const ids = new Map<string, string>()

  before(async () => {
    world = await startWorld()
    owner = await as(world.origin, 'owner')
    operator = await as(world.origin, 'operator')
    const { records } = (await owner.get('/admin/api/resources/Tenant/actions/list')).json
    for (const { id, params } of records) ids.set(params.slug, id)
  })
  after(() => world?.[Symbol.asyncDispose]())

  const act = async (client: Client, slug: string, action: string, json: object = {}) =>
    (await client.post(`/admin/api/resources/Tenant/records/${ids.get(slug)}/${action}`, { json })).json
  const statusOf = async (slug: string) => (await world.tenancy.showTenant(slug)).status

  it('offers what the status allows, and refuses the rest', async () => {
    const { record } = (await owner.get(`/admin/api/resources/Tenant/records/${ids.get('acme')}/show`)).json
    const names = record.recordActions.map(({ name }: { name: string }) => name)
    assert.includeMembers(names, ['migrate', 'provision_and_migrate', 'suspend', 'archive'])
    for (const name of ['resume', 'restore', 'purge', 'provision', 'edit', 'delete', 'hard_delete']) {
      assert.notInclude(names, name)
      const { status, json } = await owner.post(`/admin/api/resources/Tenant/records/${ids.get('acme')}/${name}`, {
        json: { confirm_hard_delete: 'DELETE acme' },
      })
      assert.isTrue(status === 404 || json.notice.type === 'error', name)
    }
    assert.equal(await statusOf('acme'), 'ready')
  })

  it('does nothing on GET', async () => {
    for (const action of ['suspend', 'archive']) await owner.get(`/admin/api/resources/Tenant/records/${ids.get('acme')}/${action}`)
    assert.equal(await statusOf('acme'), 'ready')
  })

  for (const slug of ['acme', 'globex'])
    it(`migrates, suspends, resumes, archives, restores and purges ${slug}, and tells what was done`, async () => {
      assert.equal((await act(operator, slug, 'migrate')).notice.message, `${slug} is ready. No migration was pending.`)
      assert.equal((await act(operator, slug, 'suspend')).notice.message, `${slug} is suspended.`)
      await operator.enter(slug)
      assert.equal((await operator.get(`/admin/t/${slug}`)).status, 403)
      assert.equal((await act(operator, slug, 'resume')).notice.message, `${slug} is ready.`)
      assert.equal((await act(operator, slug, 'archive')).notice.message, `${slug} is archived.`)
      assert.equal((await act(operator, slug, 'restore')).notice.message, `${slug} is ready.`)
      assert.match((await world.tenancy.showTenant(slug)).updated_by, /^global:/)
      await act(operator, slug, 'archive')
      const confirmed = { confirm_hard_delete: `DELETE ${slug}` }
      assert.equal((await act(operator, slug, 'purge', confirmed)).notice.message, 'forbiddenError')
      for (const confirm_hard_delete of [undefined, '', 'DELETE', 'DELETE other', `delete ${slug}`, 'DELETE {slug}'])
        assert.equal((await act(owner, slug, 'purge', { confirm_hard_delete })).notice.type, 'error')
      assert.equal(await statusOf(slug), 'archived')
      const { notice } = await act(owner, slug, 'purge', confirmed)
      assert.match(notice.message, new RegExp(`^${slug} is purged\\. Dropped: .*${slug}`))
      assert.equal(await statusOf(slug), 'purged')
    })
})
