/** English and Spanish: the same words in both, chosen by the browser or the person, and no page that falls back. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert } from 'chai'
import { locales } from 'adminjs'
import { em } from 'mikro-tenantkit'
import type { Browser } from 'playwright-core'
import { WORDS, sentence } from '../../admin/locale.ts'
import { isKnown, say, saying } from '../../admin/locale/sentences.ts'
import { LANGUAGES, type Tree } from '../../admin/locale/words.ts'
import { openPage, picture, startBrowser } from './browser.ts'
import { Client, as } from './client.ts'
import { PASSWORD, Thing, emailOf, startWorld, type World } from './world.ts'

const flat = (tree: Tree, path = ''): [string, string][] =>
  Object.entries(tree).flatMap(([key, value]) => (typeof value === 'string' ? [[path + key, value]] : flat(value, `${path}${key}.`)))
const wordsIn = (language: 'en' | 'es') => new Map(WORDS.flatMap(words => flat(words[language])))
const root = join(import.meta.dirname, '../..')

describe('admin: languages', () => {
  it('leave a phrase as the server compares it', () => {
    const told = JSON.parse(JSON.stringify({ custom: { phrase: 'Delete', button: 'Delete' } }, saying('es')))
    assert.deepEqual(told, { custom: { phrase: 'Delete', button: 'Eliminar' } })
  })

  it('have the same words', () => {
    assert.sameMembers([...wordsIn('es').keys()], [...wordsIn('en').keys()])
    assert.isAbove(wordsIn('en').size, 50)
    const variables = (text: string) => [...text.matchAll(/\{\{\w+\}\}/g)].map(([name]) => name).sort()
    for (const [key, text] of wordsIn('en')) assert.deepEqual(variables(wordsIn('es').get(key)!), variables(text), key)
    const ours = wordsIn('es')
    const own = new Set(flat((locales as unknown as Record<string, Tree>)['es']!).map(([key]) => key))
    const missing = flat((locales as unknown as Record<string, Tree>)['en']!)
      .map(([key]) => key)
      .filter(key => !own.has(key) && !ours.has(key))
    assert.deepEqual(missing, [], 'words of AdminJS that nobody says in Spanish')
  })

  it('say every sentence of the server', () => {
    const files = [
      'adapter/collections',
      'adapter/problems',
      'adapter/resource',
      'adapter/values',
      'actions',
      'bulk',
      'deleted',
      'resources',
      'http/problems',
      'history-action',
    ]
    const calls =
      /(?:notice|FieldError|AppError|refused)\(\s*(['`])((?:(?!\1).)+)\1|(?:message|title|text|button): (['`])((?:(?!\3).)+)\3|\?? (['`])(They are [^'`]+)\5|^ {2}\d{3}: \['([^']+)', '([^']+)'\]/gm
    const sentences = files.flatMap(file =>
      [...readFileSync(join(root, 'admin', `${file}.ts`), 'utf8').matchAll(calls)].flatMap(match => [
        match[2],
        match[4],
        match[6],
        match[7],
        match[8],
      ]),
    )
    const said = sentences
      .filter(each => each !== undefined)
      .map(each => {
        let at = 0
        return each.replace(/\$\{[^}]+\}/g, () => `{${at++}}`)
      })
    assert.isAbove(said.length, 50)
    assert.deepEqual(
      said.filter(each => !isKnown(each) && !/^\{0\}( \{1\})?$/.test(each) && each !== 'forbiddenError'),
      [],
    )
    assert.equal(say('es', 'At most 20 characters'), 'Como máximo 20 caracteres')
    assert.equal(say('es', 'Between -5 and 7'), 'Entre -5 y 7')
    assert.equal(say('es', 'Enter A? B $1 {1}?'), '¿Entrar a A? B $1 {1}?')
    assert.equal(say('es', 'What an application says'), 'What an application says')
    assert.equal(say('en', 'Required'), 'Required')
  })

  describe('of a person', function () {
    this.timeout(60_000)
    let world: World

    before(async () => {
      const labels = { Thing: 'Cosas', Person: 'Personas' }
      world = await startWorld({
        translations: { es: { labels, messages: { invalidCredentials: 'No es correcto.' } }, en: { labels: { Thing: 'Objects' } } },
      })
    })
    after(() => world?.[Symbol.asyncDispose]())

    const languageOf = (text: string) => /<html lang="?(\w+)/.exec(text)?.[1]

    it('are the best that the browser asks for, English otherwise', async () => {
      const client = new Client(world.origin)
      for (const [asked, language] of [
        ['es-PE,es;q=0.9,en;q=0.5', 'es'],
        ['de,es;q=0.5', 'es'],
        ['en-GB,es;q=0.5', 'en'],
        ['de', 'en'],
        ['', 'en'],
        ['*', 'en'],
        ["es'; drop", 'en'],
      ] as const) {
        const { text } = await client.get('/admin/login', asked === '' ? {} : { 'accept-language': asked })
        assert.equal(languageOf(text), language, asked)
        assert.equal(/"(es|en)":\{"labels/.exec(text)?.[1], language)
      }
    })

    it('are what was chosen, by a form of the own session or log-in alone', async () => {
      const client = new Client(world.origin)
      const choose = (language: string, _csrf: string, more: Record<string, string> = {}) =>
        client.post('/admin/login/language', { form: { language, _csrf, ...more } })
      assert.equal((await choose('es', 'x')).status, 403)
      assert.equal((await client.get('/admin/login/language')).status, 405)
      const token = await client.logInToken()
      const chosen = await choose('es', token, { redirectTo: '/admin/t/acme/resources/Thing' })
      assert.equal(chosen.location, `/admin/login?redirectTo=${encodeURIComponent('/admin/t/acme/resources/Thing')}`)
      const cookie = chosen.headers.getSetCookie().find(each => each.startsWith('tenantkit_admin_language='))!
      assert.match(cookie, /httponly/i)
      assert.match(cookie, /samesite=lax/i)
      assert.equal(languageOf((await client.get('/admin/login', { 'accept-language': 'en' })).text), 'es')
      await client.logIn(emailOf('admin'), 'acme')
      assert.equal(languageOf((await client.get('/admin/t/acme')).text), 'es')
      assert.equal((await choose('en', 'x')).status, 403)
      for (const wrong of ['de', '__proto__', '']) await choose(wrong, client.csrf)
      assert.equal(languageOf((await client.get('/admin/t/acme')).text), 'es')
      assert.equal((await choose('en', client.csrf, { redirectTo: 'https://evil.test/' })).location, '/admin')
      assert.equal(
        (await choose('en', client.csrf, { redirectTo: '/admin/t/acme/resources/Thing?page=2' })).location,
        '/admin/t/acme/resources/Thing?page=2',
      )
      assert.equal(languageOf((await client.get('/admin/t/acme')).text), 'en')
    })

    it('are spoken by answers too, and the application has the last word', async () => {
      const client = await as(world.origin, 'admin', 'acme')
      const spanish = { 'accept-language': 'es' }
      const api = '/admin/t/acme/api/resources/Thing'
      const sent = (headers: Record<string, string>) =>
        client.post(`${api}/actions/new`, { json: { code: 'x'.repeat(30), small: 'much' }, headers })
      const { errors } = (await sent(spanish)).json.record
      assert.equal(errors.code.message, 'Como máximo 20 caracteres')
      assert.equal(errors.color.message, 'Obligatorio')
      assert.equal((await sent({})).json.record.errors.color.message, 'Required')
      const { id } = await world.inTenant('acme', () => em().findOneOrFail(Thing, { code: 'acme-3' }))
      const bulk = (await client.post(`${api}/bulk/bulkDelete?recordIds=${id}`, { json: {}, headers: spanish })).json
      assert.equal(bulk.notice.message, '1 eliminados')
      const page = (await client.get('/admin/t/acme/resources/Thing', spanish)).text
      assert.include(page, '"Thing":"Cosas"')
      assert.include(page, '¿Eliminar estos registros?')
      const refused = (await new Client(world.origin).get('/admin/login', spanish)).text
      assert.include(refused, 'No es correcto.')
      assert.include((await client.get('/admin/t/acme', {})).text, '"Thing":"Objects"')
      const none = await client.get('/admin/t/acme/resources/Nope', { ...spanish, accept: 'text/html' })
      assert.equal(none.status, 404)
      assert.include(none.text, 'No hay nada aquí')
      assert.equal(languageOf(none.text), 'es')
    })

    describe('in a browser', () => {
      let browser: Browser

      before(async () => {
        browser = await startBrowser()
      })
      after(() => browser?.close())

      it('are switched at the log-in and in the header, and no page falls back', async () => {
        const english = new Map([...flat((locales as unknown as Record<string, Tree>)['en']!), ...wordsIn('en')])
        const spanish = new Set([...flat((locales as unknown as Record<string, Tree>)['es']!), ...wordsIn('es')].map(([, text]) => text))
        // Names that are made from those of properties are English, and some of them are words of the panel, too.
        const made = new Set(Object.keys(Thing.meta.properties).map(sentence))
        const forbidden = new Set(
          [...english.values()].filter(text => !['', 'English', 'No'].includes(text) && !spanish.has(text) && !made.has(text)),
        )
        await using visitor = await openPage(browser, world.origin, { height: 1100 })
        const { page, problems } = visitor
        const look = async (): Promise<void> => {
          await page.waitForLoadState('networkidle')
          const lines = (await page.locator('body').innerText()).split('\n').map(line => line.trim())
          assert.deepEqual(
            lines.filter(
              line =>
                forbidden.has(line) ||
                line === 'Yes' ||
                line === 'System (test)' ||
                /^(?:components|messages|labels|actions|buttons|properties|pages|resources)\./i.test(line),
            ),
            [],
            page.url(),
          )
        }
        await page.goto('/admin/login')
        await page.getByRole('button', { name: 'Español' }).click()
        await page.getByText('Iniciar sesión').waitFor()
        await look()
        await picture(page, 'log-in-spanish')
        await page.fill('input[name=email]', emailOf('admin'))
        await page.fill('input[name=password]', PASSWORD)
        await page.fill('input[name=tenant]', 'acme')
        await page.getByRole('button', { name: 'Iniciar sesión' }).click()
        await page.waitForURL(url => url.pathname === '/admin/t/acme')
        await look()
        await page.goto('/admin/t/acme/resources/Thing')
        await page.getByText('acme-1').waitFor()
        await look()
        await page.getByText('acme-1').click()
        await page.getByRole('button', { name: 'Historial' }).click()
        await page.getByTestId('history-entry').first().waitFor()
        await page.getByRole('button', { name: 'Auditoría' }).click()
        await look()
        await page.getByTestId('history').scrollIntoViewIfNeeded()
        await picture(page, 'history-spanish')
        const { id } = await world.inTenant('acme', () => em().findOneOrFail(Thing, { code: 'acme-1' }))
        for (const path of [`records/${id}/edit`, 'actions/new', `bulk/bulkDelete?recordIds=${id}`]) {
          await page.goto(`/admin/t/acme/resources/Thing/${path}`)
          await page.locator('[data-css="topbar"]').waitFor()
          await look()
        }
        await page.goto('/admin/t/acme/resources/Thing?page=1')
        await page.getByText('acme-1').waitFor()
        await page.getByRole('button', { name: 'English' }).click()
        await page.getByText('Log out').waitFor()
        assert.match(page.url(), /\/admin\/t\/acme\/resources\/Thing\?page=1$/)
        assert.equal(await page.locator('html').getAttribute('lang'), 'en')
        assert.deepEqual(problems, [])
      })
    })

    it('are two', () => assert.deepEqual([...LANGUAGES], ['en', 'es']))
  })
})
