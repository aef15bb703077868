import { assert } from 'chai'
import fc from 'fast-check'
import { createThrottle, type Throttle, type ThrottleOptions } from '../../src/auth/throttle.ts'
import { ConfigurationError, RateLimitedError } from '../../src/errors.ts'

/** A throttle with a clock that a test turns, in seconds. */
function make(options: ThrottleOptions = {}): { throttle: Throttle; clock: { seconds: number } } {
  const clock = { seconds: 0 }
  return { throttle: createThrottle({ limit: 3, windowSeconds: 60, ...options, clock: () => clock.seconds * 1000 }), clock }
}

/** How long the key must wait, in seconds; undefined when its try was counted. */
function wait(throttle: Throttle, key: string): number | undefined {
  try {
    throttle.check(key)
    return undefined
  } catch (error) {
    assert.instanceOf(error, RateLimitedError)
    return (error as RateLimitedError).retryAfterSeconds
  }
}

// Quarters of a second are exact in binary: the edge of the window is hit, not missed by rounding.
const quarters = fc.nat(120).map(count => count / 4)

describe('createThrottle', () => {
  it('lets the limit pass and refuses the next try with the seconds to wait', () => {
    const { throttle, clock } = make()
    for (const seconds of [0, 10, 20]) {
      clock.seconds = seconds
      assert.isUndefined(wait(throttle, 'a'))
    }
    assert.equal(wait(throttle, 'a'), 40)
    clock.seconds = 59.5
    assert.equal(wait(throttle, 'a'), 1)
  })

  it('slides: a try is free again a window after each counted one', () => {
    const { throttle, clock } = make()
    for (clock.seconds = 0; clock.seconds <= 20; clock.seconds += 10) throttle.check('a')
    clock.seconds = 60
    assert.isUndefined(wait(throttle, 'a'))
    assert.equal(wait(throttle, 'a'), 10)
  })

  it('keeps its word: after the seconds it names, the try passes', () => {
    const step = fc.record({ key: fc.constantFrom('a', 'b'), pause: quarters })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), steps => {
        const { throttle, clock } = make()
        for (const { key, pause } of steps) {
          clock.seconds += pause
          const seconds = wait(throttle, key)
          if (seconds === undefined) continue
          clock.seconds += seconds
          assert.isUndefined(wait(throttle, key))
        }
      }),
    )
  })

  it('never lets more than the limit pass in any window', () => {
    fc.assert(
      fc.property(fc.array(quarters, { maxLength: 60 }), pauses => {
        const { throttle, clock } = make()
        const passed: number[] = []
        for (const pause of pauses) {
          clock.seconds += pause
          if (wait(throttle, 'a') === undefined) passed.push(clock.seconds)
        }
        // The third try after any counted one comes a whole window later.
        for (const [index, first] of passed.entries()) assert.isAtLeast((passed[index + 3] ?? Infinity) - first, 60)
      }),
    )
  })

  it('does not count refused tries: who hammers is let in after the window, not never', () => {
    const { throttle, clock } = make()
    for (let i = 0; i < 3; i++) throttle.check('a')
    for (clock.seconds = 1; clock.seconds < 60; clock.seconds++) assert.isDefined(wait(throttle, 'a'))
    clock.seconds = 60
    assert.isUndefined(wait(throttle, 'a'))
  })

  it('counts keys apart', () => {
    const { throttle } = make({ limit: 1 })
    assert.isUndefined(wait(throttle, 'a'))
    assert.isUndefined(wait(throttle, 'b'))
    assert.isDefined(wait(throttle, 'a'))
    assert.isUndefined(wait(throttle, '__proto__'))
  })

  it('forgets a key on reset', () => {
    const { throttle } = make({ limit: 1 })
    throttle.check('a')
    throttle.reset('a')
    assert.isUndefined(wait(throttle, 'a'))
    throttle.reset('never seen')
  })

  it('stays bounded under a flood, and drops the key least recently tried', () => {
    const { throttle, clock } = make({ limit: 2, maxKeys: 100 })
    throttle.check('old')
    throttle.check('old')
    throttle.check('kept')
    for (let i = 0; i < 99; i++) throttle.check(`flood ${i}`)
    assert.equal(throttle.size, 100)
    assert.isUndefined(wait(throttle, 'kept'))
    assert.isDefined(wait(throttle, 'kept'))
    assert.isUndefined(wait(throttle, 'old'))
    for (let i = 0; i < 10_000; i++) {
      clock.seconds += 0.001
      throttle.check(`more ${i}`)
      assert.isAtMost(throttle.size, 100)
    }
  })

  it('counts a new try of an old key as recent', () => {
    const { throttle } = make({ limit: 2, maxKeys: 2 })
    for (const key of ['a', 'b', 'a', 'c']) throttle.check(key)
    assert.isDefined(wait(throttle, 'a'))
  })

  it('drops keys whose tries left the window', () => {
    const { throttle, clock } = make()
    for (let i = 0; i < 50; i++) throttle.check(`key ${i}`)
    clock.seconds = 61
    throttle.check('now')
    assert.equal(throttle.size, 1)
  })

  it('tells long keys apart, and keeps none of them whole', () => {
    const { throttle } = make({ limit: 1 })
    const long = 'x'.repeat(1_000_000)
    throttle.check(`${long}a`)
    assert.isUndefined(wait(throttle, `${long}b`))
    assert.isDefined(wait(throttle, `${long}a`))
    throttle.reset(`${long}a`)
    assert.isUndefined(wait(throttle, `${long}a`))
  })

  it('has 10 tries in 60 seconds by default, on a real clock', () => {
    const throttle = createThrottle()
    for (let i = 0; i < 10; i++) throttle.check('a')
    const seconds = wait(throttle, 'a') ?? 0
    assert.isAtLeast(seconds, 59)
    assert.isAtMost(seconds, 60)
  })

  it('counts what it is told to, and looks without counting', () => {
    const { throttle, clock } = make()
    for (let i = 0; i < 10; i++) throttle.assertOpen('a')
    assert.equal(throttle.size, 0)
    for (let i = 0; i < 3; i++) {
      throttle.assertOpen('a')
      throttle.count('a')
    }
    assert.throws(() => throttle.assertOpen('a'), RateLimitedError)
    throttle.assertOpen('b')
    throttle.count('a')
    assert.equal(wait(throttle, 'a'), 60)
    clock.seconds = 60
    throttle.assertOpen('a')
  })

  it('refuses odd numbers, all at once', () => {
    for (const odd of [{ limit: 0 }, { limit: 1.5 }, { windowSeconds: -1 }, { windowSeconds: NaN }, { maxKeys: 0 }, { maxKeys: Infinity }])
      assert.throws(() => createThrottle(odd), ConfigurationError)
    assert.throws(() => createThrottle({ limit: 0, maxKeys: 0 }), ConfigurationError, '2 problems')
  })
})
