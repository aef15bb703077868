import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from 'chai'
import { ConnectionBudget } from '../../src/connections/connection-budget.ts'
import type { AccountOptions, BudgetedPool, PoolAccount } from '../../src/connections/pool-account.ts'
import { TurnQueue } from '../../src/connections/turn-queue.ts'
import { WaitingRoom } from '../../src/connections/waiting-room.ts'

const seed = Date.now() % 100_000
let state = seed
const random = () => (state = (state * 16_807 + 11) % 2_147_483_647) / 2_147_483_647
const pause = (longest: number) => (longest === 0 || random() < 0.3 ? Promise.resolve() : sleep(random() * longest))

/** A pool whose sockets are numbers: it opens and closes them after a while, as a real one does. */
class FakePool implements BudgetedPool {
  readonly account: PoolAccount
  readonly server: string
  /** Open, opening or closing. */
  live = 0
  unused = 0
  delay = 0

  constructor(budget: ConnectionBudget, room: WaitingRoom, options: Partial<AccountOptions> = {}) {
    this.server = options.server ?? 'one:5432'
    this.account = budget.open({ server: this.server, max: 4, room, ...options }, this)
  }

  idle(): number {
    return this.unused
  }

  closeIdle(): void {
    process.nextTick(() => {
      this.account.unclaim()
      if (this.unused === 0) return this.account.notEvicted()
      this.unused--
      void this.close(true)
    })
  }

  async close(evicted: boolean): Promise<void> {
    await pause(this.delay)
    this.live--
    this.account.closed(evicted)
  }

  async take(signal?: AbortSignal): Promise<void> {
    const grant = await this.account.enter(signal)
    if (grant === 'idle') {
      this.account.unclaim()
      this.unused--
      return
    }
    this.account.begun()
    this.live++
    await pause(this.delay)
  }

  giveBack(broken = false): void {
    if (!broken) this.unused++
    this.account.released()
    if (broken) void this.close(false)
  }
}

function fixture(limits: { total?: number; perServer?: number; waitMs?: number; maxWaiting?: number } = {}) {
  const room = new WaitingRoom({ waitMs: limits.waitMs ?? 1000, maxWaiting: limits.maxWaiting ?? 1000 })
  const budget = new ConnectionBudget({ total: limits.total ?? 100, perServer: limits.perServer ?? 100 })
  return { room, budget, pool: (options: Partial<AccountOptions> = {}) => new FakePool(budget, room, options) }
}

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'nothing was refused',
    (error: { code?: string; message: string }) => error.code ?? error.message,
  )

