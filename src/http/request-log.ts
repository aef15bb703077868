import type { Middleware } from 'koa'
import { routeOf } from './health.ts'
import type { Log } from './problems.ts'
import { stateOf } from './state.ts'

/**
 * Writes one line for each request: method, route, status, duration, tenant, request id. Never a header, a query or a body.
 *
 * Mount it before `problems()`, so that it sees the status that was sent.
 *
 * @example app.use(requestLog(pino()))
 */
export function requestLog(log: Log): Middleware {
  return async (ctx, next) => {
    const begun = performance.now()
    try {
      await next()
    } finally {
      const { requestId, tenant, identity } = stateOf(ctx)
      const facts = {
        request_id: requestId,
        method: ctx.method,
        route: routeOf(ctx),
        status: ctx.status,
        duration_ms: Math.round((performance.now() - begun) * 10) / 10,
        tenant: tenant?.slug,
        actor: identity === undefined ? undefined : `${identity.actor.plane}:${identity.actor.id}`,
      }
      log.info(facts, 'request')
    }
  }
}
