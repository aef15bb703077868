/** Probes of runs: what goes on when they end, are aborted, held open, handed over, or write SQL of their own. */
import { once } from 'node:events'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import Koa from 'koa'
import {
  bindContext,
  currentActor,
  currentContext,
  em,
  fromHeader,
  handOver,
  newId,
  tenantEntity,
  tenantSql,
  type Actor,
} from 'mikro-tenantkit'
import { authentication, problems, tenantMiddleware } from 'mikro-tenantkit/koa'
import { p } from '@mikro-orm/postgresql'
import { Author, Country, Notice, Person, Tag, ada } from '../helpers/tenancy.ts'
import { answerOf } from '../interleaving/answers.ts'
import { FOREIGN, NO_CONTEXT, inTenant, must, mustBeFree, mustRefuse, mustRefuseUnsent, until, type Ground, type Probe } from './probe.ts'

/** Known to no tenancy. */
const Stranger = tenantEntity({ name: 'Stranger', properties: { id: p.uuid().primary(), label: p.string() } })
const LONG_S = 4
const SHORT_MS = 2_500

/** The part of Kysely that is used. */
interface Kysely {
  startTransaction(): { execute(): Promise<Transaction> }
}
interface Transaction {
  executeQuery(compiled: unknown): Promise<unknown>
  getExecutor(): { stream(compiled: unknown, chunkSize: number): AsyncIterableIterator<unknown> }
  commit(): { execute(): Promise<void> }
  rollback(): { execute(): Promise<void> }
}
const SELECT = { sql: 'select 1', parameters: [], query: { kind: 'SelectQueryNode' }, queryId: { queryId: 'probe' } }

const both = (ground: Ground) => [ground.acme, ground.globex]

