/** The example application on a real server and a database of its own. */
import { request } from 'node:http'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createApp } from '../../example/app.ts'
import type { Configuration } from '../../example/configuration.ts'
import { createTenantAdmin, seedOperator } from '../../example/seed.ts'
import { options as exampleOptions } from '../../mikro-orm.config.ts'
import { createTokens } from '../../src/auth/tokens.ts'
import type { Tokens } from '../../src/auth/tokens.ts'
import { generateKey } from '../../src/crypto/key-ring.ts'
import { createTenancy } from '../../src/index.ts'
import type { Tenancy } from '../../src/tenancy.ts'
import { dropRolesLike, freshDatabase, query, serverUrl, uniquePrefix } from '../helpers/postgres.ts'

export const SECRET = 'a secret of the tests that has more than 32 bytes'
export const PASSWORD = 'correct horse battery'
export const OPERATOR = 'operator@example.test'
export const ADMIN = 'admin@tenant.test'

/** An answer, read to the end. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  readonly json: Record<string, unknown>
}

/** What a call sends beside method and path. */
export interface Call {
  readonly token?: string | undefined
  readonly tenant?: string | string[]
  readonly headers?: Readonly<Record<string, string | string[]>>
  /** Sent as JSON. */
  readonly body?: unknown
  /** Sent as it is, as JSON by its type. */
  readonly raw?: string | Buffer
}

export interface Harness extends AsyncDisposable {
  readonly tenancy: Tenancy
  readonly tokens: Tokens
  readonly databaseUrl: string
  readonly logged: string[]
  call(method: string, path: string, call?: Call): Promise<Answer>
  /** Logs in and gives the token. */
  token(email: string, tenant?: string): Promise<string>
  asSystem<T>(work: () => Promise<T>): Promise<T>
}

/** Starts it, with the tenants of these slugs, each with the administrator {@link ADMIN}. */
export async function startHarness(label: string, tenants: Readonly<Record<string, 'schema' | 'database'>>): Promise<Harness> {
  const database = await freshDatabase(label)
  const prefix = uniquePrefix()
  const tenancy = await createTenancy({
    ...exampleOptions,
    database: { url: database.url },
    keys: generateKey(),
    naming: { prefix },
  })
  const asSystem = <T>(work: () => Promise<T>): Promise<T> => tenancy.runAsSystem('test', work)
  await tenancy.migrate({ scope: 'shared' })
  await seedOperator(tenancy, { adminEmail: OPERATOR, adminPassword: PASSWORD } as Configuration)
  for (const [slug, isolation] of Object.entries(tenants)) {
    await asSystem(() => tenancy.provision({ slug, name: slug, isolation }))
    const admin = { email: ADMIN, password: PASSWORD }
    await tenancy.run(slug, async () => createTenantAdmin({ tenant: (await tenancy.find(slug))!.ref, ...admin }), { actor: TEST })
  }
  const logged: string[] = []
  const write = (facts: object, message: string): void => void logged.push(JSON.stringify({ message, ...facts }))
  const server = createApp(tenancy, { jwtSecret: SECRET, log: { info: write, error: write } }).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const call = (method: string, path: string, given: Call = {}): Promise<Answer> => send(server, method, path, given)
  return {
    tenancy,
    tokens: createTokens({ secret: SECRET, issuer: 'tenantkit-example', audience: 'tenantkit-example-api' }),
    databaseUrl: database.url,
    logged,
    call,
    asSystem,
    async token(email, tenant) {
      const { json } = await call('POST', '/auth/login', {
        body: { email, password: PASSWORD, ...(tenant === undefined ? {} : { tenant }) },
      })
      return String(json['token'])
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
      await tenancy.close()
      await database.drop()
      // PostgreSQL does not drop a template.
      const templates = await query<{ name: string }>(
        serverUrl(),
        'select datname as name from pg_database where datistemplate and starts_with(datname, $1)',
        [prefix],
      )
      for (const { name } of templates) await query(serverUrl(), `alter database "${name}" is_template false`)
      await dropRolesLike(prefix)
    },
  }
}

const TEST = { plane: 'system', id: 'test', label: 'test' } as const

/** Not fetch: it cannot repeat a header. */
function send(server: Server, method: string, path: string, { token, tenant, headers, body, raw }: Call): Promise<Answer> {
  const payload = raw ?? (body === undefined ? undefined : JSON.stringify(body))
  const { port } = server.address() as AddressInfo
  const all = {
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(tenant === undefined ? {} : { 'x-tenant': tenant }),
    ...(payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(payload)) }),
    ...headers,
  }
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, method, path, headers: all, agent: false }, response => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8')
        const isJson = /json/.test(response.headers['content-type'] ?? '')
        const json = isJson ? (JSON.parse(text) as Record<string, unknown>) : {}
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json })
      })
    })
    sent.on('error', reject)
    sent.end(payload)
  })
}
