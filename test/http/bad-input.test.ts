import { createHmac } from 'node:crypto'
import { assert } from 'chai'
import { newId } from '../../src/ids.ts'
import { createTokens } from '../../src/auth/tokens.ts'
import { query } from '../helpers/postgres.ts'
import { ADMIN, OPERATOR, PASSWORD, SECRET, startHarness } from './harness.ts'
import type { Answer, Call, Harness } from './harness.ts'

const b64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

describe('http: bad input', function () {
  this.timeout(60_000)
  let app: Harness
  let operator: string
  let acme: string

  before(async () => {
    app = await startHarness('http bad input', { acme: 'schema', globex: 'database', asleep: 'schema', gone: 'schema', early: 'schema' })
    await app.asSystem(() => app.tenancy.operate('asleep', 'suspend'))
    await app.asSystem(() => app.tenancy.archive('gone'))
    await query(app.databaseUrl, `update tenantkit_tenant set status = 'provisioning' where slug = 'early'`)
    // As plain SQL has to say it to the processes that know the tenant already.
    await query(app.databaseUrl, `select pg_notify('tenantkit_tenant', '')`)
    operator = await app.token(OPERATOR)
    acme = await app.token(ADMIN, 'acme')
  })
  after(() => app?.[Symbol.asyncDispose]())

  function isProblem(answer: Answer, status: number, code: string): void {
    assert.strictEqual(`${answer.status} ${String(answer.json['code'])}`, `${status} ${code}`, answer.text)
    assert.match(String(answer.headers['content-type']), /^application\/problem\+json/)
    for (const key of ['type', 'title', 'detail', 'instance']) assert.isString(answer.json[key], key)
    assert.strictEqual(answer.json['status'], status)
    assert.isString(answer.headers['x-request-id'])
    assert.notMatch(answer.text, /node_modules|select |\n\s+at /)
  }
  const refused = async (status: number, code: string, method: string, path: string, call: Call): Promise<Answer> => {
    const answer = await app.call(method, path, call)
    isProblem(answer, status, code)
    return answer
  }
  const list = (status: number, code: string, call: Call): Promise<Answer> => refused(status, code, 'GET', '/api/customers', call)

  describe('tenants', () => {
    for (const bad of [
      '',
      'A',
      'UPPER',
      'a--b',
      '-acme',
      "acme'; drop table customer; --",
      'x'.repeat(10_000),
      'acme,globex',
      '../acme',
      '*',
      'public '.trim() + '.',
    ]) {
      it(`refuses ${JSON.stringify(bad.slice(0, 40))} as malformed`, () => list(400, 'TENANT_INVALID', { token: operator, tenant: bad }))
    }
    it('refuses non-ASCII', () => list(400, 'TENANT_INVALID', { token: operator, tenant: Buffer.from('ácmé').toString('latin1') }))
    it('refuses a repeated header, also of equal values', () => list(400, 'TENANT_INVALID', { token: operator, tenant: ['acme', 'acme'] }))
    it('says 400 without any', () => list(400, 'TENANT_REQUIRED', { token: operator }))
    it('says 404 for an unknown one', () => list(404, 'TENANT_NOT_FOUND', { token: operator, tenant: 'nobody' }))
    it('says 404 for reserved names', () => list(404, 'TENANT_NOT_FOUND', { token: operator, tenant: 'public' }))
    it('says 403 for a suspended one, to operators too', () => list(403, 'TENANT_SUSPENDED', { token: operator, tenant: 'asleep' }))
    it('says 410 for an archived one', () => list(410, 'TENANT_ARCHIVED', { token: operator, tenant: 'gone' }))
    it('says 503 with Retry-After for one that is not ready', async () => {
      assert.isString((await list(503, 'TENANT_NOT_READY', { token: operator, tenant: 'early' })).headers['retry-after'])
    })
    it('says 409 when token and header disagree, before any look-up', async () => {
      await list(409, 'TENANT_EVIDENCE_CONFLICT', { token: acme, tenant: 'globex' })
      await list(409, 'TENANT_EVIDENCE_CONFLICT', { token: acme, tenant: 'nobody' })
    })
    it('takes an agreeing header', async () =>
      assert.strictEqual((await app.call('GET', '/api/customers', { token: acme, tenant: 'acme' })).status, 200))
  })

  describe('tokens', () => {
    const claims = { sub: newId(), plane: 'global' as const }
    const now = Math.floor(Date.now() / 1000)
    const full = { ...claims, iss: 'tenantkit-example', aud: 'tenantkit-example-api', iat: now, exp: now + 600, jti: 'x' }
    const none = `${b64({ alg: 'none', typ: 'JWT' })}.${b64(full)}.`
    const unsigned = `${b64({ alg: 'HS512', typ: 'JWT' })}.${b64(full)}`
    const other = `${unsigned}.${createHmac('sha512', SECRET).update(unsigned).digest('base64url')}`

    it('says 401 first, whatever else is wrong', async () => {
      for (const tenant of ['', 'UPPER', 'nobody', 'acme', 'asleep']) await list(401, 'UNAUTHENTICATED', { tenant })
      await list(401, 'UNAUTHENTICATED', { token: 'x.y.z', tenant: ['a', 'b'] })
      const answer = await list(401, 'UNAUTHENTICATED', {})
      assert.strictEqual(answer.headers['www-authenticate'], 'Bearer')
    })
    it('refuses the algorithm none', () => list(401, 'UNAUTHENTICATED', { token: none }))
    it('refuses another algorithm', () => list(401, 'UNAUTHENTICATED', { token: other }))
    it('refuses another key', async () => {
      const tokens = createTokens({ secret: 'another secret that has more than 32 bytes', issuer: full.iss, audience: full.aud })
      await list(401, 'UNAUTHENTICATED', { token: await tokens.sign(claims) })
    })
    it('refuses an expired one', async () => {
      const clock = (): number => Date.now() - 7_200_000
      const tokens = createTokens({ secret: SECRET, issuer: full.iss, audience: full.aud, clock })
      await list(401, 'UNAUTHENTICATED', { token: await tokens.sign(claims) })
    })
    it('refuses a good one of nobody', async () => list(401, 'UNAUTHENTICATED', { token: await app.tokens.sign(claims), tenant: 'acme' }))
    it('refuses a user of a tenant who is gone', async () => {
      const { ref } = (await app.tenancy.find('acme'))!
      const token = await app.tokens.sign({ sub: newId(), plane: 'tenant', tenant_id: ref.id, tenant_slug: 'acme' })
      await list(401, 'UNAUTHENTICATED', { token })
    })
    it('refuses a token of a former tenant with the same slug', async () => {
      const token = await app.tokens.sign({ sub: newId(), plane: 'tenant', tenant_id: newId(), tenant_slug: 'acme' })
      await list(403, 'TENANT_FORBIDDEN', { token })
    })
    it('refuses other schemes and a repeated header', async () => {
      await list(401, 'UNAUTHENTICATED', { headers: { authorization: 'Basic YTpi' } })
      await list(401, 'UNAUTHENTICATED', { headers: { authorization: [`Bearer ${acme}`, `Bearer ${acme}`] } })
    })
  })

  describe('bodies', () => {
    const post = (status: number, code: string, call: Call, path = '/api/customers'): Promise<Answer> =>
      refused(status, code, 'POST', path, { token: acme, ...call })
    for (const raw of ['{', '[]', '"x"', '1', 'null', 'nul', '{"a":1}}', '{"__proto__":{"a":1}}', '[[[[', '\u0000'])
      it(`refuses ${JSON.stringify(raw)}`, () => post(400, 'VALIDATION_FAILED', { raw }))
    it('refuses an empty one', () => post(400, 'VALIDATION_FAILED', {}))
    it('refuses one that is too large', () => post(413, 'PAYLOAD_TOO_LARGE', { body: { name: 'x'.repeat(200_000), email: 'a@b.test' } }))
    it('refuses other types', async () => {
      for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', 'application/json; charset=utf-16'])
        await post(415, 'UNSUPPORTED_MEDIA_TYPE', { raw: '{}', headers: { 'content-type': type } })
    })
    it('names wrong and unknown fields', async () => {
      const { json } = await post(400, 'VALIDATION_FAILED', { body: { name: 7, email: 'nobody', admin: true } })
      assert.sameMembers(
        (json['errors'] as { path: string }[]).map(({ path }) => path),
        ['name', 'email', 'admin'],
      )
    })
    it('refuses what cannot be stored', async () => {
      await post(400, 'VALIDATION_FAILED', { raw: '{"name":"a\\u0000b","email":"a@b.test"}' })
      await post(400, 'VALIDATION_FAILED', { raw: '{"name":"a\\ud800b","email":"a@b.test"}' })
    })
    it('refuses deep bodies', () => post(400, 'VALIDATION_FAILED', { raw: `{"name":${'['.repeat(20_000)}${']'.repeat(20_000)}}` }))
    it('ignores audit fields in either spelling', async () => {
      const lie = {
        created_by: 'global:me',
        createdBy: 'global:me',
        deleted_at: '2020-01-01',
        deletedAt: null,
        updated_at: 1,
        updatedBy: {},
      }
      const { status, json } = await app.call('POST', '/api/customers', { token: acme, body: { name: 'A', email: 'a@b.test', ...lie } })
      assert.strictEqual(status, 201)
      assert.match(String(json['created_by']), /^tenant:/)
      assert.isNull(json['deleted_at'])
    })
    it('refuses wrong money, quantities and references', async () => {
      for (const price of [1, '1.234', '-1', '1e3', '12345678901', 'NaN', ''])
        await post(400, 'VALIDATION_FAILED', { body: { name: 'P', sku: 'S', price } }, '/api/products')
      for (const quantity of [0, -1, 1.5, '1', 1e9])
        await post(400, 'VALIDATION_FAILED', { body: { customer: newId(), lines: [{ product: newId(), quantity }] } }, '/api/invoices')
      await post(400, 'VALIDATION_FAILED', { body: { customer: newId(), lines: [{ product: newId(), quantity: 1 }] } }, '/api/invoices')
      await post(400, 'VALIDATION_FAILED', { body: { customer: 'x', lines: [] } }, '/api/invoices')
    })
    it('says 409 for a value that is taken', async () => {
      const body = { name: 'P', sku: 'TWICE', price: '1.00' }
      assert.strictEqual((await app.call('POST', '/api/products', { token: acme, body })).status, 201)
      await post(409, 'CONFLICT', { body }, '/api/products')
    })
  })

  describe('paths and queries', () => {
    it('says 404 for ids that are none', async () => {
      for (const id of ['1', 'x'.repeat(3000), '%00', '%E0%A4%A', "1'or'1'='1", newId()])
        await refused(404, 'NOT_FOUND', 'GET', `/api/customers/${id}`, { token: acme })
    })
    it('refuses bad limits and cursors', async () => {
      for (const search of [
        'limit=0',
        'limit=201',
        'limit=x',
        'limit=',
        'limit=1&limit=2',
        'cursor=',
        'cursor=x',
        `cursor=${'A'.repeat(5000)}`,
      ])
        await refused(400, 'VALIDATION_FAILED', 'GET', `/api/customers?${search}`, { token: acme })
    })
    it('says 404 and 405', async () => {
      await refused(404, 'NOT_FOUND', 'GET', '/nothing', {})
      await refused(405, 'METHOD_NOT_ALLOWED', 'PUT', '/api/customers', { token: acme })
      await refused(405, 'METHOD_NOT_ALLOWED', 'DELETE', '/auth/login', {})
    })
    it('keeps a sane request id and replaces others', async () => {
      assert.strictEqual((await app.call('GET', '/health/live', { headers: { 'x-request-id': 'abc-1' } })).headers['x-request-id'], 'abc-1')
      assert.notStrictEqual((await app.call('GET', '/health/live', { headers: { 'x-request-id': 'a b' } })).headers['x-request-id'], 'a b')
    })
  })

  describe('log-in', () => {
    const logIn = (body: unknown): Promise<Answer> => app.call('POST', '/auth/login', { body })
    it('answers every failure alike', async () => {
      const texts = new Set<string>()
      for (const tenant of ['acme', 'nobody', 'asleep', 'gone', 'early', 'UPPER', '', "x' or 1=1", undefined]) {
        const answer = await logIn({ email: 'nobody@x.test', password: 'wrong', ...(tenant === undefined ? {} : { tenant }) })
        isProblem(answer, 401, 'UNAUTHENTICATED')
        texts.add(answer.text)
      }
      isProblem(await logIn({ email: ADMIN, password: 'wrong', tenant: 'acme' }), 401, 'UNAUTHENTICATED')
      isProblem(await logIn({ email: ADMIN, password: PASSWORD, tenant: 'asleep' }), 401, 'UNAUTHENTICATED')
      isProblem(await logIn({ email: ADMIN, password: PASSWORD }), 401, 'UNAUTHENTICATED')
      assert.lengthOf([...texts], 1)
    })
    it('is throttled by account', async () => {
      const statuses: number[] = []
      for (let i = 0; i < 12; i += 1) statuses.push((await logIn({ email: 'guess@x.test', password: 'wrong' })).status)
      assert.deepEqual(statuses.slice(9), [401, 429, 429])
      isProblem(await logIn({ email: 'GUESS@x.test', password: 'wrong' }), 429, 'RATE_LIMITED')
    })
    it('refuses wrong types', async () => isProblem(await logIn({ email: {}, password: [], extra: 1 }), 400, 'VALIDATION_FAILED'))
  })

  // Last: it looks at what all the others left.
  describe('log', () => {
    it('has one line a request, without tokens and passwords', () => {
      assert.isNotEmpty(app.logged)
      const text = app.logged.join('\n')
      for (const secret of [acme, operator, PASSWORD]) assert.notInclude(text, secret)
      assert.include(text, '"tenant":"acme"')
      assert.notInclude(text, '"message":"request failed"')
    })
  })
})
