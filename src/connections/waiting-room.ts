/** Those who wait for a connection: bounded in number and in time, numbered as they come, and free to go. */
import { PoolExhaustedError } from '../errors.ts'

export interface WaitingRoomOptions {
  /** How long one waits, in milliseconds, before `POOL_EXHAUSTED`. */
  readonly waitMs: number
  /** How many wait at most; one more is refused at once with `POOL_EXHAUSTED`. */
  readonly maxWaiting: number
}

/** What is known of those who wait and waited. */
export interface WaitingStatistics {
  readonly waiting: number
  /** How many were refused with `POOL_EXHAUSTED`. */
  readonly rejected: number
  /** How long all waited together, in milliseconds. */
  readonly waitedMs: number
  /** How long the one waited that waited longest, in milliseconds. */
  readonly longestWaitMs: number
}

/** One who waits. */
export interface Place<T> {
  /** Lower came earlier. */
  readonly number: number
  readonly since: number
  readonly served: Promise<T>
  serve(value: T): void
  refuse(error: Error): void
}

let places = 0

export class WaitingRoom {
  readonly #options: WaitingRoomOptions
  #waiting = 0
  #rejected = 0
  #waitedMs = 0
  #longestWaitMs = 0

  constructor(options: WaitingRoomOptions) {
    this.#options = options
  }

  get waitMs(): number {
    return this.#options.waitMs
  }

  /**
   * A place that is served, refused, given up by its signal, or ends at the deadline. `leave` is called in the last two cases, for whoever
   * keeps the queue.
   *
   * @throws POOL_EXHAUSTED if too many wait already, and the signal's reason if it is aborted
   */
  enter<T>(leave: () => void, signal?: AbortSignal): Place<T> {
    signal?.throwIfAborted()
    const { waitMs, maxWaiting } = this.#options
    if (this.#waiting >= maxWaiting) {
      this.#rejected++
      throw new PoolExhaustedError(0, undefined, `${maxWaiting} requests wait for a database connection already.`)
    }
    const since = performance.now()
    let resolve!: (value: T) => void
    let reject!: (error: Error) => void
    const served = new Promise<T>((serve, refuse) => ([resolve, reject] = [serve, refuse]))
    let over = false
    const end = (): boolean => {
      if (over) return false
      over = true
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      this.#count(performance.now() - since)
      return true
    }
    const giveUp = (error: Error): void => {
      if (!end()) return
      leave()
      reject(error)
    }
    const onAbort = (): void => giveUp(signal!.reason as Error)
    const timer = setTimeout(() => {
      this.#rejected++
      giveUp(new PoolExhaustedError(waitMs))
    }, waitMs)
    signal?.addEventListener('abort', onAbort, { once: true })
    this.#waiting++
    return {
      number: ++places,
      since,
      served,
      serve: value => void (end() && resolve(value)),
      refuse: error => void (end() && reject(error)),
    }
  }

  statistics(): WaitingStatistics {
    return {
      waiting: this.#waiting,
      rejected: this.#rejected,
      waitedMs: Math.round(this.#waitedMs),
      longestWaitMs: Math.round(this.#longestWaitMs),
    }
  }

  #count(waited: number): void {
    this.#waiting--
    this.#waitedMs += waited
    this.#longestWaitMs = Math.max(this.#longestWaitMs, waited)
  }
}
