/**
 * The connection as one run hands it out: it lasts as long as the run, works in its tenant alone, and leads to no pool.
 *
 * The pool behind it belongs to all schema tenants, or to all runs of one database tenant. What is kept of it after the run (a connection,
 * its Kysely, a transaction) is refused before anything is sent, and so is a transaction that another tenant began.
 */
import { Kysely } from '@mikro-orm/sql'
import type {
  BindingConnection,
  ConnectionInternals,
  DrivenConnection,
  KyselyDriver,
  TransactionalOptions,
} from '../connections/internals.ts'
import { beginClock } from '../context/clock.ts'
import { CrossTenantEntityError } from '../errors.ts'
import { HeldConnections } from './held-connections.ts'
import type { PinnedTo } from './pinned-query-builder.ts'

/** The tenant that began a transaction, by id. */
const beganBy = new WeakMap<object, string>()

type Arguments<Name extends keyof ConnectionInternals> = ConnectionInternals[Name] extends (...args: infer Given) => unknown ? Given : never

export class RunConnection {
  readonly #target: ConnectionInternals
  readonly #run: PinnedTo
  /** Streams that are being read outside of a transaction. */
  readonly #streams = new Set<AsyncIterator<unknown>>()
  #client: Kysely<unknown> | undefined
  #held: HeldConnections | undefined
  #transacting: ConnectionInternals | undefined

  constructor(target: ConnectionInternals, run: PinnedTo) {
    this.#target = target
    this.#run = run
  }

  async execute(...args: Arguments<'execute'>): Promise<unknown> {
    this.#admit(args[3])
    return this.#target.execute(...args)
  }

  async executeBound(...args: Parameters<BindingConnection['executeBound']>): Promise<unknown> {
    this.#admit(args[2])
    return (this.#target as DrivenConnection).executeBound(...args)
  }

  async *stream(...args: Arguments<'stream'>): AsyncIterableIterator<unknown> {
    this.#admit(args[2])
    const rows = this.#target.stream(...args)
    this.#streams.add(rows)
    try {
      yield* rows
    } finally {
      this.#streams.delete(rows)
    }
    // Closed by the end of the run: that is not the end of the rows.
    this.#run.assertActive()
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
    const begin = Reflect.get(this.#target, 'begin') as (...args: unknown[]) => Promise<object>
    return this.#own(await begin.call(this.#overOwnClient(), options), options)
  }

  async commit(...args: Arguments<'commit'>): Promise<void> {
    this.#admit(args[0])
    await this.#target.commit(...args)
  }

  async rollback(...args: Arguments<'rollback'>): Promise<void> {
    this.#admit(args[0])
    await this.#target.rollback(...args)
  }

  async transactional<T>(work: (transaction: object) => Promise<T>, options: TransactionalOptions = {}): Promise<T> {
    // It begins with `begin` above, which asks who may.
    const transactional = Reflect.get(this.#target, 'transactional') as (...args: unknown[]) => Promise<T>
    return transactional.call(this.#overOwnClient(), work, options)
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
    return this.#ownClient()
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

  /** Gives back whatever the run has taken: streams are closed, transactions rolled back. */
  end(): void {
    for (const rows of this.#streams) void rows.return?.().catch(() => undefined)
    this.#streams.clear()
    this.#held?.end()
  }

  #ownClient(): Kysely<unknown> {
    if (this.#client === undefined) {
      this.#held = new HeldConnections((this.#target as DrivenConnection).kyselyDriver() as KyselyDriver, this.#run)
      this.#client = new Kysely(dialectOf(this.#target, this.#held))
    }
    return this.#client
  }

  /** MikroORM's own way to begin a transaction, on the run's own Kysely: what it hands out ends with the run. */
  #overOwnClient(): ConnectionInternals {
    return (this.#transacting ??= new Proxy(this.#target, {
      get: (target, name) => {
        if (name === 'getClient') return () => this.#ownClient()
        if (name === 'begin') return (options?: TransactionalOptions) => this.begin(options)
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    }))
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

  #own<T extends object>(transaction: T, { ctx }: TransactionalOptions): T {
    beganBy.set(transaction, this.#run.tenant.id)
    return beginClock(transaction, ctx)
  }

  #refusal(method: string): CrossTenantEntityError {
    return new CrossTenantEntityError(
      `${method}() of a connection concerns its pool, and the pool is not tenant "${this.#run.tenant.slug}"'s alone.`,
      'Use em().execute(…), em().getKysely() or em().transactional(…); tenancy.close() closes the pools.',
    )
  }
}

/** A Kysely like that of another connection, which gives connections to the run alone, and closes nothing. */
function dialectOf(target: ConnectionInternals, held: HeldConnections) {
  const shared = target.getClient() as Kysely<unknown>
  const executor = () => shared.getExecutor()
  const introspector = shared.introspection.constructor as new (db: unknown) => Kysely<unknown>['introspection']
  return {
    dialect: {
      createDriver: () => held as never,
      createAdapter: () => executor().adapter,
      createQueryCompiler: () => ({ compileQuery: (node: never, queryId: never) => executor().compileQuery(node, queryId) }),
      createIntrospector: (db: unknown) => new introspector(db),
    },
  }
}
