/**
 * The driver of the control plane. It cannot reach a tenant's table, whatever schema it is told.
 *
 * Every way of MikroORM from an entity to SQL asks the driver for the schema (`getSchemaName`) or for a query builder; both are refused
 * here for tenant entities. Tenants are reached through drivers derived from this one (`strategies/tenant-driver.ts`), each of which knows
 * exactly one schema.
 */
import {
  EntityManager,
  ExceptionConverter,
  MikroORM,
  PostgreSqlPlatform,
  type Configuration,
  type DriverException,
  type EntityMetadata,
} from '@mikro-orm/postgresql'
import { NoTenantContextError, TenancyError } from '../errors.ts'
import { GuardedConnection } from './guarded-connection.ts'
import { BaseDriver, type DriverInternals, type QueryBuilderInternals, type SchemaOptions } from './internals.ts'

/** Lets this framework's errors through, which the stock converter would wrap. */
class TransparentExceptionConverter extends ExceptionConverter {
  readonly #inner: ExceptionConverter

  constructor(inner: ExceptionConverter) {
    super()
    this.#inner = inner
  }

  override convertException(exception: Error): DriverException {
    if (exception instanceof TenancyError) return exception as unknown as DriverException
    return this.#inner.convertException(exception as DriverException)
  }
}

/** No default schema: every table is written with its schema, `public` included, so that the search_path can be empty. */
export class QualifiedPlatform extends PostgreSqlPlatform {
  readonly #converter = new TransparentExceptionConverter(super.getExceptionConverter())

  override getDefaultSchemaName(): string | undefined {
    return undefined
  }

  override getExceptionConverter(): ExceptionConverter {
    return this.#converter
  }
}

/** Whether the table of an entity stands in tenants. */
export function isTenantTable(meta: EntityMetadata | undefined): boolean {
  return meta !== undefined && (meta.root ?? meta).schema === '*'
}

export class ControlDriver extends BaseDriver {
  constructor(config: Configuration) {
    super(config, new QualifiedPlatform(), GuardedConnection, ['kysely', 'pg'])
  }

  override createEntityManager(useContext?: boolean): EntityManager {
    const Manager = this.config.get('entityManager', EntityManager) as unknown as new (...args: unknown[]) => EntityManager
    return new Manager(this.config, this, this.metadata, useContext)
  }

  getORMClass(): typeof MikroORM {
    return MikroORM
  }

  /** @throws NO_TENANT_CONTEXT for every tenant entity. */
  override getSchemaName(meta?: EntityMetadata, options?: SchemaOptions): string | undefined {
    if (isTenantTable(meta))
      throw new NoTenantContextError(`${meta!.className} is a tenant entity, and this EntityManager belongs to the control plane.`)
    return super.getSchemaName(meta, options)
  }

  /** @throws NO_TENANT_CONTEXT for every tenant entity. */
  override createQueryBuilder(...args: Parameters<DriverInternals['createQueryBuilder']>): QueryBuilderInternals {
    const builder = super.createQueryBuilder(...args)
    this.getSchemaName(builder.mainAlias.meta)
    return builder
  }
}
