/** What the panel does to tenants, over HTTP: through the registry, whose rules are told as they are. */
import { assert } from 'chai'
import { em } from 'mikro-tenantkit'
import { query } from '../helpers/postgres.ts'
import { as, type Answer, type Client } from './client.ts'
import { PASSWORD, PEOPLE, Person, startWorld, type Who, type World } from './world.ts'

const TENANT = '/admin/api/resources/Tenant'
const HOSTILE = `</script><img src=x onerror=alert(1)>'"\u2028 x`
const SECRET = 'postgresql://someone:hush-hush@127.0.0.1:1/nowhere'

describe('admin: tenants', function () {
  this.timeout(60_000)
  let world: World
  let owner: Client
  let operator: Client
  let seed: () => Promise<void> = async () => undefined
  const ids = new Map<string, string>()

  before(async () => {
    world = await startWorld({}, { seed: () => seed() })
    owner = await as(world.origin, 'owner')
    operator = await as(world.origin, 'operator')
    for (const slug of ['acme', 'globex']) ids.set(slug, (await world.tenancy.showTenant(slug)).id)
  })
  after(() => world?.[Symbol.asyncDispose]())
  afterEach(() => void (seed = async () => undefined))

  const act = async (client: Client, slug: string, action: string, json: object = {}) =>
    (await client.post(`${TENANT}/records/${ids.get(slug)}/${action}`, { json })).json
  const statusOf = async (slug: string) => (await world.tenancy.showTenant(slug)).status
  const create = (client: Client, json: object): Promise<Answer> => client.post(`${TENANT}/actions/new`, { json })
  const progress = async (slug: string, client = owner) => (await client.get(`${TENANT}/records/${ids.get(slug)}/operations`)).json.progress
  /** The newest operation of a tenant, when it has ended. */
  const ended = async (slug: string) => {
    for (;;) {
      const { operations } = await progress(slug)
      if (operations[0]?.status !== 'running') return operations[0]
      await new Promise(resolve => setTimeout(resolve, 30))
    }
  }
  const made = async (slug: string, json: object = {}) => {
    const answer = (await create(owner, { slug, name: slug, isolationMode: 'schema', provisioningMode: 'auto', ...json })).json
    assert.equal(answer.notice?.type, 'success', JSON.stringify(answer))
    ids.set(slug, answer.redirectUrl.split('/').at(-2))
    return ended(slug)
  }
  const actionsOf = async (client: Client, slug: string): Promise<string[]> => {
    const { record } = (await client.get(`${TENANT}/records/${ids.get(slug)}/show`)).json
    return record.recordActions.map(({ name }: { name: string }) => name)
  }

  it('offers what the status allows, and refuses the rest', async () => {
    const names = await actionsOf(owner, 'acme')
    assert.includeMembers(names, ['edit', 'migrate', 'provision_and_migrate', 'suspend', 'archive', 'bootstrap_admin'])
    for (const name of ['resume', 'restore', 'purge', 'provision', 'retry', 'delete', 'hard_delete', 'operations']) {
      assert.notInclude(names, name)
      if (name === 'operations') continue
      const { status, json } = await owner.post(`${TENANT}/records/${ids.get('acme')}/${name}`, {
        json: { confirm_hard_delete: 'DELETE acme' },
      })
      assert.isTrue(status === 404 || json.notice.type === 'error', name)
    }
    assert.equal(await statusOf('acme'), 'ready')
  })

  it('does nothing on GET, nor without the token of the session', async () => {
    for (const action of ['suspend', 'archive', 'bootstrap_admin', 'edit']) {
      await owner.get(`${TENANT}/records/${ids.get('acme')}/${action}?name=x&email=e@x.test&password=${PASSWORD}`)
      const forged = await owner.post(`${TENANT}/records/${ids.get('acme')}/${action}`, { json: { name: 'x' }, token: false })
      assert.equal(forged.status, 403)
    }
    await owner.get(`${TENANT}/actions/new?slug=by-link&name=x&isolationMode=schema`)
    assert.equal((await create(owner, {})).status, 200)
    assert.equal((await owner.post(`${TENANT}/actions/new`, { json: { slug: 'by-link' }, token: false })).status, 403)
    await owner.get(`${TENANT}/bulk/purge_selected?recordIds=${ids.get('acme')}&confirm_hard_delete=DELETE%201%20TENANTS`)
    assert.isUndefined(await world.tenancy.find('by-link'))
    assert.equal(await statusOf('acme'), 'ready')
    assert.equal((await world.tenancy.showTenant('acme')).name, 'Acme')
  })

  for (const slug of ['acme', 'globex'])
    it(`migrates, suspends, resumes, archives, restores and purges ${slug}, and tells what was done`, async () => {
      const done = (status: string) => ({ type: 'success', message: 'tenantOperationDone', options: { slug, status } })
      assert.equal((await act(operator, slug, 'migrate')).notice.message, 'tenantOperationStarted')
      const { name, status, result } = await ended(slug)
      assert.deepEqual({ name, status, result }, { name: 'migrate', status: 'succeeded', result: { applied: [] } })
      assert.deepEqual((await act(operator, slug, 'suspend')).notice, done('suspended'))
      await operator.enter(slug)
      assert.equal((await operator.get(`/admin/t/${slug}`)).status, 403)
      assert.deepEqual((await act(operator, slug, 'resume')).notice, done('ready'))
      assert.deepEqual((await act(operator, slug, 'archive')).notice, done('archived'))
      assert.deepEqual((await act(operator, slug, 'restore')).notice, done('ready'))
      assert.match((await world.tenancy.showTenant(slug)).updated_by, /^global:/)
      await act(operator, slug, 'archive')
      const confirmed = { confirm_hard_delete: `DELETE ${slug}` }
      assert.equal((await act(operator, slug, 'purge', confirmed)).notice.message, 'forbiddenError')
      for (const confirm_hard_delete of [undefined, '', 'DELETE', 'DELETE other', `delete ${slug}`, 'DELETE {slug}'])
        assert.equal((await act(owner, slug, 'purge', { confirm_hard_delete })).notice.type, 'error')
      assert.equal(await statusOf(slug), 'archived')
      assert.equal((await act(owner, slug, 'purge', confirmed)).notice.type, 'success')
      assert.equal((await ended(slug)).status, 'succeeded')
      assert.equal(await statusOf(slug), 'purged')
      const { operations } = await progress(slug)
      assert.include(JSON.stringify(operations[0].result.dropped), slug)
      assert.match(operations[0].actor, /^global:/)
    })

  it('creates a tenant of each mode, and says what is wrong at its field', async () => {
    const errors = async (json: object) => (await create(operator, json)).json.record.errors
    assert.hasAllKeys(await errors({}), ['slug', 'name', 'isolationMode'])
    const good = { slug: 'forms', name: 'Forms', isolationMode: 'schema', provisioningMode: 'auto' }
    assert.hasAllKeys(await errors({ ...good, slug: 'A!', name: 'x'.repeat(151), metadata: '{' }), ['metadata'])
    assert.hasAllKeys(await errors({ ...good, slug: 'A!', name: 'x'.repeat(151), metadata: '[]' }), ['slug', 'name', 'metadata'])
    assert.hasAllKeys(await errors({ ...good, slug: 'admin' }), ['slug'])
    assert.hasAllKeys(await errors({ ...good, slug: { $ne: null }, name: ['x'] }), ['slug', 'name'])
    assert.hasAllKeys(await errors({ ...good, connectionString: SECRET }), ['connectionString'])
    assert.hasAllKeys(await errors({ ...good, provisioningMode: 'manual' }), ['schemaName'])
    const manual = { ...good, isolationMode: 'database', provisioningMode: 'manual' }
    assert.hasAllKeys(await errors(manual), ['connectionAlias', 'connectionString'])
    assert.hasAllKeys(await errors({ ...manual, connectionAlias: 'a', connectionString: 'hush-hush' }), ['connectionString'])
    const weak = { ...good, adminEmail: 'nobody', adminPassword: 'short' }
    assert.hasAllKeys((await create(owner, weak)).json.record.errors, ['adminEmail', 'adminPassword'])
    // Who may make no users makes none this way either.
    assert.hasAllKeys(await errors({ ...good, adminEmail: 'a@b.test', adminPassword: PASSWORD }), ['adminEmail'])
    assert.isUndefined(await world.tenancy.find('forms'))
    assert.equal((await made('forms', { name: HOSTILE, metadata: '{"plan":"gold"}' })).status, 'succeeded')
    const forms = await world.tenancy.showTenant('forms')
    assert.deepInclude(forms, { name: HOSTILE, status: 'ready', metadata: { plan: 'gold' } })
    assert.match(forms.created_by, /^global:/)
    assert.hasAllKeys(await errors(good), ['slug'])
    const administrator = { adminEmail: 'first@forms.test', adminPassword: PASSWORD }
    assert.equal((await made('forms-db', { isolationMode: 'database', ...administrator })).status, 'succeeded')
    const page = await (await as(world.origin, 'owner')).get('/admin/resources/Tenant')
    assert.notInclude(page.text, HOSTILE)
  })

  it('takes secrets and gives none back: set or not set, and empty leaves them', async () => {
    const alias = `${world.kit.prefix}given`.replace(/[^a-z0-9_]/g, '_')
    const given = { isolationMode: 'database', provisioningMode: 'manual', connectionAlias: alias, connectionString: SECRET }
    const { status, error } = await made('given', given)
    assert.equal(status, 'failed')
    assert.equal(error.code, 'PROVISIONING_FAILED')
    assert.isString(error.hint)
    const stored = async () =>
      (
        await query<{ s: string; p: string | null }>(
          world.kit.url,
          'select connection_string s, provisioning_connection_string p from public.tenantkit_tenant where slug = $1',
          ['given'],
        )
      )[0]!
    const before = await stored()
    assert.notInclude(before.s, 'hush')
    const fields = { name: 'Given', metadata: '{}' }
    assert.equal(
      (await act(operator, 'given', 'edit', { ...fields, connectionString: '', provisioningConnectionString: '' })).notice.type,
      'success',
    )
    assert.deepEqual(await stored(), before)
    assert.deepEqual((await progress('given')).secrets, { connectionString: true, provisioningConnectionString: false })
    const refused = await act(operator, 'given', 'edit', {
      ...fields,
      connectionString: 'hush-hush',
      provisioningConnectionString: 'mysql://hush',
    })
    assert.hasAllKeys(refused.record.errors, ['connectionString', 'provisioningConnectionString'])
    await act(operator, 'given', 'edit', { ...fields, connectionString: `${SECRET}2`, provisioningConnectionString: SECRET })
    assert.notDeepEqual(await stored(), before)
    assert.isTrue((await progress('given')).secrets.provisioningConnectionString)
    for (const path of ['show', 'edit', 'operations']) {
      const { text } = await owner.get(`${TENANT}/records/${ids.get('given')}/${path}`)
      assert.notMatch(text, /hush|someone|connection_string":"/, path)
    }
    assert.notMatch((await owner.get(`${TENANT}/actions/list`)).text, /hush|someone/)
    assert.notMatch(world.logged.join('\n'), /hush/)
  })

  it('does not let two people overwrite each other, nor change what never changes', async () => {
    await made('edited')
    const { record } = (await owner.get(`${TENANT}/records/${ids.get('edited')}/edit`)).json
    const sent = {
      ...record.params,
      name: 'One',
      slug: 'other',
      status: 'suspended',
      isolationMode: 'database',
      schemaName: 'public',
      id: ids.get('forms'),
    }
    assert.equal((await act(owner, 'edited', 'edit', sent)).notice.type, 'success')
    assert.deepInclude(await world.tenancy.showTenant('edited'), { name: 'One', status: 'ready', isolation_mode: 'schema', slug: 'edited' })
    assert.equal((await act(operator, 'edited', 'edit', { ...sent, name: 'Two' })).notice.type, 'error')
    assert.equal((await world.tenancy.showTenant('edited')).name, 'One')
    const kept = { plan: 'gold' }
    await world.kit.asSystem(() => world.tenancy.updateTenant('edited', { metadata: kept }))
    // What a request does not send stays as it is.
    assert.equal((await act(owner, 'edited', 'edit', { name: 'Three' })).notice.type, 'success')
    assert.deepInclude(await world.tenancy.showTenant('edited'), { name: 'Three', metadata: kept })
  })

  it('shows a failed operation with its step, code and hint, and retries it', async () => {
    seed = () => Promise.reject(new Error('no room'))
    const failed = await made('failing', { isolationMode: 'database' })
    assert.equal(failed.status, 'failed')
    assert.deepInclude(failed.error, { code: 'PROVISIONING_FAILED' })
    assert.include(failed.error.message, 'no room')
    assert.deepEqual(
      failed.steps.map((step: { name: string; status: string }) => `${step.name} ${step.status}`),
      ['create undone', 'seed failed', 'ready pending'],
    )
    assert.includeMembers(await actionsOf(operator, 'failing'), ['retry', 'provision', 'archive'])
    seed = async () => undefined
    assert.equal((await act(operator, 'failing', 'retry')).notice.message, 'tenantOperationStarted')
    const { name, status } = await ended('failing')
    assert.deepEqual({ name, status }, { name: 'retry', status: 'succeeded' })
    assert.equal(await statusOf('failing'), 'ready')
  })

  it('makes an administrator once, by the policy of passwords, who logs in', async () => {
    for (const isolationMode of ['schema', 'database']) {
      const slug = `first-${isolationMode}`
      await made(slug, { isolationMode })
      const administrator = { email: `boss@${slug}.test`, password: PASSWORD }
      const errors = async (json: object) => (await act(owner, slug, 'bootstrap_admin', json)).record.errors
      assert.hasAllKeys(await errors({}), ['email', 'password'])
      assert.hasAllKeys(await errors({ ...administrator, password: 'short' }), ['password'])
      assert.hasAllKeys(await errors({ ...administrator, email: 'boss' }), ['email'])
      assert.hasAllKeys(await errors({ email: { $ne: 1 }, password: [PASSWORD] }), ['email', 'password'])
      const answer = await owner.post(`${TENANT}/records/${ids.get(slug)}/bootstrap_admin`, { json: administrator })
      assert.equal(answer.json.notice.message, 'tenantAdministratorMade')
      assert.notInclude(answer.text, PASSWORD)
      assert.hasAllKeys(await errors(administrator), ['email'])
      assert.lengthOf(await world.inTenant(slug, () => em().find(Person.tenant, {})), 1)
      const { status, location } = await (await fresh()).logIn(administrator.email, slug)
      assert.deepEqual([status, location], [303, `/admin/t/${slug}`])
    }
  })
  const fresh = async (): Promise<Client> => new (await import('./client.ts')).Client(world.origin)

  it('deletes many by a phrase with their number, and tells what became of each', async () => {
    for (const [slug, isolationMode] of [
      ['bulk-a', 'schema'],
      ['bulk-b', 'database'],
      ['bulk-live', 'schema'],
    ] as const)
      await made(slug, { isolationMode })
    for (const slug of ['bulk-a', 'bulk-b']) await act(owner, slug, 'archive')
    const chosen = ['bulk-a', 'bulk-b', 'bulk-live'].map(slug => ids.get(slug)!)
    const bulk = async (client: Client, recordIds: readonly string[], confirm_hard_delete?: unknown) =>
      (await client.post(`${TENANT}/bulk/purge_selected?recordIds=${recordIds.join(',')}`, { json: { confirm_hard_delete } })).json
    assert.equal((await bulk(operator, chosen, 'DELETE 3 TENANTS')).notice.message, 'forbiddenError')
    for (const phrase of [undefined, '', 'DELETE', 'DELETE 2 TENANTS', 'DELETE 4 TENANTS', 'delete 3 tenants', 'DELETE {count} TENANTS', 3])
      assert.equal((await bulk(owner, chosen, phrase)).notice.message, 'tenantsUnconfirmed', String(phrase))
    // The number of tenants that there are, not of ids that are sent.
    const padded = [...chosen, chosen[0]!, '01a2148a-3605-707e-9158-b441fba2072f', 'x']
    assert.equal((await bulk(owner, padded, 'DELETE 6 TENANTS')).notice.message, 'tenantsUnconfirmed')
    assert.equal(await statusOf('bulk-a'), 'archived')
    const { outcomes, notice } = await bulk(owner, chosen, 'DELETE 3 TENANTS')
    assert.deepEqual(notice.options, { gone: 2, kept: 1 })
    const of = (slug: string) => outcomes.find((each: { slug: string }) => each.slug === slug)
    assert.include(of('bulk-a').dropped.join(), 'schema ')
    assert.include(of('bulk-b').dropped.join(), 'database ')
    assert.include(of('bulk-b').dropped.join(), 'role ')
    assert.deepInclude(of('bulk-live'), { status: 'kept', code: 'INVALID_STATE', dropped: [] })
    for (const [slug, status] of [
      ['bulk-a', 'purged'],
      ['bulk-b', 'purged'],
      ['bulk-live', 'ready'],
    ] as const)
      assert.equal(await statusOf(slug), status)
  })

  it('touches no other tenant by the row of one that is purged, whose slug is taken again', async () => {
    const old = ids.get('bulk-a')!
    await made('bulk-a')
    const again = ids.get('bulk-a')!
    assert.notEqual(again, old)
    for (const action of ['suspend', 'archive', 'edit', 'purge', 'bootstrap_admin', 'migrate', 'retry']) {
      const { json } = await owner.post(`${TENANT}/records/${old}/${action}`, { json: { name: 'x', confirm_hard_delete: 'DELETE bulk-a' } })
      assert.equal(json.notice.type, 'error', action)
    }
    const { json } = await owner.get(`${TENANT}/records/${old}/operations`)
    assert.deepInclude(json.progress, { status: 'purged', operations: [] })
    await act(owner, 'bulk-a', 'archive')
    const outcome = await owner.post(`${TENANT}/bulk/purge_selected?recordIds=${old}`, {
      json: { confirm_hard_delete: 'DELETE 1 TENANTS' },
    })
    assert.equal(outcome.json.outcomes[0].status, 'kept')
    assert.equal(await statusOf('bulk-a'), 'archived')
  })

  it('gives each action to those alone who have its permissions', async () => {
    await made('table')
    const may: Readonly<Record<string, readonly Who[]>> = {
      operations: ['owner', 'operator', 'auditor'],
      edit: ['owner', 'operator'],
      migrate: ['owner', 'operator'],
      provision_and_migrate: ['owner', 'operator'],
      suspend: ['owner', 'operator'],
      bootstrap_admin: ['owner'],
      new: ['owner', 'operator'],
      purge_selected: ['owner'],
      archive: ['owner', 'operator'],
    }
    for (const who of Object.keys(PEOPLE) as Who[]) {
      const isGlobal = PEOPLE[who].plane === 'global'
      const client = await as(world.origin, who, isGlobal ? undefined : 'bulk-live').catch(() => undefined)
      // The people of a tenant are made by its application: here none is in it, and an administrator stands for all.
      const visitor = client ?? (await local())
      for (const [action, allowed] of Object.entries(may)) {
        const path =
          action === 'new'
            ? 'actions/new'
            : action === 'purge_selected'
              ? `bulk/${action}?recordIds=${ids.get('table')}`
              : `records/${ids.get('table')}/${action}`
        const { status, json } = await visitor.post(`${TENANT}/${path}`, { json: {} })
        const isLetIn = status === 200 && json.notice?.message !== 'forbiddenError'
        assert.equal(isLetIn, isGlobal && allowed.includes(who), `${who} ${action}: ${status} ${JSON.stringify(json).slice(0, 200)}`)
        if (!isGlobal)
          assert.equal((await visitor.post(`/admin/t/forms-db/api/resources/Tenant/${path}`, { json: {} })).status, 404, action)
        if (action === 'suspend' && isLetIn) await world.kit.asSystem(() => world.tenancy.operate('table', 'resume'))
        if (action === 'archive' && isLetIn) await world.kit.asSystem(() => world.tenancy.operate('table', 'restore'))
        if (action === 'migrate' || action === 'provision_and_migrate') await ended('table')
      }
    }
  })
  const local = async (): Promise<Client> => {
    const client = await fresh()
    await client.logIn('first@forms.test', 'forms-db')
    return client
  }
})
