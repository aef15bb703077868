/** A model with every policy, and tenancies over it: what the tests of audit and soft delete share. */
import { p, type EntityManager } from '@mikro-orm/postgresql'
import { controlEm, em, newId, sharedEntity, tenantEntity, type Actor } from 'mikro-tenantkit'
import { query } from '../helpers/postgres.ts'
import type { TestTenancy } from '../helpers/tenancy.ts'

const id = () =>
  p
    .uuid()
    .primary()
    .onCreate(() => newId())

export const Customer = tenantEntity({
  name: 'Customer',
  properties: {
    id: id(),
    name: p.string(),
    email: p.string().nullable(),
    note: p.string().nullable(),
    orders: () => p.oneToMany(Order).mappedBy('customer'),
    notes: () => p.oneToMany(Remark).mappedBy('customer').orphanRemoval(),
  },
  uniques: [{ name: 'customer_email_unique', properties: 'email' }],
  indexes: [{ name: 'customer_live', properties: 'id', live: true }],
})
export const Order = tenantEntity({
  name: 'Order',
  tableName: 'orders',
  properties: {
    id: id(),
    number: p.string(),
    version: p.integer().version(),
    customer: () => p.manyToOne(Customer),
    lines: () => p.oneToMany(Line).mappedBy('order'),
    tags: () => p.manyToMany(Label),
  },
  uniques: [{ name: 'order_number_unique', properties: 'number' }],
  onSoftDelete: { customer: 'cascade' },
})
export const Line = tenantEntity({
  name: 'Line',
  properties: {
    id: id(),
    quantity: p.integer(),
    order: () => p.manyToOne(Order),
    product: () => p.manyToOne(Product).nullable(),
  },
  onSoftDelete: { order: 'cascade', product: 'restrict' },
})
export const Product = tenantEntity({ name: 'Product', properties: { id: id(), name: p.string() } })
/** Its customer may be deleted without it. */
export const Remark = tenantEntity({
  name: 'Remark',
  properties: { id: id(), text: p.string(), customer: () => p.manyToOne(Customer).nullable() },
})
/** Its id is PostgreSQL's, so that it can be cloned. */
export const Label = tenantEntity({
  name: 'Label',
  properties: { id: p.uuid().primary().defaultRaw('gen_random_uuid()'), name: p.string() },
})
/** A tree. */
export const Folder = tenantEntity({
  name: 'Folder',
  properties: { id: id(), name: p.string(), parent: () => p.manyToOne(Folder).nullable() },
  onSoftDelete: { parent: 'cascade' },
})
/** Without audit, on purpose. */
export const Counter = tenantEntity({ name: 'Counter', audit: false, properties: { id: id(), value: p.integer() } })

/** In the control plane. */
export const Plan = sharedEntity({
  name: 'Plan',
  properties: { id: id(), code: p.string(), prices: () => p.oneToMany(Price).mappedBy('plan') },
  uniques: [{ name: 'plan_code_unique', properties: 'code' }],
})
export const Price = sharedEntity({
  name: 'Price',
  properties: { id: id(), amount: p.integer(), plan: () => p.manyToOne(Plan) },
  onSoftDelete: { plan: 'cascade' },
})

export const entities = [Customer, Order, Line, Product, Remark, Label, Folder, Counter, Plan, Price]

export const bob: Actor = { plane: 'tenant', id: 'bob', label: 'bob@acme.test', permissions: new Set(['data:read', 'data:write']) }
export const eve: Actor = { plane: 'tenant', id: 'eve', label: 'eve@acme.test', permissions: new Set(['data:read', 'data:write']) }

/** The six fields as they are stored, and the cascade. */
export interface Stored {
  readonly created_at: Date
  readonly created_by: string
  readonly updated_at: Date
  readonly updated_by: string
  readonly deleted_at: Date | null
  readonly deleted_by: string | null
  readonly deleted_with?: string | null
  readonly [column: string]: unknown
}

/** Where the same tests run: a schema tenant, a database tenant, the control plane. */
export interface Place {
  readonly name: string
  /** Runs work as an actor; `undefined` is nobody. */
  as<T>(actor: Actor | undefined, work: (manager: EntityManager) => Promise<T>): Promise<T>
  /** Plain SQL on a connection of its own; `%s` is the schema. */
  sql<Row extends Record<string, unknown>>(text: string, params?: readonly unknown[]): Promise<Row[]>
}

export function tenantPlace(kit: () => TestTenancy, slug: 'acme' | 'globex'): Place {
  return {
    name: slug === 'acme' ? 'a schema tenant' : 'a database tenant',
    as: (actor, work) => kit().tenancy.run(slug, () => work(em()), { actor }),
    sql: (text, params) => {
      const { url, prefix } = kit()
      const own = new URL(url)
      if (slug === 'globex') own.pathname = `/${prefix}_globex`
      return query(own.href, text.replaceAll('%s', slug === 'acme' ? `${prefix}_acme` : 'tenant'), params)
    },
  }
}

export function controlPlace(kit: () => TestTenancy): Place {
  return {
    name: 'the control plane',
    as: (actor, work) => kit().tenancy.runAsActor(actor!, () => work(controlEm())),
    sql: (text, params) => query(kit().url, text.replaceAll('%s', 'public'), params),
  }
}
