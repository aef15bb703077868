/**
 * The driver that tables are described, compared and changed with. The runtime's driver is another one (`connections/control-driver.ts`):
 * it has no default schema, which the schema tools cannot do without.
 */
import { EntityManager, MikroORM, PostgreSqlConnection, PostgreSqlPlatform, type Configuration } from '@mikro-orm/postgresql'
import { WILDCARD_SCHEMA } from '../classification/scope.ts'
import { BaseDriver } from '../connections/internals.ts'
import { BaseSchemaHelper, type ColumnInternals, type TableInternals } from './internals.ts'

class DdlSchemaHelper extends BaseSchemaHelper {
  readonly #visible: readonly string[]

  constructor(platform: PostgreSqlPlatform, visible: readonly string[]) {
    super(platform)
    this.#visible = visible
  }

  /**
   * Which schemas are looked into. The stock helper looks into all: a diff of the shared tables would then drop every tenant's schema, and
   * take minutes on a few hundred of them.
   */
  override getIgnoredNamespacesConditionSQL(column = 'schema_name'): string {
    return `"${column}" in (${this.#visible.map(name => this.platform.quoteValue(name)).join(', ')})`
  }

  /** A statement for each column: a sharded engine takes a column and its constraint only one by one. */
  override getAddColumnsSQL(table: TableInternals, columns: readonly unknown[]): string[] {
    return columns.flatMap(column => super.getAddColumnsSQL(table, [column]))
  }

  /** Every constraint is named, the primary key too. */
  override getPrimaryKeyConstraintPrefix(_table: TableInternals, key: { readonly keyName: string }): string {
    return `constraint ${this.platform.quoteIdentifier(key.keyName)} `
  }

  /** A tenant's enum type stands beside its tables; the stock helper would name the schema that the description was made with. */
  override createTableColumn(column: ColumnInternals, table: TableInternals, ...rest: unknown[]): string | undefined {
    return super.createTableColumn(besideTable(column), table, ...rest)
  }

  override alterTableColumn(column: ColumnInternals, ...rest: unknown[]): string[] {
    return super.alterTableColumn(besideTable(column), ...rest)
  }

  override getDropNativeEnumSQL(name: string, schema?: string): string {
    return super.getDropNativeEnumSQL(name, schema === WILDCARD_SCHEMA ? undefined : schema)
  }

  /** A tenant in a database of its own never had the foreign keys to shared tables. */
  override dropForeignKey(tableName: string, constraintName: string): string {
    return super.dropForeignKey(tableName, constraintName).replace(' drop constraint ', ' drop constraint if exists ')
  }
}

function besideTable(column: ColumnInternals): ColumnInternals {
  const prefix = `${WILDCARD_SCHEMA}.`
  return column.nativeEnumName !== undefined && column.type.startsWith(prefix)
    ? { ...column, type: column.type.slice(prefix.length) }
    : column
}

/**
 * A driver class for the schema tools.
 *
 * Tables in the home schema are written without it, all others with theirs. A tenant's home is its own schema and never `public`: so
 * references to shared tables are qualified, and the two tables of a both pair are told apart.
 *
 * @param home the schema of the tables that are described.
 * @param visible the schemas that may be looked into.
 */
export function ddlDriver(home: string, visible: readonly string[]) {
  class DdlPlatform extends PostgreSqlPlatform {
    override readonly schemaHelper = new DdlSchemaHelper(this, visible) as unknown as PostgreSqlPlatform['schemaHelper']

    override getDefaultSchemaName(): string {
      return home
    }
  }

  return class DdlDriver extends BaseDriver {
    constructor(config: Configuration) {
      super(config, new DdlPlatform(), PostgreSqlConnection, ['kysely', 'pg'])
    }

    override createEntityManager(useContext?: boolean): EntityManager {
      const Manager = this.config.get('entityManager', EntityManager) as unknown as new (...args: unknown[]) => EntityManager
      return new Manager(this.config, this, this.metadata, useContext)
    }

    getORMClass(): typeof MikroORM {
      return MikroORM
    }
  }
}
