/**
 * Pools of connections to databases of tenants, by key: opened once however many ask at the same time, counted while in use, and closed
 * when idle and too many. It knows keys, not tenants.
 *
 * Whoever finds no slot waits, and is served in the order of coming. Those who want a pool that is open go in at once; but when somebody has
 * waited long for a slot, the pools in use are closed to newcomers one by one, so that busy ones cannot keep all slots for ever.
 */
import { ConnectionClosedError } from '../errors.ts'
import type { Place, WaitingRoom } from './waiting-room.ts'

/** What the registry keeps: anything that can be closed. */
export interface Closable {
  close(force?: boolean): Promise<void>
}

/** A pool in use; it is not closed before it is released. */
export interface ConnectionLease<T> {
  readonly connection: T
  release(): void
}

export interface ConnectionRegistryOptions {
  /** How many pools may be open at once. */
  readonly max: number
  /** Where those wait who find no slot. */
  readonly room: WaitingRoom
}

/** Who asks, besides what for. */
export interface Asker {
  /** Whether the asker holds a lease of this key already: it would wait for itself. Default false. */
  readonly holds?: boolean
  /** Asked for a signal if there is a wait for it. */
  readonly giveUp?: (() => AbortSignal | undefined) | undefined
}

export interface ConnectionRegistryStatistics {
  readonly open: number
  readonly inUse: number
  readonly waiting: number
  readonly opened: number
  readonly evicted: number
}

interface Entry<T> {
  readonly key: string
  /** Changes when the credentials do: another version is another pool. */
  readonly version: string
  readonly connection: Promise<T>
  leases: number
  retired: boolean
  /** Whether newcomers wait, so that it becomes idle. */
  draining: boolean
}

interface Waiter<T> {
  readonly key: string
  readonly version: string
  readonly open: () => Promise<T>
  readonly place: Place<Entry<T>>
}

/** The part of the waiting time after which pools in use are closed to newcomers. */
const PATIENCE = 1 / 8

export class ConnectionRegistry<T extends Closable> {
  readonly #options: ConnectionRegistryOptions
  /** In order of use: the first is the one unused longest. */
  readonly #entries = new Map<string, Entry<T>>()
  readonly #retired = new Set<Entry<T>>()
  /** In order of coming. */
  readonly #waiting = new Set<Waiter<T>>()
  #closed = false
  #opened = 0
  #evicted = 0

  constructor(options: ConnectionRegistryOptions) {
    this.#options = options
  }

