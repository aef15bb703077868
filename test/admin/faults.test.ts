/** Faults of other back offices that must never happen here; each test is named by its row. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:http'
import { Script } from 'node:vm'
import Koa from 'koa'
import { assert } from 'chai'
import { ValidationFailedError, controlEm, em, hashPassword, verifyPassword } from 'mikro-tenantkit'
import { accountsOf, createAdminPanel } from 'mikro-tenantkit/admin'
import { query } from '../helpers/postgres.ts'
import { Client, as } from './client.ts'
import { Person, Thing, emailOf, startWorld, type World } from './world.ts'

const HOSTILE = `</script><script>alert(1)</script>'"\`\u2028\u2029\\<!--<img src=x onerror=alert(2)>\${1}`

describe('admin: faults that must never happen', function () {
  this.timeout(60_000)
  let world: World

  before(async () => {
    const passwordHash = async (password: string): Promise<string> => {
      if (password.length < 12) throw new ValidationFailedError([{ path: 'password', message: 'must have at least 12 characters' }])
      return hashPassword(password)
    }
    world = await startWorld({ resources: { Person: { passwords: { passwordHash } } } })
  })
  after(() => world?.[Symbol.asyncDispose]())

  it('S29: an operation on a tenant by somebody without the permission for it, whatever is sent', async () => {
    const { id } = await world.kit.asSystem(() => world.tenancy.showTenant('globex'))
    const auditor = await as(world.origin, 'auditor')
    for (const operation of ['provision', 'migrate', 'provision_and_migrate', 'suspend', 'archive', 'purge']) {
      const { json } = await auditor.post(`/admin/api/resources/Tenant/records/${id}/${operation}`, {
        json: { confirm_hard_delete: 'DELETE globex' },
      })
      assert.equal(json.notice.message, 'forbiddenError', operation)
    }
    const local = await as(world.origin, 'admin', 'acme')
    assert.equal((await local.post(`/admin/t/acme/api/resources/Tenant/records/${id}/suspend`, { json: {} })).status, 404)
    assert.equal((await world.kit.asSystem(() => world.tenancy.showTenant('globex'))).status, 'ready')
  })

  it('S30: a deletion for good, or a restoring, by who may only look; and a phrase that is passed by', async () => {
    const gone = await world.inTenant('acme', async () => {
      const thing = em().create(Thing, { code: 's30', color: 'red' } as never)
      await em().persist(thing).flush()
      await em().remove(thing).flush()
      return thing
    })
    const path = `/admin/t/acme/api/resources/Thing/records/${gone.id}`
    const viewer = await as(world.origin, 'viewer', 'acme')
    for (const action of ['hard_delete', 'restore'])
      assert.equal(
        (await viewer.post(`${path}/${action}`, { json: { confirm_hard_delete: 'HARD DELETE' } })).json.notice.message,
        'forbiddenError',
      )
    const admin = await as(world.origin, 'admin', 'acme')
    for (const json of [
      {},
      { confirm_hard_delete: 'hard delete' },
      { confirm_hard_delete: true },
      { 'confirm_hard_delete.0': 'HARD DELETE' },
    ])
      assert.equal((await admin.post(`${path}/hard_delete`, { json })).json.notice.type, 'error')
    assert.lengthOf(await world.inTenant('acme', () => em().find(Thing, { code: 's30' }, { filters: { notDeleted: false } })), 1)
  })

  it('S31: an operator who loses the own identity in a tenant, enters without the permission, or leaves no trace', async () => {
    const owner = await as(world.origin, 'owner')
    await owner.enter('globex')
    const made = await owner.post('/admin/t/globex/api/resources/Thing/actions/new', { json: { code: 's31', color: 'red' } })
    const person = await world.kit.asSystem(() => controlEm().findOneOrFail(Person.shared, { email: emailOf('owner') }))
    assert.equal(made.json.record.params.createdBy, `global:${person.id}`)
    assert.equal((await owner.get('/admin/api/dashboard')).status, 200, 'still logged in to the control plane')
    const [event] = (await world.tenancy.history.list({ action: 'tenant.enter', actor: `global:${person.id}` })).items
    assert.deepInclude(event, { entity: 'Tenant', entity_id: (await world.kit.asSystem(() => world.tenancy.showTenant('globex'))).id })
    // The permission is of the role: one that is lost is lost at once, inside as well.
    await query(world.kit.url, `update public.people set role = 'nobody' where email = $1`, [emailOf('owner')])
    assert.equal((await owner.get('/admin/t/globex/api/resources/Thing/actions/list')).status, 404)
    assert.equal((await owner.enter('globex')).status, 404)
    await query(world.kit.url, `update public.people set role = 'owner' where email = $1`, [emailOf('owner')])
  })

  it('S32: the time of a tenant log-in in another store than the own, also under the same id', async () => {
    const local = await world.inTenant('acme', () => em().findOneOrFail(Person.tenant, { email: emailOf('admin') }))
    // An operator, and somebody in another tenant, with the very same id.
    const twin = { id: local.id, email: 'twin@example.test', name: 'twin', role: 'viewer', passwordHash: 'none' }
    await world.kit.asSystem(async () => {
      const control = controlEm()
      await control.persist(control.create(Person.shared, twin)).flush()
    })
    await world.inTenant('globex', () => em().persist(em().create(Person.tenant, twin)).flush())
    const before = Date.now()
    await as(world.origin, 'admin', 'acme')
    const [mine, global, other] = [
      await world.inTenant('acme', () => em().findOneOrFail(Person.tenant, { id: local.id })),
      await world.kit.asSystem(() => controlEm().findOneOrFail(Person.shared, { id: local.id })),
      await world.inTenant('globex', () => em().findOneOrFail(Person.tenant, { id: local.id })),
    ]
    assert.isAtLeast(mine.lastLogInAt!.getTime(), before)
    assert.isNull(global.lastLogInAt ?? null)
    assert.isNull(other.lastLogInAt ?? null)
    await new Client(world.origin).logIn(emailOf('admin'), 'globex', 'wrong')
    const [{ at } = { at: null }] = await query<{ at: Date | null }>(
      world.kit.url,
      `select last_log_in_at as at from public.people where email = $1`,
      [emailOf('operator')],
    )
    assert.isNull(at, 'a log-in that failed, or was never tried')
    await as(world.origin, 'operator')
    const operator = await world.kit.asSystem(() => controlEm().findOneOrFail(Person.shared, { email: emailOf('operator') }))
    assert.isAtLeast(operator.lastLogInAt!.getTime(), before)
  })

  it('S33: a log-in page that tells a stranger anything about tenants', async () => {
    const { text } = await new Client(world.origin).get('/admin/login')
    assert.notMatch(text, /acme|globex/i)
    assert.equal((await new Client(world.origin).get('/admin/tenants?search=a')).status, 302)
  })

  it('S34: credentials of a tenant in any page or answer, decrypted or not', async () => {
    const secret = await query<{ c: string | null }>(
      world.kit.url,
      'select connection_string as c from public.tenantkit_tenant where slug = $1',
      ['globex'],
    )
    const owner = await as(world.origin, 'owner')
    const { id } = await world.kit.asSystem(() => world.tenancy.showTenant('globex'))
    const answers = await Promise.all(
      [
        '/admin/resources/Tenant',
        '/admin/api/resources/Tenant/actions/list',
        '/admin/api/resources/Tenant/actions/search/globex',
        `/admin/api/resources/Tenant/records/${id}/show`,
        `/admin/api/resources/Tenant/records/${id}/history`,
        '/admin/api/dashboard',
      ].map(path => owner.get(path)),
    )
    for (const { json, text, status } of answers) {
      assert.equal(status, 200)
      // The form of a new tenant shows what a connection string looks like.
      assert.notMatch(text.replaceAll('postgresql://user:password@host:port/database', ''), /postgres(?:ql)?:\/\//)
      if (json !== undefined) assert.notMatch(text, /"(?:connectionString|provisioningConnectionString)"/)
      if (typeof secret[0]?.c === 'string') assert.notInclude(text, secret[0].c)
    }
  })

  it('S35: a list that shows deleted rows without being asked', async () => {
    await world.inTenant('acme', async () => {
      const thing = em().create(Thing, { code: 's35', color: 'red' } as never)
      await em().persist(thing).flush()
      await em().remove(thing).flush()
    })
    const admin = await as(world.origin, 'admin', 'acme')
    const codes = async (search: string) => {
      const { json } = await admin.get(`/admin/t/acme/api/resources/Thing/actions/list?perPage=100${search}`)
      return (json.records as { params: { code: string } }[]).map(({ params }) => params.code)
    }
    assert.notInclude(await codes(''), 's35')
    assert.include(await codes('&filters.soft_delete_status=deleted'), 's35')
  })

  it('a record deleted by a request that says it reads', async () => {
    const thing = await world.inTenant('acme', async () => {
      const made = em().create(Thing, { code: 'headless', color: 'red' } as never)
      await em().persist(made).flush()
      return made as { id: string }
    })
    const admin = await as(world.origin, 'admin', 'acme')
    const path = `/admin/t/acme/api/resources/Thing/records/${thing.id}/delete`
    for (const method of ['HEAD', 'GET']) await admin.send(method, path, {})
    assert.equal((await admin.send('HEAD', path, {})).status, 405)
    assert.isNotNull(await world.inTenant('acme', () => em().findOne(Thing, { id: thing.id } as never)))
  })

  it('a property that the application hides, in any answer, filter or order', async () => {
    const panel = createAdminPanel(world.tenancy, {
      accounts: accountsOf(Person),
      resources: { Thing: { hide: ['note'] }, Tenant: { hide: ['metadata'] } },
    })
    const server = new Koa().use(panel.middleware).listen(0, '127.0.0.1')
    try {
      await once(server, 'listening')
      const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      const admin = await as(origin, 'admin', 'acme')
      const list = async (query: string) => (await admin.get(`/admin/t/acme/api/resources/Thing/actions/list?perPage=5${query}`)).json
      const { records, meta } = await list('')
      assert.isNotEmpty(records)
      for (const { params } of records) assert.notProperty(params, 'note')
      assert.equal((await list('&filters.note=nothing-has-this')).meta.total, meta.total)
      assert.deepEqual((await list('&sortBy=note&direction=asc')).records.length, records.length)
      const shown = await admin.get(`/admin/t/acme/api/resources/Thing/records/${records[0].params.id}/show`)
      assert.notProperty(shown.json.record.params, 'note')
      // What the framework hides of its own entities stays hidden beside it.
      const owner = await as(origin, 'owner')
      const { records: tenants } = (await owner.get('/admin/api/resources/Tenant/actions/list')).json
      assert.isNotEmpty(tenants)
      for (const { params } of tenants)
        for (const name of ['metadata', 'createdResources', 'schemaFingerprint'])
          assert.isEmpty(Object.keys(params).filter(key => key === name || key.startsWith(`${name}.`)))
    } finally {
      server.close()
    }
  })

  it('an action that takes the place of one with a fence of its own', () => {
    const action = { label: 'Delete', permission: 'data:read', run: async () => 'done' }
    for (const name of ['delete', 'edit', 'hard_delete', 'history'])
      assert.throws(
        () =>
          createAdminPanel(world.tenancy, { accounts: accountsOf(Person), resources: { Thing: { actions: { [name]: action as never } } } }),
        /is an action of the panel/,
      )
  })

  it('a password that comes back, is kept as it was typed, or is wiped by an empty field', async () => {
    const client = await as(world.origin, 'admin', 'acme')
    const api = '/admin/t/acme/api/resources/Person'
    const person = { email: 'new@example.test', name: 'new', role: 'viewer' }
    const send = async (path: string, json: object) => {
      const answer = await client.post(`${api}/${path}`, { json })
      assert.notMatch(answer.text, /first long secret|second long secret|"passwordHash":"|scrypt|short/)
      return answer.json
    }
    assert.equal((await send('actions/new', person)).record.errors.passwordHash.message, 'Required')
    assert.match((await send('actions/new', { ...person, passwordHash: 'short' })).record.errors.passwordHash.message, /at least 12/)
    const { record, notice } = await send('actions/new', { ...person, passwordHash: 'first long secret' })
    assert.equal(notice.type, 'success')
    const hash = async () => (await world.inTenant('acme', () => em().findOneOrFail(Person.tenant, { id: record.id }))).passwordHash
    assert.isTrue(await verifyPassword('first long secret', await hash()))
    const path = `records/${record.id}/edit`
    for (const nothing of [{}, { passwordHash: '' }, { passwordHash: null }])
      assert.equal((await send(path, nothing)).notice.type, 'success')
    assert.isTrue(await verifyPassword('first long secret', await hash()))
    for (const wrong of ['short', { x: 1 }, ['first long secret']]) await send(path, { passwordHash: wrong, name: 'wrong' })
    assert.isTrue(await verifyPassword('first long secret', await hash()))
    const stale = await send(path, { passwordHash: 'second long secret', name: 'stale', updatedAt: '2020-01-01T00:00:00.000Z' })
    assert.equal(stale.notice.type, 'error')
    assert.isTrue(await verifyPassword('first long secret', await hash()))
    await send(path, { passwordHash: 'second long secret' })
    assert.isTrue(await verifyPassword('second long secret', await hash()))
    assert.equal((await new Client(world.origin).logIn(person.email, 'acme', 'second long secret')).status, 303)
    for (const page of [`records/${record.id}/show`, path, 'actions/list'])
      assert.notMatch((await client.get(`${api}/${page}`)).text, /"passwordHash":"|scrypt/)
    const { code } = await createAdminPanel(world.tenancy, {
      accounts: accountsOf(Person),
      resources: { Person: { passwords: { name: hashPassword } } },
    })
      .load()
      .then(
        () => ({ code: 'loaded' }),
        (error: { code: string }) => error,
      )
    assert.equal(code, 'CONFIGURATION_INVALID', 'a password that is not hidden')
  })

  it('a script out of any value that the log-in page is given', async () => {
    const panel = createAdminPanel(world.tenancy, {
      accounts: accountsOf(Person),
      title: HOSTILE,
      translations: { en: { components: { LogIn: { submit: HOSTILE } } } },
    })
    const app = new Koa().use(panel.middleware)
    app.silent = true
    const server = createServer((request, response) => void app.callback()(request, response)).listen(0, '127.0.0.1')
    await new Promise(resolve => server.once('listening', resolve))
    try {
      const client = new Client(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
      const inQuery = encodeURIComponent(`/admin/${HOSTILE}`)
      const form = { _csrf: await client.logInToken(), email: HOSTILE, password: HOSTILE, tenant: HOSTILE, redirectTo: `/admin/${HOSTILE}` }
      for (const { text, headers } of [
        await client.get(`/admin/login?redirectTo=${inQuery}&errorMessage=${inQuery}`, { 'accept-language': "es<script>'" }),
        await client.post('/admin/login', { form }),
      ]) {
        const nonce = /'nonce-([^']+)'/.exec(headers.get('content-security-policy')!)![1]!
        // Every script of the page is one of AdminJS's own, and each has the nonce: two states, a state of the form, the start, four files.
        const scripts = [...text.matchAll(/<script\b[^>]*>/g)].map(([tag]) => tag)
        assert.lengthOf(scripts, 7)
        for (const tag of scripts) assert.include(tag, `nonce="${nonce}"`)
        assert.lengthOf([...text.matchAll(/<\/script>/g)], 7)
        for (const [, body] of text.matchAll(/<script nonce="[^"]+">([\s\S]*?)<\/script>/g)) {
          assert.notMatch(body!, /<\/?script|<!--|\u2028|\u2029/)
          assert.doesNotThrow(() => new Script(body!))
        }
        const state = /__APP_STATE__ = ([^\n]*);\n/.exec(text)?.[1] ?? ''
        assert.equal((JSON.parse(state) as { title: string }).title, HOSTILE)
        const outside = text.replace(/<script[\s\S]*?<\/script>/g, '')
        assert.notMatch(outside, /<img|<!--/)
      }
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })
})
