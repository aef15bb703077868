/** The paths of the back office. */

/** Where it is mounted. */
export const BASE = '/admin'
export const LOG_IN = `${BASE}/login`
/** Beneath the log-in, where the cookie of its form reaches. */
export const LANGUAGE = `${LOG_IN}/language`
export const LOG_OUT = `${BASE}/logout`
export const ENTER = `${BASE}/enter`
export const LEAVE = `${BASE}/leave`
export const TENANTS = `${BASE}/tenants`
export const ASSETS = `${BASE}/frontend/assets/`

/** The path of a tenant's back office. */
export function tenantPath(slug: string): string {
  return `${BASE}/t/${slug}`
}

/** A path within the back office and its tenant, if it has one: `/admin/t/acme/resources/X` is `/admin/resources/X` of `acme`. */
export function splitPath(path: string): { readonly slug: string | undefined; readonly inside: string } {
  const match = /^\/admin\/t\/([^/]+)(\/.*)?$/.exec(path)
  return match === null ? { slug: undefined, inside: path } : { slug: match[1], inside: `${BASE}${match[2] ?? ''}` }
}

/** The path of a link into the back office, or nothing: what leads elsewhere is no place to go after the log-in. */
export function localPath(given: unknown): string | undefined {
  if (typeof given !== 'string' || given.length > 2000 || !given.startsWith('/') || !URL.canParse(given, 'http://x')) return undefined
  const url = new URL(given, 'http://x')
  const isInside = url.origin === 'http://x' && /^\/admin(?:$|\/(?!log(?:in|out)|enter|leave))/.test(url.pathname)
  return isInside ? url.pathname + url.search : undefined
}
