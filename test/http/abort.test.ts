import { once } from 'node:events'
import { connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { PassThrough, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from 'chai'
import Koa from 'koa'
import type { Middleware } from 'koa'
import { bindContext, currentContext, currentTenant, em } from 'mikro-tenantkit'
import { authentication, problems, tenantMiddleware, type TenantMiddlewareOptions } from 'mikro-tenantkit/koa'
import { fromHeader } from '../../src/resolvers/from-header.ts'
import { query, serverUrl } from '../helpers/postgres.ts'
import { Tag, operator, testTenancy, twoTenants, type TestTenancy } from '../helpers/tenancy.ts'

const silent = { info: () => undefined, error: () => undefined }

async function codeOf(work: () => unknown): Promise<string> {
  try {
    await work()
    return 'nothing was thrown'
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).message
  }
}

async function until(holds: () => boolean | Promise<boolean>, what: string, ms = 4000): Promise<void> {
  for (const end = Date.now() + ms; !(await holds()); await sleep(15)) if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`)
}

describe('http: aborted requests', function () {
  this.timeout(60_000)
  let kit: TestTenancy
  before(async () => {
    kit = await testTenancy({ pool: { shared: 2, perTenant: 1 } })
    await twoTenants(kit)
    for (const slug of ['acme', 'globex']) {
      await kit.tenancy.run(
        slug,
        async () => {
          for (let index = 0; index < 150; index++) em().create(Tag, { label: `${slug} ${index}` })
          await em().flush()
        },
        { actor: operator },
      )
    }
  })
  after(() => kit?.[Symbol.asyncDispose]())

  /** What the application does on the server, in all of its databases. */
  const busy = async () =>
    query<{ state: string; query: string }>(
      serverUrl(),
      `select state, query from pg_stat_activity where application_name = 'mikro-tenantkit' and state <> 'idle'
        and (datname = $1 or starts_with(datname, $2))`,
      [new URL(kit.url).pathname.slice(1), `${kit.prefix}_`],
    )

  async function released(): Promise<void> {
    let last: unknown
    const free = async () => {
      const { leases, shared } = kit.tenancy.stats()
      last = { leases, shared, busy: await busy() }
      return leases === 0 && shared.waiting === 0 && (await busy()).length === 0
    }
    await until(free, 'everything is released').catch(() => assert.fail(`not released: ${JSON.stringify(last)}`))
  }

  /** A request to a handler, on a socket of its own. `outcome` is what the handler came to. */
  interface Sent {
    readonly socket: Socket
    readonly outcome: Promise<string>
  }

  async function serving(
    handler: Middleware,
    work: (send: (slug: string) => Sent) => Promise<void>,
    more: Partial<TenantMiddlewareOptions> = {},
  ) {
    const outcomes: ((code: string) => void)[] = []
    const app = new Koa()
      .use(problems({ log: silent }))
      .use(authentication({ verify: async () => ({ claims: { plane: 'global' }, actor: operator }) }))
      .use(async (_ctx, next) => {
        const done = outcomes.shift()!
        try {
          await next()
          done('finished')
        } catch (error) {
          done((error as { code?: string }).code ?? String(error))
          throw error
        }
      })
      .use(tenantMiddleware(kit.tenancy, { resolvers: [fromHeader('x-tenant')], ...more }))
      .use(handler)
    app.silent = true
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const send = (slug: string): Sent => {
      const outcome = new Promise<string>(resolve => outcomes.push(resolve))
      const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
      socket.on('error', () => undefined)
      socket.write(`GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nX-Tenant: ${slug}\r\n\r\n`)
      return { socket, outcome }
    }
    try {
      await work(send)
      await released()
    } finally {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    }
  }

  const labelled = (slug: string, label: string) => kit.tenancy.run(slug, () => em().count(Tag, { label }))

  for (const slug of ['acme', 'globex']) {
    describe(`in ${slug}`, () => {
      it('a slow statement is cancelled', async () => {
        const later: string[] = []
        const handler: Middleware = async () => {
          try {
            await em().execute('select pg_catalog.pg_sleep(60)')
          } finally {
            later.push(await codeOf(() => em().count(Tag)))
          }
        }
        await serving(handler, async send => {
          const { socket, outcome } = send(slug)
          await until(async () => (await busy()).some(row => row.query.includes('pg_sleep')), 'the statement runs')
          socket.destroy()
          await released()
          assert.equal(await outcome, 'RUN_ABORTED')
        })
        assert.deepEqual(later, ['NO_TENANT_CONTEXT'])
      })

      it('a slow statement in a transaction is cancelled, and the transaction rolled back', async () => {
        const handler: Middleware = async () => {
          await em().transactional(async () => {
            em().create(Tag, { label: 'half done' })
            await em().flush()
            await em().execute('select pg_catalog.pg_sleep(60)')
          })
        }
        await serving(handler, async send => {
          const { socket, outcome } = send(slug)
          await until(async () => (await busy()).some(row => row.query.includes('pg_sleep')), 'the statement runs')
          socket.destroy()
          await released()
          assert.equal(await outcome, 'RUN_ABORTED')
        })
        assert.equal(await labelled(slug, 'half done'), 0)
      })

      it('a transaction that waits for something else is rolled back at once', async () => {
        let go = (): void => undefined
        const later: string[] = []
        const handler: Middleware = async () => {
          const own = em()
          await em().begin()
          await em().insert(Tag, { id: crypto.randomUUID(), label: 'never', ...authors() })
          await new Promise<void>(resolve => (go = resolve))
          later.push(await codeOf(() => own.count(Tag)), await codeOf(() => em().flush()), await codeOf(() => own.commit()))
          later.push(await codeOf(() => kit.tenancy.run('globex', async () => 1)))
        }
        await serving(handler, async send => {
          const { socket, outcome } = send(slug)
          await until(async () => (await busy()).some(row => row.state === 'idle in transaction'), 'the transaction is open')
          socket.destroy()
          // Before the handler goes on.
          await released()
          assert.equal(await labelled(slug, 'never'), 0)
          go()
          await outcome
        })
        assert.equal(later[0], 'NO_TENANT_CONTEXT')
        assert.equal(later[1], 'NO_TENANT_CONTEXT')
        assert.equal(later[3], 'RUN_ABORTED')
        assert.equal(await labelled(slug, 'never'), 0)
      })

      it('a flush that waits for a lock is cancelled', async () => {
        const [{ id } = { id: '' }] = await kit.tenancy.run(slug, () => em().find(Tag, { label: `${slug} 7` }))
        const table = await kit.tenancy.run(slug, async () => `"${currentTenant().schema}"."tag"`)
        const handler: Middleware = async () => {
          const tag = await em().findOneOrFail(Tag, { id })
          tag.label = 'changed'
          await em().flush()
        }
        // On a connection of its own, beside the application's pools.
        const { Client } = await import('pg')
        const database = slug === 'acme' ? kit.url : databaseOf(kit)
        const holder = new Client({ connectionString: database })
        await holder.connect()
        await holder.query(`begin; select * from ${table} where label = '${slug} 7' for update`)
        try {
          await serving(handler, async send => {
            const { socket, outcome } = send(slug)
            await until(async () => (await busy()).some(row => row.query.startsWith('update')), 'the update waits')
            socket.destroy()
            await released()
            assert.equal(await outcome, 'RUN_ABORTED')
          })
        } finally {
          await holder.query('rollback')
          await holder.end()
        }
        assert.equal(await labelled(slug, 'changed'), 0)
      })

      const holdPool = async () => {
        let free = (): void => undefined
        const held = Array.from({ length: slug === 'acme' ? 2 : 1 }, () =>
          kit.tenancy.run(slug, () => em().transactional(() => new Promise<void>(resolve => (free = both(free, resolve))))),
        )
        await until(async () => (await busy()).length === held.length, 'the pool is taken')
        return async () => {
          free()
          await Promise.all(held)
        }
      }

      for (const [what, act] of [
        ['a statement', () => em().insert(Tag, { id: crypto.randomUUID(), label: 'too late', ...authors() })],
        [
          'a flush',
          () =>
            em()
              .persist(em().create(Tag, { label: 'too late' }))
              .flush(),
        ],
        ['a transaction', () => em().transactional(() => em().insert(Tag, { id: crypto.randomUUID(), label: 'too late', ...authors() }))],
      ] as [string, () => Promise<unknown>][]) {
        it(`${what} that waits for a connection sends nothing when its turn comes`, async () => {
          let go = (): void => undefined
          const handler: Middleware = async () => {
            await new Promise<void>(resolve => (go = resolve))
            await act()
          }
          await serving(handler, async send => {
            const { socket, outcome } = send(slug)
            await until(() => kit.tenancy.stats().leases === 1, 'the handler is entered')
            const free = await holdPool()
            go()
            await until(() => slug === 'globex' || kit.tenancy.stats().shared.waiting === 1, 'the request waits')
            await sleep(30)
            socket.destroy()
            await sleep(30)
            await free()
            await released()
            assert.equal(await outcome, 'RUN_ABORTED')
          })
          assert.equal(await labelled(slug, 'too late'), 0)
        })
      }

      it('a request that is gone before its run began does not begin it', async () => {
        let entered = 0
        const handler: Middleware = async () => void entered++
        let go = (): void => undefined
        const authorize = () => new Promise<boolean>(resolve => (go = () => resolve(true)))
        const work = async (send: (to: string) => Sent) => {
          const { socket, outcome } = send(slug)
          await until(() => go.toString().includes('true'), 'authorize is asked')
          socket.destroy()
          await sleep(50)
          go()
          assert.equal(await outcome, 'RUN_ABORTED')
        }
        await serving(handler, work, { authorize })
        assert.equal(entered, 0)
      })

      it('rows that are streamed out come to their end', async () => {
        let rows = 0
        const handler: Middleware = async ctx => {
          ctx.respond = false
          const lines = async function* () {
            for (;;) for await (const tag of em().stream(Tag, {})) yield `${++rows} ${tag.label} ${'x'.repeat(2000)}\n`
          }
          await pipeline(Readable.from(lines()), ctx.res)
        }
        await serving(handler, async send => {
          const { socket, outcome } = send(slug)
          await once(socket, 'data')
          socket.pause()
          // It may stand between two streams just now, when PostgreSQL has nothing open.
          await until(() => kit.tenancy.stats().leases === 1, 'the run is under way')
          socket.destroy()
          await released()
          assert.equal(await outcome, 'RUN_ABORTED')
        })
        assert.isAbove(rows, 0)
      })

      it('a stream that its handler reads slowly refuses the next row', async () => {
        let go = (): void => undefined
        let taken = 0
        const handler: Middleware = async () => {
          for await (const { label } of em().stream(Tag, {})) {
            if (label !== '') taken++
            await new Promise<void>(resolve => (go = resolve))
          }
        }
        await serving(handler, async send => {
          const { socket, outcome } = send(slug)
          await until(() => taken === 1, 'a row is there')
          socket.destroy()
          await until(() => kit.tenancy.stats().leases === 0, 'the lease is given back')
          go()
          assert.equal(await outcome, 'RUN_ABORTED')
        })
        assert.equal(taken, 1)
      })

      it('a run inside the request is aborted with it', async () => {
        const other = slug === 'acme' ? 'globex' : 'acme'
        const handler: Middleware = async () => {
          await kit.tenancy.run(other, () => em().execute('select pg_catalog.pg_sleep(60)'))
        }
        await serving(handler, async send => {
          const { socket, outcome } = send(slug)
          await until(async () => (await busy()).some(row => row.query.includes('pg_sleep')), 'the statement runs')
          assert.equal(kit.tenancy.stats().leases, 2)
          socket.destroy()
          await released()
          assert.equal(await outcome, 'RUN_ABORTED')
        })
      })

      it('the signal of the context fires', async () => {
        const seen: string[] = []
        const handler: Middleware = async () => {
          const { signal } = currentContext()!
          await sleep(60_000, undefined, { signal: signal! }).catch((error: Error) => {
            seen.push(error.name, (signal!.reason as { code: string }).code)
          })
          seen.push(String(currentContext()!.signal!.aborted))
        }
        await serving(handler, async send => {
          const { socket, outcome } = send(slug)
          await until(() => kit.tenancy.stats().leases === 1, 'the handler waits')
          await sleep(50)
          socket.destroy()
          assert.equal(await outcome, 'finished')
        })
        assert.deepEqual(seen, ['AbortError', 'RUN_ABORTED', 'true'])
      })

      it('the work goes on where it is told to finish', async () => {
        const handler: Middleware = async () => {
          await em().execute('select pg_catalog.pg_sleep(0.3)')
          em().create(Tag, { label: 'finished' })
          await em().flush()
        }
        const work = async (send: (to: string) => Sent) => {
          const { socket, outcome } = send(slug)
          await until(async () => (await busy()).some(row => row.query.includes('pg_sleep')), 'the statement runs')
          socket.destroy()
          assert.equal(await outcome, 'finished')
        }
        await serving(handler, work, { whenAborted: 'finish' })
        assert.equal(await labelled(slug, 'finished'), 1)
      })

      it('a handler that goes on after its answer is not aborted', async () => {
        const handler: Middleware = async ctx => {
          ctx.respond = false
          ctx.res.setHeader('connection', 'close')
          ctx.res.end('answer')
          await once(ctx.res, 'close')
          await sleep(20)
          assert.equal(await em().count(Tag, { label: `${slug} 1` }), 1)
        }
        await serving(handler, async send => {
          const { socket, outcome } = send(slug)
          socket.resume()
          assert.equal(await outcome, 'finished')
        })
      })

      it('errors thrown downstream, by ctx.throw and by the body release everything', async () => {
        const endings: Middleware[] = [
          async () => {
            await em().begin()
            throw new Error('thrown')
          },
          async ctx => {
            await em().begin()
            ctx.throw(418, 'thrown')
          },
          async ctx => {
            await em().begin()
            const body = new PassThrough()
            ctx.body = body
            body.write('begin')
            setTimeout(() => body.destroy(new Error('broken')), 10)
          },
          // A body that is read after the handler came to its end: the run is over, and the rows are refused.
          async ctx => {
            const rows = em().stream(Tag, {})
            ctx.body = Readable.from(
              (async function* () {
                for await (const tag of rows) yield tag.label
              })(),
            )
          },
          async ctx => {
            const rows = em().stream(Tag, {})
            const next = bindContext(() => rows.next())
            ctx.body = new Readable({
              read() {
                next().then(
                  ({ value }) => this.push((value as { label: string }).label),
                  (error: Error) => this.destroy(error),
                )
              },
            })
          },
        ]
        for (const ending of endings) {
          let received = ''
          await serving(ending, async send => {
            const { socket } = send(slug)
            socket.setEncoding('utf8').on('data', (text: string) => (received += text))
            await until(() => received !== '' || socket.destroyed, 'an answer or an end')
            await sleep(50)
            socket.destroy()
          })
          assert.notInclude(received, `${slug} 1`)
        }
      })
    })
  }
})

const both = (first: () => void, second: () => void) => () => {
  first()
  second()
}

const authors = () => ({ createdAt: new Date(), updatedAt: new Date(), createdBy: 'system:test', updatedBy: 'system:test' })

function databaseOf(kit: TestTenancy): string {
  const url = new URL(serverUrl())
  url.pathname = `/${kit.prefix}_globex`
  return url.href
}
