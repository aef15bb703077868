/** The doctor: each fault is planted on a real server, and named; what is healthy is not. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assert } from 'chai'
import { createTenancy, generateKey, newId, type CheckFinding } from 'mikro-tenantkit'
import { mikroOrmVersions, MIKRO_ORM_VERSION, nodeVersion, postgresVersion } from '../../src/diagnosis/server-checks.ts'
import { removeEmbedded, startEmbedded } from '../../src/embedded/start-embedded.ts'
import { databaseUrl, query, serverUrl } from '../helpers/postgres.ts'
import { sentDuring } from '../helpers/spy.ts'
import { testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'
import manifest from '../../package.json' with { type: 'json' }

const of = (findings: readonly CheckFinding[], name: string) => findings.filter(finding => finding.name === name)
const said = (findings: readonly CheckFinding[], name: string) =>
  of(findings, name)
    .map(({ level, message }) => `${level} ${message}`)
    .join('\n')

/** The look at the sealed history visits every plane, on several connections, each of which is asked for its search_path. */
const OF_HISTORY = /tenantkit_audit_|^(begin|start transaction|commit|rollback)|"slug" in \(|as search_path, session_user/i

describe('doctor', function () {
  this.timeout(60_000)
  let kit: TestTenancy
  before(async () => {
    kit = await testTenancy()
    await twoTenants(kit)
  })
  after(() => kit[Symbol.asyncDispose]())

  const look = () => kit.tenancy.doctor()
  /** Plants a fault, looks, and takes it away again. */
  const planted = async (url: string, fault: string, repair: string): Promise<readonly CheckFinding[]> => {
    // Who looked before may be connected still, and then a database cannot be renamed.
    await query(serverUrl(), `select pg_terminate_backend(pid, 2000) from pg_stat_activity where starts_with(datname, $1)`, [
      `${kit.prefix}_`,
    ])
    await query(url, fault)
    try {
      return await look()
    } finally {
      await query(url, repair)
    }
  }

  it('finds nothing wrong with an installation that is healthy', async () => {
    const findings = await look()
    // The rights on a server that other tests share are the server's.
    assert.deepEqual(
      findings.filter(({ level, name }) => level !== 'ok' && name !== 'connect rights' && name !== 'connections'),
      [],
    )
    assert.match(said(findings, 'search_path'), /empty by the start-up parameter|setting of the role/)
    assert.match(said(findings, 'locks'), /a tenant \(acme\) has \d+ relations and takes up to \d+ locks/)
    assert.match(said(findings, 'connections'), /of \d+ in use; one process opens at most 93/)
    assert.match(said(findings, 'sealed secrets'), /^ok 1 secret,/)
    assert.match(said(findings, 'templates'), /holds the current migrations/)
  })

  it('sends the same number of statements however many tenants there are, but for their histories', async () => {
    const sent = async (work: () => Promise<unknown>) => (await sentDuring(work)).filter(({ text }) => !OF_HISTORY.test(text))
    const one = await sent(look)
    const insert = `insert into public.tenantkit_tenant (id, slug, name, isolation_mode, schema_name, status, created_at, created_by, updated_at, updated_by)
      select gen_random_uuid(), 'many-' || n, 'Many', 'schema', 'many_' || n, 'archived', now(), 'system:test', now(), 'system:test' from generate_series(1, 2000) n`
    await query(kit.url, insert)
    try {
      let findings: readonly CheckFinding[] = []
      const many = await sent(async () => void (findings = await look()))
      assert.lengthOf(many, one.length)
      // A few are named, all are counted.
      assert.match(said(findings, 'resources'), /^error on record and not there: many-1 \(schema many_1\), .* and 1995 more$/)
    } finally {
      await query(kit.url, `delete from public.tenantkit_tenant where slug like 'many-%'`)
    }
  })

  it('names schemas, databases and roles without a tenant, and those of another control plane not', async () => {
    const mark = `mikro-tenantkit tenant ${newId()}`
    const fault = `create schema gone_a; comment on schema gone_a is '${mark}'; create schema unmarked; create schema other; comment on schema other is 'a note';
      create role ${kit.prefix}_gone; comment on role ${kit.prefix}_gone is '${mark}'; create role x${kit.prefix}_theirs; comment on role x${kit.prefix}_theirs is '${mark}'`
    const repair = `drop schema gone_a, unmarked, other; drop role ${kit.prefix}_gone; drop role x${kit.prefix}_theirs`
    await query(serverUrl(), `create database ${kit.prefix}_gone`)
    await query(serverUrl(), `comment on database ${kit.prefix}_gone is '${mark}'`)
    const findings = await planted(kit.url, fault, repair)
    await query(serverUrl(), `drop database ${kit.prefix}_gone`)
    assert.deepEqual(
      of(findings, 'orphans').map(({ level, message }) => `${level} ${message}`),
      [
        'warning schema without a tenant: gone_a',
        `warning database without a tenant: ${kit.prefix}_gone`,
        `warning role without a tenant: ${kit.prefix}_gone`,
      ],
    )
    assert.include(of(findings, 'orphans')[0]!.hint, 'drop schema "gone_a" cascade')
    assert.match(said(await look(), 'orphans'), /^ok every schema, database and role has its tenant/)
  })

  it('names tenants whose schema or database is gone or bears another mark', async () => {
    const [acme, globex] = [`${kit.prefix}_acme`, `${kit.prefix}_globex`]
    const moved = await planted(kit.url, `alter schema ${acme} rename to moved`, `alter schema moved rename to ${acme}`)
    assert.include(said(moved, 'resources'), `error on record and not there: acme (schema ${acme})`)
    const renamed = await planted(
      serverUrl(),
      `alter database ${globex} rename to ${globex}_moved`,
      `alter database ${globex}_moved rename to ${globex}`,
    )
    assert.include(said(renamed, 'resources'), `globex (database ${globex})`)
    const [row] = await query<{ id: string }>(kit.url, `select id from public.tenantkit_tenant where slug = 'acme'`)
    const foreign = await planted(
      kit.url,
      `comment on schema ${acme} is 'mine'`,
      `comment on schema ${acme} is 'mikro-tenantkit tenant ${row!.id}'`,
    )
    assert.include(said(foreign, 'resources'), `error there and not marked as the tenant's own: acme`)
    assert.match(said(await look(), 'resources'), /^ok/)
  })

  it('names what a killed comparison left, tenants in the middle of something, secrets of other keys', async () => {
    const fault = `create schema tenantkit_reference_00; comment on schema tenantkit_reference_00 is 'mikro-tenantkit reference';
      update public.tenantkit_tenant set status = 'purging' where slug = 'acme';
      update public.tenantkit_tenant set connection_string = replace(connection_string, 'v1.test.', 'v1.gone.') where slug = 'globex'`
    const repair = `drop schema tenantkit_reference_00; update public.tenantkit_tenant set status = 'ready' where slug = 'acme';
      update public.tenantkit_tenant set connection_string = replace(connection_string, 'v1.gone.', 'v1.test.') where slug = 'globex'`
    const findings = await planted(kit.url, fault, repair)
    assert.match(said(findings, 'references'), /^warning .*tenantkit_reference_00/)
    assert.match(said(findings, 'unsettled tenants'), /^warning 1 purging: acme/)
    assert.match(said(findings, 'sealed secrets'), /^error 1 secret sealed with the key "gone", which is not in the ring: globex/)
    const newer = await createTenancy({ ...kit.options, keys: `${generateKey('newer')},${String(kit.options.keys)}` })
    try {
      assert.match(said(await newer.doctor(), 'sealed secrets'), /^warning 1 secret sealed with the old key "test"/)
    } finally {
      await newer.close()
    }
  })

  it('names histories that were changed after they were sealed, and those it cannot read', async () => {
    await kit.tenancy.history.seal()
    assert.match(said(await look(), 'history'), /^ok as they were sealed: [1-9]\d* events in 3 planes/)
    const events = '"tenantkit_audit_event"'
    const changed = await planted(
      kit.url,
      `update public.${events} set actor = actor || '!' where position = 1`,
      `update public.${events} set actor = rtrim(actor, '!') where position = 1`,
    )
    assert.match(said(changed, 'history'), /^error changed after it was sealed: control plane \(changed at 1\)$/)
    const gone = await planted(
      kit.url,
      `alter table "${kit.prefix}_acme".${events} rename to "moved"`,
      `alter table "${kit.prefix}_acme"."moved" rename to ${events}`,
    )
    assert.match(said(gone, 'history'), /^error could not be read: acme/)
  })

  it('names databases that PUBLIC may connect to', async () => {
    const control = new URL(kit.url).pathname.slice(1)
    const findings = await planted(
      serverUrl(),
      `grant connect on database ${control} to public`,
      `revoke connect on database ${control} from public`,
    )
    assert.match(said(findings, 'connect rights'), new RegExp(`^warning PUBLIC may connect to .*${control}`))
    assert.include(of(findings, 'connect rights')[0]!.hint, `revoke connect on database "${control}" from public`)
    assert.notInclude(said(await look(), 'connect rights'), control)
  })

  it('names templates that are half made or not ours', async () => {
    const name = (what: string) => `${kit.prefix}__template_${what}`
    await query(serverUrl(), `create database ${name('half')}`)
    await query(serverUrl(), `comment on database ${name('half')} is 'mikro-tenantkit template'`)
    await query(serverUrl(), `create database ${name('theirs')}`)
    const findings = await look()
    for (const what of ['half', 'theirs']) await query(serverUrl(), `drop database ${name(what)}`)
    assert.include(said(findings, 'templates'), `error named like templates and not this framework's: ${name('theirs')}`)
    assert.include(said(findings, 'templates'), `warning half made: ${name('half')}`)
  })

  it('names a limit of the role or the database, and another prefix', async () => {
    const control = new URL(kit.url).pathname.slice(1)
    const limited = await planted(
      serverUrl(),
      `alter database ${control} connection limit 9`,
      `alter database ${control} connection limit -1`,
    )
    assert.match(said(limited, 'connections'), /^error the database of the control plane may have 9 connections/)
    const other = await createTenancy({ ...kit.options, naming: { prefix: 'other' } })
    try {
      assert.match(said(await other.doctor(), 'naming.prefix'), /^error naming\.prefix is "other"/)
    } finally {
      await other.close()
    }
  })

  it('says that there is no registry yet, and what can be said without', async () => {
    await query(serverUrl(), `create database ${kit.prefix}_bare`)
    const bare = await createTenancy({ ...kit.options, database: { url: databaseUrl(`${kit.prefix}_bare`) } })
    try {
      const findings = await bare.doctor()
      assert.match(said(findings, 'orphans'), /^warning there is no registry yet/)
      assert.match(said(findings, 'versions'), /ok PostgreSQL/)
    } finally {
      await bare.close()
      await query(serverUrl(), `drop database ${kit.prefix}_bare`)
    }
  })

  it('names settings of the server that are too small for the pools and the tables', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'tenantkit-doctor-'))
    const server = await startEmbedded({
      dataDir: join(dataDir, 'data'),
      settings: { max_connections: '20', max_locks_per_transaction: '10', fsync: 'off' },
    })
    const open = (pool = {}) => createTenancy({ ...kit.options, database: { url: server.url }, pool })
    let tenancy = await open({ perServer: 12 })
    try {
      await tenancy.migrate()
      await tenancy.runAsSystem('test', () => tenancy.provision({ slug: 'acme', name: 'Acme', isolation: 'schema' }))
      assert.match(said(await tenancy.doctor(), 'locks'), /^(warning|error) a tenant \(acme\) has/)
      assert.match(said(await tenancy.doctor(), 'connections'), /^ok/)
      await tenancy.close()
      tenancy = await open()
      assert.match(said(await tenancy.doctor(), 'connections'), /^warning the server gives 17 connections, and one process may open 93/)
      await tenancy.close()
      tenancy = await open({ shared: 18 })
      assert.match(said(await tenancy.doctor(), 'connections'), /^error the server gives 17 connections, and one process uses up to 21/)
    } finally {
      await tenancy.close()
      await server.stop()
      await removeEmbedded({ dataDir: join(dataDir, 'data') })
      rmSync(dataDir, { recursive: true, force: true })
    }
  })
})

describe('the versions that doctor knows', () => {
  it('are those of package.json', () => {
    assert.equal(MIKRO_ORM_VERSION, manifest.dependencies['@mikro-orm/core'])
    assert.equal(mikroOrmVersions().level, 'ok')
    assert.equal(nodeVersion(process.versions.node).level, 'ok')
    assert.equal(`>=22.17`, manifest.engines.node)
  })

  it('are held against what runs', () => {
    const odd = mikroOrmVersions(name => (name === '@mikro-orm/sql' ? '7.2.2' : name === '@mikro-orm/cli' ? undefined : MIKRO_ORM_VERSION))
    assert.deepInclude(odd, { level: 'error', message: 'not MikroORM 7.2.1: @mikro-orm/sql 7.2.2, @mikro-orm/cli missing' })
    assert.deepEqual(
      ['22.16.9', '22.17.0', '20.20.2', '24.0.0'].map(version => nodeVersion(version).level),
      ['error', 'ok', 'error', 'ok'],
    )
    assert.deepEqual(
      [14, 15, 18, 19].map(major => postgresVersion(major).level),
      ['error', 'ok', 'ok', 'warning'],
    )
  })
})
