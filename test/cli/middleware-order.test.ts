/** One order of middleware: in the example, in the documentation and in both checkers. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { assert } from 'chai'
import { authentication, checkMiddlewareOrder, tenantMiddleware } from 'mikro-tenantkit/koa'
import type { Tenancy } from 'mikro-tenantkit'
import Koa from 'koa'
import { middlewareFindings, orderProblems, withoutTextAndComments } from '../../src/cli/middleware-order.ts'
import { environmentFindings } from '../../src/cli/environment-checks.ts'
import { ROOT, readPages } from '../helpers/docs.ts'

/** What the checkers say of one order: by the text, and by the application that the text makes. */
function judged(order: readonly ('authentication' | 'tenantMiddleware')[]) {
  const text = order.map(name => `app.use(${name}(options))`).join('\n')
  const app = new Koa()
  const make = {
    authentication: () => authentication({ verify: () => Promise.reject(new Error()) }),
    tenantMiddleware: () => tenantMiddleware({} as Tenancy, { resolvers: [] }),
  }
  for (const name of order) app.use(make[name]())
  let refused = false
  try {
    checkMiddlewareOrder(app)
  } catch {
    refused = true
  }
  return { byText: orderProblems(text).length > 0, byApp: refused }
}

describe('the order of middleware', () => {
  it('is judged alike by the text and at start', () => {
    assert.deepEqual(judged(['authentication', 'tenantMiddleware']), { byText: false, byApp: false })
    assert.deepEqual(judged(['tenantMiddleware', 'authentication']), { byText: true, byApp: true })
  })

  it('wants the session before the tenant, and the documentation and the example say the same', () => {
    assert.isEmpty(orderProblems(`app.use(session(app)); app.use(tenantMiddleware(t, {})); app.use(routes.routes())`))
    assert.match(orderProblems(`app.use(tenantMiddleware(t, {})).use(koaSession(app))`).join(), /koaSession\(\) is mounted after/)
    assert.match(orderProblems(`app.use(tenantMiddleware(t, {})).use(problems())`).join(), /problems\(\) is mounted after/)
    const page = readPages().find(({ name }) => name === 'setup-order')!
    const block = page.blocks.find(({ code }) => code.includes('tenantMiddleware('))!
    assert.isEmpty(orderProblems(withoutTextAndComments(block.code)))
    assert.include(block.code, 'checkMiddlewareOrder(app)')
    const rows = page.prose.split('\n').filter(line => /^\| \d \|/.test(line))
    const place = (name: string) => rows.findIndex(row => row.includes(name))
    assert.isBelow(place('problems()'), place('authentication()'))
    assert.isBelow(place('authentication()'), place('tenantMiddleware()'))
    assert.isBelow(place('tenantMiddleware()'), place('your routes'))
    assert.deepInclude(middlewareFindings(ROOT), {
      name: 'middleware order',
      ok: true,
      level: 'ok',
      message: 'log-in, tenant, routes in example/app.ts',
    })
    assert.isEmpty(orderProblems(withoutTextAndComments(readFileSync(join(ROOT, 'example/app.ts'), 'utf8'))))
  })

  it('is looked for in the code of a project, not in its comments, texts, tests and packages', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tenantkit-order-'))
    const wrong = `app.use(tenantMiddleware(t, {})).use(authentication({}))\n`
    const levels = () => middlewareFindings(folder).map(({ level }) => level)
    try {
      for (const [path, text] of [
        ['src/comment.ts', `// ${wrong}/* ${wrong} */ const text = '.use(tenantMiddleware('\n`],
        ['node_modules/x/app.ts', wrong],
        ['test/app.ts', wrong],
        ['src/app.test.ts', wrong],
      ] as const) {
        mkdirSync(join(folder, path, '..'), { recursive: true })
        writeFileSync(join(folder, path), text)
      }
      assert.deepEqual(levels(), ['ok'])
      writeFileSync(join(folder, 'src/app.ts'), `app.use(authentication({}))\napp.use(tenantMiddleware(t, {}))\n`)
      assert.match(middlewareFindings(folder)[0]!.message, /nothing holds the order at start in src.app\.ts/)
      assert.deepEqual(levels(), ['warning'])
      writeFileSync(join(folder, 'src/app.ts'), wrong)
      assert.deepEqual(levels(), ['error'])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe('the secrets of the environment', () => {
  const said = (env: Record<string, string>) => environmentFindings(env).map(({ level, message }) => `${level}: ${message}`)
  it('are looked at if they are set, and never repeated', () => {
    assert.match(said({}).join(), /^ok/)
    assert.match(said({ TENANTKIT_JWT_SECRET: '' }).join(), /^ok/)
    assert.match(said({ TENANTKIT_JWT_SECRET: 'K7p0sQx2mVb9LrTz4WcYd8HfNjAe3GuR' }).join(), /^ok/)
    assert.match(said({ TENANTKIT_JWT_SECRET: 'ab'.repeat(20) }).join(), /^warning: TENANTKIT_JWT_SECRET repeats few characters$/)
    assert.match(said({ TENANTKIT_ADMIN_PASSWORD: 'Password-2026' }).join(), /^warning: TENANTKIT_ADMIN_PASSWORD holds a word/)
    assert.notInclude(said({ TENANTKIT_ADMIN_PASSWORD: 'zyxw' }).join(), 'zyxw')
  })
})
