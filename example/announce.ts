/** What the start prints: where the application is, how to log in, what to try. */
import type { Configuration } from './configuration.ts'
import { DEMO } from './seed.ts'

/** The lines to print, in plain text. In production they hold no password. */
export function announcement(config: Configuration, origin: string): readonly string[] {
  const lines = [
    '',
    `Admin      ${origin}/admin`,
    `API        ${origin}/api`,
    `Liveness   ${origin}/health/live`,
    `Readiness  ${origin}/health/ready`,
    `Metrics    ${origin}/metrics`,
  ]
  if (config.isProduction)
    return [...lines, '', `curl -sS ${origin}/health/live`, `curl -sS ${origin}/health/ready`, `curl -sS ${origin}/metrics`, '']
  const { adminEmail, adminPassword = '', demoPassword = '' } = config
  const operator = { email: adminEmail, password: adminPassword }
  const [acme, globex] = DEMO.map(({ slug, email }) => ({ email, password: demoPassword, tenant: slug }))
  return [
    ...lines,
    '',
    ...(config.secretsFile === undefined
      ? []
      : [`Secrets that were not given were generated; they are kept in ${config.secretsFile}.`, '']),
    'Log-ins (demo)',
    `  operator   ${adminEmail}  ${adminPassword}`,
    ...DEMO.map(({ slug, email }) => `  ${slug.padEnd(9)}  ${email}  ${demoPassword}  (tenant ${slug})`),
    '',
    'Try',
    curl(origin, '/api/customers', acme),
    curl(origin, '/api/invoices', globex),
    curl(origin, '/api/customers', acme, ` -H 'Content-Type: application/json' -d '{"name":"Wayne","email":"bruce@wayne.test"}'`),
    curl(origin, '/api/tenants', operator),
    curl(origin, '/api/products', operator, ` -H 'X-Tenant: globex'`),
    '',
  ]
}

/** One line that fetches its own token. */
function curl(origin: string, path: string, credentials: object | undefined, more = ''): string {
  const body = quoted(JSON.stringify(credentials))
  const login = `curl -sS ${origin}/auth/login -H 'Accept: text/plain' -H 'Content-Type: application/json' -d ${body}`
  return `curl -sS ${origin}${path} -H "Authorization: Bearer $(${login})"${more}`
}

/** A word for the shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
