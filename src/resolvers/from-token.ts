import { TenantInvalidError } from '../errors.ts'
import type { TenantResolver } from './evidence.ts'

/**
 * Finds the tenant in the claims of the verified token: `tenant_slug`, when `plane` is `tenant`.
 *
 * No token, a global token and claims that know nothing of planes give no tenant. Throws `TENANT_INVALID` when plane and slug do not fit
 * together.
 *
 * @example
 * tenantMiddleware(tenancy, { resolvers: [fromToken(), fromHeader()] })
 */
export function fromToken(): TenantResolver {
  return Object.freeze({
    name: 'token',
    resolve({ claims }) {
      if (claims === undefined) return undefined
      const { plane, tenant_slug: slug } = claims
      if (plane === 'tenant' && typeof slug === 'string') return slug
      if ((plane === 'global' || plane === undefined) && slug === undefined) return undefined
      throw new TenantInvalidError(typeof slug === 'string' ? slug : 'the claim tenant_slug')
    },
  } satisfies TenantResolver)
}