describe('ConnectionBudget', () => {
  it('lets a pool open as many as it may, and the next one waits for the first that is given back', async () => {
    const { room, pool } = fixture()
    const own = pool({ max: 2 })
    await own.take()
    await own.take()
    const third = own.take()
    await sleep(2)
    assert.equal(room.statistics().waiting, 1)
    own.giveBack()
    await third
    assert.equal(own.live, 2)
  })

  it('closes the idle connection that was unused longest, of another pool, when all together are too many', async () => {
    const { budget, pool } = fixture({ total: 3 })
    const [a, b, c, d] = [pool(), pool(), pool(), pool()]
    for (const each of [a, b, c]) await each.take()
    for (const each of [b, a, c]) each.giveBack()
    await d.take()
    assert.deepEqual([a.live, b.live, c.live, d.live], [1, 0, 1, 1])
    assert.deepInclude(budget.statistics('asking'), { open: 3, idle: 2, inUse: 1, opened: 4, evicted: 1 })
  })

  it('never closes what is in use: it waits, and is refused at the deadline', async () => {
    const { room, pool } = fixture({ total: 2, waitMs: 30 })
    const [a, b] = [pool(), pool()]
    await a.take()
    await a.take()
    assert.equal(await codeOf(b.take()), 'POOL_EXHAUSTED')
    assert.equal(a.live, 2)
    assert.deepInclude(room.statistics(), { waiting: 0, rejected: 1 })
    assert.isAtLeast(room.statistics().longestWaitMs, 25)
    a.giveBack()
    await b.take()
    assert.deepEqual([a.live, b.live], [1, 1])
  })

  it('makes room on the server that is full, and keeps free what is set aside there', async () => {
    const { budget, pool } = fixture({ perServer: 4 })
    const shared = pool({ max: 2, aside: true })
    const [a, b, far] = [pool(), pool(), pool({ server: 'two:5432' })]
    await far.take()
    far.giveBack()
    await a.take()
    await a.take()
    a.giveBack()
    await b.take()
    assert.deepEqual([a.live, b.live, far.live], [1, 1, 1], 'the one on the other server is not in the way')
    await shared.take()
    await shared.take()
    assert.deepEqual(budget.servers(), { 'one:5432': 4, 'two:5432': 1 })
    assert.deepInclude(budget.statistics('aside'), { open: 2, inUse: 2 })
    assert.deepInclude(budget.statistics('asking'), { open: 3 })
  })

  it('serves who came first, whatever pool it waits in: a busy pool does not starve another one', async () => {
    const { pool } = fixture({ total: 2 })
    const [busy, patient] = [pool(), pool()]
    await busy.take()
    await busy.take()
    const order: string[] = []
    const visit = async (name: string, own: FakePool) => {
      await own.take()
      order.push(name)
      await sleep(2)
      own.giveBack()
    }
    const visits = [visit('busy 1', busy), visit('patient', patient), visit('busy 2', busy), visit('busy 3', busy)]
    busy.giveBack()
    await sleep(1)
    busy.giveBack()
    await Promise.all(visits)
    assert.equal(order.indexOf('busy 1'), 0)
    assert.isAtMost(order.indexOf('patient'), 2, order.join())
  })

  it('one tenant that asks for much of a shared pool takes turns with the others', async () => {
    const { pool } = fixture()
    let tenant = ''
    const shared = pool({ max: 1, aside: true, turnOf: () => tenant })
    await shared.take()
    const order: string[] = []
    const visit = async (name: string) => {
      tenant = name
      await shared.take()
      order.push(name)
      shared.giveBack()
    }
    const visits = ['greedy', 'greedy', 'greedy', 'greedy', 'modest', 'greedy', 'shy'].map(visit)
    shared.giveBack()
    await Promise.all(visits)
    assert.deepEqual(order, ['greedy', 'modest', 'shy', 'greedy', 'greedy', 'greedy', 'greedy'])
  })

  it('asks nobody whose turn it is while there are connections', async () => {
    const { pool } = fixture()
    const shared = pool({ max: 1, turnOf: () => assert.fail('asked') })
    await shared.take()
    shared.giveBack()
    await shared.take()
  })

  it('whoever gives up leaves the queue, and one too many is refused at once', async () => {
    const { room, pool } = fixture({ maxWaiting: 2 })
    const own = pool({ max: 1 })
    await own.take()
    const giving = new AbortController()
    const gone = codeOf(own.take(giving.signal))
    const next = own.take()
    assert.equal(await codeOf(own.take()), 'POOL_EXHAUSTED')
    giving.abort(new Error('gave up'))
    assert.equal(await gone, 'gave up')
    assert.equal(room.statistics().waiting, 1)
    own.giveBack()
    await next
    assert.equal(await codeOf(own.take(AbortSignal.abort(new Error('long ago')))), 'long ago')
    assert.deepInclude(room.statistics(), { waiting: 0, rejected: 1 })
  })

  it('a pool that is closed lets nobody in, and its sockets count until they are closed', async () => {
    const { budget, pool } = fixture({ total: 1 })
    const [a, b] = [pool(), pool()]
    await a.take()
    const waiting = codeOf(a.take())
    a.account.close()
    assert.equal(await waiting, 'CONNECTION_CLOSED')
    const other = b.take()
    await sleep(2)
    assert.equal(b.live, 0)
    a.giveBack(true)
    await other
    assert.deepInclude(budget.statistics('asking'), { open: 1 })
    assert.equal(await codeOf(a.take()), 'CONNECTION_CLOSED')
  })

  it('holds its caps, serves all and forgets nothing through random uses, delays, breaks and closings', async () => {
    const { room, budget, pool } = fixture({ total: 9, perServer: 7, waitMs: 10_000 })
    const shared = pool({ max: 3, aside: true })
    let pools = Array.from({ length: 8 }, (_, index) => pool({ max: 3, server: index < 6 ? 'one:5432' : 'two:5432' }))
    const all = new Set([shared, ...pools])
    for (const each of all) each.delay = 2
    const liveOn = (choose: (each: FakePool) => boolean) => [...all].reduce((sum, each) => sum + (choose(each) ? each.live : 0), 0)
    const check = () => {
      assert.isAtMost(
        liveOn(each => each !== shared),
        9,
        `total, seed ${seed}`,
      )
      assert.isAtMost(
        liveOn(each => each !== shared && each.server === 'one:5432'),
        4,
        `server, seed ${seed}`,
      )
      for (const each of all) assert.isAtMost(each.live, 3, `pool, seed ${seed}`)
    }
    let served = 0
    const visit = async () => {
      const index = Math.floor(random() * 9)
      const own = pools[index] ?? shared
      await own.take()
      check()
      await pause(2)
      served++
      own.giveBack(random() < 0.1)
      if (random() < 0.03 && own !== shared && own.account.inUse === 0) {
        const again = pool({ max: 3, server: own.server })
        again.delay = 2
        pools = pools.with(index, again)
        all.add(again)
        own.account.close()
        for (; own.unused > 0; own.unused--) void own.close(false)
      }
    }
    let refused = 0
    await Promise.all(
      Array.from({ length: 40 }, async () => {
        for (let turn = 0; turn < 40; turn++)
          await visit().catch((error: { code?: string }) => {
            // Whoever waited in a pool that was closed is told so.
            if (error.code !== 'CONNECTION_CLOSED') throw error
            refused++
          })
      }),
    )
    await sleep(20)
    const message = `seed ${seed}`
    assert.equal(served + refused, 1600, message)
    assert.isAbove(served, 1400, message)
    assert.isAbove(budget.statistics('asking').evicted, 20, message)
    assert.deepInclude(room.statistics(), { waiting: 0, rejected: 0 }, message)
    assert.equal(
      budget.statistics('asking').open,
      liveOn(each => each !== shared),
      message,
    )
    assert.deepInclude(budget.statistics('asking'), { inUse: 0 }, message)
    for (const each of all) {
      each.account.close()
      for (; each.unused > 0; each.unused--) await each.close(false)
    }
    assert.deepEqual(budget.servers(), {}, message)
  })
})

describe('TurnQueue', () => {
  it('gives each group its turn, and keeps the order within a group, also when some leave', () => {
    const queue = new TurnQueue<string>()
    for (const item of ['a1', 'a2', 'a3', 'b1', 'c1', 'b2']) queue.add(item[0]!, item)
    queue.remove('a', 'a2')
    queue.remove('c', 'c1')
    queue.remove('c', 'c1')
    assert.equal(queue.size, 4)
    assert.equal(queue.head(), 'a1')
    assert.deepEqual(
      Array.from({ length: 5 }, () => queue.shift()),
      ['a1', 'b1', 'a3', 'b2', undefined],
    )
    assert.equal(queue.size, 0)
  })
})
