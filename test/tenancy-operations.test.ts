/** What is done to tenants, as the durable record tells it while it is done and afterwards. */
import { assert } from 'chai'
import { TenantOperation, controlEm, createTenancy, type OperationJson } from 'mikro-tenantkit'
import { OperationRecord } from '../src/operation-records.ts'
import { tenantById } from '../src/provisioning/store.ts'
import { withTenantLock } from '../src/provisioning/tenant-lock.ts'
import { query } from './helpers/postgres.ts'
import { testTenancy, type TestTenancy } from './helpers/tenancy.ts'
import { refused } from './tenants/refused.ts'

describe('operations on tenants', function () {
  this.timeout(60_000)
  let kit: TestTenancy
  /** What the seed of the next tenant does. */
  let seed: () => Promise<void> = async () => undefined

  before(async () => {
    kit = await testTenancy({ seed: () => seed(), bootstrapAdmin: async () => undefined })
  })
  after(() => kit[Symbol.asyncDispose]())
  afterEach(() => void (seed = async () => undefined))

  const ended = async (id: string): Promise<OperationJson> => {
    for (;;) {
      const operation = await kit.tenancy.operations.show(id)
      if (operation.status !== 'running') return operation
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }
  const stepsOf = ({ steps }: OperationJson) => steps.map(({ name, status }) => `${name} ${status}`)
  const of = (slug: string) => kit.tenancy.operations.list(slug)

  for (const isolation of ['schema', 'database'] as const)
    describe(isolation, () => {
      const slug = `ops-${isolation}`

      it('are seen while they run, step by step, also by another process', async () => {
        let go = (): void => undefined
        const reached = new Promise<void>(resolve => {
          seed = () =>
            new Promise<void>(release => {
              go = release
              resolve()
            })
        })
        const started = await kit.asSystem(() => kit.tenancy.operations.provision({ slug, name: 'Ops', isolation }))
        assert.equal(started.status, 'running')
        assert.equal(started.actor, 'system:test')
        await reached
        await using other = { tenancy: await createTenancy(kit.options), [Symbol.asyncDispose]: () => other.tenancy.close() }
        const [seen] = await other.tenancy.operations.list(slug)
        assert.deepEqual(stepsOf(seen!), ['create succeeded', 'seed running', 'ready pending'])
        assert.equal(seen!.status, 'running')
        go()
        const done = await ended(started.id)
        assert.equal(done.status, 'succeeded')
        assert.isTrue(done.steps.every(({ status, started_at, finished_at }) => status === 'succeeded' && started_at! <= finished_at!))
        assert.equal((await kit.tenancy.showTenant(slug)).status, 'ready')
      })

      it('that fail say at which step, why and what to do; what was done is undone, and retry succeeds', async () => {
        const failing = `${slug}-failing`
        seed = () => Promise.reject(new Error('no room at postgresql://user:secret@host/db'))
        const { id } = await kit.asSystem(() => kit.tenancy.operations.provision({ slug: failing, name: 'Ops', isolation }))
        const failed = await ended(id)
        assert.equal(failed.status, 'failed')
        assert.deepEqual(stepsOf(failed), ['create undone', 'seed failed', 'ready pending'])
        assert.equal(failed.error!.code, 'PROVISIONING_FAILED')
        assert.isString(failed.error!.hint)
        assert.notInclude(JSON.stringify(failed), 'secret')
        seed = async () => undefined
        const again = await kit.asSystem(() => kit.tenancy.operations.start(failing, 'retry'))
        assert.equal((await ended(again.id)).status, 'succeeded')
        assert.deepEqual(
          (await of(failing)).map(({ name, status }) => `${name} ${status}`),
          ['retry succeeded', 'provision failed'],
        )
      })

      it('that are waited for leave a record under the id that they answer, with what was done', async () => {
        const { operation } = await kit.asSystem(() => kit.tenancy.operate(slug, 'migrate'))
        const record = await kit.tenancy.operations.show(operation.id)
        assert.deepInclude(record, { name: 'migrate', status: 'succeeded', tenant: slug, result: { applied: [] } })
        await kit.asSystem(() => kit.tenancy.archive(slug))
        const purged = await kit.asSystem(() => kit.tenancy.operations.start(slug, 'purge', { confirm: `DELETE ${slug}` }))
        const { status, result } = await ended(purged.id)
        assert.equal(status, 'succeeded')
        assert.isNotEmpty(result['dropped'])
        assert.deepEqual((await of(slug)).map(({ name }) => name).slice(0, 3), ['purge', 'archive', 'migrate'])
      })
    })

  it('that are refused leave no record', async () => {
    await kit.asSystem(() => kit.tenancy.provision({ slug: 'quiet', name: 'Quiet', isolation: 'schema' }))
    const count = async () => (await query(kit.url, 'select id from public.tenantkit_tenant_operation')).length
    const before = await count()
    await kit.asSystem(async () => {
      await refused(kit.tenancy.operations.start('quiet', 'resume'), 'INVALID_STATE')
      await refused(kit.tenancy.operations.start('quiet', 'explode'), 'UNKNOWN_OPERATION')
      await refused(kit.tenancy.operations.start('nowhere', 'migrate'), 'TENANT_NOT_FOUND')
      await refused(kit.tenancy.operations.start('quiet', 'purge', { confirm: 'DELETE other' }), 'CONFIRMATION_REQUIRED')
      await refused(kit.tenancy.operations.provision({ slug: 'quiet', name: 'Q', isolation: 'schema' }), 'SLUG_TAKEN')
      await refused(kit.tenancy.operations.provision({ slug: 'x', name: 'Q', isolation: 'schema' }), 'VALIDATION_FAILED')
      let release = (): void => undefined
      const holding = Promise.withResolvers<void>()
      const hold = () =>
        new Promise<void>(done => {
          release = done
          holding.resolve()
        })
      const held = withTenantLock(kit.url, 'quiet', hold)
      await holding.promise
      await refused(kit.tenancy.operations.start('quiet', 'migrate'), 'OPERATION_CONFLICT')
      release()
      await held
    })
    await refused(kit.tenancy.operations.start('quiet', 'migrate'), 'NO_ACTOR')
    assert.equal(await count(), before)
    for (const id of ['x', '', '01a2148a-3605-707e-9158-b441fba2072f']) await refused(kit.tenancy.operations.show(id), 'NOT_FOUND')
    await refused(kit.tenancy.operations.list('nowhere'), 'TENANT_NOT_FOUND')
  })

  it('whose process ended are told as interrupted, not before the lock is free', async () => {
    const row = await kit.asSystem(async () => {
      const { id } = await kit.tenancy.provision({ slug: 'cut', name: 'Cut', isolation: 'schema' })
      return tenantById(controlEm(), id)
    })
    const record = await kit.asSystem(async () => {
      const control = controlEm()
      const begun = new OperationRecord(() => control.fork(), 'migrate')
      await begun.begin(row)
      return begun
    })
    await withTenantLock(kit.url, 'cut', async () => {
      assert.equal((await kit.tenancy.operations.show(record.id)).status, 'running')
      assert.equal((await of('cut'))[0]!.status, 'running')
    })
    assert.equal((await kit.tenancy.operations.show(record.id)).status, 'interrupted')
    assert.equal((await of('cut'))[0]!.status, 'interrupted')
    // The next one has the lock, and does not bring it back to life.
    await kit.asSystem(() => kit.tenancy.operate('cut', 'migrate'))
    await withTenantLock(kit.url, 'cut', async () => {
      assert.deepEqual(
        (await of('cut')).map(({ name, status }) => `${name} ${status}`),
        ['migrate succeeded', 'migrate interrupted', 'provision succeeded'],
      )
    })
    const [stored] = await query(kit.url, 'select status, finished_at from public.tenantkit_tenant_operation where id = $1', [record.id])
    assert.equal(stored!['status'], 'interrupted')
    assert.isNotNull(stored!['finished_at'])
  })

  it('are kept, a hundred of each tenant', async () => {
    const { id } = await kit.asSystem(() => kit.tenancy.provision({ slug: 'busy', name: 'Busy', isolation: 'schema' }))
    await query(
      kit.url,
      `insert into public.tenantkit_tenant_operation (id, tenant_id, slug, name, status, actor, started_at)
       select gen_random_uuid(), $1, 'busy', 'migrate', 'succeeded', 'system:test', now() from generate_series(1, 150)`,
      [id],
    )
    await kit.asSystem(() => kit.tenancy.operate('busy', 'suspend'))
    const left = await query(kit.url, 'select id from public.tenantkit_tenant_operation where tenant_id = $1', [id])
    assert.lengthOf(left, 100)
    assert.lengthOf(await kit.tenancy.operations.list('busy', { limit: 1000 }), 100)
    assert.equal(await kit.asSystem(() => controlEm().count(TenantOperation, { slug: 'busy' })), 100)
  })

  it('are waited for when the tenancy is closed', async () => {
    const own = await createTenancy(kit.options)
    let isSeeded = false
    seed = async () => {
      await new Promise(resolve => setTimeout(resolve, 200))
      isSeeded = true
    }
    await own.runAsSystem('test', () => own.operations.provision({ slug: 'closing', name: 'Closing', isolation: 'schema' }))
    await own.close()
    assert.isTrue(isSeeded)
    assert.equal((await kit.tenancy.showTenant('closing')).status, 'ready')
    assert.isTrue(kit.tenancy.operations.makesAdministrators)
  })
})
