/** What a request must hold before anything of it is done: its route, its origin, its token, its size. */
import { timingSafeEqual } from 'node:crypto'
import type { Context } from 'koa'
import { ForbiddenError, NotFoundError, PayloadTooLargeError } from '../../src/errors.ts'
import { BASE } from '../paths.ts'

/** What a request is about, as far as its path says. */
export interface Route {
  readonly isApi: boolean
  readonly resource: string | undefined
  readonly action: string | undefined
  readonly page: string | undefined
}

/** What a form may send, in bytes. */
export const MAX_BODY = 2_000_000
const SEGMENT = '([^/]+)'
/** Every route that AdminJS may be asked for. What is not here does not exist. */
const ROUTES: readonly (readonly [RegExp, (match: RegExpExecArray) => Omit<Route, 'isApi'>])[] = [
  [/^$/, () => none],
  [/^\/dashboard$/, () => none],
  [new RegExp(`^/resources/${SEGMENT}$`), ([, resource]) => ({ ...none, resource, action: 'list' })],
  [new RegExp(`^/resources/${SEGMENT}/actions/${SEGMENT}(?:/[^/]*)?$`), ([, resource, action]) => ({ ...none, resource, action })],
  [new RegExp(`^/resources/${SEGMENT}/records/[^/]+/${SEGMENT}$`), ([, resource, action]) => ({ ...none, resource, action })],
  [new RegExp(`^/resources/${SEGMENT}/bulk/${SEGMENT}$`), ([, resource, action]) => ({ ...none, resource, action })],
  [new RegExp(`^/pages/${SEGMENT}$`), ([, page]) => ({ ...none, page })],
]
const none = { resource: undefined, action: undefined, page: undefined } as const

/** The route of a path within the back office; by the path alone, never by the query. @throws NOT_FOUND */
export function routeOf(inside: string): Route {
  const isApi = inside.startsWith(`${BASE}/api/`)
  const rest = inside.slice((isApi ? `${BASE}/api` : BASE).length).replace(/\/$/, '')
  for (const [pattern, read] of ROUTES) {
    const match = pattern.exec(rest)
    const isHere = match !== null && !(isApi && rest === '') && !(!isApi && rest === '/dashboard')
    if (isHere) return { isApi, ...read(match) }
  }
  throw new NotFoundError('page')
}

/** Whether the method changes nothing. */
export function isRead(ctx: Context): boolean {
  return ctx.method === 'GET' || ctx.method === 'HEAD'
}

/** @throws FORBIDDEN for a request from another site, or one without the token of its session */
export function assertOwnForm(ctx: Context, sent: unknown, expected: string): void {
  if (!isSameOrigin(ctx) || !isEqual(sent, expected)) throw new ForbiddenError()
}

/** AdminJS asks for some actions by GET; nobody shall be led to one by a link. @throws FORBIDDEN */
export function assertNoNavigation(ctx: Context): void {
  if (ctx.get('sec-fetch-mode') === 'navigate') throw new ForbiddenError()
  const site = ctx.get('sec-fetch-site')
  if (site !== '' && site !== 'same-origin' && site !== 'none') throw new ForbiddenError()
}

/** @throws PAYLOAD_TOO_LARGE, also for a body of unknown length */
export function assertSmall(ctx: Context): void {
  const length = ctx.get('content-length')
  if (!/^\d{1,9}$/.test(length) || Number(length) > MAX_BODY) throw new PayloadTooLargeError(`${MAX_BODY} bytes`)
}

/** Browsers say where a request comes from; what says nothing is no browser, and has the token to show. */
function isSameOrigin(ctx: Context): boolean {
  const [site, origin] = [ctx.get('sec-fetch-site'), ctx.get('origin')]
  if (site !== '') return site === 'same-origin'
  // Not ctx.origin: in Koa 3 that is what the request claims.
  return origin === '' || origin === `${ctx.protocol}://${ctx.host}`
}

function isEqual(given: unknown, expected: string): boolean {
  if (typeof given !== 'string') return false
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && a.length > 0 && timingSafeEqual(a, b)
}
