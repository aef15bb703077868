/** Probes of parts that need no database: they are tried first, and a mutant that one of them kills needs no tenants. */
import { setTimeout as sleep } from 'node:timers/promises'
import { ConnectionBudget } from '../../src/connections/connection-budget.ts'
import { ConnectionRegistry } from '../../src/connections/connection-registry.ts'
import { governPool } from '../../src/connections/governed-pool.ts'
import type { AccountOptions, BudgetedPool, Grant } from '../../src/connections/pool-account.ts'
import { isAllowedSetting } from '../../src/connections/refused-sql.ts'
import { assertSingleStatement } from '../../src/connections/single-statement.ts'
import { TurnQueue } from '../../src/connections/turn-queue.ts'
import { WaitingRoom } from '../../src/connections/waiting-room.ts'
import { currentContext, runInContext } from '../../src/context/context.ts'
import { parseHandedOver } from '../../src/context/hand-over.ts'
import { BatchedReads, MAX_QUERIES } from '../../src/tenants/batched-reads.ts'
import { DirectoryCache } from '../../src/tenants/directory-cache.ts'
import { answerOf } from '../interleaving/answers.ts'
import { must, mustRefuse } from './expectations.ts'
import type { Verdict } from './task.ts'

const LONGEST_MS = 3_000
const EXHAUSTED = 'POOL_EXHAUSTED'

/** What the parts that need no database are found to do wrong, if anything. */
export async function tryParts(): Promise<Verdict | undefined> {
  for (const [name, probe] of Object.entries(PART_PROBES)) {
    const late = sleep(LONGEST_MS, `no answer within ${LONGEST_MS} ms`, { ref: false })
    const finding = await Promise.race([probe().then(() => undefined, String), late])
    if (finding !== undefined) return { killedBy: `part: ${name}`, finding }
  }
  return undefined
}

/** Nobody is refused for having waited, unless the probe is about that. */
const LONG_MS = 60_000
const roomOf = (waitMs = LONG_MS, maxWaiting = 10) => new WaitingRoom({ waitMs, maxWaiting })

/** A registry of pools that say whether they were closed. */
function registryOf(max: number, waitMs = LONG_MS) {
  const registry = new ConnectionRegistry<{ readonly name: string; closed: boolean; close(): Promise<void> }>({ max, room: roomOf(waitMs) })
  const open = (name: string) => () => {
    const pool = { name, closed: false, close: async () => void (pool.closed = true) }
    return Promise.resolve(pool)
  }
  const acquire = (key: string, version = '1', holds = false) => registry.acquire(key, version, open(`${key}@${version}`), { holds })
  return { registry, acquire }
}

/** Pools that open sockets at once, under one budget. */
function budgetOf(limits: { readonly total?: number; readonly perServer?: number }, waitMs = LONG_MS) {
  const budget = new ConnectionBudget({ total: limits.total ?? 100, perServer: limits.perServer ?? 100 })
  const room = roomOf(waitMs)
  const pool = (options: Partial<AccountOptions> = {}) => {
    let idle = 0
    const behind: BudgetedPool = { idle: () => idle, closeIdle: () => undefined }
    const account = budget.open({ server: 'one:5432', max: 10, room, ...options }, behind)
    const take = async (signal?: AbortSignal): Promise<Grant> => {
      const grant = await account.enter(signal)
      if (grant === 'new') return (account.begun(), grant)
      account.unclaim()
      idle--
      return grant
    }
    const giveBack = () => {
      idle++
      account.released()
    }
    return { account, take, giveBack }
  }
  return { budget, room, pool }
}

/** Whether work goes on still after everything that could be done at once was done. */
async function waits(work: Promise<unknown>): Promise<boolean> {
  const isOver = work.then(
    () => true,
    () => true,
  )
  return Promise.race([isOver.then(() => false), sleep(5, true)])
}

