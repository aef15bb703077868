/**
 * The members of MikroORM 7.2.1 that this framework overrides, typed by the part it uses.
 *
 * Some are private or internal in the published typings. They are named in this one file, so that an upgrade has one place to look at;
 * `test/connections/internals.test.ts` fails when one of them is gone.
 */
import { PostgreSqlConnection, QueryBuilder, type Configuration, type EntityManager, type EntityMetadata } from '@mikro-orm/postgresql'
import { AbstractSqlDriver } from '@mikro-orm/sql'

/** What a connection is configured by. */
export interface ConnectionSettings {
  readonly name?: string
  readonly dbName?: string
  readonly host?: string
  readonly port?: number
  readonly user?: string
  readonly password?: string
  readonly driverOptions?: Readonly<Record<string, unknown>>
}

export interface ConnectionInternals {
  readonly config: Configuration
  readonly options: ConnectionSettings
  connect(options?: { skipOnConnect?: boolean }): Promise<void>
  ensureConnection(): Promise<void>
  close(force?: boolean): Promise<void>
  getClient(): unknown
  prepareQuery(query: unknown, params?: readonly unknown[]): { query: string }
  executeDump(dump: string): Promise<void>
  begin(options?: TransactionalOptions): Promise<object>
  commit(transaction: unknown, ...rest: unknown[]): Promise<void>
  rollback(transaction: unknown, ...rest: unknown[]): Promise<void>
  transactional<T>(work: (transaction: object) => Promise<T>, options?: TransactionalOptions): Promise<T>
  execute(
    query: unknown,
    params?: readonly unknown[],
    method?: 'all' | 'get' | 'run',
    transaction?: unknown,
    logging?: object,
  ): Promise<unknown>
  /** Runs a query and logs it. */
  executeQuery<T>(query: string, work: () => Promise<T>, logging: object): Promise<T>
  transformRawResult(result: unknown, method: 'all' | 'get' | 'run'): unknown
  stream(query: unknown, params?: readonly unknown[], transaction?: unknown, ...rest: unknown[]): AsyncIterableIterator<unknown>
  callRoutine(routine: unknown, args?: unknown, transaction?: unknown): Promise<unknown>
  checkConnection(): Promise<unknown>
  isConnected(): Promise<boolean>
  getPlatform(): unknown
  createKyselyDialect(overrides: Record<string, unknown>): object
  setMetadata(metadata: unknown): void
  setPlatform(platform: unknown): void
}

/** The options of a transaction, as far as they are read here. */
export interface TransactionalOptions {
  /** The transaction that this one is a savepoint of. */
  readonly ctx?: unknown
}

/** A driver of Kysely. */
export interface KyselyDriver {
  init(...args: unknown[]): Promise<void>
  acquireConnection(...args: unknown[]): Promise<PooledConnection>
  beginTransaction(connection: PooledConnection, settings: unknown): Promise<void>
  commitTransaction(connection: PooledConnection): Promise<void>
  rollbackTransaction(connection: PooledConnection): Promise<void>
  savepoint(connection: PooledConnection, ...how: readonly unknown[]): Promise<void>
  rollbackToSavepoint(connection: PooledConnection, ...how: readonly unknown[]): Promise<void>
  releaseSavepoint(connection: PooledConnection, ...how: readonly unknown[]): Promise<void>
  releaseConnection(connection: PooledConnection): Promise<void>
}

/** A connection that a driver of Kysely gives out. */
export interface PooledConnection {
  executeQuery(...args: unknown[]): Promise<unknown>
  streamQuery(...args: unknown[]): AsyncIterableIterator<unknown>
  cancelQuery(...args: unknown[]): Promise<void>
  killSession(...args: unknown[]): Promise<void>
  collectSessionInfo(...args: unknown[]): Promise<void>
}

/** A connection that sends the values of a statement beside it. */
export interface BindingConnection {
  /** The statement numbers its parameters, `$1` and so on. */
  executeBound(sql: string, values: readonly unknown[], transaction?: unknown, abort?: object): Promise<unknown>
}

/** A connection that hands out what its Kysely is driven by. */
export interface DrivenConnection extends ConnectionInternals, BindingConnection {
  kyselyDriver(): unknown
}

export const BaseConnection = PostgreSqlConnection as unknown as new (
  config: Configuration,
  options?: ConnectionSettings,
  type?: 'read' | 'write',
) => ConnectionInternals

/** What a driver's schema may be asked for. */
export interface SchemaOptions {
  readonly schema?: string | null | undefined
  readonly parentSchema?: string | undefined
}

