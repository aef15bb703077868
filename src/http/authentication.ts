import type { Context, Middleware } from 'koa'
import { bearerToken } from '../auth/tokens.ts'
import { UnauthenticatedError } from '../errors.ts'
import { headerValues } from './headers.ts'
import { stateOf } from './state.ts'
import type { Identity } from './state.ts'

/** What {@link authentication} takes. */
export interface AuthenticationOptions {
  /** The identity of a token's bearer. @throws UNAUTHENTICATED for a bad token */
  verify(token: string): Promise<Identity>
}

const authentications = new WeakSet<object>()
const PASSED = Symbol('authentication')

/**
 * Reads the bearer token. A bad token is refused (401); without a token the request goes on without identity, for the routes that need none.
 *
 * Mount it before `tenantMiddleware`.
 *
 * @example app.use(authentication({ verify: async token => identityOf(await tokens.verify(token)) }))
 */
export function authentication(options: AuthenticationOptions): Middleware {
  const middleware: Middleware = async (ctx, next) => {
    ;(ctx.state as { [PASSED]?: true })[PASSED] = true
    stateOf(ctx).identity = await identify(ctx, options)
    await next()
  }
  authentications.add(middleware)
  return middleware
}

/** Whether the function was made by {@link authentication}. @internal */
export function isAuthentication(middleware: object): boolean {
  return authentications.has(middleware)
}

/** Whether {@link authentication} has seen this request. @internal */
export function wasAuthenticated(ctx: Context): boolean {
  return (ctx.state as { [PASSED]?: true })[PASSED] === true
}

async function identify(ctx: Context, options: AuthenticationOptions): Promise<Identity | undefined> {
  const headers = headerValues(ctx.req, 'authorization')
  if (headers !== undefined && headers.length > 1) throw new UnauthenticatedError()
  const token = bearerToken(headers?.[0])
  return token === undefined ? undefined : options.verify(token)
}
