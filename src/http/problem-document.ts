/**
 * From any error to a problem document.
 *
 * Source: RFC 9457 (problem details). What is not an error of this framework never reaches a client.
 */
import {
  ConflictError,
  InternalError,
  NotFoundError,
  PayloadTooLargeError,
  TenancyError,
  UnsupportedMediaTypeError,
  ValidationFailedError,
} from '../errors.ts'
import type { FieldError } from '../errors.ts'
import { BadRequestError } from './errors.ts'

/** The body of every error answer. */
export interface ProblemDocument {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly instance: string
  readonly code: string
  readonly hint?: string
  readonly details?: Readonly<Record<string, unknown>>
  readonly errors?: readonly FieldError[]
}

/** What PostgreSQL says about a value it cannot take: text that is no uuid, a number out of range, a NUL character and their like. */
const VALUE_REFUSED: ReadonlySet<string> = new Set(['22P02', '22P05', '22001', '22003', '22007', '22008', '22021', '23502', '23514'])

/**
 * The error of this framework that stands for any thrown value; unknown ones become `INTERNAL`.
 *
 * @example toTenancyError(new UniqueConstraintViolationException(…)).code // 'CONFLICT'
 */
export function toTenancyError(error: unknown): TenancyError {
  if (error instanceof TenancyError) return error
  const { name, code, status } = factsOf(error)
  if (name === 'UniqueConstraintViolationException' || code === '23505')
    return new ConflictError('A value that must be unique is taken.', { hint: 'Choose another value.', cause: error })
  if (name === 'OptimisticLockError')
    return new ConflictError('The row changed meanwhile.', { hint: 'Read it again, then repeat the change.', cause: error })
  if (name === 'ForeignKeyConstraintViolationException' || code === '23503')
    return refusedValue('Refers to a row that does not exist, or that is referred to.', error)
  if (code !== undefined && VALUE_REFUSED.has(code)) return refusedValue('A value is refused by the database.', error)
  if (code === '40001' || code === '40P01') return new ConflictError('Another change came between.', { hint: 'Try again.', cause: error })
  if (name === 'NotFoundError') return withCause(new NotFoundError('row'), error)
  if (status === 404) return withCause(new NotFoundError('route'), error)
  if (status === 413) return withCause(new PayloadTooLargeError('the limit of this route'), error)
  if (status === 415) return withCause(new UnsupportedMediaTypeError(), error)
  if (status !== undefined && status >= 400 && status < 500) return new BadRequestError(status, error)
  return new InternalError(error)
}

/** The document for an error of this framework; `instance` is the path of the request. */
export function toProblem(error: TenancyError, instance: string): ProblemDocument {
  const { code, status, hint, details, errors } = error
  return {
    type: `urn:mikro-tenantkit:problem:${code.toLowerCase().replaceAll('_', '-')}`,
    title: titleOf(code),
    status,
    detail: error.message,
    instance,
    code,
    ...(hint === undefined ? {} : { hint }),
    ...(details === undefined ? {} : { details }),
    ...(errors === undefined ? {} : { errors }),
  }
}

/** What a log may hold of an error: names, codes and stacks, without passwords and tokens. */
export function loggable(error: unknown, depth = 0): Record<string, unknown> {
  if (!(error instanceof Error)) return { type: typeof error }
  const { code } = factsOf(error)
  return {
    type: error.name,
    ...(code === undefined ? {} : { code }),
    message: redacted(error.message),
    stack: redacted(error.stack ?? ''),
    ...(error.cause === undefined || depth > 4 ? {} : { cause: loggable(error.cause, depth + 1) }),
  }
}

/** Takes out what looks like the password of a URL, a token or a password hash. */
export function redacted(text: string): string {
  return text
    .replace(/([a-z][a-z0-9+.-]*:\/\/[^\s:@/]*:)[^\s@]+@/gi, '$1***@')
    .replace(/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, '***')
    .replace(/\$(argon2id|scrypt)\$[^\s'"]+/g, '$$$1$$***')
}

function titleOf(code: string): string {
  const words = code.toLowerCase().replaceAll('_', ' ')
  return words.charAt(0).toUpperCase() + words.slice(1)
}

function refusedValue(message: string, cause: unknown): TenancyError {
  return withCause(new ValidationFailedError([{ path: '', message }]), cause)
}

function withCause<T extends TenancyError>(error: T, cause: unknown): T {
  Object.defineProperty(error, 'cause', { value: cause, configurable: true, writable: true })
  return error
}

/** Reads an odd object with care: a getter or a proxy may throw. */
function factsOf(error: unknown): { readonly name?: string; readonly code?: string; readonly status?: number } {
  try {
    if (typeof error !== 'object' || error === null) return {}
    const { name, code, status } = error as Record<string, unknown>
    return {
      ...(typeof name === 'string' ? { name } : {}),
      ...(typeof code === 'string' ? { code } : {}),
      ...(typeof status === 'number' ? { status } : {}),
    }
  } catch {
    return {}
  }
}
