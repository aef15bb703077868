/** Lists by pages: `?limit=` and an opaque `?cursor=`, over ids that are ordered by time. */
import { ValidationFailedError } from '../errors.ts'

/** What a list request asks for. */
export interface PageRequest {
  readonly limit: number
  /** The id after which the page begins. */
  readonly after: string | undefined
}

/** The answer to a list request. */
export interface Page<T> {
  readonly items: readonly T[]
  readonly next_cursor: string | null
}

/** A parsed query string. */
export type Query = Readonly<Record<string, string | readonly string[] | undefined>>

/** The bounds of `?limit=`. */
export const PAGE_LIMIT = Object.freeze({ min: 1, max: 200, default: 50 })

const UUID_BYTES = 16

/**
 * What the query string asks for.
 *
 * @throws VALIDATION_FAILED for a bad limit or cursor
 * @example
 * const page = pageRequest(ctx.query)
 * const rows = await em().find(Invoice, pageWhere(page), { orderBy: { id: 'asc' }, limit: page.limit + 1 })
 * ctx.body = pageOf(rows, page, toJson)
 */
export function pageRequest(query: Query): PageRequest {
  return Object.freeze({ limit: limitOf(query), after: afterOf(query) })
}

/** The condition on ids of a page. */
export function pageWhere(page: PageRequest): { id?: { $gt: string } } {
  return page.after === undefined ? {} : { id: { $gt: page.after } }
}

/** A page of rows; one row more than the limit was read, to know whether there is a next page. */
export function pageOf<T extends { readonly id: string }, R>(rows: readonly T[], page: PageRequest, toJson: (row: T) => R): Page<R> {
  const shown = rows.slice(0, page.limit)
  const last = shown.at(-1)
  return { items: shown.map(toJson), next_cursor: rows.length > page.limit && last !== undefined ? cursorOf(last.id) : null }
}

/** One value of a query string. @throws VALIDATION_FAILED if it was repeated. */
export function queryValue(query: Query, name: string): string | undefined {
  const value = query[name]
  if (value === undefined || typeof value === 'string') return value
  throw new ValidationFailedError([{ path: name, message: 'must be given once' }])
}

/** `?limit=`. @throws VALIDATION_FAILED */
export function limitOf(query: Query): number {
  const text = queryValue(query, 'limit')
  if (text === undefined) return PAGE_LIMIT.default
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (limit < PAGE_LIMIT.min || limit > PAGE_LIMIT.max)
    throw new ValidationFailedError([{ path: 'limit', message: `must be a whole number from ${PAGE_LIMIT.min} to ${PAGE_LIMIT.max}` }])
  return limit
}

/** The cursor that begins after this id. */
export function cursorOf(id: string): string {
  return Buffer.from(id.replaceAll('-', ''), 'hex').toString('base64url')
}

function afterOf(query: Query): string | undefined {
  const text = queryValue(query, 'cursor')
  if (text === undefined) return undefined
  const bytes = Buffer.from(text.slice(0, 64), 'base64url')
  if (bytes.length !== UUID_BYTES || bytes.toString('base64url') !== text)
    throw new ValidationFailedError(
      [{ path: 'cursor', message: 'is not a cursor of this list' }],
      'Use next_cursor of the page before, or leave it out.',
    )
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
