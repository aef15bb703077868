/**
 * What a token says about its bearer, and whether it fits the tenant that is active.
 *
 * A token of a tenant carries the tenant's immutable id beside its slug: a slug can be used again after a purge, an id cannot.
 * A global token says so itself (`plane: 'global'`); the absence of a tenant means nothing.
 */
import { ConfigurationError, TenantForbiddenError } from '../errors.ts'

/** Where an identity lives: in the control plane, or in one tenant. */
export type Plane = 'global' | 'tenant'

/** An identity of the control plane. */
export type GlobalIdentity = { readonly sub: string; readonly plane: 'global' }

/** An identity of one tenant. */
export type TenantIdentity = { readonly sub: string; readonly plane: 'tenant'; readonly tenant_id: string; readonly tenant_slug: string }

/** The part of the claims that an application gives when it signs a token. */
export type IdentityClaims = GlobalIdentity | TenantIdentity

/** The claims that the framework adds (RFC 7519, 4.1): issuer, audience, expiry and issue time in seconds, and the token's id. */
export type RegisteredClaims = {
  readonly iss: string
  readonly aud: string
  readonly exp: number
  readonly iat: number
  readonly jti: string
}

/** All claims of a verified token. */
export type TokenClaims = IdentityClaims & RegisteredClaims

/** The part of a tenant that claims are compared with. */
export interface ClaimedTenant {
  readonly id: string
  readonly slug: string
}

const LONGEST = 200

/**
 * The identity in a set of claims, frozen and without anything else; or, as a string, what is wrong with it.
 *
 * @internal
 */
export function readIdentity(claims: Readonly<Record<string, unknown>>): IdentityClaims | string {
  const { sub, plane, tenant_id, tenant_slug } = claims
  if (!isText(sub)) return 'sub is missing or odd'
  if (plane === 'global') {
    if (tenant_id !== undefined || tenant_slug !== undefined) return 'a global identity names a tenant'
    return Object.freeze({ sub, plane })
  }
  if (plane !== 'tenant') return 'plane is missing or odd'
  if (!isText(tenant_id) || !isText(tenant_slug)) return 'a tenant identity names no tenant'
  return Object.freeze({ sub, plane, tenant_id, tenant_slug })
}

/**
 * Puts a tenant into claims: its id, its slug and the plane; without a tenant, the explicit marker of a global identity.
 *
 * Throws `CONFIGURATION_INVALID` when the claims belong to the other plane already: an id of the control plane
 * means another person in a tenant. A global actor who enters a tenant keeps his global token.
 *
 * @example
 * await tokens.sign(withTenantClaims({ sub: user.id }, tenant))
 */
export function withTenantClaims(
  claims: { readonly sub: string; readonly plane?: Plane },
  tenant: ClaimedTenant | undefined,
): IdentityClaims {
  const plane: Plane = tenant === undefined ? 'global' : 'tenant'
  if (claims.plane !== undefined && claims.plane !== plane) {
    throw new ConfigurationError(
      [`Claims of the plane ${claims.plane} cannot become claims of the plane ${plane}.`],
      'Load the identity from the store of its own plane.',
    )
  }
  const named = tenant === undefined ? {} : { tenant_id: tenant.id, tenant_slug: tenant.slug }
  const identity = readIdentity({ sub: claims.sub, plane, ...named })
  if (typeof identity === 'string') throw new ConfigurationError([`These claims cannot be signed: ${identity}.`])
  return identity
}

/**
 * Throws `TENANT_FORBIDDEN` unless the claims belong to the tenant that is active: same id and same slug.
 *
 * A missing claim, a missing tenant and another tenant are refused alike, and the message names neither side.
 *
 * @example
 * assertTokenTenant(claims, ctx.state.tenant)
 */
export function assertTokenTenant(
  claims: { readonly plane?: unknown; readonly tenant_id?: unknown; readonly tenant_slug?: unknown } | undefined,
  tenant: ClaimedTenant | undefined,
): void {
  // Without a tenant both sides would be undefined, and equal: that must not pass.
  const same =
    claims?.plane === 'tenant' &&
    isText(tenant?.id) &&
    isText(tenant?.slug) &&
    claims.tenant_id === tenant?.id &&
    claims.tenant_slug === tenant?.slug
  if (!same) throw new TenantForbiddenError()
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= LONGEST
}
