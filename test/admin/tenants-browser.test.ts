/** Tenants as an operator of the control plane handles them, in a real Chromium. */
import { assert } from 'chai'
import type { Browser, Page } from 'playwright-core'
import { openPage, picture, startBrowser } from './browser.ts'
import { PASSWORD, emailOf, startWorld, type World } from './world.ts'

const HOSTILE = `</script><script>alert(1)</script><img src=x onerror=alert(2)>'"`

describe('admin: tenants in a browser', function () {
  this.timeout(90_000)
  let world: World
  let browser: Browser
  let seed: () => Promise<void> = async () => undefined

  before(async () => {
    ;[world, browser] = await Promise.all([startWorld({ title: 'Back office' }, { seed: () => seed() }), startBrowser()])
  })
  after(async () => {
    await browser?.close()
    await world?.[Symbol.asyncDispose]()
  })
  afterEach(() => void (seed = async () => undefined))

  async function logIn(page: Page, email: string, tenant = ''): Promise<void> {
    await page.goto('/admin/login')
    await page.fill('input[name=email]', email)
    await page.fill('input[name=password]', PASSWORD)
    await page.fill('input[name=tenant]', tenant)
    await page.click('button[type=submit]')
    await page.waitForURL(url => url.pathname === (tenant === '' ? '/admin' : `/admin/t/${tenant}`))
  }
  const onPage = async (page: Page, slug: string): Promise<void> => {
    const { id } = await world.tenancy.showTenant(slug)
    await page.goto(`/admin/resources/Tenant/records/${id}/show`)
    await page.getByTestId('operation').waitFor()
  }
  const step = (page: Page, name: string, status: string) => page.locator(`[data-step="${name}"][data-status="${status}"]`)

  it('creates a tenant, with what is wrong at its field first, and watches it become ready, over a reload', async () => {
    let release = (): void => undefined
    seed = () => new Promise(resolve => (release = resolve))
    await using visitor = await openPage(browser, world.origin)
    const { page, problems } = visitor
    await logIn(page, emailOf('owner'))
    await page.goto('/admin/resources/Tenant')
    await page.getByText('Create a tenant').first().click()
    await page.getByTestId('submit').waitFor()
    // The sections follow the mode.
    assert.isFalse(await page.locator('[name=schemaName]').isVisible())
    await page.getByLabel('Given here').check()
    assert.isTrue(await page.locator('[name=schemaName]').isVisible())
    await page.getByLabel('A database of its own').check()
    assert.isFalse(await page.locator('[name=schemaName]').isVisible())
    for (const name of ['connectionString', 'provisioningConnectionString'])
      assert.equal(await page.locator(`[name=${name}]`).getAttribute('type'), 'password')
    await picture(page, 'tenant-form-database')
    await page.getByLabel('A schema of the control plane').check()
    await page.getByLabel('Generated').check()
    await page.fill('[name=slug]', 'No Slug!')
    await page.fill('[name=name]', HOSTILE)
    await page.fill('[name=adminEmail]', 'boss@made.test')
    await page.fill('[name=adminPassword]', 'short')
    await page.getByTestId('submit').click()
    await page.locator('[name=slug][aria-invalid=true]').waitFor()
    await picture(page, 'tenant-form-errors')
    await page.fill('[name=slug]', 'made')
    await page.getByTestId('submit').click()
    await page.locator('[name=adminPassword][aria-invalid=true]').waitFor()
    await page.fill('[name=adminPassword]', PASSWORD)
    await page.getByTestId('submit').click()
    await step(page, 'seed', 'running').waitFor()
    await step(page, 'ready', 'pending').waitFor()
    await picture(page, 'tenant-running')
    await page.reload()
    await step(page, 'create', 'succeeded').waitFor()
    await step(page, 'seed', 'running').waitFor()
    release()
    await step(page, 'ready', 'succeeded').waitFor()
    await page.getByRole('link', { name: 'Suspend', exact: true }).waitFor()
    await picture(page, 'tenant-ready')
    // Many actions stand in several lines, not beyond the page.
    const button = await page.getByRole('link', { name: 'Make an administrator' }).boundingBox()
    assert.isBelow(button!.x + button!.width, 1400)
    const [title, edit] = await Promise.all([
      page.getByRole('heading', { name: 'Show' }).boundingBox(),
      page.getByRole('link', { name: 'Edit', exact: true }).boundingBox(),
    ])
    assert.isTrue(edit!.x >= title!.x + 80 || edit!.y >= title!.y + title!.height, 'the heading is covered')
    assert.equal((await world.tenancy.showTenant('made')).status, 'ready')
    assert.deepEqual(problems, [])
    await using other = await openPage(browser, world.origin)
    await logIn(other.page, 'boss@made.test', 'made')
    assert.deepEqual(other.problems, [])
  })

  it('shows why a tenant failed and what to do, and retries it', async () => {
    seed = () => Promise.reject(new Error(`no room ${HOSTILE}`))
    await using visitor = await openPage(browser, world.origin)
    const { page, problems } = visitor
    await logIn(page, emailOf('operator'))
    await page.goto('/admin/resources/Tenant/actions/new')
    await page.fill('[name=slug]', 'fails')
    await page.fill('[name=name]', 'Fails')
    await page.getByLabel('A database of its own').check()
    await page.getByTestId('submit').click()
    const error = page.getByTestId('operation-error')
    await error.waitFor()
    assert.match(await error.innerText(), /PROVISIONING_FAILED[^]*no room[^]*What to do/)
    await step(page, 'seed', 'failed').waitFor()
    await step(page, 'create', 'undone').waitFor()
    await page.getByRole('link', { name: 'Retry', exact: true }).waitFor()
    await picture(page, 'tenant-failed')
    seed = async () => undefined
    await page.getByRole('link', { name: 'Retry', exact: true }).click()
    await page.getByTestId('confirm').click()
    await step(page, 'ready', 'succeeded').waitFor()
    await page.getByRole('link', { name: 'Migrate', exact: true }).waitFor()
    assert.equal((await world.tenancy.showTenant('fails')).status, 'ready')
    assert.deepEqual(problems, [])
  })

  it('makes an administrator, who logs in; an existing one is refused at the field', async () => {
    await using visitor = await openPage(browser, world.origin)
    const { page, problems } = visitor
    await logIn(page, emailOf('owner'))
    await world.kit.asSystem(() => world.tenancy.operate('globex', 'migrate'))
    for (const email of [emailOf('admin'), 'second@globex.test']) {
      await onPage(page, 'globex')
      await page.getByRole('link', { name: 'Make an administrator' }).click()
      await page.fill('[name=email]', email)
      await page.fill('[name=password]', PASSWORD)
      await page.fill('[name=again]', `${PASSWORD}!`)
      await page.getByTestId('submit').click()
      await page.getByText('The passwords differ').waitFor()
      await page.fill('[name=again]', PASSWORD)
      await page.getByTestId('submit').click()
      if (email !== emailOf('admin')) continue
      await page.locator('[name=email][aria-invalid=true]').waitFor()
      await picture(page, 'tenant-administrator')
    }
    await page.getByTestId('operation').getByText('Make an administrator').waitFor()
    await using other = await openPage(browser, world.origin)
    await logIn(other.page, 'second@globex.test', 'globex')
    await other.page.getByRole('heading', { name: 'Globex' }).waitFor()
    assert.deepEqual([...problems, ...other.problems], [])
  })

  it('keeps settings and invitations beneath the tenant', async () => {
    await using visitor = await openPage(browser, world.origin)
    const { page, problems } = visitor
    await logIn(page, emailOf('operator'))
    const { id } = await world.tenancy.showTenant('acme')
    for (const [resource, name, value, more] of [
      ['TenantSetting', 'key', 'theme', HOSTILE],
      ['TenantInvitation', 'email', 'guest@acme.test', undefined],
    ] as const) {
      await page.goto(`/admin/resources/${resource}/actions/new?tenant=${id}`)
      await page.locator(`[name="${name}"], #${name}`).first().fill(value)
      const select = page.locator('label', { hasText: 'Tenant' }).locator('..').locator('input').first()
      await select.fill('Acme')
      await page.getByText('Acme', { exact: true }).last().click()
      if (more !== undefined) await page.locator('[name="value"], #value').first().fill(JSON.stringify(more))
      await page.getByRole('button', { name: 'Save' }).click()
      await page.waitForURL(url => url.pathname === `/admin/resources/${resource}`)
      await page.getByText(value).first().waitFor()
    }
    await page.goto(`/admin/resources/Tenant/records/${id}/show`)
    const beneath = page.getByTestId('beneath')
    await beneath.getByText('Invitations (1)').waitFor()
    await picture(page, 'tenant-page')
    await beneath.getByText('Settings (1)').click()
    await page.getByText('theme').first().waitFor()
    await picture(page, 'tenant-settings')
    await page.getByText('theme').first().click()
    await page.getByRole('heading', { name: 'Audit' }).waitFor()
    await page.getByText('onerror').first().waitFor()
    assert.deepEqual(problems, [])
  })

  it('deletes many by a phrase with their number, and tells what became of each', async () => {
    await world.kit.asSystem(async () => {
      for (const [slug, isolation] of [
        ['gone-schema', 'schema'],
        ['gone-database', 'database'],
        ['gone-busy', 'schema'],
      ] as const) {
        await world.tenancy.provision({ slug, name: slug, isolation })
        await world.tenancy.archive(slug)
      }
    })
    await using visitor = await openPage(browser, world.origin)
    const { page, problems } = visitor
    await logIn(page, emailOf('owner'))
    await page.goto('/admin/resources/Tenant?filters.soft_delete_status=deleted')
    await page.getByText('gone-busy').first().waitFor()
    for (const slug of ['gone-schema', 'gone-database', 'gone-busy'])
      await page.locator('tr', { hasText: slug }).locator('input[type=checkbox], a[class*=CheckBox], label').first().click({ force: true })
    await page.getByText('Delete permanently').first().click()
    const confirm = page.getByTestId('confirm')
    await confirm.waitFor()
    await page.fill('input[name=confirm_hard_delete]', 'DELETE 2 TENANTS')
    assert.isTrue(await confirm.isDisabled())
    await page.fill('input[name=confirm_hard_delete]', 'DELETE 3 TENANTS')
    await picture(page, 'tenants-delete')
    // Somebody is faster.
    await world.kit.asSystem(() => world.tenancy.operate('gone-busy', 'restore'))
    await confirm.click()
    const outcomes = page.getByTestId('outcomes')
    await outcomes.waitFor()
    const text = await outcomes.innerText()
    assert.match(text, /gone-schema[^]*schema [a-z0-9_]*gone_schema/)
    assert.match(text, /database [a-z0-9_]*gone_database/)
    assert.match(text, /gone-busy[^]*INVALID_STATE/)
    await picture(page, 'tenants-deleted')
    assert.deepEqual(problems, [])
  })
})
