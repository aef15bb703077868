/** Who may do what: role × mode × resource × action, as requests that no button sends. */
import { assert } from 'chai'
import { em } from 'mikro-tenantkit'
import { as, type Client } from './client.ts'
import { Country, PEOPLE, Person, Thing, emailOf, startWorld, type Who, type World } from './world.ts'

const ACTIONS = [
  'list',
  'search',
  'show',
  'history',
  'new',
  'edit',
  'delete',
  'bulkDelete',
  'restore',
  'restore_selected',
  'hard_delete',
  'hard_delete_selected',
] as const
type Action = (typeof ACTIONS)[number]
const NEEDS: Readonly<Record<Action, 'read' | 'write' | 'delete' | 'restore' | 'purge'>> = {
  list: 'read',
  search: 'read',
  show: 'read',
  history: 'read',
  new: 'write',
  edit: 'write',
  delete: 'delete',
  bulkDelete: 'delete',
  restore: 'restore',
  restore_selected: 'restore',
  hard_delete: 'purge',
  hard_delete_selected: 'purge',
}
/** Written out, not computed from the roles: the table is what is promised. */
const MAY: Readonly<Record<Who, string>> = {
  owner: 'read write delete restore purge',
  operator: 'read write delete restore',
  auditor: 'read',
  admin: 'read write delete restore purge',
  member: 'read write delete restore',
  viewer: 'read',
}

