import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from 'chai'
import type { Configuration } from '../../example/configuration.ts'
import { DEMO, seedDemo, seedOperator } from '../../example/seed.ts'
import { query } from '../helpers/postgres.ts'
import { OPERATOR, startHarness } from '../http/harness.ts'
import type { Harness } from '../http/harness.ts'

describe('example: seed', function () {
  this.timeout(60_000)
  let app: Harness
  before(async () => {
    app = await startHarness('example seed', {})
    await seedDemo(app.tenancy, 'the first password')
  })
  after(() => app?.[Symbol.asyncDispose]())

  const logIn = async (email: string, password: string, tenant?: string): Promise<number> =>
    (await app.call('POST', '/auth/login', { body: { email, password, ...(tenant === undefined ? {} : { tenant }) } })).status

  it('stores the password that is printed, outside production', async () => {
    const operator = (adminPassword: string, isProduction: boolean) =>
      ({ adminEmail: OPERATOR, adminPassword, isProduction }) as Configuration
    await seedDemo(app.tenancy, 'another password')
    await seedOperator(app.tenancy, operator('another password', false))
    for (const { email, slug } of DEMO) assert.strictEqual(await logIn(email, 'another password', slug), 200)
    await seedOperator(app.tenancy, operator('a third password', true))
    assert.strictEqual(await logIn(OPERATOR, 'another password'), 200)
  })

  it('provisions a demo tenant again whose provisioning ended early', async () => {
    for (const status of ['provisioning', 'failed']) {
      await query(app.databaseUrl, `update public.tenantkit_tenant set status = $1 where slug = 'globex'`, [status])
      // Plain SQL tells nobody of a change.
      await query(app.databaseUrl, `select pg_notify('tenantkit_tenant', '')`)
      while ((await app.tenancy.find('globex'))?.status !== status) await sleep(5)
      await seedDemo(app.tenancy, 'another password')
      assert.strictEqual((await app.tenancy.showTenant('globex')).status, 'ready')
    }
  })
})
