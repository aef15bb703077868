/** The errors that only HTTP has. */
import { TenancyError } from '../errors.ts'

/** The route exists, and not with this method. */
export class MethodNotAllowedError extends TenancyError {
  readonly code = 'METHOD_NOT_ALLOWED'
  readonly status = 405
  constructor(method: string, allowed: string) {
    super(`This route has no method ${method}.`, allowed === '' ? {} : { hint: `Allowed: ${allowed}.` })
  }
}

/** The application does not serve yet, or its control plane does not answer. */
export class NotReadyError extends TenancyError {
  readonly code = 'NOT_READY'
  readonly status = 503
  constructor(reason: string, cause?: unknown) {
    super(`Not ready: ${reason}.`, { hint: 'Try again shortly.', retryAfterSeconds: 2, cause })
  }
}

/** A 4xx that another library threw. */
export class BadRequestError extends TenancyError {
  readonly code = 'VALIDATION_FAILED'
  readonly status: number
  constructor(status: number, cause: unknown) {
    super('The request is refused.', { hint: 'Correct the request.', cause })
    this.status = status
  }
}
