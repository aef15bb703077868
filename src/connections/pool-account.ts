/** The account that a budget keeps of one pool: its connections, and those who wait for one. */
import { currentContext } from '../context/context.ts'
import { ConnectionClosedError } from '../errors.ts'
import { TurnQueue } from './turn-queue.ts'
import type { Place, WaitingRoom } from './waiting-room.ts'

/** A pool, as far as the budget must know it. */
export interface BudgetedPool {
  /** How many of its connections stand idle. */
  idle(): number
  /** Closes one of the idle ones. It answers by `unclaim`, then by `closed` (or `notEvicted`, if there was none). */
  closeIdle(): void
}

export interface AccountOptions {
  /** `host:port` */
  readonly server: string
  /** Connections of this pool at most. */
  readonly max: number
  /** Where those wait who find none. */
  readonly room: WaitingRoom
  /** Whether its connections are set aside: they are not part of the total, and others on the server leave room for all of them. */
  readonly aside?: boolean
  /** Whose turn it is that enters; the waiting groups take turns. Default: one group. Asked only of those who wait. */
  readonly turnOf?: () => string
}

/** What one who enters may take: a connection that is open, or a new one. */
export type Grant = 'idle' | 'new'

/** What a kind of pools did so far. */
export interface Tally {
  opened: number
  evicted: number
}

/** What an account asks of its budget. */
interface BudgetInside {
  readonly tally: Tally
  admit(): Grant | undefined
  waits(): void
  changed(): void
  used(): number
  count(change: number, closing: number): void
  gone(): void
}

/** The connections of one pool, and those who wait for one. */
export class PoolAccount {
  readonly server: string
  readonly max: number
  readonly aside: boolean
  /** When it was last used, in uses of all pools. */
  lastUsed = 0
  inUse = 0
  /** How many sockets it opened. */
  begunSoFar = 0
  readonly #options: AccountOptions
  readonly #pool: BudgetedPool
  readonly #budget: BudgetInside
  readonly #queue = new TurnQueue<Place<Grant>>()
  /** Sockets that are open, being opened or being closed. */
  #sockets = 0
  /** Of these, decided on and not begun. */
  #reserved = 0
  /** Idle connections that are given away and not taken yet. */
  #claimed = 0
  #isClosed = false
  #isGone = false

  constructor(options: AccountOptions, pool: BudgetedPool, budget: BudgetInside) {
    this.#options = options
    this.#pool = pool
    this.#budget = budget
    this.server = options.server
    this.max = options.max
    this.aside = options.aside ?? false
  }

  get sockets(): number {
    return this.#sockets
  }

  get idle(): number {
    return this.#isClosed ? 0 : this.#pool.idle() - this.#claimed
  }

  /** The number of the one who is next. */
  get head(): number | undefined {
    return this.#queue.head()?.number
  }

  /**
   * Lets one in, at once where that is possible. Whoever is let in takes a connection and says what became of it: `begun` or `unreserve`
   * for a new one, `unclaim` for an idle one, and `released` in the end.
   *
   * @throws POOL_EXHAUSTED, CONNECTION_CLOSED
   */
  enter(signal?: AbortSignal): Grant | Promise<Grant> {
    if (this.#isClosed) throw new ConnectionClosedError(this.server)
    if (this.#queue.size === 0) {
      const grant = this.#budget.admit()
      if (grant !== undefined) return this.#take(grant)
    }
    const group = this.#options.turnOf?.() ?? ''
    const leave = (): void => {
      this.#queue.remove(group, place)
      this.#budget.changed()
    }
    const place: Place<Grant> = this.#options.room.enter<Grant>(leave, signal ?? currentContext()?.signal)
    this.#queue.add(group, place)
    this.#budget.waits()
    return place.served
  }

  /** Lets in who is next. @internal For the budget. */
  serve(grant: Grant): void {
    this.#queue.shift()!.serve(this.#take(grant))
  }

  /** Closes an idle connection for another pool. @internal For the budget. */
  evict(): void {
    this.#budget.tally.evicted++
    this.#claimed++
    this.#budget.count(0, 1)
    this.#pool.closeIdle()
  }

  /** A socket is being opened; without a reservation too, for then a connection that was promised as idle broke just now. */
  begun(): void {
    this.begunSoFar++
    this.#budget.tally.opened++
    if (this.#reserved > 0) this.#reserved--
    else this.#grow(1)
  }

  /** A socket is closed. */
  closed(wasEvicted: boolean): void {
    this.#sockets--
    this.#budget.count(-1, wasEvicted ? -1 : 0)
    this.#leaveIfDone()
    this.#budget.changed()
  }

  /** An idle connection that was to be closed is there no more. */
  notEvicted(): void {
    this.#budget.count(0, -1)
    this.#budget.changed()
  }

  /** A new connection that was granted is not opened, since the pool found an idle one. */
  unreserve(): void {
    this.#reserved--
    this.#grow(-1)
    this.#leaveIfDone()
    this.#budget.changed()
  }

  /** An idle connection that was granted has been taken, or is there no more. */
  unclaim(): void {
    this.#claimed--
  }

  /** A connection is in use no more. */
  released(): void {
    this.inUse--
    this.lastUsed = this.#budget.used()
    this.#budget.changed()
  }

  /** Lets nobody in any more; its sockets count until they are closed. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    for (let place = this.#queue.shift(); place !== undefined; place = this.#queue.shift())
      place.refuse(new ConnectionClosedError(this.server))
    this.#leaveIfDone()
    this.#budget.changed()
  }

  #take(grant: Grant): Grant {
    this.inUse++
    if (grant === 'idle') this.#claimed++
    else {
      this.#reserved++
      this.#grow(1)
    }
    return grant
  }

  #grow(change: number): void {
    this.#sockets += change
    this.#budget.count(change, 0)
  }

  #leaveIfDone(): void {
    if (this.#isGone || !this.#isClosed || this.#sockets > 0) return
    this.#isGone = true
    this.#budget.gone()
  }
}
