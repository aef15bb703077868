/** What the middleware of this framework keeps in `ctx.state`. */
import type { EntityManager } from '@mikro-orm/postgresql'
import type { Actor, TenantRef } from '../context/context.ts'

/** The claims of an identity, as far as the framework looks at them. Those of a verified token fit. */
export interface IdentityEvidence {
  readonly plane?: unknown
  readonly tenant_id?: unknown
  readonly tenant_slug?: unknown
}

/** Who sends the request, after the token was verified. */
export interface Identity {
  readonly actor: Actor
  readonly claims: IdentityEvidence
}

/** The part of `ctx.state` that this framework fills. */
export interface TenancyState {
  requestId?: string
  identity?: Identity | undefined
  tenant?: TenantRef | undefined
  em?: EntityManager | undefined
  /** The JSON object that `jsonBody()` read. */
  body?: unknown
}

/**
 * `ctx.state`, typed.
 *
 * @example const { tenant } = stateOf(ctx)
 */
export function stateOf(ctx: { readonly state: object }): TenancyState {
  return ctx.state as TenancyState
}
