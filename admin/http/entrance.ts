/** How an operator of the control plane enters a tenant, leaves it, and finds one. The identity stays the operator's own. */
import type { Context } from 'koa'
import type { Actor, TenantRef } from '../../src/context/context.ts'
import { ForbiddenError } from '../../src/errors.ts'
import type { Tenancy } from '../../src/tenancy.ts'
import { say } from '../locale/sentences.ts'
import type { ResolvedAdminOptions } from '../options.ts'
import { BASE, ENTER, LEAVE, TENANTS, localPath, tenantPath } from '../paths.ts'
import type { AdminSession, AdminSessions } from '../sessions.ts'
import { assertNoNavigation, assertOwnForm, isRead } from './guard.ts'
import { escapeHtml, sendSmallPage } from './html.ts'
import { languageOf } from './language.ts'
import { readForm } from './log-in.ts'
import { MethodNotAllowed } from './problems.ts'
import { enterable, operatorOf, type VisitRules } from './visit.ts'

const FOUND_MAX = 20

export class Entrance {
  readonly #rules: VisitRules
  readonly #options: ResolvedAdminOptions
  readonly #sessions: AdminSessions

  constructor(tenancy: Tenancy, options: ResolvedAdminOptions, sessions: AdminSessions) {
    this.#rules = { tenancy, accounts: options.accounts, tenantMs: options.tenantMs }
    this.#options = options
    this.#sessions = sessions
  }

  async answer(ctx: Context, path: string, session: AdminSession, csrf: string): Promise<void> {
    if (path === TENANTS) return this.#find(ctx, session)
    if (ctx.method === 'POST') return path === ENTER ? this.#enter(ctx, session, csrf) : this.#leave(ctx, session, csrf)
    if (path === LEAVE || !isRead(ctx)) throw new MethodNotAllowed()
    return this.#ask(ctx, session, csrf)
  }

  /** `GET /admin/enter?tenant=acme` */
  async #ask(ctx: Context, session: AdminSession, csrf: string): Promise<void> {
    const actor = await operatorOf(this.#rules, session)
    const { ref } = await enterable(this.#rules.tenancy, actor, String(ctx.query['tenant']))
    const field = (name: string, value: string): string => `<input type="hidden" name="${name}" value="${escapeHtml(value)}">`
    const fields = field('_csrf', csrf) + field('tenant', ref.slug) + field('redirectTo', localPath(ctx.query['redirectTo']) ?? '')
    const language = languageOf(ctx)
    const said = (english: string): string => escapeHtml(say(language, english))
    const text = `You stay ${actor.label}: what you change there carries your name. After ${this.#options.tenantMinutes} minutes you are asked again.`
    const buttons = `<button type="submit">${said('Enter the tenant')}</button> <a href="${BASE}">${said('Back')}</a>`
    sendSmallPage(
      ctx,
      say(language, `Enter ${ref.name}?`),
      `<p>${said(text)}</p><form method="post" action="${ENTER}">${fields}${buttons}</form>`,
      language,
    )
  }

  /** `POST /admin/enter` */
  async #enter(ctx: Context, session: AdminSession, csrf: string): Promise<void> {
    const fields = await readForm(ctx)
    assertOwnForm(ctx, fields['_csrf'], csrf)
    const actor = await operatorOf(this.#rules, session)
    const { ref } = await enterable(this.#rules.tenancy, actor, fields['tenant'] ?? '')
    // First: who cannot be recorded does not enter.
    await this.#record('tenant.enter', actor, ref)
    await this.#sessions.enter(session, ref.id, Date.now())
    this.#options.log.info(
      { event: 'tenant.entered', actor: `global:${actor.id}`, tenant: ref.slug, session: session.id },
      'entered a tenant',
    )
    const home = tenantPath(ref.slug)
    const wanted = localPath(fields['redirectTo'])
    ctx.redirect(wanted === home || wanted?.startsWith(`${home}/`) === true ? wanted : home)
    ctx.status = 303
  }

  /** `POST /admin/leave` */
  async #leave(ctx: Context, session: AdminSession, csrf: string): Promise<void> {
    const fields = await readForm(ctx)
    assertOwnForm(ctx, fields['_csrf'], csrf)
    const actor = await operatorOf(this.#rules, session)
    const record = await this.#rules.tenancy.find(fields['tenant'] ?? '')
    if (record !== undefined) {
      await this.#sessions.enter(session, record.ref.id, undefined)
      await this.#record('tenant.leave', actor, record.ref)
      const facts = { event: 'tenant.left', actor: `global:${actor.id}`, tenant: record.ref.slug, session: session.id }
      this.#options.log.info(facts, 'left a tenant')
    }
    ctx.redirect(BASE)
    ctx.status = 303
  }

  #record(action: string, actor: Actor, { id, slug }: TenantRef): Promise<void> {
    return this.#rules.tenancy.history.record({ action, entity: 'Tenant', entityId: id, details: { slug }, actor })
  }

  /** `GET /admin/tenants?search=ac`: those that serve, for the switch in the header. */
  async #find(ctx: Context, session: AdminSession): Promise<void> {
    if (!isRead(ctx)) throw new MethodNotAllowed()
    assertNoNavigation(ctx)
    const actor = await operatorOf(this.#rules, session)
    if (actor.permissions?.has('tenants:enter') !== true) throw new ForbiddenError('tenants:enter')
    const search = String(ctx.query['search'] ?? '').slice(0, 100)
    const { items } = await this.#rules.tenancy.listTenants({ status: 'ready', limit: FOUND_MAX, ...(search === '' ? {} : { search }) })
    ctx.body = { items: items.map(({ slug, name }) => ({ slug, name })) }
  }
}
