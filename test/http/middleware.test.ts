import { once } from 'node:events'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import Router from '@koa/router'
import { assert } from 'chai'
import Koa from 'koa'
import type { Middleware } from 'koa'
import { Customer } from '../../example/entities/tenant.ts'
import { permissionsOf } from '../../src/auth/permissions.ts'
import { currentActor, currentContext, currentTenant, em } from '../../src/context/context.ts'
import { RateLimitedError } from '../../src/errors.ts'
import { authentication } from '../../src/http/authentication.ts'
import { problems } from '../../src/http/problems.ts'
import { stateOf } from '../../src/http/state.ts'
import type { Identity } from '../../src/http/state.ts'
import { checkMiddlewareOrder, tenantMiddleware } from '../../src/http/tenant-middleware.ts'
import type { TenantMiddlewareOptions } from '../../src/http/tenant-middleware.ts'
import { fromHeader } from '../../src/resolvers/from-header.ts'
import { startHarness } from './harness.ts'
import type { Harness } from './harness.ts'

const silent = { info: () => undefined, error: () => undefined }

/** Serves an application while the work runs. */
async function serving<T>(app: Koa, work: (origin: string) => Promise<T>): Promise<T> {
  app.silent = true
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    return await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  } finally {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  }
}

describe('http: problems', () => {
  const answerTo = (thrown: unknown): Promise<{ status: number; json: Record<string, unknown>; headers: Headers }> => {
    const app = new Koa().use(problems({ log: silent })).use(() => {
      throw thrown
    })
    return serving(app, async origin => {
      const answer = await fetch(origin)
      return { status: answer.status, json: (await answer.json()) as Record<string, unknown>, headers: answer.headers }
    })
  }
  const odd: Record<string, unknown> = {
    null: null,
    undefined,
    text: 'secret text',
    'an object without prototype': Object.create(null),
    'a proxy that throws': new Proxy(
      {},
      {
        get: () => {
          throw new Error('secret')
        },
      },
    ),
    'an error with a secret': Object.assign(new Error('postgres://u:secret@h/d'), { code: 'ECONNREFUSED' }),
    'an error with a foreign status': Object.assign(new Error('secret'), { status: 200 }),
  }
  for (const [name, thrown] of Object.entries(odd)) {
    it(`hides ${name}`, async () => {
      const { status, json } = await answerTo(thrown)
      assert.strictEqual(status, 500)
      assert.strictEqual(json['code'], 'INTERNAL')
      assert.notInclude(JSON.stringify(json), 'secret')
    })
  }
  it('knows what PostgreSQL says', async () => {
    const said = {
      '23505': 'CONFLICT',
      '23503': 'VALIDATION_FAILED',
      '22P02': 'VALIDATION_FAILED',
      '22003': 'VALIDATION_FAILED',
      '40001': 'CONFLICT',
    }
    for (const [code, expected] of Object.entries(said))
      assert.strictEqual((await answerTo(Object.assign(new Error('secret'), { code }))).json['code'], expected)
  })
  it('says when to try again', async () => assert.strictEqual((await answerTo(new RateLimitedError(7))).headers.get('retry-after'), '7'))
  it('does not log passwords', async () => {
    const lines: string[] = []
    const log = { ...silent, error: (facts: object) => void lines.push(JSON.stringify(facts)) }
    const app = new Koa().use(problems({ log })).use(() => {
      throw new Error('outer', { cause: new Error('postgres://user:hunter2@host/db eyJhbGciOi.eyJzdWIiOi.c2ln $argon2id$v=19$abc') })
    })
    await serving(app, origin => fetch(origin))
    assert.lengthOf(lines, 1)
    assert.include(lines[0], 'stack')
    for (const secret of ['hunter2', 'eyJzdWIiOi', 'v=19']) assert.notInclude(lines[0], secret)
  })
})

