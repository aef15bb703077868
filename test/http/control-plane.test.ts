import { assert } from 'chai'
import { User } from '../../example/entities/user.ts'
import { controlEm } from '../../src/index.ts'
import { ADMIN, OPERATOR, PASSWORD, startHarness } from './harness.ts'
import type { Answer, Call, Harness } from './harness.ts'

describe('http: control plane', function () {
  this.timeout(60_000)
  let app: Harness
  let token: string

  before(async () => {
    app = await startHarness('http control plane', { acme: 'schema' })
    token = await app.token(OPERATOR)
  })
  after(() => app?.[Symbol.asyncDispose]())

  const call = (method: string, path: string, body?: unknown, more: Call = {}): Promise<Answer> =>
    app.call(method, path, { token, ...(body === undefined ? {} : { body }), ...more })
  const is = (answer: Answer, status: number, code?: string): Answer => {
    assert.strictEqual(`${answer.status} ${String(answer.json['code'])}`, `${status} ${String(code)}`, answer.text)
    return answer
  }

  /** An operator who may only read. */
  const viewerId = (): Promise<string> =>
    app.asSystem(async () => {
      const control = controlEm()
      const row = { email: 'viewer@example.test', name: 'V', role: 'viewer', passwordHash: '-' }
      const viewer = control.create(User.shared, row)
      await control.persist(viewer).flush()
      return viewer.id
    })

  it('needs a global token', async () => {
    is(await app.call('GET', '/api/tenants'), 401, 'UNAUTHENTICATED')
    const tenantToken = await app.token(ADMIN, 'acme')
    const routes = [
      ['GET', ''],
      ['POST', ''],
      ['GET', '/acme'],
      ['PATCH', '/acme'],
      ['DELETE', '/acme'],
      ['POST', '/acme/operations'],
    ] as const
    for (const [method, path] of routes) is(await app.call(method, `/api/tenants${path}`, { token: tenantToken }), 403, 'FORBIDDEN')
  })

  it('takes a tenant through its life', async () => {
    const body = {
      slug: 'life',
      name: 'Life',
      isolation_mode: 'database',
      metadata: { plan: 'x' },
      admin: { email: 'b@life.test', password: PASSWORD },
    }
    const made = is(await call('POST', '/api/tenants', body), 201)
    assert.include(made.json, {
      slug: 'life',
      status: 'ready',
      isolation_mode: 'database',
      connection_string: null,
      has_connection_string: true,
    })
    assert.match(String(made.json['created_by']), /^global:/)
    is(await call('POST', '/api/tenants', body), 409, 'SLUG_TAKEN')
    const user = await app.token('b@life.test', 'life')
    const empty = is(await app.call('GET', '/api/customers', { token: user }), 200)
    assert.deepEqual(empty.json, { items: [], next_cursor: null })
    assert.strictEqual(is(await call('PATCH', '/api/tenants/life', { name: 'Long life' }), 200).json['name'], 'Long life')
    const operate = (operation: string, more: object = {}): Promise<Answer> =>
      call('POST', '/api/tenants/life/operations', { operation, ...more })
    assert.hasAllKeys(is(await operate('suspend'), 200).json, ['operation', 'tenant'])
    is(await app.call('GET', '/api/customers', { token: user }), 403, 'TENANT_SUSPENDED')
    is(await operate('suspend'), 409, 'INVALID_STATE')
    is(await operate('resume'), 200)
    is(await operate('migrate'), 200)
    is(await app.call('GET', '/api/customers', { token: user }), 200)
    assert.strictEqual(is(await call('DELETE', '/api/tenants/life'), 200).json['status'], 'archived')
    is(await app.call('GET', '/api/customers', { token: user }), 410, 'TENANT_ARCHIVED')
    is(await operate('restore'), 200)
    is(await call('DELETE', '/api/tenants/life'), 200)
    is(await operate('purge'), 400, 'CONFIRMATION_REQUIRED')
    is(await operate('purge', { confirm: 'DELETE acme' }), 400, 'CONFIRMATION_REQUIRED')
    is(await operate('purge', { confirm: 'DELETE life' }), 200)
    assert.strictEqual(is(await call('GET', '/api/tenants/life'), 200).json['status'], 'purged')
  })

  it('asks for the permission before it looks at the body', async () => {
    const viewer = await app.tokens.sign({ sub: await viewerId(), plane: 'global' })
    const bad = { token: viewer, body: { operation: 7, odd: true } }
    is(await app.call('POST', '/api/tenants/acme/operations', bad), 403, 'FORBIDDEN')
    is(await app.call('POST', '/api/tenants/acme/operations', { token: viewer, body: { operation: 'purge', odd: 1 } }), 403, 'FORBIDDEN')
    is(await call('POST', '/api/tenants/acme/operations', bad.body), 400, 'VALIDATION_FAILED')
  })

  it('takes names of 150 characters', async () => {
    is(await call('PATCH', '/api/tenants/acme', { name: 'x'.repeat(150) }), 200)
    for (const body of [{ name: 'x'.repeat(151) }]) is(await call('PATCH', '/api/tenants/acme', body), 400, 'VALIDATION_FAILED')
  })

  it('does not find an unknown tenant, before it asks for a confirmation', async () => {
    is(await call('POST', '/api/tenants/unknown/operations', { operation: 'purge' }), 404, 'TENANT_NOT_FOUND')
  })

  it('lists', async () => {
    const { json } = is(await call('GET', '/api/tenants?limit=1&isolation_mode=schema&search=acm'), 200)
    assert.deepEqual(
      (json['items'] as { slug: string }[]).map(({ slug }) => slug),
      ['acme'],
    )
    for (const search of ['limit=0', 'limit=x', 'cursor=!', 'status=odd', 'isolation_mode=odd', 'status=a&status=b'])
      is(await call('GET', `/api/tenants?${search}`), 400, 'VALIDATION_FAILED')
  })

  it('refuses bad input', async () => {
    const good = { slug: 'good', name: 'Good', isolation_mode: 'schema' }
    for (const bad of [
      { slug: 'NO' },
      { slug: 7 },
      { name: '' },
      { isolation_mode: 'row' },
      { extra: 1 },
      { metadata: [] },
      { connection_string: 'x' },
      { admin: {} },
    ])
      is(await call('POST', '/api/tenants', { ...good, ...bad }), 400, 'VALIDATION_FAILED')
    is(await call('POST', '/api/tenants', { ...good, slug: 'admin' }), 400, 'RESERVED_NAME')
    is(await call('GET', '/api/tenants/NOPE'), 400, 'TENANT_INVALID')
    is(await call('GET', '/api/tenants/unknown'), 404, 'TENANT_NOT_FOUND')
    is(await call('PATCH', '/api/tenants/acme', { slug: 'other' }), 400, 'VALIDATION_FAILED')
    is(await call('POST', '/api/tenants/acme/operations', { operation: 'explode' }), 400, 'UNKNOWN_OPERATION')
    is(await call('PUT', '/api/tenants/acme', {}), 405, 'METHOD_NOT_ALLOWED')
  })
})
