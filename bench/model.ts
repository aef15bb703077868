/** The entities of the bench: one that is asked for, and more tables beside it. */
import { defineEntity, p } from '@mikro-orm/postgresql'
import { newId, tenantEntity, type EntityInput } from 'mikro-tenantkit'

const id = () =>
  p
    .uuid()
    .primary()
    .onCreate(() => newId())

const itemProperties = () => ({ id: id(), title: p.string(), amount: p.integer(), note: p.text().nullable() })

/** What requests ask for. */
export const Item = tenantEntity({ name: 'Item', properties: itemProperties(), indexes: [{ properties: ['title'] }] })

/** The same table for an application without tenants: the same columns, MikroORM's own definition. */
export const PlainItem = defineEntity({
  name: 'Item',
  properties: {
    ...itemProperties(),
    createdAt: p.datetime(3),
    createdBy: p.string(),
    updatedAt: p.datetime(3),
    updatedBy: p.string(),
    deletedAt: p.datetime(3).nullable(),
    deletedBy: p.string().nullable(),
  },
  indexes: [{ properties: ['title'] }],
})

const part = (name: string) =>
  tenantEntity({
    name,
    properties: { id: id(), label: p.string(), quantity: p.integer(), price: p.decimal(), item: () => p.manyToOne(Item).nullable() },
    indexes: [{ properties: ['label'] }],
  })

/** What refers to an item. */
export const Part = part('Part')

/** As many tables as asked for, at least {@link Item} and {@link Part}; the others are like the second. */
export function tables(count: number): readonly EntityInput[] {
  return [Item, Part, ...Array.from({ length: count - 2 }, (_, index) => part(`Part${index + 3}`))]
}

/** How many rows each table of items has. */
export const ITEMS = 100

/** The id of an item by its number, from 0; the same in every tenant. */
export function itemId(number: number): string {
  return `00000000-0000-7000-8000-${number.toString(16).padStart(12, '0')}`
}

/** Fills a table of items; `table` is quoted already. */
export function fillSql(table: string): string {
  return `insert into ${table} (id, title, amount, note, created_at, created_by, updated_at, updated_by)
    select ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'An item of which there are several, number ' || n, n, null,
      now(), 'system:bench', now(), 'system:bench' from generate_series(0, ${ITEMS - 1}) n;
    analyze ${table}`
}
