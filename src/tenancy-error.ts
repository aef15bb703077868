/**
 * The error tree: every error this framework throws has a stable `code`, an HTTP `status` and a `hint`.
 *
 * Messages say the bad value, what is allowed and what to do. They never hold a secret.
 * Codes and statuses are a contract with clients.
 */

/** One refused field of an input. `path` is written with dots, `''` means the whole body. */
export interface FieldError {
  readonly path: string
  readonly message: string
}

/** What a {@link TenancyError} may carry beside its message. */
export interface TenancyErrorOptions {
  /** What to do about it, in one or two sentences. */
  readonly hint?: string
  /** Machine-readable facts, shown to the client. Never a secret. */
  readonly details?: Readonly<Record<string, unknown>>
  /** The refused fields, for validation errors. */
  readonly errors?: readonly FieldError[]
  /** After how many seconds a client may try again (`Retry-After`). */
  readonly retryAfterSeconds?: number
  /** The error that led to this one. It is logged, never sent to a client. */
  readonly cause?: unknown
}

/**
 * The root of all errors of this framework.
 *
 * @example
 * try { await tenancy.run('acme', work) } catch (error) {
 *   if (error instanceof TenancyError && error.code === 'TENANT_SUSPENDED') …
 * }
 */
export abstract class TenancyError extends Error {
  abstract readonly code: string
  abstract readonly status: number
  readonly hint: string | undefined
  readonly details: Readonly<Record<string, unknown>> | undefined
  readonly errors: readonly FieldError[] | undefined
  readonly retryAfterSeconds: number | undefined

  constructor(message: string, options: TenancyErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.hint = options.hint
    this.details = options.details
    this.errors = options.errors
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}

/** A number with what it counts: `1 tenant`, `2 tenants`. */
export function counted(count: number, one: string): string {
  return `${count} ${one}${count === 1 ? '' : 's'}`
}

/** A value in an error message, cut so that a hostile input cannot fill a log. */
export function shown(value: unknown): string {
  const isObject = typeof value === 'object' || typeof value === 'function'
  const text = isObject ? Object.prototype.toString.call(value) : String(value as string | number | bigint | boolean | symbol | undefined)
  const clean = text.replace(/[^\x20-\x7e]/g, '?')
  return JSON.stringify(clean.length > 80 ? `${clean.slice(0, 77)}...` : clean)
}
