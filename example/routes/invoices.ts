import type { InferEntity } from '@mikro-orm/postgresql'
import { ValidationFailedError, em, newId } from 'mikro-tenantkit'
import { parse, withoutAuditFields } from 'mikro-tenantkit/koa'
import { z } from 'zod'
import { Customer, Invoice, InvoiceLine, Product } from '../entities/tenant.ts'
import { MOST_CENTS, amountOf, centsOf } from '../money.ts'
import { auditJson } from './resource.ts'
import type { Resource } from './resource.ts'

const id = z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'must be an id')
const line = z.preprocess(withoutAuditFields, z.strictObject({ product: id, quantity: z.int().min(1).max(1_000_000) }))
const lines = z.array(line).min(1).max(200)
const status = z.enum(['draft', 'sent', 'paid', 'void'])
const currency = z.string().regex(/^[A-Z]{3}$/, 'must be a currency code such as EUR')
const created = z.strictObject({ customer: id, lines, currency: currency.optional(), status: status.optional() })
const changed = created.partial()

type InvoiceRow = InferEntity<typeof Invoice>
type Position = z.output<typeof line>

/** `/api/invoices` */
export const invoices: Resource<InvoiceRow> = {
  path: '/api/invoices',
  what: 'invoice',
  entity: Invoice,
  async create(body) {
    const input = parse(created, body)
    const customer = await customerOf(input.customer)
    const newest = newId()
    const number = `INV-${newest.replaceAll('-', '').slice(0, 12)}-${newest.slice(-6)}`.toUpperCase()
    const row = em().create(Invoice, {
      id: newest,
      number,
      status: input.status ?? 'draft',
      currency: input.currency ?? 'EUR',
      customer,
      total: '0.00',
    })
    em().persist(row)
    await setLines(row, input.lines)
    return row
  },
  async update(row, body) {
    const input = parse(changed, body)
    row.status = input.status ?? row.status
    row.currency = input.currency ?? row.currency
    if (input.customer !== undefined) row.customer = (await customerOf(input.customer)) as typeof row.customer
    if (input.lines === undefined) return
    for (const old of await em().find(InvoiceLine, { invoice: row.id })) em().remove(old)
    await setLines(row, input.lines)
  },
  async toJson(rows) {
    const all = await em().find(InvoiceLine, { invoice: { $in: rows.map(row => row.id) } }, { orderBy: { position: 'asc' } })
    return rows.map(row => ({
      id: row.id,
      number: row.number,
      status: row.status,
      currency: row.currency,
      customer: row.customer.id,
      total: row.total,
      lines: all.filter(({ invoice }) => invoice.id === row.id).map(lineJson),
      ...auditJson(row),
    }))
  },
}

function lineJson(row: InferEntity<typeof InvoiceLine>): object {
  return { id: row.id, product: row.product.id, quantity: row.quantity, unit_price: row.unitPrice, total: row.total }
}

async function customerOf(customer: string): Promise<InferEntity<typeof Customer>> {
  const row = await em().findOne(Customer, { id: customer })
  if (row === null) throw new ValidationFailedError([{ path: 'customer', message: 'no such customer' }])
  return row
}

/** Gives the invoice its lines, at the prices of today, and its total. */
async function setLines(invoice: InvoiceRow, positions: readonly Position[]): Promise<void> {
  const found = await em().find(Product, { id: { $in: positions.map(({ product }) => product) } })
  const byId = new Map(found.map(product => [product.id, product]))
  let total = 0n
  for (const [index, { product: productId, quantity }] of positions.entries()) {
    const product = byId.get(productId)
    if (product === undefined) throw new ValidationFailedError([{ path: `lines.${index}.product`, message: 'no such product' }])
    const cents = centsOf(product.price) * BigInt(quantity)
    total += cents
    if (total > MOST_CENTS) throw new ValidationFailedError([{ path: 'lines', message: 'come to more than an invoice can hold' }])
    const unitPrice = product.price
    em().persist(em().create(InvoiceLine, { invoice, product, position: index + 1, quantity, unitPrice, total: amountOf(cents) }))
  }
  invoice.total = amountOf(total)
}
