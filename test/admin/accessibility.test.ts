/** The back office for everybody: axe finds nothing serious on any page, and everything can be done by the keyboard alone. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { assert } from 'chai'
import { em } from 'mikro-tenantkit'
import type { Browser, Page } from 'playwright-core'
import { openPage, startBrowser } from './browser.ts'
import { PASSWORD, Thing, emailOf, startWorld, type World } from './world.ts'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

interface Violation {
  readonly id: string
  readonly impact: string | null
  readonly nodes: readonly { readonly target: readonly string[]; readonly failureSummary?: string; readonly html: string }[]
}

/** What axe finds that is serious or critical: rule, place, and why. */
async function serious(page: Page): Promise<string[]> {
  await page.waitForLoadState('networkidle')
  // Over the protocol, not as a script of the page, whose policy stays as strict as it is.
  const { violations } = await page.evaluate<{ violations: Violation[] }>(`${AXE}; axe.run(document, { resultTypes: ['violations'] })`)
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) =>
      nodes.map(({ target, html, failureSummary }) => `${id} ${target.join(' ')} ${html.slice(0, 160)} ${failureSummary?.slice(0, 200)}`),
    )
}

describe('admin: accessibility', function () {
  this.timeout(120_000)
  let world: World
  let browser: Browser

  before(async () => {
    ;[world, browser] = await Promise.all([
      startWorld({
        pages: {
          Overview: {
            label: 'Overview',
            in: 'tenant',
            permission: 'data:read',
            content: async () => [
              { heading: 'All' },
              { text: 'Text' },
              { figures: [{ label: 'One', value: 1 }] },
              { columns: ['A'], rows: [[1]] },
              { link: 'To', href: '/admin' },
            ],
          },
        },
        cards: { one: { label: 'One', in: 'both', permission: 'data:read', value: async () => 1 } },
      }),
      startBrowser(),
    ])
  })
  after(async () => {
    await browser?.close()
    await world?.[Symbol.asyncDispose]()
  })

  async function logIn(page: Page, email: string, tenant: string): Promise<void> {
    await page.goto('/admin/login')
    await page.fill('input[name=email]', email)
    await page.fill('input[name=password]', PASSWORD)
    await page.fill('input[name=tenant]', tenant)
    await page.getByRole('button', { name: 'Log in' }).click()
    await page.locator('[data-css="topbar"]').waitFor()
  }

  it('has no serious finding on any page', async () => {
    const { id } = await world.inTenant('acme', () => em().findOneOrFail(Thing, { code: 'acme-1' }))
    await world.inTenant('acme', async () => {
      const gone = em().create(Thing, { code: 'gone', color: 'red' } as never)
      await em().persist(gone).flush()
      await em().remove(gone).flush()
    })
    await using visitor = await openPage(browser, world.origin)
    const { page } = visitor
    const found: Record<string, string[]> = {}
    const look = async (name: string): Promise<void> => {
      const findings = await serious(page)
      if (findings.length > 0) found[name] = findings
    }
    await page.goto('/admin/login')
    await page.getByRole('button', { name: 'Log in' }).waitFor()
    await look('log-in')
    await logIn(page, emailOf('admin'), 'acme')
    await look('first page')
    const things = '/admin/t/acme/resources/Thing'
    await page.goto(things)
    await page.getByText('acme-1').waitFor()
    await look('list')
    await page.goto(`${things}/records/${id}/show`)
    await page.getByRole('button', { name: 'Audit' }).click()
    await page.getByRole('button', { name: 'History' }).click()
    await page.getByTestId('history-entry').first().waitFor()
    await look('record, audit and history open')
    await page.goto(`${things}/records/${id}/edit`)
    await page.getByRole('button', { name: 'Save' }).waitFor()
    await look('form')
    await page.goto(`${things}/actions/new`)
    await page.fill('#code', 'x')
    await page.fill('#facts', '{')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Invalid JSON').waitFor()
    await look('form with problems')
    await page.goto(`${things}?filters.soft_delete_status=deleted`)
    await page.getByText('gone').click()
    await page.getByRole('link', { name: 'Delete permanently' }).click()
    await page.getByTestId('confirm').waitFor()
    await look('confirmation by a phrase')
    await page.goto(`${things}/bulk/bulkDelete?recordIds=${id}`)
    await page.getByTestId('confirm').waitFor()
    await look('confirmation of many')
    await page.goto('/admin/t/acme/pages/Overview')
    await page.getByText('Text').waitFor()
    await look('own page')
    await page.context().clearCookies()
    await logIn(page, emailOf('owner'), '')
    await look('control plane')
    await page.goto('/admin/resources/Tenant')
    await page.getByText('globex', { exact: true }).waitFor()
    await look('tenants')
    await page.goto('/admin/t/acme')
    await page.getByRole('button', { name: 'Enter' }).waitFor()
    await look('question before entering')
    await page.getByRole('button', { name: 'Enter' }).click()
    await page.getByTestId('visitor-banner').waitFor()
    await look('visit')
    assert.deepEqual(
      Object.entries(found)
        .flatMap(([name, findings]) => findings.map(each => `${name}: ${each}`))
        .join('\n'),
      '',
    )
  })

  it('is used by the keyboard alone: log-in, list, edit, audit section, deletion with its question', async () => {
    const { id } = await world.inTenant('acme', async () => {
      const thing = em().create(Thing, { code: 'keyboard', color: 'red' } as never)
      await em().persist(thing).flush()
      return thing
    })
    await using visitor = await openPage(browser, world.origin)
    const { page, problems } = visitor
    const focused = () =>
      page.evaluate<{ text: string; name: string; tag: string; html: string }>(`(() => {
        const element = document.activeElement
        return {
          text: element.getAttribute('aria-label') ?? element.textContent.trim(),
          name: element.getAttribute('name') ?? '',
          tag: element.tagName,
          html: element.outerHTML.slice(0, 200),
        }
      })()`)
    /** Goes on by Tab until what has the focus fits. */
    const tabTo = async (fits: (element: { text: string; name: string; tag: string }) => boolean, key = 'Tab'): Promise<void> => {
      const seen: string[] = []
      for (let at = 0; at < 80; at++) {
        const element = await focused()
        seen.push(`${element.tag} ${element.text.slice(0, 40)} ${element.name} ${element.html.slice(0, 120)}`)
        if (fits(element)) return
        await page.keyboard.press(key)
      }
      assert.fail(`never reached: ${seen.join('\n')}`)
    }
    await page.goto('/admin/login')
    await page.getByRole('button', { name: 'Log in' }).waitFor()
    await tabTo(({ name }) => name === 'email')
    await page.keyboard.type(emailOf('admin'))
    await page.keyboard.press('Tab')
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press('Tab')
    await page.keyboard.type('acme')
    await page.keyboard.press('Enter')
    await page.waitForURL(url => url.pathname === '/admin/t/acme')
    await page.locator('[data-css="sidebar"]').waitFor()
    await tabTo(({ tag, text }) => tag === 'A' && text === 'Things')
    await page.keyboard.press('Enter')
    await page.getByText('keyboard', { exact: true }).waitFor()
    await tabTo(({ tag, text }) => tag === 'TR' && text.includes('keyboard'))
    await page.keyboard.press('Enter')
    await page.waitForURL(url => url.pathname.endsWith(`/records/${id}/show`))
    await page.getByRole('button', { name: 'Audit' }).waitFor()
    await tabTo(({ tag, text }) => tag === 'BUTTON' && text === 'Audit')
    await page.keyboard.press('Space')
    await page.getByText('Created by', { exact: true }).waitFor()
    await tabTo(({ tag, text }) => tag === 'A' && text === 'Edit', 'Shift+Tab')
    await page.keyboard.press('Enter')
    await page.waitForURL(url => url.pathname.endsWith(`/records/${id}/edit`))
    await page.getByRole('button', { name: 'Save' }).waitFor()
    // AdminJS loads the record once more, over what was typed meanwhile.
    await page.waitForLoadState('networkidle')
    await tabTo(({ name }) => name === 'note')
    await page.keyboard.type('by the keyboard')
    await tabTo(({ tag, text }) => tag === 'BUTTON' && text === 'Save')
    await page.keyboard.press('Enter')
    await page.waitForURL(url => url.pathname === '/admin/t/acme/resources/Thing')
    assert.equal((await world.inTenant('acme', () => em().findOneOrFail(Thing, { id }))).note, 'by the keyboard')
    await page.getByText('keyboard', { exact: true }).waitFor()
    await tabTo(({ tag, text }) => tag === 'TR' && text.includes('keyboard'))
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'Audit' }).waitFor()
    await tabTo(({ tag, text }) => tag === 'A' && text === 'Delete')
    await page.keyboard.press('Enter')
    const question = page.getByRole('dialog', { name: 'Do you really want to remove this item?' })
    await question.waitFor()
    await page.keyboard.press('Escape')
    await question.waitFor({ state: 'detached' })
    await tabTo(({ tag, text }) => tag === 'A' && text === 'Delete')
    await page.keyboard.press('Enter')
    await question.waitFor()
    assert.deepEqual(await serious(page), [])
    await tabTo(({ tag, text }) => tag === 'BUTTON' && text === 'Confirm')
    await page.keyboard.press('Enter')
    await page.waitForURL(url => url.pathname === '/admin/t/acme/resources/Thing')
    const row = await world.inTenant('acme', () => em().findOneOrFail(Thing, { id }, { filters: { notDeleted: false } }))
    assert.isNotNull(row.deletedAt)
    assert.deepEqual(problems, [])
  })
})
