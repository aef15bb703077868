import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { assert } from 'chai'
import { BatchedReads, MAX_KEYS, MAX_QUERIES } from '../../src/tenants/batched-reads.ts'
import { DirectoryCache } from '../../src/tenants/directory-cache.ts'

describe('DirectoryCache', () => {
  const cache = (options = {}) => new DirectoryCache<string>({ ttlMs: 1_000, negativeTtlMs: 100, maxEntries: 3, ...options })

  it('keeps a value until its time is over, counted from when it was asked', () => {
    const kept = cache()
    kept.put('a', 'A', 50)
    assert.deepInclude(kept.get('a', 1_049), { value: 'A' })
    assert.isUndefined(kept.get('a', 1_050))
    assert.deepEqual(kept.sizes(), { entries: 0, unknown: 0 })
  })

  it('keeps for its own time that a key is unknown', () => {
    const kept = cache()
    kept.put('x', undefined, 0)
    assert.deepEqual(kept.get('x', 99), { value: undefined })
    assert.isUndefined(kept.get('x', 100))
    const none = cache({ negativeTtlMs: 0 })
    none.put('x', undefined, 0)
    assert.deepEqual(none.sizes(), { entries: 0, unknown: 0 })
  })

  it('gives nothing that is older than what is trusted', () => {
    const kept = cache()
    kept.put('a', 'A', 0)
    kept.put('x', undefined, 0)
    assert.deepInclude(kept.get('a', 9, 10), { value: 'A' })
    assert.isDefined(kept.get('x', 9, 10))
    assert.isUndefined(kept.get('a', 10, 10))
    assert.isUndefined(kept.get('x', 10, 10))
    assert.isDefined(kept.get('x', 11, Infinity))
  })

  it('drops the value unused longest, and the oldest unknown keys', () => {
    const kept = cache()
    for (const key of ['a', 'b', 'c']) kept.put(key, key, 0)
    kept.get('a', 1)
    kept.put('d', 'd', 1)
    assert.deepEqual(
      ['a', 'b', 'c', 'd'].filter(key => kept.get(key, 2) !== undefined),
      ['a', 'c', 'd'],
    )
    for (const key of ['v', 'w', 'x', 'y']) kept.put(key, undefined, 1)
    assert.deepEqual(
      ['v', 'w', 'x', 'y'].filter(key => kept.get(key, 2) !== undefined),
      ['w', 'x', 'y'],
    )
    assert.deepEqual(kept.sizes(), { entries: 3, unknown: 3 })
    const large = cache({ maxEntries: 1_000 })
    for (let index = 0; index < 10_000; index++) {
      large.put(`a${index}`, 'A', 0)
      large.put(`x${index}`, undefined, 0)
      if (index % 100 === 0) assert.isAtMost(Math.max(large.sizes().entries, large.sizes().unknown), 1_000)
    }
    assert.isAtLeast(Math.min(large.sizes().entries, large.sizes().unknown), 900)
    assert.isDefined(large.get('a9999', 1))
  })

  it('forgets a key, whatever was known of it, and everything', () => {
    const kept = cache()
    kept.put('a', 'A', 0)
    kept.put('x', undefined, 0)
    kept.forget('a')
    kept.forget('x')
    assert.isUndefined(kept.get('a', 1))
    assert.isUndefined(kept.get('x', 1))
    kept.put('a', undefined, 2)
    kept.put('a', 'A', 3)
    assert.deepInclude(kept.get('a', 4), { value: 'A' })
    assert.deepEqual(kept.sizes(), { entries: 1, unknown: 0 })
    kept.put('a', undefined, 5)
    assert.deepEqual(kept.sizes(), { entries: 0, unknown: 1 })
    kept.clear()
    assert.deepEqual(kept.sizes(), { entries: 0, unknown: 0 })
  })

  it('keeps no text that a key was cut out of', () => {
    const kept = cache({ maxEntries: 1_000 })
    const before = heap()
    for (let index = 0; index < 1_000; index++) kept.put(`${'x'.repeat(50_000)}${index}-is-the-slug`.slice(49_990), undefined, 0)
    assert.isBelow(heap() - before, 5_000_000)
    assert.equal(kept.sizes().unknown, 1_000)
  })
})

