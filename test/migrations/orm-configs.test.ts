import { execFile } from 'node:child_process'
import { readdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { assert } from 'chai'
import { HISTORY_TABLES } from '../../src/history/audit-event.ts'
import type { MigrationTarget } from '../../src/migrations/runner.ts'
import { freshDatabase, query, type TestDatabase } from '../helpers/postgres.ts'
import { databaseTenant, emptied, foreignKeys, recorded, schemaTenant, tables, workspace, type Workspace } from './workspace.ts'

interface Run {
  readonly code: number
  readonly out: string
}

describe('the stock command line', function () {
  this.timeout(60_000)
  let space: Workspace
  let control: TestDatabase
  let own: TestDatabase
  let tenants: MigrationTarget[]

  before(async () => {
    control = await freshDatabase('cli control')
    own = await freshDatabase('cli own')
  })
  after(async () => {
    await control.drop()
    await own.drop()
  })

  beforeEach(async () => {
    space = workspace()
    await Promise.all([emptied(control), emptied(own)])
    tenants = [
      await schemaTenant(control.url, 'tenant_a'),
      await schemaTenant(control.url, 'tenant_b'),
      await databaseTenant(own.url, 'globex'),
    ]
    // As in package.json: the command line takes a .js file without a TypeScript loader, and Node strips the types of what it imports.
    const manifest = {
      name: 'workspace',
      type: 'module',
      dependencies: { '@mikro-orm/cli': '7.2.1' },
      'mikro-orm': { preferTs: false, configPaths: ['./config.js'] },
    }
    writeFileSync(join(space.folder, 'package.json'), JSON.stringify(manifest))
    const config = pathToFileURL(resolve(import.meta.dirname, 'fixture/mikro-orm.config.ts')).href
    writeFileSync(join(space.folder, 'config.js'), `export { configs as default } from ${JSON.stringify(config)}\n`)
  })
  afterEach(() => space[Symbol.dispose]())

  /** Runs one command; `out` is both streams. */
  function mikroOrm(command: string, environment: Record<string, string> = {}): Promise<Run> {
    const cli = join(space.folder, 'node_modules/@mikro-orm/cli/cli.js')
    const env = { ...process.env, TEST_URL: control.url, TEST_TENANTS: JSON.stringify(tenants), NO_COLOR: '1', ...environment }
    return new Promise(done => {
      execFile(process.execPath, [cli, ...command.split(' ')], { cwd: space.folder, env, timeout: 30_000 }, (error, out, err) => {
        done({ code: error === null ? 0 : Number(error.code ?? 99), out: out + err })
      })
    })
  }

  async function succeeds(command: string, environment?: Record<string, string>): Promise<string> {
    const { code, out } = await mikroOrm(command, environment)
    assert.equal(code, 0, out)
    assert.notMatch(out, /ExperimentalWarning|TypeScript files might not work/)
    return out
  }

  async function fails(command: string, environment?: Record<string, string>): Promise<string> {
    const { code, out } = await mikroOrm(command, environment)
    assert.notEqual(code, 0, out)
    assert.notInclude(out, new URL(control.url).password || 'no password')
    return out
  }

  it('creates, lists and applies the shared set, and never sees a tenant', async () => {
    // Without a database: only the snapshot is compared with.
    const offline = { TEST_URL: 'postgres://nobody@127.0.0.1:9/none' }
    assert.match(await succeeds('migration:create --name first', offline), /Migration\d{14}_first\.ts successfully created/)
    assert.match(await succeeds('migration:pending'), /Migration\d{14}_first/)
    await succeeds('migration:create --context tenant --name first')
    assert.match(await succeeds('migration:up'), /Successfully migrated up/)
    await succeeds('migration:up --context tenant')
    assert.includeMembers(await tables(control.url, 'public'), ['country', 'user', 'tenantkit_migration'])
    assert.match(await succeeds('migration:pending'), /No pending migrations/)
    assert.match(await succeeds('migration:list'), /Migration\d{14}_first/)
    assert.match(await succeeds('migration:check', offline), /schema is up-to-date/)
    const drops = (await succeeds('schema:update --dump')).match(/^.*\b(drop|tenant_a|book)\b.*$/gm)
    assert.isNull(drops)
    assert.match(await succeeds('migration:create --name again'), /No changes required/)
    assert.match(await fails('migration:check', { TEST_VERSION: 'phone' }), /Changes detected/)
    assert.match(await succeeds('migration:create --name phone --dump', { TEST_VERSION: 'phone' }), /create table "phone"/)
    const last = readdirSync(join(space.path, 'shared'))
      .filter(name => name.endsWith('.ts'))
      .toSorted()
      .at(-1)!
    assert.match(last, /_phone\.ts$/)
  })

  it('applies the tenant set to all schema tenants, or to those named', async () => {
    await succeeds('migration:create --name first')
    await succeeds('migration:up')
    await succeeds('migration:create --context tenant --name first')
    const up = await succeeds('migration:up --context tenant --schema tenant_b')
    assert.match(up, /tenant-b: tenantkit_0001_history, Migration\d{14}_first\n1 tenant, 0 failed/)
    assert.deepEqual(await tables(control.url, 'tenant_a'), [])
    const pending = await succeeds('migration:pending --context tenant')
    assert.match(pending, /tenant-a: tenantkit_0001_history, Migration\d{14}_first/)
    assert.match(pending, /tenant-b: up to date/)
    assert.match(await succeeds('migration:up --context tenant'), /2 tenants, 0 failed/)
    assert.include(await tables(control.url, 'tenant_a'), 'book')
    assert.include((await foreignKeys(control.url, 'tenant_a')).join(), 'public.country')
    assert.notInclude(await tables(control.url, 'public'), 'book')
    assert.deepEqual(await tables(own.url, 'tenant'), [])
    const down = await succeeds('migration:down --context tenant --schema tenant_a,tenant_b')
    assert.match(down, /2 tenants, 0 failed/)
    assert.deepEqual(await tables(control.url, 'tenant_a'), [...HISTORY_TABLES.toSorted(), 'tenantkit_migration'])
  })

  it('applies the tenant set to one tenant by its slug', async () => {
    await succeeds('migration:create --context tenant --name first')
    assert.match(await succeeds('migration:pending --context db:globex'), /Migration\d{14}_first/)
    await succeeds('migration:up --context db:globex')
    assert.include(await tables(own.url, 'tenant'), 'book')
    assert.deepEqual(await tables(own.url, 'public'), [])
    assert.deepEqual(await tables(control.url, 'public'), [])
    assert.notInclude((await foreignKeys(own.url, 'tenant')).join(), 'country')
    assert.match(await succeeds('migration:pending --context db:globex'), /No pending migrations/)
    assert.match(await fails('migration:up --context db:nobody'), /There is no tenant "nobody"/)
  })

  it('names a tenant that failed, goes on with the others, and exits with a failure', async () => {
    await query(control.url, 'create table tenant_a.tag (id int)')
    await succeeds('migration:create --name first')
    await succeeds('migration:up')
    await succeeds('migration:create --context tenant --name first')
    const out = await fails('migration:up --context tenant')
    assert.match(out, /tenant-a: FAILED Migration Migration\d{14}_first failed on "tenant-a": relation "tag" already exists/)
    assert.match(out, /tenant-b: tenantkit_0001_history, Migration\d{14}_first/)
    assert.match(out, /1 of 2 tenants failed: tenant-a/)
    assert.lengthOf(await recorded(control.url, 'tenant_b'), 2)
  })

  it('refuses a schema that is not in the registry before it does anything', async () => {
    await succeeds('migration:create --name first')
    await succeeds('migration:up')
    await succeeds('migration:create --context tenant --name first')
    const out = await fails('migration:up --context tenant --schema tenant_b,tenant_typo')
    assert.match(out, /tenant_typo/)
    assert.deepEqual(await tables(control.url, 'tenant_b'), [])
    assert.isEmpty(await query(control.url, `select 1 from pg_namespace where nspname = 'tenant_typo'`))
    await fails('migration:up --context tenant --schema public')
    assert.notInclude(await tables(control.url, 'public'), 'book')
  })

  it('refuses what would change tables past the migrations', async () => {
    await succeeds('migration:create --name first')
    await succeeds('migration:up')
    for (const command of [
      'schema:update --run',
      'schema:drop --run',
      'schema:create --run',
      'migration:fresh',
      'schema:drop --run --drop-db',
      'migration:rollup',
    ]) {
      for (const context of ['default', 'tenant'])
        assert.match(await fails(`${command} --context ${context}`), /by migrations only|not supported/, `${command} ${context}`)
    }
    assert.includeMembers(await tables(control.url, 'public'), ['country', 'user', 'tenantkit_migration'])
  })

  it('writes an empty file without losing what changed in the entities', async () => {
    await succeeds('migration:create --name first')
    await succeeds('migration:create --blank --name by_hand', { TEST_VERSION: 'phone' })
    assert.match(await succeeds('migration:create --name phone --dump', { TEST_VERSION: 'phone' }), /create table "phone"/)
    await succeeds('migration:up')
    assert.include(await tables(control.url, 'public'), 'phone')
  })

  it('creates no database', async () => {
    const nowhere = new URL(control.url)
    nowhere.pathname = '/tktest_never_made_by_cli'
    await succeeds('migration:create --name first')
    for (const command of ['migration:up', 'migration:pending', 'schema:update --dump']) await fails(command, { TEST_URL: nowhere.href })
    assert.isEmpty(await query(control.url, `select 1 from pg_database where datname = 'tktest_never_made_by_cli'`))
  })
})
