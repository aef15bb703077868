/** The Koa application: which middleware stands where. */
import Koa from 'koa'
import { createTokens, fromHeader, fromToken } from 'mikro-tenantkit'
import type { Tenancy, Tokens } from 'mikro-tenantkit'
import {
  authentication,
  checkMiddlewareOrder,
  controlPlane,
  createMetrics,
  health,
  problems,
  requestLog,
  tenantMiddleware,
} from 'mikro-tenantkit/koa'
import type { Log } from 'mikro-tenantkit/koa'
import { actorInTenant, verifier } from './accounts.ts'
import { backOffice } from './admin.ts'
import { loginRoutes, meRoutes } from './routes/auth.ts'
import { customers } from './routes/customers.ts'
import { invoices } from './routes/invoices.ts'
import { products } from './routes/products.ts'
import { resourceRoutes } from './routes/resource.ts'
import { sharedRoutes } from './routes/shared.ts'

/** What {@link createApp} takes. */
export interface AppOptions {
  readonly jwtSecret: string
  readonly log: Log
  /** Whether the start has ended and the stop has not begun. */
  readonly isReady?: () => boolean
  /** Believe `X-Forwarded-For` and its like. */
  readonly trustProxy?: boolean
}

/** The signer and verifier of this application's tokens. */
export function appTokens(secret: string): Tokens {
  return createTokens({ secret, issuer: 'tenantkit-example', audience: 'tenantkit-example-api' })
}

/** The application, ready to listen. */
export function createApp(tenancy: Tenancy, options: AppOptions): Koa {
  const { log, jwtSecret, isReady } = options
  const app = new Koa({ proxy: options.trustProxy === true })
  const tokens = appTokens(jwtSecret)
  const metrics = createMetrics(tenancy)
  app.on('error', (error: Error) => log.error({ type: error.name }, 'an answer could not be sent'))
  app.use(requestLog(log)).use(metrics.middleware).use(problems({ log }))
  // It reads its own bodies, and has sessions of its own.
  app.use(backOffice(tenancy, log).middleware)

  // Neither a token nor a tenant is looked at here.
  const open = [health(tenancy, { metrics, ...(isReady === undefined ? {} : { isReady }) }), loginRoutes(tenancy, tokens)]
  for (const router of open) app.use(router.routes()).use(router.allowedMethods())

  app.use(authentication({ verify: verifier(tenancy, tokens) }))
  // About tenants, not inside one.
  const control = controlPlane(tenancy)
  app.use(control.routes()).use(control.allowedMethods())

  app.use(tenantMiddleware(tenancy, { resolvers: [fromToken(), fromHeader('x-tenant')], actorIn: actorInTenant }))
  const inside = [meRoutes(), sharedRoutes(), resourceRoutes(customers), resourceRoutes(products), resourceRoutes(invoices)]
  for (const router of inside) app.use(router.routes()).use(router.allowedMethods())
  checkMiddlewareOrder(app)
  return app
}
