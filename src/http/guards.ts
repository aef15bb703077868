/** Middleware that lets a request pass or refuses it. */
import type { Middleware } from 'koa'
import type { Permission } from '../auth/permissions.ts'
import { ForbiddenError, TenantRequiredError, UnauthenticatedError } from '../errors.ts'
import { stateOf } from './state.ts'
import type { Identity } from './state.ts'

/**
 * Refuses a request without a tenant (`TENANT_REQUIRED`).
 *
 * @example router.get('/invoices', requireTenant(), async ctx => { ctx.body = await em().find(Invoice, {}) })
 */
export function requireTenant(): Middleware {
  return async (ctx, next) => {
    if (stateOf(ctx).tenant === undefined) throw new TenantRequiredError()
    await next()
  }
}

/**
 * Refuses a request without an identity (`UNAUTHENTICATED`).
 *
 * @example router.use(requireIdentity(), requireTenant())
 */
export function requireIdentity(): Middleware {
  return async (ctx, next) => {
    identityOf(ctx)
    await next()
  }
}

/**
 * Refuses an identity that lacks one of the permissions (`FORBIDDEN`), or a request without one (`UNAUTHENTICATED`).
 *
 * @example router.post('/invoices', requirePermissions('data:write'), create)
 */
export function requirePermissions(...permissions: readonly Permission[]): Middleware {
  return async (ctx, next) => {
    checkPermissions(identityOf(ctx), ...permissions)
    await next()
  }
}

/** The identity of the request. @throws UNAUTHENTICATED */
export function identityOf(ctx: { readonly state: object }): Identity {
  const { identity } = stateOf(ctx)
  if (identity === undefined) throw new UnauthenticatedError()
  return identity
}

/** @throws FORBIDDEN if one is missing. */
export function checkPermissions(identity: Identity, ...permissions: readonly Permission[]): void {
  for (const permission of permissions) if (identity.actor.permissions?.has(permission) !== true) throw new ForbiddenError(permission)
}

/** The identity, if it is one of the control plane. @throws UNAUTHENTICATED, FORBIDDEN */
export function globalIdentityOf(ctx: { readonly state: object }): Identity {
  const identity = identityOf(ctx)
  if (identity.actor.plane !== 'global') throw new ForbiddenError()
  return identity
}
