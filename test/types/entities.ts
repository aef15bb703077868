/**
 * What the entity wrappers infer. Nothing runs here: `npm run typecheck` fails when a type changes, and when a line that must not compile
 * does.
 */
import { p, type Collection, type EntityManager, type InferEntity, type Ref, type RequiredEntityData } from '@mikro-orm/postgresql'
import {
  bothEntity,
  defineTenancy,
  mikroOrmConfigs,
  newId,
  sharedEntity,
  tenantEntity,
  type OrmConfigFactory,
  type ProvisionInput,
  type Tenancy,
  type TenantJson,
} from 'mikro-tenantkit'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
/** Assignable, and not by being `any`: MikroORM brands what may be left out of `em.create`. */
type Is<A, B> = 0 extends 1 & A ? false : [A] extends [B] ? true : false
/** Compiles for `true` alone. */
function expectType<_T extends true>(): void {}

const id = () => p.uuid().primary().onCreate(() => newId()) // prettier-ignore
const Plan = sharedEntity({ name: 'Plan', properties: { id: id(), code: p.string(), seats: p.integer().nullable() } })
const Invoice = tenantEntity({
  name: 'Invoice',
  properties: {
    id: id(),
    number: p.string(),
    plan: () => p.manyToOne(Plan).nullable(),
    lines: () => p.oneToMany(Line).mappedBy('invoice'),
  },
  uniques: [{ properties: ['number'], where: { deletedAt: null } }],
  indexes: [{ properties: 'createdAt' }],
})
const Line = tenantEntity({ name: 'Line', properties: { id: id(), quantity: p.integer(), invoice: () => p.manyToOne(Invoice).ref() } })
const User = bothEntity({ name: 'User', properties: builder => ({ id: id(), email: builder.string(), age: builder.integer().nullable() }) })

type PlanRow = InferEntity<typeof Plan>
type InvoiceRow = InferEntity<typeof Invoice>
type LineRow = InferEntity<typeof Line>
type TenantUser = InferEntity<typeof User.tenant>
type SharedUser = InferEntity<typeof User.shared>

// The own properties.
expectType<Is<PlanRow['id'], string>>()
expectType<Equal<PlanRow['code'], string>>()
expectType<Equal<NonNullable<PlanRow['seats']>, number>>()
expectType<null extends PlanRow['seats'] ? true : false>()

// The six audit fields, in each wrapper.
expectType<Is<PlanRow['createdAt'], Date>>()
expectType<Is<InvoiceRow['updatedAt'], Date>>()
expectType<Is<TenantUser['createdBy'], string>>()
expectType<Is<SharedUser['updatedBy'], string>>()
expectType<Equal<NonNullable<InvoiceRow['deletedAt']>, Date>>()
expectType<null extends InvoiceRow['deletedBy'] ? true : false>()

// Relations.
expectType<Equal<NonNullable<InvoiceRow['plan']>['code'], string>>()
expectType<InvoiceRow['lines'] extends Collection<infer L, object> ? (L extends { quantity: number } ? true : false) : false>()
expectType<LineRow['invoice'] extends Ref<infer I> ? (I extends { number: string } ? true : false) : false>()

// Both halves of a pair have the same columns, and are two entities.
expectType<Equal<TenantUser['email'], string>>()
expectType<Equal<SharedUser['email'], string>>()
expectType<Equal<NonNullable<SharedUser['age']>, number>>()
expectType<Equal<(typeof User)['name'], 'User'>>()
expectType<Equal<(typeof User.shared.meta)['className'], (typeof User.tenant.meta)['className']>>()

/** What an application does with them. */
export async function uses(em: EntityManager, tenancy: Tenancy): Promise<void> {
  const invoice = await em.findOneOrFail(Invoice, { number: 'a', createdAt: { $gt: new Date() } }, { populate: ['plan', 'lines'] })
  invoice.createdAt.toISOString()
  for (const line of invoice.lines) line.quantity.toFixed()
  // The audit fields fill themselves.
  em.create(Invoice, { number: 'b' })
  em.create(User.tenant, { email: 'a@example.test' })
  em.create(User.shared, { email: 'a@example.test' })
  const made: RequiredEntityData<PlanRow> = { code: 'free' }
  em.create(Plan, made)
  const ran = await tenancy.run('acme', async () => em.count(Invoice))
  expectType<Equal<typeof ran, number>>()
  const tenant = await tenancy.provision({ slug: 'acme', name: 'Acme', isolation: 'schema' })
  expectType<Equal<typeof tenant, TenantJson>>()
  expectType<Equal<(typeof tenant)['connection_string'], null>>()

  // @ts-expect-error a property that does not exist
  void invoice.nothing
  // @ts-expect-error a Date is no string
  invoice.createdAt = 'today'
  // @ts-expect-error a required property is missing
  em.create(Invoice, {})
  // @ts-expect-error of the wrong type
  em.create(Invoice, { number: 7 })
  // @ts-expect-error an unknown property in a condition
  await em.find(Invoice, { nothing: 1 })
  // @ts-expect-error an unknown relation
  await em.find(Invoice, {}, { populate: ['author'] })
  // @ts-expect-error a pair is not an entity: one of its halves is
  await em.find(User, {})
  // @ts-expect-error an isolation that does not exist
  await tenancy.provision({ slug: 'acme', name: 'Acme', isolation: 'table' })
  // @ts-expect-error a name is needed
  const wrong: ProvisionInput = { slug: 'acme', isolation: 'schema' }
  // @ts-expect-error work is a function
  await tenancy.run('acme', 7)
  // @ts-expect-error a slug is fixed
  await tenancy.updateTenant('acme', { slug: 'other' })
  void wrong
}

/** What does not define an entity. */
export function definitions(): void {
  // @ts-expect-error the schema follows from the scope
  sharedEntity({ name: 'A', schema: 'other', properties: { id: id() } })
  // @ts-expect-error an index over a property that does not exist
  tenantEntity({ name: 'B', properties: { id: id() }, indexes: [{ properties: ['nothing'] }] })
  // @ts-expect-error only shared rows are shown to some tenants
  tenantEntity({ name: 'C', properties: { id: id() }, visibleTo: 'allowedTenants' })
  // @ts-expect-error a name is needed
  tenantEntity({ properties: { id: id() } })
}

/** What configures a tenancy. */
export function configurations(): OrmConfigFactory[] {
  const options = defineTenancy({
    entities: [Plan, Invoice, Line, User],
    database: { url: process.env['DATABASE_URL'] },
    keys: () => '',
    migrations: { path: 'migrations' },
    hooks: [{ name: 'log', provisioned: async ({ tenant }) => void tenant.slug.trim() }],
    seed: async tenant => void tenant.schema.trim(),
  })
  // @ts-expect-error entities are needed
  defineTenancy({ database: { url: '' }, keys: '', migrations: { path: '' } })
  // @ts-expect-error an event that does not exist
  defineTenancy({ ...options, hooks: [{ name: 'log', exploded: async () => undefined }] })
  // @ts-expect-error options are frozen
  options.keys = ''
  return mikroOrmConfigs(options)
}
