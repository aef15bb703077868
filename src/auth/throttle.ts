/**
 * A small limiter for log-ins: at most so many tries for a key in a sliding window, in the memory of this process.
 */
import { createHash } from 'node:crypto'
import { ConfigurationError, RateLimitedError } from '../errors.ts'

/** What an application may set; all is optional. */
export interface ThrottleOptions {
  /** How many tries a key has in a window. Default `10`. */
  readonly limit?: number
  /** Length of the sliding window, in seconds. Default `60`. */
  readonly windowSeconds?: number
  /** How many keys are remembered; beyond it the one least recently tried is forgotten. Default `10_000`. */
  readonly maxKeys?: number
  /** The time in milliseconds, monotonic. Default `performance.now()`. */
  readonly clock?: () => number
}

/** The defaults of {@link ThrottleOptions}. */
export const THROTTLE_DEFAULTS = Object.freeze({ limit: 10, windowSeconds: 60, maxKeys: 10_000 })

/** Counts tries. */
export interface Throttle {
  /** Counts a try of this key, or throws `RATE_LIMITED` with `retryAfterSeconds` when it has none left. A refused try is not counted. */
  check(key: string): void
  /** Throws `RATE_LIMITED` when this key has no tries left, and counts nothing. */
  assertOpen(key: string): void
  /** Counts a try of this key, such as a failed one, without refusing it. */
  count(key: string): void
  /** Forgets the tries of this key, after a good log-in. */
  reset(key: string): void
  /** How many keys are remembered now. */
  readonly size: number
}

/**
 * Makes a limiter with a sliding window and bounded memory.
 *
 * Count by account and by address, with two throttles: whoever tries many accounts pushes old ones out of
 * the first, and is held by the second.
 * Throws `CONFIGURATION_INVALID` when a number is not a positive integer.
 *
 * @example
 * const throttle = createThrottle({ limit: 10, windowSeconds: 60 })
 * throttle.assertOpen(key) // before the password is looked at
 * throttle.count(key) // after a bad one: good log-ins at the same time do not lock each other out
 */
export function createThrottle(options: ThrottleOptions = {}): Throttle {
  const { limit, windowSeconds, maxKeys } = resolve(options)
  const clock = options.clock ?? (() => performance.now())
  const windowMilliseconds = windowSeconds * 1000
  // A Map keeps its order, and every counted try moves its key to the end: the first one is the least recently tried.
  const tries = new Map<string, readonly number[]>()

  const recentOf = (key: string, now: number): readonly number[] => (tries.get(key) ?? []).filter(at => at > now - windowMilliseconds)
  const assertLeft = (recent: readonly number[], now: number): void => {
    const [oldest] = recent
    if (oldest !== undefined && recent.length >= limit)
      throw new RateLimitedError(Math.max(1, Math.ceil((oldest + windowMilliseconds - now) / 1000)))
  }
  const add = (key: string, recent: readonly number[], now: number): void => {
    tries.delete(key)
    tries.set(key, [...recent, now].slice(-limit))
    forget(tries, maxKeys, now - windowMilliseconds)
  }

  return Object.freeze({
    check(given: string): void {
      const [key, now] = [bounded(given), clock()]
      const recent = recentOf(key, now)
      assertLeft(recent, now)
      add(key, recent, now)
    },
    assertOpen(given: string): void {
      const now = clock()
      assertLeft(recentOf(bounded(given), now), now)
    },
    count(given: string): void {
      const [key, now] = [bounded(given), clock()]
      add(key, recentOf(key, now), now)
    },
    reset(given: string): void {
      tries.delete(bounded(given))
    },
    get size(): number {
      return tries.size
    },
  })
}

/** Drops keys from the old end: those whose last try left the window, and those above the bound. */
function forget(tries: Map<string, readonly number[]>, maxKeys: number, before: number): void {
  for (const [key, times] of tries) {
    if (tries.size <= maxKeys && (times.at(-1) ?? 0) > before) return
    tries.delete(key)
  }
}

/** A key of bounded length: an email of a megabyte must not be kept. */
function bounded(key: string): string {
  return key.length > 128 ? createHash('sha256').update(key).digest('base64') : key
}

function resolve(options: ThrottleOptions): Required<Omit<ThrottleOptions, 'clock'>> {
  const resolved = {
    limit: options.limit ?? THROTTLE_DEFAULTS.limit,
    windowSeconds: options.windowSeconds ?? THROTTLE_DEFAULTS.windowSeconds,
    maxKeys: options.maxKeys ?? THROTTLE_DEFAULTS.maxKeys,
  }
  const problems = Object.entries(resolved)
    .filter(([, value]) => !Number.isSafeInteger(value) || value < 1)
    .map(([name, value]) => `throttle.${name} is ${value}, and must be a positive integer.`)
  if (problems.length > 0) throw new ConfigurationError(problems)
  return Object.freeze(resolved)
}
