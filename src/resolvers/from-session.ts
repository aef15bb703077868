import { TenantInvalidError } from '../errors.ts'
import type { TenantResolver } from './evidence.ts'

/**
 * Finds the tenant in the session of the application, where its slug was stored.
 *
 * A key that is absent, undefined or null gives no tenant. Throws `TENANT_INVALID` when something else than a string is stored; an empty
 * string is malformed too.
 *
 * @param key The session's key. Default `active_tenant`.
 *
 * @example
 * tenantMiddleware(tenancy, { resolvers: [fromSession()] })
 */
export function fromSession(key = 'active_tenant'): TenantResolver {
  return Object.freeze({
    name: 'session',
    resolve({ session }) {
      const value = session?.[key]
      if (value === undefined || value === null || typeof value === 'string') return value
      throw new TenantInvalidError(`a session value of the type ${typeof value}`)
    },
  } satisfies TenantResolver)
}
