/** check, doctor, drift, run and entities as processes of their own, over a tenant of each isolation. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert } from 'chai'
import { databaseUrl, dropRolesLike, freshDatabase, query, serverUrl, uniquePrefix, type TestDatabase } from '../helpers/postgres.ts'
import { configuration, project, type Project } from './project.ts'

const JOBS = {
  'count.ts': `import { em, currentActor } from 'mikro-tenantkit'
import { Customer } from '../mikro-orm.config.ts'
export default async function ({ tenant }) {
  em().create(Customer, { id: crypto.randomUUID(), name: tenant.slug } as never)
  await em().flush()
  return { customers: await em().count(Customer), actor: currentActor()?.id }
}
`,
  'fails.ts': `export async function run({ tenant }: { tenant: { slug: string } }) {
  if (tenant.slug !== 'globex') throw new Error('not in ' + tenant.slug + ' postgres://me:hidden@host/db')
}
`,
  'waits.ts': `import { setTimeout } from 'node:timers/promises'
import { em } from 'mikro-tenantkit'
import { Customer } from '../mikro-orm.config.ts'
export default ({ tenant, signal }) =>
  em().transactional(async tx => {
    tx.create(Customer, { id: crypto.randomUUID(), name: 'never' } as never)
    await tx.flush()
    console.log('waiting in ' + tenant.slug)
    await setTimeout(60_000, undefined, { signal })
  })
`,
  'nothing.ts': 'export const run = 1\n',
}

describe('tenantkit over a fleet', function () {
  this.timeout(60_000)
  const prefix = uniquePrefix()
  let database: TestDatabase
  let place: Project

  const ran = async (args: readonly string[], code: number, env: Record<string, string> = {}) => {
    const result = await place.run(args, { env })
    assert.equal(result.code, code, `tenantkit ${args.join(' ')}\n${result.stdout}\n${result.stderr}`)
    return result
  }

  before(async () => {
    database = await freshDatabase('cli fleet')
    place = project(database.url, prefix)
    mkdirSync(join(place.folder, 'jobs'))
    for (const [name, text] of Object.entries(JOBS)) writeFileSync(join(place.folder, 'jobs', name), text)
    await place.prepare(['migrate:create', '--scope', 'all', '--name', 'first'])
    await place.prepare(['migrate'])
    for (const [slug, isolation] of [
      ['acme', 'schema'],
      ['globex', 'database'],
    ] as const)
      await place.prepare(['tenants', 'create', '--slug', slug, '--name', slug, '--isolation', isolation])
  })
  after(async () => {
    place[Symbol.dispose]()
    await database.drop()
    await dropRolesLike(prefix)
  })

  it('check passes a healthy project, and names what is planted', async () => {
    const { checks, ok } = await place.json(['check', '--strict'])
    assert.isTrue(ok)
    assert.includeMembers(
      checks.map(({ name }: { name: string }) => name),
      [
        'entities',
        'identities',
        'classification',
        'tables',
        'keys of tenants',
        'secrets',
        'environment',
        'middleware order',
        'migration files',
      ],
    )
    const app = `import Koa from 'koa'\nconst app = new Koa()\napp.use(tenantMiddleware(tenancy, {})).use(authentication({ verify }))\n`
    writeFileSync(join(place.folder, 'app.ts'), app)
    place.configure(
      configuration(`classification: { dual: {} },`)
        .replaceAll('Customer', 'Account')
        .replace('label: p.string()', 'label: p.string(), added: p.string()')
        .replace(
          `name: 'InvoiceLine', properties: p => ({ id: p.uuid().primary()`,
          `name: 'InvoiceLine', properties: p => ({ id: p.integer().primary()`,
        ),
    )
    const weak = `weak:${Buffer.from('a text of exactly 32 characters!').toString('base64')}`
    try {
      const env = { TEST_KEYS: weak, TENANTKIT_JWT_SECRET: 'short' }
      const { details } = await place.json(['check'], 1, env)
      const found = Object.fromEntries(
        details.checks.map(({ name, level, message }: Record<string, string>) => [name, `${level}: ${message}`]),
      )
      assert.match(found['identities'], /^warning: Account: in tenants only/)
      assert.match(found['classification'], /^warning: classification\.dual is the old name/)
      assert.match(found['keys of tenants'], /^warning: .*InvoiceLine/)
      assert.match(found['secrets'], /^error: the encryption keys weak are not random/)
      assert.match(found['environment'], /^warning: TENANTKIT_JWT_SECRET has less than 32 bytes/)
      assert.match(found['middleware order'], /^error: app\.ts: authentication\(\) is mounted after tenantMiddleware\(\)/)
      assert.match(found['migration files'], /^warning: the tenant entities changed/)
      assert.notInclude(JSON.stringify(details), 'characters!')
    } finally {
      place.configure(configuration())
      writeFileSync(join(place.folder, 'app.ts'), '')
    }
  })

  it('doctor looks at both tenants, and fails when one is lost', async () => {
    const { checks } = await place.json(['doctor'])
    assert.isEmpty(checks.filter(({ level }: { level: string }) => level === 'error'))
    await query(database.url, `alter schema "${prefix}_acme" rename to moved`)
    const { stdout, stderr } = await ran(['doctor', '--strict'], 1)
    await query(database.url, `alter schema moved rename to "${prefix}_acme"`)
    assert.match(stdout, /error {4}resources: on record and not there: acme \(schema \w+_acme\)\n {9}Restore it/)
    assert.match(stdout, /\d+ checks, \d+ errors?, \d+ warnings?\n$/)
    assert.match(stderr, /\[DOCTOR_FAILED\]/)
  })

  it('drift is quiet about tenants as they should be, and says object by object where one is not', async () => {
    assert.deepInclude(await place.json(['drift', '--strict']), { ok: true, compared: 2, same: 2, behind: 0, tenants: [] })
    await query(databaseUrl(`${prefix}_globex`), `alter table tenant.customer add column by_hand int, alter column name drop not null`)
    const { stdout, stderr } = await ran(['drift'], 1)
    assert.match(
      stdout,
      /^globex \(Migration\d+_first\)\n {2}\+ column customer\.by_hand: integer\n {2}~ column customer\.name\n {6}expected character varying\(255\) not null\n {6}found {4}character varying\(255\)\n2 tenants, 1 as they should be, 1 drifted, 0 not compared, 0 behind; the control plane is as it should be\n$/,
    )
    assert.match(stderr, /failed globex: differs in 2 objects\nComparing: 2 of 2 tenants, 1 failed[^]*\[DRIFT_FOUND\]/)
    const { details } = await place.json(['drift', '--tenant', 'globex'], 1)
    assert.equal(details.compared, 1)
    assert.deepInclude(details.tenants[0].differences[0], { kind: 'added', object: 'column customer.by_hand' })
  })

  it('usage measures each tenant, keeps it as the row of today, and lists the largest', async () => {
    const { day, measured, failed, tenants } = await place.json(['usage'])
    assert.deepEqual([day, measured, failed], [new Date().toISOString().slice(0, 10), 2, []])
    assert.deepEqual(
      tenants.map(({ tenant }: { tenant: string }) => tenant),
      ['globex', 'acme'],
    )
    const sql = `select t.slug as tenant, u.storage_bytes::int, u.created_by from public.tenantkit_tenant_usage u join public.tenantkit_tenant t on t.id = u.tenant_id order by 2 desc`
    const rows = await query(database.url, sql)
    for (const [at, { tenant, storage_bytes }] of tenants.entries())
      assert.deepEqual(rows[at], { tenant, storage_bytes, created_by: 'system:cli' })
    await query(database.url, `alter schema "${prefix}_acme" rename to moved`)
    const { stdout, stderr } = await ran(['usage', '--limit', '1'], 0)
    assert.match(
      stdout,
      /^day: .*\ntenant +isolation +storage +tables +rows \(estimate\)\nglobex +database +[\d.]+ MB +\d+ +\d+\n1 tenants measured, 1 failed\n$/,
    )
    assert.match(stderr, /failed acme: the schema "\w+_acme" does not exist/)
    const { failed: unreached } = await place.json(['usage', '--tenant', 'acme'])
    assert.equal(unreached[0].tenant, 'acme')
    await query(database.url, `alter schema moved rename to "${prefix}_acme"`)
    await query(database.url, `update public.tenantkit_tenant_usage set day = '2026-01-31'`)
    assert.lengthOf((await place.json(['usage', '--day', '2026-01-31'])).tenants, 2)
    assert.deepEqual(await query(database.url, sql.replace('order by', `where u.day > '2026-01-31' order by`)), [])
    assert.equal((await place.json(['usage', '--tenant', 'nobody'], 1)).code, 'TENANT_NOT_FOUND')
    for (const wrong of [
      ['--limit', '0'],
      ['--limit', '1001'],
      ['--tenant', ','],
      ['--day', 'today'],
    ])
      assert.equal((await place.json(['usage', ...wrong], 2)).code, 'WRONG_USAGE', wrong.join(' '))
  })

  it('run calls the function in each tenant, as system:run, and shows what it returns', async () => {
    const document = await place.json(['run', 'jobs/count.ts', '--concurrency', '2'])
    const result = { customers: 1, actor: 'run' }
    assert.deepInclude(document, { total: 2, done: 2, failed: 0, skipped: 0 })
    assert.deepEqual(document.tenants, [
      { tenant: 'acme', status: 'done', result },
      { tenant: 'globex', status: 'done', result },
    ])
    const [row] = await query(database.url, `select name, created_by from "${prefix}_acme".customer`)
    assert.deepEqual(row, { name: 'acme', created_by: 'system:run' })
    const { stdout } = await ran(['run', 'jobs/count.ts', '--tenant', 'acme'], 0)
    assert.equal(stdout, 'acme: {"customers":2,"actor":"run"}\n1 tenant, 1 done, 0 failed\n')
  })

  it('run goes on after a failure, sums up, and stops where it is told to', async () => {
    const { stdout, stderr } = await ran(['run', 'jobs/fails.ts'], 1)
    assert.equal(stdout, 'acme: FAILED not in acme postgres://me:***@host/db\nglobex: done\n2 tenants, 1 done, 1 failed\n')
    assert.match(stderr, /1 of 2 tenants failed\. \[RUN_FAILED\]/)
    const { details } = await place.json(['run', 'jobs/fails.ts', '--concurrency', '1', '--max-failures', '1'], 1)
    assert.deepInclude(details, { failed: 1, skipped: 1 })
  })

  it('run begins no more tenants and rolls back what it is in when it is interrupted', async () => {
    const rows = () => query(database.url, `select 1 from "${prefix}_acme".customer where name = 'never'`)
    const args = ['run', 'jobs/waits.ts', '--concurrency', '1', '--json']
    const { code, stdout, stderr } = await place.run(args, { signalAfter: /waiting in/ })
    assert.equal(code, 130, stderr)
    assert.equal(JSON.parse(stdout).code, 'INTERRUPTED')
    assert.lengthOf(stderr.match(/waiting in/g)!, 1)
    assert.deepEqual(await rows(), [])
  })

  it('run refuses a file that is not there or exports no function, and a tenant that is not there', async () => {
    assert.equal((await place.json(['run', 'jobs/gone.ts'], 2)).code, 'WRONG_USAGE')
    assert.match((await place.json(['run', 'jobs/nothing.ts'], 2)).detail, /exports no function/)
    assert.equal((await place.json(['run', 'jobs/count.ts', '--tenant', 'acme,nobody'], 1)).code, 'TENANT_NOT_FOUND')
  })

  it('tenants create takes what an operator gives, and list finds it', async () => {
    const schema = ['tenants', 'create', '--slug', 'by-hand', '--name', 'By hand', '--isolation', 'schema', '--provisioning', 'manual']
    assert.deepInclude(await place.json([...schema, '--schema-name', `${prefix}_given`]), {
      status: 'ready',
      schema_name: `${prefix}_given`,
    })
    const own = `${prefix}_own`
    const given = ['--connection-alias', own, '--connection-string', databaseUrl(own), '--provisioning-connection-string', serverUrl()]
    const args = ['tenants', 'create', '--slug', 'by-hand-too', '--name', 'By hand', '--isolation', 'database', '--provisioning', 'manual']
    const tenant = await place.json([...args, ...given])
    assert.deepInclude(tenant, { status: 'ready', connection_alias: own, has_connection_string: true, connection_string: null })
    assert.notInclude(JSON.stringify(tenant), '://')
    assert.isNotEmpty(await query(databaseUrl(own), `select 1 from pg_tables where schemaname = 'tenant' and tablename = 'customer'`))
    const { items } = await place.json(['tenants', 'list', '--search', 'by-hand'])
    assert.sameMembers(
      items.map(({ slug }: { slug: string }) => slug),
      ['by-hand', 'by-hand-too'],
    )
  })

  it('colours where they are asked for, and nowhere else', async () => {
    const forced = await ran(['tenants', 'suspend', 'acme'], 0, { FORCE_COLOR: '1' })
    assert.include(forced.stdout, '\u001b[')
    const plain = await ran(['tenants', 'resume', 'acme'], 0, { NO_COLOR: '1' })
    assert.notInclude(plain.stdout + plain.stderr, '\u001b[')
  })
})
