/**
 * The one door to @adminjs/koa, of which `buildRouter` alone is used: its routes and its reading of forms. It checks nobody, so nothing
 * reaches it before session, CSRF, scope and route are checked; its static files are served by `http/assets.ts`, name by name.
 */
import Router from '@koa/router'
import { buildRouter } from '@adminjs/koa'
import type { AdminJS } from 'adminjs'
import type { Middleware } from 'koa'
import { MAX_BODY } from './http/guard.ts'
import { BASE } from './paths.ts'

const MAX_FIELDS = 2000

interface Part {
  readonly filename?: string
}

const formidableOptions = {
  maxFieldsSize: MAX_BODY,
  maxFields: MAX_FIELDS,
  maxFileSize: MAX_BODY,
  // A file would be written to the system's temporary folder and stay there; nothing here takes one.
  onPart(this: { handlePart(part: Part): void }, part: Part): void {
    if (part.filename === undefined) this.handlePart(part)
  },
}

/** The routes of a back office, with the resources of one mode. */
export function routesOf(admin: AdminJS): Middleware {
  const ignored = { use: () => ignored }
  // Our own router: npm may have given @adminjs/koa another copy of the package, of an older version.
  const router = new Router({ prefix: BASE })
  type Arguments = Parameters<typeof buildRouter>
  buildRouter(admin as Arguments[0], ignored as unknown as Arguments[1], router as unknown as NonNullable<Arguments[2]>, formidableOptions)
  const routes = router.routes() as unknown as Middleware
  return async (ctx, next) => {
    let body: Record<string, unknown> = {}
    Object.defineProperty(ctx.request, 'body', {
      configurable: true,
      get: () => body,
      set: (fields: Record<string, unknown>) => {
        body = ownKeys(fields)
      },
    })
    await routes(ctx, next)
  }
}

/** AdminJS walks properties by the names that a form sends; those that every object has would lead it astray. */
function ownKeys(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !name.split('.').some(part => part in Object.prototype)))
}
