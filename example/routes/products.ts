import type { InferEntity } from '@mikro-orm/postgresql'
import { em } from 'mikro-tenantkit'
import { parse } from 'mikro-tenantkit/koa'
import { z } from 'zod'
import { Product, Tag } from '../entities/tenant.ts'
import { PRICE, amountOf, centsOf } from '../money.ts'
import { auditJson } from './resource.ts'
import type { Resource } from './resource.ts'

const tag = z.string().trim().min(1).max(60)
const fields = {
  name: z.string().trim().min(1).max(200),
  sku: z.string().trim().min(1).max(60),
  price: z.string().regex(PRICE, 'must be a decimal string such as "12.50"'),
}
const created = z.strictObject({ ...fields, tags: z.array(tag).max(20).optional() })
const changed = created.partial()

/** `/api/products` */
export const products: Resource<InferEntity<typeof Product>> = {
  path: '/api/products',
  what: 'product',
  entity: Product,
  async create(body) {
    const { name, sku, price, tags } = parse(created, body)
    const row = em().create(Product, { name, sku, price: amountOf(centsOf(price)) })
    em().persist(row)
    if (tags !== undefined) row.tags.set(await tagsOf(tags))
    return row
  },
  async update(row, body) {
    const { name, sku, price, tags } = parse(changed, body)
    row.name = name ?? row.name
    row.sku = sku ?? row.sku
    if (price !== undefined) row.price = amountOf(centsOf(price))
    if (tags === undefined) return
    await row.tags.init()
    row.tags.set(await tagsOf(tags))
  },
  async toJson(rows) {
    await em().populate([...rows], ['tags'])
    return rows.map(row => {
      const tags = row.tags
        .getItems()
        .map(({ name }) => name)
        .sort()
      return { id: row.id, name: row.name, sku: row.sku, price: row.price, tags, ...auditJson(row) }
    })
  },
}

/** The tags of these names; new ones are made. */
async function tagsOf(names: readonly string[]): Promise<InferEntity<typeof Tag>[]> {
  const distinct = [...new Set(names)]
  const known = await em().find(Tag, { name: { $in: distinct } })
  const made = distinct.filter(name => !known.some(row => row.name === name)).map(name => em().create(Tag, { name }))
  em().persist(made)
  return [...known, ...made]
}