describe('BatchedReads', () => {
  /** Reads that are answered by hand, and what was asked. */
  function fixture() {
    const asked: {
      readonly keys: readonly string[]
      answer: (known?: Record<string, string>) => Promise<void>
      fail: () => Promise<void>
    }[] = []
    const kept: [string, string | undefined][] = []
    const reads = new BatchedReads<string>({
      ask: keys =>
        new Promise((resolve, reject) => {
          const answer = (known: Record<string, string> = {}) => {
            resolve(new Map(Object.entries(known)))
            return turn()
          }
          const fail = () => {
            reject(new Error('no answer'))
            return turn()
          }
          asked.push({ keys, answer, fail })
        }),
      keep: (key, value) => void kept.push([key, value]),
      detached: work => work(),
    })
    return { reads, asked, kept }
  }

  it('asks once for a key, however many want it, and for all keys of a moment together', async () => {
    const { reads, asked, kept } = fixture()
    const all = Promise.all(Array.from({ length: 64 }, (_, index) => reads.read(index < 60 ? 'a' : `x${index}`)))
    await turn()
    const late = reads.read('a')
    await turn()
    assert.deepEqual(
      asked.map(({ keys }) => keys),
      [['a', 'x60', 'x61', 'x62', 'x63']],
    )
    await asked[0]!.answer({ a: 'A' })
    assert.deepEqual(await all, [...Array.from({ length: 60 }, () => 'A'), undefined, undefined, undefined, undefined])
    assert.equal(await late, 'A')
    assert.deepEqual(kept[0], ['a', 'A'])
    assert.lengthOf(kept, 5)
    void reads.read('a').catch(() => undefined)
    await turn()
    assert.lengthOf(asked, 2, 'nothing is remembered here')
  })

  for (const [name, forget] of [
    ['of a key', (reads: BatchedReads<string>) => reads.forget('a')],
    ['of anything', (reads: BatchedReads<string>) => reads.clear()],
  ] as const) {
    it(`keeps no answer to a question sent before a change ${name}, and lets nobody join it`, async () => {
      const { reads, asked, kept } = fixture()
      const before = reads.read('a')
      await turn()
      forget(reads)
      const after = reads.read('a')
      await turn()
      assert.lengthOf(asked, 2)
      // The later question is answered first, and the earlier one must not be kept in its place.
      await asked[1]!.answer({ a: 'new' })
      await asked[0]!.answer({ a: 'old' })
      assert.deepEqual([await before, await after], ['old', 'new'])
      assert.deepEqual(kept, [['a', 'new']])
    })
  }

  it('forgets one key of a question, not the others', async () => {
    const { reads, asked, kept } = fixture()
    const both = Promise.all([reads.read('a'), reads.read('b')])
    await turn()
    reads.forget('a')
    await asked[0]!.answer({ a: 'A', b: 'B' })
    assert.deepEqual(await both, ['A', 'B'])
    assert.deepEqual(kept, [['b', 'B']])
  })

  it('runs a few queries at a time, and answers a flood by a few more', async () => {
    const { reads, asked, kept } = fixture()
    const flood = 20_000
    const answers: Promise<unknown>[] = []
    for (let index = 0; index < flood; index++) {
      answers.push(reads.read(`x${index}`))
      if (index % 500 === 0) await turn()
    }
    assert.lengthOf(asked, MAX_QUERIES)
    for (let index = 0; index < asked.length; index++) {
      assert.isAtMost(asked.length - index, MAX_QUERIES)
      await asked[index]!.answer()
    }
    await Promise.all(answers)
    assert.equal(kept.length, flood)
    assert.isAtMost(asked.length, Math.ceil(flood / MAX_KEYS) + MAX_QUERIES)
    assert.isAtMost(Math.max(...asked.map(({ keys }) => keys.length)), MAX_KEYS)
  })

  it('tells everyone that waits when the database does not answer, and asks anew', async () => {
    const { reads, asked, kept } = fixture()
    const outcomes = Promise.allSettled([reads.read('a'), reads.read('a'), reads.read('b')])
    await turn()
    await asked[0]!.fail()
    assert.deepEqual(
      (await outcomes).map(outcome => outcome.status),
      ['rejected', 'rejected', 'rejected'],
    )
    const again = reads.read('a')
    await turn()
    await asked[1]!.answer({ a: 'A' })
    assert.equal(await again, 'A')
    assert.deepEqual(kept, [['a', 'A']])
  })
})

function heap(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().heapUsed
}
