/**
 * What a run has taken out of a pool: each connection works in the run alone, and goes back when the run ends, whoever keeps it.
 *
 * Kysely gives connections away (`connection().execute`, `startTransaction`, the transaction of an EntityManager): what is kept of one would
 * speak on it in the name of its tenant while another one is active, and after it went back to the pool, in the middle of others' transactions.
 */
import type { KyselyDriver, PooledConnection } from '../connections/internals.ts'
import { NoTenantContextError } from '../errors.ts'
import type { PinnedTo } from './pinned-query-builder.ts'

export class HeldConnections {
  readonly #driver: KyselyDriver
  readonly #run: PinnedTo
  readonly #held = new Set<HeldConnection>()

  constructor(driver: KyselyDriver, run: PinnedTo) {
    this.#driver = driver
    this.#run = run
  }

  init(...args: unknown[]): Promise<void> {
    return this.#driver.init(...args)
  }

  async acquireConnection(...args: unknown[]): Promise<HeldConnection> {
    this.#run.assertActive()
    const pooled = await this.#driver.acquireConnection(...args)
    const held = new HeldConnection(pooled, this.#run)
    this.#held.add(held)
    try {
      // The run may have ended while the connection was waited for.
      this.#run.assertActive()
    } catch (error) {
      await this.releaseConnection(held)
      throw error
    }
    return held
  }

  async beginTransaction(held: HeldConnection, settings: unknown): Promise<void> {
    try {
      await held.control(pooled => this.#driver.beginTransaction(pooled, settings))
    } catch (error) {
      // Kysely does not give back a connection whose transaction did not begin.
      await this.releaseConnection(held)
      throw error
    }
  }

  commitTransaction(held: HeldConnection): Promise<void> {
    return held.control(pooled => this.#driver.commitTransaction(pooled))
  }

  /** What the end of the run took has been rolled back already. */
  async rollbackTransaction(held: HeldConnection): Promise<void> {
    if (!held.isOver) await held.control(pooled => this.#driver.rollbackTransaction(pooled))
  }

  savepoint(held: HeldConnection, ...how: readonly unknown[]): Promise<void> {
    return held.control(pooled => this.#driver.savepoint(pooled, ...how))
  }

  rollbackToSavepoint(held: HeldConnection, ...how: readonly unknown[]): Promise<void> {
    return held.control(pooled => this.#driver.rollbackToSavepoint(pooled, ...how))
  }

  releaseSavepoint(held: HeldConnection, ...how: readonly unknown[]): Promise<void> {
    return held.control(pooled => this.#driver.releaseSavepoint(pooled, ...how))
  }

  async releaseConnection(held: HeldConnection): Promise<void> {
    if (!this.#held.delete(held)) return
    held.isOver = true
    await this.#driver.releaseConnection(held.pooled)
  }

  /** The pool is not the run's. */
  destroy(): Promise<void> {
    return Promise.resolve()
  }

  /** Takes back what is out, once what runs on it has come to its end: open transactions are rolled back. */
  end(): void {
    for (const held of this.#held) void this.#takeBack(held)
    this.#held.clear()
  }

  async #takeBack(held: HeldConnection): Promise<void> {
    held.isOver = true
    await held.settled()
    const rollback = (): Promise<void> => this.#driver.rollbackTransaction(held.pooled)
    // Twice: a cancellation that comes late hits the first one. A connection that is gone has rolled back already.
    await rollback()
      .catch(rollback)
      .catch(() => undefined)
    await this.#driver.releaseConnection(held.pooled)
  }
}

/** One connection while the run has it. */
class HeldConnection implements PooledConnection {
  readonly pooled: PooledConnection
  readonly #run: PinnedTo
  readonly #running = new Set<Promise<unknown>>()
  readonly #streams = new Set<AsyncIterator<unknown>>()
  /** Whether it went back to the pool, or is about to. */
  isOver = false

  constructor(pooled: PooledConnection, run: PinnedTo) {
    this.pooled = pooled
    this.#run = run
  }

  executeQuery(...args: unknown[]): Promise<unknown> {
    return this.control(pooled => {
      this.#run.assertActive()
      return pooled.executeQuery(...args)
    })
  }

  async *streamQuery(...args: unknown[]): AsyncIterableIterator<unknown> {
    this.#assertHeld()
    this.#run.assertActive()
    const rows = this.pooled.streamQuery(...args)
    this.#streams.add(rows)
    try {
      yield* rows
    } finally {
      this.#streams.delete(rows)
    }
    this.#assertHeld()
  }

  cancelQuery(...args: unknown[]): Promise<void> {
    return this.pooled.cancelQuery(...args)
  }

  killSession(...args: unknown[]): Promise<void> {
    return this.pooled.killSession(...args)
  }

  collectSessionInfo(...args: unknown[]): Promise<void> {
    return this.pooled.collectSessionInfo(...args)
  }

  /** Does something with the connection that its end has to wait for. @throws NO_TENANT_CONTEXT after it */
  async control<T>(work: (pooled: PooledConnection) => Promise<T>): Promise<T> {
    this.#assertHeld()
    const running = work(this.pooled)
    this.#running.add(running)
    try {
      return await running
    } finally {
      this.#running.delete(running)
    }
  }

  /** Resolves when nothing runs on it any more; streams are closed. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#running, ...[...this.#streams].map(async rows => rows.return?.())])
  }

  #assertHeld(): void {
    if (!this.isOver) return
    throw new NoTenantContextError(
      `A connection or transaction of tenant "${this.#run.tenant.slug}" is used after it was given back.`,
      'Use it inside the run that took it, and await everything before the run ends.',
    )
  }
}