describe('http: tenant middleware', function () {
  this.timeout(60_000)
  let harness: Harness
  before(async () => {
    harness = await startHarness('http middleware', { acme: 'schema', globex: 'database' })
  })
  after(() => harness?.[Symbol.asyncDispose]())

  const identity: Identity = {
    claims: { plane: 'global' },
    actor: { plane: 'global', id: 'boss', label: 'boss', permissions: permissionsOf('global', 'owner') },
  }
  const authenticated = (who: Identity = identity): Middleware => authentication({ verify: async () => who })
  const tenants = (more: Partial<TenantMiddlewareOptions> = {}): Middleware =>
    tenantMiddleware(harness.tenancy, { resolvers: [fromHeader()], ...more })
  const app = (last: Middleware, more?: Partial<TenantMiddlewareOptions>, who?: Identity): Koa =>
    new Koa()
      .use(problems({ log: silent }))
      .use(authenticated(who))
      .use(tenants(more))
      .use(last)
  const get = async (origin: string, headers: Record<string, string>): Promise<{ status: number; json: Record<string, unknown> }> => {
    const answer = await fetch(origin, { headers })
    return { status: answer.status, json: (await answer.json()) as Record<string, unknown> }
  }
  const AS = { authorization: 'Bearer x' }

  describe('order', () => {
    it('is checked at start', () => {
      assert.throws(() => checkMiddlewareOrder(new Koa().use(tenants()).use(authenticated())), /authentication/)
      assert.throws(() => checkMiddlewareOrder(new Koa().use(tenants())), /authentication/)
      assert.doesNotThrow(() => checkMiddlewareOrder(new Koa().use(authenticated()).use(tenants())))
      const inside = new Router().use(tenants())
      inside.get('/', ctx => void (ctx.body = ''))
      assert.throws(() => checkMiddlewareOrder(new Koa().use(inside.routes())), /authentication/)
      assert.doesNotThrow(() => checkMiddlewareOrder(new Koa().use(authenticated()).use(inside.routes())))
    })
    it('is checked at a request too', async () => {
      const wrong = new Koa()
        .use(problems({ log: silent }))
        .use(tenants())
        .use(ctx => void (ctx.body = {}))
      assert.strictEqual((await serving(wrong, origin => get(origin, AS))).status, 500)
    })
  })

  it('gives tenant, actor and EntityManager', async () => {
    const koa = app(ctx => {
      const { tenant, em: given, requestId } = stateOf(ctx)
      ctx.body = {
        slug: currentTenant().slug,
        same: tenant?.slug === 'acme' && given === em(),
        actor: currentActor()?.id,
        id: currentContext()?.requestId === requestId,
      }
    })
    const { json } = await serving(koa, origin => get(origin, { ...AS, 'x-tenant': 'acme' }))
    assert.deepEqual(json, { slug: 'acme', same: true, actor: 'boss', id: true })
  })

  it('has no tenant without evidence', async () => {
    const koa = app(ctx => void (ctx.body = { tenant: currentContext()?.tenant ?? null, actor: currentActor()?.id }))
    assert.deepEqual((await serving(koa, origin => get(origin, AS))).json, { tenant: null, actor: 'boss' })
    const required = app(ctx => void (ctx.body = {}), { required: true })
    assert.strictEqual((await serving(required, origin => get(origin, AS))).json['code'], 'TENANT_REQUIRED')
    assert.strictEqual((await serving(required, origin => get(origin, {}))).json['code'], 'UNAUTHENTICATED')
  })

  it('needs tenants:enter, or what authorize says', async () => {
    const nobody = { ...identity, actor: { ...identity.actor, permissions: new Set<string>() } }
    const entering = (more?: Partial<TenantMiddlewareOptions>, who?: Identity): Promise<{ json: Record<string, unknown> }> =>
      serving(
        app(ctx => void (ctx.body = { code: 'in' }), more, who),
        origin => get(origin, { ...AS, 'x-tenant': 'acme' }),
      )
    assert.strictEqual((await entering({}, nobody)).json['code'], 'TENANT_FORBIDDEN')
    assert.strictEqual((await entering({ authorize: () => true }, nobody)).json['code'], 'in')
    assert.strictEqual((await entering({ authorize: async () => false })).json['code'], 'TENANT_FORBIDDEN')
    const stranger: Identity = {
      claims: { plane: 'tenant', tenant_id: 'other', tenant_slug: 'acme' },
      actor: { plane: 'tenant', id: 'x', label: 'x' },
    }
    assert.strictEqual((await entering({}, stranger)).json['code'], 'TENANT_FORBIDDEN')
    assert.strictEqual((await entering({ authorize: () => true }, stranger)).json['code'], 'TENANT_FORBIDDEN')
    for (const answer of [undefined, null, 1, 'yes', {}])
      assert.strictEqual((await entering({ authorize: () => answer as never })).json['code'], 'TENANT_FORBIDDEN')
  })

  it('lets strangers in where it is told to', async () => {
    const koa = new Koa()
      .use(problems({ log: silent }))
      .use(tenants({ anonymous: true }))
      .use(ctx => void (ctx.body = { slug: currentTenant().slug }))
    assert.deepEqual((await serving(koa, origin => get(origin, { 'x-tenant': 'globex' }))).json, { slug: 'globex' })
  })

  it('ends its lease after throws and aborted requests', async () => {
    let entered = 0
    const koa = app(async () => {
      entered += 1
      await em().count(Customer)
      if (entered > 1) await new Promise(resolve => setTimeout(resolve, 100))
      throw new Error('broken')
    })
    await serving(koa, async origin => {
      assert.strictEqual((await get(origin, { ...AS, 'x-tenant': 'globex' })).status, 500)
      const { port } = new URL(origin)
      const socket = connect(Number(port), '127.0.0.1')
      socket.write('GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nX-Tenant: globex\r\n\r\n')
      while (entered < 2) await new Promise(resolve => setTimeout(resolve, 5))
      socket.destroy()
      await new Promise(resolve => setTimeout(resolve, 200))
    })
    assert.strictEqual(harness.tenancy.stats().leases, 0)
  })

  it('keeps 100 requests at once apart', async () => {
    const koa = app(async ctx => {
      const name = String(ctx.query['name'])
      em().persist(em().create(Customer, { name, email: 'a@b.test' }))
      await new Promise(resolve => setTimeout(resolve, Math.random() * 20))
      await em().flush()
      ctx.body = { slug: currentTenant().slug }
    })
    await serving(koa, origin =>
      Promise.all(
        Array.from({ length: 100 }, async (_, i) => {
          const slug = i % 2 === 0 ? 'acme' : 'globex'
          const { json } = await get(`${origin}/?name=${slug}-${i}`, { ...AS, 'x-tenant': slug })
          assert.deepEqual(json, { slug })
        }),
      ),
    )
    for (const slug of ['acme', 'globex']) {
      const names = await harness.tenancy.run(slug, async () => (await em().find(Customer, {})).map(({ name }) => name))
      assert.lengthOf(names, 50)
      assert.isTrue(names.every(name => name.startsWith(`${slug}-`)))
    }
  })
})
