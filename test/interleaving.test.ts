/** Many tenants, many clients, many operations in turn: afterwards every row stands in its own tenant, and nothing is left in use. */
import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from 'chai'
import { currentTenant, em } from 'mikro-tenantkit'
import { databaseUrl, query } from './helpers/postgres.ts'
import { Author, Book, Tag, ada, testTenancy, type TestTenancy } from './helpers/tenancy.ts'

const SCHEMA_TENANTS = 14
const DATABASE_TENANTS = 6
const MAX_TENANTS = 3
const CLIENTS = 32
const OPERATIONS = 2_000

const slugs = Array.from({ length: SCHEMA_TENANTS + DATABASE_TENANTS }, (_, index) => `t-${String(index).padStart(2, '0')}`)
const byDatabase = (slug: string) => slugs.indexOf(slug) >= SCHEMA_TENANTS
const seed = Number(process.env['INTERLEAVING_SEED'] ?? Date.now() % 1_000_000)

/** https://github.com/cprosche/mulberry32 */
function random(start: number): () => number {
  let state = start
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

class Thrown extends Error {}

describe('interleaving', function () {
  this.timeout(60_000)
  let kit: TestTenancy

  before(async () => {
    kit = await testTenancy({ pool: { maxTenants: MAX_TENANTS, perTenant: 2, shared: 8, waitMs: 30_000 } })
    await kit.asSystem(async () => {
      for (const slug of slugs) {
        await kit.tenancy.provision({ slug, name: slug, isolation: byDatabase(slug) ? 'database' : 'schema' })
      }
    })
  })
  after(() => kit[Symbol.asyncDispose]())

  it(`${OPERATIONS} operations of ${CLIENTS} clients in ${slugs.length} tenants never mix`, async () => {
    const next = random(seed)
    const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)]!
    const pause = () => (next() < 0.5 ? sleep(next() * 3) : new Promise<void>(resolve => setImmediate(resolve)))
    const kept = new Map<string, number>(slugs.map(slug => [slug, 0]))
    const mine = (slug: string) => {
      assert.equal(currentTenant().slug, slug)
      return em()
    }
    const add = (slug: string, label: string) => {
      mine(slug).create(Tag, { label: `${slug}:${label}` })
      return em().flush()
    }
    const keep = (slug: string, count: number) => kept.set(slug, kept.get(slug)! + count)
    const onlyMine = (slug: string, rows: readonly { label: string }[]) => {
      for (const { label } of rows) assert.isTrue(label.startsWith(`${slug}:`), `${label} was read in ${slug}`)
    }

    const operations: Record<string, (slug: string) => Promise<void>> = {
      insert: async slug => {
        await add(slug, 'inserted')
        keep(slug, 1)
      },
      find: async slug => {
        onlyMine(slug, await mine(slug).find(Tag, {}))
        await pause()
        onlyMine(slug, await mine(slug).createQueryBuilder(Tag).limit(20).getResult())
      },
      update: async slug => {
        const [tag] = await mine(slug).find(Tag, {}, { limit: 1 })
        await pause()
        if (tag === undefined) return
        onlyMine(slug, [tag])
        tag.label = `${slug}:updated ${next()}`
        await em().flush()
      },
      related: async slug => {
        const author = mine(slug).create(Author, { name: `${slug}:author` })
        const book = em().create(Book, { title: `${slug}:book`, author })
        book.tags.add(em().create(Tag, { label: `${slug}:related` }))
        await pause()
        await em().flush()
        keep(slug, 1)
        const found = await em()
          .fork()
          .findOneOrFail(Book, { id: book.id }, { populate: ['author', 'tags'] })
        assert.equal(found.author?.name, `${slug}:author`)
        onlyMine(slug, await found.tags.matching({ where: {} }))
      },
      remove: async slug => {
        const tag = mine(slug).create(Tag, { label: `${slug}:removed` })
        await em().flush()
        keep(slug, 1)
        await pause()
        await em().remove(tag).flush()
      },
      rollback: async slug => {
        await mine(slug)
          .transactional(async () => {
            await add(slug, 'rolled back')
            await pause()
            throw new Thrown()
          })
          .catch((error: unknown) => assert.instanceOf(error, Thrown))
      },
      commit: async slug => {
        await mine(slug).transactional(async () => {
          await add(slug, 'in a transaction')
          await pause()
          onlyMine(slug, await mine(slug).find(Tag, {}, { limit: 5 }))
        })
        keep(slug, 1)
      },
      nested: async slug => {
        // By schema: whoever holds one of the few databases must not wait for another one.
        const other = pick(slugs.slice(0, SCHEMA_TENANTS))
        const outer = mine(slug)
        outer.create(Tag, { label: `${slug}:around a nested run` })
        await inTenant(other, async () => {
          await add(other, `nested in ${slug}`)
          await pause()
          onlyMine(other, await mine(other).find(Tag, {}, { limit: 5 }))
        })
        keep(other, 1)
        assert.equal(mine(slug), outer)
        await em().flush()
        keep(slug, 1)
      },
      throws: async slug => {
        mine(slug).create(Tag, { label: `${slug}:never flushed` })
        await pause()
        throw new Thrown()
      },
    }
    const inTenant = (slug: string, work: () => Promise<void>) => kit.tenancy.run(slug, work, { actor: ada })
    const failures: string[] = []
    let left = OPERATIONS
    const client = async () => {
      while (left-- > 0) {
        const slug = pick(slugs)
        const name = pick(Object.keys(operations))
        await inTenant(slug, () => operations[name]!(slug)).catch((error: unknown) => {
          if (!(error instanceof Thrown)) failures.push(`${name} in ${slug}: ${String(error)}`)
        })
      }
    }
    await Promise.all(Array.from({ length: CLIENTS }, client))

    const message = `seed ${seed} (INTERLEAVING_SEED)`
    assert.deepEqual(failures, [], message)
    const { leases, databases } = kit.tenancy.stats()
    assert.equal(leases, 0, message)
    assert.deepInclude(databases, { inUse: 0, waiting: 0 }, message)
    assert.isAtMost(databases.open, MAX_TENANTS, message)
    assert.isAbove(databases.evicted, 10, message)
    for (const slug of slugs) {
      const name = `${kit.prefix}_${slug.replaceAll('-', '_')}`
      const [url, schema] = byDatabase(slug) ? [databaseUrl(name), 'tenant'] : [kit.url, name]
      const [row] = await query<{ count: number; foreign: number; undone: number; lost: number }>(
        url,
        `select count(*)::int as count, count(*) filter (where not starts_with(label, $1))::int as foreign,
           count(*) filter (where label ~ 'rolled back|never flushed')::int as undone,
           (select count(*)::int from "${schema}".author where not starts_with(name, $1)) +
           (select count(*)::int from "${schema}".book where not starts_with(title, $1)) as lost
         from "${schema}".tag`,
        [`${slug}:`],
      )
      assert.deepEqual(row, { count: kept.get(slug)!, foreign: 0, undone: 0, lost: 0 }, `${slug}, ${message}`)
    }
  })
})
