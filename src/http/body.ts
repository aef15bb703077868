/** Reading and checking what a client sends. */
import { json } from 'co-body'
import type { Context, Middleware } from 'koa'
import type { z } from 'zod'
import { PayloadTooLargeError, UnsupportedMediaTypeError, ValidationFailedError } from '../errors.ts'
import type { FieldError } from '../errors.ts'
import { stateOf } from './state.ts'

/** What {@link jsonBody} takes. */
export interface JsonBodyOptions {
  /** The greatest size, such as `100kb`. Default `100kb`. */
  readonly limit?: string
}

const DEFAULT_LIMIT = '100kb'
/** Deeper bodies are nobody's data, and what walks them would run out of stack. */
const DEEPEST = 32
/** PostgreSQL takes neither the character NUL nor half a surrogate pair. */
const UNSTORABLE = /\0|\p{Surrogate}/u
const JSON_TYPE = /^application\/(?:[a-z0-9.+-]+\+)?json\s*(?:;\s*charset\s*=\s*"?utf-?8"?\s*)?;?\s*$/i

/** Audit fields in either spelling: they are the framework's, so what a client sends back of them is ignored. */
const AUDIT_KEYS: ReadonlySet<string> = new Set([
  'created_at', 'created_by', 'updated_at', 'updated_by', 'deleted_at', 'deleted_by',
  'createdAt', 'createdBy', 'updatedAt', 'updatedBy', 'deletedAt', 'deletedBy',
]) // prettier-ignore

/**
 * Reads a JSON object into `ctx.state.body`.
 *
 * @throws UNSUPPORTED_MEDIA_TYPE, PAYLOAD_TOO_LARGE, VALIDATION_FAILED for what is no JSON object.
 * @example router.post('/customers', jsonBody(), async ctx => { const { name } = bodyOf(ctx, schema) })
 */
export function jsonBody(options: JsonBodyOptions = {}): Middleware {
  const limit = options.limit ?? DEFAULT_LIMIT
  return async (ctx, next) => {
    stateOf(ctx).body = await read(ctx, limit)
    await next()
  }
}

/**
 * The body of the request, checked. Unknown keys are the schema's to refuse (`z.strictObject`).
 *
 * @throws VALIDATION_FAILED
 */
export function bodyOf<T extends z.ZodType>(ctx: { readonly state: object }, schema: T): z.output<T> {
  return parse(schema, stateOf(ctx).body)
}

/**
 * Checks an input. The six audit fields, in either spelling, are ignored at its top.
 *
 * @throws VALIDATION_FAILED naming every refused field
 * @example const { name } = parse(z.strictObject({ name: z.string() }), body)
 */
export function parse<T extends z.ZodType>(schema: T, input: unknown): z.output<T> {
  const result = schema.safeParse(withoutAuditFields(input))
  if (result.success) return result.data
  throw new ValidationFailedError(result.error.issues.flatMap(fieldErrors))
}

/** A copy of an object without the six audit fields; anything else as it is. */
export function withoutAuditFields(input: unknown): unknown {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return input
  return Object.fromEntries(Object.entries(input).filter(([key]) => !AUDIT_KEYS.has(key)))
}

/** An object without the keys that are undefined, so that optional means absent. */
export type Compact<T> = { [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined> } & {
  [K in keyof T as undefined extends T[K] ? never : K]: T[K]
}

/** Leaves out the keys that are undefined. */
export function compact<T extends object>(input: T): Compact<T> {
  return Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as Compact<T>
}

function fieldErrors(issue: z.core.$ZodIssue): FieldError[] {
  const path = issue.path.map(String)
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map(key => ({ path: [...path, shortened(key)].join('.'), message: 'is not known' }))
  return [{ path: path.map(shortened).join('.'), message: issue.message }]
}

function shortened(key: string): string {
  return key.length > 80 ? `${key.slice(0, 77)}...` : key
}

async function read(ctx: Context, limit: string): Promise<object> {
  const type = ctx.req.headers['content-type']
  const isEmpty = ctx.req.headers['transfer-encoding'] === undefined && Number(ctx.req.headers['content-length'] ?? 0) === 0
  if (isEmpty) throw refusal('must be a JSON object, and is empty')
  if (type === undefined || !JSON_TYPE.test(type)) throw new UnsupportedMediaTypeError()
  const body: unknown = await json(ctx.req, { limit, strict: false }).catch((error: unknown) => {
    throw refused(error, limit)
  })
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw refusal('must be a JSON object')
  checkDeep(body)
  return body
}

function refused(error: unknown, limit: string): unknown {
  const { status, type } = error as { status?: unknown; type?: unknown }
  if (status === 413) return new PayloadTooLargeError(limit)
  if (status === 415) return new UnsupportedMediaTypeError()
  if (error instanceof SyntaxError || status === 400 || type === 'request.aborted') return refusal('is not valid JSON')
  // Broken compression.
  return (error as { code?: unknown }).code === undefined ? error : refusal('cannot be read')
}

function refusal(message: string): ValidationFailedError {
  return new ValidationFailedError(
    [{ path: '', message: `The body ${message}.` }],
    'Send one JSON object with Content-Type: application/json.',
  )
}

/** Refuses what PostgreSQL cannot store (the character NUL, half a surrogate pair) and bodies that are nested too deep. */
function checkDeep(body: object): void {
  let level: { value: unknown; path: string }[] = [{ value: body, path: '' }]
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > DEEPEST) throw refusal(`is nested deeper than ${DEEPEST} levels`)
    level = level.flatMap(({ value, path }) => childrenOf(value, path))
  }
}

function childrenOf(value: unknown, path: string): { value: unknown; path: string }[] {
  if (typeof value === 'string') {
    if (UNSTORABLE.test(value)) throw new ValidationFailedError([{ path, message: 'holds a character that cannot be stored' }])
    return []
  }
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, child]) => {
    const at = path === '' ? shortened(key) : `${path}.${shortened(key)}`
    if (UNSTORABLE.test(key)) throw new ValidationFailedError([{ path, message: 'has a key that cannot be stored' }])
    return [{ value: child as unknown, path: at }]
  })
}
