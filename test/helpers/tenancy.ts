/** A small model and a tenancy on a database of its own, for the tests of isolation and of a tenant's life. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { p } from '@mikro-orm/postgresql'
import {
  bothEntity,
  createTenancy,
  defineTenancy,
  generateKey,
  newId,
  sharedEntity,
  tenantEntity,
  type Actor,
  type Tenancy,
  type TenancyOptions,
} from 'mikro-tenantkit'
import { databaseOptions, dropRolesLike, freshDatabase, uniquePrefix } from './postgres.ts'

const id = () =>
  p
    .uuid()
    .primary()
    .onCreate(() => newId())

export const Country = sharedEntity({ name: 'Country', properties: { id: id(), code: p.string() } })
export const Notice = sharedEntity({ name: 'Notice', properties: { id: id(), text: p.string() }, visibleTo: 'allowedTenants' })
export const Author = tenantEntity({
  name: 'Author',
  properties: {
    id: id(),
    name: p.string(),
    country: () => p.manyToOne(Country).nullable(),
    books: () => p.oneToMany(Book).mappedBy('author'),
  },
})
export const Book = tenantEntity({
  name: 'Book',
  properties: { id: id(), title: p.string(), author: () => p.manyToOne(Author).nullable(), tags: () => p.manyToMany(Tag) },
})
export const Tag = tenantEntity({ name: 'Tag', properties: { id: id(), label: p.string() } })
export const Person = bothEntity({ name: 'Person', properties: { id: id(), email: p.string() } })

export const entities = [Country, Notice, Author, Book, Tag, Person]
export const operator: Actor = {
  plane: 'global',
  id: 'operator-1',
  label: 'operator@example.test',
  permissions: new Set(['tenants:read', 'tenants:write', 'tenants:purge', 'tenants:enter', 'operations:run', 'data:read', 'data:write']),
}
export const ada: Actor = { plane: 'tenant', id: 'ada', label: 'ada@acme.test', permissions: new Set(['data:read', 'data:write']) }

export interface TestTenancy extends AsyncDisposable {
  readonly tenancy: Tenancy
  readonly options: TenancyOptions
  readonly url: string
  readonly prefix: string
  /** Runs work as a system job. */
  asSystem<T>(work: () => Promise<T>): Promise<T>
}

/** A tenancy with its migrations written and applied. Dispose it: it drops its database, the tenants' databases and roles. */
export async function testTenancy(extra: Partial<TenancyOptions> = {}): Promise<TestTenancy> {
  const database = await freshDatabase('tenancy')
  const prefix = uniquePrefix()
  // Inside the package, so that the files find it by its public name.
  const scratch = join(import.meta.dirname, '..', '.scratch')
  await mkdir(scratch, { recursive: true })
  const path = await mkdtemp(join(scratch, 'migrations-'))
  const options = defineTenancy({
    entities,
    database: databaseOptions(database.url),
    keys: generateKey('test'),
    naming: { prefix },
    migrations: { path },
    // The whole suite holds in strict mode too: TENANTKIT_TEST_STRICT=1 npm test
    isolation: { strict: process.env['TENANTKIT_TEST_STRICT'] === '1' },
    ...extra,
  })
  const tenancy = await createTenancy(options)
  await tenancy.createMigration('shared', 'initial')
  await tenancy.createMigration('tenant', 'initial')
  await tenancy.migrate()
  return {
    tenancy,
    options,
    url: database.url,
    prefix,
    asSystem: work => tenancy.runAsSystem('test', work),
    [Symbol.asyncDispose]: async () => {
      await tenancy.close()
      // Roles last: what they may do in the database goes with it.
      await database.drop()
      await dropRolesLike(prefix)
      await rm(path, { recursive: true, force: true })
    },
  }
}

/** `acme` by schema and `globex` by database. */
export async function twoTenants(kit: TestTenancy): Promise<void> {
  await kit.asSystem(async () => {
    await kit.tenancy.provision({ slug: 'acme', name: 'Acme', isolation: 'schema' })
    await kit.tenancy.provision({ slug: 'globex', name: 'Globex', isolation: 'database' })
  })
}
