import { assert } from 'chai'
import { newId } from 'mikro-tenantkit'
import { lowestIdAt, timeOfId } from '../src/ids.ts'

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

describe('ids', () => {
  it('are UUIDs of version 7 that rise, each its own, with random bits that do not repeat', () => {
    const begun = Date.now()
    const ids = Array.from({ length: 20_000 }, newId)
    const ended = Date.now()
    for (const id of ids) assert.match(id, UUID_V7)
    assert.deepEqual(ids.toSorted(), ids)
    assert.equal(new Set(ids).size, ids.length)
    assert.equal(new Set(ids.map(id => id.slice(-10))).size, ids.length, 'the random part')
    assert.isAtLeast(timeOfId(ids[0]!).getTime(), begun)
    assert.isAtMost(timeOfId(ids.at(-1)!).getTime(), ended)
  })

  it('count on where the clock was set back', () => {
    const { now } = Date
    const before = newId()
    try {
      Date.now = () => now() - 60_000
      assert.isTrue(newId() > before)
    } finally {
      Date.now = now
    }
  })

  it('say their time, and the lowest of a time', () => {
    const id = newId()
    const time = timeOfId(id)
    assert.isTrue(lowestIdAt(time) <= id)
    assert.isTrue(lowestIdAt(new Date(time.getTime() + 1)) > id)
  })
})
