/** People: operators in the control plane, local users in each tenant. The same email may be two different people in two tenants. */
import { bothEntity, newId } from 'mikro-tenantkit'

/** `User.shared` is an operator, `User.tenant` a user of one tenant. */
export const User = bothEntity({
  name: 'User',
  history: true,
  // "user" is a reserved word of SQL.
  tableName: 'users',
  uniques: [{ properties: 'email', where: { deletedAt: null } }],
  properties: p => ({
    id: p
      .uuid()
      .primary()
      .onCreate(() => newId()),
    email: p.string().length(254),
    name: p.string().length(200),
    role: p.string().length(20),
    passwordHash: p.string().length(500).hidden(),
  }),
})
