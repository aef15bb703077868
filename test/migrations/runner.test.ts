import { assert } from 'chai'
import { HISTORY_TABLES } from '../../src/history/audit-event.ts'
import type { Migrations } from '../../src/migrations/migrations.ts'
import { Lanes } from '../../src/migrations/lanes.ts'
import { LOCK_PATIENCE } from '../../src/migrations/lock-retries.ts'
import { MigrationSet } from '../../src/migrations/migration-set.ts'
import { RunningOrm } from '../../src/migrations/orm.ts'
import { MigrationRunner, type MigrationTarget } from '../../src/migrations/runner.ts'
import type { Identifier } from '../../src/naming.ts'
import { freshDatabase, query, type TestDatabase } from '../helpers/postgres.ts'
import { databaseTenant, emptied, foreignKeys, recorded, refused, schemaTenant, tables, workspace, type Workspace } from './workspace.ts'

const TENANT_TABLES = ['book', 'book_tags', 'tag', ...HISTORY_TABLES.toSorted(), 'tenantkit_migration', 'user']
const SHARED_TABLES = ['country', 'tenantkit_migration', 'user']

describe('Migrations on PostgreSQL', () => {
  let space: Workspace
  let control: TestDatabase
  let own: TestDatabase
  let migrations: Migrations
  let acme: MigrationTarget
  let globex: MigrationTarget

  before(async () => {
    control = await freshDatabase('migrations control')
    own = await freshDatabase('migrations own')
    space = workspace()
    await space.migrations('postgres://127.0.0.1:9/none').createFile('shared', 'first')
    await space.migrations('postgres://127.0.0.1:9/none').createFile('tenant', 'first')
  })
  after(async () => {
    space[Symbol.dispose]()
    await control.drop()
    await own.drop()
  })

  beforeEach(async () => {
    await Promise.all([emptied(control), emptied(own)])
    migrations = space.migrations(control.url)
    acme = await schemaTenant(control.url, 'tenant_acme')
    globex = await databaseTenant(own.url, 'globex')
  })
  afterEach(() => migrations.close())

  it('creates each table where it belongs and nowhere else, in both isolations', async () => {
    assert.isNotEmpty(await migrations.up(migrations.sharedTarget()))
    assert.isNotEmpty(await migrations.up(acme))
    assert.isNotEmpty(await migrations.up(globex))
    assert.includeMembers(await tables(control.url, 'public'), SHARED_TABLES)
    for (const table of ['book', 'book_tags', 'tag']) assert.notInclude(await tables(control.url, 'public'), table)
    assert.deepEqual(await tables(control.url, 'tenant_acme'), TENANT_TABLES)
    assert.deepEqual(await tables(own.url, 'tenant'), TENANT_TABLES)
    assert.deepEqual(await tables(own.url, 'public'), [])
    const schemas = await query(
      own.url,
      `select nspname as name from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema' order by 1`,
    )
    assert.deepEqual(schemas, [{ name: 'public' }, { name: 'tenant' }])
  })

  it('records in a table of the target, without a sequence, and applies nothing twice', async () => {
    await migrations.up(migrations.sharedTarget())
    const applied = await migrations.up(acme)
    assert.deepEqual(applied, await migrations.names('tenant'))
    assert.deepEqual(await recorded(control.url, 'tenant_acme'), applied.toSorted())
    assert.deepEqual(await recorded(control.url, 'public'), (await migrations.names('shared')).toSorted())
    assert.deepEqual(await migrations.up(acme), [])
    assert.deepEqual(await migrations.pending(acme), [])
    assert.deepEqual(
      (await migrations.executed(acme)).map(({ name }) => name),
      applied,
    )
    assert.isBelow(Math.abs((await migrations.executed(acme))[0]!.executed_at.getTime() - Date.now()), 60_000)
    assert.isEmpty(await query(control.url, `select 1 from pg_class where relkind = 'S'`))
  })

  it('refers to shared tables where they are in reach, and nowhere else', async () => {
    await migrations.up(migrations.sharedTarget())
    await migrations.up(acme)
    await migrations.up(globex)
    const inside = (schema: string) => [
      `book_owner_id_foreign -> ${schema}.user`,
      `book_sequel_id_foreign -> ${schema}.book`,
      `book_tags_book_id_foreign -> ${schema}.book`,
      `book_tags_tag_id_foreign -> ${schema}.tag`,
    ]
    const outside = ['book_country_id_foreign -> public.country', 'book_importer_id_foreign -> public.user']
    assert.sameMembers(await foreignKeys(control.url, 'tenant_acme'), [...inside('tenant_acme'), ...outside])
    assert.sameMembers(await foreignKeys(own.url, 'tenant'), inside('tenant'))
  })

  it('drops such references in both isolations', async () => {
    using later = space.copy()
    assert.isString(await later.migrations(control.url, 'pages').createFile('tenant', 'pages'))
    const runner = later.migrations(control.url, 'pages')
    await runner.up(runner.sharedTarget())
    for (const target of [acme, globex]) {
      const last = (await runner.up(target)).at(-1)!
      assert.include((await foreignKeys(target.url, target.schema)).join(), target.isolation === 'schema' ? 'origin' : '')
      assert.deepEqual(await runner.down(target), [last])
      assert.notInclude((await foreignKeys(target.url, target.schema)).join(), 'origin')
      assert.deepEqual(await runner.pending(target), [last])
      assert.deepEqual(await runner.up(target), [last])
    }
    await runner.close()
  })

  it('leaves no search_path on its connections', async () => {
    const one = space.migrations(control.url, 'first', { concurrency: 1 })
    await one.up(one.sharedTarget())
    const paths: string[] = []
    space.write(
      'tenant',
      'Migration9999_path',
      `    const [row] = await this.execute('show search_path'); (globalThis as any).seen.push(row.search_path)`,
    )
    Object.assign(globalThis, { seen: paths })
    try {
      await one.up(acme)
      assert.deepEqual(paths, ['tenant_acme'])
    } finally {
      await removeWritten('Migration9999_path')
    }
    // The lane is idle now, with the state that the run left; without the cleaning that follows a run too.
    const idle = await query<{ pid: number; query: string }>(
      control.url,
      `select pid, query from pg_stat_activity where application_name = 'tenantkit migrations' and datname = $1`,
      [control.name],
    )
    assert.lengthOf(idle, 1)
    assert.match(idle[0]!.query, /discard all/)
    const locks = await query(control.url, `select 1 from pg_locks where locktype = 'advisory' and pid = $1`, [idle[0]!.pid])
    assert.isEmpty(locks)
    await one.close()
    await gone(control)
  })

  it('sets the search_path for the transaction only', async () => {
    const orm = new RunningOrm(space.settings(control.url), control.url)
    const afterwards: unknown[] = []
    const lanes = new Lanes(
      url => {
        const lane = orm.lane(url)
        const transactional = lane.transactional.bind(lane)
        lane.transactional = async work => {
          const result = await transactional(work)
          afterwards.push(...(await lane.query('show search_path')))
          return result
        }
        return lane
      },
      control.url,
      1,
    )
    const runner = new MigrationRunner(lanes, orm, { lockWaitMs: 1_000, locks: LOCK_PATIENCE })
    await runner.up(new MigrationSet('shared', space.path), migrations.sharedTarget())
    await runner.up(new MigrationSet('tenant', space.path), acme)
    const count = (await migrations.names('shared')).length + (await migrations.names('tenant')).length
    assert.deepEqual(
      afterwards,
      Array.from({ length: count }, () => ({ search_path: '' })),
    )
    await lanes.close()
  })

  it('creates no schema: a misspelt one is refused, and nothing is left of it', async () => {
    const typo: MigrationTarget = { ...acme, schema: 'tenant_acmee' as Identifier }
    for (const work of [
      () => migrations.up(typo),
      () => migrations.down(typo),
      () => migrations.pending(typo),
      () => migrations.executed(typo),
      () => migrations.mark(typo, 'x', false),
    ]) {
      const error = await refused(work(), 'NOT_FOUND')
      assert.notInclude(error.message + error.hint, 'postgres:')
    }
    assert.isEmpty(await query(control.url, `select 1 from pg_namespace where nspname = 'tenant_acmee'`))
    await refused(migrations.up({ ...acme, schema: 'a"; drop schema public; --' as Identifier }), 'VALIDATION_FAILED')
  })

  it('creates no database either', async () => {
    const nowhere = new URL(control.url)
    nowhere.pathname = '/tktest_never_made'
    const error: unknown = await migrations.up({ ...globex, url: nowhere.href }).then(
      () => assert.fail('it ran'),
      thrown => thrown,
    )
    assert.match(String(error), /does not exist/)
    assert.isEmpty(await query(control.url, `select 1 from pg_database where datname = 'tktest_never_made'`))
  })

  it('leaves a target unchanged and unrecorded when a migration fails', async () => {
    using failing = space.copy()
    failing.write(
      'tenant',
      'Migration9998_broken',
      `    this.addSql('create table half (id int)')\n    this.addSql('create table half (id int)')`,
    )
    failing.write('tenant', 'Migration9999_after', `    this.addSql('create table after (id int)')`)
    const runner = failing.migrations(control.url)
    await runner.up(runner.sharedTarget())
    const error = await refused(runner.up(acme), 'MIGRATION_FAILED')
    assert.equal(error.details?.['migration'], 'Migration9998_broken')
    assert.equal(error.message, 'Migration Migration9998_broken failed on "tenant-acme": relation "half" already exists')
    assert.deepEqual(await tables(control.url, 'tenant_acme'), TENANT_TABLES)
    assert.deepEqual(await recorded(control.url, 'tenant_acme'), (await space.migrations(control.url).names('tenant')).toSorted())
    assert.deepEqual(await runner.pending(acme), ['Migration9998_broken', 'Migration9999_after'])
    // Each migration has a transaction of its own: what came before the one that fails stays, and nothing of that one.
    using first = workspace()
    first.write('tenant', 'Migration1', `    this.addSql('select 1/0')`)
    const other = await schemaTenant(control.url, 'tenant_other')
    const again = first.migrations(control.url)
    await refused(again.up(other), 'MIGRATION_FAILED')
    assert.deepEqual(await tables(control.url, 'tenant_other'), [...HISTORY_TABLES.toSorted(), 'tenantkit_migration'])
    await Promise.all([runner.close(), again.close()])
  })

  it('applies once when two runs meet', async () => {
    const second = space.migrations(control.url)
    await migrations.up(migrations.sharedTarget())
    const results = await Promise.all([migrations.up(acme), second.up(acme), migrations.up(acme), second.up(acme)])
    assert.deepEqual(results.flat(), await migrations.names('tenant'))
    await second.close()
  })

  it('applies nothing where another session has recorded it, lock or not', async () => {
    using two = workspace()
    two.write('tenant', 'Migration1', `    this.addSql('create table counted (n int)')`)
    two.write('tenant', 'Migration2', `    this.addSql('insert into counted values (1)')`)
    const runner = two.migrations(control.url)
    await runner.up(acme, { to: 'Migration1' })
    // As a run without the lock would: it records, and has not committed when the other one begins.
    const other = query(
      control.url,
      `begin; insert into tenant_acme.tenantkit_migration (name) values ('Migration2'); insert into tenant_acme.counted values (1); select pg_sleep(0.4); commit`,
    )
    await new Promise(resolve => setTimeout(resolve, 150))
    const error = await refused(runner.up(acme), 'MIGRATION_FAILED')
    assert.match(error.message, /duplicate key/)
    await other
    assert.deepEqual(await query(control.url, 'select n from tenant_acme.counted'), [{ n: 1 }])
    assert.deepEqual(await runner.up(acme), [])
    await runner.close()
  })

  it('gives up on a target that another run keeps', async () => {
    using slow = workspace()
    slow.write('tenant', 'Migration1', `    this.addSql('select pg_sleep(0.6)')`)
    const runner = slow.migrations(control.url, 'first', { lockWaitMs: 100 })
    const running = runner.up(acme)
    await new Promise(resolve => setTimeout(resolve, 150))
    await refused(runner.up(acme), 'OPERATION_CONFLICT')
    await running
    assert.deepEqual(await runner.up(acme), [])
    await runner.close()
  })

  it('migrates many targets at once, over few connections', async () => {
    await migrations.up(migrations.sharedTarget())
    const limited = space.migrations(control.url, 'first', { concurrency: 3 })
    const targets = await Promise.all(Array.from({ length: 8 }, (_, index) => schemaTenant(control.url, `tenant_t${index}`)))
    await Promise.all(targets.map(target => limited.up(target)))
    for (const { schema } of targets) assert.deepEqual(await tables(control.url, schema), TENANT_TABLES)
    const connections = await query(
      control.url,
      `select 1 from pg_stat_activity where application_name = 'tenantkit migrations' and datname = $1`,
      [control.name],
    )
    // One of them is the other runner's, kept for its next run.
    assert.isAtMost(connections.length, 4)
    assert.notIncludeMembers(await tables(control.url, 'public'), ['book'])
    await limited.close()
  })

  /** Removes a migration that a test added to the common workspace. */
  async function removeWritten(name: string): Promise<void> {
    const { rmSync } = await import('node:fs')
    rmSync(`${space.path}/tenant/${name}.ts`)
  }

  /** Waits until no session of the runner is left. */
  async function gone(database: TestDatabase): Promise<void> {
    for (let tries = 0; tries < 50; tries++) {
      const left = await query(
        database.url,
        `select 1 from pg_stat_activity where application_name = 'tenantkit migrations' and datname = $1`,
        [database.name],
      )
      if (left.length === 0) return
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    assert.fail('a connection of the migrations stays open')
  }
})
