/** The first page: its figures against plain SQL, who sees them, and how they look in a real Chromium. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { assert } from 'chai'
import Koa from 'koa'
import { newId } from 'mikro-tenantkit'
import { accountsOf, createAdminPanel, type AdminAccount, type AdminAccounts } from 'mikro-tenantkit/admin'
import { Client } from 'pg'
import type { Browser, Page } from 'playwright-core'
import { dashboardWords } from '../../admin/locale/dashboard.ts'
import { query } from '../helpers/postgres.ts'
import { openPage, picture, startBrowser } from './browser.ts'
import { as } from './client.ts'
import { PASSWORD, Person, emailOf, startWorld, type World } from './world.ts'

const MANY = 60
const day = (ago: number): string => new Date(Date.now() - ago * 86_400_000).toISOString().slice(0, 10)

/** A fleet around the two real tenants: rows as the framework itself writes them. */
async function fillFleet({ kit, tenancy }: World): Promise<void> {
  const columns = 'created_at, created_by, updated_at, updated_by'
  await query(
    kit.url,
    `insert into public.tenantkit_tenant (id, slug, name, isolation_mode, schema_name, status, status_reason, schema_version, schema_fingerprint, deleted_at, ${columns})
     select gen_random_uuid(), 'tenant-' || n, 'Tenant ' || n, 'schema', 'none_' || n,
       case when n % 20 = 0 then 'suspended' when n % 15 = 0 then 'archived' when n % 13 = 0 then 'pending' else 'ready' end, null,
       case when n % 6 = 0 then null when n % 4 = 0 then 'Migration2026_older' else a.schema_version end, case when n % 6 = 0 or n % 4 = 0 then null else a.schema_fingerprint end,
       case when n % 15 = 0 and n % 20 <> 0 then now() end, now() - make_interval(days => (n * n) / 30), 'system:test', now(), 'system:test'
     from generate_series(1, ${MANY}) n, (select * from public.tenantkit_tenant where slug = 'acme') a`,
  )
  await query(
    kit.url,
    `insert into public.tenantkit_tenant_usage (id, tenant_id, day, storage_bytes, table_count, row_estimate, ${columns})
     select gen_random_uuid(), t.id, d::date, ((1500000 + length(t.slug) * 130000 + (ascii(right(t.slug, 1)) % 9) * 1700000) * (1 + (29 - (current_date - d::date)) * (ascii(right(t.slug, 1)) % 5 + length(t.slug) % 3) / 80.0))::bigint,
       12, 5000, now(), 'x', now(), 'x'
     from public.tenantkit_tenant t, generate_series('${day(29)}'::date, '${day(0)}'::date, '1 day') d
     where t.status in ('ready', 'suspended') and not (t.slug = 'tenant-9' and d < '${day(3)}'::date)`,
  )
  // A schema of this name is somebody else's: provisioning must not touch it.
  await query(kit.url, `create schema "${kit.prefix}_unlucky"`)
  await kit
    .asSystem(() => tenancy.provision({ slug: 'unlucky', name: 'Unlucky', isolation: 'schema' }))
    .then(
      () => assert.fail('it was provisioned'),
      () => undefined,
    )
}

/** A run that a process works on: it holds its lock. */
async function runInProgress(world: World): Promise<{ readonly id: string; end(): Promise<void> }> {
  const id = newId()
  const client = new Client({ connectionString: world.kit.url })
  await client.connect()
  await client.query(`select pg_advisory_lock_shared(hashtextextended('tenantkit run ' || $1::text, 0))`, [id])
  await client.query(
    `insert into public.tenantkit_migration_run (id, status, actor, to_version, plan, started_at) values ($1, 'running', 'global:olga', null, '{}', now())`,
    [id],
  )
  await client.query(
    `insert into public.tenantkit_migration_run_tenant (run_id, tenant_id, slug, wave, status, error, finished_at)
     select $1, id, slug, least(3, n / 12), case when n < 20 then case when n = 7 then 'failed' else 'applied' end when n < 24 then 'running' else 'pending' end,
       case when n = 7 then 'column "vat" contains null values' end, case when n < 20 then now() end
     from (select *, (row_number() over (order by schema_version nulls first, slug))::int - 1 as n from public.tenantkit_tenant where status = 'ready') t`,
    [id],
  )
  return { id, end: () => client.end() }
}

