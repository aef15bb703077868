/** The one place of configuration: the application, the tenantkit CLI and the stock mikro-orm CLI read it. */
import { defineTenancy, mikroOrmConfigs } from 'mikro-tenantkit'
import { encryptionKeys, places } from './example/configuration.ts'
import { databaseUrl, releaseDatabase } from './example/database.ts'
import { Announcement, Currency, Plan } from './example/entities/shared.ts'
import { Customer, Invoice, InvoiceLine, Product, Tag } from './example/entities/tenant.ts'
import { User } from './example/entities/user.ts'
import { createTenantAdmin } from './example/seed.ts'

/** The configuration of the example. */
export const options = defineTenancy({
  entities: [Plan, Currency, Announcement, Customer, Product, Tag, Invoice, InvoiceLine, User],
  // Asked for when it is needed: the embedded server boots then, or is attached to.
  database: { url: databaseUrl, directUrl: places().directUrl },
  keys: () => encryptionKeys(),
  migrations: { path: 'example/migrations' },
  bootstrapAdmin: createTenantAdmin,
  // The first page of /admin draws it.
  usage: { everyMinutes: 60 },
  close: releaseDatabase,
})

export default mikroOrmConfigs(options)
