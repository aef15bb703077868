import { REGISTRY_ENTITIES } from '../../src/tenants/entities.ts'
import { assert } from 'chai'
import { freshDatabase, query, type TestDatabase } from '../helpers/postgres.ts'
import { databaseTenant, refused, schemaTenant, workspace, type Workspace } from './workspace.ts'

describe('difference', () => {
  let space: Workspace
  let control: TestDatabase

  before(async () => {
    space = workspace()
    control = await freshDatabase('difference')
    await space.migrations(control.url).createFile('shared', 'first')
    await space.migrations(control.url).createFile('tenant', 'first')
  })
  after(async () => {
    space[Symbol.dispose]()
    await control.drop()
  })

  it('is empty after up, in every set and isolation, however many tenants there are', async () => {
    await using own = await freshDatabase('difference own')
    const migrations = space.migrations(control.url)
    await migrations.up(migrations.sharedTarget())
    const acme = await schemaTenant(control.url, 'tenant_acme')
    const other = await schemaTenant(control.url, 'tenant_other')
    const globex = await databaseTenant(own.url, 'globex')
    for (const target of [acme, other, globex]) await migrations.up(target)
    for (const target of [migrations.sharedTarget(), acme, globex]) assert.deepEqual(await migrations.difference(target), [], target.key)
    await query(control.url, 'alter table tenant_other.book drop column title; create table tenant_other.extra (id int)')
    assert.deepEqual(await migrations.difference(acme), [])
    assert.deepEqual(await migrations.difference(migrations.sharedTarget()), [])
    await query(control.url, 'create table an_extension_s (id int); create view another as select 1 as one')
    assert.deepEqual(await migrations.difference(migrations.sharedTarget()), [])
    const found = await migrations.difference(other)
    assert.includeMembers([...found], ['drop table if exists "extra" cascade', 'alter table "book" add "title" varchar(255) not null'])
    await migrations.close()
  })

  it("sees a later version of the entities, the framework's tables aside", async () => {
    const settings = space.settings(control.url)
    const later = space.migrations(control.url, 'phone')
    assert.match((await later.difference(later.sharedTarget())).join(), /^create table "phone"/)
    const country = settings.entities.shared.filter(entity => entity.meta.className === 'Country')
    const without = space.migrations(control.url, 'first', { frameworkEntities: [...REGISTRY_ENTITIES, ...country] })
    assert.deepEqual(await without.difference(without.sharedTarget()), [])
    await Promise.all([later.close(), without.close()])
  })

  it('refuses a schema that does not exist', async () => {
    const migrations = space.migrations(control.url)
    await refused(migrations.difference({ ...migrations.sharedTarget(), scope: 'tenant', schema: 'typo' as never }), 'NOT_FOUND')
    await migrations.close()
  })
})
