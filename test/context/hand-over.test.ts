import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { assert } from 'chai'
import { controlEm, currentActor, currentContext, em, handOver, Tenant, type HandedOver } from 'mikro-tenantkit'
import { Tag, ada, operator, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'

let kit: TestTenancy
let worker: Worker

async function codeOf(work: () => unknown): Promise<string | undefined> {
  try {
    await work()
    return undefined
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).message
  }
}

/** Asks the worker, and gives its answer or its code. */
async function ask(message: object): Promise<unknown> {
  const answered = once(worker, 'message')
  worker.postMessage(message)
  const [{ answer, code }] = (await answered) as [{ answer?: unknown; code?: string }]
  return code ?? answer
}

describe('a context handed over', function () {
  this.timeout(60_000)
  before(async () => {
    kit = await testTenancy()
    await twoTenants(kit)
    for (const slug of ['acme', 'globex'])
      await kit.tenancy.run(
        slug,
        () =>
          em()
            .persist(em().create(Tag, { label: `of ${slug}` }))
            .flush(),
        { actor: ada },
      )
    const { keys, migrations } = kit.options
    worker = new Worker(new URL('hand-over-worker.ts', import.meta.url), {
      workerData: { url: kit.url, keys, prefix: kit.prefix, path: migrations.path },
    })
  })
  after(async () => {
    const gone = once(worker, 'exit')
    worker.postMessage({ close: true })
    await gone
    await kit[Symbol.asyncDispose]()
  })

  it('does not reach a worker by itself', async () => {
    await kit.tenancy.run('acme', async () => assert.equal(await ask({ bare: true }), 'NO_TENANT_CONTEXT'))
  })

  for (const slug of ['acme', 'globex']) {
    it(`is entered in a worker, with tenant, actor and request id, in ${slug}`, async () => {
      await kit.tenancy.run(
        slug,
        async () => {
          assert.deepEqual(await ask({ context: handOver() }), {
            tenant: slug,
            actor: 'tenant:ada',
            requestId: 'request 7',
            writes: true,
            labels: [`of ${slug}`],
          })
        },
        { actor: ada, requestId: 'request 7' },
      )
      // The worker is outside of any context again.
      assert.equal(await ask({ bare: true }), 'NO_TENANT_CONTEXT')
    })
  }

  it('many at once keep apart in the worker', async () => {
    const contexts = await Promise.all(['acme', 'globex'].map(slug => kit.tenancy.run(slug, async () => handOver(), { actor: operator })))
    const answers: { tenant: string; labels: string[] }[] = []
    const all = new Promise<void>(resolve =>
      worker.on('message', function listen({ answer }: { answer: { tenant: string; labels: string[] } }) {
        if (answers.push(answer) < 30) return
        worker.off('message', listen)
        resolve()
      }),
    )
    for (let index = 0; index < 30; index++) worker.postMessage({ context: contexts[index % 2] })
    await all
    for (const { tenant, labels } of answers) assert.deepEqual(labels, [`of ${tenant}`])
    assert.lengthOf(
      answers.filter(({ tenant }) => tenant === 'acme'),
      15,
    )
  })

  it('is plain data without secrets, and survives JSON', async () => {
    const context = await kit.tenancy.run('globex', async () => handOver(), { actor: operator, requestId: 'r' })
    assert.isFrozen(context)
    assert.deepEqual(structuredClone(context), context)
    assert.deepEqual(JSON.parse(JSON.stringify(context)) as HandedOver, context)
    assert.hasAllKeys(context, ['tenant', 'actor', 'requestId'])
    assert.hasAllKeys(context.tenant, ['id', 'slug'])
    assert.hasAllKeys(context.actor!, ['plane', 'id', 'label', 'permissions'])
    assert.equal(await codeOf(() => handOver()), 'NO_TENANT_CONTEXT')
    assert.equal(await codeOf(() => kit.asSystem(async () => handOver())), 'NO_TENANT_CONTEXT')
    assert.hasAllKeys(await kit.tenancy.run('acme', async () => handOver()), ['tenant'])
  })

  it('inherits nobody where it names nobody', async () => {
    const context = await kit.tenancy.run('acme', async () => handOver())
    await kit.asSystem(() => kit.tenancy.runHandedOver(context, async () => assert.isUndefined(currentActor())))
    await kit.asSystem(() => kit.tenancy.runHandedOver(context, async () => assert.isUndefined(currentContext()?.requestId)))
  })

  it('is refused for a tenant that does not serve, is not there, or is another one by now', async () => {
    const context = await kit.tenancy.run('acme', async () => handOver(), { actor: ada })
    const enter = (handedOver: unknown) => codeOf(() => kit.tenancy.runHandedOver(handedOver, async () => 1))
    assert.isUndefined(await enter(context))
    const { id } = await kit.tenancy.run('globex', async () => handOver().tenant)
    assert.equal(await enter({ ...context, tenant: { slug: 'acme', id } }), 'TENANT_NOT_FOUND')
    assert.equal(await enter({ ...context, tenant: { slug: 'nobody', id } }), 'TENANT_NOT_FOUND')
    await kit.asSystem(() => kit.tenancy.operate('acme', 'suspend'))
    try {
      assert.equal(await enter(context), 'TENANT_SUSPENDED')
      await kit.asSystem(async () => assert.isNotNull(await controlEm().findOne(Tenant, { slug: 'acme' })))
    } finally {
      await kit.asSystem(() => kit.tenancy.operate('acme', 'resume'))
    }
  })

  it('is refused when it is malformed', async () => {
    const { tenant } = await kit.tenancy.run('acme', async () => handOver())
    const actor = { plane: 'tenant', id: 'ada', label: 'ada' }
    const malformed: unknown[] = [
      undefined,
      null,
      'acme',
      [],
      {},
      { tenant: null },
      { tenant: 'acme' },
      { tenant: { slug: 'acme' } },
      { tenant: { id: tenant.id } },
      { tenant: { ...tenant, slug: 7 } },
      { tenant: { ...tenant, schema: 'public' } },
      { tenant, em: {} },
      { tenant, requestId: 7 },
      { tenant, actor: 'system' },
      { tenant, actor: { ...actor, plane: 'root' } },
      { tenant, actor: { ...actor, id: '' } },
      { tenant, actor: { ...actor, label: undefined } },
      { tenant, actor: { ...actor, permissions: 'data:write' } },
      { tenant, actor: { ...actor, permissions: [7] } },
      { tenant, actor: { ...actor, admin: true } },
    ]
    for (const each of malformed)
      assert.equal(await codeOf(() => kit.tenancy.runHandedOver(each, async () => 1)), 'VALIDATION_FAILED', JSON.stringify(each))
    assert.isUndefined(await codeOf(() => kit.tenancy.runHandedOver({ tenant, actor }, async () => 1)))
    assert.equal(kit.tenancy.stats().leases, 0)
  })
})
