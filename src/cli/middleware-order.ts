/**
 * The order of middleware, as far as the text of a project tells it: in one file, what is mounted before what.
 *
 * Log-in or session, then the tenant, then the routes; `checkMiddlewareOrder(app)` holds it at start, whatever the text says.
 */
import { globSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Finding } from './findings.ts'

const NAME = 'middleware order'
const SOURCES = '**/*.{ts,js,mts,mjs}'
const LEFT_OUT = /(^|\/)(node_modules|dist|build|coverage|docs|bench|tests?|__tests__|spec|\.[^/]+)(\/|$)|\.(test|spec|d)\.[cm]?[jt]s$/
/** Larger files are bundles. */
const MAX_BYTES = 500_000
const MAX_FILES = 5_000

/** What stands in the files of a project below its folder. */
export function middlewareFindings(folder: string): readonly Finding[] {
  const files = globSync(SOURCES, { cwd: folder, exclude: path => LEFT_OUT.test(String(path).replaceAll('\\', '/')) }).slice(0, MAX_FILES)
  const mounting = files.toSorted().flatMap(file => {
    const path = join(folder, file)
    if (LEFT_OUT.test(file.replaceAll('\\', '/')) || statSync(path).size > MAX_BYTES) return []
    const text = withoutTextAndComments(readFileSync(path, 'utf8'))
    return /\.use\(\s*tenantMiddleware\s*\(/.test(text) ? [{ file, text }] : []
  })
  if (mounting.length === 0) return [finding('ok', 'no file mounts tenantMiddleware()')]
  const wrong = mounting.flatMap(({ file, text }) => orderProblems(text).map(problem => `${file}: ${problem}`))
  if (wrong.length > 0)
    return [finding('error', wrong.join('; '), 'Mount authentication() (or your session), then tenantMiddleware(), then the routes.')]
  const unchecked = mounting.filter(({ text }) => !/checkMiddlewareOrder\s*\(/.test(text)).map(({ file }) => file)
  if (unchecked.length > 0) {
    return [
      finding(
        'warning',
        `nothing holds the order at start in ${unchecked.join(', ')}`,
        'Call checkMiddlewareOrder(app) after everything is mounted.',
      ),
    ]
  }
  return [finding('ok', `log-in, tenant, routes in ${mounting.map(({ file }) => file).join(', ')}`)]
}

/** What is wrong with the order of `.use(…)` in a text without strings and comments. */
export function orderProblems(text: string): readonly string[] {
  const mounted = [...text.matchAll(/\.use\(\s*(?:await\s+)?([A-Za-z_$][\w$.]*)/g)].map(([, name = '']) => name)
  const tenant = mounted.indexOf('tenantMiddleware')
  if (tenant === -1) return []
  const before = mounted.slice(0, tenant)
  const problems: string[] = []
  for (const name of ['authentication', 'problems'] as const) {
    // Where it is mounted in another file, the text says nothing.
    if (mounted.includes(name) && !before.includes(name)) problems.push(`${name}() is mounted after tenantMiddleware()`)
  }
  const session = mounted.findIndex(name => /session/i.test(name))
  if (session > tenant)
    problems.push(`${mounted[session]}() is mounted after tenantMiddleware(), which could not find the session's tenant`)
  return problems
}

/** The code alone: a name in a comment or a message mounts nothing. */
export function withoutTextAndComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g, match =>
    match.startsWith('/') ? ' ' : "''",
  )
}

function finding(level: Finding['level'], message: string, hint?: string): Finding {
  return { name: NAME, ok: level !== 'error', level, message, ...(hint === undefined ? {} : { hint }) }
}
