/** Log-in and log-out. Whatever is wrong with a log-in, the answer and the work are the same. */
import { randomBytes } from 'node:crypto'
import { form } from 'co-body'
import type { Context } from 'koa'
import type { Actor } from '../../src/context/context.ts'
import { verifyPassword } from '../../src/auth/password.ts'
import { createThrottle, type Throttle } from '../../src/auth/throttle.ts'
import { RateLimitedError, UnsupportedMediaTypeError } from '../../src/errors.ts'
import { TenancyError } from '../../src/tenancy-error.ts'
import type { TenantRecord } from '../../src/tenants/directory.ts'
import type { AdminAccount } from '../accounts.ts'
import type { ResolvedAdminOptions } from '../options.ts'
import { BASE, LOG_IN, localPath, tenantPath } from '../paths.ts'
import type { AdminSessions } from '../sessions.ts'
import type { Tenancy } from '../../src/tenancy.ts'
import { clearSession, logInToken, sessionToken, setLogInToken, setSession } from './cookies.ts'
import { assertOwnForm, assertSmall } from './guard.ts'

/** Shows the log-in page with a state. */
export type ShowLogIn = (ctx: Context, state: Readonly<Record<string, unknown>>) => Promise<void>

interface Credentials {
  readonly email: string
  readonly password: string
  readonly tenant: string | undefined
}

interface Found {
  readonly account: AdminAccount
  readonly tenant: TenantRecord | undefined
}

const LOG_IN_JOB = 'admin-log-in'
const FORM_LIMIT = '20kb'
const ADDRESS_LIMIT = 300

export class LogIn {
  readonly #tenancy: Tenancy
  readonly #options: ResolvedAdminOptions
  readonly #sessions: AdminSessions
  readonly #show: ShowLogIn
  readonly #accounts: Throttle
  readonly #addresses = createThrottle({ limit: ADDRESS_LIMIT, windowSeconds: 60 })

  constructor(tenancy: Tenancy, options: ResolvedAdminOptions, sessions: AdminSessions, show: ShowLogIn) {
    this.#tenancy = tenancy
    this.#options = options
    this.#sessions = sessions
    this.#show = show
    this.#accounts = createThrottle({ limit: options.logInLimit, windowSeconds: 60 })
  }

