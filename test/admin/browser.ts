/** A real Chromium from the npm package; nothing has to be installed. One is started for all that a test file does. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import packaged from '@sparticuz/chromium'
import { chromium, type Browser, type Page } from 'playwright-core'

/** Not the package's own: with one process for everything, a second navigation may never end. */
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** A page, and what it did that no page should. */
export interface Visitor extends AsyncDisposable {
  readonly page: Page
  /** Requests to other hosts, errors of scripts and policies, dialogs, answers of 500. */
  readonly problems: readonly string[]
}

export async function startBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: await packaged.executablePath(), args: ARGUMENTS, headless: true })
}

export interface VisitorOptions {
  readonly width?: number
  readonly height?: number
  readonly timezoneId?: string
  readonly colorScheme?: 'light' | 'dark'
}

export async function openPage(
  browser: Browser,
  origin: string,
  { width = 1400, height = 900, timezoneId = 'UTC', colorScheme = 'light' }: VisitorOptions = {},
): Promise<Visitor> {
  const context = await browser.newContext({ viewport: { width, height }, baseURL: origin, timezoneId, colorScheme, locale: 'en-GB' })
  const page = await context.newPage()
  const problems: string[] = []
  page.on('request', request => {
    if (!request.url().startsWith(origin) && !/^(?:data|blob):/.test(request.url())) problems.push(`asked ${request.url()}`)
  })
  page.on('pageerror', error => problems.push(`threw ${error.message}`))
  page.on('console', message => {
    // What Chromium says of every answer of 4xx.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) problems.push(`said ${message.text()}`)
  })
  page.on('response', response => {
    if (response.status() >= 500) problems.push(`${response.status()} ${response.url()}`)
  })
  page.on('dialog', dialog => {
    problems.push(`dialog ${dialog.message()}`)
    void dialog.dismiss()
  })
  return { page, problems, [Symbol.asyncDispose]: () => context.close() }
}

/** Keeps a picture when they are asked for: TENANTKIT_PICTURES=docs/pictures/admin */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env['TENANTKIT_PICTURES']
  if (!folder) return
  mkdirSync(folder, { recursive: true })
  // What animates has come to rest.
  await page.waitForTimeout(300)
  await page.screenshot({ path: join(folder, `${name}.png`) })
}
