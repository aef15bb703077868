/** The middleware of the back office: what comes in is denied unless each step lets it on. */
import type { Context, Middleware, Next } from 'koa'
import { MethodNotAllowed } from './problems.ts'
import { ForbiddenError, NotFoundError, UnauthenticatedError } from '../../src/errors.ts'
import type { Tenancy } from '../../src/tenancy.ts'
import { LANGUAGES } from '../locale/words.ts'
import { saying } from '../locale/sentences.ts'
import type { ResolvedAdminOptions } from '../options.ts'
import type { AdminPerson } from '../person.ts'
import { ASSETS, BASE, ENTER, LANGUAGE, LEAVE, LOG_IN, LOG_OUT, TENANTS, splitPath, tenantPath } from '../paths.ts'
import { csrfOf } from '../sessions.ts'
import type { AdminSession, AdminSessions } from '../sessions.ts'
import type { AdminSite } from '../site.ts'
import type { Assets } from './assets.ts'
import { clearSession, sessionToken } from './cookies.ts'
import { Entrance } from './entrance.ts'
import { assertNoNavigation, assertOwnForm, assertSmall, isRead, routeOf } from './guard.ts'
import { SECURITY_HEADERS, sendPage } from './html.ts'
import { chooseLanguage, languageOf } from './language.ts'
import { LogIn } from './log-in.ts'
import { answerError } from './problems.ts'
import { visitOf } from './visit.ts'

/** What is loaded when the panel is first used. */
export interface Loaded {
  readonly site: AdminSite
  readonly assets: Assets
}

export class AdminServer {
  readonly #tenancy: Tenancy
  readonly #options: ResolvedAdminOptions
  readonly #sessions: AdminSessions
  readonly #load: () => Promise<Loaded>
  readonly #logIn: LogIn
  readonly #entrance: Entrance

