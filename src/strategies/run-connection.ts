/**
 * The connection as one run hands it out: it lasts as long as the run, works in its tenant alone, and leads to no pool.
 *
 * The pool behind it belongs to all schema tenants, or to all runs of one database tenant. What is kept of it after the run (a connection,
 * its Kysely, a transaction) is refused before anything is sent, and so is a transaction that another tenant began.
 */
import { Kysely } from '@mikro-orm/sql'
import type { ConnectionInternals, DrivenConnection, TransactionalOptions } from '../connections/internals.ts'
import { CrossTenantEntityError } from '../errors.ts'
import type { PinnedTo } from './pinned-query-builder.ts'
import { RunKyselyDriver } from './run-kysely.ts'

/** The tenant that began a transaction, by id. */
const beganBy = new WeakMap<object, string>()

type Arguments<Name extends keyof ConnectionInternals> = ConnectionInternals[Name] extends (...args: infer Given) => unknown ? Given : never

export class RunConnection {
  readonly #target: ConnectionInternals
  readonly #run: PinnedTo
  #client: Kysely<unknown> | undefined
  #kyselyDriver: RunKyselyDriver | undefined
  /** Transactions that were begun by hand: a run that ends takes them with it. */
  readonly #begun = new Set<object>()
  #ended = false

  constructor(target: ConnectionInternals, run: PinnedTo) {
    this.#target = target
    this.#run = run
  }

  async execute(...args: Arguments<'execute'>): Promise<unknown> {
    this.#admit(args[3])
    return this.#target.execute(...args)
  }

  async *stream(...args: Arguments<'stream'>): AsyncIterableIterator<unknown> {
    this.#admit(args[2])
    yield* this.#target.stream(...args)
  }

  async executeDump(dump: string): Promise<void> {
    this.#admit()
    await this.#target.executeDump(dump)
  }

  async callRoutine(...args: Arguments<'callRoutine'>): Promise<unknown> {
    this.#admit(args[2])
    return this.#target.callRoutine(...args)
  }

  async begin(options: TransactionalOptions = {}): Promise<object> {
    this.#admit(options.ctx)
    const transaction = this.#own(await this.#target.begin(options))
    // A savepoint ends with the transaction that it stands in.
    if (options.ctx == null) this.#begun.add(transaction)
    // The run may have ended while the connection was waited for: its end did not see this transaction.
    if (this.#ended) this.end()
    this.#run.assertActive()
    return transaction
  }

  async commit(...args: Arguments<'commit'>): Promise<void> {
    this.#admit(args[0])
    await this.#target.commit(...args)
    this.#begun.delete(args[0] as object)
  }

  async rollback(...args: Arguments<'rollback'>): Promise<void> {
    this.#admit(args[0])
    await this.#target.rollback(...args)
    this.#begun.delete(args[0] as object)
  }

  /** Rolls back what is open: the run has ended. */
  end(): void {
    this.#ended = true
    // A connection that is gone has rolled back already.
    for (const transaction of this.#begun) this.#target.rollback(transaction).catch(() => undefined)
    this.#begun.clear()
    this.#kyselyDriver?.end()
  }

  async transactional<T>(work: (transaction: object) => Promise<T>, options: TransactionalOptions = {}): Promise<T> {
    this.#admit(options.ctx)
    return this.#target.transactional(transaction => work(this.#own(transaction)), options)
  }

  async ensureConnection(): Promise<void> {
    this.#admit()
    await this.#target.ensureConnection()
  }

  async checkConnection(): Promise<unknown> {
    this.#admit()
    return this.#target.checkConnection()
  }

  async isConnected(): Promise<boolean> {
    this.#admit()
    return this.#target.isConnected()
  }

  getPlatform(): unknown {
    return this.#target.getPlatform()
  }

  /** Kysely of this run: its own, so that it is refused when it is kept. */
  getClient(): Kysely<unknown> {
    this.#admit()
    this.#kyselyDriver ??= new RunKyselyDriver((this.#target as DrivenConnection).kyselyDriver(), this.#run)
    this.#client ??= new Kysely(dialectOf(this.#target, this.#kyselyDriver))
    return this.#client
  }

  connect(): Promise<never> {
    return Promise.reject(this.#refusal('connect'))
  }

  close(): Promise<never> {
    return Promise.reject(this.#refusal('close'))
  }

  initClient(): Promise<never> {
    return Promise.reject(this.#refusal('initClient'))
  }

  getNativeClient(): Promise<never> {
    return Promise.reject(this.#refusal('getNativeClient'))
  }

  createKysely(): never {
    throw this.#refusal('createKysely')
  }

  createKyselyDialect(): never {
    throw this.#refusal('createKyselyDialect')
  }

  getConnectionOptions(): never {
    throw this.#refusal('getConnectionOptions')
  }

  mapOptions(): never {
    throw this.#refusal('mapOptions')
  }

  setMetadata(): never {
    throw this.#refusal('setMetadata')
  }

  setPlatform(): never {
    throw this.#refusal('setPlatform')
  }

  /** @throws NO_TENANT_CONTEXT, CROSS_TENANT_ENTITY */
  #admit(transaction?: unknown): void {
    this.#run.assertActive()
    if (transaction == null || beganBy.get(transaction) === this.#run.tenant.id) return
    throw new CrossTenantEntityError(
      `A transaction that tenant "${this.#run.tenant.slug}" did not begin is used while it is active.`,
      'Begin it with em().transactional(work) or em().begin() in the run that uses it.',
    )
  }

  #own<T extends object>(transaction: T): T {
    beganBy.set(transaction, this.#run.tenant.id)
    return transaction
  }

  #refusal(method: string): CrossTenantEntityError {
    return new CrossTenantEntityError(
      `${method}() of a connection concerns its pool, and the pool is not tenant "${this.#run.tenant.slug}"'s alone.`,
      'Use em().execute(…), em().getKysely() or em().transactional(…); tenancy.close() closes the pools.',
    )
  }
}

/** A Kysely over the pool of another one. */
function dialectOf(target: ConnectionInternals, driver: RunKyselyDriver) {
  const shared = target.getClient() as Kysely<unknown>
  const executor = () => shared.getExecutor()
  const introspector = shared.introspection.constructor as new (db: unknown) => Kysely<unknown>['introspection']
  return {
    dialect: {
      createDriver: () => driver as never,
      createAdapter: () => executor().adapter,
      createQueryCompiler: () => ({ compileQuery: (node: never, queryId: never) => executor().compileQuery(node, queryId) }),
      createIntrospector: (db: unknown) => new introspector(db),
    },
  }
}
