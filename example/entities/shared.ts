/** What all tenants share: one table each, in the control plane. */
import { newId, sharedEntity } from 'mikro-tenantkit'

/** What a tenant can subscribe to. */
export const Plan = sharedEntity({
  name: 'Plan',
  uniques: [{ properties: 'code', where: { deletedAt: null } }],
  properties: p => ({
    id: p
      .uuid()
      .primary()
      .onCreate(() => newId()),
    code: p.string().length(40),
    name: p.string().length(200),
    pricePerMonth: p.decimal().precision(12).scale(2),
  }),
})

/** A currency of invoices. */
export const Currency = sharedEntity({
  name: 'Currency',
  uniques: [{ properties: 'code', where: { deletedAt: null } }],
  properties: p => ({
    id: p
      .uuid()
      .primary()
      .onCreate(() => newId()),
    code: p.string().length(3),
    name: p.string().length(100),
  }),
})

/** News for all tenants, or for those listed in `allowedTenants`. */
export const Announcement = sharedEntity({
  name: 'Announcement',
  visibleTo: 'allowedTenants',
  properties: p => ({
    id: p
      .uuid()
      .primary()
      .onCreate(() => newId()),
    title: p.string().length(200),
    body: p.text(),
  }),
})
