import { inspect } from 'node:util'
import { serialize } from '@mikro-orm/postgresql'
import { assert } from 'chai'
import { Tenant, controlEm, em, newId, open, parseKeyRing } from 'mikro-tenantkit'
import { databaseUrl, query, serverUrl } from '../helpers/postgres.ts'
import { Author, operator, testTenancy, type TestTenancy } from '../helpers/tenancy.ts'
import { fieldsOf, refused, rowOf } from './refused.ts'

describe("a tenant's secrets and audit columns", () => {
  let kit: TestTenancy

  before(async () => {
    kit = await testTenancy()
    await kit.tenancy.runAsActor(operator, () =>
      kit.tenancy.provision({ slug: 'globex', name: 'Globex', isolation: 'database', provisioningConnectionString: serverUrl() }),
    )
  })
  after(() => kit[Symbol.asyncDispose]())

  const urlOf = async (purpose: 'connection_string' | 'provisioning_connection_string') => {
    const row = (await rowOf(kit, 'globex'))!
    const { keys } = kit.options
    return open(parseKeyRing(typeof keys === 'function' ? keys() : keys), String(row[purpose]), { tenantId: String(row['id']), purpose })
  }
  const update = (change: Parameters<typeof kit.tenancy.updateTenant>[1]) => kit.asSystem(() => kit.tenancy.updateTenant('globex', change))
  const count = () => kit.tenancy.run('globex', () => em().count(Author), { actor: operator })

  it('stand sealed in the row, each for its purpose', async () => {
    const row = (await rowOf(kit, 'globex'))!
    assert.match(await urlOf('connection_string'), /^postgresql:\/\//)
    assert.equal(await urlOf('provisioning_connection_string'), serverUrl())
    for (const secret of [await urlOf('connection_string'), serverUrl()]) {
      const password = new URL(secret).password
      if (password !== '') assert.notInclude(JSON.stringify(row), password)
      assert.notInclude(JSON.stringify(row), 'postgresql://')
    }
    assert.notEqual(row['connection_string'], row['provisioning_connection_string'])
  })

  it('are in no JSON, whichever way it is made', async () => {
    const row = (await rowOf(kit, 'globex'))!
    const json = await kit.tenancy.showTenant('globex')
    assert.include(json, {
      connection_string: null,
      has_connection_string: true,
      provisioning_connection_string: null,
      has_provisioning_connection_string: true,
    })
    const list = await kit.tenancy.listTenants()
    const record = await kit.tenancy.find('globex')
    assert.isDefined(record)
    const entity = await kit.asSystem(() => controlEm().findOneOrFail(Tenant, { slug: 'globex' }))
    assert.isString(entity.connectionString)
    const texts = [JSON.stringify(json), JSON.stringify(list), JSON.stringify(entity), JSON.stringify(serialize(entity))]
    const secrets = [row['connection_string'], row['provisioning_connection_string'], await urlOf('connection_string'), serverUrl()]
    for (const text of texts) for (const secret of secrets) assert.notInclude(text, String(secret))
    assert.notInclude(inspect(record), 'postgresql://')
  })

  it('are refused, and never repeated, when they are wrong', async () => {
    for (const path of ['connectionString', 'provisioningConnectionString'] as const) {
      const error = await refused(update({ [path]: 'mysql://a:secret-word@host/x' }), 'VALIDATION_FAILED')
      assert.notInclude(`${error.message} ${JSON.stringify(error)}`, 'secret-word')
    }
    assert.deepEqual(fieldsOf(await refused(update({ connectionString: kit.url }), 'VALIDATION_FAILED')), ['connection_string'])
    assert.equal(await count(), 0)
  })

  it('are rotated: the old connection is left, and the old password may go', async () => {
    assert.equal(await count(), 0)
    const name = `${kit.prefix}_globex`
    const pids = async () => (await query(serverUrl(), 'select pid from pg_stat_activity where datname = $1', [name])).map(({ pid }) => pid)
    const before = await pids()
    assert.isNotEmpty(before)
    await query(serverUrl(), `alter role "${name}" password 'rotated-word'`)
    const rotated = new URL(databaseUrl(name))
    rotated.username = name
    rotated.password = 'rotated-word'
    const envelope = (await rowOf(kit, 'globex'))!['connection_string']
    assert.notInclude(JSON.stringify(await update({ connectionString: rotated.href })), 'rotated-word')
    assert.notEqual((await rowOf(kit, 'globex'))!['connection_string'], envelope)
    assert.equal(await urlOf('connection_string'), rotated.href)
    assert.equal(await count(), 0)
    for (let tries = 0; tries < 250 && (await pids()).some(pid => before.includes(pid)); tries++)
      await new Promise(next => setTimeout(next, 20))
    assert.isFalse((await pids()).some(pid => before.includes(pid)))
    assert.equal(kit.tenancy.stats().databases.open, 1)
  })

  it('that were tampered with, or belong to another tenant, do not open', async () => {
    const sealed = String((await rowOf(kit, 'globex'))!['connection_string'])
    await kit.asSystem(() => kit.tenancy.provision({ slug: 'initech', name: 'I', isolation: 'database' }))
    await query(kit.url, `update public.tenantkit_tenant set connection_string = $1 where slug = 'initech'`, [sealed])
    await refused(
      kit.tenancy.run('initech', () => em().count(Author)),
      'SECRET_TAMPERED',
    )
  })

  it('name who made and changed the row', async () => {
    assert.include(await rowOf(kit, 'globex'), { created_by: 'global:operator-1', updated_by: 'system:test' })
    const changed = await kit.tenancy.runAsActor({ ...operator, id: 'operator-2' }, () =>
      kit.tenancy.updateTenant('globex', { name: '  Globex Corp ', metadata: { tier: 'gold' } }),
    )
    assert.include(changed, { name: 'Globex Corp', updated_by: 'global:operator-2', created_by: 'global:operator-1' })
    assert.deepEqual((await rowOf(kit, 'globex'))?.['metadata'], { tier: 'gold' })
    const { tenant } = await kit.tenancy.runAsSystem('nightly', () => kit.tenancy.operate('globex', 'suspend'))
    assert.equal(tenant.updated_by, 'system:nightly')
    await kit.tenancy.runAsSystem('nightly', () => kit.tenancy.operate('globex', 'resume'))
    const archived = await kit.tenancy.runAsSystem('nightly', () => kit.tenancy.archive('globex'))
    assert.include(archived, { deleted_by: 'system:nightly', updated_by: 'system:nightly' })
    assert.equal((await kit.asSystem(() => kit.tenancy.operate('globex', 'restore'))).tenant.deleted_by, null)
  })

  it('without an actor nothing happens', async () => {
    await refused(kit.tenancy.provision({ slug: 'nobody', name: 'N', isolation: 'schema' }), 'NO_ACTOR')
    await refused(kit.tenancy.provision({ slug: 'nobody', name: 'N', isolation: 'database' }), 'NO_ACTOR')
    assert.isUndefined(await rowOf(kit, 'nobody'))
    assert.lengthOf(
      await query(serverUrl(), 'select 1 from pg_roles where rolname = $1 union all select 1 from pg_database where datname = $1', [
        `${kit.prefix}_nobody`,
      ]),
      0,
    )
    const before = await rowOf(kit, 'globex')
    await refused(kit.tenancy.updateTenant('globex', { name: 'Other' }), 'NO_ACTOR')
    await refused(kit.tenancy.operate('globex', 'suspend'), 'NO_ACTOR')
    await refused(kit.tenancy.archive('globex'), 'NO_ACTOR')
    assert.deepEqual(await rowOf(kit, 'globex'), before)
  })

  it('two operators cannot overwrite each other', async () => {
    await kit.asSystem(async () => {
      const [first, second] = [controlEm().fork(), controlEm().fork()]
      const [mine, theirs] = [await first.findOneOrFail(Tenant, { slug: 'globex' }), await second.findOneOrFail(Tenant, { slug: 'globex' })]
      mine.name = `mine ${newId()}`
      theirs.name = 'theirs'
      await first.flush()
      const error = await second.flush().then(
        () => undefined,
        (thrown: Error) => thrown,
      )
      assert.equal(error?.name, 'OptimisticLockError')
    })
  })
})
