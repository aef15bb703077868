/** Settings and invitations beneath a tenant, over HTTP: plain forms, filtered by the tenant, audited, softly deleted, no token shown. */
import { assert } from 'chai'
import { query } from '../helpers/postgres.ts'
import { as, type Client } from './client.ts'
import { PEOPLE, startWorld, type Who, type World } from './world.ts'

const HOSTILE = `</script><img src=x onerror=alert(1)>'"`

describe('admin: settings and invitations', function () {
  this.timeout(60_000)
  let world: World
  let operator: Client
  let owner: Client
  const ids = new Map<string, string>()

  before(async () => {
    world = await startWorld()
    operator = await as(world.origin, 'operator')
    owner = await as(world.origin, 'owner')
    for (const slug of ['acme', 'globex']) ids.set(slug, (await world.tenancy.showTenant(slug)).id)
  })
  after(() => world?.[Symbol.asyncDispose]())

  const api = (resource: string): string => `/admin/api/resources/${resource}`
  const create = async (resource: string, json: object, client = operator) =>
    (await client.post(`${api(resource)}/actions/new`, { json })).json
  const act = async (resource: string, id: string, action: string, json: object = {}, client = operator) =>
    (await client.post(`${api(resource)}/records/${id}/${action}`, { json })).json
  const ID = /^[0-9a-f-]{36}$/

  for (const slug of ['acme', 'globex'])
    it(`keeps settings of ${slug}: made, changed, deleted, restored, deleted for good, under the own name`, async () => {
      const tenant = ids.get(slug)!
      const made = await create('TenantSetting', { tenant, key: 'mail.sender', value: JSON.stringify({ name: HOSTILE }) })
      assert.match(made.record.id, ID, JSON.stringify(made))
      const { id } = made.record
      assert.match(made.record.params.createdBy, /^global:/)
      assert.equal((await create('TenantSetting', { tenant, key: 'mail.sender', value: '1' })).notice.type, 'error', 'the key is taken')
      for (const [key, value] of [
        ['', '1'],
        ['a b', '1'],
        [HOSTILE, '1'],
        ['x'.repeat(121), '1'],
        ['ok', '{'],
      ] as const)
        assert.equal((await create('TenantSetting', { tenant, key, value })).notice.type, 'error', key)
      assert.equal((await act('TenantSetting', id, 'edit', { value: '{"name":"x"}' })).notice.type, 'success')
      const other = slug === 'acme' ? 'globex' : 'acme'
      assert.hasAllKeys((await act('TenantSetting', id, 'edit', { tenant: ids.get(other) })).record.errors, ['tenant'])
      const listed = async (of: string) =>
        (await operator.get(`${api('TenantSetting')}/actions/list?filters.tenant=${ids.get(of)}`)).json.records.map(
          (each: { id: string }) => each.id,
        )
      assert.include(await listed(slug), id)
      assert.notInclude(await listed(other), id)
      assert.equal((await act('TenantSetting', id, 'delete')).notice.type, 'success')
      assert.notInclude(await listed(slug), id)
      assert.equal((await act('TenantSetting', id, 'restore')).notice.type, 'success')
      await act('TenantSetting', id, 'delete')
      const confirmed = { confirm_hard_delete: 'HARD DELETE' }
      assert.equal((await act('TenantSetting', id, 'hard_delete', confirmed)).notice.message, 'forbiddenError')
      assert.equal((await act('TenantSetting', id, 'hard_delete', confirmed, owner)).notice.type, 'success')
      const history = await query(world.kit.url, 'select action from public.tenantkit_audit_event where entity_id = $1 order by id', [id])
      assert.deepEqual(
        history.map(({ action }) => action),
        ['create', 'update', 'delete', 'restore', 'delete', 'purge'],
      )
    })

  it('keeps invitations without their tokens, and lets nobody say that one was accepted', async () => {
    const tenant = ids.get('acme')!
    const sent = { tenant, email: ' New@Acme.test ', expiresAt: '2030-01-01T00:00:00.000Z', token: '01a2148a-3605-707e-9158-b441fba2072f' }
    const accepted = { acceptedAt: '2026-01-01T00:00:00.000Z', acceptedBy: 'somebody' }
    const made = await create('TenantInvitation', { ...sent, ...accepted })
    assert.match(made.record.id, ID, JSON.stringify(made))
    const { id } = made.record
    const row = async () => (await query(world.kit.url, 'select * from public.tenantkit_tenant_invitation where id = $1', [id]))[0]!
    assert.deepInclude(await row(), { email: 'new@acme.test', status: 'pending', accepted_at: null, accepted_by: '' })
    assert.notEqual((await row())['token'], sent.token)
    assert.equal((await create('TenantInvitation', { tenant, email: 'NEW@acme.test' })).notice.type, 'error', 'pending already')
    for (const email of ['', 'new', `${HOSTILE}@x`, 'a@b@c', `${'x'.repeat(260)}@x.test`])
      assert.equal((await create('TenantInvitation', { tenant, email })).notice.type, 'error', email)
    for (const status of ['accepted', 'ACCEPTED', 'other', { $ne: 1 }])
      assert.property((await act('TenantInvitation', id, 'edit', { status })).record.errors, 'status')
    await act('TenantInvitation', id, 'edit', { ...accepted, token: sent.token, status: 'revoked' })
    assert.deepInclude(await row(), { status: 'revoked', accepted_at: null, accepted_by: '' })
    assert.notEqual((await row())['token'], sent.token)
    await query(world.kit.url, `update public.tenantkit_tenant_invitation set status = 'accepted' where id = $1`, [id])
    assert.property((await act('TenantInvitation', id, 'edit', { status: 'pending' })).record.errors, 'status')
    assert.deepInclude(await row(), { status: 'accepted' })
    const token = String((await row())['token'])
    for (const path of [`records/${id}/show`, `records/${id}/edit`, 'actions/list', `actions/list?filters.token=${token}`]) {
      const { text } = await owner.get(`${api('TenantInvitation')}/${path}`)
      assert.notInclude(text, token, path)
      assert.notInclude(text, '"token"', path)
    }
    const history = await query(world.kit.url, 'select changes::text as text from public.tenantkit_audit_event where entity_id = $1', [id])
    assert.isFalse(history.some(({ text }) => String(text).includes(token)))
  })

  it('counts on the page of the tenant what stands beneath it', async () => {
    await create('TenantSetting', { tenant: ids.get('globex'), key: 'counted', value: '1' })
    const { progress } = (await operator.get(`${api('Tenant')}/records/${ids.get('globex')}/operations`)).json
    assert.deepEqual(progress.parts, { TenantSetting: 1, TenantInvitation: 0 })
  })

  it('gives them to those alone who have the permission, in the control plane alone', async () => {
    const tenant = ids.get('acme')!
    const { id } = (await create('TenantSetting', { tenant, key: 'table', value: '1' })).record
    for (const who of Object.keys(PEOPLE) as Who[]) {
      const isGlobal = PEOPLE[who].plane === 'global'
      const client = await as(world.origin, who, isGlobal ? undefined : 'acme')
      for (const [path, needs] of [
        ['actions/list', 'read'],
        [`records/${id}/show`, 'read'],
        ['actions/new', 'write'],
        [`records/${id}/edit`, 'write'],
        [`bulk/bulkDelete?recordIds=${id}`, 'write'],
      ] as const)
        for (const resource of ['TenantSetting', 'TenantInvitation']) {
          if (resource === 'TenantInvitation' && path.includes(id)) continue
          const may = isGlobal && (needs === 'read' || who !== 'auditor')
          const { status, json } =
            needs === 'read' ? await client.get(`${api(resource)}/${path}`) : await client.post(`${api(resource)}/${path}`, { json: {} })
          await query(world.kit.url, 'update public.tenantkit_tenant_setting set deleted_at = null, deleted_by = null where id = $1', [id])
          assert.equal(status === 200 && json.notice?.message !== 'forbiddenError', may, `${who} ${resource} ${path}: ${status}`)
          const inside = `/admin/t/acme/api/resources/${resource}/${path}`
          if (!isGlobal) assert.equal((await client.get(inside)).status, 404, inside)
        }
    }
  })
})