  constructor(tenancy: Tenancy, options: ResolvedAdminOptions, sessions: AdminSessions, load: () => Promise<Loaded>) {
    this.#tenancy = tenancy
    this.#options = options
    this.#sessions = sessions
    this.#load = load
    this.#entrance = new Entrance(tenancy, options, sessions)
    this.#logIn = new LogIn(tenancy, options, sessions, async (ctx, state) => {
      const { site, assets } = await load()
      const language = languageOf(ctx)
      sendPage(ctx, await site.logInPage(language), { assets, logIn: { ...state, language } })
    })
  }

  readonly middleware: Middleware = async (ctx: Context, next: Next) => {
    // By the path alone: the query says nothing about where a request goes.
    if (ctx.path !== BASE && !ctx.path.startsWith(`${BASE}/`)) return next()
    ctx.set(SECURITY_HEADERS)
    const path = ctx.path
    try {
      await this.#answer(ctx, path)
    } catch (error) {
      answerError(ctx, error, this.#options.log)
    } finally {
      ctx.path = path
    }
  }

  async #answer(ctx: Context, path: string): Promise<void> {
    const { slug, inside } = splitPath(path)
    if (slug === undefined && path.startsWith(ASSETS)) return this.#asset(ctx, path)
    ctx.set('Cache-Control', 'no-store')
    if (path === LOG_IN) return ctx.method === 'POST' ? this.#logIn.submit(ctx) : get(ctx, () => this.#logIn.page(ctx))
    const token = sessionToken(ctx)
    const session = await this.#sessions.find(token)
    if (path === LANGUAGE) return post(ctx, () => chooseLanguage(ctx, session === undefined ? undefined : csrfOf(token!)))
    if (path === LOG_OUT) return post(ctx, () => this.#logIn.leave(ctx, session === undefined ? undefined : csrfOf(token!)))
    if (session === undefined || token === undefined) return toLogIn(ctx, path)
    const csrf = csrfOf(token)
    try {
      if (path === ENTER || path === LEAVE || path === TENANTS) return await this.#entrance.answer(ctx, path, session, csrf)
      await this.#inside(ctx, session, csrf, slug, inside)
    } catch (error) {
      if (!(error instanceof UnauthenticatedError)) throw error
      // The account is gone, or its tenant is closed.
      await this.#sessions.end(token)
      clearSession(ctx)
      toLogIn(ctx, path)
    }
  }

  async #inside(ctx: Context, session: AdminSession, csrf: string, slug: string | undefined, inside: string): Promise<void> {
    const route = routeOf(inside)
    if (!isRead(ctx)) {
      if (ctx.method !== 'POST' || !route.isApi) throw new MethodNotAllowed()
      assertOwnForm(ctx, ctx.get('x-xsrf-token'), csrf)
      assertSmall(ctx)
    } else if (route.isApi) {
      // To AdminJS it is no GET, and so a request that may change something.
      if (ctx.method === 'HEAD') throw new MethodNotAllowed()
      assertNoNavigation(ctx)
    }
    const rules = { tenancy: this.#tenancy, accounts: this.#options.accounts, tenantMs: this.#options.tenantMs }
    const visit = await visitOf(rules, session, csrf, slug)
    if ('goTo' in visit) {
      if (visit.goTo === 'own tenant') {
        // The control plane does not exist for a local user, but for the way home.
        if (inside !== BASE || !isRead(ctx)) throw new NotFoundError('page')
        return ctx.redirect(tenantPath(visit.slug))
      }
      if (route.isApi) throw new ForbiddenError()
      return ctx.redirect(`${ENTER}?tenant=${encodeURIComponent(visit.slug)}&redirectTo=${encodeURIComponent(ctx.path)}`)
    }
    const { site, assets } = await this.#load()
    if (route.resource !== undefined && !site.has(visit.mode, route.resource, route.action)) throw new NotFoundError('page')
    if (route.page !== undefined && !site.mayVisit(route.page, visit.person)) throw new NotFoundError('page')
    if (route.page !== undefined && !isRead(ctx)) throw new MethodNotAllowed()
    const language = languageOf(ctx)
    // AdminJS knows one root; the tenant is in the context.
    ctx.path = inside
    // All that the routes of AdminJS read of a session.
    ;(ctx as unknown as { session: object }).session = { adminUser: { ...visit.person, language } }
    await visit.run(async () => void (await site.routes[visit.mode](ctx as never, () => Promise.resolve())))
    if (ctx.body === undefined || ctx.body === null) throw new NotFoundError('page')
    const said = saying(language)
    if (typeof ctx.body === 'string' && !route.isApi)
      sendPage(ctx, ctx.body, { assets, edit: json => stateFor(json, site, visit.person, said) })
    else if (language !== LANGUAGES[0] && typeof ctx.body === 'object') {
      ctx.body = JSON.stringify(ctx.body, said)
      ctx.type = 'json'
    }
  }

  async #asset(ctx: Context, path: string): Promise<void> {
    const { assets } = await this.#load()
    if (!isRead(ctx)) throw new MethodNotAllowed()
    if (!(await assets.serve(ctx, path))) throw new NotFoundError('file')
  }
}

/** The state of a page: in the person's language, with the pages that the person may see. */
function stateFor(json: string, site: AdminSite, person: AdminPerson, said: ReturnType<typeof saying>): string {
  const state = JSON.parse(json) as { pages: readonly { readonly name: string }[] }
  return JSON.stringify({ ...state, pages: state.pages.filter(({ name }) => site.mayVisit(name, person)) }, said)
}

/** AdminJS follows the redirect of its requests, sees the log-in page, and says that the session is over. */
function toLogIn(ctx: Context, path: string): void {
  const isPage = isRead(ctx) && !splitPath(path).inside.startsWith(`${BASE}/api/`) && path !== BASE
  ctx.redirect(isPage ? `${LOG_IN}?redirectTo=${encodeURIComponent(path)}` : LOG_IN)
  if (!isRead(ctx)) ctx.status = 303
}

function get(ctx: Context, work: () => Promise<void>): Promise<void> {
  if (!isRead(ctx)) throw new MethodNotAllowed()
  return work()
}

function post(ctx: Context, work: () => Promise<void>): Promise<void> {
  if (ctx.method !== 'POST') throw new MethodNotAllowed()
  return work()
}
