/**
 * Connections to databases of tenants, by key: opened once however many ask at the same time, counted while in use, and closed when idle
 * and too many. It knows keys, not tenants.
 */
import { ConnectionClosedError, PoolExhaustedError } from '../errors.ts'

/** What the registry keeps: anything that can be closed. */
export interface Closable {
  close(force?: boolean): Promise<void>
}

/** A connection in use; it is not closed before it is released. */
export interface ConnectionLease<T> {
  readonly connection: T
  release(): void
}

export interface ConnectionRegistryOptions {
  /** How many connections may be open at once. */
  readonly max: number
  /** How long a request waits for a slot when all are in use, in milliseconds, before `POOL_EXHAUSTED`. */
  readonly waitMs: number
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
  /** Changes when the credentials do: another version is another connection. */
  readonly version: string
  readonly connection: Promise<T>
  leases: number
  retired: boolean
}

export class ConnectionRegistry<T extends Closable> {
  readonly #options: ConnectionRegistryOptions
  /** In order of use: the first is the one unused longest. */
  readonly #entries = new Map<string, Entry<T>>()
  readonly #retired = new Set<Entry<T>>()
  readonly #waiting: (() => void)[] = []
  #closed = false
  #opened = 0
  #evicted = 0

  constructor(options: ConnectionRegistryOptions) {
    this.#options = options
  }

  /**
   * A lease on the connection of a key, opened if need be.
   *
   * @throws POOL_EXHAUSTED, CONNECTION_CLOSED, and what `open` throws
   */
  async acquire(key: string, version: string, open: () => Promise<T>): Promise<ConnectionLease<T>> {
    const deadline = Date.now() + this.#options.waitMs
    for (;;) {
      if (this.#closed) throw new ConnectionClosedError(key)
      const existing = this.#entries.get(key)
      if (existing !== undefined && existing.version === version) return this.#lease(existing)
      if (existing !== undefined) this.#retire(existing)
      if (this.#makeRoom()) return this.#lease(this.#open(key, version, open))
      await this.#slot(deadline)
    }
  }

  /** Takes a key out: its connection is closed when its last lease ends, and nobody gets it any more. */
  invalidate(key: string): void {
    const entry = this.#entries.get(key)
    if (entry !== undefined) this.#retire(entry)
  }

  statistics(): ConnectionRegistryStatistics {
    let inUse = 0
    for (const entry of [...this.#entries.values(), ...this.#retired]) inUse += entry.leases
    return {
      open: this.#entries.size + this.#retired.size,
      inUse,
      waiting: this.#waiting.length,
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
    this.#waiting.splice(0).forEach(wake => wake())
    await Promise.all(entries.map(entry => closeQuietly(entry)))
  }

  #open(key: string, version: string, open: () => Promise<T>): Entry<T> {
    this.#opened++
    const entry: Entry<T> = { key, version, connection: open(), leases: 0, retired: false }
    this.#entries.set(key, entry)
    // A failed opening must not stay: the next one tries again.
    entry.connection.catch(() => {
      if (this.#entries.get(key) === entry) this.#entries.delete(key)
      this.#retired.delete(entry)
      this.#wake()
    })
    return entry
  }

  /** The lease is counted before anything is awaited, so that a new entry cannot evict itself. */
  async #lease(entry: Entry<T>): Promise<ConnectionLease<T>> {
    entry.leases++
    if (!entry.retired) {
      this.#entries.delete(entry.key)
      this.#entries.set(entry.key, entry)
    }
    let released = false
    const release = () => {
      if (released) return
      released = true
      entry.leases--
      if (entry.leases === 0 && entry.retired) this.#discard(entry)
      this.#wake()
    }
    try {
      return { connection: await entry.connection, release }
    } catch (error) {
      release()
      throw error
    }
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

  /** Everyone looks again, in order: one of them may take the slot, and others find the key that it opened. */
  #wake(): void {
    this.#waiting.splice(0).forEach(wake => wake())
  }

  async #slot(deadline: number): Promise<void> {
    const left = deadline - Date.now()
    if (left <= 0) throw new PoolExhaustedError(this.#options.waitMs)
    await new Promise<void>((resolve, reject) => {
      const wake = () => {
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(wake), 1)
        reject(new PoolExhaustedError(this.#options.waitMs))
      }, left)
      this.#waiting.push(wake)
    })
  }
}

async function closeQuietly<T extends Closable>(entry: Entry<T>): Promise<void> {
  // A connection that never opened, or breaks while it closes, leaves nothing to close.
  await entry.connection.then(connection => connection.close(true)).catch(() => undefined)
}
