/** What goes out as HTML: AdminJS's pages, made safe, and the few small pages of our own. */
import { randomBytes } from 'node:crypto'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import type { Context } from 'koa'
import type { Language } from '../locale/words.ts'
import { ASSETS } from '../paths.ts'
import { OWN_COMPONENTS, type Assets } from './assets.ts'

/** The headers of every answer. */
export const SECURITY_HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), geolocation=(), microphone=(), payment=()',
  'X-Robots-Tag': 'noindex',
} as const

/** JSON that can stand in a script: nothing in it ends the script or a line. */
export function scriptJson(json: string): string {
  return json.replaceAll('<', '\\u003c').replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')
}

/** What a page of AdminJS is sent with. */
export interface PageParts {
  readonly assets: Pick<Assets, 'versionOf' | 'hasOwn'>
  /** Changes the JSON of the page's state. Default: nothing. */
  readonly edit?: (json: string) => string
  /** The state of the log-in form. */
  readonly logIn?: object
}

/**
 * A page of AdminJS, made safe: its state is escaped first, for a nonce would land on a script that stands in the state too; then nothing
 * of other hosts is left, assets have their versions, and scripts their nonces.
 */
export function sendPage(ctx: Context, page: string, { assets, edit, logIn }: PageParts): void {
  const nonce = randomBytes(16).toString('base64')
  let states = 0
  // Not `.` and `$`: JSON holds U+2028 as it is, which ends a line for them.
  let html = page.replace(/(\n *window\.(REDUX_STATE|THEME) = )([^\n]*);(?=\n)/g, (_, start: string, name: string, json: string) => {
    states++
    return `${start}${scriptJson(name === 'REDUX_STATE' && edit !== undefined ? edit(json) : json)};`
  })
  // Another version of AdminJS writes another page: then there is none, instead of one that is not escaped.
  if (states !== 2) throw new Error('The page of AdminJS has another form than expected.')
  if (logIn !== undefined) html = html.replace(/JSON\.parse\('.*'\);/, () => `${scriptJson(JSON.stringify(logIn))};`)
  html = html
    // AdminJS writes the name of the panel as it is.
    .replace(/<title>([\s\S]*?)<\/title>(?=\s*<link rel="shortcut icon")/, (_, title: string) => `<title>${escapeHtml(title)}</title>`)
    .replace(/<link[^>]+fonts\.googleapis\.com[^>]*>/, '')
    .replace(
      /(src|href)="[^"]*\/frontend\/assets\/([^"?]+)"/g,
      (_, name: string, file: string) => `${name}="${ASSETS}${file}?v=${assets.versionOf(file)}"`,
    )
    // After our own, whose list of components it adds to; before the page is drawn.
    .replace(/<script src="[^"]*components\.bundle\.js[^"]*"><\/script>/, tag => (assets.hasOwn ? tag + ownScript(assets) : tag))
    .replace(/<script/g, `<script nonce="${nonce}"`)
  send(ctx, html, `script-src 'self' 'nonce-${nonce}'; style-src 'self' 'unsafe-inline'`)
}

function ownScript(assets: Pick<Assets, 'versionOf'>): string {
  return `<script src="${ASSETS}${OWN_COMPONENTS}?v=${assets.versionOf(OWN_COMPONENTS)}"></script>`
}

/** A small page without scripts: a question or a refusal. `body` is HTML. */
export function sendSmallPage(ctx: Context, title: string, body: string, language: Language): void {
  const html = `<!DOCTYPE html><html lang="${language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title><style>
:root { color-scheme: light dark }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; font: 16px/1.5 Arial, "Liberation Sans", sans-serif; background: light-dark(#f6f7fb, #14171c); color: light-dark(#1c2733, #e8ecf1) }
main { max-width: 26rem; margin: 1rem; padding: 2rem; border-radius: 8px; background: light-dark(#fff, #1d222a); box-shadow: 0 1px 6px rgb(0 0 0 / .2) }
h1 { font-size: 1.3rem; margin: 0 0 .5rem } p { margin: 0 0 1.5rem }
button, a { font: inherit; color: light-dark(#2f4fd0, #9db2ff) } button { padding: .5rem 1rem; border: 0; border-radius: 4px; background: #3040d6; color: #fff; cursor: pointer; margin-right: 1rem }
</style></head><body><main><h1>${escapeHtml(title)}</h1>${body}</main></body></html>`
  send(ctx, html, `script-src 'none'; style-src 'unsafe-inline'`)
}

/** Text as it can stand in HTML, also in an attribute. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`)
}

function send(ctx: Context, html: string, policy: string): void {
  ctx.set({
    'Content-Security-Policy': `default-src 'none'; ${policy}; img-src 'self' data:; font-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`,
    'Cache-Control': 'no-store',
  })
  ctx.type = 'html'
  ctx.vary('Accept-Encoding')
  const encoding = ctx.acceptsEncodings('br', 'gzip', 'identity')
  if (encoding !== 'br' && encoding !== 'gzip') {
    ctx.body = html
    return
  }
  // A page holds every resource with its properties and actions: ten times as much as it needs.
  ctx.set('Content-Encoding', encoding)
  ctx.body =
    encoding === 'br' ? brotliCompressSync(html, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }) : gzipSync(html, { level: 4 })
}
