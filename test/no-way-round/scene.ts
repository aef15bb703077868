/** Four tenants with the same ids, and what a run in one of them gives into the hands of an application. */
import { wrap, type EntityManager } from '@mikro-orm/postgresql'
import { em, type Actor } from 'mikro-tenantkit'
import { testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'
import { Author, Book, Tag, entities } from './entities.ts'
import { Places, slugs, type Slug } from './places.ts'

export const actor: Actor = { plane: 'tenant', id: 'ada', label: 'ada@test', permissions: new Set(['data:read', 'data:write']) }

/** The tenancy and the places of one test file. */
export interface Stage extends AsyncDisposable {
  readonly kit: TestTenancy
  readonly places: Places
  run<T>(slug: Slug, work: () => Promise<T>): Promise<T>
}

export async function openStage(): Promise<Stage> {
  const kit = await testTenancy({ entities })
  await twoTenants(kit)
  await kit.asSystem(async () => {
    await kit.tenancy.provision({ slug: 'initech', name: 'Initech', isolation: 'schema' })
    await kit.tenancy.provision({ slug: 'hooli', name: 'Hooli', isolation: 'database' })
  })
  const places = new Places(kit)
  await places.open()
  const records = new Map(await Promise.all(slugs.map(async slug => [slug, (await kit.tenancy.find(slug))!] as const)))
  return {
    kit,
    places,
    run: (slug, work) => kit.tenancy.runInTenant(records.get(slug)!, work, { actor }),
    [Symbol.asyncDispose]: async () => {
      await places.close()
      await kit[Symbol.asyncDispose]()
    },
  }
}

const SEEDED = new Date('2026-01-01')

export type Scene = ReturnType<typeof sceneOf>

/** What the tests hold in a tenant: an EntityManager and entities, collections, references and builders that came from it. */
export function sceneOf(slug: Slug, manager: EntityManager = em()) {
  // Mapped from rows as the database has them, so that a scene costs no query.
  const row = (id: number) => ({
    id,
    mark: `row of ${slug}`,
    created_at: SEEDED,
    created_by: 'seed',
    updated_at: SEEDED,
    updated_by: 'seed',
  })
  const book = manager.map(Book, { ...row(1), author_id: 1 } as never)
  const author = manager.map(Author, { ...row(2), version: 1 } as never)
  return {
    slug,
    em: manager,
    author,
    book,
    tag: manager.map(Tag, row(2) as never),
    /** Not initialised. */
    books: author.books,
    tags: book.tags,
    reference: book.author as any,
    bio: author.bio as any,
    wrapped: wrap(author, true) as any,
    builder: () => manager.createQueryBuilder(Author, 'a') as any,
    kept: manager.createQueryBuilder(Author, 'a') as any,
    keptBook: manager.createQueryBuilder(Book, 'b') as any,
    repository: manager.getRepository(Author) as any,
    uow: manager.getUnitOfWork(),
    driver: manager.getDriver() as any,
    connection: manager.getConnection() as any,
    kysely: manager.getKysely() as any,
    native: manager.createQueryBuilder(Author, 'a').getNativeQuery() as any,
  }
}
