/** A back office on a real server: `acme` by schema and `globex` by database, people of every role, and an entity of every type. */
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import Koa from 'koa'
import { p, defineEntity } from '@mikro-orm/postgresql'
import { ConflictError, bothEntity, controlEm, em, hashPassword, newId, sharedEntity, tenantEntity } from 'mikro-tenantkit'
import type { Tenancy, TenancyOptions } from 'mikro-tenantkit'
import { accountsOf, createAdminPanel } from 'mikro-tenantkit/admin'
import type { AdminPanel, AdminPanelOptions } from 'mikro-tenantkit/admin'
import { testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'

const id = () =>
  p
    .uuid()
    .primary()
    .onCreate(() => newId())

export const Country = sharedEntity({ name: 'Country', properties: { id: id(), code: p.string().length(2), name: p.string().length(60) } })
export const Notice = sharedEntity({ name: 'Notice', properties: { id: id(), title: p.string().length(60) }, visibleTo: 'allowedTenants' })
const Address = defineEntity({ name: 'Address', embeddable: true, properties: { city: p.string().length(40), zip: p.string().nullable() } })
export const Person = bothEntity({
  name: 'Person',
  tableName: 'people',
  uniques: [{ properties: 'email', where: { deletedAt: null } }],
  properties: {
    id: id(),
    email: p.string().length(254),
    name: p.string().length(100),
    role: p.string().length(20),
    passwordHash: p.string().length(500).hidden(),
    lastLogInAt: p.datetime(3).nullable(),
  },
})
export const Tag = tenantEntity({ name: 'Tag', properties: { id: id(), name: p.string().length(40) } })
/** One property of every kind. */
export const Thing = tenantEntity({
  name: 'Thing',
  history: { redact: ['link'] },
  uniques: [{ properties: 'code', where: { deletedAt: null } }],
  properties: {
    id: id(),
    code: p.string().length(20),
    note: p.text().nullable(),
    color: p.enum(['red', 'green'] as const),
    facts: p.json<unknown>().nullable(),
    labels: p.array().nullable(),
    price: p.decimal().precision(30).scale(10).nullable(),
    big: p.bigint().nullable(),
    small: p.integer().nullable(),
    ratio: p.double().nullable(),
    isOpen: p.boolean().default(false),
    day: p.date().nullable(),
    moment: p.datetime(3).nullable(),
    clock: p.time().nullable(),
    link: p.uuid().nullable(),
    country: () => p.manyToOne(Country).nullable(),
    parent: () => p.manyToOne(Thing).nullable(),
    tags: () => p.manyToMany(Tag),
    address: () => p.embedded(Address).nullable(),
    secret: p.string().length(40).nullable().hidden(),
    version: p.integer().version(),
  },
})
export const entities = [Country, Notice, Address, Person, Tag, Thing]

export const PASSWORD = 'correct horse battery'
export const PEOPLE = {
  owner: { plane: 'global', role: 'owner' },
  operator: { plane: 'global', role: 'operator' },
  auditor: { plane: 'global', role: 'auditor' },
  admin: { plane: 'tenant', role: 'admin' },
  member: { plane: 'tenant', role: 'member' },
  viewer: { plane: 'tenant', role: 'viewer' },
} as const
export type Who = keyof typeof PEOPLE
export const emailOf = (who: Who): string => `${who}@example.test`

export interface World extends AsyncDisposable {
  readonly kit: TestTenancy
  readonly tenancy: Tenancy
  readonly panel: AdminPanel
  readonly origin: string
  readonly logged: string[]
  /** The same panel in another process: nothing of it is in memory yet. */
  restarted(): Promise<{ readonly origin: string; close(): Promise<void> }>
  inTenant<T>(slug: string, work: () => Promise<T>): Promise<T>
}

const TEST = { plane: 'system', id: 'test', label: 'test' } as const

/** Makes the first administrator of a tenant, inside it. */
async function bootstrapAdmin({ email, password }: { email: string; password: string }): Promise<void> {
  if ((await em().findOne(Person.tenant, { email })) !== null) throw new ConflictError('The tenant has a user with this email.')
  em().persist(em().create(Person.tenant, { email, name: email, role: 'admin', passwordHash: await hashPassword(password) }))
  await em().flush()
}

export async function startWorld(options: Partial<AdminPanelOptions> = {}, told: Partial<TenancyOptions> = {}): Promise<World> {
  const kit = await testTenancy({ entities, bootstrapAdmin, ...told })
  const { tenancy } = kit
  await twoTenants(kit)
  const passwordHash = await hashPassword(PASSWORD)
  const inTenant = <T>(slug: string, work: () => Promise<T>): Promise<T> => tenancy.run(slug, work, { actor: TEST })
  await kit.asSystem(async () => {
    const control = controlEm()
    for (const [who, { plane, role }] of Object.entries(PEOPLE))
      if (plane === 'global') control.persist(control.create(Person.shared, { email: emailOf(who as Who), name: who, role, passwordHash }))
    control.persist(control.create(Country, { code: 'PE', name: 'Peru' }))
    await control.flush()
  })
  for (const slug of ['acme', 'globex']) {
    await inTenant(slug, async () => {
      for (const [who, { plane, role }] of Object.entries(PEOPLE))
        if (plane === 'tenant')
          em().persist(em().create(Person.tenant, { email: emailOf(who as Who), name: `${who} of ${slug}`, role, passwordHash }))
      for (let at = 1; at <= 3; at++) em().persist(em().create(Thing, { code: `${slug}-${at}`, color: 'red', isOpen: true } as never))
      await em().flush()
    })
  }
  const logged: string[] = []
  const write = (facts: object, message: string): void => void logged.push(JSON.stringify({ message, ...facts }))
  const make = () => createAdminPanel(tenancy, { accounts: accountsOf(Person), log: { info: write, error: write }, ...options })
  const panel = make()
  const first = await serve(panel)
  return {
    kit,
    tenancy,
    panel,
    origin: first.origin,
    logged,
    inTenant,
    restarted: () => serve(make()),
    [Symbol.asyncDispose]: async () => {
      await first.close()
      await kit[Symbol.asyncDispose]()
    },
  }
}

async function serve(panel: AdminPanel): Promise<{ origin: string; close(): Promise<void> }> {
  // Behind a proxy that says so, a request came by TLS.
  const app = new Koa({ proxy: true })
  app.use(panel.middleware).use(ctx => void (ctx.body = 'the application'))
  app.silent = true
  const server: Server = app.listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
