import { randomUUID } from 'node:crypto'
import { assert } from 'chai'
import { em } from 'mikro-tenantkit'
import { databaseUrl, query, serverUrl } from '../helpers/postgres.ts'
import { Author, ada, operator, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'
import { hasDatabase, hasRole, hasSchema, refused, rowOf } from './refused.ts'

const STATUSES = ['pending', 'provisioning', 'ready', 'suspended', 'failed', 'archived', 'purging', 'purged'] as const
type Status = (typeof STATUSES)[number]
/** Written out once more: the table in the code must not change unseen. */
const ALLOWED: Readonly<Record<string, readonly Status[]>> = {
  provision: ['pending', 'provisioning', 'failed'],
  provision_and_migrate: ['pending', 'provisioning', 'failed', 'ready'],
  retry: ['provisioning', 'failed'],
  migrate: ['ready', 'suspended'],
  bootstrap_admin: ['ready'],
  suspend: ['ready'],
  resume: ['suspended'],
  archive: ['ready', 'suspended', 'failed', 'pending', 'provisioning'],
  restore: ['archived'],
  purge: ['archived', 'purging'],
}
const DOOR: Readonly<Record<Status, string | undefined>> = {
  pending: 'TENANT_NOT_READY',
  provisioning: 'TENANT_NOT_READY',
  ready: undefined,
  suspended: 'TENANT_SUSPENDED',
  failed: 'TENANT_NOT_READY',
  archived: 'TENANT_ARCHIVED',
  purging: 'TENANT_ARCHIVED',
  purged: 'TENANT_ARCHIVED',
}

describe("a tenant's life", () => {
  let kit: TestTenancy

  before(async () => {
    // Statuses are set by plain SQL below, which tells no directory.
    kit = await testTenancy({ bootstrapAdmin: () => Promise.resolve(), directory: { ttlMs: 0 } })
    await twoTenants(kit)
    await kit.asSystem(() => kit.tenancy.provision({ slug: 'statuses', name: 'S', isolation: 'schema' }))
  })
  after(() => kit[Symbol.asyncDispose]())

  const setStatus = (slug: string, status: Status) =>
    query(kit.url, `update public.tenantkit_tenant set status = $2 where slug = $1 returning *`, [slug, status])
  const operate = (slug: string, operation: string, options = {}) => kit.asSystem(() => kit.tenancy.operate(slug, operation, options))
  const archive = (slug: string) => kit.asSystem(() => kit.tenancy.archive(slug))
  const purge = (slug: string) => operate(slug, 'purge', { confirm: `DELETE ${slug}` })
  const count = (slug: string) => kit.tenancy.run(slug, () => em().count(Author), { actor: operator })
  const write = (slug: string) =>
    kit.tenancy.run(
      slug,
      async () => {
        em().create(Author, { name: 'Ada' })
        await em().flush()
      },
      { actor: operator },
    )
  const fresh = (slug: string, isolation: 'schema' | 'database') =>
    kit.asSystem(() => kit.tenancy.provision({ slug, name: slug, isolation }))
  const named = (slug: string) => `${kit.prefix}_${slug.replaceAll('-', '_')}`

  describe('the door', () => {
    after(() => setStatus('statuses', 'ready'))

    for (const status of STATUSES) {
      it(`${status}: ${DOOR[status] ?? 'serves'}, to operators and jobs alike`, async () => {
        const record = (await kit.tenancy.find('statuses'))!
        await setStatus('statuses', status)
        let entered = 0
        const work = () => Promise.resolve(void entered++)
        const now = (await kit.tenancy.find('statuses'))!
        const tries = [
          () => kit.tenancy.run('statuses', work, { actor: operator }),
          () => kit.tenancy.run('statuses', work, { actor: ada }),
          () => kit.asSystem(() => kit.tenancy.run('statuses', work)),
          () => kit.tenancy.runInTenant({ ...record, status }, work),
          () => Promise.resolve().then(() => kit.tenancy.assertServing(now)),
        ]
        const code = DOOR[status]
        for (const attempt of tries) await (code === undefined ? attempt() : refused(attempt, code))
        assert.equal(entered, code === undefined ? tries.length - 1 : 0)
      })
    }

    it('unknown and malformed identifiers', async () => {
      const never = () => Promise.reject(new Error('must not run'))
      assert.equal((await refused(kit.tenancy.run('nobody', never), 'TENANT_NOT_FOUND')).status, 404)
      for (const slug of ['', 'NO', 'a', '../x', 'a--b', `${kit.prefix}_statuses`, 'statuses ', "acme' or true", 'x'.repeat(1_000)])
        assert.equal((await refused(kit.tenancy.run(slug, never), 'TENANT_INVALID')).status, 400)
      for (const slug of [undefined, null, 7, {}]) await refused(kit.tenancy.run(slug as never, never), 'TENANT_INVALID')
    })
  })

  describe('operations and statuses', () => {
    after(() => setStatus('statuses', 'ready'))

    for (const [operation, allowed] of Object.entries(ALLOWED)) {
      it(`${operation} is refused unless ${allowed.join(', ')}`, async () => {
        for (const status of STATUSES.filter(candidate => !allowed.includes(candidate))) {
          const [before] = await setStatus('statuses', status)
          const options = { confirm: 'DELETE statuses', admin: { email: 'a@example.test', password: 'long enough a password' } }
          const error = await refused(
            operation === 'archive' ? archive('statuses') : operate('statuses', operation, options),
            'INVALID_STATE',
          )
          assert.equal(error.status, 409)
          assert.deepEqual(error.details, { status, operation, allowed: [...allowed] })
          assert.deepEqual(await rowOf(kit, 'statuses'), before)
        }
      })
    }

    it('what is allowed is possible', async () => {
      const admin = { email: 'a@example.test', password: 'long enough a password' }
      const possible: readonly (readonly [string, Status, Status])[] = [
        ['migrate', 'ready', 'ready'],
        ['migrate', 'suspended', 'suspended'],
        ['provision_and_migrate', 'ready', 'ready'],
        ['bootstrap_admin', 'ready', 'ready'],
        ['suspend', 'ready', 'suspended'],
        ['resume', 'suspended', 'ready'],
      ]
      for (const [operation, from, to] of possible) {
        await setStatus('statuses', from)
        const { tenant, operation: report } = await operate('statuses', operation, { admin })
        assert.equal(tenant.status, to, operation)
        assert.include(report, { name: operation, status: 'succeeded', tenant: 'statuses' })
      }
      // Nothing was made for these yet, as if the process had ended right after the row was stored.
      for (const [index, operation] of ['provision', 'provision_and_migrate', 'provision', 'provision_and_migrate', 'retry'].entries()) {
        const slug = `again-${index}`
        await fresh(slug, 'schema')
        await query(kit.url, `drop schema "${named(slug)}" cascade`)
        await setStatus(slug, index < 2 ? 'pending' : 'failed')
        assert.equal((await operate(slug, operation)).tenant.status, 'ready')
        assert.equal(await count(slug), 0)
      }
    })

    it('a purged or purging tenant cannot be changed', async () => {
      for (const status of ['purging', 'purged'] as const) {
        await setStatus('statuses', status)
        const error = await refused(
          kit.asSystem(() => kit.tenancy.updateTenant('statuses', { name: 'New' })),
          'INVALID_STATE',
        )
        assert.notInclude(error.details?.['allowed'] as string[], status)
      }
    })

    it('while it is purged, the credentials to purge it with can be changed, and nothing else', async () => {
      await fresh('rights', 'database')
      const update = (change: object) => kit.asSystem(() => kit.tenancy.updateTenant('rights', change))
      await setStatus('rights', 'purging')
      await update({ provisioningConnectionString: serverUrl() })
      await refused(update({ provisioningConnectionString: serverUrl(), name: 'New' }), 'INVALID_STATE')
      await purge('rights')
      await refused(update({ provisioningConnectionString: serverUrl() }), 'INVALID_STATE')
    })

    it('the connection of an auto tenant that is not provisioned cannot be given', async () => {
      await fresh('not-yet', 'database')
      for (const status of ['failed', 'pending', 'provisioning'] as const) {
        await setStatus('not-yet', status)
        const change = { connectionString: databaseUrl(named('not-yet')) }
        await refused(
          kit.asSystem(() => kit.tenancy.updateTenant('not-yet', change)),
          'VALIDATION_FAILED',
        )
      }
    })

    it('unknown operations and tenants', async () => {
      for (const name of ['explode', '', 'archive', 'constructor'])
        assert.equal((await refused(operate('acme', name), 'UNKNOWN_OPERATION')).status, 400)
      await refused(operate('nobody', 'suspend'), 'TENANT_NOT_FOUND')
      await refused(operate('NOBODY', 'suspend'), 'TENANT_INVALID')
      await refused(archive('nobody'), 'TENANT_NOT_FOUND')
      await refused(kit.tenancy.showTenant('nobody'), 'TENANT_NOT_FOUND')
      assert.isUndefined(await kit.tenancy.find('nobody'))
    })
  })

  describe('archive and restore', () => {
    for (const slug of ['acme', 'globex']) {
      it(`${slug}: all data is kept, who deleted it is kept, and restoring clears it`, async () => {
        await write(slug)
        const archived = await kit.tenancy.runAsActor(operator, () => kit.tenancy.archive(slug))
        assert.include(archived, { status: 'archived', deleted: true, is_active: false, deleted_by: 'global:operator-1' })
        const row = await rowOf(kit, slug)
        assert.instanceOf(row?.['deleted_at'], Date)
        assert.equal(row?.['former_status'], 'ready')
        await refused(count(slug), 'TENANT_ARCHIVED')
        const { tenant } = await operate(slug, 'restore')
        assert.include(tenant, { status: 'ready', deleted: false, deleted_at: null, deleted_by: null, is_active: true })
        assert.isNull((await rowOf(kit, slug))?.['former_status'])
        assert.equal(await count(slug), 1)
      })
    }

    it('restoring returns to the former status', async () => {
      for (const status of ['suspended', 'failed', 'pending', 'provisioning'] as const) {
        await setStatus('statuses', status)
        await archive('statuses')
        assert.equal((await operate('statuses', 'restore')).tenant.status, status)
      }
      await setStatus('statuses', 'ready')
    })
  })

  describe('a tenant whose process ended while it was provisioned', () => {
    for (const isolation of ['schema', 'database'] as const) {
      it(`${isolation}: is provisioned anew, without what was left behind`, async () => {
        for (const operation of ['provision', 'retry', 'provision_and_migrate']) {
          const slug = `dead-${isolation[0]}-${operation.length}`
          await fresh(slug, isolation)
          await write(slug)
          // It ended before it recorded what it had made.
          await query(kit.url, `update public.tenantkit_tenant set status = 'provisioning', created_resources = '[]' where slug = $1`, [
            slug,
          ])
          assert.equal((await operate(slug, operation)).tenant.status, 'ready')
          assert.equal(await count(slug), 0)
        }
      })

      it(`${isolation}: is archived and purged with all it left behind`, async () => {
        const slug = `dead-purge-${isolation}`
        await fresh(slug, isolation)
        await query(kit.url, `update public.tenantkit_tenant set status = 'provisioning', created_resources = '[]' where slug = $1`, [slug])
        await archive(slug)
        await purge(slug)
        const left = [await hasSchema(kit.url, named(slug)), await hasDatabase(named(slug)), await hasRole(named(slug))]
        assert.deepEqual(left, [false, false, false])
      })
    }
  })

  describe('purge', () => {
    it('of an unknown tenant is not found, phrase or not', () => refused(operate('nobody', 'purge'), 'TENANT_NOT_FOUND'))

    it('needs the phrase and an archived tenant', async () => {
      await fresh('phrase', 'schema')
      for (const confirm of [undefined, '', 'DELETE', 'DELETE acme', 'delete phrase', 'DELETE phrase '])
        assert.equal((await refused(operate('phrase', 'purge', { confirm }), 'CONFIRMATION_REQUIRED')).status, 400)
      await refused(purge('phrase'), 'INVALID_STATE')
      assert.isTrue(await hasSchema(kit.url, named('phrase')))
    })

    it('drops the schema, keeps the row, and cannot be undone', async () => {
      await fresh('gone-s', 'schema')
      await archive('gone-s')
      const { operation, tenant } = await purge('gone-s')
      assert.deepEqual(operation.result, { dropped: [{ kind: 'schema', name: named('gone-s') }] })
      assert.include(tenant, { status: 'purged', schema_version: null })
      assert.isFalse(await hasSchema(kit.url, named('gone-s')))
      assert.deepEqual((await rowOf(kit, 'gone-s'))?.['created_resources'], [])
      await refused(operate('gone-s', 'restore'), 'INVALID_STATE')
      await refused(purge('gone-s'), 'INVALID_STATE')
    })

    it('drops the database, though somebody is connected, and the role', async () => {
      await fresh('gone-d', 'database')
      await write('gone-d')
      await archive('gone-d')
      const { operation } = await purge('gone-d')
      assert.deepEqual(operation.result, {
        dropped: [
          { kind: 'database', name: named('gone-d') },
          { kind: 'role', name: named('gone-d') },
        ],
      })
      assert.deepEqual([await hasDatabase(named('gone-d')), await hasRole(named('gone-d'))], [false, false])
    })

    it('leaves alone what does not bear the mark, and says that it stays', async () => {
      const resource = { kind: 'schema', name: named('unmarked-s') }
      await fresh('unmarked-s', 'schema')
      await query(kit.url, `comment on schema "${named('unmarked-s')}" is 'mine now'`)
      await archive('unmarked-s')
      const error = await refused(purge('unmarked-s'), 'PROVISIONING_FAILED')
      assert.deepEqual(error.details, { step: 'drop', leftovers: [`schema ${resource.name}`] })
      assert.isTrue(await hasSchema(kit.url, named('unmarked-s')))
      assert.deepInclude(await rowOf(kit, 'unmarked-s'), { status: 'purging', created_resources: [resource] })
      await query(kit.url, `drop schema "${resource.name}" cascade`)
      assert.deepEqual((await purge('unmarked-s')).operation.result, { dropped: [] })
      assert.deepInclude(await rowOf(kit, 'unmarked-s'), { status: 'purged', created_resources: [] })
      await fresh('unmarked-d', 'database')
      await query(serverUrl(), `comment on database "${named('unmarked-d')}" is null`)
      await archive('unmarked-d')
      // The role still has rights in the database that stays, and so cannot be dropped: said, and not marked purged.
      await refused(purge('unmarked-d'), 'PROVISIONING_FAILED')
      assert.isTrue(await hasDatabase(named('unmarked-d')))
      assert.equal((await rowOf(kit, 'unmarked-d'))?.['status'], 'purging')
    })

    it('that fails is told, and can be run again', async () => {
      await fresh('stuck', 'schema')
      await archive('stuck')
      const id = randomUUID().slice(0, 8)
      const trap = `create function public.trap_${id}() returns event_trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
        create event trigger trap_${id} on sql_drop execute function public.trap_${id}()`
      await query(kit.url, trap)
      const error = await refused(purge('stuck'), 'PROVISIONING_FAILED')
      assert.deepEqual(error.details, { step: 'drop' })
      const row = await rowOf(kit, 'stuck')
      assert.equal(row?.['status'], 'purging')
      assert.include(String(row?.['status_reason']), 'purge it again')
      await refused(count('stuck'), 'TENANT_ARCHIVED')
      await query(kit.url, `drop event trigger trap_${id}; drop function public.trap_${id}()`)
      assert.deepEqual((await purge('stuck')).operation.result, { dropped: [{ kind: 'schema', name: named('stuck') }] })
      assert.include(await kit.tenancy.showTenant('stuck'), { status: 'purged', status_reason: null })
    })

    it('of a database tenant touches no other one', async () => {
      await fresh('beside-a', 'database')
      await fresh('beside-b', 'database')
      await write('beside-b')
      await archive('beside-a')
      await purge('beside-a')
      assert.equal(await count('beside-b'), 1)
      assert.lengthOf(await query(databaseUrl(named('beside-b')), 'select 1 from tenant.author'), 1)
    })
  })
})
