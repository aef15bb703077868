import { assert } from 'chai'
import { ControlEvents, ENTRY_INTERVAL_MS } from '../../src/control-events.ts'
import type { NewEvent } from '../../src/tenancy-history.ts'
import type { EventJson, TenancyError, TenantRef } from '../../src/index.ts'
import { query } from '../helpers/postgres.ts'
import { ADMIN, OPERATOR, PASSWORD, startHarness, type Harness } from '../http/harness.ts'
import { operator } from '../helpers/tenancy.ts'

describe('history: events of the control plane', function () {
  this.timeout(60_000)
  let h: Harness
  let token: string
  let me: string
  before(async () => {
    h = await startHarness('history events', { acme: 'schema', globex: 'database' })
    token = await h.token(OPERATOR)
    me = String((await h.call('GET', '/api/me', { token })).json['actor'])
  })
  after(() => h[Symbol.asyncDispose]())

  const newest = async (action: string): Promise<readonly EventJson[]> => (await h.tenancy.history.list({ action })).items
  const countOf = async (action: string) =>
    Number((await query(h.databaseUrl, 'select count(*) as n from public.tenantkit_audit_event where action = $1', [action]))[0]!['n'])

  it('log-ins, good and bad, and nothing of what was typed', async () => {
    const logIn = (email: string, password: string, tenant?: string) =>
      h.call('POST', '/auth/login', { body: { email, password, tenant }, headers: { 'x-request-id': 'login-1' } })
    assert.equal((await logIn(ADMIN, PASSWORD, 'acme')).status, 200)
    const [good] = await newest('login.succeeded')
    assert.match(good!.actor, /^tenant:[0-9a-f-]{36}$/)
    assert.equal(good!.actor, `tenant:${good!.entity_id!}`)
    assert.include(good!.details, { plane: 'tenant', tenant: 'acme' })
    assert.isString(good!.request_id)
    assert.equal((await logIn(ADMIN, 'typed-password-4711', 'acme')).status, 401)
    const [known] = await newest('login.failed')
    assert.include(known, { actor: 'system:log-in', entity_id: good!.entity_id })
    assert.equal((await logIn('typed-4711@x.test', 'typed-password-4711', 'typed-tenant-4711')).status, 401)
    const [unknown] = await newest('login.failed')
    assert.include(unknown, { actor: 'system:log-in', entity_id: null })
    assert.include(unknown!.details, { tenant: null })
    assert.isEmpty(await query(h.databaseUrl, `select 1 from public.tenantkit_audit_event e where e::text like '%4711%'`))
  })

  it('an operator who enters a tenant: once, however many requests follow', async () => {
    const requests = Array.from({ length: 8 }, () => h.call('GET', '/api/customers', { token, tenant: 'acme' }))
    for (const { status } of await Promise.all(requests)) assert.equal(status, 200)
    assert.equal((await h.call('GET', '/api/customers', { token, tenant: 'globex' })).status, 200)
    const entered = await newest('tenant.enter')
    assert.deepEqual(
      entered.map(({ actor, details }) => [actor, details?.['slug']]),
      [
        [me, 'globex'],
        [me, 'acme'],
      ],
    )
    const local = await h.token(ADMIN, 'acme')
    assert.equal((await h.call('GET', '/api/customers', { token: local })).status, 200)
    assert.equal(await countOf('tenant.enter'), 2, 'a local user is at home')
    assert.equal((await h.call('GET', '/api/customers', { token: local, tenant: 'globex' })).status, 409)
    assert.equal(await countOf('tenant.enter'), 2, 'nobody entered')
  })

  it('operations, with their outcome, who asked, and in which request', async () => {
    const post = (path: string, body: object, id: string) => h.call('POST', path, { token, body, headers: { 'x-request-id': id } })
    assert.equal((await post('/api/tenants', { slug: 'made', name: 'Made', isolation_mode: 'schema' }, 'request-a')).status, 201)
    const [made] = await newest('tenant.provision')
    assert.include(made, { entity: 'Tenant', actor: me })
    assert.deepEqual(made!.details, { slug: 'made', outcome: 'succeeded' })
    assert.equal((await post('/api/tenants/made/operations', { operation: 'suspend' }, 'request-b')).status, 200)
    assert.deepInclude((await newest('tenant.suspend'))[0], {
      actor: me,
      entity_id: made!.entity_id,
      details: { slug: 'made', outcome: 'succeeded' },
    })
    assert.equal((await post('/api/tenants/made/operations', { operation: 'suspend' }, 'request-c')).status, 409)
    assert.deepInclude((await newest('tenant.suspend'))[0], { details: { slug: 'made', outcome: 'failed', code: 'INVALID_STATE' } })
    assert.equal((await h.call('DELETE', '/api/tenants/made', { token })).status, 200)
    assert.lengthOf(await newest('tenant.archive'), 1)
    assert.equal((await post('/api/tenants/made/operations', { operation: 'purge', confirm: 'no' }, 'request-d')).status, 400)
    assert.deepInclude((await newest('tenant.purge'))[0], { details: { slug: 'made', outcome: 'failed', code: 'CONFIRMATION_REQUIRED' } })
    assert.equal((await post('/api/tenants/made/operations', { operation: 'purge', confirm: 'DELETE made' }, 'request-e')).status, 200)
    assert.deepInclude((await newest('tenant.purge'))[0], { details: { slug: 'made', outcome: 'succeeded' } })
    // What is no operation is no event.
    const before = await countOf('tenant.migrate')
    assert.equal((await post('/api/tenants/nobody/operations', { operation: 'migrate' }, 'request-f')).status, 404)
    assert.equal(await countOf('tenant.migrate'), before)
    // The request is the one that the log knows.
    const ids = new Set((await newest('tenant.purge')).map(({ request_id }) => request_id))
    for (const id of ids)
      assert.isTrue(
        h.logged.some(line => line.includes(String(id))),
        String(id),
      )
  })

  it('a change of a tenant, and a new secret, which is told and not shown', async () => {
    const patch = (body: object) => h.call('PATCH', '/api/tenants/globex', { token, body })
    assert.equal((await patch({ name: 'Globex & sons' })).status, 200)
    assert.deepInclude((await newest('tenant.update'))[0], {
      actor: me,
      details: { slug: 'globex', fields: ['name'], outcome: 'succeeded' },
    })
    const secret = 'postgresql://nobody:rotated-4712@127.0.0.1:9/nowhere'
    assert.equal((await patch({ connection_string: secret })).status, 400)
    assert.equal((await patch({ provisioning_connection_string: secret })).status, 200)
    const [rotated] = await newest('tenant.rotate_secret')
    assert.deepInclude(rotated, { actor: me, details: { slug: 'globex', fields: ['provisioningConnectionString'], outcome: 'succeeded' } })
    const [change] = (await h.tenancy.history.list({ entity: 'Tenant', entity_id: rotated!.entity_id!, action: 'update' })).items
    assert.deepEqual(change!.changes, { provisioningConnectionString: [null, '[redacted]'] })
    assert.isEmpty(await query(h.databaseUrl, `select 1 from public.tenantkit_audit_event e where e::text like '%4712%'`))
  })

  it('what the application records itself, if it says who', async () => {
    const { history } = h.tenancy
    await history.record({ action: 'token.revoked', entityId: 'x', details: { why: 'lost' }, actor: { plane: 'global', id: 'op' } })
    assert.deepInclude((await newest('token.revoked'))[0], {
      entity: 'Session',
      entity_id: 'x',
      actor: 'global:op',
      details: { why: 'lost' },
    })
    await h.asSystem(() => history.record({ action: 'export.made', entity: 'Report' }))
    assert.deepInclude((await newest('export.made'))[0], { entity: 'Report', actor: 'system:test', details: null })
    const refused: readonly (readonly [NewEvent, string])[] = [
      [{ action: 'Bad Action' }, 'VALIDATION_FAILED'],
      [{ action: 'x'.repeat(64) }, 'VALIDATION_FAILED'],
      [{ action: 'big', details: { text: 'x'.repeat(9_000) } }, 'VALIDATION_FAILED'],
      [{ action: 'nobody' }, 'NO_ACTOR'],
    ]
    for (const [event, code] of refused) {
      const error = await history.record(event).then(
        () => assert.fail('it did not refuse'),
        (reason: unknown) => reason,
      )
      assert.equal((error as TenancyError).code, code)
    }
  })

  it('remembers entries for a while, so many, and none that could not be recorded', async () => {
    const recorded: string[] = []
    let now = 0
    let fails = false
    const events = new ControlEvents({
      record: event => {
        if (fails) return Promise.reject(new Error('no database'))
        recorded.push(`${event.actor?.id ?? ''} ${event.entityId ?? ''}`)
        return Promise.resolve()
      },
      idOf: () => Promise.resolve(undefined),
      now: () => now,
    })
    const tenant = (id: string): TenantRef => ({ id, slug: id, name: id, isolation: 'schema', schema: id })
    const enter = (id: string, actor = operator) => events.entered(actor, tenant(id))
    await enter('a')
    await enter('a')
    await enter('b')
    await enter('a', { ...operator, id: 'other' })
    assert.deepEqual(recorded, ['operator-1 a', 'operator-1 b', 'other a'])
    now = ENTRY_INTERVAL_MS - 1
    await enter('a')
    assert.lengthOf(recorded, 3)
    now = ENTRY_INTERVAL_MS
    await enter('a')
    assert.lengthOf(recorded, 4)
    fails = true
    assert.equal(await enter('c').catch((error: Error) => error.message), 'no database')
    fails = false
    await enter('c')
    assert.equal(recorded.at(-1), 'operator-1 c')
    for (let n = 0; n < 10_001; n++) await enter(`t${n}`)
    const before = recorded.length
    await enter('t10000')
    assert.lengthOf(recorded, before)
    await enter('t0')
    assert.lengthOf(recorded, before + 1, 'the oldest was forgotten')
  })
})