  /**
   * A lease on the pool of a key, opened if need be.
   *
   * @throws POOL_EXHAUSTED, CONNECTION_CLOSED, and what `open` throws
   */
  async acquire(key: string, version: string, open: () => Promise<T>, asker: Asker = {}): Promise<ConnectionLease<T>> {
    if (this.#closed) throw new ConnectionClosedError(key)
    return leaseOf(
      this.#enter(key, version, open, asker.holds === true) ?? (await this.#wait(key, version, open, asker.giveUp?.())),
      entry => this.#release(entry),
    )
  }

  /** The version of a key that is in force. */
  version(key: string): string | undefined {
    return this.#entries.get(key)?.version
  }

  /** Takes a key out: its pool is closed when its last lease ends, and nobody gets it any more. */
  invalidate(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#retire(entry)
    this.#serve()
  }

  statistics(): ConnectionRegistryStatistics {
    let inUse = 0
    for (const entry of [...this.#entries.values(), ...this.#retired]) inUse += entry.leases
    return {
      open: this.#entries.size + this.#retired.size,
      inUse,
      waiting: this.#waiting.size,
      opened: this.#opened,
      evicted: this.#evicted,
    }
  }

  /** Closes everything, in use or not; afterwards nothing is opened again. */
  async close(): Promise<void> {
    this.#closed = true
    const entries = [...this.#entries.values(), ...this.#retired]
    this.#entries.clear()
    this.#retired.clear()
    for (const { place, key } of this.#waiting) place.refuse(new ConnectionClosedError(key))
    this.#waiting.clear()
    await Promise.all(entries.map(entry => closeQuietly(entry)))
  }

  /** The pool of a key with one lease more, if it is open or there is room for it; nobody overtakes who waits for room. */
  #enter(key: string, version: string, open: () => Promise<T>, holds: boolean): Entry<T> | undefined {
    const entry = this.#entries.get(key)
    if (entry !== undefined && entry.version !== version) this.#retire(entry)
    else if (entry !== undefined) {
      this.#drain()
      return entry.draining && !holds ? undefined : this.#use(entry)
    }
    return this.#waiting.size === 0 && this.#makeRoom() ? this.#use(this.#open(key, version, open)) : undefined
  }

  #wait(key: string, version: string, open: () => Promise<T>, signal: AbortSignal | undefined): Promise<Entry<T>> {
    const place: Place<Entry<T>> = this.#options.room.enter<Entry<T>>(() => {
      this.#waiting.delete(waiter)
      this.#serve()
    }, signal)
    const waiter: Waiter<T> = { key, version, open, place }
    this.#waiting.add(waiter)
    this.#serve()
    return place.served
  }

  /** Lets in whoever can be, in the order of coming; who comes later for a pool that is open goes in too. */
  #serve(): void {
    this.#undrain()
    let full = false
    for (const waiter of this.#waiting) {
      const { key, version, place } = waiter
      const current = this.#entries.get(key)
      if (current !== undefined && current.version !== version) this.#retire(current)
      let entry = this.#entries.get(key)
      if (entry === undefined || entry.draining) {
        full ||= !this.#makeRoom()
        if (full) continue
        // With room for one more nothing has to drain for this one, unless it was closed just now.
        entry = this.#entries.get(key) ?? this.#open(key, version, waiter.open)
      }
      this.#waiting.delete(waiter)
      place.serve(this.#use(entry))
    }
    this.#undrain()
  }

  /** Opens all pools to newcomers again when nobody waits for a slot. */
  #undrain(): void {
    for (const { key } of this.#waiting) if (!this.#entries.has(key)) return
    for (const entry of this.#entries.values()) entry.draining = false
  }

  /** Closes as many pools to newcomers as there are some who wait long for a slot. */
  #drain(): void {
    if (this.#waiting.size === 0) return
    const before = performance.now() - this.#options.room.waitMs * PATIENCE
    let impatient = 0
    for (const { place, key } of this.#waiting) {
      if (place.since >= before) break
      if (!this.#entries.has(key)) impatient++
    }
    if (impatient === 0) return
    for (const entry of this.#entries.values()) if (entry.draining) impatient--
    for (const entry of this.#entries.values()) {
      if (impatient <= 0) return
      if (entry.draining) continue
      entry.draining = true
      impatient--
    }
  }

  #open(key: string, version: string, open: () => Promise<T>): Entry<T> {
    this.#opened++
    const entry: Entry<T> = { key, version, connection: open(), leases: 0, retired: false, draining: false }
    this.#entries.set(key, entry)
    // A failed opening must not stay: the next one tries again.
    entry.connection.catch(() => {
      if (this.#entries.get(key) === entry) this.#entries.delete(key)
      this.#retired.delete(entry)
      this.#serve()
    })
    return entry
  }

  /** The lease is counted before anything is awaited, so that a new entry cannot evict itself. */
  #use(entry: Entry<T>): Entry<T> {
    entry.leases++
    this.#entries.delete(entry.key)
    this.#entries.set(entry.key, entry)
    return entry
  }

  #release(entry: Entry<T>): void {
    entry.leases--
    if (entry.leases === 0 && entry.retired) this.#discard(entry)
    if (this.#waiting.size > 0) this.#serve()
  }

  #makeRoom(): boolean {
    for (const entry of this.#entries.values()) {
      if (this.#entries.size + this.#retired.size < this.#options.max) break
      if (entry.leases > 0) continue
      this.#evicted++
      this.#retire(entry)
    }
    return this.#entries.size + this.#retired.size < this.#options.max
  }

  #retire(entry: Entry<T>): void {
    entry.retired = true
    if (this.#entries.get(entry.key) === entry) this.#entries.delete(entry.key)
    if (entry.leases > 0) this.#retired.add(entry)
    else this.#discard(entry)
  }

  #discard(entry: Entry<T>): void {
    this.#retired.delete(entry)
    void closeQuietly(entry)
  }
}

/** What is given back counts once, however often it is given back. */
async function leaseOf<T>(entry: Entry<T>, giveBack: (entry: Entry<T>) => void): Promise<ConnectionLease<T>> {
  let released = false
  const release = (): void => {
    if (released) return
    released = true
    giveBack(entry)
  }
  try {
    return { connection: await entry.connection, release }
  } catch (error) {
    release()
    throw error
  }
}

async function closeQuietly<T extends Closable>(entry: Entry<T>): Promise<void> {
  // A pool that never opened, or breaks while it closes, leaves nothing to close.
  await entry.connection.then(connection => connection.close(true)).catch(() => undefined)
}
