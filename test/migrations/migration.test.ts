import { MikroORM, type MetadataStorage } from '@mikro-orm/postgresql'
import { assert } from 'chai'
import { HISTORY_TABLES } from '../../src/history/audit-event.ts'
import { classify } from '../../src/classification/classify.ts'
import { tenantEntity } from '../../src/classification/entities.ts'
import { ControlDriver } from '../../src/connections/control-driver.ts'
import type { MigrationTarget } from '../../src/migrations/runner.ts'
import { freshDatabase, query, type TestDatabase } from '../helpers/postgres.ts'
import { Tag, application } from './fixture/entities.ts'
import { databaseTenant, emptied, recorded, refused, schemaTenant, tables, workspace, type Workspace } from './workspace.ts'

const ENTITIES = new URL('./fixture/entities.ts', import.meta.url).href

/** The entities as the runtime's ORM discovers them. */
async function runtimeMetadata(url: string): Promise<() => MetadataStorage> {
  const orm = await MikroORM.init({
    driver: ControlDriver as never,
    entities: [...application().all],
    clientUrl: url,
    discovery: { warnWhenNoEntities: false },
  })
  return () => orm.getMetadata()
}

describe('what migrations hold', () => {
  let space: Workspace
  let control: TestDatabase
  let own: TestDatabase
  let acme: MigrationTarget
  let globex: MigrationTarget

  before(async () => {
    control = await freshDatabase('contents control')
    own = await freshDatabase('contents own')
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
    acme = await schemaTenant(control.url, 'tenant_acme')
    globex = await databaseTenant(own.url, 'globex')
  })

  for (const metadata of ['its own', "the runtime's"] as const)
    it(`runs code in the transaction and in the tenant, with ${metadata} metadata`, async () => {
      using coded = space.copy()
      coded.write(
        'tenant',
        'Migration9998_code',
        `
    const { Country, Tag } = await import('${ENTITIES}')
    const em = this.getEntityManager()
    const tag = em.create(Tag, { id: '00000000-0000-7000-8000-000000000001', label: 'new' })
    await em.persist(tag).flush()
    if (this.isolation === 'schema' && (await em.count(Country, {})) !== 0) throw new Error('not the shared table')
    const [row] = await this.execute('select count(*)::int as n from tag')
    if (row.n !== 1) throw new Error('not in the transaction')
    this.addSql('alter table tag add seen boolean')`,
      )
      coded.write(
        'tenant',
        'Migration9999_undone',
        `
    const { Tag } = await import('${ENTITIES}')
    await this.getEntityManager().nativeUpdate(Tag, {}, { label: 'changed' }, { filters: false })
    throw new Error('after all')`,
      )
      const runner = coded.migrations(control.url, 'first', metadata === 'its own' ? {} : { metadata: await runtimeMetadata(control.url) })
      await runner.up(runner.sharedTarget())
      for (const target of [acme, globex]) {
        const error = await refused(runner.up(target), 'MIGRATION_FAILED')
        assert.equal(error.details?.['migration'], 'Migration9999_undone', error.message)
        const rows = await query(target.url, `select label, created_by, seen from "${target.schema}".tag`)
        assert.deepEqual(rows, [{ label: 'new', created_by: 'system:migrations', seen: null }])
      }
      await runner.close()
    })

  it('carries enum types, removed tables and their way back, in both isolations', async () => {
    const job = (items: readonly string[]) =>
      tenantEntity({ name: 'Job', properties: p => ({ id: p.uuid().primary(), state: p.enum(items).nativeEnumName('job_state') }) })
    const versions = [
      classify([job(['new', 'done']), Tag]),
      classify([job(['new', 'tried', 'done']), Tag]),
      classify([job(['new', 'tried', 'done'])]),
    ]
    using grown = workspace()
    for (const entities of versions)
      assert.isString(await grown.migrations(control.url, 'first', { entities }).createFile('tenant', '', { allowDestructive: true }))
    const runner = grown.migrations(control.url, 'first', { entities: versions[2]! })
    for (const target of [acme, globex]) {
      assert.lengthOf(await runner.up(target), 4)
      assert.deepEqual(await tables(target.url, target.schema), ['job', ...HISTORY_TABLES.toSorted(), 'tenantkit_migration'])
      assert.deepEqual(await runner.difference(target), [])
      const [row] = await query(target.url, `select enum_range(null::"${target.schema}".job_state)::text as items`)
      assert.deepEqual(row, { items: '{new,tried,done}' })
      await runner.down(target)
      assert.include(await tables(target.url, target.schema), 'tag')
      assert.isEmpty(
        await query(target.url, `select 1 from pg_type where typname = 'job_state' and typnamespace <> '"${target.schema}"'::regnamespace`),
      )
    }
    await runner.close()
  })

  it('takes statements as they are written', async () => {
    using odd = workspace()
    odd.write(
      'tenant',
      'Migration1',
      `    this.addSql(\`create table odd (id int primary key, data jsonb, note text default 'what? :a $1 ;')\`)\n    this.addSql(\`insert into odd values (1, '{"a":1}')\`)\n    this.addSql(\`update odd set note = 'has key?' where data ? 'a'; -- a comment\`)`,
    )
    const runner = odd.migrations(control.url)
    await runner.up(acme)
    assert.deepEqual(await query(control.url, 'select note from tenant_acme.odd'), [{ note: 'has key?' }])
    await runner.close()
  })

  it('selects, marks and reverts by name', async () => {
    using several = workspace()
    const back = (table: string) => `  override down() { this.addSql('drop table ${table}') }\n`
    for (const n of [1, 2, 3]) several.write('tenant', `Migration${n}`, `    this.addSql('create table t${n} (id int)')`, back(`t${n}`))
    const runner = several.migrations(control.url)
    assert.deepEqual(await runner.up(acme, { to: 'Migration1' }), ['tenantkit_0001_history', 'Migration1'])
    assert.deepEqual(await runner.up(acme, { only: ['Migration3'] }), ['Migration3'])
    await refused(runner.up(acme, { to: 'Migration22' }), 'CONFIGURATION_INVALID')
    await runner.mark(acme, 'Migration2', true)
    assert.deepEqual(await runner.pending(acme), [])
    await runner.mark(acme, 'Migration2', false)
    assert.deepEqual(await runner.up(acme), ['Migration2'])
    // Merged late: it was applied last, so it goes first.
    assert.deepEqual(await runner.down(acme), ['Migration2'])
    assert.deepEqual(await runner.down(acme), ['Migration3'])
    assert.deepEqual(await runner.down(acme), ['Migration1'])
    // The framework's own have no way back: nobody drops a history by going down once too often.
    await refused(runner.down(acme), 'MIGRATION_FAILED')
    assert.deepEqual(await tables(control.url, 'tenant_acme'), [...HISTORY_TABLES.toSorted(), 'tenantkit_migration'])
    await refused(runner.mark(acme, 'Migration7', true), 'CONFIGURATION_INVALID')
    await runner.close()
  })

  it('refuses to revert what has no way back', async () => {
    using one = workspace()
    one.write('tenant', 'Migration1', `    this.addSql('create table t1 (id int)')`)
    const runner = one.migrations(control.url)
    await runner.up(acme)
    await refused(runner.down(acme), 'MIGRATION_FAILED')
    assert.deepEqual(await recorded(control.url, 'tenant_acme'), ['Migration1', 'tenantkit_0001_history'])
    await runner.close()
  })
})
