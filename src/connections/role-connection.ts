/**
 * The shared pool in one PostgreSQL role: whatever is sent through it runs with the rights of that role alone.
 *
 * The role is set with `SET LOCAL`, so that it ends with the transaction and a pooled connection never keeps it. A statement outside of a
 * transaction goes in one message with it, which PostgreSQL runs as one transaction: that costs no round trip. Statements with parameters
 * of their own (Kysely's) and streams get a transaction around them.
 */
import pg from 'pg'
import type { Configuration } from '@mikro-orm/postgresql'
import { ConfigurationError, CrossTenantEntityError, NoTenantContextError, TenancyError } from '../errors.ts'
import { quoteIdentifier, type Identifier } from '../naming.ts'
import { executeBound, NO_TENANT_SCHEMA } from './bound-statement.ts'
import { BaseConnection, type ConnectionInternals, type DrivenConnection } from './internals.ts'
import { assertSingleStatement } from './single-statement.ts'

// The part of Kysely 0.29 that is used.
interface Compiled {
  readonly sql: string
  readonly parameters: readonly unknown[]
  readonly query: unknown
  readonly queryId: { readonly queryId: string }
}
interface Connection {
  executeQuery(compiled: Compiled, options?: unknown): Promise<unknown>
  streamQuery(compiled: Compiled, chunkSize?: number, options?: unknown): AsyncIterableIterator<unknown>
  cancelQuery?(...args: unknown[]): Promise<void>
  killSession?(...args: unknown[]): Promise<void>
  collectSessionInfo?(...args: unknown[]): Promise<void>
}
interface Executor {
  readonly adapter: unknown
  compileQuery(node: unknown, queryId: unknown): unknown
  provideConnection<T>(consumer: (connection: Connection) => Promise<T>, options?: unknown): Promise<T>
}
interface Client {
  readonly introspection: object
  executeQuery(compiled: Compiled, options?: unknown): Promise<unknown>
  getExecutor(): Executor
}
interface TransactionSettings {
  readonly isolationLevel?: string
  readonly accessMode?: string
}

/** The shared pool as one role sees it. */
interface RoleOn {
  readonly shared: ConnectionInternals
  readonly role: Identifier
}

export class RoleConnection extends BaseConnection implements DrivenConnection {
  readonly #on: RoleOn
  /** What statements outside of a transaction are sent through. */
  readonly #statements: Pick<Client, 'executeQuery'>

