import type { Context, Middleware } from 'koa'
import { assertTokenTenant } from '../auth/claims.ts'
import { em } from '../context/context.ts'
import type { Actor, TenantRef } from '../context/context.ts'
import {
  ConfigurationError,
  TenancyError,
  TenantForbiddenError,
  TenantNotFoundError,
  TenantRequiredError,
  UnauthenticatedError,
} from '../errors.ts'
import type { RequestEvidence, ResolveTenant, TenantResolver } from '../resolvers/evidence.ts'
import { resolveTenant } from '../resolvers/resolve-tenant.ts'
import type { Tenancy } from '../tenancy.ts'
import { whileConnected } from './abort.ts'
import { isAuthentication, wasAuthenticated } from './authentication.ts'
import { headerValues } from './headers.ts'
import { stateOf } from './state.ts'
import type { Identity } from './state.ts'

/** What {@link tenantMiddleware} takes. */
export interface TenantMiddlewareOptions {
  /** What finds the tenant. All are asked; two that disagree are a conflict. */
  readonly resolvers: readonly (TenantResolver | ResolveTenant)[]
  /**
   * Whether the identity may enter the tenant: nothing but `true` admits. An identity of a tenant enters its own alone, whatever this says.
   * Default: a global one needs the permission `tenants:enter`.
   */
  readonly authorize?: (identity: Identity, tenant: TenantRef) => boolean | Promise<boolean>
  /** Loads the actor with its permissions, inside the tenant, after all checks. @throws UNAUTHENTICATED when it is gone. Default: the identity's. */
  readonly actorIn?: (identity: Identity, tenant: TenantRef) => Promise<Actor>
  /** Refuse requests without a tenant here, instead of by `requireTenant()` on the routes. Default false. */
  readonly required?: boolean
  /** Let requests without identity into a tenant, for public pages; what they change has no author and is refused. Default false. */
  readonly anonymous?: boolean
  /**
   * What becomes of a request whose client went away before the answer was written. `end`: its run is aborted, so that its statements are
   * cancelled, its transactions rolled back, and its EntityManager refuses. `finish`: its work goes on. Default `end`.
   */
  readonly whenAborted?: 'end' | 'finish'
  /** The session of the application, for `fromSession`. */
  readonly session?: (ctx: Context) => Readonly<Record<string, unknown>> | undefined
}

const tenantMiddlewares = new WeakSet<object>()

/**
 * Runs what comes after it inside the request's tenant.
 *
 * Refusals come in a fixed order: no or bad token 401, malformed evidence 400, conflict 409 before any look-up, unknown 404, not allowed
 * 403, then the tenant's status. A request without evidence goes on without tenant, as its actor.
 *
 * @throws CONFIGURATION_INVALID at a request, when `authentication()` does not stand before it.
 * @example app.use(tenantMiddleware(tenancy, { resolvers: [fromToken(), fromHeader('x-tenant')] }))
 */
export function tenantMiddleware(tenancy: Tenancy, options: TenantMiddlewareOptions): Middleware {
  const middleware: Middleware = async (ctx, next) => {
    if (!wasAuthenticated(ctx) && options.anonymous !== true) throw wrongOrder()
    const state = stateOf(ctx)
    const { identity } = state
    const slug = await slugOf(ctx, options, identity)
    const requestId = state.requestId === undefined ? {} : { requestId: state.requestId }
    if (slug === undefined) {
      if (options.required === true)
        throw identity === undefined && options.anonymous !== true ? new UnauthenticatedError() : new TenantRequiredError()
      if (identity === undefined) return next()
      return tenancy.runAsActor(identity.actor, next, requestId)
    }
    const tenant = await tenancy.find(slug)
    if (tenant === undefined) throw new TenantNotFoundError(slug)
    if (identity !== undefined) await authorized(identity, tenant.ref, options)
    tenancy.assertServing(tenant)
    if (identity?.actor.plane === 'global') await tenancy.entered(identity.actor, tenant.ref, state.requestId)
    const work = async (): Promise<void> => {
      state.tenant = tenant.ref
      state.em = em()
      if (options.whenAborted === 'finish') await next()
      else await whileConnected(ctx.res, next)
    }
    const { actorIn } = options
    if (identity === undefined) return tenancy.runInTenant(tenant, work, requestId)
    const actor = actorIn
      ? await tenancy.runInTenant(tenant, () => actorIn(identity, tenant.ref), { actor: identity.actor, ...requestId })
      : identity.actor
    state.identity = { ...identity, actor }
    return tenancy.runInTenant(tenant, work, { actor, ...requestId })
  }
  tenantMiddlewares.add(middleware)
  return middleware
}

/** What {@link checkMiddlewareOrder} looks at: a Koa application. */
export interface MountedMiddleware {
  readonly middleware: readonly object[]
}

/**
 * Checks at start that `authentication()` stands before `tenantMiddleware()`.
 *
 * @throws CONFIGURATION_INVALID
 * @example checkMiddlewareOrder(app)
 */
export function checkMiddlewareOrder(app: MountedMiddleware): void {
  const all = app.middleware.flatMap(flattened)
  const tenant = all.findIndex(middleware => tenantMiddlewares.has(middleware))
  if (tenant === -1) return
  const before = all.findIndex(isAuthentication)
  if (before === -1 || before > tenant) throw wrongOrder()
}

/** A router is one function that holds the layers of its routes. */
function flattened(middleware: object): readonly object[] {
  const router = (middleware as { router?: { stack?: readonly { stack?: readonly object[] }[] } }).router
  return router?.stack === undefined ? [middleware] : router.stack.flatMap(layer => layer.stack ?? [])
}

function wrongOrder(): ConfigurationError {
  return new ConfigurationError(
    ['tenantMiddleware() stands before authentication(), or without it.'],
    'Mount app.use(authentication(…)) before app.use(tenantMiddleware(…)).',
  )
}

/** A class: an object with a getter of its own is slow to make, and garbage that lives long. */
class KoaEvidence implements RequestEvidence {
  readonly claims: RequestEvidence['claims']
  readonly session: RequestEvidence['session']
  readonly #ctx: Context

  constructor(ctx: Context, claims: RequestEvidence['claims'], session: RequestEvidence['session']) {
    this.#ctx = ctx
    this.claims = claims
    this.session = session
  }

  get host(): string {
    return this.#ctx.host
  }

  /** Not ctx.get: it says '' for a header that is not there, and joins what was repeated. */
  header(name: string): readonly string[] | undefined {
    return headerValues(this.#ctx.req, name)
  }
}

async function slugOf(ctx: Context, options: TenantMiddlewareOptions, identity: Identity | undefined): Promise<string | undefined> {
  const evidence = new KoaEvidence(ctx, identity?.claims, options.session?.(ctx))
  const anonymous = identity === undefined && options.anonymous !== true
  try {
    const slug = await resolveTenant(options.resolvers, evidence)
    if (slug !== undefined && anonymous) throw new UnauthenticatedError()
    return slug
  } catch (error) {
    // A missing token is said first, whatever is wrong with the evidence.
    throw anonymous && error instanceof TenancyError && error.status < 500 ? new UnauthenticatedError() : error
  }
}

async function authorized(identity: Identity, tenant: TenantRef, options: TenantMiddlewareOptions): Promise<void> {
  const isGlobal = identity.actor.plane === 'global'
  if (!isGlobal) assertTokenTenant(identity.claims, tenant)
  const admits = options.authorize
    ? await options.authorize(identity, tenant)
    : !isGlobal || identity.actor.permissions?.has('tenants:enter') === true
  if (admits !== true) throw new TenantForbiddenError()
}