/** The part of a pool of `pg` that is governed: each connection that is asked for is given when the probe says so. */
function governed() {
  const { budget, room } = budgetOf({})
  type Answer = (error: undefined, client: object, release: (reason?: unknown) => void) => void
  const released: unknown[] = []
  const asked: Answer[] = []
  const contexts: unknown[] = []
  const pool = {
    idleCount: 0,
    totalCount: 0,
    options: {},
    Client: undefined as unknown,
    connect: (callback?: unknown) => {
      contexts.push(currentContext())
      asked.push(callback as Answer)
      return undefined
    },
  }
  const governor = governPool(pool as never, budget, { server: 'one:5432', max: 1, room })
  const connect = pool.connect as unknown as () => Promise<{ release(): void }>
  const give = () => asked.shift()!(undefined, {}, reason => released.push(reason))
  return { budget, governor, connect, give, released, contexts }
}

const PART_PROBES: Readonly<Record<string, () => Promise<void>>> = {
  'the registry: leases': async () => {
    const { registry, acquire } = registryOf(1)
    const [first, second] = [await acquire('a'), await acquire('a')]
    must(registry.statistics().inUse === 2, 'leases are not counted')
    first.release()
    first.release()
    must(registry.statistics().inUse === 1, 'a lease is given back twice')
    const waiting = acquire('b')
    must(await waits(waiting), 'one more is open than there may be')
    const { open, evicted, waiting: queue } = registry.statistics()
    must(open === 1 && evicted === 0 && queue === 1, `what is in use is taken out: ${evicted}`)
    second.release()
    must(!(await waits(waiting)) && second.connection.closed, 'a slot that is free is not given')
    ;(await waiting).release()
    await registry.close()
    await mustRefuse('CONNECTION_CLOSED', 'a registry that is closed', () => acquire('a'))
  },
  'the registry: versions': async () => {
    const { registry, acquire } = registryOf(3)
    const old = await acquire('a', '1')
    const fresh = await acquire('a', '2')
    must(fresh.connection.name === 'a@2', 'a new version has the pool of the old one')
    await sleep(1)
    must(!old.connection.closed, 'a pool in use is closed')
    old.release()
    await sleep(1)
    must(old.connection.closed && !fresh.connection.closed, 'the old pool is open')
    const broken = () => registry.acquire('b', '1', () => Promise.reject(new Error('refused')))
    must((await answerOf(broken)) === 'Error: refused', 'a broken opening is not told')
    ;(await acquire('b')).release()
    must(registry.statistics().open === 2, 'an opening that failed stays')
  },
  'the registry: busy pools': async () => {
    const { registry, acquire } = registryOf(1, 640)
    const held = await acquire('a')
    const waiting = acquire('b')
    await sleep(90)
    const newcomer = acquire('a')
    must(await waits(newcomer), 'a busy pool lets newcomers in before those who wait for a slot')
    const nested = acquire('a', '1', true)
    must(!(await waits(nested)), 'who holds a lease waits for itself')
    ;(await nested).release()
    held.release()
    ;(await waiting).release()
    ;(await newcomer).release()
    must(registry.statistics().inUse === 0, 'something is in use')
  },
  'the budget: its caps': async () => {
    const inAll = budgetOf({ total: 2 })
    const [a, b] = [inAll.pool(), inAll.pool()]
    await a.take()
    await b.take()
    must(await waits(b.take()), 'more connections are open in all than may be')
    const own = budgetOf({}).pool({ max: 1 })
    await own.take()
    must(await waits(own.take()), 'more connections of a pool are open than may be')
    const server = budgetOf({ perServer: 3 })
    server.pool({ max: 1, aside: true })
    const [near, far] = [server.pool(), server.pool({ server: 'two:5432' })]
    await near.take()
    await near.take()
    must(await waits(near.take()), 'what is set aside on a server is taken')
    for (const _ of [1, 2, 3]) await far.take()
    must(await waits(far.take()), 'more connections to a server are open than may be')
  },
  'the budget: whose turn it is': async () => {
    const { pool, room } = budgetOf({ total: 1 })
    const [a, b] = [pool({ turnOf: () => 'a' }), pool()]
    await a.take()
    const order: string[] = []
    const visit = async (name: string, at: typeof a, signal?: AbortSignal) => {
      await at.take(signal)
      order.push(name)
      at.giveBack()
    }
    const giving = new AbortController()
    const gone = answerOf(() => visit('gone', a, giving.signal))
    const visits = [visit('first', a), visit('second', a)]
    await sleep(1)
    giving.abort(new Error('gave up'))
    must(!(await waits(gone)) && (await gone) === 'Error: gave up', 'who gives up waits on')
    must(room.statistics().waiting === 2, 'who gave up is counted')
    a.giveBack()
    await Promise.all(visits)
    must(order.join() === 'first,second', `served in the order ${order.join()}`)
    a.account.close()
    await mustRefuse('CONNECTION_CLOSED', 'a pool that is closed', () => a.take())
    const [early, late] = [budgetOf({ total: 1 }), [] as string[]]
    const [one, two, three] = [early.pool(), early.pool(), early.pool()]
    await one.take()
    for (const [name, each] of [
      ['two', two],
      ['three', three],
    ] as const)
      void each.take().then(() => late.push(name))
    one.account.released()
    one.account.closed(false)
    await sleep(1)
    must(late.join() === 'two' && b !== undefined, `the one who came first is passed by: ${late.join()}`)
  },
  'a governed pool': async () => {
    const { budget, governor, connect, give, released, contexts } = governed()
    const context = { tenant: undefined, actor: undefined, em: undefined, control: undefined, requestId: 'a request' }
    const asked = runInContext(context, () => connect())
    must(contexts[0] === undefined, 'a socket keeps the context of whoever asked first')
    give()
    const client = await asked
    client.release()
    client.release()
    must(released.length === 1 && budget.statistics('asking').inUse === 0, 'a connection is given back twice')
    const late = answerOf(connect)
    await sleep(1)
    governor.close()
    must(!(await waits(late)) && (await late) === 'CONNECTION_CLOSED', 'who waits for a pool that is closed is not told')
    give()
    must(released.length === 2, 'a connection that came too late stays open')
  },
  turns: async () => {
    const queue = new TurnQueue<string>()
    for (const item of ['a1', 'a2', 'a3', 'b1']) queue.add(item[0]!, item)
    const order = [1, 2, 3, 4].map(() => queue.shift()).join()
    must(order === 'a1,b1,a2,a3', `turns in the order ${order}`)
  },
  'the waiting room': async () => {
    const nobody = () => undefined
    const room = roomOf(10, 2)
    const late = room.enter<void>(nobody)
    const served = room.enter<void>(nobody)
    await mustRefuse(EXHAUSTED, 'one too many', () => room.enter(nobody))
    served.serve(undefined)
    served.serve(undefined)
    must(room.statistics().waiting === 1, 'one who was served is counted twice')
    await Promise.race([
      mustRefuse(EXHAUSTED, 'one who waits too long', () => late.served),
      sleep(200).then(() => must(false, 'one waits for ever')),
    ])
    const giving = new AbortController()
    const gone = answerOf(() => roomOf().enter(nobody, giving.signal).served)
    giving.abort(new Error('gave up'))
    must(!(await waits(gone)) && (await gone) === 'Error: gave up', 'one who gives up waits on')
    await mustRefuse('Error: long ago', 'one who gave up before', () => roomOf().enter(nobody, AbortSignal.abort(new Error('long ago'))))
  },
  'what the directory remembers': async () => {
    const cache = new DirectoryCache<string>({ ttlMs: 100, negativeTtlMs: 10, maxEntries: 32 })
    cache.put('a', 'A', 0)
    cache.put('x', undefined, 0)
    must(cache.get('a', 50)?.value === 'A' && cache.get('x', 9) !== undefined, 'nothing is remembered')
    must(cache.get('a', 50, 20) === undefined, 'a value is older than what is trusted')
    cache.put('a', 'A', 0)
    must(cache.get('a', 100) === undefined && cache.get('x', 10) === undefined, 'it is remembered for too long')
    cache.put('x', undefined, 0)
    cache.forget('x')
    must(cache.get('x', 1) === undefined, 'an unknown key is not forgotten')
    for (let index = 0; index < 1_000; index++) {
      cache.put(`a${index}`, 'A', 0)
      cache.put(`x${index}`, undefined, 0)
    }
    const { entries, unknown } = cache.sizes()
    must(entries <= 32 && unknown <= 32, `a flood keeps ${entries} values and ${unknown} unknown keys`)
  },
  'questions to the directory': async () => {
    const [kept, questions] = [[] as string[], [] as (() => void)[]]
    const reads = new BatchedReads<string>({
      ask: keys => new Promise(answer => questions.push(() => answer(new Map(keys.map(key => [key, 'old']))))),
      keep: key => void kept.push(key),
      detached: work => work(),
    })
    const before = reads.read('a')
    await sleep(1)
    reads.forget('a')
    const after = reads.read('a')
    await sleep(1)
    must(questions.length === 2, 'who asks after a change is given the answer from before')
    questions[0]!()
    await before
    must(kept.length === 0, 'an answer from before a change is kept')
    questions[1]!()
    await after
    for (let index = 0; index < 3 * MAX_QUERIES; index++) {
      void reads.read(`b${index}`)
      await sleep(0)
    }
    must(questions.length === 2 + MAX_QUERIES, `${questions.length - 2} questions run at a time`)
  },
  'one statement of an ordinary kind': async () => {
    const quietly = (sql: string) => () => assertSingleStatement(sql)
    for (const sql of REFUSED_SQL) await mustRefuse('SQL_REFUSED', JSON.stringify(sql), quietly(sql))
    for (const sql of TAKEN_SQL) must((await answerOf(quietly(sql))) === undefined, `${JSON.stringify(sql)} is refused`)
    must(!isAllowedSetting('row_security'), 'every setting may be changed')
  },
  'what is handed over': async () => {
    const tenant = { id: 'x', slug: 'acme' }
    const actor = { plane: 'tenant', id: 'x', label: 'x', permissions: ['data:read'] }
    must(parseHandedOver({ tenant, actor }).actor?.permissions?.has('data:read') === true, 'it is not taken')
    for (const given of [
      { tenant, actor, em: 'x' },
      { tenant, actor: { ...actor, plane: 'root' } },
      { tenant, actor: { ...actor, permissions: 'data:write' } },
      { tenant: { id: 'x' } },
    ])
      await mustRefuse('VALIDATION_FAILED', JSON.stringify(given), () => parseHandedOver(given))
  },
}

/** Each needs another guard: taken out, the text would pass. */
const REFUSED_SQL = [
  'select 1; reset role',
  'reset role',
  'set local role postgres',
  'set local row_security to off',
  `select set_config('role', 'postgres', false)`,
  `select pg_catalog."set_config"('role', 'postgres', false)`,
  `select U&"set\\005fconfig"('role', 'postgres', false)`,
  `select query_to_xml('select 1', true, true, '')`,
  'select pg_advisory_lock(1)',
  `select pg_notify('tenantkit_tenant', '{}')`,
  'create temp table t (a int)',
  'select 1 into temp t',
  `select E'a'\n'b\\' ' ; reset role -- '`,
  `select E'a\\'' ; reset role`,
  `select 1 /* /* */ */ ; reset role`,
  `select 'a''b' ; reset role`,
  `select $a$ ; $a$ ; reset role`,
]
const TAKEN_SQL = [
  'select 1;',
  `select 'a'';' as b`,
  `select 1 /* /* */ ; reset role */`,
  `select 1 as "x""set_config"`,
  `select $x$ ; reset role $x$`,
  `select E'\\'; reset role'`,
  'select pg_advisory_xact_lock(1)',
  'set local statement_timeout = 1000',
]
