import { TenantInvalidError } from '../errors.ts'
import type { TenantResolver } from './evidence.ts'

/**
 * Finds the tenant in a header that holds its slug.
 *
 * A header alone grants nothing: whether the identity may enter is checked afterwards. Throws `TENANT_INVALID` for a repeated header; an
 * empty one is malformed too.
 *
 * @param name The name of the header, in any case. Default `x-tenant`.
 *
 * @example
 * tenantMiddleware(tenancy, { resolvers: [fromHeader('x-tenant')] })
 */
export function fromHeader(name = 'x-tenant'): TenantResolver {
  const header = name.toLowerCase()
  return Object.freeze({
    name: `header ${header}`,
    resolve(evidence) {
      const value = evidence.header(header)
      if (typeof value === 'string' || value === undefined || value === null) return value
      // Servers and proxies differ in which of two values they keep; so neither is believed, even if they are equal.
      if (value.length > 1) throw new TenantInvalidError(value.join(', '))
      return value[0]
    },
  } satisfies TenantResolver)
}
