import { assert } from 'chai'
import { freshDatabase, query, type TestDatabase } from '../helpers/postgres.ts'
import { catalog, databaseTenant, emptied, recorded, schemaTenant, tables, workspace, type Workspace } from './workspace.ts'

describe('preparedScript', () => {
  let space: Workspace
  let control: TestDatabase
  let own: TestDatabase

  before(async () => {
    control = await freshDatabase('prepared control')
    own = await freshDatabase('prepared own')
  })
  after(async () => {
    await control.drop()
    await own.drop()
  })

  beforeEach(async () => {
    space = workspace()
    await Promise.all([emptied(control), emptied(own)])
    await space.migrations(control.url).createFile('shared', 'first')
    await space.migrations(control.url).createFile('tenant', 'first')
    await space.migrations(control.url, 'pages').createFile('tenant', 'pages')
  })
  afterEach(() => space[Symbol.dispose]())

  for (const isolation of ['schema', 'database'] as const) {
    it(`makes the same as up, isolation ${isolation}`, async () => {
      const migrations = space.migrations(control.url, 'pages')
      await migrations.up(migrations.sharedTarget())
      const migrated =
        isolation === 'schema' ? await schemaTenant(control.url, 'tenant_migrated') : await databaseTenant(own.url, 'migrated')
      await migrations.up(migrated)
      const { statements, names, head, code } = await migrations.preparedScript(isolation)
      await query(migrated.url, 'create schema tenant_prepared')
      await query(migrated.url, ['begin', 'set local search_path to tenant_prepared', ...statements, 'commit'].join(';\n'))
      const expected = await catalog(migrated.url, migrated.schema)
      assert.isAbove(expected.length, 40)
      assert.deepEqual(await catalog(migrated.url, 'tenant_prepared'), expected)
      assert.deepEqual(await recorded(migrated.url, 'tenant_prepared'), [...names].toSorted())
      assert.deepEqual(names, await migrations.names('tenant'))
      assert.equal(head, await migrations.head('tenant'))
      assert.deepEqual(code, [])
      assert.deepEqual(await migrations.up({ ...migrated, schema: 'tenant_prepared' as never }), [])
      if (isolation === 'database') assert.deepEqual(await tables(own.url, 'public'), [])
      await migrations.close()
    })
  }

  it('holds statements apart, and the same fingerprint for the same statements', async () => {
    const migrations = space.migrations(control.url)
    const [bySchema, again, byDatabase] = await Promise.all([
      migrations.preparedScript('schema'),
      space.migrations(control.url).preparedScript('schema'),
      migrations.preparedScript('database'),
    ])
    assert.match(bySchema.fingerprint, /^[0-9a-f]{64}$/)
    assert.equal(bySchema.fingerprint, again.fingerprint)
    assert.notEqual(bySchema.fingerprint, byDatabase.fingerprint)
    assert.isEmpty(byDatabase.statements.filter(sql => sql.includes('"public"')))
    for (const sql of bySchema.statements) assert.notMatch(sql, /;\s*(create|alter|insert)/)
    for (const sql of bySchema.statements) assert.notMatch(sql, /^\s*(begin|commit|set )/)
  })

  it('stops before the first migration that is code, and leaves the rest to up', async () => {
    space.write('tenant', 'Migration99991_code', `    await this.execute('select 1')`)
    space.write('tenant', 'Migration99992_pure', `    this.addSql('create table pure (id int); -- a note')`)
    const migrations = space.migrations(control.url)
    const { names, code, head, statements } = await migrations.preparedScript('schema')
    assert.deepEqual(code, ['Migration99991_code', 'Migration99992_pure'])
    assert.equal(head, names.at(-1))
    assert.isEmpty(statements.filter(sql => sql.includes('pure')))
    await migrations.up(migrations.sharedTarget())
    const target = await schemaTenant(control.url, 'tenant_a')
    await query(control.url, ['begin', 'set local search_path to tenant_a', ...statements, 'commit'].join(';\n'))
    assert.deepEqual(await migrations.up(target), code)
    await migrations.close()
  })

  it('calls a migration code that swallows the refusal, asks for an EntityManager or needs no transaction', async () => {
    for (const [up, more] of [
      [`    try { await this.execute('select 1') } catch { /* none */ }`, ''],
      [`    this.getEntityManager()`, ''],
      [``, '  override isTransactional() { return false }\n'],
    ]) {
      using single = workspace()
      single.write('tenant', 'Migration1', up!, more)
      assert.deepEqual((await single.migrations(control.url).preparedScript('schema')).code, ['Migration1'])
    }
  })

  it('is made anew when a file was added', async () => {
    const migrations = space.migrations(control.url)
    const before = await migrations.preparedScript('schema')
    space.write('tenant', 'Migration9999', `    this.addSql('create table later (id int)')`)
    const after = await migrations.preparedScript('schema')
    assert.equal(after.head, 'Migration9999')
    assert.notEqual(after.fingerprint, before.fingerprint)
    assert.strictEqual(await migrations.preparedScript('schema'), after)
  })
})
