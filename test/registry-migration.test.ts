import { assert } from 'chai'
import { REGISTRY_ENTITIES } from '../src/tenants/entities.ts'
import { Migrations } from '../src/migrations/migrations.ts'
import { resolveOptions } from '../src/options.ts'
import { query } from './helpers/postgres.ts'
import { testTenancy, type TestTenancy } from './helpers/tenancy.ts'
import { tablesOf } from './tenants/refused.ts'

const AUDIT = ['created_at', 'created_by', 'deleted_at', 'deleted_by', 'updated_at', 'updated_by']

describe("the registry's own migration", () => {
  let kit: TestTenancy
  let migrations: Migrations

  before(async () => {
    kit = await testTenancy()
    const { entities, directUrl } = await resolveOptions(kit.options)
    migrations = new Migrations({ entities, frameworkEntities: [...REGISTRY_ENTITIES], directUrl, path: kit.options.migrations.path })
  })
  after(async () => {
    await migrations.close()
    await kit[Symbol.asyncDispose]()
  })

  const tables = REGISTRY_ENTITIES.map(entity => entity.meta.tableName)
  // Runs and operations are records themselves, and say who acted.
  const audited = tables.filter(table => !/^tenantkit_(?:migration_run|tenant_operation)/.test(table))

  it('makes the tables that the entities describe', async () => {
    assert.includeMembers([...(await tablesOf(kit.url, 'public'))], tables)
    const settings = { entities: (await resolveOptions(kit.options)).entities, directUrl: kit.url, path: kit.options.migrations.path }
    // With no framework entities nothing is left out of the comparison.
    const all = new Migrations({ ...settings, frameworkEntities: [] })
    assert.deepEqual(await all.difference(all.sharedTarget()), [])
    await all.close()
    assert.deepEqual(await migrations.difference(migrations.sharedTarget()), [])
  })

  it('is seen to differ when a column, a check or an index is missing', async () => {
    const { entities, directUrl } = await resolveOptions(kit.options)
    const all = new Migrations({ entities, frameworkEntities: [], directUrl, path: kit.options.migrations.path })
    const table = 'public.tenantkit_tenant'
    await query(kit.url, `alter table ${table} drop column cluster, drop constraint tenantkit_tenant_database_check`)
    await query(kit.url, 'drop index public.tenantkit_tenant_slug_unique')
    const found = (await all.difference(all.sharedTarget())).join('\n')
    await all.close()
    for (const name of ['cluster', 'tenantkit_tenant_database_check', 'tenantkit_tenant_slug_unique']) assert.include(found, name)
  })

  it('gives every registry table but those of runs the six audit columns and a primary key of its own making', async () => {
    assert.lengthOf(audited, tables.length - 3)
    for (const table of audited) {
      const columns = await query<{ name: string; value: string | null }>(
        kit.url,
        `select column_name as name, column_default as value from information_schema.columns where table_schema = 'public' and table_name = $1`,
        [table],
      )
      assert.includeMembers(
        columns.map(({ name }) => name),
        [...AUDIT, 'id'],
        table,
      )
      assert.isNull(columns.find(({ name }) => name === 'id')?.value, `${table}: no serial, no identity`)
    }
    assert.deepEqual(
      await query(kit.url, `select 1 from pg_class where relkind = 'S' and relnamespace = 'public'::regnamespace`),
      [],
      'no sequence',
    )
  })

  it('keeps settings and invitations unique among the live ones', async () => {
    const columns = 'created_at, created_by, updated_at, updated_by'
    const now = `now(), 'sql', now(), 'sql'`
    await query(
      kit.url,
      `create unique index if not exists tenantkit_tenant_slug_unique on public.tenantkit_tenant (slug) where status <> 'purged';
       insert into public.tenantkit_tenant (id, slug, name, isolation_mode, schema_name, version, ${columns})
       values ('01a206e5-b5d2-7209-8562-e5d1afb9623b', 'settings', 'S', 'schema', 'settings', 1, ${now})`,
    )
    const tenant = '01a206e5-b5d2-7209-8562-e5d1afb9623b'
    const setting = (deleted: string) =>
      query(
        kit.url,
        `insert into public.tenantkit_tenant_setting (id, tenant_id, key, value, deleted_at, ${columns})
         values (gen_random_uuid(), '${tenant}', 'theme', '{}', ${deleted}, ${now})`,
      ).then(
        () => 'accepted',
        (error: { constraint?: string }) => error.constraint,
      )
    assert.deepEqual(
      [await setting('null'), await setting('null'), await setting('now()'), await setting('now()')],
      ['accepted', 'unique_tenant_setting_key', 'accepted', 'accepted'],
    )
    const invitation = (status: string, token = 'gen_random_uuid()') =>
      query(
        kit.url,
        `insert into public.tenantkit_tenant_invitation (id, tenant_id, email, token, status, ${columns})
         values (gen_random_uuid(), '${tenant}', 'a@example.test', ${token}, '${status}', ${now})`,
      ).then(
        () => 'accepted',
        (error: { constraint?: string }) => error.constraint,
      )
    const token = `'01a206e5-b5d2-7209-8562-e5d1afb9623c'`
    assert.deepEqual(
      [await invitation('pending', token), await invitation('pending'), await invitation('revoked'), await invitation('revoked', token)],
      ['accepted', 'unique_tenant_invitation_email', 'accepted', 'tenantkit_invitation_token_unique'],
    )
    await query(kit.url, `delete from public.tenantkit_tenant where id = '${tenant}'`)
    assert.lengthOf(await query(kit.url, 'select 1 from public.tenantkit_tenant_setting'), 0, 'the settings go with their tenant')
  })
})
