import { REGISTRY_ENTITIES } from '../../src/tenants/entities.ts'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { assert } from 'chai'
import { refused, workspace } from './workspace.ts'

// Nothing listens there: files are made without a database.
const NOWHERE = 'postgres://nobody@127.0.0.1:9/none'

/** The statements of a file, by the method that adds them. */
function calls(file: string, method: 'up' | 'down'): string[] {
  const text = readFileSync(file, 'utf8')
  const body = text.slice(text.indexOf(`override ${method}()`)).split('\n  }\n')[0]!
  return [...body.matchAll(/this\.(\w+)\(`([^`]*)`\)/g)].map(([, name, sql]) => `${name}: ${sql}`)
}

/** The framework's own, which comes first. */
const BUNDLED = 'tenantkit_0001_history'

describe('createFile', () => {
  it('writes the tables of each set, and nothing the second time', async () => {
    using space = workspace()
    const migrations = space.migrations(NOWHERE)
    const shared = await migrations.createFile('shared', 'first')
    const tenant = await migrations.createFile('tenant', 'first')
    const tablesOf = (file: string) =>
      calls(file, 'up')
        .flatMap(call => /create table "(\w+)"/.exec(call)?.[1] ?? [])
        .toSorted()
    assert.deepEqual(tablesOf(shared!), ['country', 'user'])
    assert.deepEqual(tablesOf(tenant!), ['book', 'book_tags', 'tag', 'user'])
    assert.isUndefined(await migrations.createFile('shared', 'again'))
    assert.isUndefined(await migrations.createFile('tenant', 'again'))
    assert.deepEqual(await migrations.names('tenant'), [BUNDLED, /(Migration\d{14}_first)\.ts$/.exec(tenant!)![1]!])
    assert.equal(await migrations.head('shared'), /(Migration\d{14}_first)\.ts$/.exec(shared!)![1])
  })

  it('qualifies references to shared tables, the shared half of a pair among them, and nothing else', async () => {
    using space = workspace()
    const up = calls((await space.migrations(NOWHERE).createFile('tenant', 'first'))!, 'up')
    const references = up
      .filter(call => call.includes('foreign key'))
      .map(call => `${call.split(':')[0]} ${/constraint "(\w+)".* references (\S+)/.exec(call)!.slice(1).join(' ')}`)
    assert.sameMembers(references, [
      'addSharedReference book_country_id_foreign "public"."country"',
      'addSharedReference book_importer_id_foreign "public"."user"',
      'addSql book_owner_id_foreign "user"',
      'addSql book_sequel_id_foreign "book"',
      'addSql book_tags_book_id_foreign "book"',
      'addSql book_tags_tag_id_foreign "tag"',
    ])
    const others = up.filter(call => !call.startsWith('addSharedReference'))
    assert.isEmpty(others.filter(call => call.includes('"public"') || call.includes('"tenant"') || call.includes('"*"')))
  })

  it('names every constraint, and adds checks apart from their columns', async () => {
    using space = workspace()
    const up = calls((await space.migrations(NOWHERE).createFile('tenant', 'first'))!, 'up')
    assert.include(up, `addSql: alter table "book" add constraint "book_kind_check" check ("kind" in ('novel', 'poem'))`)
    for (const call of up) assert.notMatch(call, /(?<!constraint "\w+" )(primary key|foreign key|check) ?\(/)
    assert.isNotEmpty(up.filter(call => call.includes('constraint "book_tags_pkey" primary key')))
  })

  it('writes only what was added, a statement for each column', async () => {
    using space = workspace()
    await space.migrations(NOWHERE).createFile('tenant', 'first')
    const file = await space.migrations(NOWHERE, 'pages').createFile('tenant', 'more pages')
    assert.match(file!, /_more_pages\.ts$/)
    assert.deepEqual(calls(file!, 'up'), [
      'addSql: alter table "book" add "pages" int null',
      'addSql: alter table "book" add "origin_id" uuid null',
      'addSharedReference: alter table "book" add constraint "book_origin_id_foreign" foreign key ("origin_id") references "public"."country" ("id") on delete set null',
    ])
    assert.include(calls(file!, 'down'), 'addSql: alter table "book" drop constraint if exists "book_origin_id_foreign"')
  })

  it('keeps the files of one second apart, and in order', async () => {
    using space = workspace()
    await space.migrations(NOWHERE).createFile('tenant', '')
    await space.migrations(NOWHERE, 'pages').createFile('tenant', '')
    await space.migrations(NOWHERE).createFile('tenant', '', { allowDestructive: true })
    assert.lengthOf(
      readdirSync(join(space.path, 'tenant')).filter(name => name.endsWith('.ts')),
      3,
    )
    const names = (await space.migrations(NOWHERE).names('tenant')).slice(1)
    assert.deepEqual(names, names.toSorted())
  })

  it('refuses to write what loses data, forgets nothing of the change, and lets the file that may say so', async () => {
    using space = workspace()
    await space.migrations(NOWHERE, 'pages').createFile('tenant', 'first')
    for (const _ of [1, 2]) {
      const error = await refused(space.migrations(NOWHERE).createFile('tenant', 'drop pages'), 'DESTRUCTIVE_MIGRATION')
      assert.include(error.message, 'drop column')
    }
    assert.lengthOf(
      (await space.migrations(NOWHERE).names('tenant')).filter(name => !name.startsWith('tenantkit_')),
      1,
    )
    const file = await space.migrations(NOWHERE).createFile('tenant', 'drop pages', { allowDestructive: true })
    assert.include(readFileSync(file!, 'utf8'), 'override readonly destructive = true')
    const [first, second] = (await space.migrations(NOWHERE).collected('tenant')).slice(-2)
    assert.isFalse(first!.destructive)
    assert.isTrue(second!.destructive)
  })

  it('leaves the tables of the framework to the framework', async () => {
    using space = workspace()
    const settings = space.settings(NOWHERE)
    const country = settings.entities.shared.filter(entity => entity.meta.className === 'Country')
    const file = await space
      .migrations(NOWHERE, 'first', { frameworkEntities: [...REGISTRY_ENTITIES, ...country] })
      .createFile('shared', 'first')
    assert.isNotEmpty(calls(file!, 'up').filter(call => call.includes('create table "user"')))
    assert.isEmpty(calls(file!, 'up').filter(call => call.includes('country')))
  })

  it('refuses a name that fits no file, and a lost snapshot', async () => {
    using space = workspace()
    const migrations = space.migrations(NOWHERE)
    for (const name of ['../x', 'a;b', '1st', 'x'.repeat(81)]) await refused(migrations.createFile('tenant', name), 'VALIDATION_FAILED')
    assert.isEmpty(readdirSync(space.path).filter(name => name !== 'tenant' && name !== 'shared'))
    await migrations.createFile('tenant', 'first')
    rmSync(join(space.path, 'tenant/.snapshot.json'))
    await refused(migrations.createFile('tenant', 'second'), 'CONFIGURATION_INVALID')
  })

  it('refuses a folder with one name twice, a file without a migration, and one of the other set', async () => {
    using space = workspace()
    const migrations = space.migrations(NOWHERE)
    space.write('tenant', 'Migration1', '')
    writeFileSync(join(space.path, 'tenant/Migration1.js'), '')
    await refused(migrations.names('tenant'), 'CONFIGURATION_INVALID')
    rmSync(join(space.path, 'tenant/Migration1.js'))
    writeFileSync(join(space.path, 'tenant/Migration2.ts'), 'export const nothing = 1\n')
    await refused(migrations.preparedScript('schema'), 'CONFIGURATION_INVALID')
    rmSync(join(space.path, 'tenant/Migration2.ts'))
    writeFileSync(
      join(space.path, 'tenant/Migration3.ts'),
      `import { SharedMigration } from 'mikro-tenantkit'\nexport class A extends SharedMigration { override up() {} }\n`,
    )
    await refused(migrations.preparedScript('schema'), 'CONFIGURATION_INVALID')
    assert.deepEqual(await space.migrations(NOWHERE).names('tenant'), [BUNDLED, 'Migration1', 'Migration3'])
  })

  it('writes files that type-check under the strictest options', async function () {
    this.timeout(60_000)
    using space = workspace()
    await space.migrations(NOWHERE).createFile('shared', 'first')
    await space.migrations(NOWHERE).createFile('tenant', 'first')
    const root = resolve(import.meta.dirname, '../..')
    mkdirSync(join(space.folder, 'node_modules/mikro-tenantkit'), { recursive: true })
    const paths = { 'mikro-tenantkit': [join(root, 'src/migrations/migration.ts')] }
    const compilerOptions = { noEmit: true, paths, typeRoots: [join(root, 'node_modules/@types')] }
    writeFileSync(
      join(space.folder, 'tsconfig.json'),
      JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions, include: ['migrations'] }),
    )
    try {
      execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', join(space.folder, 'tsconfig.json')], { stdio: 'pipe' })
    } catch (error) {
      assert.fail(String((error as { stdout: Buffer }).stdout))
    }
  })
})