  constructor(config: Configuration, shared: ConnectionInternals, role: Identifier) {
    super(config, { name: role }, 'write')
    const on: RoleOn = { shared, role }
    this.#on = on
    this.#statements = {
      executeQuery: async (compiled, options) => {
        assertSingleStatement(compiled.sql)
        return clientOf(shared)
          .executeQuery(inRole(compiled, role), options)
          .catch((error: unknown) => {
            throw refusal(error, role)
          })
      },
    }
  }

  override ensureConnection(): Promise<void> {
    return this.#on.shared.ensureConnection()
  }

  override async connect(): Promise<void> {
    await this.#on.shared.ensureConnection()
  }

  /** Nothing of its own is open; the pool is everyone's. */
  override close(): Promise<void> {
    return Promise.resolve()
  }

  /** @throws CROSS_TENANT_ENTITY: the pool itself bears no role. */
  getNativeClient(): Promise<never> {
    return Promise.reject(
      new CrossTenantEntityError(
        'In strict mode a tenant does not reach the pool itself: its connections bear no role.',
        'Use em().execute(…), em().getKysely() or em().getConnection().execute(…).',
      ),
    )
  }

  /** @throws NO_TENANT_CONTEXT if the statement names a tenant's table without a tenant. */
  override prepareQuery(query: unknown, params?: readonly unknown[]): { query: string } {
    const prepared = super.prepareQuery(query, params)
    if (prepared.query.includes(NO_TENANT_SCHEMA)) throw new NoTenantContextError()
    return prepared
  }

  override execute(...[query, params, method, transaction, ...rest]: Parameters<ConnectionInternals['execute']>): Promise<unknown> {
    return super.execute(query, params, method, transaction ?? this.#statements, ...rest)
  }

  executeBound(sql: string, values: readonly unknown[], transaction?: unknown, abort?: object): Promise<unknown> {
    return executeBound(this, sql, values, transaction, abort)
  }

  /** What a Kysely of one's own is made over: it gives connections in the role, and closes nothing. */
  kyselyDriver(): RoleDriver {
    return new RoleDriver(this.#on)
  }

  /** Of Kysely: everything but the driver is the shared client's. */
  override createKyselyDialect(): object {
    const on = this.#on
    const executor = () => clientOf(on.shared).getExecutor()
    return {
      createDriver: () => this.kyselyDriver(),
      createAdapter: () => executor().adapter,
      createQueryCompiler: () => ({ compileQuery: (node: unknown, queryId: unknown) => executor().compileQuery(node, queryId) }),
      createIntrospector: (db: unknown) => new (clientOf(on.shared).introspection.constructor as new (db: unknown) => unknown)(db),
    }
  }
}

/** A Kysely driver over connections of the shared pool. */
class RoleDriver {
  readonly #on: RoleOn

  constructor(on: RoleOn) {
    this.#on = on
  }

  init(): Promise<void> {
    return this.#on.shared.ensureConnection()
  }

  async acquireConnection(options?: unknown): Promise<BoundConnection> {
    let release = () => {}
    const inUse = new Promise<void>(resolve => (release = resolve))
    let returned: Promise<void> | undefined
    const connection = await new Promise<Connection>((resolve, reject) => {
      returned = clientOf(this.#on.shared)
        .getExecutor()
        .provideConnection(async shared => {
          resolve(shared)
          await inUse
        }, options)
        .catch(reject)
    })
    return new BoundConnection(connection, this.#on.role, () => {
      release()
      return returned!
    })
  }

  async beginTransaction(connection: BoundConnection, { isolationLevel, accessMode }: TransactionSettings): Promise<void> {
    const how = `${isolationLevel === undefined ? '' : ` isolation level ${isolationLevel}`}${accessMode === undefined ? '' : ` ${accessMode}`}`
    try {
      await connection.begin(how === '' ? 'begin' : `start transaction${how}`)
    } catch (error) {
      // Kysely does not give back a connection whose transaction did not begin.
      await connection.release()
      throw error
    }
  }

  commitTransaction(connection: BoundConnection): Promise<void> {
    return connection.end('commit')
  }

  rollbackTransaction(connection: BoundConnection): Promise<void> {
    return connection.end('rollback')
  }

  savepoint(connection: BoundConnection, name: string): Promise<void> {
    return connection.send(`savepoint ${quoted(name)}`)
  }

  rollbackToSavepoint(connection: BoundConnection, name: string): Promise<void> {
    return connection.send(`rollback to ${quoted(name)}`)
  }

  releaseSavepoint(connection: BoundConnection, name: string): Promise<void> {
    return connection.send(`release ${quoted(name)}`)
  }

  releaseConnection(connection: BoundConnection): Promise<void> {
    return connection.release()
  }

  destroy(): Promise<void> {
    return Promise.resolve()
  }
}

/** A connection of the shared pool while it is held. */
class BoundConnection implements Connection {
  readonly #shared: Connection
  readonly #role: Identifier
  readonly release: () => Promise<void>
  #inTransaction = false

  constructor(shared: Connection, role: Identifier, release: () => Promise<void>) {
    this.#shared = shared
    this.#role = role
    this.release = release
  }

  async executeQuery(compiled: Compiled): Promise<unknown> {
    assertSingleStatement(compiled.sql)
    if (this.#inTransaction) return this.#query(compiled)
    if (compiled.parameters.length === 0) return this.#query(inRole(compiled, this.#role))
    await this.begin('begin')
    try {
      const result = await this.#query(compiled)
      await this.end('commit')
      return result
    } catch (error) {
      await this.#rollback()
      throw error
    }
  }

  /** A cursor lives in a transaction; the caller may leave it in the middle. */
  async *streamQuery(compiled: Compiled, chunkSize?: number, options?: unknown): AsyncIterableIterator<unknown> {
    assertSingleStatement(compiled.sql)
    const own = !this.#inTransaction
    if (own) await this.begin('begin')
    let whole = false
    try {
      yield* this.#shared.streamQuery(compiled, chunkSize, options)
      whole = true
      if (own) await this.end('commit')
    } catch (error) {
      whole = false
      throw refusal(error, this.#role)
    } finally {
      if (own && !whole) await this.#rollback()
    }
  }

  /** Begins a transaction and takes the role, in one message. What fails leaves no transaction behind. */
  async begin(how: string): Promise<void> {
    try {
      await this.send(`${how}; ${setRole(this.#role)}`)
      this.#inTransaction = true
    } catch (error) {
      await this.#rollback()
      throw error
    }
  }

  async end(how: 'commit' | 'rollback'): Promise<void> {
    this.#inTransaction = false
    await this.send(how)
  }

  async send(sql: string): Promise<void> {
    await this.#query(compiledOf(sql))
  }

  cancelQuery(...args: unknown[]): Promise<void> {
    return this.#shared.cancelQuery!(...args)
  }

  killSession(...args: unknown[]): Promise<void> {
    return this.#shared.killSession!(...args)
  }

  collectSessionInfo(...args: unknown[]): Promise<void> {
    return this.#shared.collectSessionInfo!(...args)
  }

  #query(compiled: Compiled): Promise<unknown> {
    return this.#shared.executeQuery(compiled).catch((error: unknown) => {
      throw refusal(error, this.#role)
    })
  }

  /** Twice: a cancellation that comes late hits the first one. A connection that is gone has rolled back already. */
  async #rollback(): Promise<void> {
    await this.end('rollback')
      .catch(() => this.end('rollback'))
      .catch(() => undefined)
  }
}

