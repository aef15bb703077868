/**
 * How many connections may be open: of all tenants' databases together, to one server, and of one pool.
 *
 * A connection counts from the moment it is decided on until its socket is closed, in use or idle. When a pool needs one more and the
 * budget is spent, the idle connection that was unused longest is closed for it; when none is idle, it waits. Whoever came first is served
 * first, whatever pool it waits in. It knows pools, not databases: `governed-pool.ts` puts a pool of `pg` under it.
 */
import { PoolAccount, type AccountOptions, type BudgetedPool, type Grant, type Tally } from './pool-account.ts'

export interface BudgetOptions {
  /** Open connections of all pools that are not set aside. */
  readonly total: number
  /** Open connections to one server, those set aside included. */
  readonly perServer: number
}

/** What pools have together. */
export interface ConnectionStatistics {
  /** Sockets, those included that are being opened or closed. */
  readonly open: number
  readonly idle: number
  readonly inUse: number
  /** How many were opened so far. */
  readonly opened: number
  /** How many idle ones were closed for another pool so far. */
  readonly evicted: number
}

interface Server {
  /** Of pools that ask. */
  open: number
  closing: number
  /** Of pools whose connections are set aside: how many are open, and how many may be. */
  openAside: number
  aside: number
}

export class ConnectionBudget {
  readonly #options: BudgetOptions
  readonly #servers = new Map<string, Server>()
  readonly #accounts = new Set<PoolAccount>()
  readonly #waiting = new Set<PoolAccount>()
  readonly #tallies: Readonly<Record<'asking' | 'aside', Tally>> = { asking: { opened: 0, evicted: 0 }, aside: { opened: 0, evicted: 0 } }
  #open = 0
  #uses = 0

  constructor(options: BudgetOptions) {
    this.#options = options
  }

  /** The account of a pool. Whoever opens it closes it. */
  open(options: AccountOptions, pool: BudgetedPool): PoolAccount {
    const { server: name, max, aside = false } = options
    let server = this.#servers.get(name)
    if (server === undefined) this.#servers.set(name, (server = { open: 0, closing: 0, openAside: 0, aside: 0 }))
    if (aside) server.aside += max
    const account = new PoolAccount(options, pool, {
      admit: () => this.#admit(account),
      waits: () => {
        this.#waiting.add(account)
        this.#serve()
      },
      changed: () => this.#serve(),
      used: () => ++this.#uses,
      tally: this.#tallies[aside ? 'aside' : 'asking'],
      count: (change, closing) => {
        server.closing += closing
        if (aside) server.openAside += change
        else {
          server.open += change
          this.#open += change
        }
      },
      gone: () => {
        this.#accounts.delete(account)
        this.#waiting.delete(account)
        if (aside) server.aside -= max
        if (![...this.#accounts].some(other => other.server === name)) this.#servers.delete(name)
      },
    })
    this.#accounts.add(account)
    return account
  }

  /** Open connections by server, those included that are set aside. */
  servers(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#servers].map(([name, { open, openAside }]) => [name, open + openAside]))
  }

  /** What all pools of a kind have together, and had so far. */
  statistics(kind: 'asking' | 'aside'): ConnectionStatistics {
    let [open, idle, inUse] = [0, 0, 0]
    for (const account of this.#accounts) {
      if (account.aside !== (kind === 'aside')) continue
      open += account.sockets
      idle += account.idle
      inUse += account.inUse
    }
    return { open, idle, inUse, ...this.#tallies[kind] }
  }

  #admit(account: PoolAccount): Grant | undefined {
    if (account.idle > 0) return 'idle'
    return account.sockets < account.max && this.#lacks(account) === undefined ? 'new' : undefined
  }

  /** Which cap keeps a pool from opening one more connection. */
  #lacks(account: PoolAccount): 'server' | 'total' | undefined {
    if (account.aside) return undefined
    const { open, aside } = this.#servers.get(account.server)!
    // What is set aside is kept free whether it is open or not.
    if (open >= this.#options.perServer - aside) return 'server'
    return this.#open >= this.#options.total ? 'total' : undefined
  }

  /** Serves those who wait in the order in which they came; who cannot be served yet gets an idle connection of another pool closed. */
  #serve(): void {
    if (this.#waiting.size === 0) return
    const passed = new Set<PoolAccount>()
    const spare = new Map<string, number>()
    for (const [name, { closing }] of this.#servers) if (closing > 0) spare.set(name, closing)
    for (;;) {
      const account = this.#first(passed)
      if (account === undefined) return
      const grant = this.#admit(account)
      if (grant !== undefined) account.serve(grant)
      else {
        passed.add(account)
        if (account.sockets < account.max) this.#makeRoom(account, spare)
      }
    }
  }

  /** The pool in which the one waits who came first. */
  #first(passed: ReadonlySet<PoolAccount>): PoolAccount | undefined {
    let first: PoolAccount | undefined
    for (const account of this.#waiting) {
      if (account.head === undefined) this.#waiting.delete(account)
      else if (!passed.has(account) && (first === undefined || account.head < first.head!)) first = account
    }
    return first
  }

  /** Closes an idle connection that is in the way, unless one is being closed for this one already. */
  #makeRoom(account: PoolAccount, spare: Map<string, number>): void {
    const lack = this.#lacks(account)
    if (lack === undefined) return
    for (const [name, closing] of spare) {
      if (closing === 0 || (lack === 'server' && name !== account.server)) continue
      spare.set(name, closing - 1)
      return
    }
    let oldest: PoolAccount | undefined
    for (const other of this.#accounts) {
      if (other.aside || other.idle === 0 || (lack === 'server' && other.server !== account.server)) continue
      if (oldest === undefined || other.lastUsed < oldest.lastUsed) oldest = other
    }
    oldest?.evict()
  }
}
