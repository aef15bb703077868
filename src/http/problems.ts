import type { Context, Middleware } from 'koa'
import { NotFoundError } from '../errors.ts'
import type { TenancyError } from '../errors.ts'
import { newId } from '../ids.ts'
import { MethodNotAllowedError } from './errors.ts'
import { loggable, toProblem, toTenancyError } from './problem-document.ts'
import { stateOf } from './state.ts'

/** The two methods of a logger that are used here; pino fits. */
export interface Log {
  info(facts: object, message: string): void
  error(facts: object, message: string): void
}

/** What {@link problems} takes. */
export interface ProblemOptions {
  /** Where errors of our side go. Default: standard error, one JSON line each. */
  readonly log?: Log
}

/** Longer or odder ones could be used to write into a log. */
const REQUEST_ID = /^[A-Za-z0-9._:-]{1,128}$/

const standardError: Log = {
  info: () => undefined,
  error: (facts, message) => void process.stderr.write(`${JSON.stringify({ message, ...facts })}\n`),
}

/**
 * The outermost middleware: gives each request an id, and turns every error into a problem document (`application/problem+json`).
 *
 * An error of our side (500) is logged with its stack, and the client sees nothing of it but the request id.
 *
 * @example app.use(problems({ log }))
 */
export function problems(options: ProblemOptions = {}): Middleware {
  const log = options.log ?? standardError
  return async function problemsMiddleware(ctx, next) {
    const requestId = requestIdOf(ctx)
    stateOf(ctx).requestId = requestId
    ctx.set('X-Request-Id', requestId)
    try {
      await next()
      const missing = unanswered(ctx)
      if (missing !== undefined) answer(ctx, missing)
    } catch (thrown) {
      const error = toTenancyError(thrown)
      if (error.status >= 500 && error.status !== 503)
        log.error({ request_id: requestId, code: error.code, error: loggable(thrown) }, 'request failed')
      if (ctx.headerSent) return void ctx.res.destroy()
      answer(ctx, error)
    }
  }
}

function requestIdOf(ctx: Context): string {
  const given = ctx.req.headersDistinct['x-request-id']
  const [only] = given ?? []
  return given?.length === 1 && only !== undefined && REQUEST_ID.test(only) ? only : newId()
}

/** No middleware wrote an answer: an unknown route, or a known one with another method. */
function unanswered(ctx: Context): TenancyError | undefined {
  if (ctx.respond === false || ctx.headerSent || (ctx.body !== undefined && ctx.body !== null)) return undefined
  if (ctx.status === 404) return new NotFoundError('route')
  // 501 is the router's word for a method that it never heard of.
  if (ctx.status === 405 || ctx.status === 501) return new MethodNotAllowedError(ctx.method, ctx.response.get('Allow'))
  return undefined
}

function answer(ctx: Context, error: TenancyError): void {
  ctx.status = error.status
  ctx.body = JSON.stringify(toProblem(error, ctx.path))
  ctx.type = 'application/problem+json'
  ctx.set('Cache-Control', 'no-store')
  if (error.status === 401) ctx.set('WWW-Authenticate', 'Bearer')
  // What is still on its way is read and thrown away: a closed connection would take the answer with it.
  ctx.req.resume()
  if (error.retryAfterSeconds !== undefined) ctx.set('Retry-After', String(error.retryAfterSeconds))
}
