/**
 * The base classes of migrations. `migration:create` writes files that extend them; an application may write such files by hand.
 */
import { Migration } from '@mikro-orm/migrations'
import type { EntityManager } from '@mikro-orm/postgresql'
import type { Isolation } from '../context/context.ts'
import { ConfigurationError } from '../errors.ts'

/** What a migration may know of the place it runs in. */
export interface MigrationPlace {
  readonly schema: string
  readonly isolation: Isolation
}

/** What a migration says of itself. */
export interface MigrationDeclarations {
  readonly online: boolean
  readonly destructive: boolean
}

/** What a migration declares; one that extends MikroORM's own class declares nothing. */
export function declarationsOf(migration: Migration): MigrationDeclarations {
  const { online, destructive } = migration as Partial<MigrationDeclarations>
  return { online: online === true, destructive: destructive === true }
}

const places = new WeakMap<Migration, MigrationPlace>()

/** Tells a migration where it runs. Called by the runner before `up` or `down`. */
export function placeMigration(migration: Migration, place: MigrationPlace): void {
  places.set(migration, place)
}

function placeOf(migration: Migration): MigrationPlace {
  const place = places.get(migration)
  if (place === undefined)
    throw new ConfigurationError([`${migration.constructor.name} was not started by this framework's migration runner.`])
  return place
}

/** What both base classes share. */
abstract class PlacedMigration extends Migration {
  /**
   * Whether the tenant may be used while this runs: the program that is deployed works before it and after it, and no lock is held for long.
   * Default false: the tenant answers 503 meanwhile. The control plane is never closed.
   */
  readonly online: boolean = false
  /** Whether it is meant that data goes. Default false: a statement that would lose some is refused. */
  readonly destructive: boolean = false
  #em: EntityManager | undefined

  /**
   * An EntityManager in the migration's transaction; tenant entities mean the tables of the tenant that is migrated.
   *
   * It applies the filters of the entities: deleted rows are hidden unless `{ filters: false }` is given.
   */
  override getEntityManager(): EntityManager {
    if (this.#em === undefined) {
      // Without a context: the EntityManager of a transaction that happens to be active around the run must not be found instead.
      this.#em = this.driver.createEntityManager(false) as unknown as EntityManager
      this.#em.schema = placeOf(this).schema
      this.#em.setTransactionContext(this.ctx!)
    }
    return this.#em
  }

  override reset(): void {
    super.reset()
    this.#em = undefined
  }

  /** @throws CONFIGURATION_INVALID unless the migration defines how it is reverted. */
  override down(): void | Promise<void> {
    throw new ConfigurationError([`The migration ${this.constructor.name} cannot be reverted: it has no down().`])
  }
}

/**
 * The base class of migrations of the shared tables, which stand in the schema `public` of the control plane.
 *
 * @example
 * export class Migration20260101120000_plans extends SharedMigration {
 *   override up(): void {
 *     this.addSql(`create table "plan" ("id" uuid not null, "code" varchar(255) not null, constraint "plan_pkey" primary key ("id"))`)
 *   }
 * }
 */
export abstract class SharedMigration extends PlacedMigration {}

/**
 * The base class of migrations of a tenant's tables.
 *
 * Names are written without a schema: the run sets the search_path to the tenant's schema, for its transaction only. Names of shared tables
 * are written with theirs (`"public"."plan"`).
 *
 * @example
 * export class Migration20260101120000_invoices extends TenantMigration {
 *   override up(): void {
 *     this.addSql(`create table "invoice" ("id" uuid not null, "plan_id" uuid not null, constraint "invoice_pkey" primary key ("id"))`)
 *     this.addSharedReference(`alter table "invoice" add constraint "invoice_plan_id_foreign" foreign key ("plan_id") references "public"."plan" ("id")`)
 *   }
 * }
 */
export abstract class TenantMigration extends PlacedMigration {
  /** The schema that is migrated now. */
  get schema(): string {
    return placeOf(this).schema
  }

  /** How the tenant that is migrated now is isolated. */
  get isolation(): Isolation {
    return placeOf(this).isolation
  }

  /**
   * Adds a statement that needs the shared tables beside the tenant's: a foreign key to one of them.
   *
   * It runs for tenants isolated by schema; a tenant with a database of its own has no shared tables there, and keeps the bare id.
   */
  addSharedReference(sql: string): void {
    if (this.isolation === 'schema') this.addSql(sql)
  }
}
