/**
 * The members of MikroORM 7.2.1's schema tools that migrations override, typed by the part they use.
 *
 * Many are private in the published typings. They are named in this one file, so that an upgrade has one place to look at;
 * `test/migrations/internals.test.ts` fails when one of them is gone.
 */
import { Migrator as StockMigrator, TSMigrationGenerator, type Migration } from '@mikro-orm/migrations'
import {
  MikroORM,
  type PostgreSqlPlatform,
  type Configuration,
  type EntityManager,
  type EntityMetadata,
  type MetadataStorage,
  type Transaction,
} from '@mikro-orm/postgresql'
import { PostgreSqlSchemaHelper, SqlSchemaGenerator, type DatabaseSchema } from '@mikro-orm/sql'
import type { DriverInternals } from '../connections/internals.ts'

/** A table as the schema tools see it. */
export interface TableInternals {
  readonly name: string
  readonly schema: string | undefined
  getQuotedName(): string
}

export interface ColumnInternals {
  readonly name: string
  readonly type: string
  readonly nativeEnumName?: string
}

export interface SchemaHelperInternals {
  readonly platform: PostgreSqlPlatform
  getIgnoredNamespacesConditionSQL(column?: string): string
  getAddColumnsSQL(table: TableInternals, columns: readonly unknown[]): string[]
  getPrimaryKeyConstraintPrefix(table: TableInternals, key: { readonly keyName: string }): string
  createTableColumn(column: ColumnInternals, table: TableInternals, ...rest: unknown[]): string | undefined
  alterTableColumn(column: ColumnInternals, ...rest: unknown[]): string[]
  getDropNativeEnumSQL(name: string, schema?: string): string
  dropForeignKey(tableName: string, constraintName: string): string
}

export const BaseSchemaHelper = PostgreSqlSchemaHelper as unknown as new (platform: PostgreSqlPlatform) => SchemaHelperInternals

/** What a diff is made from and with. */
export interface DiffOptions {
  readonly wrap?: boolean
  readonly schema?: string
  readonly dropTables?: boolean
  readonly fromSchema?: DatabaseSchema
  includeWildcardSchema?: boolean
}

export interface SchemaGeneratorInternals {
  readonly config: Configuration
  getOrderedMetadata(schema?: string, includeWildcardSchema?: boolean): EntityMetadata[]
  getTargetSchema(schema?: string, includeWildcardSchema?: boolean): DatabaseSchema
  prepareSchemaForComparison(options: DiffOptions): Promise<{ fromSchema: DatabaseSchema; toSchema: DatabaseSchema }>
  getUpdateSchemaMigrationSQL(options?: DiffOptions): Promise<{ up: string; down: string }>
  getUpdateSchemaSQL(options?: DiffOptions): Promise<string>
  ensureDatabase(): Promise<boolean>
  create(options?: unknown): Promise<void>
  update(options?: unknown): Promise<void>
  drop(options?: unknown): Promise<void>
  clear(options?: unknown): Promise<void>
  dropDatabase(name?: string): Promise<void>
}

export const BaseSchemaGenerator = SqlSchemaGenerator as unknown as new (manager: EntityManager) => SchemaGeneratorInternals

/** What the stock command line passes to `up` and `down`. */
export interface MigrateOptions {
  readonly from?: string | number
  readonly to?: string | number
  readonly migrations?: readonly string[]
  readonly schema?: string
}

export interface MigrationInfo {
  readonly name: string
  readonly path?: string
}

export interface MigrationRow {
  readonly name: string
  readonly executed_at: Date
}

/** The answer of `create`; nothing was written when `diff.up` is empty. */
export interface CreatedMigration {
  readonly fileName: string
  readonly code: string
  readonly diff: { readonly up: string[]; readonly down: string[] }
}

export interface MigratorInternals {
  readonly em: EntityManager
  readonly config: Configuration
  readonly driver: DriverInternals
  create(path?: string, blank?: boolean, initial?: boolean, name?: string): Promise<CreatedMigration>
  createInitial(path?: string, name?: string, blank?: boolean): Promise<CreatedMigration>
  getSchemaDiff(blank: boolean, initial: boolean): Promise<{ up: string[]; down: string[] }>
  checkSchema(): Promise<boolean>
  hasSnapshot(): Promise<boolean>
  getSchemaFromSnapshot(): Promise<DatabaseSchema | undefined>
  storeCurrentSchema(schema?: DatabaseSchema): Promise<void>
  up(options?: string | readonly string[] | MigrateOptions): Promise<MigrationInfo[]>
  down(options?: string | readonly string[] | MigrateOptions): Promise<MigrationInfo[]>
  getPending(options?: { schema?: string }): Promise<MigrationInfo[]>
  getExecuted(options?: { schema?: string }): Promise<MigrationRow[]>
  rollup(migrations?: string[]): Promise<CreatedMigration>
  logMigration(name: string): Promise<void>
  unlogMigration(name: string): Promise<void>
}

export const BaseMigrator = StockMigrator as unknown as new (manager: EntityManager) => MigratorInternals

export interface FileGeneratorInternals {
  readonly options: { path?: string; fileName: (timestamp: string, name?: string) => string }
  generate(diff: { up: string[]; down: string[] }, path?: string, name?: string): Promise<[string, string]>
  generateMigrationFile(className: string, diff: { up: string[]; down: string[] }): string
}

export const BaseFileGenerator = TSMigrationGenerator as unknown as new (
  driver: unknown,
  namingStrategy: unknown,
  options: unknown,
) => FileGeneratorInternals

/** What an extension registers itself at: an ORM that is being made. */
export interface ExtensionHost {
  readonly em: EntityManager
  readonly config: { registerExtension(name: string, make: () => unknown): void }
}

/** A class for MikroORM's option `extensions`. */
export interface Extension {
  register(orm: ExtensionHost): void
}

/** A migration's class, as the runner makes it. */
export type MigrationClass = new (driver: unknown, config: unknown) => Migration

/** A connection's transactions; the stock typings bind them to Kysely. */
export interface TransactionalConnection {
  transactional<T>(work: (transaction: Transaction) => Promise<T>): Promise<T>
}

/** An ORM whose EntityManager is made by a method of its own, so that a subclass can leave the entities' prototypes alone. */
export interface OrmInternals {
  em: EntityManager
  readonly config: Configuration
  readonly driver: DriverInternals & { setMetadata(metadata: MetadataStorage): void }
  getMetadata(): MetadataStorage
  createEntityManager(): void
  close(force?: boolean): Promise<void>
}

export const BaseOrm = MikroORM as unknown as (new (options: unknown) => OrmInternals) & { init(options: unknown): Promise<OrmInternals> }
