/** Drift: what was changed by hand in a tenant is named, in both isolations, and nothing else is. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert } from 'chai'
import type { TenantDrift } from 'mikro-tenantkit'
import { databaseUrl, query } from '../helpers/postgres.ts'
import { testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'
import { refused } from '../tenants/refused.ts'

const CODE = `import { TenantMigration } from 'mikro-tenantkit'
export class Migration29990101000000_code extends TenantMigration {
  override async up() {
    this.addSql('create table "noted" ("id" uuid not null, constraint "noted_pkey" primary key ("id"))')
    await this.execute('select 1')
  }
}
`

describe('drift', function () {
  this.timeout(60_000)
  let kit: TestTenancy
  before(async () => {
    kit = await testTenancy()
    await twoTenants(kit)
    await kit.asSystem(() => kit.tenancy.provision({ slug: 'hooli', name: 'Hooli', isolation: 'schema' }))
  })
  after(() => kit[Symbol.asyncDispose]())

  const own = () => databaseUrl(`${kit.prefix}_globex`)
  const scratchSchemas = () => query(kit.url, `select 1 from pg_namespace where starts_with(nspname, 'tenantkit_reference_')`)
  const names = (found: TenantDrift | undefined) => found?.differences.map(({ kind, object }) => `${kind} ${object}`)

  it('finds none among tenants as they were made, and tells of each', async () => {
    const told: string[] = []
    let total = 0
    const report = await kit.tenancy.drift({ total: count => void (total = count), compared: ({ tenant }) => void told.push(tenant) })
    const { shared, ...rest } = report
    assert.deepEqual(rest, { compared: 3, same: 3, behind: 0, tenants: [] })
    assert.deepEqual({ ...shared, version: undefined }, { status: 'same', version: undefined, differences: [] })
    assert.match(shared!.version!, /initial$/)
    assert.equal(total, 3)
    assert.sameMembers(told, ['acme', 'globex', 'hooli'])
    assert.deepEqual(await scratchSchemas(), [])
  })

  it('names what differs, in either isolation, and leaves the others alone', async () => {
    const change =
      'drop index if exists SCHEMA.nothing; alter table SCHEMA.book alter column title type text; create table SCHEMA.extra (id int)'
    await query(kit.url, change.replaceAll('SCHEMA', `${kit.prefix}_acme`))
    await query(own(), `${change.replaceAll('SCHEMA', 'tenant')}; create table public.stray (id int)`)
    const { tenants, shared, ...counts } = await kit.tenancy.drift()
    assert.equal(shared?.status, 'same')
    assert.deepEqual(counts, { compared: 3, same: 1, behind: 0 })
    const [acme, globex] = tenants
    assert.deepEqual(names(acme), ['changed column book.title', 'added table extra'])
    assert.deepInclude(acme?.differences[0], { expected: 'character varying(255) not null', actual: 'text not null' })
    assert.include(names(globex)!, 'added table stray in the schema "public"')
    assert.includeMembers(names(globex)!, names(acme)!)
    assert.deepEqual(await kit.tenancy.drift({ tenants: ['hooli'] }), { compared: 1, same: 1, behind: 0, tenants: [] })
  })

  it('names what differs in the control plane, and leaves what others put beside it', async () => {
    await query(
      kit.url,
      `alter table public.tenantkit_tenant add column planted int; alter table public.tenantkit_tenant alter column name type text;
       drop index public.tenantkit_tenant_status_index; create table public.others (id int); create type public.mood as enum ('good')`,
    )
    try {
      const { shared } = await kit.tenancy.drift()
      assert.equal(shared?.status, 'drifted')
      assert.deepEqual(
        shared?.differences.map(({ kind, object }) => `${kind} ${object}`),
        [
          'changed column tenantkit_tenant.name',
          'added column tenantkit_tenant.planted',
          'missing index tenantkit_tenant.tenantkit_tenant_status_index',
        ],
      )
      assert.isUndefined((await kit.tenancy.drift({ tenants: ['hooli'] })).shared)
      assert.deepEqual(await scratchSchemas(), [])
    } finally {
      await query(
        kit.url,
        `alter table public.tenantkit_tenant drop column planted; alter table public.tenantkit_tenant alter column name type varchar(150);
         create index tenantkit_tenant_status_index on public.tenantkit_tenant (status); drop table public.others; drop type public.mood`,
      )
    }
    assert.equal((await kit.tenancy.drift()).shared?.status, 'same')
  })

  it('does not run code beside the control plane', async () => {
    const file = join(kit.options.migrations.path, 'shared', 'Migration29990101000000_code.ts')
    writeFileSync(file, CODE.replaceAll('TenantMigration', 'SharedMigration'))
    try {
      await kit.asSystem(() => kit.tenancy.migrate({ scope: 'shared' }))
      const { shared } = await kit.tenancy.drift()
      assert.deepInclude(shared, { status: 'unknown', version: 'Migration29990101000000_code' })
      assert.match(shared!.reason!, /is code/)
      assert.deepEqual(await scratchSchemas(), [])
    } finally {
      rmSync(file)
      await query(kit.url, `drop table public.noted; delete from public.tenantkit_migration where name like '%_code'`)
    }
  })

  it('does not take a control plane that it cannot compare for one that is as it should be', async () => {
    await query(kit.url, `insert into public.tenantkit_migration (name) values ('Migration29990101000000_newer')`)
    try {
      const { shared } = await kit.tenancy.drift()
      assert.equal(shared!.status, 'failed')
      assert.match(shared!.reason!, /Migration29990101000000_newer/)
    } finally {
      await query(kit.url, `delete from public.tenantkit_migration where name like '%_newer'`)
    }
  })

  it('says which tenant cannot be compared, and compares the others', async () => {
    await query(kit.url, `alter schema "${kit.prefix}_hooli" rename to "${kit.prefix}_moved"`)
    await query(kit.url, `update public.tenantkit_tenant set connection_string = 'v1.gone.x.y.z' where slug = 'globex'`)
    try {
      const { tenants } = await kit.tenancy.drift()
      const failed = tenants.filter(({ status }) => status === 'failed')
      assert.deepEqual(
        failed.map(({ tenant }) => tenant),
        ['globex', 'hooli'],
      )
      assert.match(failed[1]!.error!, /does not exist/)
      assert.lengthOf(tenants, 3)
    } finally {
      await query(kit.url, `alter schema "${kit.prefix}_moved" rename to "${kit.prefix}_hooli"`)
    }
  })

  it('refuses a tenant that is not there', async () => {
    await refused(kit.tenancy.drift({ tenants: ['hooli', 'nobody'] }), 'TENANT_NOT_FOUND')
  })

  it('compares a tenant that is behind at its own version, and runs code where a migration is code', async () => {
    writeFileSync(join(kit.options.migrations.path, 'tenant', 'Migration29990101000000_code.ts'), CODE)
    const before = await kit.tenancy.drift({ tenants: ['hooli'] })
    assert.deepEqual(before, { compared: 1, same: 1, behind: 1, tenants: [] })
    const { tenants } = await kit.asSystem(() => kit.tenancy.migrate({ tenants: ['hooli'], scope: 'tenant' }))
    assert.equal(tenants[0]!.status, 'applied')
    assert.deepEqual(await kit.tenancy.drift({ tenants: ['hooli'] }), { compared: 1, same: 1, behind: 0, tenants: [] })
    await query(kit.url, `drop table "${kit.prefix}_hooli".noted`)
    const after = await kit.tenancy.drift({ tenants: ['hooli'] })
    assert.deepEqual(names(after.tenants[0]), ['missing table noted'])
    assert.deepEqual(await scratchSchemas(), [])
  })

  it('says which migration was left out, and does not compare a tenant with one that no file has', async () => {
    const record = `"${kit.prefix}_hooli".tenantkit_migration`
    await query(kit.url, `create table "${kit.prefix}_hooli".noted (id uuid not null, constraint noted_pkey primary key (id))`)
    const [first] = await query<{ name: string }>(kit.url, `delete from ${record} where name like '%initial' returning name`)
    assert.deepEqual(names((await kit.tenancy.drift({ tenants: ['hooli'] })).tenants[0]), [`missing migration ${first!.name}`])
    await query(kit.url, `insert into ${record} (name) values ('${first!.name}'), ('Migration_gone')`)
    const { tenants } = await kit.tenancy.drift({ tenants: ['hooli'] })
    assert.match(tenants[0]!.error!, /no tenant migration "Migration_gone"/)
    await query(kit.url, `delete from ${record} where name = 'Migration_gone'`)
  })

  it('takes a tenant that records nothing for one without migrations', async () => {
    await query(kit.url, `drop table "${kit.prefix}_hooli".tenantkit_migration`)
    const [hooli] = (await kit.tenancy.drift({ tenants: ['hooli'] })).tenants
    assert.equal(hooli?.version, null)
    assert.includeMembers(names(hooli)!, ['missing table tenantkit_migration', 'added table book'])
  })
})