describe('admin: authorization', function () {
  this.timeout(60_000)
  let world: World
  const clients = new Map<string, Client>()

  before(async () => {
    world = await startWorld()
    for (const [who, { plane }] of Object.entries(PEOPLE)) {
      const client = await as(world.origin, who as Who, plane === 'tenant' ? 'acme' : undefined)
      if (plane === 'global') assert.equal((await client.enter('acme')).location, '/admin/t/acme')
      clients.set(who, client)
    }
  })
  after(() => world?.[Symbol.asyncDispose]())

  /** Sends an action as the page would; answers whether it was let through: not forbidden, not unknown. */
  async function isAllowed(client: Client, root: string, resource: string, action: Action, id: string): Promise<boolean> {
    const base = `${root}/api/resources/${resource}`
    const json = {}
    const answers = {
      list: () => client.get(`${base}/actions/list`),
      search: () => client.get(`${base}/actions/search`),
      show: () => client.get(`${base}/records/${id}/show`),
      history: () => client.get(`${base}/records/${id}/history`),
      new: () => client.post(`${base}/actions/new`, { json }),
      edit: () => client.post(`${base}/records/${id}/edit`, { json }),
      delete: () => client.post(`${base}/records/${id}/delete`, { json }),
      bulkDelete: () => client.post(`${base}/bulk/bulkDelete?recordIds=${id}`, { json }),
      restore: () => client.post(`${base}/records/${id}/restore`, { json }),
      restore_selected: () => client.post(`${base}/bulk/restore_selected?recordIds=${id}`, { json }),
      hard_delete: () => client.post(`${base}/records/${id}/hard_delete`, { json }),
      hard_delete_selected: () => client.post(`${base}/bulk/hard_delete_selected?recordIds=${id}`, { json }),
    }
    const { status, json: answer, text } = await answers[action]()
    if (status === 403 || status === 404) return false
    assert.equal(status, 200, `${action} ${resource}: ${text.slice(0, 300)}`)
    return answer.notice?.message !== 'forbiddenError'
  }

  const isOfDeleted = (action: Action): boolean => ['restore', 'purge'].includes(NEEDS[action])
  const thing = async (action: Action): Promise<string> =>
    world.inTenant('acme', async () => {
      const made = em().create(Thing, { code: `t${Math.random().toString(36).slice(2, 12)}`, color: 'red' } as never)
      await em().persist(made).flush()
      if (isOfDeleted(action)) await em().remove(made).flush()
      return made.id
    })
  const country = (action: Action): Promise<string> =>
    world.kit.asSystem(async () => {
      const { controlEm } = await import('mikro-tenantkit')
      const control = controlEm()
      const made = control.create(Country, { code: 'XX', name: 'X' })
      await control.persist(made).flush()
      if (isOfDeleted(action)) await control.remove(made).flush()
      return made.id
    })

  for (const who of Object.keys(PEOPLE) as Who[]) {
    for (const action of ACTIONS) {
      const allowed = MAY[who].includes(NEEDS[action])
      it(`${who}: ${action} of a tenant's entity is ${allowed ? 'allowed' : 'refused'} in the tenant, and refused in the control plane`, async () => {
        const client = clients.get(who)!
        assert.equal(await isAllowed(client, '/admin/t/acme', 'Thing', action, await thing(action)), allowed)
        assert.isFalse(await isAllowed(client, '/admin', 'Thing', action, await thing(action)))
      })
    }
  }

  it('gives shared entities to operators in the control plane alone, by their permissions', async () => {
    for (const who of Object.keys(PEOPLE) as Who[]) {
      for (const action of ACTIONS) {
        const client = clients.get(who)!
        const allowed = PEOPLE[who].plane === 'global' && MAY[who].includes(NEEDS[action])
        const id = await country(action)
        assert.equal(await isAllowed(client, '/admin', 'Country', action, id), allowed, `${who} ${action}`)
        // A tenant's rows refer to countries: they are found by name there, and nothing else.
        assert.equal(await isAllowed(client, '/admin/t/acme', 'Country', action, id), action === 'search', `${who} ${action} in the tenant`)
        assert.isFalse(await isAllowed(client, '/admin/t/acme', 'Notice', action, id), `${who} ${action} Notice`)
      }
    }
  })

  it('shows the registry to operators, lets nobody write its rows but by its own forms, and no tenant know of it', async () => {
    const { json } = await clients.get('owner')!.get('/admin/api/resources/Tenant/actions/list')
    const [record] = json.records as { id: string; params: Record<string, unknown> }[]
    assert.notProperty(record!.params, 'connectionString')
    for (const who of Object.keys(PEOPLE) as Who[]) {
      for (const action of ACTIONS) {
        const client = clients.get(who)!
        // Forms of its own make and change tenants; none deletes a row.
        const may = NEEDS[action] === 'read' || (['new', 'edit'].includes(action) && MAY[who].includes('write'))
        assert.equal(
          await isAllowed(client, '/admin', 'Tenant', action, record!.id),
          may && PEOPLE[who].plane === 'global',
          `${who} ${action}`,
        )
        assert.isFalse(await isAllowed(client, '/admin/t/acme', 'Tenant', action, record!.id), `${who} ${action} in the tenant`)
      }
    }
  })

  it('never makes a row whose hidden columns a form cannot fill', async () => {
    assert.isFalse(await isAllowed(clients.get('admin')!, '/admin/t/acme', 'Person', 'new', 'x'))
  })

  it('knows no resource, action or record by a name of JavaScript', async () => {
    const client = clients.get('admin')!
    for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'Nope']) {
      for (const path of [
        `resources/${name}`,
        `api/resources/${name}/actions/list`,
        `api/resources/Thing/actions/${name}`,
        `api/pages/${name}`,
      ])
        assert.equal((await client.get(`/admin/t/acme/${path}`)).status, 404, path)
    }
    for (const id of ['x', '1', '__proto__', '%00', "'", '01a2148a-3605-707e-9158-b441fba2072f']) {
      const { status, json } = await client.get(`/admin/t/acme/api/resources/Thing/records/${id}/show`)
      assert.equal(status, 200, id)
      assert.equal(json.notice.type, 'error')
    }
  })

  it('finds no record of another tenant, whose ids are valid', async () => {
    const foreign = await world.inTenant('globex', async () => (await em().findOneOrFail(Thing, { code: 'globex-1' })).id)
    const client = clients.get('owner')!
    const { json } = await client.get(`/admin/t/acme/api/resources/Thing/records/${foreign}/show`)
    assert.equal(json.notice.type, 'error')
    await client.post(`/admin/t/acme/api/resources/Thing/records/${foreign}/edit`, { json: { note: 'stolen' } })
    await client.post(`/admin/t/acme/api/resources/Thing/bulk/bulkDelete?recordIds=${foreign}`, { json: {} })
    const row = await world.inTenant('globex', () => em().findOneOrFail(Thing, { id: foreign }))
    assert.isNull(row.note ?? null)
  })

  it('lets an operator into a tenant by a form of the own session alone, for a time, under the own name', async () => {
    const client = await as(world.origin, 'owner')
    const asked = await client.get('/admin/t/acme/resources/Thing')
    assert.match(asked.location, /^\/admin\/enter\?tenant=acme/)
    assert.equal((await client.get('/admin/t/acme/api/resources/Thing/actions/list')).status, 403)
    const page = await client.get(asked.location)
    assert.include(page.text, 'Enter Acme?')
    assert.equal((await client.post('/admin/enter', { form: { tenant: 'acme' } })).status, 403)
    assert.equal((await client.post('/admin/enter', { form: { tenant: 'nowhere', _csrf: client.csrf } })).status, 404)
    assert.equal(
      (await client.post('/admin/enter', { form: { tenant: 'acme', _csrf: client.csrf, redirectTo: '/admin/t/acme/resources/Thing' } }))
        .location,
      '/admin/t/acme/resources/Thing',
    )
    assert.isTrue(world.logged.some(line => line.includes('tenant.entered') && line.includes('acme')))
    const { json } = await client.post('/admin/t/acme/api/resources/Thing/actions/new', { json: { code: 'visitor', color: 'red' } })
    const owner = await world.kit.asSystem(async () => {
      const { controlEm } = await import('mikro-tenantkit')
      return controlEm().findOneOrFail(Person.shared, { email: emailOf('owner') })
    })
    assert.equal(json.record.params.createdBy, `global:${owner.id}`)
    assert.equal((await client.post('/admin/leave', { form: { tenant: 'acme', _csrf: client.csrf } })).location, '/admin')
    assert.equal((await client.get('/admin/t/acme/api/resources/Thing/actions/list')).status, 403)
  })

  it('asks an operator again when the time in the tenant is over', async () => {
    const { query } = await import('../helpers/postgres.ts')
    const client = await as(world.origin, 'operator')
    await client.enter('acme')
    assert.equal((await client.get('/admin/t/acme')).status, 200)
    await query(
      world.kit.url,
      `update public.tenantkit_admin_session set entered = (select jsonb_object_agg(key, value::text::bigint - 3600001) from jsonb_each(entered)) where label = $1`,
      [emailOf('operator')],
    )
    assert.match((await client.get('/admin/t/acme')).location, /^\/admin\/enter/)
  })

  it('keeps the names of operators from tenants, and names everybody else', async () => {
    const owner = clients.get('owner')!
    const made = await owner.post('/admin/t/acme/api/resources/Thing/actions/new', { json: { code: 'named', color: 'red' } })
    const path = `/admin/t/acme/api/resources/Thing/records/${made.json.record.id}`
    assert.equal((await owner.get(`${path}/show`)).json.record.params['audit.createdBy'], 'owner (operator)')
    const admin = clients.get('admin')!
    assert.equal((await admin.get(`${path}/show`)).json.record.params['audit.createdBy'], 'Operator')
    await admin.post(`${path}/edit`, { json: { note: 'changed' } })
    assert.equal((await admin.get(`${path}/edit`)).json.record.params['audit.updatedBy'], 'admin of acme')
  })
})
