/** The back office as people use it, in a real Chromium. */
import { assert } from 'chai'
import { em } from 'mikro-tenantkit'
import type { Browser, Page } from 'playwright-core'
import { query } from '../helpers/postgres.ts'
import { openPage, picture, startBrowser } from './browser.ts'
import { PASSWORD, Tag, Thing, emailOf, startWorld, type World } from './world.ts'

describe('admin: in a browser', function () {
  this.timeout(90_000)
  let world: World
  let browser: Browser

  before(async () => {
    ;[world, browser] = await Promise.all([startWorld({ title: 'Back office' }), startBrowser()])
  })
  after(async () => {
    await browser?.close()
    await world?.[Symbol.asyncDispose]()
  })

  async function logIn(page: Page, email: string, tenant = '', password = PASSWORD): Promise<void> {
    await page.goto('/admin/login')
    await page.fill('input[name=email]', email)
    await page.fill('input[name=password]', password)
    await page.fill('input[name=tenant]', tenant)
    await page.click('button[type=submit]')
  }
  const at = (page: Page, path: string): Promise<void> => page.waitForURL(url => url.pathname === path)
  const field = (name: string): string => `[name="${name}"], #${name}`
  const save = (page: Page): Promise<void> => page.getByRole('button', { name: 'Save' }).click()

  it('logs a local user into the own tenant, shows the list, a record, and its audit section closed, then open', async () => {
    await using visitor = await openPage(browser, world.origin)
    const { page, problems } = visitor
    await page.goto('/admin/login')
    await page.waitForSelector('input[name=tenant]')
    assert.equal(await page.locator('input[name=tenant]').getAttribute('type'), 'text')
    await picture(page, 'log-in')
    await logIn(page, emailOf('admin'), 'globex')
    await at(page, '/admin/t/globex')
    await page.getByRole('heading', { name: 'Globex' }).waitFor()
    const menu = await page.locator('[data-css="sidebar"]').innerText()
    assert.include(menu, 'Things')
    for (const hidden of ['Tenants', 'Countries', 'Notices']) assert.notInclude(menu, hidden)
    await page.goto('/admin/t/globex/resources/Thing')
    await page.getByText('globex-2').waitFor()
    await picture(page, 'list')
    await page.getByText('globex-2').click()
    const heading = page.getByRole('heading', { name: 'Audit' })
    await heading.waitFor()
    const button = heading.getByRole('button')
    assert.equal(await button.getAttribute('aria-expanded'), 'false')
    assert.isFalse(await page.getByText('Created by').isVisible())
    await picture(page, 'audit-closed')
    await button.focus()
    await page.keyboard.press('Enter')
    assert.equal(await button.getAttribute('aria-expanded'), 'true')
    for (const label of ['Created at', 'Created by', 'Updated at', 'Updated by', 'Deleted at', 'Deleted by'])
      assert.isTrue(await page.getByText(label, { exact: true }).isVisible(), label)
    assert.include(await page.getByTestId('audit').innerText(), 'System (test)')
    await page.getByText('Deleted at', { exact: true }).scrollIntoViewIfNeeded()
    await picture(page, 'audit-open')
    // In the form too, and after everything else.
    await page.goto(page.url().replace(/show$/, 'edit'))
    await page.getByRole('heading', { name: 'Audit' }).waitFor()
    assert.equal(await page.getByTestId('audit').locator('input, textarea').count(), 0)
    assert.deepEqual(problems, [])
  })

  it('says the same of every failed log-in, on the page', async () => {
    await using visitor = await openPage(browser, world.origin)
    const { page } = visitor
    for (const [email, tenant, password] of [
      [emailOf('admin'), 'globex', 'wrong'],
      [emailOf('owner'), 'acme', PASSWORD],
      [emailOf('admin'), 'nowhere', PASSWORD],
    ] as const) {
      await logIn(page, email, tenant, password)
      const alert = page.getByText('The email, the password or the tenant is wrong.')
      await alert.waitFor()
    }
    await picture(page, 'log-in-refused')
  })

  it('creates a record, with what is wrong at its field first', async () => {
    await using visitor = await openPage(browser, world.origin)
    const { page, problems } = visitor
    await logIn(page, emailOf('admin'), 'acme')
    await at(page, '/admin/t/acme')
    await page.goto('/admin/t/acme/resources/Thing/actions/new')
    await page.fill(field('code'), 'acme-1')
    await page.fill(field('facts'), '{"a":')
    await page.fill(field('price'), 'much')
    await save(page)
    await page.getByText('Invalid JSON').waitFor()
    await page.getByText('Not a decimal number such as 19.90').waitFor()
    await page.getByText('Invalid JSON').scrollIntoViewIfNeeded()
    await picture(page, 'field-errors')
    await page.fill(field('facts'), '{"a": 1}')
    await page.fill(field('price'), '19.90')
    await page.locator('label', { hasText: 'Color' }).locator('..').locator('input').first().fill('green')
    await page.keyboard.press('Enter')
    await save(page)
    await page.getByText('Already taken').waitFor()
    await page.fill(field('code'), 'made')
    await save(page)
    await at(page, '/admin/t/acme/resources/Thing')
    const made = await world.inTenant('acme', () => em().findOneOrFail(Thing, { code: 'made' }))
    assert.deepInclude(made as object, { color: 'green', facts: { a: 1 } })
    assert.match(made.createdBy, /^tenant:/)
    assert.deepEqual(problems, [])
  })

  it('keeps the day and the moment that were typed, east and west of UTC', async () => {
    const { id } = await world.inTenant('acme', () => em().findOneOrFail(Thing, { code: 'acme-2' }))
    for (const [timezoneId, day, moment] of [
      ['Pacific/Auckland', '1990-05-17', '2026-06-30T21:15:00.000Z'],
      ['America/Lima', '1990-05-18', '2026-07-01T14:15:00.000Z'],
      ['UTC', undefined, '2026-07-01T14:15:00.000Z'],
    ] as const) {
      await using visitor = await openPage(browser, world.origin, { timezoneId })
      const { page } = visitor
      await logIn(page, emailOf('admin'), 'acme')
      await at(page, '/admin/t/acme')
      await page.goto(`/admin/t/acme/resources/Thing/records/${id}/edit`)
      await page.waitForSelector('input[type=date]')
      if (day !== undefined) await page.fill('input[type=date]', day)
      // The clocks there show the same: another moment.
      if (day !== undefined) await page.fill('input[type=datetime-local]', '2026-07-01T09:15')
      await save(page)
      await at(page, '/admin/t/acme/resources/Thing')
      // The last one is saved untouched.
      const row = await world.inTenant('acme', () => em().findOneOrFail(Thing, { id }))
      assert.equal(row.day, day ?? '1990-05-18', timezoneId)
      assert.equal(row.moment?.toISOString(), moment, timezoneId)
    }
  })

  it('adds a tag to a record and takes another one away, by mouse and by keyboard', async () => {
    const { id } = await world.inTenant('acme', async () => {
      const [first, second] = ['kept-later', 'gone-later'].map(name => em().create(Tag, { name } as never))
      em().create(Tag, { name: 'added' } as never)
      const thing = em().create(Thing, { code: 'tagged', color: 'red', tags: [first, second] } as never)
      await em().persist(thing).flush()
      return thing
    })
    await using visitor = await openPage(browser, world.origin)
    const { page, problems } = visitor
    await logIn(page, emailOf('admin'), 'acme')
    await at(page, '/admin/t/acme')
    await page.goto(`/admin/t/acme/resources/Thing/records/${id}/edit`)
    const chooser = page.getByLabel('Tags', { exact: true })
    await page.getByRole('button', { name: 'Remove gone-later' }).click()
    await chooser.fill('add')
    await page.getByRole('option', { name: 'added' }).waitFor()
    await chooser.scrollIntoViewIfNeeded()
    await picture(page, 'tags-edit')
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'Remove added' }).waitFor()
    await save(page)
    await at(page, '/admin/t/acme/resources/Thing')
    await page.goto(`/admin/t/acme/resources/Thing/records/${id}/show`)
    const shown = page.getByTestId('members-tags')
    await shown.waitFor()
    assert.sameMembers(await shown.getByRole('link').allInnerTexts(), ['kept-later', 'added'])
    await shown.scrollIntoViewIfNeeded()
    await picture(page, 'tags-show')
    // All of them: an empty list is sent as such.
    await page.goto(`/admin/t/acme/resources/Thing/records/${id}/edit`)
    await page.getByRole('button', { name: 'Remove added' }).waitFor()
    await chooser.focus()
    await page.keyboard.press('Backspace')
    await page.keyboard.press('Backspace')
    await save(page)
    await at(page, '/admin/t/acme/resources/Thing')
    const left = await world.inTenant('acme', () => em().findOneOrFail(Thing, { id }, { populate: ['tags'] }))
    assert.isEmpty(left.tags.getItems())
    assert.deepEqual(problems, [])
  })

  it('runs no script of a hostile name, and shows it as it is', async () => {
    const hostile = `</script><script>alert(1)</script><img src=x onerror=alert(2)>'"\u2028`
    await query(world.kit.url, 'update public.tenantkit_tenant set name = $1 where slug = $2', [hostile, 'acme'])
    await query(world.kit.url, `notify tenantkit_tenant, 'acme'`)
    const { id } = await world.inTenant('acme', async () => {
      const thing = em().create(Thing, {
        code: '<b>bold</b>',
        note: hostile,
        color: 'red',
        facts: { [hostile]: hostile },
        labels: [hostile],
      } as never)
      await em().persist(thing).flush()
      return thing
    })
    await using visitor = await openPage(browser, world.origin)
    const { page, problems } = visitor
    await logIn(page, emailOf('owner'))
    await at(page, '/admin')
    await page.goto('/admin/resources/Tenant')
    await page.getByText('onerror').first().waitFor()
    await page.goto('/admin/enter?tenant=acme')
    await page.getByRole('button', { name: 'Enter' }).click()
    await at(page, '/admin/t/acme')
    await page.getByTestId('visitor-banner').waitFor()
    for (const path of ['', '/resources/Thing', `/resources/Thing/records/${id}/show`, `/resources/Thing/records/${id}/edit`]) {
      await page.goto(`/admin/t/acme${path}`)
      await page.getByText('onerror').first().waitFor()
      await page.waitForLoadState('networkidle')
    }
    assert.deepEqual(problems, [])
    await query(world.kit.url, 'update public.tenantkit_tenant set name = $1 where slug = $2', ['Acme', 'acme'])
    await query(world.kit.url, `notify tenantkit_tenant, 'acme'`)
  })

  it('lets an operator enter a tenant, under a banner, and two tabs do not mix', async () => {
    await using visitor = await openPage(browser, world.origin)
    const { page, problems } = visitor
    await logIn(page, emailOf('owner'))
    await at(page, '/admin')
    await page.getByLabel('Tenant to enter').fill('globex')
    await picture(page, 'control-plane')
    await page.getByRole('button', { name: 'Enter' }).click()
    await at(page, '/admin/t/globex')
    assert.include(await page.getByTestId('visitor-banner').innerText(), emailOf('owner'))
    await picture(page, 'visit')
    const other = await page.context().newPage()
    await other.goto('/admin/t/acme')
    await other.getByRole('button', { name: 'Enter' }).click()
    await at(other, '/admin/t/acme')
    await Promise.all([page.goto('/admin/t/globex/resources/Thing'), other.goto('/admin/t/acme/resources/Thing')])
    await Promise.all([page.getByText('globex-1').waitFor(), other.getByText('acme-1').waitFor()])
    for (const tab of [page, other]) {
      await tab.reload()
      await tab.waitForLoadState('networkidle')
    }
    assert.equal(await page.getByText('acme-1').count(), 0)
    assert.equal(await other.getByText('globex-1').count(), 0)
    await page.getByRole('button', { name: 'Leave' }).click()
    await at(page, '/admin')
    assert.deepEqual(problems, [])
  })

  it('shows deleted records under their status, restores one, and deletes one for good by its phrase', async () => {
    const codes = ['bin-1', 'bin-2']
    await world.inTenant('acme', async () => {
      const things = codes.map(code => em().create(Thing, { code, color: 'red' } as never))
      await em().persist(things).flush()
      for (const thing of things) await em().remove(thing).flush()
    })
    await using visitor = await openPage(browser, world.origin)
    const { page, problems } = visitor
    await logIn(page, emailOf('admin'), 'acme')
    await at(page, '/admin/t/acme')
    await page.goto('/admin/t/acme/resources/Thing')
    await page.getByText('acme-1').waitFor()
    assert.equal(await page.getByText('bin-1').count(), 0)
    await page.getByTestId('status-filter').getByRole('button', { name: 'Deleted' }).click()
    await page.getByText('bin-1').waitFor()
    assert.equal(await page.getByText('acme-1').count(), 0)
    await picture(page, 'deleted')
    await page.getByText('bin-1').click()
    await page.getByRole('heading', { name: 'Audit' }).waitFor()
    await page.getByRole('link', { name: 'Restore' }).click()
    await page.getByTestId('confirm').click()
    await at(page, '/admin/t/acme/resources/Thing')
    await page.goto('/admin/t/acme/resources/Thing?filters.soft_delete_status=deleted')
    await page.getByText('bin-2').click()
    await page.getByRole('heading', { name: 'Audit' }).waitFor()
    await page.getByRole('link', { name: 'Delete permanently' }).click()
    const confirm = page.getByTestId('confirm')
    await confirm.waitFor()
    assert.isTrue(await confirm.isDisabled())
    await page.fill('input[name=confirm_hard_delete]', 'HARD DELETE')
    await picture(page, 'hard-delete')
    await confirm.click()
    await at(page, '/admin/t/acme/resources/Thing')
    const left = await world.inTenant('acme', () => em().find(Thing, { code: { $in: codes } }, { filters: { notDeleted: false } }))
    assert.deepEqual(
      left.map(({ code, deletedAt }) => [code, deletedAt]),
      [['bin-1', null]],
    )
    assert.deepEqual(problems, [])
  })

  it('suspends and resumes a tenant from its page', async () => {
    await using visitor = await openPage(browser, world.origin)
    const { page, problems } = visitor
    await logIn(page, emailOf('owner'))
    await at(page, '/admin')
    for (const [label, status, next] of [
      ['Suspend', 'suspended', 'Resume'],
      ['Resume', 'ready', 'Suspend'],
    ] as const) {
      await page.goto('/admin/resources/Tenant')
      await page.getByText('globex', { exact: true }).click()
      await page.getByRole('heading', { name: 'Audit' }).waitFor()
      await page.getByRole('link', { name: label, exact: true }).click()
      await page.getByTestId('confirm').waitFor()
      if (label === 'Suspend') await picture(page, 'suspend-tenant')
      await page.getByTestId('confirm').click()
      await page.waitForURL(url => url.pathname.endsWith('/show'))
      await page.getByRole('link', { name: next, exact: true }).waitFor()
      assert.equal((await world.tenancy.showTenant('globex')).status, status)
    }
    assert.deepEqual(problems, [])
  })

  it('says that the session is over, and leads to the log-in', async () => {
    await using visitor = await openPage(browser, world.origin)
    const { page } = visitor
    await logIn(page, emailOf('admin'), 'acme')
    await at(page, '/admin/t/acme')
    await page.goto('/admin/t/acme/resources/Thing')
    await page.getByText('acme-1').waitFor()
    await query(world.kit.url, 'delete from public.tenantkit_admin_session')
    await page.getByText('acme-1').click()
    await page.waitForURL(url => url.pathname === '/admin/login', { timeout: 20_000 })
  })

  it('fits a small screen, and loads at most 1.1 MB the first time', async () => {
    await using visitor = await openPage(browser, world.origin, { width: 390, height: 844 })
    const { page, problems } = visitor
    let bytes = 0
    page.on(
      'requestfinished',
      request =>
        void request.sizes().then(
          ({ responseBodySize }) => (bytes += responseBodySize),
          () => undefined,
        ),
    )
    await logIn(page, emailOf('admin'), 'acme')
    await at(page, '/admin/t/acme')
    await page.goto('/admin/t/acme/resources/Thing')
    await page.getByText('acme-1').waitFor()
    await picture(page, 'small-screen')
    const wide = await page
      .locator('[data-css="topbar"]')
      .evaluate(bar => (bar as { scrollWidth: number; clientWidth: number }).scrollWidth > (bar as { clientWidth: number }).clientWidth)
    assert.isFalse(wide, 'the header is wider than the screen')
    assert.isAbove(bytes, 100_000)
    assert.isAtMost(bytes, 1_100_000)
    assert.deepEqual(problems, [])
  })
})