  /** `GET /admin/login` */
  async page(ctx: Context, state: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const known = logInToken(ctx)
    const token = known !== undefined && /^[\w-]{32}$/.test(known) ? known : randomBytes(24).toString('base64url')
    setLogInToken(ctx, token)
    const redirectTo = localPath(ctx.query['redirectTo']) ?? ''
    await this.#show(ctx, {
      action: LOG_IN,
      csrf: token,
      errorMessage: null,
      title: this.#options.title,
      redirectTo,
      ...state,
    })
  }

  /** `POST /admin/login` */
  async submit(ctx: Context): Promise<void> {
    const fields = await readForm(ctx)
    assertOwnForm(ctx, fields['_csrf'], logInToken(ctx) ?? '')
    const credentials = {
      email: (fields['email'] ?? '').trim().toLowerCase(),
      password: fields['password'] ?? '',
      tenant: fields['tenant']?.trim() || undefined,
    }
    const redirectTo = localPath(fields['redirectTo'])
    let found: Found | undefined
    try {
      found = await this.#check(ctx, credentials)
    } catch (error) {
      if (!(error instanceof RateLimitedError)) throw error
      ctx.status = 429
      ctx.set('Retry-After', String(error.retryAfterSeconds ?? 60))
      return this.page(ctx, { errorMessage: 'tooManyAttempts', redirectTo: redirectTo ?? '' })
    }
    if (found === undefined) {
      ctx.status = 401
      return this.page(ctx, { errorMessage: 'invalidCredentials', redirectTo: redirectTo ?? '' })
    }
    await this.#begin(ctx, found, redirectTo)
  }

  /** `POST /admin/logout` */
  async leave(ctx: Context, csrf: string | undefined): Promise<void> {
    const fields = await readForm(ctx)
    if (csrf !== undefined) {
      assertOwnForm(ctx, fields['_csrf'], csrf)
      await this.#sessions.end(sessionToken(ctx))
    }
    clearSession(ctx)
    ctx.redirect(LOG_IN)
    ctx.status = 303
  }

  async #begin(ctx: Context, { account, tenant }: Found, redirectTo: string | undefined): Promise<void> {
    // A new token at every log-in: one that was planted before is worth nothing.
    await this.#sessions.end(sessionToken(ctx))
    const token = await this.#sessions.create({
      plane: tenant === undefined ? 'global' : 'tenant',
      userId: account.id,
      label: account.label,
      tenantId: tenant?.ref.id ?? null,
      tenantSlug: tenant?.ref.slug ?? null,
      address: ctx.ip,
      userAgent: ctx.get('user-agent'),
    })
    await this.#kept(account, tenant)
    setSession(ctx, token)
    this.#options.log.info({ event: 'admin.log-in', user: account.id, tenant: tenant?.ref.slug ?? null }, 'logged in to the back office')
    const home = tenant === undefined ? BASE : tenantPath(tenant.ref.slug)
    const isHome = redirectTo === home || redirectTo?.startsWith(`${home}/`) === true
    ctx.redirect(redirectTo !== undefined && isHome ? redirectTo : home)
    ctx.status = 303
  }

  /** In the store that the account is of: another plane may have somebody else under the same id. */
  async #kept({ id }: AdminAccount, tenant: TenantRecord | undefined): Promise<void> {
    const { accounts } = this.#options
    if (accounts.loggedIn === undefined) return
    // Not as the person: an auditor writes nothing, and logs in.
    const actor: Actor = { plane: 'system', id: LOG_IN_JOB, label: LOG_IN_JOB }
    const keep = async (): Promise<void> => accounts.loggedIn?.(id, tenant === undefined ? 'global' : 'tenant', new Date())
    await (tenant === undefined ? this.#tenancy.runAsSystem(LOG_IN_JOB, keep) : this.#tenancy.runInTenant(tenant, keep, { actor }))
  }

  async #check(ctx: Context, { email, password, tenant }: Credentials): Promise<Found | undefined> {
    const key = JSON.stringify([tenant ?? null, email, ctx.ip])
    const assertOpen = (): void => {
      this.#addresses.assertOpen(ctx.ip)
      this.#accounts.assertOpen(key)
    }
    assertOpen()
    const found = await this.#find(email, tenant)
    const isGood = await verifyPassword(password, found?.account.passwordHash)
    // Once more: of many guesses at once, none may learn that it was right after the limit was reached.
    assertOpen()
    if (isGood && found !== undefined) {
      this.#accounts.reset(key)
      return found
    }
    this.#addresses.count(ctx.ip)
    this.#accounts.count(key)
    return undefined
  }

  async #find(email: string, slug: string | undefined): Promise<Found | undefined> {
    const { accounts } = this.#options
    if (email === '' || email.length > 300 || email.includes('\0')) return undefined
    if (slug === undefined) {
      const account = await this.#tenancy.runAsSystem('admin-accounts', () => accounts.byEmail(email, 'global'))
      return account && { account, tenant: undefined }
    }
    try {
      const tenant = await this.#tenancy.find(slug)
      if (tenant === undefined) return undefined
      const account = await this.#tenancy.runInTenant(tenant, () => accounts.byEmail(email, 'tenant'))
      return account && { account, tenant }
    } catch (error) {
      // Suspended, archived, not ready: nothing that a stranger should learn.
      if (error instanceof TenancyError && error.code.startsWith('TENANT_')) return undefined
      throw error
    }
  }
}

/** The fields of one of our own forms. @throws UNSUPPORTED_MEDIA_TYPE, PAYLOAD_TOO_LARGE */
export async function readForm(ctx: Context): Promise<Readonly<Record<string, string | undefined>>> {
  assertSmall(ctx)
  if (ctx.is('application/x-www-form-urlencoded') === false) throw new UnsupportedMediaTypeError()
  const fields = (await form(ctx.req, { limit: FORM_LIMIT })) as Record<string, unknown>
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, typeof value === 'string' ? value : undefined]))
}
