/** What a platform asks: is the process alive, does it serve, how is it doing. */
import Router from '@koa/router'
import type { Context, Middleware } from 'koa'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Tenancy } from '../tenancy.ts'
import { NotReadyError } from './errors.ts'

/** What {@link health} takes. */
export interface HealthOptions {
  /** Whether the application has ended its start and not begun to stop. Default: always. */
  readonly isReady?: () => boolean
  /** What `/metrics` shows. Default: the pools alone. */
  readonly metrics?: Metrics
}

/** The counters of one application. */
export interface Metrics {
  readonly registry: Registry
  /** Counts requests; mount it first. */
  readonly middleware: Middleware
}

const PING_MS = 3_000

/**
 * The routes `/health/live`, `/health/ready` and `/metrics`; they need no token.
 *
 * @example app.use(health(tenancy, { isReady: () => started, metrics }).routes())
 */
export function health(tenancy: Tenancy, options: HealthOptions = {}): Router {
  const { registry } = options.metrics ?? createMetrics(tenancy)
  const router = new Router()
  router.get('/health/live', ctx => {
    ctx.body = { status: 'live' }
  })
  router.get('/health/ready', async ctx => {
    if (options.isReady?.() === false) throw new NotReadyError('the application is starting or stopping')
    await inTime(tenancy.ping())
    ctx.body = { status: 'ready' }
  })
  router.get('/metrics', async ctx => {
    ctx.type = registry.contentType
    ctx.body = await registry.metrics()
  })
  return router
}

/**
 * Counters for requests by route and status, their duration, and the state of the pools. No label names a tenant: labels must stay few.
 *
 * @example const metrics = createMetrics(tenancy)
 */
export function createMetrics(tenancy: Tenancy): Metrics {
  const registry = new Registry()
  const labelNames = ['method', 'route', 'status'] as const
  const requests = new Counter({ name: 'http_requests_total', help: 'Requests answered.', labelNames, registers: [registry] })
  const durations = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time until the answer was ready.',
    labelNames: ['method', 'route'] as const,
    registers: [registry],
  })
  new Gauge({
    name: 'tenantkit_stat',
    help: 'What Tenancy.stats() says: pools, tenants, caches.',
    labelNames: ['name'] as const,
    registers: [registry],
    collect() {
      this.reset()
      for (const [name, value] of numbersOf(tenancy.stats())) this.set({ name }, value)
    },
  })
  const middleware: Middleware = async (ctx, next) => {
    const begun = performance.now()
    try {
      await next()
    } finally {
      const method = METHODS.has(ctx.method) ? ctx.method : 'other'
      const route = routeOf(ctx)
      requests.inc({ method, route, status: ctx.status })
      durations.observe({ method, route }, (performance.now() - begun) / 1000)
    }
  }
  return { registry, middleware }
}

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** The pattern of the route, not the path: paths are endless. */
export function routeOf(ctx: Context): string {
  const route: unknown = ctx['_matchedRoute']
  // A guard that stands before all routes of a router has a pattern of its own.
  return typeof route === 'string' ? route.replace('(?:\\/|$)', '') : 'none'
}

function numbersOf(stats: object, prefix = ''): [string, number][] {
  return Object.entries(stats).flatMap(([key, value]: [string, unknown]): [string, number][] => {
    if (typeof value === 'number' && Number.isFinite(value)) return [[prefix + key, value]]
    if (typeof value === 'boolean') return [[prefix + key, Number(value)]]
    // One level only: deeper would be one series for each tenant.
    return prefix === '' && typeof value === 'object' && value !== null && !Array.isArray(value) ? numbersOf(value, `${key}.`) : []
  })
}

async function inTime(ping: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${PING_MS} ms`)), PING_MS)
  })
  try {
    await Promise.race([ping, late])
  } catch (error) {
    throw new NotReadyError('the control plane does not answer', error)
  } finally {
    clearTimeout(timer)
  }
}
