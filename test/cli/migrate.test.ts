/** The commands of migrations, as processes of their own: documents, lines and exit codes. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert } from 'chai'
import { dropRolesLike, freshDatabase, query, uniquePrefix, type TestDatabase } from '../helpers/postgres.ts'
import { project, type Project } from './project.ts'

describe('tenantkit migrate and its relatives', function () {
  this.timeout(120_000)
  const prefix = uniquePrefix()
  let database: TestDatabase
  let place: Project
  let run = ''

  const human = async (args: readonly string[], code = 0) => {
    const ran = await place.run(args)
    assert.equal(ran.code, code, `${args.join(' ')}\n${ran.stdout}\n${ran.stderr}`)
    return ran
  }
  const write = (name: string, up: string, more = '') =>
    writeFileSync(
      join(place.folder, 'migrations/tenant', `${name}.ts`),
      `import { TenantMigration } from 'mikro-tenantkit'\nexport class Written extends TenantMigration {\n${more}\n  override up() {\n    ${up}\n  }\n}\n`,
    )
  const NAME = 'Migration90000000000001_vat'

  before(async () => {
    database = await freshDatabase('cli migrate')
    place = project(database.url, prefix)
    for (const scope of ['shared', 'tenant']) await human(['migrate:create', '--scope', scope, '--name', 'first'])
    await human(['migrate'])
    for (const [slug, isolation] of Object.entries({ acme: 'schema', hooli: 'schema', globex: 'database' }))
      await human(['tenants', 'create', '--slug', slug, '--name', slug, '--isolation', isolation])
    write(
      NAME,
      `this.addSql('alter table "customer" add column "vat" text null')`,
      `  override down() {\n    this.addSql('alter table "customer" drop column "vat"')\n  }`,
    )
  })
  after(async () => {
    place[Symbol.dispose]()
    await database.drop()
    await dropRolesLike(prefix)
  })

  it('plans: SQL and counts, and nothing is done', async () => {
    const plan = await place.json(['migrate', '--plan'])
    assert.deepInclude(plan, { shared: [], behind: 3, statements: 3 })
    assert.deepInclude(plan.tenant[0], { name: NAME, destructive: false, online: false, transactional: true })
    assert.sameDeepMembers(
      plan.groups.map(({ isolation, tenants, pending }: any) => ({ isolation, tenants, pending })),
      [
        { isolation: 'schema', tenants: 2, pending: [NAME] },
        { isolation: 'database', tenants: 1, pending: [NAME] },
      ],
    )
    const { stdout } = await human(['migrate', '--plan', '--tenant', 'acme'])
    assert.match(stdout, /add column "vat" text null;\n[^]*0 migrations of the control plane; 1 tenant behind; 1 statement/)
    assert.equal((await place.json(['migrate:status'])).behind, 3)
  })

  it('stops at a canary that fails, says so, and exits with 1', async () => {
    await query(database.url, `alter table "${prefix}_hooli".customer add column vat int`)
    const problem = await place.json(['migrate', '--canary', 'hooli', '--max-failures', '1', '--concurrency', '1'], 1)
    assert.equal(problem.code, 'MIGRATION_FAILED')
    assert.match(problem.detail, /1 of 1 tenant failed: hooli\. The run stopped \(.+\); 2 tenants not begun/)
    run = problem.details.run.id
    assert.include(problem.hint, `migrate:resume ${run}`)
    assert.deepInclude(problem.details.run, { status: 'stopped', failed: 1, pending: 2, applied: 0 })
  })

  it('shows the status, in a table and as one document', async () => {
    const status = await place.json(['migrate:status'])
    assert.deepInclude(status, { head: NAME, tenants: 3, behind: 3, migrating: 0 })
    assert.deepInclude(status.shared, { pending: [] })
    assert.deepInclude(status.versions[0], { tenants: 3, current: false })
    assert.deepInclude(status.failed[0], { tenant: 'hooli', run, attempts: 1 })
    assert.match(status.failed[0].error, /vat/)
    const { stdout } = await human(['migrate:status'])
    assert.match(stdout, /tenants: 3, of which 3 behind/)
    assert.match(stdout, /^hooli .*already exists/m)
    assert.match(stdout, new RegExp(`^${run} +stopped`, 'm'))
  })

  it('goes on after the repair with what is left, and has nothing to do then', async () => {
    assert.match((await human(['migrate:resume', run], 1)).stdout, /hooli: FAILED/)
    await query(database.url, `alter table "${prefix}_hooli".customer drop column vat`)
    const { stdout, stderr } = await human(['migrate:resume', run])
    assert.match(stdout, /hooli: Migration9[^]*succeeded/)
    assert.match(stderr, /Going on with the run/)
    const nothing = await place.json(['migrate'])
    assert.deepEqual(nothing.shared, [])
    assert.notProperty(nothing, 'run')
    assert.equal((await place.json(['migrate:resume', '0198c0de-0000-7000-8000-000000000000'], 1)).code, 'NOT_FOUND')
    assert.equal((await place.json(['migrate:resume', 'nonsense'], 1)).code, 'VALIDATION_FAILED')
  })

  it('reverts the last migration of the tenants that are named, in both isolations', async () => {
    assert.deepEqual(await place.json(['migrate:down', '--tenant', 'acme,globex']), {
      tenants: [
        { tenant: 'acme', status: 'reverted', names: [NAME] },
        { tenant: 'globex', status: 'reverted', names: [NAME] },
      ],
    })
    assert.isEmpty(
      await query(database.url, `select from information_schema.columns where table_schema = $1 and column_name = 'vat'`, [
        `${prefix}_acme`,
      ]),
    )
    assert.equal((await place.json(['migrate:status'])).behind, 2)
    const report = await place.json(['migrate'])
    assert.deepInclude(report.run, { status: 'succeeded', applied: 2, total: 2 })
    assert.equal((await place.json(['migrate:down', '--tenant', 'acme', '--to', 'Migration0'], 1)).code, 'CONFIGURATION_INVALID')
    assert.equal((await place.json(['migrate:down', '--tenant', 'nobody'], 1)).code, 'TENANT_NOT_FOUND')
    assert.match((await place.json(['migrate:down', '--tenant', 'acme,nobody'], 1)).detail, /1 of 2 tenants failed: nobody/)
    await human(['migrate'])
  })

  it('refuses what loses data, before anything is done, unless it is allowed', async () => {
    write('Migration90000000000002_drop', `this.addSql('alter table "customer" drop column "vat"')`)
    const runs = (await place.json(['migrate:status'])).runs.length
    const problem = await place.json(['migrate'], 1)
    assert.deepInclude(problem, { code: 'DESTRUCTIVE_MIGRATION', status: 409 })
    assert.equal((await place.json(['migrate:status'])).runs.length, runs)
    assert.isTrue((await place.json(['migrate', '--plan'])).tenant[0].destructive)
    assert.match((await human(['migrate', '--plan'])).stdout, /LOSES DATA/)
    assert.equal((await place.json(['migrate', '--allow-destructive'])).run.status, 'succeeded')
  })

  for (const [args, problem] of [
    [['migrate', '--max-failures', '0'], /whole number/],
    [['migrate', '--canary', ' , '], /names no tenant/],
    [['migrate', '--waves', '10,x'], /--waves/],
    [['migrate:resume'], /Not enough|run/],
    [['migrate:down'], /tenant/],
    [['migrate:down', '--tenant', ','], /names no tenant/],
  ] as const)
    it(`exits with 2 on ${args.join(' ')}`, async () => {
      const { detail } = await place.json(args, 2)
      assert.match(detail, problem)
    })
})
