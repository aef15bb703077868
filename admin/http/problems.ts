/** What a refused request is answered with: a small page, or a small JSON document. Never a stack, never what the database said. */
import type { Context } from 'koa'
import { TenancyError } from '../../src/tenancy-error.ts'
import { newId } from '../../src/ids.ts'
import { say } from '../locale/sentences.ts'
import type { AdminLog } from '../options.ts'
import { BASE, splitPath } from '../paths.ts'
import { sendSmallPage } from './html.ts'
import { languageOf } from './language.ts'

/** The request has a method that its path does not know. */
export class MethodNotAllowed extends Error {
  override readonly name = 'MethodNotAllowed'
}

interface Answer {
  readonly status: number
  readonly title: string
  readonly text: string
}

const TEXTS: Readonly<Record<number, readonly [title: string, text: string]>> = {
  400: ['This request cannot be read', 'Go back, then try again.'],
  403: ['You are not allowed to do this', 'Reload the page, then try again; or ask somebody who may.'],
  404: ['There is nothing here', 'It may have been removed, or you may not see it.'],
  405: ['This cannot be done here', 'Go back, then try again.'],
  410: ['This tenant is closed', 'Its data is kept. Ask an operator.'],
  413: ['This is too large', 'Send less at once.'],
  415: ['This request cannot be read', 'Go back, then try again.'],
  503: ['Not available just now', 'Try again in a moment.'],
  500: ['Something went wrong', 'It was written down. Try again; if it stays, tell an operator the number below.'],
}

/** Answers for an error. What is our own fault is logged under a number that the page shows. */
export function answerError(ctx: Context, error: unknown, log: AdminLog): void {
  const status = statusOf(error)
  const language = languageOf(ctx)
  const [title, text] = TEXTS[status] ?? (status >= 500 ? TEXTS[500]! : TEXTS[400]!)
  let reference: string | undefined
  if (status === 500) {
    reference = newId()
    log.error({ reference, error: describe(error) }, 'the back office failed')
  }
  if (ctx.headerSent) return void ctx.res.destroy()
  ctx.remove('Content-Encoding')
  // What is still on its way is read and thrown away: a closed connection would take the answer with it.
  ctx.req.resume()
  if (error instanceof TenancyError && error.retryAfterSeconds !== undefined) ctx.set('Retry-After', String(error.retryAfterSeconds))
  send(ctx, { status, title: say(language, title), text: say(language, text) }, reference)
}

function send(ctx: Context, { status, title, text }: Answer, reference: string | undefined): void {
  const isPage = !splitPath(ctx.path).inside.startsWith(`${BASE}/api/`) && ctx.accepts('html', 'json') === 'html'
  ctx.status = status
  ctx.set('Cache-Control', 'no-store')
  if (!isPage) {
    ctx.body = { status, title, detail: text, ...(reference === undefined ? {} : { reference }) }
    return
  }
  const more = reference === undefined ? '' : `<p><code>${reference}</code></p>`
  const language = languageOf(ctx)
  sendSmallPage(ctx, title, `<p>${text}</p>${more}<a href="${BASE}">${say(language, 'To the start')}</a>`, language)
}

function statusOf(error: unknown): number {
  if (error instanceof MethodNotAllowed) return 405
  if (error instanceof TenancyError) return error.status
  const { status, expose } = (typeof error === 'object' && error !== null ? error : {}) as { status?: number; expose?: boolean }
  return expose === true && status !== undefined && status >= 400 && status < 500 ? status : 500
}

function describe(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { type: typeof error }
  return { type: error.name, message: redacted(error.message), stack: redacted(error.stack ?? '') }
}

/** Takes out what looks like the password of a URL, or a password hash. */
function redacted(text: string): string {
  return text.replace(/([a-z][a-z0-9+.-]*:\/\/[^\s:@/]*:)[^\s@]+@/gi, '$1***@').replace(/\$(argon2id|scrypt)\$[^\s'"]+/g, '$$$1$$***')
}
