/** Migrations in no transaction, locks that are held, data and what may be lost: in both isolations, looked at in the catalog. */
import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from 'chai'
import type { Migrations } from '../../src/migrations/migrations.ts'
import type { MigrationTarget } from '../../src/migrations/runner.ts'
import { freshDatabase, query, type TestDatabase } from '../helpers/postgres.ts'
import { databaseTenant, emptied, recorded, refused, schemaTenant, workspace, type Workspace } from './workspace.ts'

const APART = '  override isTransactional() {\n    return false\n  }\n'
const TABLE = `    this.addSql('create table "item" ("id" int not null, "code" int not null, "note" text null)')`

describe('a migration on its way', function () {
  this.timeout(30_000)
  let space: Workspace
  let control: TestDatabase
  let own: TestDatabase
  let migrations: Migrations
  let targets: MigrationTarget[]

  before(async () => {
    control = await freshDatabase('apart control')
    own = await freshDatabase('apart own')
  })
  after(async () => {
    await control.drop()
    await own.drop()
  })
  beforeEach(async () => {
    await Promise.all([emptied(control), emptied(own)])
    space = workspace()
    space.write('tenant', 'Migration1', TABLE)
    migrations = space.migrations(control.url, 'first', { locks: { timeoutMs: 150, attempts: 12 } })
    targets = [await schemaTenant(control.url, 'tenant_acme'), await databaseTenant(own.url, 'globex')]
    for (const target of targets) await migrations.up(target)
  })
  afterEach(async () => {
    await migrations.close()
    space[Symbol.dispose]()
  })

  const indexOf = async ({ url, schema }: MigrationTarget, name: string) =>
    (
      await query<{ valid: boolean; oid: number }>(
        url,
        `select i.indisvalid as valid, i.indexrelid::int as oid from pg_index i join pg_class c on c.oid = i.indexrelid
         where c.relnamespace = $1::text::regnamespace and c.relname = $2`,
        [schema, name],
      )
    )[0]
  const each = async (work: (target: MigrationTarget) => Promise<unknown>) => {
    for (const target of targets) await work(target)
  }

  it('builds an index concurrently, in the schema of the tenant and nowhere else', async () => {
    const name = space.write('tenant', 'Migration2', `    this.addSql('create index concurrently "item_code" on "item" ("code")')`, APART)
    await each(async target => {
      assert.deepEqual(await migrations.up(target), [name])
      assert.equal((await indexOf(target, 'item_code'))?.valid, true)
      assert.include(await recorded(target.url, target.schema), name)
      assert.deepEqual(await migrations.up(target), [])
      const stray = await query(target.url, `select from pg_indexes where indexname = 'item_code' and schemaname <> $1`, [target.schema])
      assert.isEmpty(stray)
    })
  })

  it('drops an invalid index that a failure left, and builds it again', async () => {
    const name = space.write(
      'tenant',
      'Migration2',
      `    this.addSql('create unique index concurrently "item_code" on "item" ("code")')`,
      APART,
    )
    await each(async target => {
      await query(target.url, `insert into "${target.schema}".item values (1, 7), (2, 7)`)
      await refused(migrations.up(target), 'MIGRATION_FAILED')
      assert.equal((await indexOf(target, 'item_code'))?.valid, false, 'PostgreSQL leaves it behind')
      assert.notInclude(await recorded(target.url, target.schema), name)
      await query(target.url, `delete from "${target.schema}".item where id = 2`)
      assert.deepEqual(await migrations.up(target), [name])
      assert.equal((await indexOf(target, 'item_code'))?.valid, true)
      const [table] = await query<{ mark: string | null }>(
        target.url,
        `select obj_description('"${target.schema}".tenantkit_migration'::regclass) as mark`,
      )
      assert.isNull(table!.mark, 'nothing is left of its beginning')
    })
  })

  it('leaves an index alone that was finished before it was cut off, and refuses one that is somebody else’s', async () => {
    const name = space.write('tenant', 'Migration2', `    this.addSql('create index concurrently "item_code" on "item" ("code")')`, APART)
    await each(async target => {
      await query(target.url, `create index item_code on "${target.schema}".item (code)`)
      for (const _ of [1, 2]) assert.match((await refused(migrations.up(target), 'MIGRATION_FAILED')).message, /already exists/)
      // As if it had been killed after the index was built.
      await query(target.url, `comment on table "${target.schema}".tenantkit_migration is 'up ${name}: begun 0'`)
      const before = await indexOf(target, 'item_code')
      assert.deepEqual(await migrations.up(target), [name])
      assert.deepEqual(await indexOf(target, 'item_code'), before)
    })
  })

  it('waits for a locked table in short tries, so that nobody waits behind it', async () => {
    const name = space.write('tenant', 'Migration2', `    this.addSql('alter table "item" add column "late" int null')`)
    await each(async target => {
      const table = `"${target.schema}".item`
      const holding = query(target.url, `begin; lock table ${table} in access share mode; select pg_sleep(1); commit`)
      await sleep(100)
      const running = migrations.up(target)
      let slowest = 0
      for (let look = 0; look < 10; look++) {
        const began = performance.now()
        await query(target.url, `select count(*) from ${table}`)
        slowest = Math.max(slowest, performance.now() - began)
        await sleep(40)
      }
      assert.deepEqual(await running, [name])
      await holding
      assert.isBelow(slowest, 900, 'a reader waited for as long as the lock was held')
    })
  })

  it('gives up on a table that stays locked, and nothing of it is there', async () => {
    await migrations.close()
    migrations = space.migrations(control.url, 'first', { locks: { timeoutMs: 50, attempts: 2 } })
    const name = space.write('tenant', 'Migration2', `    this.addSql('alter table "item" add column "late" int null')`)
    await each(async target => {
      const holding = query(target.url, `begin; lock table "${target.schema}".item; select pg_sleep(1); commit`)
      await sleep(100)
      assert.match((await refused(migrations.up(target), 'MIGRATION_FAILED')).message, /lock timeout/)
      assert.notInclude(await recorded(target.url, target.schema), name)
      await holding
    })
  })

  it('changes data of its tenant by an EntityManager, in its own transaction', async () => {
    const name = space.write(
      'tenant',
      'Migration2',
      `    const em = this.getEntityManager()
    for (const { id } of await em.execute('select id from item')) await em.execute('update item set note = ? where id = ?', [\`of \${this.schema}\`, id])`,
    )
    await each(async target => {
      await query(target.url, `insert into "${target.schema}".item values (1, 7), (2, 8)`)
      assert.deepEqual(await migrations.up(target), [name])
      const rows = await query<{ note: string }>(target.url, `select distinct note from "${target.schema}".item`)
      assert.deepEqual(rows, [{ note: `of ${target.schema}` }])
    })
  })

  describe('that would lose data', () => {
    const DROP = `    this.addSql('alter table "item" drop column "note"')`

    it('is refused, and nothing of it is run; with the permission, or its own word, it runs', async () => {
      const name = space.write('tenant', 'Migration2', DROP)
      await each(async target => {
        const error = await refused(migrations.up(target), 'DESTRUCTIVE_MIGRATION')
        assert.include(error.message, 'drop column')
        assert.match(error.hint!, /--allow-destructive/)
        assert.notInclude(await recorded(target.url, target.schema), name)
        assert.deepEqual(await migrations.up(target, { allowDestructive: true }), [name])
      })
      const declared = space.write('tenant', 'Migration3', `    this.addSql('truncate "item"')`, '  override readonly destructive = true\n')
      await each(async target => assert.deepEqual(await migrations.up(target), [declared]))
    })

    it('runs where nothing was applied before: there is nothing to lose', async () => {
      space.write('tenant', 'Migration2', DROP)
      const fresh = await schemaTenant(control.url, 'tenant_fresh')
      assert.includeMembers([...(await migrations.up(fresh))], (await migrations.names('tenant')).slice(-2))
    })
  })
})
