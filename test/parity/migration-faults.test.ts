/** Faults of migrating that must never happen, on both isolations, looked at in the catalog with plain SQL. */
import { assert } from 'chai'
import { addColumn, scene, type Scene } from '../fleet/scene.ts'
import { query } from '../helpers/postgres.ts'
import { tablesOf } from '../tenants/refused.ts'

const TENANT_TABLES = ['author', 'book', 'book_tags', 'person', 'tag', 'tenantkit_migration']
const SHARED_TABLES = ['country', 'notice', 'tenantkit_tenant']
/** What came after the first migration, by the ways there are to apply it. */
const WAYS = {
  'a run over the fleet': fleet => fleet.migrate({ scope: 'tenant' }),
  'a run over tenants that are named': fleet => fleet.migrate({ tenants: [...fleet.slugs] }),
  'an operation on one tenant': async fleet => {
    for (const slug of fleet.slugs) await fleet.kit.asSystem(() => fleet.tenancy.operate(slug, 'migrate'))
  },
} satisfies Record<string, (fleet: Scene) => Promise<unknown>>

describe('faults of migrating that must never happen', function () {
  this.timeout(60_000)
  let fleet: Scene
  let number = 1

  before(async () => {
    fleet = await scene(2, 1)
  })
  after(() => fleet?.[Symbol.asyncDispose]())

  for (const [way, migrate] of Object.entries(WAYS)) {
    describe(`by ${way}`, () => {
      let name: string
      before(async () => {
        name = fleet.write(number, `    this.addSql('create table "only_here_${number}" ("id" int)')\n${addColumn(`column_${number}`)}`)
        number++
        await migrate(fleet)
      })

      it('S1: tenant tables are in the tenants and nowhere else, shared ones in none of them', async () => {
        const made = `only_here_${number - 1}`
        for (const slug of fleet.slugs) {
          const { url, schema } = fleet.place(slug)
          const tables = await tablesOf(url, schema)
          assert.includeMembers([...tables], [...TENANT_TABLES, made], slug)
          for (const shared of SHARED_TABLES) assert.notInclude([...tables], shared, slug)
          const places = await query<{ place: string }>(url, `select schemaname as place from pg_tables where tablename = $1 order by 1`, [
            made,
          ])
          const wanted = fleet.slugs.map(each => fleet.place(each)).filter(each => each.url === url)
          assert.deepEqual(
            places.map(({ place }) => place),
            wanted.map(each => each.schema).toSorted(),
          )
        }
        assert.includeMembers([...(await tablesOf(fleet.kit.url, 'public'))], SHARED_TABLES)
      })

      it('S2: each tenant has its own history, and success means applied', async () => {
        const shared = await query<{ name: string }>(fleet.kit.url, 'select name from public.tenantkit_migration')
        assert.notInclude(
          shared.map(each => each.name),
          name,
        )
        for (const slug of fleet.slugs) {
          assert.include([...(await fleet.recorded(slug))], name, slug)
          assert.include([...(await fleet.columns(slug, 'author'))], `column_${number - 1}`, slug)
        }
        assert.isFalse(await fleet.tenancy.pendingMigrations())
      })
    })
  }

  describe('afterwards', () => {
    it('S2: a fresh tenant gets every table, of the first migration and of the last', async () => {
      for (const isolation of ['schema', 'database'] as const) {
        const slug = isolation === 'schema' ? 's9x' : 'd9x'
        await fleet.kit.asSystem(() => fleet.tenancy.provision({ slug, name: slug, isolation }))
        const { url, schema } = fleet.place(slug)
        assert.includeMembers([...(await tablesOf(url, schema))], [...TENANT_TABLES, 'only_here_1', `only_here_${number - 1}`])
        assert.deepEqual(await fleet.recorded(slug), await fleet.recorded('s0x'))
      }
      assert.isFalse(await fleet.tenancy.pendingMigrations())
    })

    it('S41: the first broken tenant stops nobody, is in the summary, and is not recorded as applied', async () => {
      const name = fleet.write(number++, addColumn('broken'))
      for (const slug of ['s0x', 'd0x']) await fleet.in(slug, 'alter table @.author add column broken text')
      const report = await fleet.migrate()
      assert.deepEqual(
        report.tenants.map(({ tenant, status }) => `${tenant} ${status}`),
        ['d0x failed', 'd9x applied', 's0x failed', 's1x applied', 's9x applied'],
      )
      for (const slug of ['s0x', 'd0x']) {
        assert.notInclude([...(await fleet.recorded(slug))], name)
        assert.match(report.tenants.find(({ tenant }) => tenant === slug)!.error!, /broken/)
        const indexes = await fleet.in(
          slug,
          `select from pg_indexes where indexname = 'author_broken_index' and schemaname = '${fleet.place(slug).schema}'`,
        )
        assert.isEmpty(indexes, 'nothing of it is left')
      }
    })
  })
})
