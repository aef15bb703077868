/** What each tenant has for itself: its tables stand in its own schema or database. */
import { newId, tenantEntity } from 'mikro-tenantkit'

/** Who is billed. */
export const Customer = tenantEntity({
  name: 'Customer',
  history: true,
  properties: p => ({
    id: p
      .uuid()
      .primary()
      .onCreate(() => newId()),
    name: p.string().length(200),
    email: p.string().length(254),
  }),
})

/** A label of products. */
export const Tag = tenantEntity({
  name: 'Tag',
  uniques: [{ properties: 'name', where: { deletedAt: null } }],
  properties: p => ({
    id: p
      .uuid()
      .primary()
      .onCreate(() => newId()),
    name: p.string().length(60),
  }),
})

/** What is sold. Money is a decimal string, never a float. */
export const Product = tenantEntity({
  name: 'Product',
  history: true,
  uniques: [{ properties: 'sku', where: { deletedAt: null } }],
  properties: p => ({
    id: p
      .uuid()
      .primary()
      .onCreate(() => newId()),
    name: p.string().length(200),
    sku: p.string().length(60),
    price: p.decimal().precision(12).scale(2),
    tags: () => p.manyToMany(Tag),
  }),
})

/** A bill. Its total is kept, as the prices of products change. */
export const Invoice = tenantEntity({
  name: 'Invoice',
  history: true,
  uniques: [{ properties: 'number' }],
  indexes: [{ properties: 'customer' }],
  properties: p => ({
    id: p
      .uuid()
      .primary()
      .onCreate(() => newId()),
    number: p.string().length(40),
    status: p.string().length(20),
    currency: p.string().length(3),
    customer: () => p.manyToOne(Customer),
    total: p.decimal().precision(12).scale(2),
  }),
})

/** One position of a bill. */
export const InvoiceLine = tenantEntity({
  name: 'InvoiceLine',
  history: true,
  indexes: [{ properties: 'invoice' }, { properties: 'product' }],
  onSoftDelete: { invoice: 'cascade' },
  properties: p => ({
    id: p
      .uuid()
      .primary()
      .onCreate(() => newId()),
    invoice: () => p.manyToOne(Invoice),
    product: () => p.manyToOne(Product),
    position: p.integer(),
    quantity: p.integer(),
    unitPrice: p.decimal().precision(12).scale(2),
    total: p.decimal().precision(12).scale(2),
  }),
})