/** A query builder, as far as pinning it to a schema needs. */
export interface QueryBuilderInternals {
  readonly type: string
  readonly mainAlias: { readonly meta: EntityMetadata }
  readonly driver: DriverInternals
  readonly em?: EntityManager
  /** The transaction it was made for. */
  context?: unknown
  readonly state: {
    /** What it writes, by column. */
    readonly data?: unknown
    readonly joins: Readonly<
      Record<string, { readonly schema?: string; readonly prop: { readonly name: string; readonly targetMeta?: EntityMetadata } }>
    >
  }
  toQuery(): { readonly sql: string; readonly params: readonly unknown[] }
  getNativeQuery(...args: unknown[]): unknown
  andWhere(condition: object): unknown
  withSchema(schema?: string): QueryBuilderInternals
  clone(...args: unknown[]): QueryBuilderInternals
  from(...args: unknown[]): unknown
  select(...args: unknown[]): unknown
  where(condition: object): unknown
  returning(fields: readonly string[]): unknown
  insert(...args: unknown[]): unknown
  insertFrom(...args: unknown[]): unknown
  onConflict(...args: unknown[]): unknown
  merge(...args: unknown[]): unknown
  update(...args: unknown[]): unknown
  delete(...args: unknown[]): unknown
  unsetFlag(flag: unknown): unknown
  truncate(...args: unknown[]): unknown
  execute(...args: unknown[]): Promise<QueryResult>
}

/** What a statement that writes answers. */
export interface QueryResult {
  readonly affectedRows: number
  readonly insertId?: unknown
  readonly row?: Record<string, unknown>
  readonly rows?: readonly Record<string, unknown>[]
}

/** The options of a write that its builder is told. */
export interface BuilderOptions {
  readonly loggerContext?: unknown
  readonly unionWhere?: readonly unknown[]
}

export const BaseQueryBuilder = QueryBuilder as unknown as new (
  entityName: unknown,
  metadata: unknown,
  driver: unknown,
  transaction?: unknown,
  alias?: string,
  type?: 'read' | 'write',
  em?: unknown,
  loggerContext?: unknown,
) => QueryBuilderInternals

/** The options that MikroORM hands to its driver, as far as they are read here. */
export interface DriverOptions extends SchemaOptions {
  readonly ctx?: unknown
  readonly em?: { readonly id: number; getTransactionSessionContext(): unknown }
  readonly limit?: number
  readonly logging?: object
}

export interface DriverInternals {
  readonly config: Configuration
  readonly metadata: { find(entityName: unknown): EntityMetadata | undefined; get(entityName: unknown): EntityMetadata }
  readonly connection: ConnectionInternals
  getMetadata(): unknown
  getPlatform(): { quoteIdentifier(name: string): string; quoteValue(value: unknown): string }
  getConnection(type?: 'read' | 'write'): ConnectionInternals
  getTableName(meta: EntityMetadata, options: SchemaOptions): string
  renderPartialIndexWhere(entityName: unknown, where: unknown): string
  applyUnionWhere(meta: EntityMetadata, where: object, options: unknown, forWrite: boolean): Promise<object>
  getSchemaName(meta?: EntityMetadata, options?: SchemaOptions): string | undefined
  createEntityManager(useContext?: boolean): EntityManager
  createQueryBuilder(
    entityName: unknown,
    transaction?: unknown,
    type?: 'read' | 'write',
    convertCustomTypes?: boolean,
    loggerContext?: unknown,
    alias?: string,
    em?: unknown,
  ): QueryBuilderInternals
  resolveConnectionType(asked: { readonly ctx?: unknown; readonly connectionType?: 'read' | 'write' | undefined }): 'read' | 'write'
  joinedProps(meta: EntityMetadata, populate: readonly { field: string }[], options?: unknown): { field: string }[]
  createQueryBuilderFromOptions(meta: EntityMetadata, where: object, options: object): Promise<QueryBuilderInternals>
  mapResult(row: unknown, meta: EntityMetadata): unknown
  rethrow<T>(promise: Promise<T>): Promise<T>
  find(entityName: unknown, where: unknown, options?: DriverOptions): Promise<unknown[]>
  findOne(entityName: unknown, where: unknown, options?: DriverOptions): Promise<unknown>
  count(entityName: unknown, where: unknown, options?: DriverOptions): Promise<number>
  stream(entityName: unknown, where: unknown, options: DriverOptions): AsyncIterableIterator<unknown>
  execute(
    query: unknown,
    params?: readonly unknown[],
    method?: string,
    transaction?: unknown,
    logger?: unknown,
    connection?: ConnectionInternals,
  ): Promise<unknown>
  nativeInsert(entityName: unknown, ...rest: unknown[]): Promise<unknown>
  nativeInsertMany(entityName: unknown, ...rest: unknown[]): Promise<unknown>
  nativeUpdate(entityName: unknown, ...rest: unknown[]): Promise<unknown>
  nativeUpdateMany(entityName: unknown, ...rest: unknown[]): Promise<unknown>
  nativeDelete(entityName: unknown, ...rest: unknown[]): Promise<unknown>
  nativeClone(entityName: unknown, ...rest: unknown[]): Promise<unknown>
  syncCollections(collections: Iterable<unknown>, options?: { readonly ctx?: unknown }): Promise<void>
  connect(options?: unknown): Promise<unknown>
  reconnect(options?: unknown): Promise<unknown>
  setMetadata(metadata: unknown): void
  close(force?: boolean): Promise<void>
}

export const BaseDriver = AbstractSqlDriver as unknown as abstract new (
  config: Configuration,
  platform: unknown,
  connection: unknown,
  dependencies: readonly string[],
) => DriverInternals
