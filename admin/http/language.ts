/** The language of an answer: the one that was chosen, kept in a cookie; else the best of those that the browser asks for. */
import type { Context } from 'koa'
import { LANGUAGES, isLanguage, type Language } from '../locale/words.ts'
import { BASE, LOG_IN, localPath } from '../paths.ts'
import { logInToken } from './cookies.ts'
import { assertOwnForm } from './guard.ts'
import { readForm } from './log-in.ts'

const NAME = 'tenantkit_admin_language'
const YEAR_MS = 365 * 86_400_000

export function languageOf(ctx: Context): Language {
  const chosen = ctx.cookies.get(NAME, { signed: false })
  if (isLanguage(chosen)) return chosen
  const accepted = ctx.acceptsLanguages(...LANGUAGES)
  return isLanguage(accepted) ? accepted : LANGUAGES[0]
}

/** `POST /admin/login/language`, by the form token of the session, or of the log-in. Leads back to where the person was. */
export async function chooseLanguage(ctx: Context, csrf: string | undefined): Promise<void> {
  const fields = await readForm(ctx)
  assertOwnForm(ctx, fields['_csrf'], csrf ?? logInToken(ctx) ?? '')
  const { language } = fields
  if (isLanguage(language))
    ctx.cookies.set(NAME, language, {
      httpOnly: true,
      sameSite: 'lax',
      secure: ctx.secure,
      path: BASE,
      signed: false,
      overwrite: true,
      maxAge: YEAR_MS,
    })
  const wanted = localPath(fields['redirectTo'])
  const logIn = wanted === undefined ? LOG_IN : `${LOG_IN}?redirectTo=${encodeURIComponent(wanted)}`
  ctx.redirect(csrf === undefined ? logIn : (wanted ?? BASE))
  ctx.status = 303
}
