/** A server process of the bench: one application on one port, told what to be by its parent. */
import { Session } from 'node:inspector/promises'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { getHeapSpaceStatistics } from 'node:v8'
import Router from '@koa/router'
import { MikroORM, type EntityManager } from '@mikro-orm/postgresql'
import Koa, { type Context, type Middleware } from 'koa'
import { controlEm, createTenancy, createTokens, em, fromHeader, fromToken, type Tenancy } from 'mikro-tenantkit'
import { authentication, identityOf, problems, requireIdentity, requireTenant, tenantMiddleware, type Identity } from 'mikro-tenantkit/koa'
import { escapeIdentifier } from 'pg'
import { optionsOf, type FleetPlan } from './fleet.ts'
import { Item, PlainItem } from './model.ts'

/**
 * What to serve: this framework; a MikroORM without tenants on the database of `plan.url`; or the same ORM with the tenant's search_path
 * set by hand in a transaction around each request.
 */
export type Application = 'tenancy' | 'plain' | 'by-hand'

/** What the parent says first. */
export interface ServerPlan {
  readonly application: Application
  readonly plan: FleetPlan
  /** Slots of database tenants. */
  readonly maxTenants: number
  readonly secret: string
}

/** What a parent may ask, by its name. */
export type Question = 'port' | 'cpu' | 'heap' | 'backends' | 'begin-profile' | 'end-profile'

const inspector = new Session()

interface Running {
  readonly app: Koa
  /** Bytes of memory of each backend. */
  backends(): Promise<readonly number[]>
  close(): Promise<void>
}

/** Longer than any pause between two rounds. */
const KEEP_ALIVE_MS = 120_000
const POOL_SIZE = 10
const PROFILE_INTERVAL_US = 250
const BACKEND_MEMORY = 'select sum(total_bytes)::float8 as bytes from pg_catalog.pg_backend_memory_contexts, pg_catalog.pg_sleep(0.05)'

/** The signer and verifier of tokens, the same on all sides. */
export function tokensOf(secret: string) {
  return createTokens({ secret, issuer: 'bench', audience: 'bench', lifetimeSeconds: 86_400 })
}

function authenticated(secret: string): Koa {
  const tokens = tokensOf(secret)
  const permissions = new Set(['data:read'])
  const verify = async (token: string): Promise<Identity> => {
    const claims = await tokens.verify(token)
    return { claims, actor: { plane: 'tenant', id: claims.sub, label: claims.sub, permissions } }
  }
  return new Koa().use(problems()).use(authentication({ verify }))
}

function routes(guard: Middleware, find: (ctx: Context, id: string) => Promise<{ id: string; title: string; amount: number } | null>) {
  return new Router()
    .get('/items/:id', guard, async ctx => {
      const item = await find(ctx, ctx.params['id']!)
      ctx.body = { id: item!.id, title: item!.title, amount: item!.amount }
    })
    .routes()
}

async function serveTenancy({ plan, maxTenants, secret }: ServerPlan): Promise<Running> {
  const tenancy: Tenancy = await createTenancy(optionsOf(plan, maxTenants))
  const app = authenticated(secret)
  app.use(tenantMiddleware(tenancy, { resolvers: [fromToken(), fromHeader('x-tenant')] }))
  app.use(routes(requireTenant(), (_ctx, id) => em().findOne(Item, { id })))
  const control = (): Promise<number> => tenancy.runAsSystem('bench', () => backendOf(controlEm()))
  return { app, backends: () => Promise.all(Array.from({ length: POOL_SIZE }, control)), close: () => tenancy.close() }
}

async function serveOrm({ application, plan, secret }: ServerPlan): Promise<Running> {
  const orm = await MikroORM.init({
    clientUrl: plan.url,
    entities: [PlainItem],
    driverOptions: { min: 0, max: POOL_SIZE, keepAlive: true },
    ensureDatabase: false,
  })
  const app = authenticated(secret)
  if (application === 'plain') app.use(routes(requireIdentity(), (_ctx, id) => orm.em.fork().findOne(PlainItem, { id })))
  else app.use(searchPath(orm, plan.prefix)).use(routes(requireIdentity(), (ctx, id) => emOf(ctx).findOne(PlainItem, { id })))
  const backends = (): Promise<readonly number[]> => Promise.all(Array.from({ length: POOL_SIZE }, () => backendOf(orm.em.fork())))
  return { app, backends, close: () => orm.close(true) }
}

const emOf = (ctx: Context): EntityManager => (ctx.state as { em: EntityManager }).em

/** What an application does by hand to be safe: a transaction around the request, and the search_path set in it alone. */
function searchPath(orm: MikroORM, prefix: string): Middleware {
  return (ctx, next) =>
    orm.em.fork().transactional(async inside => {
      const { claims } = identityOf(ctx)
      await inside.execute(`set local search_path to ${escapeIdentifier(`${prefix}_${String(claims.tenant_slug).replaceAll('-', '_')}`)}`)
      ctx.state['em'] = inside
      await next()
    })
}

async function backendOf(manager: EntityManager): Promise<number> {
  const rows: { bytes: number }[] = await manager.execute(BACKEND_MEMORY)
  return rows[0]!.bytes
}

async function listen(app: Koa): Promise<{ readonly port: number; close(): void }> {
  const server = await new Promise<ReturnType<Koa['listen']>>(resolve => {
    const made = app.listen(0, '127.0.0.1', () => resolve(made))
  })
  server.keepAliveTimeout = KEEP_ALIVE_MS
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

async function heapUsed(): Promise<number> {
  // What a collection frees can free more, after callbacks that run in between.
  for (let times = 0; times < 4; times++) {
    globalThis.gc?.()
    await setTimeout(5)
  }
  globalThis.gc?.()
  return getHeapSpaceStatistics().reduce(
    (sum, { space_name: name, space_used_size: used }) => (HOLDS_CODE.test(name) ? sum : sum + used),
    0,
  )
}

/** What the compiler writes, whenever it likes, and no request holds. */
const HOLDS_CODE = /code|trusted|shared|read_only/

async function beginProfile(): Promise<boolean> {
  inspector.connect()
  await inspector.post('Profiler.enable')
  await inspector.post('Profiler.setSamplingInterval', { interval: PROFILE_INTERVAL_US })
  await inspector.post('Profiler.start')
  return true
}

/** Serves until the parent says stop, and answers its questions. */
async function main(plan: ServerPlan): Promise<void> {
  const running = plan.application === 'tenancy' ? await serveTenancy(plan) : await serveOrm(plan)
  const server = await listen(running.app)
  const answers: Record<Question, () => unknown> = {
    port: () => server.port,
    cpu: () => {
      const { user, system } = process.cpuUsage()
      return user + system
    },
    heap: heapUsed,
    backends: () => running.backends(),
    'begin-profile': beginProfile,
    'end-profile': async () => (await inspector.post('Profiler.stop')).profile,
  }
  const answer = async (message: Question | 'stop'): Promise<void> => {
    if (message !== 'stop') return void process.send!(await answers[message]())
    server.close()
    await running.close()
    process.disconnect()
  }
  process.on('message', message => void answer(message as Question | 'stop'))
  process.send!('ready')
}

// A parent that is gone leaves nobody to serve.
process.once('disconnect', () => process.exit())
if (process.send !== undefined && process.argv[1] === import.meta.filename)
  process.once('message', message => void main(message as ServerPlan))
