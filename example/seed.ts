/** What a new installation begins with. Everything here can run again: what is there stays as it is. */
import {
  ConfigurationError,
  ConflictError,
  OperationConflictError,
  controlEm,
  em,
  hashPassword,
  newId,
  verifyPassword,
} from 'mikro-tenantkit'
import type { Tenancy, TenantRef } from 'mikro-tenantkit'
import type { Configuration } from './configuration.ts'
import { Announcement, Currency, Plan } from './entities/shared.ts'
import { Customer, Invoice, InvoiceLine, Product, Tag } from './entities/tenant.ts'
import { User } from './entities/user.ts'
import { amountOf, centsOf } from './money.ts'

/** The demo tenants, and who administers them. */
export const DEMO = Object.freeze([
  { slug: 'acme', name: 'Acme', isolation: 'schema', email: 'ada@acme.test', person: 'Ada' },
  { slug: 'globex', name: 'Globex', isolation: 'database', email: 'grace@globex.test', person: 'Grace' },
] as const)

/** Makes the first administrator of a tenant, inside it. @throws CONFLICT when there is such a user */
export async function createTenantAdmin({ email, password }: { tenant: TenantRef; email: string; password: string }): Promise<void> {
  const address = email.trim().toLowerCase()
  if ((await em().findOne(User.tenant, { email: address })) !== null) throw new ConflictError('The tenant has a user with this email.')
  const passwordHash = await hashPassword(password)
  em().persist(em().create(User.tenant, { email: address, name: address.split('@')[0] ?? address, role: 'admin', passwordHash }))
  await em().flush()
}

/** Makes the global operator when there is none with this email. Outside production the password is the one that the start prints. */
export async function seedOperator(tenancy: Tenancy, { adminEmail, adminPassword, isProduction }: Configuration): Promise<void> {
  await tenancy.runAsSystem('seed', async () => {
    const control = controlEm()
    const operator = await control.findOne(User.shared, { email: adminEmail })
    if (operator !== null) {
      if (!isProduction && adminPassword !== undefined) await setPassword(operator, adminPassword)
      return control.flush()
    }
    if (adminPassword === undefined)
      throw new ConfigurationError(
        [`TENANTKIT_ADMIN_PASSWORD is not set, and there is no operator ${adminEmail} yet.`],
        'Set it for the first start.',
      )
    const passwordHash = await hashPassword(adminPassword)
    control.persist(control.create(User.shared, { email: adminEmail, name: 'Operator', role: 'owner', passwordHash }))
    await control.flush()
  })
}

/** Makes the demo data: shared rows, two tenants, their users and their business. */
export async function seedDemo(tenancy: Tenancy, password: string): Promise<void> {
  await tenancy.runAsSystem('seed', seedShared)
  for (const { slug, name, isolation, email, person } of DEMO) {
    const before = await tenancy.find(slug)
    if (before === undefined) await tenancy.runAsSystem('seed', () => tenancy.provision({ slug, name, isolation }))
    else if (UNFINISHED.has(before.status)) await tenancy.runAsSystem('seed', () => tenancy.operate(slug, 'provision')).catch(unlessBusy)
    const tenant = await tenancy.find(slug)
    // An operator may have suspended it, or archived it: that is his decision.
    if (tenant?.status !== 'ready') continue
    await tenancy.runInTenant(tenant, () => seedTenant(slug, email, person, password), { actor: SEED })
  }
  await tenancy.runAsSystem('seed', () => seedAnnouncements(tenancy))
}

/** Another process is at it right now. */
function unlessBusy(error: unknown): void {
  if (!(error instanceof OperationConflictError)) throw error
}

/** An earlier start was stopped, or failed, in the middle. */
const UNFINISHED: ReadonlySet<string> = new Set(['pending', 'provisioning', 'failed'])
const SEED = Object.freeze({ plane: 'system', id: 'seed', label: 'seed' } as const)

async function seedShared(): Promise<void> {
  const control = controlEm()
  if ((await control.count(Plan)) === 0) {
    const plans = [
      { code: 'starter', name: 'Starter', pricePerMonth: '19.00' },
      { code: 'business', name: 'Business', pricePerMonth: '99.00' },
    ]
    control.persist(plans.map(plan => control.create(Plan, plan)))
  }
  if ((await control.count(Currency)) === 0) {
    const currencies = [
      { code: 'EUR', name: 'Euro' },
      { code: 'USD', name: 'US dollar' },
    ]
    control.persist(currencies.map(currency => control.create(Currency, currency)))
  }
  await control.flush()
}

async function seedAnnouncements(tenancy: Tenancy): Promise<void> {
  const control = controlEm()
  if ((await control.count(Announcement)) > 0) return
  const acme = await tenancy.find('acme')
  // The property of visibleTo is added to the entity; the types do not know it.
  const all = { title: 'Welcome', body: 'Everyone reads this.', allowedTenants: [] }
  control.persist(control.create(Announcement, all as never))
  if (acme !== undefined)
    control.persist(
      control.create(Announcement, { title: 'For Acme', body: 'Only Acme reads this.', allowedTenants: [acme.ref.id] } as never),
    )
  await control.flush()
}

/** Stores the password unless it is stored: it may be another one since the last start. */
async function setPassword(user: { passwordHash: string }, password: string): Promise<void> {
  if (!(await verifyPassword(password, user.passwordHash))) user.passwordHash = await hashPassword(password)
}

async function seedTenant(slug: string, email: string, name: string, password: string): Promise<void> {
  const user = await em().findOne(User.tenant, { email })
  if (user === null) em().persist(em().create(User.tenant, { email, name, role: 'admin', passwordHash: await hashPassword(password) }))
  else await setPassword(user, password)
  await em().flush()
  if ((await em().count(Customer)) > 0) return
  const tag = em().create(Tag, { name: 'service' })
  const customers = ['Initech', 'Umbrella', 'Stark'].map(title =>
    em().create(Customer, { name: `${title} (${slug})`, email: `billing@${title.toLowerCase()}.test` }),
  )
  const products = [
    em().create(Product, { name: 'Consulting, one hour', sku: 'CONS-1H', price: '120.00' }),
    em().create(Product, { name: 'Hosting, one month', sku: 'HOST-1M', price: '29.90' }),
  ]
  for (const product of products) product.tags.add(tag)
  em().persist([tag, ...customers, ...products])
  for (const [index, customer] of customers.entries()) {
    const invoice = em().create(Invoice, {
      number: `DEMO-${index + 1}`,
      status: 'sent',
      currency: 'EUR',
      customer,
      total: '0.00',
      id: newId(),
    })
    em().persist(invoice)
    let total = 0n
    for (const [at, product] of products.entries()) {
      const quantity = index + at + 1
      const cents = centsOf(product.price) * BigInt(quantity)
      total += cents
      const line = { invoice, product, position: at + 1, quantity, unitPrice: product.price, total: amountOf(cents) }
      em().persist(em().create(InvoiceLine, line))
    }
    invoice.total = amountOf(total)
  }
  await em().flush()
}
