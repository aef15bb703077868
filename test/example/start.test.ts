import { exec, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { assert } from 'chai'
import { generateKey } from '../../src/crypto/key-ring.ts'
import { removeEmbedded, startEmbedded } from '../../src/embedded/start-embedded.ts'
import { query } from '../helpers/postgres.ts'

const root = join(import.meta.dirname, '../..')
const run = promisify(exec)

/** The example in a process of its own. */
interface Example {
  readonly child: ChildProcess
  readonly origin: string
  readonly output: () => string
}

describe('example: start', function () {
  this.timeout(60_000)
  let folder: string
  let dataDir: string
  let example: Example
  const secrets = (): Record<string, string> => JSON.parse(readFileSync(join(dataDir, 'secrets.json'), 'utf8')) as Record<string, string>

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), `tenantkit-test-${process.pid}-`))
    // The server's user has to pass through when the tests run as root.
    chmodSync(folder, 0o711)
    dataDir = join(folder, '.data')
    example = await start(dataDir)
  })
  after(async () => {
    // A child that is about to die still counts as a user of the server.
    if (example?.child.exitCode === null && example.child.kill('SIGKILL')) await once(example.child, 'exit')
    await removeEmbedded({ dataDir })
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
  })

  const call = async (method: string, path: string, token: string, body?: unknown, headers: Record<string, string> = {}) => {
    const content = body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
    const answer = await fetch(example.origin + path, {
      method,
      ...content,
      headers: { ...content.headers, authorization: `Bearer ${token}`, ...headers },
    })
    return { status: answer.status, json: (await answer.json()) as Record<string, unknown> }
  }
  const token = async (email: string, password: string | undefined, tenant?: string): Promise<string> => {
    const answer = await fetch(`${example.origin}/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email, password, tenant }),
    })
    assert.strictEqual(answer.status, 200)
    return ((await answer.json()) as { token: string }).token
  }
  const operator = (): Promise<string> => token('operator@example.test', secrets()['adminPassword'])
  const ada = (): Promise<string> => token('ada@acme.test', secrets()['demoPassword'], 'acme')
  const grace = (): Promise<string> => token('grace@globex.test', secrets()['demoPassword'], 'globex')

  it('keeps generated secrets for the owner alone', () => assert.strictEqual(statSync(join(dataDir, 'secrets.json')).mode & 0o777, 0o600))

  it('prints lines that work as they are', async () => {
    const lines = example
      .output()
      .split('\n')
      .filter(line => line.startsWith('curl '))
    assert.isAtLeast(lines.length, 3)
    for (const line of lines) {
      const { stdout } = await run(`${line} -w '\\n%{http_code}'`)
      assert.match(stdout, /\n2\d\d$/, line)
      assert.notMatch(line, /eyJ/)
    }
  })

  it('has data in both tenants', async () => {
    for (const each of [await ada(), await grace()])
      for (const path of ['customers', 'products', 'invoices']) {
        const { status, json } = await call('GET', `/api/${path}`, each)
        assert.strictEqual(status, 200)
        assert.isNotEmpty(json['items'])
      }
  })

  it('shows plans to all, and announcements to whom they are for', async () => {
    const count = async (path: string, each: string): Promise<number> => ((await call('GET', path, each)).json['items'] as unknown[]).length
    assert.deepEqual(
      [await count('/api/plans', await ada()), await count('/api/plans', await grace()), await count('/api/plans', await operator())],
      [2, 2, 2],
    )
    assert.deepEqual([await count('/api/announcements', await ada()), await count('/api/announcements', await grace())], [2, 1])
  })

  it('bills exactly, and keeps tenants apart', async () => {
    const [mine, other] = [await ada(), await grace()]
    const product = (await call('POST', '/api/products', mine, { name: 'P', sku: 'EXACT', price: '0.1', tags: ['new', 'service'] })).json
    assert.include(product, { price: '0.10' })
    assert.deepEqual(product['tags'], ['new', 'service'])
    const customer = (await call('POST', '/api/customers', mine, { name: 'C', email: 'c@c.test' })).json
    const { status, json } = await call('POST', '/api/invoices', mine, {
      customer: customer['id'],
      lines: [{ product: product['id'], quantity: 3 }],
    })
    assert.strictEqual(status, 201)
    assert.strictEqual(json['total'], '0.30')
    for (const path of [
      `/api/products/${String(product['id'])}`,
      `/api/customers/${String(customer['id'])}`,
      `/api/invoices/${String(json['id'])}`,
    ]) {
      assert.strictEqual((await call('GET', path, mine)).status, 200)
      assert.strictEqual((await call('GET', path, other)).status, 404)
      assert.strictEqual((await call('DELETE', path, other)).status, 404)
    }
    const foreign = await call('POST', '/api/invoices', other, {
      customer: customer['id'],
      lines: [{ product: product['id'], quantity: 1 }],
    })
    assert.strictEqual(foreign.status, 400)
    const patched = await call('PATCH', `/api/invoices/${String(json['id'])}`, mine, { lines: [{ product: product['id'], quantity: 5 }] })
    assert.strictEqual(patched.json['total'], '0.50')
    assert.lengthOf(patched.json['lines'] as unknown[], 1)
  })

  it('deletes softly, restores, and writes down who did it', async () => {
    const mine = await ada()
    const global = await operator()
    const me = (await call('GET', '/api/me', mine)).json
    const boss = (await call('GET', '/api/me', global)).json
    const { id } = (await call('POST', '/api/customers', mine, { name: 'Soft', email: 's@s.test' })).json as { id: string }
    const path = `/api/customers/${id}`
    assert.strictEqual((await call('PATCH', path, global, { name: 'Softer' }, { 'x-tenant': 'acme' })).status, 200)
    assert.strictEqual((await call('DELETE', path, mine)).status, 200)
    for (const method of ['GET', 'DELETE']) assert.strictEqual((await call(method, path, mine)).status, 404)
    const server = await startEmbedded({ dataDir })
    try {
      const row = (await query(server.url, `select created_by, updated_by, deleted_by from tenant_acme.customer where id = '${id}'`))[0]
      assert.deepInclude(row, { created_by: me['actor'], deleted_by: me['actor'] })
      assert.strictEqual((await call('POST', `${path}/restore`, global, undefined, { 'x-tenant': 'acme' })).status, 200)
      const back = (await query(server.url, `select updated_by, deleted_by, deleted_at from tenant_acme.customer where id = '${id}'`))[0]
      assert.deepEqual(back, { updated_by: boss['actor'], deleted_by: null, deleted_at: null })
    } finally {
      await server.stop()
    }
    assert.strictEqual((await call('GET', path, mine)).status, 200)
  })

  it('keeps invoices whose customer and product were deleted', async () => {
    const mine = await grace()
    const { id: customer } = (await call('POST', '/api/customers', mine, { name: 'Gone', email: 'g@g.test' })).json as { id: string }
    const { id: product } = (await call('POST', '/api/products', mine, { name: 'Gone', sku: 'GONE', price: '2' })).json as { id: string }
    const { id } = (await call('POST', '/api/invoices', mine, { customer, lines: [{ product, quantity: 2 }] })).json as { id: string }
    assert.strictEqual((await call('DELETE', `/api/customers/${customer}`, mine)).status, 200)
    assert.strictEqual((await call('DELETE', `/api/products/${product}`, mine)).status, 200)
    const { status, json } = await call('GET', `/api/invoices/${id}`, mine)
    assert.strictEqual(status, 200)
    assert.include(json, { customer, total: '4.00' })
    assert.deepInclude((json['lines'] as object[])[0], { product, quantity: 2 })
    assert.strictEqual((await call('PATCH', `/api/invoices/${id}`, mine, { status: 'paid' })).status, 200)
    const again = (await call('POST', '/api/products', mine, { name: 'Again', sku: 'GONE', price: '3' })).json
    assert.include(again, { sku: 'GONE' })
    assert.strictEqual((await call('POST', `/api/products/${product}/restore`, mine)).status, 409)
  })

  it('deletes an invoice with its lines, and brings back those that went with it', async () => {
    const mine = await grace()
    const { id: customer } = (await call('POST', '/api/customers', mine, { name: 'L', email: 'l@l.test' })).json as { id: string }
    const { id: product } = (await call('POST', '/api/products', mine, { name: 'L', sku: 'LINES', price: '2' })).json as { id: string }
    const line = (quantity: number) => ({ product, quantity })
    const { id } = (await call('POST', '/api/invoices', mine, { customer, lines: [line(1), line(2)] })).json as { id: string }
    const path = `/api/invoices/${id}`
    const changed = await call('PATCH', path, mine, { lines: [line(3), line(4)] })
    assert.strictEqual((await call('DELETE', path, mine)).status, 200)
    const server = await startEmbedded({ dataDir })
    try {
      const url = Object.assign(new URL(server.url), { pathname: '/tenant_globex' }).href
      const sql = `select quantity, deleted_with from tenant.invoice_line where invoice_id = '${id}' order by quantity`
      assert.deepEqual(await query(url, sql), [
        { quantity: 1, deleted_with: null },
        { quantity: 2, deleted_with: null },
        { quantity: 3, deleted_with: `Invoice:${id}` },
        { quantity: 4, deleted_with: `Invoice:${id}` },
      ])
    } finally {
      await server.stop()
    }
    const restored = await call('POST', `${path}/restore`, mine)
    assert.strictEqual(restored.status, 200)
    const linesOf = ({ json }: { json: Record<string, unknown> }) =>
      (json['lines'] as Record<string, unknown>[]).map(({ id: own, quantity }) => ({ own, quantity }))
    assert.deepEqual(linesOf(await call('GET', path, mine)), linesOf(changed))
    assert.lengthOf(linesOf(restored), 2)
  })

  it('pages', async () => {
    const mine = await ada()
    const seen: string[] = []
    for (let cursor: unknown = ''; cursor !== null;) {
      const { json } = await call('GET', `/api/customers?limit=2${cursor === '' ? '' : `&cursor=${String(cursor)}`}`, mine)
      seen.push(...(json['items'] as { id: string }[]).map(({ id }) => id))
      cursor = json['next_cursor']
    }
    assert.isAtLeast(seen.length, 3)
    assert.strictEqual(new Set(seen).size, seen.length)
  })

  it('lets 32 clients wait', async () => {
    const both = [await ada(), await grace()]
    const answers = await Promise.all(Array.from({ length: 128 }, (_, i) => call('GET', '/api/invoices', both[i % 2] ?? '')))
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
  })

  it('shows metrics', async () => {
    const text = await (await fetch(`${example.origin}/metrics`)).text()
    assert.match(text, /http_requests_total\{method="GET",route="\/api\/customers",status="200"\} \d+/)
  })

  it('ends on SIGTERM, and finds its data again', async () => {
    const before = ((await call('GET', '/api/customers?limit=200', await ada())).json['items'] as unknown[]).length
    example.child.kill('SIGTERM')
    const [code] = (await once(example.child, 'exit')) as [number | null]
    assert.strictEqual(code, 0, example.output())
    example = await start(dataDir)
    assert.lengthOf((await call('GET', '/api/customers?limit=200', await ada())).json['items'] as unknown[], before)
  })

  it('refuses to start in production without secrets', async () => {
    const { code, output } = await ended({ NODE_ENV: 'production', TENANTKIT_DATA_DIR: join(folder, 'other') })
    assert.strictEqual(code, 1)
    assert.match(output, /TENANTKIT_ENCRYPTION_KEYS/)
    assert.match(output, /TENANTKIT_JWT_SECRET/)
    assert.notMatch(output, /\n\s+at /)
  })

  it('says so when its keys do not open what is stored', async () => {
    const { code, output } = await ended({ TENANTKIT_DATA_DIR: dataDir, TENANTKIT_ENCRYPTION_KEYS: generateKey() })
    assert.strictEqual(code, 1)
    assert.match(output, /do not open with the keys that are given/)
    assert.match(output, /TENANTKIT_ENCRYPTION_KEYS/)
    assert.notMatch(output, /\n\s+at /)
  })

  it('says so when the port is taken', async () => {
    const { code, output } = await ended({ TENANTKIT_DATA_DIR: dataDir, PORT: new URL(example.origin).port })
    assert.strictEqual(code, 1)
    assert.match(output, /cannot listen/)
  })

  describe('in production', () => {
    const env = (): Record<string, string> => {
      const { encryptionKeys = '', jwtSecret = '', adminPassword = '' } = secrets()
      return {
        NODE_ENV: 'production',
        TENANTKIT_ENCRYPTION_KEYS: encryptionKeys,
        TENANTKIT_JWT_SECRET: jwtSecret,
        TENANTKIT_ADMIN_PASSWORD: adminPassword,
      }
    }
    it('does not start on an old schema', async () => {
      const { code, output } = await ended({ ...env(), TENANTKIT_DATA_DIR: join(folder, 'fresh') })
      assert.strictEqual(code, 1)
      assert.match(output, /tenantkit migrate/)
      await removeEmbedded({ dataDir: join(folder, 'fresh') })
    })
    it('prints no password, and lines that work', async () => {
      const production = await start(dataDir, env())
      try {
        for (const secret of Object.values(secrets())) assert.notInclude(production.output(), secret)
        const lines = production
          .output()
          .split('\n')
          .filter(line => line.startsWith('curl '))
        assert.isAtLeast(lines.length, 3)
        for (const line of lines) assert.match((await run(`${line} -w '\\n%{http_code}'`)).stdout, /\n2\d\d$/)
      } finally {
        production.child.kill('SIGTERM')
        await once(production.child, 'exit')
      }
    })
  })
})

const EMPTY = {
  DATABASE_URL: '',
  DATABASE_DIRECT_URL: '',
  TENANTKIT_ENCRYPTION_KEYS: '',
  TENANTKIT_JWT_SECRET: '',
  TENANTKIT_ADMIN_PASSWORD: '',
}

function launch(env: Record<string, string>): { child: ChildProcess; output: () => string } {
  const child = spawn(process.execPath, ['example/main.ts'], {
    cwd: root,
    env: { ...process.env, ...EMPTY, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString('utf8')))
  return { child, output: () => text }
}

async function start(dataDir: string, env: Record<string, string> = {}): Promise<Example> {
  const port = await freePort()
  const launched = launch({ ...env, TENANTKIT_DATA_DIR: dataDir, PORT: String(port) })
  const origin = `http://127.0.0.1:${port}`
  for (;;) {
    if (launched.child.exitCode !== null) throw new Error(`The example ended:\n${launched.output()}`)
    const answer = await fetch(`${origin}/health/ready`).catch(() => undefined)
    if (answer?.status === 200) return { ...launched, origin }
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

async function ended(env: Record<string, string>): Promise<{ code: number | null; output: string }> {
  const { child, output } = launch(env)
  const [code] = (await once(child, 'exit')) as [number | null]
  return { code, output: output() }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
