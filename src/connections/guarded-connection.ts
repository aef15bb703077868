/**
 * A connection pool to one database that fails closed.
 *
 * It refuses statements that name the sentinel schema (a tenant's table without a tenant), it never comes back to life after it was
 * closed (the stock one reconnects with the ORM's base configuration, which is another database), and it turns PostgreSQL's answer to
 * an unqualified name into the error that says what is missing.
 */
import type { Configuration } from '@mikro-orm/postgresql'
import { ConnectionClosedError, NoTenantContextError, PoolExhaustedError, SqlRefusedError, TenancyError } from '../errors.ts'
import { beginClock } from '../context/clock.ts'
import { executeBound, NO_TENANT_SCHEMA } from './bound-statement.ts'
import type { ConnectionBudget } from './connection-budget.ts'
import { governPool, type GovernablePool, type GovernedPool } from './governed-pool.ts'
import { BaseConnection, type ConnectionSettings, type TransactionalOptions } from './internals.ts'
import type { AccountOptions } from './pool-account.ts'
import { refusedStartUp } from './search-path.ts'

/** The pool options this framework sets; units are milliseconds. */
export interface PoolSettings {
  readonly max: number
  readonly idleTimeoutMillis: number
  /** How long a request waits for a free connection before `POOL_EXHAUSTED`. */
  readonly connectionTimeoutMillis: number
  /** After this time a connection is replaced, since a backend's catalog cache grows with the tenants it has seen. 0 keeps it. */
  readonly maxLifetimeSeconds: number
}

/** What puts a pool under a budget; the server and the size are the pool's own. */
export interface Governance extends Omit<AccountOptions, 'server' | 'max'> {
  readonly budget: ConnectionBudget
}

/** The part of a Kysely driver that is guarded; its methods are replaced in place because its state is private. */
interface KyselyDriver {
  acquireConnection(...args: unknown[]): Promise<KyselyConnection>
  destroy(): Promise<void>
}
interface KyselyConnection {
  executeQuery(...args: unknown[]): Promise<unknown>
  streamQuery(...args: unknown[]): AsyncIterableIterator<unknown>
}
interface KyselyDialect {
  createDriver(): KyselyDriver
}

const guarded = new WeakSet<object>()

export class GuardedConnection extends BaseConnection {
  readonly #key: string
  readonly #waitMilliseconds: number
  readonly #server: string
  readonly #max: number
  #closed = false
  #governance: Governance | undefined
  #governed: GovernedPool | undefined
  #driver: KyselyDriver | undefined

  constructor(config: Configuration, options?: ConnectionSettings, type?: 'read' | 'write') {
    super(config, options, type)
    const settings = (this.options.driverOptions ?? this.config.get('driverOptions')) as Partial<PoolSettings> | undefined
    this.#key = this.options.name ?? this.options.dbName ?? 'control plane'
    this.#waitMilliseconds = settings?.connectionTimeoutMillis ?? 0
    this.#server = `${this.options.host ?? 'localhost'}:${this.options.port ?? 5432}`
    this.#max = settings?.max ?? 10
  }

  /** Whether it was closed; it stays so. */
  get closed(): boolean {
    return this.#closed
  }

  /** Puts its pool under a budget; before its first use. */
  govern(governance: Governance): void {
    this.#governance = governance
  }

  /** @throws CONNECTION_CLOSED */
  override async connect(options?: { skipOnConnect?: boolean }): Promise<void> {
    this.#assertOpen()
    await super.connect(options)
  }

  /** @throws CONNECTION_CLOSED */
  override getClient(): unknown {
    this.#assertOpen()
    return super.getClient()
  }

  /** What its Kysely is driven by, for one that is another's view of the same pool. @throws CONNECTION_CLOSED */
  kyselyDriver(): KyselyDriver {
    this.getClient()
    return this.#driver!
  }

  override async close(force?: boolean): Promise<void> {
    this.#closed = true
    this.#governed?.close()
    await super.close(force)
    // Kysely ends the pool of a driver that it began itself alone: those of runs may have used this one, and it not once.
    await this.#driver?.destroy()
  }

  /** What is written in a transaction carries one instant. */
  override async begin(options?: TransactionalOptions): Promise<object> {
    return beginClock(await super.begin(options), options?.ctx)
  }

  /** @throws NO_TENANT_CONTEXT if the statement names a tenant's table without a tenant. */
  override prepareQuery(query: unknown, params?: readonly unknown[]): { query: string } {
    this.#assertOpen()
    const prepared = super.prepareQuery(query, params)
    if (prepared.query.includes(NO_TENANT_SCHEMA)) throw new NoTenantContextError()
    return prepared
  }

