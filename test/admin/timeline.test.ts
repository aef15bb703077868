/** The history of a record beneath its audit section: who sees it, what it tells, and what it keeps to itself. */
import { assert } from 'chai'
import { controlEm, em } from 'mikro-tenantkit'
import type { Browser } from 'playwright-core'
import type { HistoryAnswer } from '../../admin/history-action.ts'
import { openPage, picture, startBrowser } from './browser.ts'
import { as, type Client } from './client.ts'
import { Country, PASSWORD, Person, Thing, emailOf, startWorld, type World } from './world.ts'

const HOSTILE = `</script><img src=x onerror=alert(1)>'"\u2028 {{name}} $t(messages.forbiddenError)`

describe('admin: timeline', function () {
  this.timeout(60_000)
  let world: World

  before(async () => {
    world = await startWorld()
  })
  after(() => world?.[Symbol.asyncDispose]())

  const history = async (client: Client, root: string, resource: string, id: string, cursor?: string) =>
    client.get(`${root}/api/resources/${resource}/records/${id}/history${cursor === undefined ? '' : `?cursor=${cursor}`}`)

  for (const tenant of ['acme', 'globex'])
    it(`tells what was done to a record, by whom, with the values before and after (${tenant})`, async () => {
      const client = await as(world.origin, 'admin', tenant)
      const root = `/admin/t/${tenant}`
      const api = `${root}/api/resources/Thing`
      const made = await client.post(`${api}/actions/new`, {
        json: { code: 'told', color: 'red', note: HOSTILE, link: '01a2148a-3605-707e-9158-b441fba2072f' },
      })
      const id = made.json.record.id as string
      await client.post(`${api}/records/${id}/edit`, { json: { color: 'green', note: '' } })
      await client.post(`${api}/records/${id}/delete`, { json: {} })
      await client.post(`${api}/records/${id}/restore`, { json: {} })
      const { entries, cursor } = (await history(client, root, 'Thing', id)).json as HistoryAnswer
      assert.isNull(cursor)
      assert.deepEqual(
        entries.map(({ action }) => action),
        ['restore', 'delete', 'update', 'create'],
      )
      assert.deepEqual([...new Set(entries.map(({ actor }) => actor))], [`admin of ${tenant}`])
      const changes = (at: number) => Object.fromEntries(entries[at]!.changes.map(({ field, before, after }) => [field, [before, after]]))
      const text = (value: string) => ({ kind: 'text' as const, text: value })
      const empty = { kind: 'empty' as const, text: '' }
      assert.deepEqual(changes(2), {
        color: [text('red'), text('green')],
        note: [text(HOSTILE), empty],
      })
      assert.deepEqual(changes(3)['link'], [empty, { kind: 'redacted', text: '' }])
      assert.notInclude(JSON.stringify(entries), '01a2148a-3605-707e-9158-b441fba2072f')
    })

  it('gives older events by keyset, each of them once', async () => {
    const client = await as(world.origin, 'admin', 'acme')
    const id = await world.inTenant('acme', async () => {
      const thing = em().create(Thing, { code: 'long', color: 'red' } as never)
      await em().persist(thing).flush()
      for (let at = 1; at <= 44; at++) {
        thing.small = at
        await em().flush()
      }
      return thing.id
    })
    const seen: string[] = []
    const sizes: number[] = []
    let cursor: string | undefined
    do {
      const page = (await history(client, '/admin/t/acme', 'Thing', id, cursor)).json as HistoryAnswer
      seen.push(...page.entries.map(each => each.id))
      sizes.push(page.entries.length)
      cursor = page.cursor ?? undefined
      // What comes in between moves no page.
      if (sizes.length === 1) await client.post(`/admin/t/acme/api/resources/Thing/records/${id}/edit`, { json: { small: '99' } })
    } while (cursor !== undefined)
    assert.deepEqual(sizes, [20, 20, 5])
    assert.lengthOf(new Set(seen), 45)
    assert.deepEqual(seen, [...seen].sort().reverse())
    for (const wrong of ['x', 'bm90IGEgdXVpZA', '%00'])
      assert.equal((await history(client, '/admin/t/acme', 'Thing', id, wrong)).status, 400, wrong)
  })

  it('is for who may read the record, in the plane of the record alone', async () => {
    const { id } = await world.inTenant('acme', () => em().findOneOrFail(Thing, { code: 'acme-1' }))
    for (const who of ['admin', 'member', 'viewer'] as const) {
      const { json } = await history(await as(world.origin, who, 'acme'), '/admin/t/acme', 'Thing', id)
      assert.lengthOf((json as HistoryAnswer).entries, 1, who)
    }
    const foreign = await history(await as(world.origin, 'admin', 'globex'), '/admin/t/globex', 'Thing', id)
    assert.notProperty(foreign.json, 'entries')
    assert.equal(foreign.json.notice.type, 'error')
    const operator = await as(world.origin, 'owner')
    assert.equal((await history(operator, '/admin', 'Thing', id)).status, 404)
    assert.equal((await history(operator, '/admin/t/acme', 'Thing', id)).status, 403)
    const local = await as(world.origin, 'admin', 'acme')
    const { id: country } = await world.kit.asSystem(() => controlEm().findOneOrFail(Country, { code: 'PE' }))
    // A tenant names shared rows, and does nothing else with them.
    assert.notProperty((await history(local, '/admin/t/acme', 'Country', country)).json, 'entries')
  })

  it('tells the control plane of its tenants, entering and leaving them among it', async () => {
    const operator = await as(world.origin, 'owner')
    const { id } = await world.kit.asSystem(() => world.tenancy.showTenant('globex'))
    await world.kit.asSystem(() => world.tenancy.operate('globex', 'suspend'))
    await world.kit.asSystem(() => world.tenancy.operate('globex', 'resume'))
    await operator.enter('globex')
    await operator.post('/admin/leave', { form: { _csrf: operator.csrf, tenant: 'globex' } })
    const { entries } = (await history(operator, '/admin', 'Tenant', id)).json as HistoryAnswer
    const actions = entries.map(({ action }) => action)
    assert.deepEqual(actions.slice(0, 2), ['tenant.leave', 'tenant.enter'])
    assert.includeMembers(actions, ['tenant.suspend', 'tenant.resume'])
    assert.equal(entries[0]!.actor, 'owner (operator)')
    assert.deepInclude(entries[actions.indexOf('tenant.suspend')]!.details, { name: 'outcome', value: 'succeeded' })
    // What the panel hides of a tenant, its history does not tell.
    assert.notMatch(JSON.stringify(entries), /createdResources|connectionString|schemaFingerprint/)
  })

  it('keeps the names of operators from tenants', async () => {
    const operator = await as(world.origin, 'operator')
    await operator.enter('acme')
    const made = await operator.post('/admin/t/acme/api/resources/Thing/actions/new', { json: { code: 'visited', color: 'red' } })
    const { id } = made.json.record as { id: string }
    const of = async (client: Client) =>
      ((await history(client, '/admin/t/acme', 'Thing', id)).json as HistoryAnswer).entries.map(({ actor }) => actor)
    assert.deepEqual(await of(await as(world.origin, 'admin', 'acme')), ['Operator'])
    assert.deepEqual(await of(operator), ['operator (operator)'])
  })

  describe('in a browser', () => {
    let browser: Browser

    before(async () => {
      browser = await startBrowser()
    })
    after(() => browser?.close())

    it('stands closed beneath the audit section, opens by the keyboard, and shows hostile values as text', async () => {
      const { id, person } = await world.inTenant('acme', async () => {
        const thing = em().create(Thing, { code: 'shown', color: 'red', note: HOSTILE } as never)
        await em().persist(thing).flush()
        for (let at = 1; at <= 21; at++) {
          thing.price = String(at)
          await em().flush()
        }
        const { id: person } = await em().findOneOrFail(Person.tenant, { email: emailOf('viewer') })
        return { id: thing.id, person }
      })
      await using visitor = await openPage(browser, world.origin, { height: 1100 })
      const { page, problems } = visitor
      await page.goto('/admin/login')
      await page.fill('input[name=email]', emailOf('admin'))
      await page.fill('input[name=password]', PASSWORD)
      await page.fill('input[name=tenant]', 'acme')
      await page.click('main button[type=submit]:not([name])')
      await page.waitForURL(url => url.pathname === '/admin/t/acme')
      for (const form of ['show', 'edit']) {
        await page.goto(`/admin/t/acme/resources/Thing/records/${id}/${form}`)
        const section = page.getByTestId('history')
        const button = section.getByRole('button', { name: 'History' })
        await button.waitFor()
        assert.equal(await button.getAttribute('aria-expanded'), 'false')
        assert.equal(await page.getByTestId('history-entry').count(), 0)
        const [audit, below] = await Promise.all([page.getByTestId('audit').boundingBox(), section.boundingBox()])
        assert.isAbove(below!.y, audit!.y)
        if (form === 'show') {
          await section.scrollIntoViewIfNeeded()
          await picture(page, 'history-closed')
        }
        await button.focus()
        await page.keyboard.press('Enter')
        await page.getByTestId('history-entry').nth(19).waitFor()
        assert.equal(await page.getByTestId('history-entry').count(), 20)
        await page.getByRole('button', { name: 'Older' }).focus()
        await page.keyboard.press('Enter')
        await page.getByTestId('history-entry').nth(21).waitFor()
        assert.equal(await page.getByRole('button', { name: 'Older' }).count(), 0)
        const first = await page.getByTestId('history-entry').last().innerText()
        assert.include(first, HOSTILE)
        assert.include(first, 'Created')
        assert.include(first, 'System (test)')
        assert.equal(await section.locator('img, script').count(), 0)
        if (form === 'show') {
          await section.evaluate(element => (element as { scrollIntoView(): void }).scrollIntoView())
          await picture(page, 'history-open')
        }
      }
      await page.goto(`/admin/t/acme/resources/Person/records/${person}/show`)
      await page.getByTestId('history').getByRole('button').click()
      await page.getByText('Changes of these records are not kept.').waitFor()
      assert.deepEqual(problems, [])
    })
  })
})