describe('admin: dashboard', function () {
  this.timeout(90_000)
  let world: World
  let browser: Browser
  let run: Awaited<ReturnType<typeof runInProgress>>

  before(async () => {
    ;[world, browser] = await Promise.all([startWorld(), startBrowser()])
    await fillFleet(world)
    run = await runInProgress(world)
  })
  after(async () => {
    await browser?.close()
    await run?.end()
    await world?.[Symbol.asyncDispose]()
  })

  const sql = <T extends object>(text: string): Promise<T[]> => query<T & Record<string, unknown>>(world.kit.url, text)
  const figures = async (who: Parameters<typeof as>[1], tenant?: string) => {
    const client = await as(world.origin, who, tenant)
    const { status, json, text } = await client.get(`/admin${tenant === undefined ? '' : `/t/${tenant}`}/api/dashboard`)
    assert.equal(status, 200, text)
    return json
  }
  async function logIn(page: Page, who: Parameters<typeof emailOf>[0], tenant = ''): Promise<void> {
    await page.goto('/admin/login')
    await page.fill('input[name=email]', emailOf(who))
    await page.fill('input[name=password]', PASSWORD)
    await page.fill('input[name=tenant]', tenant)
    await page.click('button[type=submit]')
    await page.getByTestId('key-figures').waitFor()
  }
  const rowsOf = (page: Page, card: string): Promise<string[][]> =>
    page
      .getByTestId(card)
      .locator('tbody tr')
      .evaluateAll((rows: any[]) => rows.map(row => [...row.querySelectorAll('th, td:not([aria-hidden])')].map(cell => cell.innerText)))

  it('counts the fleet by status and by version, as plain SQL does', async () => {
    const { fleet } = await figures('auditor')
    assert.deepEqual(
      fleet.statuses,
      await sql('select status, count(*)::int as tenants from public.tenantkit_tenant group by 1 order by 2 desc, 1'),
    )
    const versions = await sql<{ version: string | null; tenants: number }>(
      `select schema_version as version, count(*)::int as tenants from public.tenantkit_tenant where status in ('ready', 'suspended') group by 1 order by 1 nulls first`,
    )
    assert.sameDeepMembers(
      fleet.versions.map(({ version, tenants }: { version: string | null; tenants: number }) => ({ version, tenants })),
      versions,
    )
    const [acme] = await sql<{ schema_version: string }>(`select schema_version from public.tenantkit_tenant where slug = 'acme'`)
    assert.deepEqual(
      fleet.versions.filter(({ current }: { current: boolean }) => current).map(({ version }: { version: string }) => version),
      [acme!.schema_version],
    )
    assert.equal(
      fleet.behind,
      versions.filter(({ version }) => version !== acme!.schema_version).reduce((sum, each) => sum + each.tenants, 0),
    )
  })

  it('tells growth and storage, as plain SQL does', async () => {
    const { fleet } = await figures('owner')
    const [all] = await sql<{ count: number }>('select count(*)::int from public.tenantkit_tenant')
    const { before, days } = fleet.growth as { before: number; days: { day: string; tenants: number }[] }
    assert.lengthOf(days, 84)
    assert.equal(days.at(-1)!.day, day(0))
    assert.equal(before + days.reduce((sum, { tenants }) => sum + tenants, 0), all!.count)
    assert.deepEqual(
      days.filter(({ tenants }) => tenants > 0),
      await sql(
        `select (created_at at time zone 'UTC')::date::text as day, count(*)::int as tenants from public.tenantkit_tenant where created_at >= '${days[0]!.day}T00:00Z' group by 1 order by 1`,
      ),
    )
    assert.isAbove(before, 0)
    const { storage } = fleet
    const [sum] = await sql<{ bytes: string }>(
      `select sum(storage_bytes)::text as bytes from public.tenantkit_tenant_usage where day = '${day(0)}'`,
    )
    assert.equal(storage.bytes, Number(sum!.bytes))
    assert.lengthOf(storage.days, 30)
    const largest = await sql<{ tenant: string; bytes: number; first: string; bytes_before: number }>(
      `select t.slug as tenant, u.storage_bytes::int as bytes, f.day::text as first, f.storage_bytes::int as bytes_before from public.tenantkit_tenant_usage u
       join public.tenantkit_tenant t on t.id = u.tenant_id
       join public.tenantkit_tenant_usage f on f.tenant_id = t.id and f.day = (select min(day) from public.tenantkit_tenant_usage m where m.tenant_id = t.id)
       where u.day = '${day(0)}' order by 2 desc, 1 limit 10`,
    )
    assert.deepEqual(
      storage.largest.map(({ bytes }: { bytes: number }) => bytes),
      largest.map(({ bytes }) => bytes),
    )
    for (const { tenant, bytes_before, day_before } of storage.largest) {
      const expected = largest.find(each => each.tenant === tenant)
      if (expected !== undefined) assert.deepEqual([bytes_before, day_before], [expected.bytes_before, expected.first])
    }
  })

  it('shows a run in progress wave by wave, canaries first, and what failed lately with its code', async () => {
    const { fleet } = await figures('operator')
    assert.lengthOf(fleet.runs, 1)
    assert.deepInclude(fleet.runs[0], { id: run.id, status: 'running', actor: 'global:olga' })
    const waves = await sql(
      `select wave, count(*) filter (where status = 'applied')::int as applied, count(*) filter (where status = 'failed')::int as failed, 0 as skipped,
         count(*) filter (where status = 'running')::int as running, count(*) filter (where status = 'pending')::int as pending
       from public.tenantkit_migration_run_tenant where run_id = '${run.id}' group by 1 order by 1`,
    )
    assert.lengthOf(waves, 4)
    assert.deepEqual(fleet.runs[0].waves, waves)
    const failed = fleet.failures as { what: string; code: string; tenant: string; tenant_id: string; reason: string }[]
    const provision = failed.find(({ what }) => what === 'provision')!
    assert.deepInclude(provision, { tenant: 'unlucky', code: 'PROVISIONING_FAILED' })
    const [unlucky] = await sql<{ id: string; status_reason: string }>(
      `select id, status_reason from public.tenantkit_tenant where slug = 'unlucky'`,
    )
    assert.deepEqual([provision.tenant_id, provision.reason], [unlucky!.id, unlucky!.status_reason])
    assert.deepInclude(
      failed.find(({ what }) => what === 'migration run')!,
      {
        code: 'MIGRATION_FAILED',
        reason: 'column "vat" contains null values',
      },
    )
  })

  it('tells a tenant of itself alone, and who may not see the registry nothing of the fleet', async () => {
    const { tenant, fleet, tiles } = await figures('viewer', 'acme')
    assert.isUndefined(fleet)
    const [row] = await sql<{ id: string; status: string; schema_version: string }>(
      `select id, status, schema_version from public.tenantkit_tenant where slug = 'acme'`,
    )
    assert.deepInclude(tenant, { status: row!.status, schema_version: row!.schema_version })
    assert.deepEqual(
      tenant.days.map(({ bytes }: { bytes: number }) => bytes),
      (
        await sql<{ bytes: number }>(
          `select storage_bytes::int as bytes from public.tenantkit_tenant_usage where tenant_id = '${row!.id}' order by day`,
        )
      ).map(({ bytes }) => bytes),
    )
    assert.notMatch(JSON.stringify({ tenant, tiles }), /globex|tenant-\d|unlucky/)
    // An operator whose permissions are others than those of the roles.
    const panel = createAdminPanel(world.tenancy, { accounts: withoutRegistry(accountsOf(Person)) })
    const server = new Koa().use(panel.middleware).listen(0, '127.0.0.1')
    try {
      await once(server, 'listening')
      const client = await as(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, 'operator')
      const { json } = await client.get('/admin/api/dashboard')
      assert.sameMembers(Object.keys(json), ['tiles', 'cards'])
      assert.notInclude(
        json.tiles.map(({ resource }: { resource: string }) => resource),
        'Tenant',
      )
    } finally {
      server.close()
    }
  })

  /** Text against what is behind it, by WCAG 2.2, wherever it is on the page. */
  const contrastsOf = (page: Page) =>
    page.evaluate(() => {
      const { document, getComputedStyle } = globalThis as any
      const parse = (text: string): number[] => (text.match(/[\d.]+/g) ?? []).map(Number)
      const luminance = ([r = 0, g = 0, b = 0]: number[]): number => {
        const [x, y, z] = [r, g, b].map(value => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4))
        return 0.2126 * x! + 0.7152 * y! + 0.0722 * z!
      }
      const behind = (element: any): number[] => {
        for (let each = element; each !== null; each = each.parentElement) {
          const color = parse(getComputedStyle(each).backgroundColor)
          if (color.length === 3 || (color[3] ?? 1) > 0.99) return color
        }
        return [255, 255, 255]
      }
      const found: { text: string; contrast: number }[] = []
      for (const element of document.querySelectorAll('#app *')) {
        const own = [...element.childNodes].some((node: any) => node.nodeType === 3 && (node.textContent ?? '').trim() !== '')
        if (
          !own ||
          element.tagName === 'STYLE' ||
          element.tagName === 'TITLE' ||
          element.closest('[data-testid=scope]') !== null ||
          element.getClientRects().length === 0
        )
          continue
        const style = getComputedStyle(element)
        const front = parse(element.closest('svg') === null ? style.color : style.fill)
        const [a, b] = [luminance(front), luminance(behind(element))]
        found.push({ text: element.textContent!.slice(0, 40), contrast: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) })
      }
      return found
    })

  const looks = [
    { name: 'dashboard', width: 1600, height: 1450 },
    { name: 'dashboard-small', width: 390, height: 844 },
  ] as const
  for (const colorScheme of ['light', 'dark'] as const)
    it(`is readable in the ${colorScheme}, at 1,600 and at 390 pixels, and fits`, async () => {
      await using visitor = await openPage(browser, world.origin, { colorScheme })
      const { page, problems } = visitor
      await logIn(page, 'owner')
      for (const { name, width, height } of looks) {
        await page.setViewportSize({ width, height })
        await page.goto('/admin')
        await page.getByTestId('largest').waitFor()
        const wide = await page.evaluate(() => {
          const { document, innerWidth } = globalThis as any
          return [document.documentElement, ...document.querySelectorAll('#app *')]
            .filter(
              (each: any) => !each.closest('.tk-hidden, [data-css="sidebar"], svg') && each.getBoundingClientRect().right > innerWidth + 1,
            )
            .map((each: any) => `${each.tagName} ${each.className.toString().slice(0, 40)}`)
        })
        assert.deepEqual(wide, [])
        assert.isAtMost(await page.evaluate('document.documentElement.scrollWidth'), width)
        const contrasts = await contrastsOf(page)
        assert.isAbove(contrasts.length, 80)
        assert.deepEqual(
          contrasts.filter(({ contrast }) => contrast < 4.5),
          [],
        )
        // Each card has a heading, each picture says what it shows, and has its table.
        for (const card of ['statuses', 'versions', 'runs', 'failures', 'growth', 'storage', 'largest'])
          assert.equal(await page.getByTestId(card).getByRole('heading', { level: 3 }).count(), 1, card)
        for (const card of ['growth', 'storage']) {
          const image = page.getByTestId(card).getByRole('img')
          assert.match((await image.getAttribute('aria-label')) ?? '', /\d/)
          assert.isAbove(await page.getByTestId(card).locator('details tbody tr').count(), 5)
        }
        await picture(page, colorScheme === 'dark' ? `${name}-dark` : name)
      }
      assert.deepEqual(problems, [])
    })

  it('shows the numbers that the database has', async () => {
    await using visitor = await openPage(browser, world.origin)
    const { page, problems } = visitor
    await logIn(page, 'owner')
    await page.getByTestId('largest').waitFor()
    const words: Readonly<Record<string, string>> = dashboardWords.en
    const statuses = await sql<{ status: string; tenants: number }>(
      'select status, count(*)::int as tenants from public.tenantkit_tenant group by 1 order by 2 desc, 1',
    )
    assert.deepEqual(
      await rowsOf(page, 'statuses'),
      statuses.map(({ status, tenants }) => [words[`dashboardTenant${status}`]!, String(tenants)]),
    )
    assert.deepEqual((await rowsOf(page, 'runs'))[0], ['Canaries', '11 applied, 1 failed'])
    const failures = await rowsOf(page, 'failures')
    assert.isTrue(
      failures.some(([, tenant, what, code]) => tenant === 'unlucky' && what === 'provision' && code!.startsWith('PROVISIONING_FAILED\n')),
    )
    // By day, and in a table.
    const growth = page.getByTestId('growth')
    await growth.getByRole('button', { name: 'By day' }).click()
    assert.equal(await growth.getByRole('button', { name: 'By day' }).getAttribute('aria-pressed'), 'true')
    await growth.getByText('Show as a table').click()
    const rows = await rowsOf(page, 'growth')
    assert.lengthOf(rows, 28)
    const [all] = await sql<{ count: number }>('select count(*)::int from public.tenantkit_tenant')
    assert.equal(rows[0]![2], String(all!.count))
    // From a failure to its tenant.
    await page.getByTestId('failures').getByRole('link', { name: 'unlucky' }).click()
    await page.getByRole('heading', { name: 'Audit' }).waitFor()
    assert.match(page.url(), /\/admin\/resources\/Tenant\/records\/[\w-]+\/show/)
    assert.deepEqual(problems, [])
  })

  it("shows a tenant's own figures, in light and in dark", async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await using visitor = await openPage(browser, world.origin, { colorScheme })
      const { page, problems } = visitor
      await logIn(page, 'member', 'acme')
      const text = await page.getByTestId('dashboard').innerText()
      for (const word of ['Acme', 'Ready', 'Storage over time', 'about 5,000 rows']) assert.include(text, word)
      assert.notMatch(text, /Tenants|Globex|tenant-\d/)
      assert.deepEqual(
        (await contrastsOf(page)).filter(({ contrast }) => contrast < 4.5),
        [],
      )
      await picture(page, `tenant-dashboard${colorScheme === 'dark' ? '-dark' : ''}`)
      assert.deepEqual(problems, [])
    }
  })

  it('leaves no page of the panel unreadable in the dark', async () => {
    await using visitor = await openPage(browser, world.origin, { colorScheme: 'dark' })
    const { page, problems } = visitor
    await page.goto('/admin/login')
    await page.waitForSelector('input[name=tenant]')
    const pages: [string, Awaited<ReturnType<typeof contrastsOf>>][] = [['log-in', await contrastsOf(page)]]
    await logIn(page, 'admin', 'acme')
    await page.goto('/admin/t/acme/resources/Thing')
    await page.getByText('acme-2').waitFor()
    pages.push(['list', await contrastsOf(page)])
    await picture(page, 'list-dark')
    await page.getByText('acme-2').click()
    await page.getByRole('heading', { name: 'Audit' }).getByRole('button').click()
    await page.getByRole('button', { name: 'History' }).click()
    await page.getByTestId('history-entry').first().waitFor()
    pages.push(['show, with its history', await contrastsOf(page)])
    await page.goto(page.url().replace(/show$/, 'edit'))
    await page.getByRole('button', { name: 'Save' }).waitFor()
    pages.push(['edit', await contrastsOf(page)])
    await picture(page, 'form-dark')
    await page.context().clearCookies()
    await logIn(page, 'operator')
    const { id } = await world.kit.asSystem(() => world.tenancy.showTenant('globex'))
    await page.goto(`/admin/resources/Tenant/records/${id}/show`)
    await page.getByTestId('operation').waitFor()
    pages.push(['tenant', await contrastsOf(page)])
    assert.deepEqual(
      // What stands in an empty choice has the colour that its library gives it, in the light too.
      pages.map(([name, found]) => [name, found.filter(({ text, contrast }) => contrast < 4.5 && text !== 'Select...')]),
      pages.map(([name]) => [name, []]),
    )
    assert.deepEqual(problems, [])
  })

  it('looks again while a run is in progress', async () => {
    await using visitor = await openPage(browser, world.origin)
    const { page } = visitor
    await logIn(page, 'auditor')
    await page.getByText('Migration runs in progress').waitFor()
    await sql(
      `update public.tenantkit_migration_run set status = 'stopped', reason = 'a canary failed', finished_at = now() where id = '${run.id}'`,
    )
    await page.getByText('Last migration run').waitFor({ timeout: 15_000 })
    assert.include(await page.getByTestId('runs').innerText(), 'a canary failed')
  })

  it('has the same words in both languages', () => {
    const { en, es } = dashboardWords
    assert.deepEqual(Object.keys(en), Object.keys(es))
    const values = (text: string): string[] => [...text.matchAll(/\{\{(\w+)\}\}/g)].map(([, name]) => name!).sort()
    for (const [key, text] of Object.entries(en)) assert.deepEqual(values(es[key as keyof typeof es]), values(text), key)
  })
})

/** The same accounts, none of which may read the registry. */
function withoutRegistry(accounts: AdminAccounts): AdminAccounts {
  const less = (account: AdminAccount | undefined): AdminAccount | undefined =>
    account && { ...account, permissions: new Set([...account.permissions].filter(each => each !== 'tenants:read')) }
  return {
    ...accounts,
    byEmail: async (email, plane) => less(await accounts.byEmail(email, plane)),
    byId: async (id, plane) => less(await accounts.byId(id, plane)),
  }
}
