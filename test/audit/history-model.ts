/** A small model with a history, and what its tests share. */
import { p } from '@mikro-orm/postgresql'
import { AuditEvent, em, newId, sharedEntity, tenantEntity, type Actor } from 'mikro-tenantkit'
import { databaseUrl, query } from '../helpers/postgres.ts'
import { operator, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'

const id = () =>
  p
    .uuid()
    .primary()
    .onCreate(() => newId())

export const Rate = sharedEntity({ name: 'Rate', history: true, properties: { id: id(), code: p.string() } })
export const Label = tenantEntity({ name: 'Label', properties: { id: id(), text: p.string() } })
export const Order = tenantEntity({
  name: 'Order',
  tableName: 'orders',
  history: { redact: ['iban'] },
  properties: {
    id: id(),
    title: p.string(),
    amount: p.decimal().nullable(),
    due: p.datetime(3).nullable(),
    facts: p.json<Record<string, unknown>>().nullable(),
    pin: p.string().nullable().hidden(),
    iban: p.string().nullable(),
    parent: () => p.manyToOne(Order).nullable(),
    labels: () => p.manyToMany(Label),
  },
})

/** An event as it stands in the table. */
export interface StoredEvent extends Record<string, unknown> {
  readonly id: string
  readonly entity: string
  readonly entity_id: string | null
  readonly action: string
  readonly actor: string
  readonly request_id: string | null
  readonly changes: Record<string, [unknown, unknown]>
  readonly details: Record<string, unknown> | null
  readonly count: number
  readonly position: string | null
}

export interface HistoryKit {
  readonly kit: TestTenancy
  /** Where the tables of a tenant stand, or of the control plane. */
  placeOf(slug?: string): { readonly url: string; readonly schema: string }
  /** The events of an entity, oldest first, by plain SQL. */
  events(slug: string | undefined, entity: string): Promise<StoredEvent[]>
  sql(slug: string | undefined, statement: string): Promise<Record<string, unknown>[]>
  inside<T>(slug: string, work: () => Promise<T>, actor?: Actor): Promise<T>
  /** So many new orders, each in a transaction of its own. */
  orders(slug: string, count: number): Promise<void>
}

/** `acme` by schema, `globex` by database. */
export async function historyKit(): Promise<HistoryKit> {
  const kit = await testTenancy({ entities: [Rate, Label, Order] })
  await twoTenants(kit)
  const placeOf = (slug?: string) => {
    if (slug === undefined) return { url: kit.url, schema: 'public' }
    return slug === 'globex'
      ? { url: databaseUrl(`${kit.prefix}_globex`), schema: 'tenant' }
      : { url: kit.url, schema: `${kit.prefix}_${slug}` }
  }
  const sql = (slug: string | undefined, statement: string) => {
    const { url, schema } = placeOf(slug)
    return query(url, statement.replaceAll('@', `"${schema}".tenantkit_audit_`))
  }
  const inside = <T>(slug: string, work: () => Promise<T>, actor = operator) =>
    kit.tenancy.run(slug, work, { actor, requestId: 'request-1' })
  return {
    kit,
    placeOf,
    sql,
    inside,
    events: async (slug, entity) => (await sql(slug, `select * from @event where entity = '${entity}' order by id`)) as StoredEvent[],
    orders: (slug, count) =>
      inside(slug, async () => {
        for (let n = 0; n < count; n++) {
          em().create(Order, { title: `Order ${n}` })
          await em().flush()
        }
      }),
  }
}

export { AuditEvent }
