/** A process of its own for the back office: how long it takes to start, what a page of a list costs, and what goes over the wire. */
import { once } from 'node:events'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import Koa from 'koa'
import { createTenancy, em, hashPassword, permissionsOf, type Tenancy } from 'mikro-tenantkit'
import { optionsOf, type FleetPlan } from './fleet.ts'
import { LoadGenerator, requestOf } from './harness/load.ts'
import { alternate, timed } from './harness/rounds.ts'
import { Item } from './model.ts'

/** What the process is asked to do; it answers once, and ends. */
export type PanelTask =
  | { readonly do: 'import adminjs' }
  | { readonly do: 'start the panel'; readonly plan: FleetPlan }
  | { readonly do: 'list'; readonly plan: FleetPlan; readonly slug: string; readonly rounds: number; readonly perRound: number }

/** How long a start took, in milliseconds of the clock and of the processor. */
export interface Started {
  readonly ms: number
  readonly cpu: number
}

/** Milliseconds for each page through the panel and by the ORM alone, and the bytes of a first visit. */
export interface Listed {
  readonly pairs: readonly { readonly a: number; readonly b: number }[]
  readonly total: number
  readonly wire: Readonly<Record<string, number>>
}

const EMAIL = 'ada@bench.test'
const PASSWORD = 'correct horse battery'
const PAGE = 50
const WARM_UP = 5

process.once('message', (task: PanelTask) => {
  void perform(task).then(answer => process.send!(answer, () => process.disconnect()))
})

async function perform(task: PanelTask): Promise<Started | Listed> {
  if (task.do === 'import adminjs') return started(() => import('adminjs'))
  const tenancy = await createTenancy(optionsOf(task.plan))
  try {
    if (task.do === 'list') return await list(tenancy, task)
    // The application and its tenancy are there without a panel, too.
    await tenancy.ping()
    const passwordHash = await hashPassword(PASSWORD)
    return await started(async () => (await panelOf(tenancy, passwordHash)).load())
  } finally {
    await tenancy.close()
  }
}

async function started(work: () => Promise<unknown>): Promise<Started> {
  const before = process.cpuUsage()
  const ms = await timed(work)
  const { user, system } = process.cpuUsage(before)
  return { ms, cpu: (user + system) / 1_000 }
}

async function panelOf(tenancy: Tenancy, passwordHash: string) {
  const { createAdminPanel } = await import('mikro-tenantkit/admin')
  const account = { id: 'ada', label: EMAIL, passwordHash, permissions: permissionsOf('tenant', 'admin') }
  return createAdminPanel(tenancy, {
    accounts: {
      byEmail: email => Promise.resolve(email === EMAIL ? account : undefined),
      byId: () => Promise.resolve(account),
      names: () => Promise.resolve(new Map()),
    },
  })
}

async function list(tenancy: Tenancy, { slug, rounds, perRound }: Extract<PanelTask, { do: 'list' }>): Promise<Listed> {
  const panel = await panelOf(tenancy, await hashPassword(PASSWORD))
  const server = new Koa({ proxy: false }).use(panel.middleware).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const { port } = server.address() as AddressInfo
    const visit = new Visit(port)
    await visit.page('/admin/login')
    await visit.logIn(slug)
    await visit.page(`/admin/t/${slug}`)
    await visit.get(`/admin/t/${slug}/api/dashboard`)
    using clients = await LoadGenerator.open(port, 1)
    const asked = requestOf(`/admin/t/${slug}/api/resources/Item/actions/list?perPage=${PAGE}&page=1&sortBy=title&direction=asc`, {
      cookie: visit.cookies(),
    })
    const panelPage = async () => JSON.parse(await clients.body(asked)) as { records: { id: string }[]; meta: { total: number } }
    const ormPage = () => tenancy.run(slug, () => em().findAndCount(Item, {}, { orderBy: { title: 'asc' }, limit: PAGE }))
    const [seen, [rows, total]] = [await panelPage(), await ormPage()]
    // Sides that answer differently cannot be compared.
    if (seen.meta.total !== total || seen.records.length !== PAGE || seen.records.some(({ id }, at) => id !== rows[at]!.id))
      throw new Error('The panel shows another page than the ORM finds.')
    const each = (work: () => Promise<unknown>) => async () => {
      const took = await timed(async () => {
        for (let times = 0; times < perRound; times++) await work()
      })
      return took / perRound
    }
    const sides = [each(panelPage), each(ormPage)]
    await alternate(WARM_UP, sides)
    const measured = await alternate(rounds, sides)
    return { pairs: measured.map(([a, b]) => ({ a: a!, b: b! })), total, wire: visit.wire }
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

/** A first visit, as a browser makes it: it counts what comes, as it comes. */
class Visit {
  readonly wire: Record<string, number> = { documents: 0, assets: 0 }
  readonly #port: number
  readonly #cookies = new Map<string, string>()
  readonly #assets = new Set<string>()

  constructor(port: number) {
    this.#port = port
  }

  cookies(): string {
    return [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ')
  }

  /** A page with all files that it names; a browser keeps them for the next one. */
  async page(path: string): Promise<void> {
    await this.get(path)
    const { text } = await this.#send('GET', path, { 'accept-encoding': 'identity' })
    for (const [, file = ''] of text.matchAll(/(?:src|href)="(\/admin\/frontend\/assets\/[^"]+)"/g)) {
      if (this.#assets.has(file)) continue
      this.#assets.add(file)
      const { bytes } = await this.#send('GET', file, { 'accept-encoding': 'gzip, deflate, br' })
      this.wire['assets']! += bytes
    }
  }

  async get(path: string): Promise<void> {
    const { bytes } = await this.#send('GET', path, { 'accept-encoding': 'gzip, deflate, br' })
    this.wire['documents']! += bytes
  }

  async logIn(tenant: string): Promise<void> {
    const { text } = await this.#send('GET', '/admin/login', { 'accept-encoding': 'identity' })
    const csrf = /"csrf":"([\w-]+)"/.exec(text)?.[1] ?? ''
    const body = new URLSearchParams({ _csrf: csrf, email: EMAIL, password: PASSWORD, tenant }).toString()
    const { status } = await this.#send('POST', '/admin/login', { 'content-type': 'application/x-www-form-urlencoded' }, body)
    if (status !== 303) throw new Error(`The log-in was answered with ${status}.`)
  }

  #send(method: string, path: string, headers: Readonly<Record<string, string>>, body?: string) {
    return new Promise<{ readonly status: number; readonly bytes: number; readonly text: string }>((resolve, reject) => {
      const sent = request(
        { port: this.#port, host: '127.0.0.1', path, method, headers: { ...headers, cookie: this.cookies() } },
        answer => {
          for (const cookie of answer.headers['set-cookie'] ?? []) {
            const [name = '', value = ''] = (cookie.split(';')[0] ?? '').split('=')
            this.#cookies.set(name, value)
          }
          const chunks: Buffer[] = []
          answer.on('data', (chunk: Buffer) => chunks.push(chunk))
          answer.on('error', reject)
          answer.on('end', () => {
            const whole = Buffer.concat(chunks)
            const status = answer.statusCode ?? 0
            if (status >= 400) reject(new Error(`${method} ${path} was answered with ${status}.`))
            else resolve({ status, bytes: whole.length + answer.rawHeaders.join('  \r\n').length, text: whole.toString('utf8') })
          })
        },
      )
      sent.on('error', reject)
      sent.end(body)
    })
  }
}
