/**
 * A pool of `pg` under a budget: whoever asks it for a connection is let in by the account first, so that the pool itself never makes anyone
 * wait, and every socket is counted from its opening to its end, whoever opens it.
 */
import type { EventEmitter } from 'node:events'
import { Client } from 'pg'
import { bindContext } from '../context/context.ts'
import { ConnectionClosedError } from '../errors.ts'
import type { ConnectionBudget } from './connection-budget.ts'
import type { AccountOptions, Grant, PoolAccount } from './pool-account.ts'

/** How long a socket that was told goodbye may take to close, in milliseconds, before it is cut. */
const CLOSE_TIMEOUT_MS = 5_000

/** Where a client finds the account of its pool: it is made with the pool's options, or with a copy of them. */
const ACCOUNT = Symbol('account')

/** Sockets and their timers outlive the request that happened to open them, and must not keep its context in memory. */
const outside = bindContext((work: () => void): void => work())

type Release = (error?: Error | boolean) => void
type Connected = (error: Error | undefined, client: PooledClient | undefined, release: Release) => void

interface PooledClient {
  release: Release
  lost?: () => void
  evicted?: boolean
}

/** The part of a pool of `pg` that is governed. */
export interface GovernablePool {
  readonly idleCount: number
  readonly totalCount: number
  readonly options: object
  Client: unknown
  connect(callback?: Connected): Promise<unknown> | undefined
}

/** A pool that was put under a budget. */
export interface GovernedPool {
  /** Lets nobody in any more, and refuses those who wait. What is in use stays until it is given back. */
  close(): void
  /** Asks for a connection on behalf of one who may give up: the signal holds for what `ask` asks while it runs. */
  withSignal<T>(signal: AbortSignal | undefined, ask: () => T): T
}

/** Puts a pool under a budget, before its first connection. */
export function governPool(pool: GovernablePool, budget: ConnectionBudget, options: AccountOptions): GovernedPool {
  const stock = pool.connect.bind(pool) as (callback: Connected) => void
  const asked = new Set<Connected>()
  // A pool that is ended never answers whoever it promised an idle connection to: all that are asked are kept, and answered at the end.
  const connect = (callback: Connected): void => {
    const answer: Connected = (error, client, release) => {
      if (asked.delete(answer)) callback(error, client, release)
      else if (client !== undefined) release(true)
    }
    asked.add(answer)
    outside(() => stock(answer))
  }
  let giveUp: AbortSignal | undefined
  const closeIdle = (): void =>
    connect((_error, client, release) => {
      account.unclaim()
      if (client === undefined) return account.notEvicted()
      client.evicted = true
      release(true)
    })
  const account = budget.open(options, { idle: () => pool.idleCount, closeIdle })
  const take = (grant: Grant, connected: Connected): void => {
    const begun = account.begunSoFar
    connect((error, client, release) => {
      if (grant === 'idle') account.unclaim()
      if (client === undefined) {
        account.released()
        return connected(error, undefined, release)
      }
      let isOut = true
      const giveBack: Release = reason => {
        if (!isOut) return
        isOut = false
        outside(() => release(reason))
        account.released()
      }
      client.release = giveBack
      // Whoever holds a connection that broke may fail before giving it back: Kysely does, when the rollback fails.
      client.lost = () => giveBack(true)
      connected(undefined, client, client.release)
    })
    if (grant === 'new' && account.begunSoFar === begun) account.unreserve()
  }
  const ask = (signal: AbortSignal | undefined, connected: Connected): void => {
    const refuse = (error: unknown): void => connected(error as Error, undefined, () => undefined)
    let grant: Grant | Promise<Grant>
    try {
      grant = account.enter(signal)
    } catch (error) {
      return refuse(error)
    }
    if (typeof grant === 'string') take(grant, connected)
    else grant.then(given => take(given, connected), refuse)
  }
  Object.assign(pool.options, { [ACCOUNT]: account })
  pool.Client = CountedClient
  pool.connect = connected => {
    const signal = giveUp
    if (connected !== undefined) {
      ask(signal, connected)
      return undefined
    }
    return new Promise((resolve, reject) => ask(signal, (error, client) => (client === undefined ? reject(error!) : resolve(client))))
  }
  return {
    close: () => {
      account.close()
      for (const answer of asked) answer(new ConnectionClosedError(options.server), undefined, () => undefined)
    },
    withSignal: (signal, work) => {
      giveUp = signal
      try {
        return work()
      } finally {
        giveUp = undefined
      }
    },
  }
}

/** A client that tells its account when its socket is opened and when it is closed. */
class CountedClient extends (Client as unknown as new (config: object) => ClientInternals) {
  readonly #account: PoolAccount | undefined
  /** Gives it back on behalf of whoever has it. */
  lost: (() => void) | undefined
  /** Set by who closes it for another pool. */
  evicted = false

  constructor(config: { readonly [ACCOUNT]?: PoolAccount }) {
    super(config)
    this.#account = config[ACCOUNT]
    // A client that cancels a statement is nobody's: a server that goes away meanwhile must not end the process.
    ;(this as unknown as EventEmitter).on('error', () => undefined)
  }

  override connect(callback?: (error: Error) => void): unknown {
    this.#account?.begun()
    this.once('end', () => {
      this.lost?.()
      this.#account?.closed(this.evicted)
    })
    return super.connect(callback)
  }

  override end(callback?: () => void): unknown {
    // Towards a server that is gone without a word, goodbye would wait for ever, and the socket would count as long.
    const timer = setTimeout(() => this.connection.stream.destroy(), CLOSE_TIMEOUT_MS).unref()
    this.once('end', () => clearTimeout(timer))
    return super.end(callback)
  }
}

/** The members of a client of `pg` 8 that are used. */
interface ClientInternals {
  readonly connection: { readonly stream: { destroy(): void } }
  connect(callback?: (error: Error) => void): unknown
  end(callback?: () => void): unknown
  once(event: 'end', listener: () => void): unknown
}