  /** @throws CONNECTION_CLOSED, NO_TENANT_CONTEXT if the statement names a tenant's table without a tenant. */
  async executeBound(sql: string, values: readonly unknown[], transaction?: unknown, abort?: object): Promise<unknown> {
    this.#assertOpen()
    return executeBound(this, sql, values, transaction, abort)
  }

  /** @throws NO_TENANT_CONTEXT if the text names a tenant's table without a tenant. */
  override async executeDump(dump: string): Promise<void> {
    this.#assertOpen()
    if (dump.includes(NO_TENANT_SCHEMA)) throw new NoTenantContextError()
    await super.executeDump(dump)
  }

  override createKyselyDialect(overrides: Record<string, unknown>): object {
    const { onPoolCreated, ...rest } = overrides as { onPoolCreated?: (pool: unknown) => void }
    const dialect = super.createKyselyDialect({
      ...rest,
      onPoolCreated: (pool: unknown) => {
        this.#governed = this.#governance && this.#govern(pool as GovernablePool, this.#governance)
        onPoolCreated?.(pool)
      },
    })
    const target = dialect as KyselyDialect
    const createDriver = target.createDriver.bind(target)
    target.createDriver = () => (this.#driver = this.#guardDriver(createDriver()))
    return dialect
  }

  #assertOpen(): void {
    if (this.#closed) throw new ConnectionClosedError(this.#key)
  }

  #guardDriver(driver: KyselyDriver): KyselyDriver {
    const acquire = driver.acquireConnection.bind(driver)
    driver.acquireConnection = async (...args) => {
      this.#assertOpen()
      const signal = (args[0] as { signal?: AbortSignal } | undefined)?.signal
      const asked = this.#governed === undefined ? acquire(...args) : this.#governed.withSignal(signal, () => acquire(...args))
      const connection = await asked.catch((error: unknown) => {
        // Whoever gave up has an answer already, and Kysely would print what comes after it.
        if (signal?.aborted === true) return new Promise<never>(() => undefined)
        throw this.#translate(error)
      })
      if (!guarded.has(connection)) this.#guardQueries(connection)
      return connection
    }
    return driver
  }

  #govern(pool: GovernablePool, { budget, ...share }: Governance): GovernedPool {
    return governPool(pool, budget, { ...share, server: this.#server, max: this.#max })
  }

  #guardQueries(connection: KyselyConnection): void {
    guarded.add(connection)
    const execute = connection.executeQuery.bind(connection)
    connection.executeQuery = async (...args) => {
      assertLeavesNothing((args[0] as { readonly sql: unknown }).sql)
      return execute(...args).catch((error: unknown) => {
        throw this.#translate(error)
      })
    }
    const stream = connection.streamQuery.bind(connection)
    const translate = (error: unknown): Error => this.#translate(error)
    connection.streamQuery = async function* (...args) {
      try {
        yield* stream(...args)
      } catch (error) {
        throw translate(error)
      }
    }
  }

  #translate(error: unknown): Error {
    if (error instanceof TenancyError) return error
    const { code, message } = error as { code?: string; message?: string }
    if (code === undefined && message !== undefined && /timeout exceeded when trying to connect|connection timeout/i.test(message)) {
      return new PoolExhaustedError(this.#waitMilliseconds, error)
    }
    // 42P01 undefined_table, 42883 undefined_function: https://www.postgresql.org/docs/current/errcodes-appendix.html
    if (code === '42P01' && isUnqualified(message ?? '')) {
      return new NoTenantContextError(
        'Raw SQL names a table without its schema, and the search_path is empty on purpose.',
        'Qualify the table, or use the EntityManager: it writes the schema of the active tenant itself.',
        error,
      )
    }
    return refusedStartUp(error) ?? (error instanceof Error ? error : new Error(String(error)))
  }
}

/** What would stay in the session for whoever has the connection next; what ends with the transaction may be set. */
const LEAVES_SOMETHING = /^\s*(?:set(?!\s+(?:local|constraints|transaction)\b)|reset|discard|listen|unlisten|prepare)\s/i

/** Looks at the beginning alone: it stops mistakes, and costs nothing that could be measured. @throws SQL_REFUSED */
function assertLeavesNothing(sql: unknown): void {
  if (typeof sql !== 'string' || !LEAVES_SOMETHING.test(sql)) return
  throw new SqlRefusedError(
    `The statement "${/^\s*\w+\s+\w*/.exec(sql)![0].trim()} …", which outlives the transaction on a connection that others use next,`,
    'Write set local inside em().transactional(…).',
  )
}

/** PostgreSQL quotes the name as it was written: `relation "invoice" does not exist` against `relation "acme.invoice" does not exist`. */
function isUnqualified(message: string): boolean {
  const name = /"([^"]*)"/.exec(message)?.[1]
  return name !== undefined && !name.includes('.')
}
