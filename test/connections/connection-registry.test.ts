import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from 'chai'
import { ConnectionRegistry } from '../../src/connections/connection-registry.ts'

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
function fixture(max = 2, waitMs = 40) {
  const registry = new ConnectionRegistry<Fake>({ max, waitMs })
  const opened: Fake[] = []
  const acquire = (key: string, version = '1', delay = 0) =>
    registry.acquire(key, version, async () => {
      if (delay > 0) await sleep(delay)
      const fake = new Fake(`${key}@${version}`)
      opened.push(fake)
      return fake
    })
  const names = () => opened.map(fake => fake.name)
  return { registry, acquire, opened, names }
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
    const { acquire } = fixture(1, 200)
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
    const registry = new ConnectionRegistry<Fake>({ max: 1, waitMs: 50 })
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
})