export const CONTEXT_PROBES: Readonly<Record<string, Probe>> = {
  'a transaction that begins as its run ends': async ground => {
    for (const place of both(ground)) {
      let begun: Promise<unknown> | undefined
      await inTenant(ground, place, manager => {
        begun = manager
          .fork()
          .begin()
          .catch(() => undefined)
        return Promise.resolve()
      })
      await begun
      await mustBeFree(ground, 'its connection is in use')
    }
  },
  'the session of an EntityManager': async ground => {
    for (const place of both(ground)) {
      await inTenant(ground, place, async manager => {
        for (const session of [{ role: 'postgres' }, { variables: { Search_Path: ground.initech.schema } }]) {
          await mustRefuse('SQL_REFUSED', 'a session', () => manager.fork().setSessionContext(session))
          await mustRefuse('SQL_REFUSED', 'a session of a fork', () => manager.fork({ session }))
        }
      })
    }
  },
  'the subscribers of a run': async ground => {
    await inTenant(ground, ground.acme, async manager => {
      const events = manager.getEventManager()
      await mustRefuse('CONFIGURATION_INVALID', 'a subscriber', () => events.registerSubscriber({ afterFlush: () => Promise.resolve() }))
      const before = events.getSubscribers().size
      events.getSubscribers().clear()
      must(before > 0 && events.getSubscribers().size === before, 'a run took the subscribers of all away')
    })
  },
  'a stream that is read elsewhere': async ground => {
    const { tenancy, acme, initech, globex } = ground
    for (const place of both(ground)) {
      const other = place === acme ? globex : initech
      const open = async (manager: ReturnType<typeof em>) => {
        const rows = manager.fork().stream(Tag, {})
        must((await rows.next()).done !== true, 'there is no row')
        return rows
      }
      await inTenant(ground, place, async manager => {
        for (const index of [1, 2, 3]) manager.create(Tag, { label: `${place.slug}:of a stream ${index}` })
        await manager.flush()
        const [first, second] = [await open(manager), await open(manager)]
        await inTenant(ground, other, () => mustRefuse(FOREIGN, 'a row of a stream in another tenant', () => first.next()))
        await tenancy.runAsSystem('probe', () => mustRefuse(NO_CONTEXT, 'a row of a stream without a tenant', () => second.next()))
      })
      const late = await inTenant(ground, place, async manager => ({ rows: await open(manager) }))
      await inTenant(ground, place, () => mustRefuse(NO_CONTEXT, 'a row of a stream in the next run', () => late.rows.next()))
      await mustBeFree(ground, 'a stream that was refused is in use')
    }
  },
  'a run that is aborted': async ground => {
    const { tenancy, initech } = ground
    for (const place of both(ground)) {
      await mustRefuse('RUN_ABORTED', 'a run that nobody wants', () =>
        tenancy.run(place.slug, () => Promise.reject(new Error('its work is done')), { actor: ada, signal: AbortSignal.abort() }),
      )
      const hangUp = new AbortController()
      const began = Date.now()
      const asleep = tenancy.run(place.slug, () => em().execute(`select pg_sleep(${LONG_S})`), { actor: ada, signal: hangUp.signal })
      setTimeout(() => hangUp.abort(), 40)
      await mustRefuse('RUN_ABORTED', 'a statement that runs', () => asleep)
      must(Date.now() - began < SHORT_MS, 'a statement went on after its run was aborted')
      const again = new AbortController()
      // What is found is kept outside: whatever an aborted run throws becomes RUN_ABORTED.
      const answers: (string | undefined)[] = []
      const torn = tenancy.run(
        place.slug,
        () =>
          em().transactional(async manager => {
            const transaction = manager.getTransactionContext() as unknown as Transaction
            await tenancy.run(initech.slug, async () => {
              again.abort()
              answers.push(await answerOf(() => em().count(Tag)))
            })
            answers.push(await answerOf(() => transaction.executeQuery(SELECT)))
          }),
        { actor: ada, signal: again.signal },
      )
      await mustRefuse('RUN_ABORTED', 'a run that was aborted', () => torn)
      must(answers[0] === NO_CONTEXT, `a run inside one that was aborted: ${answers[0]}`)
      // Its connection was taken back, and then nothing asks whether the run was aborted or has ended.
      must(['RUN_ABORTED', NO_CONTEXT].includes(String(answers[1])), `a statement after the abort: ${answers[1]}`)
      await mustBeFree(ground, 'a run that was aborted is counted')
    }
  },
  'a transaction of Kysely that is kept': async ground => {
    const { acme, initech } = ground
    const begin = async () => (em().getKysely() as unknown as Kysely).startTransaction().execute()
    for (const place of both(ground)) {
      await inTenant(ground, place, async manager => {
        const mine = await begin()
        const other = place === acme ? initech : acme
        await inTenant(ground, other, () => mustRefuse(FOREIGN, 'a transaction in another tenant', () => mine.executeQuery(SELECT)))
        await mine.executeQuery(SELECT)
        await mine.commit().execute()
        await manager.fork().transactional(async inner => {
          const transaction = inner.getTransactionContext() as unknown as Transaction
          await inTenant(ground, other, async () => {
            await mustRefuse(FOREIGN, 'MikroORM’s transaction in another tenant', () => transaction.executeQuery(SELECT))
            await mustRefuseUnsent(FOREIGN, 'a stream of it', () => transaction.getExecutor().stream(SELECT, 1).next())
          })
        })
      })
      const kept = await inTenant(ground, place, async () => ({ transaction: await begin() }))
      await mustBeFree(ground, 'a transaction of Kysely outlives its run')
      await inTenant(ground, place, async () => {
        await mustRefuse(NO_CONTEXT, 'a kept transaction in the next run', () => kept.transaction.executeQuery(SELECT))
        // The same connection: what is over must not give it back.
        const next = await begin()
        await mustRefuse(NO_CONTEXT, 'a kept transaction on the connection of another one', () => kept.transaction.executeQuery(SELECT))
        await kept.transaction.rollback().execute()
        const { shared, connections } = ground.tenancy.stats()
        must(shared.inUse + connections.inUse === 1, 'a transaction that is over gave back the connection of another one')
        await next.rollback().execute()
      })
      const late = await inTenant(ground, place, async manager => {
        await manager.begin()
        return { transaction: manager.getTransactionContext() as unknown as Transaction }
      })
      // Kysely itself refuses it once the rollback has come to its end.
      const answer = (await answerOf(() => late.transaction.executeQuery(SELECT))) ?? 'not refused'
      must([NO_CONTEXT, 'Error: Transaction is already rolled back'].includes(answer), `MikroORM’s transaction after its run: ${answer}`)
      await inTenant(ground, place, async manager => {
        await (manager.getConnection() as unknown as { begin(): Promise<object> }).begin()
      })
      await mustBeFree(ground, 'a transaction of a connection outlives its run')
    }
  },
  'a handle of a tenant': async ground => {
    const { tenancy, acme, globex } = ground
    for (const { slug } of [acme, globex]) {
      const handle = await tenancy.open(slug, { actor: ada })
      await handle.run(() => em().count(Tag))
      await tenancy.runAsSystem('probe', () => tenancy.operate(slug, 'suspend'))
      await mustRefuse('TENANT_SUSPENDED', 'a handle of a suspended tenant', () => handle.run(() => Promise.resolve()))
      await tenancy.runAsSystem('probe', () => tenancy.operate(slug, 'resume'))
      let isWorking = false
      const working = handle.run(() => ((isWorking = true), em().execute(`select pg_sleep(${LONG_S})`)))
      await until(() => isWorking, 'a handle works')
      await sleep(40)
      const began = Date.now()
      await handle[Symbol.asyncDispose]()
      await mustRefuse('RUN_ABORTED', 'what a handle does when it is disposed', () => working)
      must(Date.now() - began < SHORT_MS, 'a statement went on after its handle was disposed')
      let done = false
      const work = () => Promise.resolve((done = true))
      await mustRefuse(NO_CONTEXT, 'a disposed handle', () =>
        handle.run(work).finally(() => must(!done, 'the work of a disposed handle was done')),
      )
      const asking = await tenancy.open(slug, { actor: ada })
      const asked = asking.run(work)
      await asking[Symbol.asyncDispose]()
      await mustRefuse(NO_CONTEXT, 'a handle disposed while it asks', () => asked.finally(() => must(!done, 'its work was done')))
      await mustBeFree(ground, 'a disposed handle is counted')
    }
  },
  'a context that is handed over': async ground => {
    const { tenancy, acme, initech } = ground
    for (const { slug } of both(ground)) {
      const given = await tenancy.run(slug, () => Promise.resolve(handOver()), { actor: ada })
      await tenancy.runHandedOver(given, async () => must(currentActor()?.id === ada.id, 'another actor acts'))
      const stranger = { ...given, tenant: { ...given.tenant, id: newId() } }
      await mustRefuse('TENANT_NOT_FOUND', 'a tenant that had this slug', () => tenancy.runHandedOver(stranger, () => Promise.resolve()))
      await tenancy.runAsSystem('probe', () => tenancy.operate(slug, 'suspend'))
      await mustRefuse('TENANT_SUSPENDED', 'a suspended tenant', () => tenancy.runHandedOver(given, () => Promise.resolve()))
      await tenancy.runAsSystem('probe', () => tenancy.operate(slug, 'resume'))
      const nobody = { tenant: given.tenant }
      await tenancy.run(
        slug,
        () =>
          tenancy.runHandedOver(nobody, async () =>
            must(currentActor() === undefined, `${currentActor()?.id} acts, and nobody was handed over`),
          ),
        { actor: ada },
      )
    }
    must(acme.id !== initech.id && currentContext() === undefined, 'a context is active still')
  },
  'SQL of one’s own': async ground => {
    const texts: readonly (readonly [string, () => unknown])[] = [
      ['two statements', () => tenantSql`select 1; select 2`],
      ['a value in quotes', () => tenantSql`select '${'x'}'`],
      ['a call with texts', () => tenantSql(['select 1'] as never)],
      ['what is no value', () => tenantSql`select ${{ raw: 'x' } as never}`],
    ]
    for (const [what, write] of texts) await mustRefuse('SQL_REFUSED', what, write)
    for (const place of both(ground)) {
      await inTenant(ground, place, async manager => {
        await manager.execute(tenantSql`select t.label from ${Tag} t where t.id = ${newId()}`)
        await mustRefuse('SQL_REFUSED', 'an entity of nobody', () => manager.execute(tenantSql`select * from ${Stranger}`))
        await mustRefuse(FOREIGN, 'the other half of a both entity', () => manager.execute(tenantSql`select * from ${Person.shared}`))
        await mustRefuse(place === ground.acme ? FOREIGN : 'CROSS_DATABASE_QUERY', 'a write of a shared entity', () =>
          manager.execute(tenantSql`update ${Country} set code = 'XX' where false`),
        )
        if (place === ground.globex)
          return mustRefuse('CROSS_DATABASE_QUERY', 'a shared entity', () => manager.execute(tenantSql`select * from ${Country} c`))
        const rows = await manager.execute<{ text: string }[]>(tenantSql`select n.text from ${Notice} n`)
        const others = rows.filter(({ text }) => text !== 'for all' && !text.startsWith(`${place.slug}:`))
        must(rows.length > 0 && others.length === 0, `${place.slug} sees ${others.map(({ text }) => text).join()}`)
      })
      const fragment = tenantSql`select * from ${Author} a`
      const late = await inTenant(ground, place, () => Promise.resolve(bindContext(() => fragment.sql)))
      await mustRefuse(NO_CONTEXT, 'a fragment after its run', late)
    }
  },
  'a client that goes away': async ground => {
    const { tenancy, acme, globex } = ground
    for (const { slug } of [acme, globex]) {
      for (const when of ['before', 'meanwhile'] as const) {
        let worked = false
        const isWorking = () => worked
        const outcome = await abandoned({ tenancy, slug, when, isWorking }, async () => {
          worked = true
          await em().execute(`select pg_sleep(${LONG_S})`)
        })
        must(outcome === 'RUN_ABORTED', `a request whose client went away ${when}: ${outcome}`)
        must(worked === (when === 'meanwhile'), `a request whose client went away ${when} was worked on`)
        await mustBeFree(ground, `a request whose client went away ${when} is counted`)
      }
    }
  },
  'a tenant that is purged': async ground => {
    const { tenancy } = ground
    const slug = `p-${Date.now().toString(36)}`
    const asSystem = <T>(work: () => Promise<T>) => tenancy.runAsSystem('probe', work)
    await asSystem(() => tenancy.provision({ slug, name: slug, isolation: 'schema' }))
    const goOn = new AbortController()
    const running = tenancy.run(
      slug,
      async () => {
        await once(goOn.signal, 'abort')
        await em().count(Tag)
      },
      { actor: ada },
    )
    await asSystem(() => tenancy.archive(slug))
    await asSystem(() => tenancy.operate(slug, 'purge', { confirm: `DELETE ${slug}` }))
    await sleep(50)
    goOn.abort()
    await mustRefuse('RUN_ABORTED', 'a run in a tenant that was purged', () => running)
  },
}

