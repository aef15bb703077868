/** Log-in, and who am I. */
import Router from '@koa/router'
import { UnauthenticatedError, createThrottle } from 'mikro-tenantkit'
import type { Tenancy, Tokens } from 'mikro-tenantkit'
import { bodyOf, identityOf, jsonBody, stateOf } from 'mikro-tenantkit/koa'
import { z } from 'zod'
import { logIn } from '../accounts.ts'

const credentials = z.strictObject({
  email: z.string().max(1000),
  password: z.string().max(10_000),
  tenant: z.string().max(10_000).optional(),
})

/** `POST /auth/login`. Only failed log-ins are throttled: by account and address, and by address for whoever tries many accounts. */
export function loginRoutes(tenancy: Tenancy, tokens: Tokens): Router {
  const router = new Router()
  const accounts = createThrottle({ limit: 10, windowSeconds: 60 })
  const addresses = createThrottle({ limit: 300, windowSeconds: 60 })

  router.post('/auth/login', jsonBody({ limit: '20kb' }), async ctx => {
    const input = bodyOf(ctx, credentials)
    const account = JSON.stringify([input.tenant ?? null, input.email.trim().toLowerCase(), ctx.ip])
    const assertOpen = (): void => {
      addresses.assertOpen(ctx.ip)
      accounts.assertOpen(account)
    }
    assertOpen()
    const token = await logIn(tenancy, tokens, input, { ip: ctx.ip, requestId: stateOf(ctx).requestId }).catch((error: unknown) => {
      if (!(error instanceof UnauthenticatedError)) throw error
      assertOpen()
      addresses.count(ctx.ip)
      accounts.count(account)
      throw error
    })
    // Once more: of many guesses at once, none may learn that it was right after the limit was reached.
    assertOpen()
    accounts.reset(account)
    ctx.set('Cache-Control', 'no-store')
    // Plain text is for the command line, where nothing need pick the token out of JSON.
    if (ctx.accepts('json', 'text') === 'text') ctx.body = token
    else ctx.body = { token }
  })
  return router
}

/** `GET /api/me` */
export function meRoutes(): Router {
  const router = new Router()
  router.get('/api/me', ctx => {
    const { actor } = identityOf(ctx)
    const { tenant } = stateOf(ctx)
    ctx.body = {
      id: actor.id,
      email: actor.label,
      plane: actor.plane,
      actor: `${actor.plane}:${actor.id}`,
      permissions: [...(actor.permissions ?? [])],
      tenant: tenant === undefined ? null : { id: tenant.id, slug: tenant.slug, name: tenant.name, isolation_mode: tenant.isolation },
    }
  })
  return router
}
