/** What an application adds in a few lines: pages with and without a component of its own, cards, labels; each for who may see it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assert } from 'chai'
import { em } from 'mikro-tenantkit'
import { accountsOf, bundleComponents, createAdminPanel } from 'mikro-tenantkit/admin'
import type { AdminPage } from 'mikro-tenantkit/admin'
import type { Browser } from 'playwright-core'
import { openPage, picture, startBrowser } from './browser.ts'
import { Client, as } from './client.ts'
import { PASSWORD, Person, Thing, emailOf, startWorld, type World } from './world.ts'

const COMPONENT = `
import React, { useEffect, useState } from 'react'
import { Box, H2 } from '@adminjs/design-system'
import { ApiClient } from 'adminjs'
interface Data { readonly codes: readonly string[] }
const Codes: React.FC = () => {
  const [data, setData] = useState<Data | null>(null)
  useEffect(() => void new ApiClient().getPage<Data>({ pageName: 'Codes' }).then(({ data }) => setData(data)), [])
  return <Box p="xl"><H2>My own component</H2>{data?.codes.join(', ')}</Box>
}
export default Codes
`
const HOSTILE = '</script><img src=x onerror=alert(1)>'

describe('admin: own pages', function () {
  this.timeout(90_000)
  let world: World
  let folder: string

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tenantkit-own-'))
    await writeFile(join(folder, 'codes.tsx'), COMPONENT)
    const bundle = join(folder, 'built', 'own.js')
    await bundleComponents({ components: { Codes: join(folder, 'codes.tsx') }, to: bundle })
    const overview: AdminPage = {
      label: 'Overview',
      in: 'tenant',
      permission: 'data:read',
      content: async ({ tenant, language, permissions }) => [
        { figures: [{ label: 'Things', value: await em().count(Thing) }] },
        { heading: `Of ${tenant?.slug}` },
        { text: HOSTILE },
        {
          columns: ['Code', 'Color'],
          rows: (await em().find(Thing, {}, { orderBy: { code: 'asc' } })).map(({ code, color }) => [code, color]),
        },
        { link: 'All things', href: '/admin/t/acme/resources/Thing' },
        { link: 'Elsewhere', href: 'javascript:alert(3)' },
        { text: `${language} ${permissions.length > 0}` },
      ],
    }
    world = await startWorld({
      bundle,
      pages: {
        Overview: overview,
        Codes: {
          ...overview,
          label: 'Codes',
          component: 'Codes',
          content: async () => ({ codes: (await em().find(Thing, {})).map(({ code }) => code) }),
        },
        Purging: { ...overview, label: 'Purging', permission: 'data:purge' },
        Control: { ...overview, label: 'Control', in: 'global', content: async () => [{ text: 'the control plane' }] },
        Everywhere: { ...overview, label: 'Everywhere', in: 'both', content: async ({ tenant }) => [{ text: tenant?.slug ?? 'none' }] },
      },
      cards: {
        red: { label: 'Red things', in: 'tenant', permission: 'data:read', value: () => em().count(Thing, { color: 'red' }) },
        secret: { label: 'Secret', in: 'tenant', permission: 'data:purge', value: async () => 'secret' },
        fleet: { label: 'Fleet', in: 'global', permission: 'tenants:read', value: async () => 2 },
      },
      resources: { Thing: { label: 'Objects', labels: { code: 'Number plate' }, order: ['color', 'note'] } },
      translations: { es: { pages: { Overview: 'Resumen' } } },
    })
  })
  after(async () => {
    await world?.[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  const ALL = ['Overview', 'Codes', 'Purging', 'Control', 'Everywhere'] as const
  const SEES = {
    owner: ['Control', 'Everywhere'],
    admin: ['Overview', 'Codes', 'Purging', 'Everywhere'],
    viewer: ['Overview', 'Codes', 'Everywhere'],
  } as const

  for (const [who, sees] of Object.entries(SEES))
    it(`shows ${who} ${sees.join(', ')}, and answers as if there were no others`, async () => {
      const client = await as(world.origin, who as keyof typeof SEES, who === 'owner' ? undefined : 'acme')
      const root = who === 'owner' ? '/admin' : '/admin/t/acme'
      const { text } = await client.get(root)
      for (const page of ALL) {
        const expected = (sees as readonly string[]).includes(page) ? 200 : 404
        assert.equal((await client.get(`${root}/api/pages/${page}`)).status, expected, page)
        assert.equal((await client.get(`${root}/pages/${page}`)).status, expected, page)
        assert.equal(text.includes(`{"name":"${page}"`), expected === 200, page)
        // What changes something is an action.
        assert.include([404, 405], (await client.post(`${root}/api/pages/${page}`, { json: {} })).status)
      }
      assert.equal((await client.get(`${root}/api/pages/constructor`)).status, 404)
    })

  it('shows nobody anything without a session, nor by a link from elsewhere', async () => {
    assert.equal((await new Client(world.origin).get('/admin/t/acme/api/pages/Overview')).status, 302)
    const client = await as(world.origin, 'admin', 'acme')
    assert.equal((await client.get('/admin/t/acme/api/pages/Overview', { 'sec-fetch-mode': 'navigate' })).status, 403)
    assert.equal((await client.get('/admin/t/globex/api/pages/Overview')).status, 404)
  })

  it('runs in the context of the request, in its tenant and under its filters', async () => {
    const pages = await Promise.all(
      ['acme', 'globex'].map(async slug => {
        const { json } = await (await as(world.origin, 'admin', slug)).get(`/admin/t/${slug}/api/pages/Codes`)
        return json.codes as string[]
      }),
    )
    assert.deepEqual(
      pages.map(codes => [...new Set(codes.map(code => code.split('-')[0]))]),
      [['acme'], ['globex']],
    )
  })

  it('puts cards on the first page, for who may see them', async () => {
    const cards = async (client: Client, root: string) => (await client.get(`${root}/api/dashboard`)).json.cards
    const red = { name: 'red', label: 'Red things', value: 3 }
    assert.deepEqual(await cards(await as(world.origin, 'admin', 'acme'), '/admin/t/acme'), [
      red,
      { name: 'secret', label: 'Secret', value: 'secret' },
    ])
    assert.deepEqual(await cards(await as(world.origin, 'viewer', 'acme'), '/admin/t/acme'), [red])
    assert.deepEqual(await cards(await as(world.origin, 'owner'), '/admin'), [{ name: 'fleet', label: 'Fleet', value: 2 }])
  })

  it('are refused at once without a place, a permission, a name, or the bundle that they need', async () => {
    const content = async () => []
    const make =
      (pages: object, more: object = {}) =>
      () =>
        createAdminPanel(world.tenancy, { accounts: accountsOf(Person), pages: pages as Record<string, AdminPage>, ...more })
    const good = { label: 'x', in: 'tenant', permission: 'data:read', content }
    assert.doesNotThrow(make({ Good: good }))
    assert.throws(make({ Bad: { ...good, permission: undefined } }), /admin\.pages\.Bad\.permission/)
    assert.throws(make({ Bad: { ...good, permission: '' } }), /admin\.pages\.Bad\.permission/)
    assert.throws(make({ Bad: { ...good, in: 'everywhere' } }), /admin\.pages\.Bad\.in/)
    for (const name of ['a/b', '', '1', 'constructor']) assert.throws(make({ [name]: good }), /must have a name/)
    assert.throws(make({ Bad: { ...good, component: 'X' } }), /needs admin\.bundle/)
    assert.throws(make({}, { cards: { bad: { label: 'x', in: 'tenant', value: content } } }), /admin\.cards\.bad\.permission/)
    for (const name of ['codes', 'a-b', 'A.b', 'A = 1; B'])
      await bundleComponents({ components: { [name]: 'x.tsx' }, to: join(folder, 'x.js') }).then(
        () => assert.fail(name),
        (error: { code: string }) => assert.equal(error.code, 'CONFIGURATION_INVALID'),
      )
  })

  it('bundles the own components alone, and says what is wrong with a source', async () => {
    await writeFile(join(folder, 'broken.tsx'), 'export default <')
    await bundleComponents({ components: { Broken: join(folder, 'broken.tsx') }, to: join(folder, 'broken.js') }).then(
      () => assert.fail('bundled'),
      (error: Error) => assert.match(error.message, /broken\.tsx/),
    )
  })

  describe('in a browser', () => {
    let browser: Browser

    before(async () => {
      browser = await startBrowser()
    })
    after(() => browser?.close())

    it('are in the navigation, drawn by the panel or by the own component, under the strict policy', async () => {
      await using visitor = await openPage(browser, world.origin)
      const { page, problems } = visitor
      await page.goto('/admin/login')
      await page.fill('input[name=email]', emailOf('viewer'))
      await page.fill('input[name=password]', PASSWORD)
      await page.fill('input[name=tenant]', 'acme')
      await page.getByRole('button', { name: 'Log in' }).click()
      await page.getByTestId('own-cards').getByText('Red things').waitFor()
      await page.locator('[data-css="sidebar"]').getByText('Overview').click()
      const own = page.getByTestId('own-page')
      await own.getByText('Of acme').waitFor()
      await picture(page, 'own-page')
      assert.include(await own.innerText(), HOSTILE)
      assert.equal(await own.locator('img').count(), 0)
      assert.equal(await own.getByText('Elsewhere').getAttribute('href'), '#')
      // From page to page without a load.
      await page.locator('[data-css="sidebar"]').getByText('Everywhere').click()
      await page.getByRole('heading', { name: 'Everywhere' }).waitFor()
      await own.getByText('acme', { exact: true }).waitFor()
      await page.locator('[data-css="sidebar"]').getByText('Codes').click()
      await page.getByText('My own component').waitFor()
      await page.getByText('acme-1').waitFor()
      await page.reload()
      await page.getByText('acme-1').waitFor()
      await page.goto('/admin/t/acme/resources/Thing')
      await page.getByText('acme-1').waitFor()
      assert.include(await page.locator('[data-css="sidebar"]').innerText(), 'Objects')
      await page.getByText('acme-1').click()
      await page.getByText('Number plate').waitFor()
      const labels = (await page.locator('main, body').first().innerText()).split('\n').map(line => line.trim())
      assert.isBelow(labels.indexOf('Color'), labels.indexOf('Number plate'))
      assert.deepEqual(problems, [])
    })
  })
})