interface Abandoned {
  readonly tenancy: Ground['tenancy']
  readonly slug: string
  readonly when: 'before' | 'meanwhile'
  readonly isWorking: () => boolean
}

/** What a request came to whose client went away: before it came to its tenant, or while it was worked on. At once, or `nothing in time`. */
async function abandoned({ tenancy, slug, when, isWorking }: Abandoned, work: () => Promise<void>): Promise<string> {
  const app = new Koa()
  app.silent = true
  const actor: Actor = { ...ada, plane: 'global', permissions: new Set(['tenants:enter']) }
  let settle: (outcome: string) => void = () => undefined
  const outcome = new Promise<string>(resolve => (settle = resolve))
  app.use(problems())
  app.use(async (_ctx, next) => {
    await next().then(
      () => settle('nothing was thrown'),
      (error: { code?: string; message: string }) => settle(error.code ?? error.message),
    )
  })
  app.use(authentication({ verify: () => Promise.resolve({ actor, claims: { plane: 'global' } as never }) }))
  app.use(async (ctx, next) => {
    if (when === 'before') {
      socket.destroy()
      await once(ctx.res, 'close')
    }
    await next()
  })
  app.use(tenantMiddleware(tenancy, { resolvers: [fromHeader('x-tenant')] }))
  app.use(work)
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.on('error', () => undefined)
  try {
    socket.write(`GET / HTTP/1.1\r\nhost: probe\r\nauthorization: Bearer probe\r\nx-tenant: ${slug}\r\n\r\n`)
    if (when === 'meanwhile') {
      await until(isWorking, 'a request is worked on')
      await sleep(40)
      socket.destroy()
    }
    return await Promise.race([outcome, sleep(SHORT_MS, 'nothing in time', { ref: false })])
  } finally {
    server.closeAllConnections()
    server.close()
  }
}
