import { ConfigurationError, TenantInvalidError, shown } from '../errors.ts'
import type { TenantResolver } from './evidence.ts'

/** What {@link fromSubdomain} needs. */
export interface SubdomainOptions {
  /** The domain under which each tenant has one label, without port: `example.com`. */
  readonly baseDomain: string
}

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
// The last label begins with a letter: so no IPv4 address is a domain.
const DOMAIN = new RegExp(`^(?:${LABEL}\\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

/**
 * Finds the tenant in the host: exactly one label before the base domain.
 *
 * The base domain itself, `www`, an IP address and any other host give no tenant. Port, case and a final dot do not count.
 * Opt-in: use it only where the host can be trusted. Throws `TENANT_INVALID` for deeper names, `CONFIGURATION_INVALID` for an odd base
 * domain.
 *
 * @example
 * tenantMiddleware(tenancy, { resolvers: [fromSubdomain({ baseDomain: 'example.com' })] }) // acme.example.com is acme
 */
export function fromSubdomain({ baseDomain }: SubdomainOptions): TenantResolver {
  const base = baseDomain.toLowerCase()
  if (base.length > 253 || !DOMAIN.test(base)) {
    throw new ConfigurationError([`${shown(baseDomain)} is not a base domain.`], 'Give a domain without port, for example example.com.')
  }
  return Object.freeze({
    name: 'subdomain',
    resolve({ host }) {
      const name = (host ?? '').toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '')
      if (!name.endsWith(`.${base}`)) return undefined
      const label = name.slice(0, -base.length - 1)
      if (label === 'www') return undefined
      if (label.includes('.')) throw new TenantInvalidError(name)
      return label
    },
  } satisfies TenantResolver)
}
