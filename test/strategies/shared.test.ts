import { assert } from 'chai'
import { SOFT_DELETE_FILTER, VISIBILITY_FILTER, controlEm, currentTenant, em, newId, type Actor } from 'mikro-tenantkit'
import { databaseUrl, query } from '../helpers/postgres.ts'
import { Author, Book, Country, Notice, Tag, ada, operator, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'

let kit: TestTenancy
let countryId: string

const inTenant = <T>(slug: string, work: () => Promise<T>, actor: Actor = ada) => kit.tenancy.run(slug, work, { actor })

const placeOf = (slug: string) =>
  slug === 'acme' ? { url: kit.url, schema: `${kit.prefix}_acme` } : { url: databaseUrl(`${kit.prefix}_${slug}`), schema: 'tenant' }

const rowsOf = (slug: string, table: string) => {
  const { url, schema } = placeOf(slug)
  return query(url, `select * from "${schema}"."${table}"`)
}

async function refusedWith(work: () => Promise<unknown>): Promise<{ code?: string; errors?: { path: string }[]; message: string }> {
  try {
    await work()
  } catch (error) {
    return error as { code?: string; message: string }
  }
  return assert.fail('nothing was refused')
}

describe('both isolations behave alike', () => {
  before(async () => {
    kit = await testTenancy()
    await twoTenants(kit)
    const ids = new Map<string, string>()
    for (const slug of ['acme', 'globex']) ids.set(slug, await inTenant(slug, async () => currentTenant().id))
    await kit.asSystem(async () => {
      const control = controlEm()
      countryId = control.create(Country, { code: 'FR' }).id
      for (const [text, allowedTenants] of [
        ['for all', []],
        ['for acme', [ids.get('acme')!]],
        ['for both', [...ids.values()]],
        ['for nobody', [newId()]],
      ] as const) {
        control.create(Notice, { text, allowedTenants: [...allowedTenants] })
      }
      await control.flush()
    })
    for (const slug of ['acme', 'globex']) {
      await inTenant(slug, async () => {
        em().create(Author, { name: 'first', country: countryId })
        await em().flush()
      })
    }
  })
  after(() => kit[Symbol.asyncDispose]())

  it('rows of a shared entity with visibleTo are seen by whom they are for', async () => {
    const texts = async (manager = em()) => (await manager.find(Notice, {}, { orderBy: { text: 'asc' } })).map(notice => notice.text)
    assert.deepEqual(await inTenant('acme', () => texts()), ['for acme', 'for all', 'for both'])
    assert.deepEqual(await inTenant('globex', () => texts()), ['for all', 'for both'])
    assert.equal(await inTenant('globex', () => em().count(Notice)), 2)
    assert.deepEqual(await kit.asSystem(() => texts(controlEm())), ['for acme', 'for all', 'for both', 'for nobody'])
    assert.deepEqual(await kit.tenancy.runAsActor(operator, () => texts(controlEm())), ['for all'])
    const all = await kit.tenancy.runAsActor(operator, () => controlEm().count(Notice, {}, { filters: { [VISIBILITY_FILTER]: false } }))
    assert.equal(all, 4)
  })

  for (const slug of ['acme', 'globex']) {
    describe(slug, () => {
      it('populates a relation to a shared entity, at once and later, and filters by its id', async () => {
        await inTenant(slug, async () => {
          const book = em().create(Book, { title: 'populated', author: em().create(Author, { name: 'populated', country: countryId }) })
          await em().flush()
          em().clear()
          for (const strategy of ['joined', 'select-in', 'balanced'] as const) {
            const found = await em()
              .fork()
              .findOneOrFail(Book, { id: book.id }, { populate: ['author.country'], strategy })
            assert.equal(found.author?.country?.code, 'FR', strategy)
          }
          const author = await em().findOneOrFail(Author, { name: 'populated' })
          await em().populate([author], ['country'])
          assert.equal(author.country?.code, 'FR')
          assert.equal(await em().count(Author, { country: countryId }), 2)
          const everything = await em()
            .fork()
            .findOneOrFail(Author, { name: 'populated' }, { populate: ['*'] })
          assert.equal(everything.country?.code, 'FR')
        })
      })

      it('refuses an id of a shared entity that does not exist, and writes nothing', async () => {
        await inTenant(slug, async () => {
          const error = await refusedWith(() => {
            em().create(Author, { name: 'nowhere', country: newId() })
            return em().flush()
          })
          if (slug === 'globex') {
            assert.equal(error.code, 'VALIDATION_FAILED')
            assert.deepEqual(
              error.errors?.map(({ path }) => path),
              ['country'],
            )
          } else assert.equal(error.code, '23503')
          const manager = em().fork()
          const author = await manager.findOneOrFail(Author, { name: 'populated' })
          author.country = manager.getReference(Country, newId())
          assert.include(['VALIDATION_FAILED', '23503'], (await refusedWith(() => manager.flush())).code)
        })
        assert.notInclude(
          (await rowsOf(slug, 'author')).map(row => row['name']),
          'nowhere',
        )
      })

      it('fills the audit columns, and deletes softly', async () => {
        const started = Date.now() - 1000
        const id = await inTenant(slug, async () => {
          const tag = em().create(Tag, { label: 'audited' })
          await em().flush()
          return tag.id
        })
        const row = async () => (await rowsOf(slug, 'tag')).find(each => each['id'] === id)!
        const created = await row()
        assert.deepInclude(created, { created_by: 'tenant:ada', updated_by: 'tenant:ada', deleted_at: null, deleted_by: null })
        assert.isAtLeast((created['created_at'] as Date).getTime(), started)

        await inTenant(
          slug,
          async () => {
            ;(await em().findOneOrFail(Tag, { id })).label = 'changed'
            await em().flush()
          },
          operator,
        )
        const changed = await row()
        assert.deepInclude(changed, { label: 'changed', created_by: 'tenant:ada', updated_by: 'global:operator-1', deleted_at: null })
        assert.deepEqual(changed['created_at'], created['created_at'])

        await kit.asSystem(() =>
          kit.tenancy.run(slug, async () => {
            await em()
              .remove(await em().findOneOrFail(Tag, { id }))
              .flush()
            assert.isNull(await em().findOne(Tag, { id }))
            assert.equal(await em().count(Tag, { id }), 0)
            assert.equal(await em().count(Tag, { id }, { filters: { [SOFT_DELETE_FILTER]: false } }), 1)
          }),
        )
        const deleted = await row()
        assert.deepInclude(deleted, { created_by: 'tenant:ada', updated_by: 'system:test', deleted_by: 'system:test' })
        assert.deepEqual(deleted['deleted_at'], deleted['updated_at'])
      })

      it('writes nothing without an actor', async () => {
        const error = await refusedWith(() =>
          kit.tenancy.run(slug, async () => {
            em().create(Tag, { label: 'by nobody' })
            await em().flush()
          }),
        )
        assert.equal(error.code, 'NO_ACTOR')
        assert.notInclude(
          (await rowsOf(slug, 'tag')).map(row => row['label']),
          'by nobody',
        )
      })
    })
  }

  it('joins a shared entity by schema, and says by database that it cannot', async () => {
    const join = () => em().createQueryBuilder(Author, 'a').select('*').leftJoin('a.country', 'c').where({ 'c.code': 'FR' }).getResult()
    assert.lengthOf(await inTenant('acme', join), 1)
    assert.equal((await refusedWith(() => inTenant('globex', join))).code, 'CROSS_DATABASE_QUERY')
    const joinAndSelect = () => em().createQueryBuilder(Author, 'a').leftJoinAndSelect('a.country', 'c').clone().getResult()
    assert.isNotEmpty(await inTenant('acme', joinAndSelect))
    assert.equal((await refusedWith(() => inTenant('globex', joinAndSelect))).code, 'CROSS_DATABASE_QUERY')
    const byCondition = () => em().find(Author, { country: { code: 'FR' } })
    assert.lengthOf(await inTenant('acme', byCondition), 1)
    assert.equal((await refusedWith(() => inTenant('globex', byCondition))).code, 'CROSS_DATABASE_QUERY')
  })

  it('S1, S2: a fresh tenant has every tenant table and no shared one, and a history of its own', async () => {
    const tables = async (url: string, schema: string) =>
      (
        await query<{ name: string }>(url, 'select table_name as name from information_schema.tables where table_schema = $1', [schema])
      ).map(row => row.name)
    const shared = await tables(kit.url, 'public')
    assert.includeMembers(shared, ['country', 'notice', 'person'])
    for (const own of ['author', 'book', 'tag', 'book_tags']) assert.notInclude(shared, own)
    for (const slug of ['acme', 'globex']) {
      const { url, schema } = placeOf(slug)
      const names = await tables(url, schema)
      assert.includeMembers(names, ['author', 'book', 'tag', 'book_tags', 'person'])
      for (const other of ['country', 'notice']) assert.notInclude(names, other)
      assert.isTrue(names.some(name => name.includes('migration')))
    }
    assert.isEmpty(await tables(placeOf('globex').url, 'public'))
  })

  it('S6, S7, S8: an unknown, suspended or archived tenant is an error, never the control plane', async () => {
    await kit.asSystem(() => kit.tenancy.provision({ slug: 'sleepy', name: 'Sleepy', isolation: 'schema' }))
    const enter = () => inTenant('sleepy', () => em().count(Tag))
    assert.equal(await enter(), 0)
    await kit.asSystem(() => kit.tenancy.operate('sleepy', 'suspend'))
    assert.equal((await refusedWith(enter)).code, 'TENANT_SUSPENDED')
    await kit.asSystem(() => kit.tenancy.archive('sleepy'))
    assert.equal((await refusedWith(enter)).code, 'TENANT_ARCHIVED')
    assert.equal((await refusedWith(() => inTenant('nobody', () => em().count(Tag)))).code, 'TENANT_NOT_FOUND')
    for (const slug of ['', 'public', 'PUBLIC', '../acme', 'a b']) {
      assert.include(['TENANT_INVALID', 'TENANT_NOT_FOUND'], (await refusedWith(() => inTenant(slug, () => em().count(Tag)))).code, slug)
    }
  })

  it('S26: a crafted schema name runs no SQL', async () => {
    for (const schemaName of ['public', 'x"; drop table public.country; --', 'pg_x', 'a.b', '*', '']) {
      const work = () =>
        kit.asSystem(() => kit.tenancy.provision({ slug: 'crafted', name: 'C', isolation: 'schema', provisioning: 'manual', schemaName }))
      assert.include(['VALIDATION_FAILED', 'RESERVED_NAME'], (await refusedWith(work)).code, schemaName)
    }
    assert.isUndefined(await kit.tenancy.find('crafted'))
    assert.lengthOf(await query(kit.url, 'select 1 from public.country'), 1)
  })
})
