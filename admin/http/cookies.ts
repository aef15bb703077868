/** The cookies of the back office: the session's, which scripts cannot read, and the form token, which the page sends back. */
import type { Context } from 'koa'
import { BASE, LOG_IN } from '../paths.ts'
import { csrfOf } from '../sessions.ts'

const NAME = 'tenantkit_admin'
const LOG_IN_NAME = 'tenantkit_admin_log_in'
/** axios, which AdminJS sends with, copies it into the header `X-XSRF-TOKEN` by itself. */
const FORM_NAME = 'XSRF-TOKEN'

/** Under TLS the browser holds the cookie to this host and to TLS by its name. */
const nameOf = (ctx: Context): string => (ctx.secure ? `__Host-${NAME}` : NAME)

/** The token of the session. */
export function sessionToken(ctx: Context): string | undefined {
  return ctx.cookies.get(nameOf(ctx), { signed: false })
}

export function setSession(ctx: Context, token: string): void {
  const shared = { secure: ctx.secure, signed: false, overwrite: true } as const
  ctx.cookies.set(nameOf(ctx), token, { ...shared, httpOnly: true, sameSite: 'lax', path: '/' })
  ctx.cookies.set(FORM_NAME, csrfOf(token), { ...shared, httpOnly: false, sameSite: 'strict', path: BASE })
}

export function clearSession(ctx: Context): void {
  const shared = { secure: ctx.secure, signed: false, overwrite: true } as const
  ctx.cookies.set(nameOf(ctx), null, { ...shared, httpOnly: true, path: '/' })
  ctx.cookies.set(FORM_NAME, null, { ...shared, httpOnly: false, path: BASE })
}

/** The token of the log-in form, before there is a session. */
export function logInToken(ctx: Context): string | undefined {
  return ctx.cookies.get(LOG_IN_NAME, { signed: false })
}

export function setLogInToken(ctx: Context, token: string): void {
  ctx.cookies.set(LOG_IN_NAME, token, {
    httpOnly: true,
    sameSite: 'strict',
    secure: ctx.secure,
    path: LOG_IN,
    signed: false,
    overwrite: true,
  })
}
