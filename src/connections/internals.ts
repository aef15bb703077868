/**
 * The members of MikroORM 7.2.1 that this framework overrides, typed by the part it uses.
 *
 * Some are private or internal in the published typings. They are named in this one file, so that an upgrade has one place to look at;
 * `test/connections/internals.test.ts` fails when one of them is gone.
 */
import { PostgreSqlConnection, type Configuration, type EntityManager, type EntityMetadata } from '@mikro-orm/postgresql'
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
  rollback(transaction: unknown): Promise<void>
  execute(query: unknown, params?: readonly unknown[], method?: 'all' | 'get' | 'run', transaction?: unknown): Promise<unknown>
  createKyselyDialect(overrides: Record<string, unknown>): object
  setMetadata(metadata: unknown): void
  setPlatform(platform: unknown): void
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
  readonly state: {
    readonly joins: Readonly<
      Record<string, { readonly schema?: string; readonly prop: { readonly name: string; readonly targetMeta?: EntityMetadata } }>
    >
  }
  toQuery(): unknown
  getNativeQuery(...args: unknown[]): unknown
  andWhere(condition: object): unknown
  withSchema(schema?: string): QueryBuilderInternals
  clone(...args: unknown[]): QueryBuilderInternals
  from(...args: unknown[]): unknown
  insert(...args: unknown[]): unknown
  update(...args: unknown[]): unknown
  delete(...args: unknown[]): unknown
  truncate(...args: unknown[]): unknown
}

/** The options that MikroORM hands to its driver, as far as they are read here. */
export interface DriverOptions extends SchemaOptions {
  readonly ctx?: unknown
  readonly em?: unknown
}

export interface DriverInternals {
  readonly config: Configuration
  readonly metadata: { find(entityName: unknown): EntityMetadata | undefined; get(entityName: unknown): EntityMetadata }
  readonly connection: ConnectionInternals
  getMetadata(): unknown
  getPlatform(): unknown
  getConnection(type?: 'read' | 'write'): ConnectionInternals
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
  joinedProps(meta: EntityMetadata, populate: readonly { field: string }[], options?: unknown): { field: string }[]
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
  close(force?: boolean): Promise<void>
}

export const BaseDriver = AbstractSqlDriver as unknown as abstract new (
  config: Configuration,
  platform: unknown,
  connection: unknown,
  dependencies: readonly string[],
) => DriverInternals
