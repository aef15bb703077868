/** Sessions, log-in and forged requests, over HTTP. */
import { assert } from 'chai'
import { query } from '../helpers/postgres.ts'
import { Client, as } from './client.ts'
import { Person, emailOf, startWorld, type World } from './world.ts'

const API = '/admin/t/acme/api/resources/Thing/actions/list'

describe('admin: sessions', function () {
  this.timeout(60_000)
  let world: World

  before(async () => {
    world = await startWorld({ logInLimit: 4 })
  })
  after(() => world?.[Symbol.asyncDispose]())

  it('leaves everything beside /admin to the application', async () => {
    for (const path of ['/', '/administrator', '/api/admin', '/?/admin'])
      assert.equal((await new Client(world.origin).get(path)).text, 'the application')
  })

  it('lets nobody in without a session, whatever name of a file stands in the path or the query', async () => {
    const client = new Client(world.origin)
    const names = [
      'components.bundle.js',
      'app.bundle.js',
      'design-system.bundle.js',
      'icomoon.css',
      'logo.svg',
      'frontend/assets/app.bundle.js',
    ]
    const routes = [
      '/admin',
      '/admin/api/dashboard',
      API,
      '/admin/api/resources/Country/actions/list',
      '/admin/api/resources/Country/actions/new',
    ]
    for (const route of routes) {
      for (const name of ['', ...names]) {
        for (const path of [
          `${route}?${name}`,
          `${route}?x=/admin/frontend/assets/${name}`,
          ...(name === '' || route === '/admin' ? [] : [`${route}/${name}`]),
        ]) {
          for (const method of ['GET', 'POST', 'HEAD']) {
            const { status, location, text } = await client.send(method, path, { json: method === 'POST' ? {} : undefined })
            assert.include([302, 303], status, `${method} ${path}`)
            assert.match(location, /^\/admin\/login/, path)
            assert.notInclude(text, 'Peru')
          }
        }
      }
    }
  })

  it('serves the files of the browser by their exact names, compressed and cached, and no folder of theirs', async () => {
    const client = new Client(world.origin)
    const { text: page } = await client.get('/admin/login')
    const files = [...page.matchAll(/src="([^"]+)"/g)].map(([, path]) => path!)
    assert.lengthOf(files, 4)
    for (const path of files) {
      const { status, headers } = await client.get(path, { 'accept-encoding': 'br' })
      assert.equal(status, 200, path)
      assert.include(headers.get('cache-control')!, 'immutable')
      assert.equal(headers.get('content-encoding'), 'br')
      const etag = headers.get('etag')!
      assert.equal((await client.get(path, { 'if-none-match': etag })).status, 304)
    }
    for (const name of ['app.bundle.js/package.json', '../package.json', '..%2f..%2fpackage.json', 'bundle.development.js', '']) {
      const { status } = await client.get(`/admin/frontend/assets/${name}`)
      assert.include([302, 404], status, name)
    }
  })

  it('gives a local user the own tenant alone, and an operator the control plane', async () => {
    const local = new Client(world.origin)
    assert.equal((await local.logIn(emailOf('admin'), 'acme')).location, '/admin/t/acme')
    assert.equal((await local.get('/admin/t/acme')).status, 200)
    assert.equal((await local.get('/admin')).location, '/admin/t/acme')
    for (const path of [
      '/admin/t/globex',
      '/admin/t/nowhere',
      '/admin/resources/Country',
      '/admin/api/dashboard',
      '/admin/t/globex/api/resources/Thing/actions/list',
    ])
      assert.equal((await local.get(path)).status, 404, path)
    // Another tenant that exists and one that does not are told apart by nothing.
    const [real, unreal] = [await local.get('/admin/t/globex'), await local.get('/admin/t/nowhere')]
    assert.equal(real.text, unreal.text)
    const operator = new Client(world.origin)
    assert.equal((await operator.logIn(emailOf('owner'))).location, '/admin')
    assert.equal((await operator.get('/admin/api/resources/Country/actions/list')).json.records.length, 1)
  })

  it('answers every failed log-in alike', async () => {
    const attempts = [
      [emailOf('admin'), 'acme', 'wrong'],
      [emailOf('admin'), undefined, undefined],
      [emailOf('owner'), 'acme', undefined],
      ['nobody@example.test', 'acme', undefined],
      [emailOf('admin'), 'nowhere', undefined],
      [emailOf('admin'), "a'; drop table", undefined],
      ['', '', ''],
    ] as const
    const seen = new Set<string>()
    for (const [email, tenant, password] of attempts) {
      const { status, text, headers } = await new Client(world.origin).logIn(email, tenant, password)
      assert.equal(status, 401)
      assert.notInclude(headers.getSetCookie().join(), 'tenantkit_admin=')
      seen.add(text.replaceAll(/nonce[=-]?"?[\w+/=-]+"?|"csrf":"[\w-]+"/g, ''))
    }
    assert.lengthOf([...seen], 1)
  })

  it('throttles failed log-ins of one account, and says so to a good password as well', async () => {
    const client = new Client(world.origin)
    for (let at = 0; at < 4; at++) assert.equal((await client.logIn(emailOf('viewer'), 'acme', 'wrong')).status, 401)
    const { status, headers } = await client.logIn(emailOf('viewer'), 'acme')
    assert.equal(status, 429)
    assert.isAbove(Number(headers.get('retry-after')), 0)
    assert.equal((await client.logIn(emailOf('viewer'), 'globex')).status, 303)
  })

  it('sets cookies that scripts and other sites do not get, and holds them to the host under TLS', async () => {
    const client = new Client(world.origin)
    const cookies = (await client.logIn(emailOf('admin'), 'acme')).headers.getSetCookie()
    const session = cookies.find(each => each.startsWith('tenantkit_admin='))!
    assert.match(session, /; path=\/; /)
    assert.match(session, /httponly/i)
    assert.match(session, /samesite=lax/i)
    const tls = new Client(world.origin)
    const headers = { 'x-forwarded-proto': 'https' }
    const page = await tls.get('/admin/login', headers)
    const form = {
      _csrf: /"csrf":"([\w-]+)"/.exec(page.text)![1]!,
      email: emailOf('admin'),
      password: 'correct horse battery',
      tenant: 'acme',
    }
    const secure = (await tls.post('/admin/login', { form, headers })).headers.getSetCookie()
    const held = secure.find(each => each.startsWith('__Host-tenantkit_admin='))!
    assert.match(held, /; secure/i)
    assert.match(held, /; path=\/;/)
    assert.notMatch(held, /domain=/i)
    for (const cookie of secure) assert.match(cookie, /; secure/i)
  })

  it('makes a new session at each log-in, and ends the old one', async () => {
    const client = await as(world.origin, 'admin', 'acme')
    const planted = client.cookies.get('tenantkit_admin')!
    await client.logIn(emailOf('admin'), 'acme')
    assert.notEqual(client.cookies.get('tenantkit_admin'), planted)
    const old = new Client(world.origin)
    old.cookies.set('tenantkit_admin', planted)
    assert.equal((await old.get('/admin/t/acme')).status, 302)
  })

  it('survives a restart, is kept as a hash, is listed, and ends when it is revoked', async () => {
    const client = await as(world.origin, 'member', 'acme')
    const token = client.cookies.get('tenantkit_admin')!
    const rows = JSON.stringify(await query(world.kit.url, 'select * from public.tenantkit_admin_session'))
    assert.notInclude(rows, token)
    const other = await world.restarted()
    const again = new Client(other.origin)
    for (const [name, value] of client.cookies) again.cookies.set(name, value)
    assert.equal((await again.get(API)).status, 200)
    await other.close()
    const mine = (await world.panel.sessions.list()).find(({ label, tenantSlug }) => label === emailOf('member') && tenantSlug === 'acme')!
    assert.isTrue(await world.panel.sessions.revoke(mine.id))
    assert.isFalse(await world.panel.sessions.revoke(mine.id))
    assert.equal((await client.get(API)).status, 302)
  })

  it('ends at its limits: unused for too long, or too old', async () => {
    for (const column of ['seen_at', 'expires_at']) {
      const client = await as(world.origin, 'admin', 'acme')
      assert.equal((await client.get(API)).status, 200)
      await query(world.kit.url, `update public.tenantkit_admin_session set ${column} = now() - interval '13 hours'`)
      const { status, location } = await client.get(API)
      assert.equal(status, 302)
      assert.match(location, /^\/admin\/login/)
      assert.lengthOf(await query(world.kit.url, 'select 1 from public.tenantkit_admin_session where expires_at < now()'), 0)
    }
  })

  it('ends with its account, and follows its role', async () => {
    const { em } = await import('mikro-tenantkit')
    const person = (email: string) => em().findOneOrFail(Person.tenant, { email }, { filters: { notDeleted: false } })
    const client = await as(world.origin, 'member', 'acme')
    const add = () => client.post('/admin/t/acme/api/resources/Thing/actions/new', { json: { code: `r${Date.now()}`, color: 'red' } })
    assert.equal((await add()).json.notice.type, 'success')
    const asRole = (role: string) =>
      world.inTenant('acme', async () => {
        ;(await person(emailOf('member'))).role = role
        await em().flush()
      })
    await asRole('viewer')
    assert.equal((await add()).json.notice.message, 'forbiddenError')
    await asRole('member')
    await world.inTenant('acme', async () => {
      await em()
        .remove(await person(emailOf('member')))
        .flush()
    })
    assert.equal((await client.get(API)).status, 302)
    assert.equal((await client.logIn(emailOf('member'), 'acme')).status, 401)
    await world.inTenant('acme', async () => {
      const { restore } = await import('mikro-tenantkit')
      await restore(em(), await person(emailOf('member')))
    })
  })

  it('ends with its tenant', async () => {
    const client = await as(world.origin, 'admin', 'globex')
    assert.equal((await client.get('/admin/t/globex')).status, 200)
    await world.kit.asSystem(() => world.tenancy.operate('globex', 'suspend'))
    const { status, location } = await client.get('/admin/t/globex')
    assert.equal(status, 302)
    assert.match(location, /^\/admin\/login/)
    assert.equal((await client.logIn(emailOf('admin'), 'globex')).status, 401)
    await world.kit.asSystem(() => world.tenancy.operate('globex', 'resume'))
    assert.equal((await client.get('/admin/t/globex')).status, 302)
  })

  it('ends at the log-out, which takes the token', async () => {
    const client = await as(world.origin, 'admin', 'acme')
    assert.equal((await client.get('/admin/logout')).status, 405)
    assert.equal((await client.post('/admin/logout', { form: { _csrf: 'x' } })).status, 403)
    assert.equal((await client.get(API)).status, 200)
    const { cookies } = client
    const token = cookies.get('tenantkit_admin')!
    assert.equal((await client.post('/admin/logout', { form: { _csrf: client.csrf } })).location, '/admin/login')
    cookies.set('tenantkit_admin', token)
    assert.equal((await client.get(API)).status, 302)
  })

  it('refuses forged requests: without the token, from elsewhere, by navigation, too large, of another kind', async () => {
    const client = await as(world.origin, 'admin', 'acme')
    const path = '/admin/t/acme/api/resources/Thing/actions/new'
    const json = { code: 'forged', color: 'red' }
    const refused = async (status: number, sending: Parameters<Client['post']>[1], to = path): Promise<void> =>
      assert.equal((await client.post(to, sending)).status, status, JSON.stringify(sending))
    await refused(403, { json, token: false })
    await refused(403, { json, token: false, headers: { 'x-xsrf-token': 'x'.repeat(43) } })
    await refused(403, { json, headers: { 'sec-fetch-site': 'cross-site' } })
    await refused(403, { json, headers: { 'sec-fetch-site': 'same-site' } })
    await refused(403, { json, headers: { origin: 'https://evil.test' } })
    await refused(413, { json: { ...json, note: 'x'.repeat(2_000_001) } })
    await refused(404, { json }, '/admin/t/acme/api/resources/Thing/nowhere')
    for (const method of ['PUT', 'DELETE', 'PATCH']) assert.equal((await client.send(method, path, { json })).status, 405)
    assert.equal((await client.post('/admin/t/acme/resources/Thing/actions/new', { json })).status, 405)
    assert.equal((await client.get(API, { 'sec-fetch-mode': 'navigate' })).status, 403)
    const records = (await client.get(API)).json.records as { params: { code: string } }[]
    assert.notInclude(
      records.map(({ params }) => params.code),
      'forged',
    )
    // The log-in has a token of its own.
    assert.equal((await new Client(world.origin).post('/admin/login', { form: { email: emailOf('admin'), password: 'x' } })).status, 403)
  })

  it('leads nowhere but into the back office after the log-in', async () => {
    for (const redirectTo of [
      'https://evil.test',
      '//evil.test/admin',
      '/other',
      '/admin/../other',
      '/admin/t/globex',
      '/admin/logout',
      '\\\\evil.test',
    ]) {
      const client = new Client(world.origin)
      const form = {
        _csrf: await client.logInToken(),
        email: emailOf('admin'),
        password: 'correct horse battery',
        tenant: 'acme',
        redirectTo,
      }
      assert.equal((await client.post('/admin/login', { form })).location, '/admin/t/acme', redirectTo)
    }
    const client = new Client(world.origin)
    const wanted = '/admin/t/acme/resources/Thing'
    assert.equal((await client.get(wanted)).location, `/admin/login?redirectTo=${encodeURIComponent(wanted)}`)
    const form = {
      _csrf: await client.logInToken(),
      email: emailOf('admin'),
      password: 'correct horse battery',
      tenant: 'acme',
      redirectTo: wanted,
    }
    assert.equal((await client.post('/admin/login', { form })).location, wanted)
  })

  it('sends no page without its headers, and no stack ever', async () => {
    const client = await as(world.origin, 'admin', 'acme')
    const paths = ['/admin/login', '/admin/t/acme', API, '/admin/t/acme/resources/Nope', '/admin/t/acme/api/resources/Thing/records/x/show']
    for (const path of paths) {
      const { headers, text } = await client.get(path)
      assert.equal(headers.get('x-content-type-options'), 'nosniff', path)
      assert.equal(headers.get('x-frame-options'), 'DENY')
      assert.equal(headers.get('cache-control'), 'no-store')
      assert.notMatch(text, /\n\s+at .+:\d+:\d+/)
      if (!/text\/html/.test(headers.get('content-type')!)) continue
      const policy = headers.get('content-security-policy')!
      assert.match(policy, /default-src 'none'/)
      assert.notMatch(policy, /unsafe-eval|script-src[^;]*unsafe-inline|https?:/)
      const nonce = /'nonce-([^']+)'/.exec(policy)?.[1]
      for (const [script] of text.matchAll(/<script[^>]*>/g)) assert.include(script, `nonce="${nonce}"`)
      for (const [, url] of text.matchAll(/(?:src|href)="([^"]+)"/g)) assert.match(url!, /^\/admin/, url)
    }
    const nonces = await Promise.all([1, 2].map(async () => (await client.get('/admin/t/acme')).headers.get('content-security-policy')))
    assert.notEqual(nonces[0], nonces[1])
  })
})
