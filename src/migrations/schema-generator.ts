/** MikroORM's schema tools, bound to one set of tables. */
import type { EntityMetadata } from '@mikro-orm/postgresql'
import type { DatabaseSchema } from '@mikro-orm/sql'
import { planeOf, type Plane } from '../classification/scope.ts'
import { ConfigurationError } from '../errors.ts'
import { BaseSchemaGenerator, type DiffOptions, type Extension, type ExtensionHost, type SchemaGeneratorInternals } from './internals.ts'

/**
 * The schema tools for one plane: they see its tables and no others, whatever flags they are called with.
 *
 * The stock tools would forget the shared table of a both pair, since they choose by the name of the table; these choose by the entity.
 */
export function schemaGenerator(plane: Plane): Extension {
  return class SchemaGenerator extends BaseSchemaGenerator {
    static register(orm: ExtensionHost): void {
      orm.config.registerExtension('@mikro-orm/schema-generator', () => new SchemaGenerator(orm.em))
    }

    override getOrderedMetadata(_schema?: string, _includeWildcardSchema?: boolean): EntityMetadata[] {
      // All tables are asked for: the shared ones by no schema, the tenants' by the wildcard.
      return super.getOrderedMetadata(undefined, true).filter(meta => planeOf(meta) === plane)
    }

    override prepareSchemaForComparison(options: DiffOptions): Promise<{ fromSchema: DatabaseSchema; toSchema: DatabaseSchema }> {
      // In place: the stock method leaves its defaults in the same object, for its caller.
      options.includeWildcardSchema = true
      return super.prepareSchemaForComparison(options)
    }

    /** Connects. The stock one creates a missing database: a misspelt URL would become one. */
    override async ensureDatabase(): Promise<boolean> {
      return false
    }

    override create(): Promise<void> {
      return refuse('create')
    }

    override update(): Promise<void> {
      return refuse('update')
    }

    override drop(): Promise<void> {
      return refuse('drop')
    }

    override clear(): Promise<void> {
      return refuse('clear')
    }

    override dropDatabase(): Promise<void> {
      return refuse('drop the database')
    }
  }
}

/** The schema tools of an ORM. */
export function schemaGeneratorOf(orm: { readonly config: { getExtension(name: string): unknown } }): SchemaGeneratorInternals {
  return orm.config.getExtension('@mikro-orm/schema-generator') as SchemaGeneratorInternals
}

function refuse(what: string): Promise<never> {
  return Promise.reject(
    new ConfigurationError(
      [`The schema tools may not ${what} here: tables change by migrations only.`],
      'Use migration:create and migration:up.',
    ),
  )
}