/**
 * A statement behind the role in one message. PostgreSQL answers such a message with a result for each statement, and the last is the one
 * asked for; the pool's connection hands on what it awaits, hence a query that can be awaited.
 */
class RoleStatement extends pg.Query {
  readonly #answer: Promise<unknown>

  constructor(text: string) {
    let settle: (error: Error | null | undefined, result: unknown) => void = () => {}
    const answer = new Promise((resolve, reject) => {
      settle = (error, result) => (error ? reject(error) : resolve(Array.isArray(result) ? result.at(-1) : result))
    })
    // It may fail before anyone awaits it.
    answer.catch(() => undefined)
    super({ text }, (error: Error | null | undefined, result: unknown) => settle(error, result))
    this.#answer = answer
  }

  // oxlint-disable-next-line unicorn/no-thenable
  then<T, E>(resolve?: (result: unknown) => T, reject?: (error: unknown) => E): Promise<T | E> {
    return this.#answer.then(resolve as never, reject as never)
  }
}

function inRole(compiled: Compiled, role: Identifier): Compiled {
  return { ...compiled, sql: new RoleStatement(`${setRole(role)}; ${compiled.sql}`) as unknown as string }
}

function setRole(role: Identifier): string {
  return `set local role ${quoteIdentifier(role)}`
}

function compiledOf(sql: string): Compiled {
  return { sql, parameters: [], query: { kind: 'RawNode' }, queryId: { queryId: 'mikro-tenantkit' } }
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

function clientOf(connection: ConnectionInternals): Client {
  return connection.getClient() as Client
}

const UNUSABLE_HINT = 'Run: npx tenantkit migrate. It makes the roles and rights that strict mode needs.'

/** PostgreSQL's refusals, said in terms of tenants. The role's own name stands only in answers about the role itself. */
function refusal(error: unknown, role: Identifier): unknown {
  if (!(error instanceof Error) || error instanceof TenancyError) return error
  const { code } = error as { code?: string }
  // 42501 insufficient_privilege, 22023 invalid_parameter_value: https://www.postgresql.org/docs/current/errcodes-appendix.html
  if ((code === '22023' || code === '42501') && error.message.includes(`"${role}"`))
    return new ConfigurationError([`The role "${role}", in which strict mode runs, cannot be used: ${error.message}.`], UNUSABLE_HINT)
  if (code !== '42501') return error
  return new CrossTenantEntityError(
    `PostgreSQL refused SQL to the role "${role}" of the active tenant: ${error.message}.`,
    "In strict mode a tenant reaches its own schema, and reads shared tables. To work in another tenant, open a run there. If it is the tenant's own table, run: npx tenantkit migrate.",
    error,
  )
}
