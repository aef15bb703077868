import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from 'chai'
import { ConnectionRegistry, type Asker } from '../../src/connections/connection-registry.ts'
import { WaitingRoom } from '../../src/connections/waiting-room.ts'

class Fake {
  closed = 0
  readonly name: string
  constructor(name: string) {
    this.name = name
  }
  close(): Promise<void> {
    this.closed++
    return Promise.resolve()
  }
}

/** A registry, and a function that opens in it and counts. */
function fixture(max = 2, waitMs = 40, maxWaiting = 1000) {
  const room = new WaitingRoom({ waitMs, maxWaiting })
  const registry = new ConnectionRegistry<Fake>({ max, room })
  const opened: Fake[] = []
  const acquire = (key: string, version = '1', delay = 0, asker: Asker = {}) =>
    registry.acquire(
      key,
      version,
      async () => {
        if (delay > 0) await sleep(delay)
        const fake = new Fake(`${key}@${version}`)
        opened.push(fake)
        return fake
      },
      asker,
    )
  const names = () => opened.map(fake => fake.name)
  return { registry, room, acquire, opened, names }
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'nothing was refused',
    (error: { code?: string; message: string }) => error.code ?? error.message,
  )
}

describe('ConnectionRegistry', () => {
  it('opens a key once, however many ask at the same time', async () => {
    const { registry, acquire, names } = fixture()
    const leases = await Promise.all(Array.from({ length: 50 }, () => acquire('a', '1', 5)))
    assert.deepEqual(names(), ['a@1'])
    assert.equal(new Set(leases.map(lease => lease.connection)).size, 1)
    assert.equal(registry.statistics().inUse, 50)
    leases.forEach(lease => lease.release())
    assert.deepInclude(registry.statistics(), { inUse: 0, open: 1, opened: 1 })
  })

  it('counts a lease once, however often it is released', async () => {
    const { registry, acquire } = fixture()
    const first = await acquire('a')
    const second = await acquire('a')
    first.release()
    first.release()
    first.release()
    assert.equal(registry.statistics().inUse, 1)
    second.release()
    assert.equal(registry.statistics().inUse, 0)
  })

  it('evicts what was unused longest, and never what is in use', async () => {
    const { registry, acquire, opened, names } = fixture(3)
    const kept = await acquire('a')
    ;(await acquire('b')).release()
    ;(await acquire('c')).release()
    ;(await acquire('b')).release()
    ;(await acquire('d')).release()
    assert.deepEqual(
      opened.filter(fake => fake.closed > 0).map(fake => fake.name),
      ['c@1'],
    )
    ;(await acquire('e')).release()
    assert.equal(kept.connection.closed, 0)
    assert.deepInclude(registry.statistics(), { open: 3, evicted: 2, inUse: 1 })
    ;(await acquire('b')).release()
    assert.deepEqual(names(), ['a@1', 'b@1', 'c@1', 'd@1', 'e@1', 'b@1'])
    kept.release()
  })

  it('waits for a slot when all are in use, and takes the one that becomes free', async () => {
    const { registry, acquire, opened } = fixture(1, 1000)
    const first = await acquire('a')
    const waiting = acquire('b')
    await sleep(5)
    assert.equal(registry.statistics().waiting, 1)
    first.release()
    const second = await waiting
    assert.equal(second.connection.name, 'b@1')
    assert.equal(opened[0]!.closed, 1)
    assert.deepInclude(registry.statistics(), { open: 1, waiting: 0 })
    second.release()
  })

  it('serves everyone who waits', async () => {
    const { registry, acquire } = fixture(2, 2000)
    let open = 0
    const visit = async (key: string) => {
      const lease = await acquire(key, '1', 1)
      open = Math.max(open, registry.statistics().open)
      await sleep(1)
      assert.equal(lease.connection.closed, 0)
      lease.release()
    }
    await Promise.all(Array.from({ length: 60 }, (_, index) => visit(`k${index % 7}`)))
    assert.isAtMost(open, 2)
    assert.deepInclude(registry.statistics(), { inUse: 0, waiting: 0 })
  })

  it('serves all who wait for one key as soon as it is open', async () => {
    const { acquire } = fixture(1, 5000)
    const first = await acquire('a')
    const waiting = [acquire('b'), acquire('b'), acquire('b')]
    await sleep(5)
    first.release()
    const leases = await Promise.all(waiting)
    assert.equal(new Set(leases.map(lease => lease.connection)).size, 1)
    leases.forEach(lease => lease.release())
  })

  it('refuses with POOL_EXHAUSTED after the wait, and nobody waits any more', async () => {
    const { registry, acquire } = fixture(1, 30)
    const first = await acquire('a')
    const before = Date.now()
    assert.equal(await codeOf(acquire('b')), 'POOL_EXHAUSTED')
    assert.isAtLeast(Date.now() - before, 25)
    assert.equal(registry.statistics().waiting, 0)
    first.release()
    ;(await acquire('b')).release()
  })

  it('opens another connection for another version, and closes the old one with its last lease', async () => {
    const { registry, acquire, opened } = fixture(3)
    const old = await acquire('a', '1')
    const fresh = await acquire('a', '2')
    assert.equal(fresh.connection.name, 'a@2')
    assert.equal(opened[0]!.closed, 0)
    assert.equal(registry.statistics().open, 2)
    old.release()
    await sleep(1)
    assert.equal(opened[0]!.closed, 1)
    assert.equal(opened[1]!.closed, 0)
    fresh.release()
    ;(await acquire('a', '2')).release()
    assert.equal(opened.length, 2)
  })

  it('closes an invalidated key: at once when idle, with the last lease when in use', async () => {
    const { registry, acquire, opened } = fixture(3)
    ;(await acquire('a')).release()
    registry.invalidate('a')
    const lease = await acquire('b')
    registry.invalidate('b')
    registry.invalidate('nobody')
    await sleep(1)
    assert.equal(opened[0]!.closed, 1)
    assert.equal(opened[1]!.closed, 0)
    lease.release()
    await sleep(1)
    assert.equal(opened[1]!.closed, 1)
    assert.equal(registry.statistics().open, 0)
  })

  it('tries again after an opening that failed', async () => {
    const registry = new ConnectionRegistry<Fake>({ max: 1, room: new WaitingRoom({ waitMs: 50, maxWaiting: 10 }) })
    let attempts = 0
    const open = () => (++attempts === 1 ? Promise.reject(new Error('refused')) : Promise.resolve(new Fake('a')))
    const first = await Promise.all([codeOf(registry.acquire('a', '1', open)), codeOf(registry.acquire('a', '1', open))])
    assert.deepEqual(first, ['refused', 'refused'])
    assert.deepInclude(registry.statistics(), { open: 0, inUse: 0 })
    const lease = await registry.acquire('a', '1', open)
    assert.equal(lease.connection.name, 'a')
    lease.release()
  })

  it('closes everything, in use or not, wakes who waits, and opens nothing afterwards', async () => {
    const { registry, acquire, opened } = fixture(1, 5000)
    const lease = await acquire('a')
    const waiting = codeOf(acquire('b'))
    await registry.close()
    assert.equal(opened[0]!.closed, 1)
    assert.equal(await waiting, 'CONNECTION_CLOSED')
    assert.equal(await codeOf(acquire('a')), 'CONNECTION_CLOSED')
    lease.release()
    assert.deepInclude(registry.statistics(), { open: 0, waiting: 0 })
  })

  it('serves those who wait for a slot in the order of coming, and nobody who comes later takes it from them', async () => {
    const { acquire } = fixture(1, 1000)
    const first = await acquire('a')
    const order: string[] = []
    const visit = async (key: string) => {
      const lease = await acquire(key)
      order.push(key)
      await sleep(1)
      lease.release()
    }
    const visits = ['b', 'c', 'd', 'e'].map(visit)
    await sleep(1)
    first.release()
    // At this very moment the slot is free, and it is promised to b.
    visits.push(visit('f'))
    await Promise.all(visits)
    assert.deepEqual(order, ['b', 'c', 'd', 'e', 'f'])
  })

  it('a key that is never idle keeps no one else waiting to the end', async () => {
    const { registry, acquire } = fixture(1, 4000)
    let stop = false
    let visits = 0
    const busy = Array.from({ length: 4 }, async (_, index) => {
      await sleep(index)
      while (!stop) {
        const lease = await acquire('busy')
        visits++
        await sleep(4)
        lease.release()
      }
    })
    await sleep(10)
    const begun = performance.now()
    ;(await acquire('patient')).release()
    const waited = performance.now() - begun
    const before = visits
    await sleep(50)
    stop = true
    await Promise.all(busy)
    assert.isBelow(waited, 3_000)
    assert.isAbove(visits, before, 'the busy one goes on afterwards')
    assert.deepInclude(registry.statistics(), { waiting: 0, inUse: 0 })
  })

  it('whoever holds a lease gets another one of the same key, also while newcomers have to wait', async () => {
    const { acquire } = fixture(1, 4000)
    const held = await acquire('a')
    const waiting = acquire('b')
    await sleep(600)
    const newcomer = acquire('a')
    const nested = await acquire('a', '1', 0, { holds: true })
    nested.release()
    held.release()
    assert.equal((await waiting).connection.name, 'b@1')
    ;(await waiting).release()
    ;(await newcomer).release()
  })

  it('refuses at once when too many wait, and counts it', async () => {
    const { room, acquire } = fixture(1, 10_000, 2)
    const held = await acquire('a')
    const waiting = [acquire('b'), acquire('c')]
    const begun = performance.now()
    assert.equal(await codeOf(acquire('d')), 'POOL_EXHAUSTED')
    assert.isBelow(performance.now() - begun, 5_000)
    held.release()
    for (const lease of waiting) (await lease).release()
    assert.deepInclude(room.statistics(), { rejected: 1, waiting: 0 })
  })

  it('whoever gives up leaves the queue, and the next one is served', async () => {
    const { registry, room, acquire } = fixture(1, 1000)
    const held = await acquire('a')
    const giving = new AbortController()
    const gone = codeOf(acquire('b', '1', 0, { giveUp: () => giving.signal }))
    const next = acquire('c')
    await sleep(5)
    giving.abort(new Error('gave up'))
    assert.equal(await gone, 'gave up')
    assert.deepInclude(registry.statistics(), { waiting: 1 })
    held.release()
    ;(await next).release()
    assert.deepInclude(room.statistics(), { waiting: 0, rejected: 0 })
  })

  it('stays within its bounds and serves all through random visits, nested ones, rotations and failures', async () => {
    const { registry, room, acquire, opened } = fixture(3, 5000)
    let next = Date.now() % 100_000
    const seed = next
    const random = () => (next = (next * 16_807 + 11) % 2_147_483_647) / 2_147_483_647
    const pause = () => (random() < 0.3 ? undefined : sleep(random() * 3))
    let [most, served] = [0, 0]
    const visit = async () => {
      const key = `k${Math.floor(random() * 9)}`
      if (random() < 0.05) registry.invalidate(key)
      const lease = await acquire(key, random() < 0.9 ? '1' : '2', random() < 0.5 ? 1 : 0)
      try {
        most = Math.max(most, registry.statistics().open)
        await pause()
        // Of another version it would need a slot, and whoever holds one must not wait for one for ever.
        const version = lease.connection.name.at(-1)
        if (random() < 0.2 && registry.version(key) === version) (await acquire(key, version, 0, { holds: true })).release()
        assert.equal(lease.connection.closed, 0, `seed ${seed}`)
        assert.isTrue(lease.connection.name.startsWith(key))
        served++
      } finally {
        lease.release()
      }
    }
    await Promise.all(
      Array.from({ length: 30 }, async () => {
        for (let turn = 0; turn < 25; turn++) await visit()
      }),
    )
    const message = `seed ${seed}`
    assert.equal(served, 750, message)
    assert.isAtMost(most, 3, message)
    assert.deepInclude(registry.statistics(), { inUse: 0, waiting: 0 }, message)
    assert.deepInclude(room.statistics(), { waiting: 0, rejected: 0 }, message)
    await registry.close()
    assert.isTrue(
      opened.every(fake => fake.closed === 1),
      message,
    )
  })
})
