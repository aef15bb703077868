/**
 * What the Kysely of one run is driven by: a transaction that it leaves open is rolled back at the run's end.
 *
 * A transaction of Kysely holds its connection itself, and asks nobody before it uses it: one that is kept would go on with a connection that
 * the pool has given to another tenant by then. Hence each connection is wrapped for as long as it is out of its pool.
 */
import type { KyselyConnection, KyselyDriver } from '../connections/internals.ts'
import { NoTenantContextError } from '../errors.ts'
import type { PinnedTo } from './pinned-query-builder.ts'

export class RunKyselyDriver implements KyselyDriver {
  readonly #driver: KyselyDriver
  readonly #run: PinnedTo
  readonly #open = new Set<HeldConnection>()

  constructor(driver: KyselyDriver, run: PinnedTo) {
    this.#driver = driver
    this.#run = run
  }

  async init(...rest: unknown[]): Promise<void> {
    await this.#driver.init(...rest)
  }

  /** @throws NO_TENANT_CONTEXT, CROSS_TENANT_ENTITY */
  async acquireConnection(...args: unknown[]): Promise<HeldConnection> {
    this.#run.assertActive()
    return new HeldConnection(await this.#driver.acquireConnection(...args))
  }

  async beginTransaction(held: HeldConnection, ...rest: unknown[]): Promise<void> {
    await this.#driver.beginTransaction(held.connection, ...rest)
    this.#open.add(held)
  }

  async commitTransaction(held: HeldConnection): Promise<void> {
    held.assertOut()
    await this.#driver.commitTransaction(held.connection)
    this.#open.delete(held)
  }

  /** After the run has ended there is nothing left to roll back: its end did. */
  async rollbackTransaction(held: HeldConnection): Promise<void> {
    if (this.#open.delete(held)) await this.#driver.rollbackTransaction(held.connection)
  }

  async savepoint(held: HeldConnection, ...rest: unknown[]): Promise<void> {
    held.assertOut()
    await this.#driver.savepoint(held.connection, ...rest)
  }

  async rollbackToSavepoint(held: HeldConnection, ...rest: unknown[]): Promise<void> {
    held.assertOut()
    await this.#driver.rollbackToSavepoint(held.connection, ...rest)
  }

  async releaseSavepoint(held: HeldConnection, ...rest: unknown[]): Promise<void> {
    held.assertOut()
    await this.#driver.releaseSavepoint(held.connection, ...rest)
  }

  /** Once: Kysely does it too for what the end of the run gave back. */
  async releaseConnection(held: HeldConnection, ...rest: unknown[]): Promise<void> {
    if (held.giveBack()) await this.#driver.releaseConnection(held.connection, ...rest)
  }

  /** The pool is not the run's to close. */
  destroy(): Promise<void> {
    return Promise.resolve()
  }

  /** Rolls back what is open. */
  end(): void {
    for (const held of this.#open) {
      // A connection that is gone has rolled back already.
      void this.rollbackTransaction(held)
        .catch(() => undefined)
        .then(() => this.releaseConnection(held))
        .catch(() => undefined)
    }
  }
}

/** A connection while it is out of its pool for a run. */
class HeldConnection implements KyselyConnection {
  readonly connection: KyselyConnection
  #isBack = false

  constructor(connection: KyselyConnection) {
    this.connection = connection
  }

  /** @throws NO_TENANT_CONTEXT after it went back: it is another's by now. */
  assertOut(): void {
    if (!this.#isBack) return
    throw new NoTenantContextError(
      'A transaction of Kysely is used after its connection went back to the pool.',
      'Use it inside the callback or the run that began it, or begin another one.',
    )
  }

  /** Whether it was out. */
  giveBack(): boolean {
    const wasOut = !this.#isBack
    this.#isBack = true
    return wasOut
  }

  async executeQuery(...args: unknown[]): Promise<unknown> {
    this.assertOut()
    return this.connection.executeQuery(...args)
  }

  async *streamQuery(...args: unknown[]): AsyncIterableIterator<unknown> {
    this.assertOut()
    yield* this.connection.streamQuery(...args)
  }

  async cancelQuery(...args: unknown[]): Promise<void> {
    await this.connection.cancelQuery?.(...args)
  }

  async killSession(...args: unknown[]): Promise<void> {
    await this.connection.killSession?.(...args)
  }

  async collectSessionInfo(...args: unknown[]): Promise<void> {
    await this.connection.collectSessionInfo?.(...args)
  }
}
