/** The command line beside others: the stock one of MikroORM on the same configuration, and an application's own commands, as documented. */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert } from 'chai'
import { readPages } from '../helpers/docs.ts'
import { databaseUrl, dropRolesLike, freshDatabase, query, uniquePrefix, type TestDatabase } from '../helpers/postgres.ts'
import { configuration, project, type Project } from './project.ts'

describe('the command line beside others', function () {
  this.timeout(60_000)
  const prefix = uniquePrefix()
  let database: TestDatabase
  let place: Project

  before(async () => {
    database = await freshDatabase('cli own')
    place = project(database.url, prefix)
    const manifest = {
      name: 'project',
      type: 'module',
      dependencies: { '@mikro-orm/cli': '7.2.1' },
      'mikro-orm': { preferTs: false, configPaths: ['./config.js'] },
    }
    writeFileSync(join(place.folder, 'package.json'), JSON.stringify(manifest))
    writeFileSync(join(place.folder, 'config.js'), `export { default } from './mikro-orm.config.ts'\n`)
    for (const block of readPages().find(({ name }) => name === 'commands')!.blocks) {
      const file = /^\/\/ file: (\S+)\n/.exec(block.code)?.[1]
      if (file !== undefined) writeFileSync(join(place.folder, file), block.code)
    }
    await place.prepare(['migrate:create', '--scope', 'all', '--name', 'first'])
    await place.prepare(['migrate'])
    for (const [slug, isolation] of [
      ['acme', 'schema'],
      ['globex', 'database'],
    ] as const)
      await place.prepare(['tenants', 'create', '--slug', slug, '--name', slug, '--isolation', isolation])
    // A change of a shared, a tenant and a both entity, for the stock command line to find.
    place.configure(
      configuration()
        .replace(`code: p.string() }`, `code: p.string(), price: p.integer().nullable() }`)
        .replace(`label: p.string() }`, `label: p.string(), pages: p.integer().nullable() }`)
        .replace(`email: p.string(), passwordHash`, `email: p.string(), phone: p.string().nullable(), passwordHash`),
    )
  })
  after(async () => {
    place[Symbol.dispose]()
    await database.drop()
    await dropRolesLike(prefix)
  })

  /** Runs a script there; `out` is both streams. */
  const script = (path: string, args: string, code = 0) =>
    new Promise<string>((done, fail) => {
      const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], ...place.env, NO_COLOR: '1' }
      execFile(process.execPath, [join(place.folder, path), ...args.split(' ')], { cwd: place.folder, env }, (error, stdout, stderr) => {
        const got = error === null ? 0 : error.code
        if (got === code) done(stdout + stderr)
        else fail(new Error(`${path} ${args} ended with ${got}\n${stdout}\n${stderr}`))
      })
    })
  const mikroOrm = (args: string) => script('node_modules/@mikro-orm/cli/cli.js', args)
  const columns = async (url: string, schema: string) =>
    (
      await query<{ name: string }>(
        url,
        `select table_name || '.' || column_name as name from information_schema.columns where table_schema = $1`,
        [schema],
      )
    ).map(({ name }) => name)

  it('the stock one works for the control plane, all schema tenants and one tenant', async () => {
    for (const context of ['default', 'tenant'])
      assert.match(await mikroOrm(`migration:create --context ${context} --name second`), /_second\.ts successfully created/)
    await mikroOrm('migration:up --context default')
    assert.match(await mikroOrm('migration:pending --context db:globex'), /_second/)
    assert.match(await mikroOrm('migration:up --context tenant'), /acme: Migration\d+_second/)
    await mikroOrm('migration:up --context db:globex')
    const [control, acme, globex] = [
      await columns(database.url, 'public'),
      await columns(database.url, `${prefix}_acme`),
      await columns(databaseUrl(`${prefix}_globex`), 'tenant'),
    ]
    // What is of both scopes is in both; the rest is in its own plane alone.
    assert.includeMembers(control, ['plan.price', 'user.phone'])
    for (const tenant of [acme, globex]) assert.includeMembers(tenant, ['invoice_line.pages', 'user.phone'])
    assert.notInclude(control.join(), 'invoice_line')
    for (const tenant of [acme, globex]) assert.notInclude(tenant.join(), 'plan.')
    assert.deepInclude(await place.json(['drift']), { compared: 2, same: 2 })
  })

  it("an application's own commands get what the framework's have", async () => {
    assert.match(await script('acme.ts', 'tenants:count database'), /^1 tenants$/m)
    assert.deepEqual(JSON.parse((await script('acme.ts', 'tenants:count --json')).replace(/^a configuration that talks\n/gm, '')), {
      count: 2,
    })
    assert.match(await script('acme.ts', 'tenants:count --minimum 3', 1), /error: There are only 2 tenants\. \[INTERNAL\]/)
    assert.match(await script('acme.ts', 'tenants:cuont', 2), /Did you mean `tenantkit tenants:count`\?/)
  })

  it('the stock one can be extended, and a job is run as documented', async () => {
    assert.match(await script('extended.ts', 'tenants:doctor'), /\d+ checks, 0 errors/)
    const { tenants } = await place.json(['run', 'remind.ts', '--tenant', 'acme'])
    assert.deepInclude(tenants[0], { tenant: 'acme', status: 'done' })
    assert.equal(tenants[0].result.name, 'acme')
    assert.isBelow(Math.abs(Date.parse(tenants[0].result.at) - Date.now()), 60_000)
  })
})
