/** The ORMs of migrations: a bare one to run them with, and a describing one to compare tables with. */
import { Configuration, type EntityManager, type MetadataStorage } from '@mikro-orm/postgresql'
import type { AnyEntity, ClassifiedEntities } from '../classification/classify.ts'
import { snakeCase } from '../classification/entities.ts'
import { HISTORY_TABLES } from '../history/audit-event.ts'
import { SHARED_SCHEMA, TENANT_SCHEMA } from '../naming.ts'
import { ddlDriver } from './ddl-driver.ts'
import { fileGenerator } from './file-generator.ts'
import { BaseOrm, type OrmInternals } from './internals.ts'
import { Lane, databaseOf, sessionOptions } from './lanes.ts'
import { migratorClass, type Fleet } from './migrator.ts'
import type { MigrationSet } from './migration-set.ts'
import { ADMIN_SESSION_TABLE, CONTROL_TABLE } from './registry-migrations.ts'
import { TRACKING_TABLE, type RunnerOrm } from './runner.ts'
import { schemaGenerator } from './schema-generator.ts'

/** What the ORMs need to know of an application. */
export interface OrmSettings {
  readonly entities: ClassifiedEntities
  readonly frameworkEntities: readonly AnyEntity[]
  readonly metadata?: (() => MetadataStorage) | undefined
  /** Whether migration files may be written that lose data. Default false. */
  readonly allowDestructive?: boolean
}

function connectionOptions(url: string, home: string, visible: readonly string[]): Record<string, unknown> {
  return {
    driver: ddlDriver(home, visible),
    dbName: databaseOf(url),
    driverOptions: sessionOptions(url),
    // The environment variables of the stock command line would point this configuration at another database.
    preferEnvVars: false,
    ensureDatabase: false,
    discovery: { warnWhenNoEntities: false },
  }
}

/**
 * The options of an ORM over one set, for `MikroORM.init` and for the stock command line.
 *
 * @param fleet what `up`, `down` and `pending` of the stock command line work on.
 */
export function ormOptions(settings: OrmSettings, set: MigrationSet, url: string, fleet?: Fleet): Record<string, unknown> {
  return optionsAt(settings, set, url, set.plane === 'shared' ? SHARED_SCHEMA : TENANT_SCHEMA, fleet)
}

function optionsAt(settings: OrmSettings, set: MigrationSet, url: string, home: string, fleet?: Fleet): Record<string, unknown> {
  const registry = [
    CONTROL_TABLE,
    ADMIN_SESSION_TABLE,
    ...settings.frameworkEntities.map(({ meta }) => meta.tableName ?? snakeCase(meta.className)),
  ]
  return {
    ...connectionOptions(url, home, [home]),
    entities: [...settings.entities.all],
    extensions: [schemaGenerator(set.plane), migratorClass(set, fleet)],
    // The framework's own migrations create them: they are neither described nor seen in the database.
    schemaGenerator: { skipTables: [...HISTORY_TABLES, ...(set.plane === 'shared' ? registry : [])] },
    migrations: {
      path: set.folder,
      emit: 'ts',
      tableName: `${home}.${TRACKING_TABLE}`,
      snapshotName: '.snapshot',
      snapshotOnMigrate: false,
      // Without it the stock migrator makes its tracking table as soon as it is created.
      includeWildcardSchema: true,
      generator: fileGenerator(set.plane, settings.allowDestructive === true),
      silent: true,
    },
  }
}

/** An ORM that leaves the prototypes of the entities to the runtime's ORM, which may live in the same process. */
class DescribingOrm extends BaseOrm {
  override createEntityManager(): void {
    this.driver.setMetadata(this.getMetadata())
    Object.assign(this, { em: Object.assign(this.driver.createEntityManager(), { global: true }) })
  }
}

/** Works with an ORM that describes and compares the tables of a set. It connects only when it is asked to introspect. */
export async function describe<T>(
  settings: OrmSettings,
  set: MigrationSet,
  place: { readonly url: string; readonly schema?: string },
  work: (orm: OrmInternals) => Promise<T>,
): Promise<T> {
  const { url, schema } = place
  const orm = await DescribingOrm.init(schema === undefined ? ormOptions(settings, set, url) : optionsAt(settings, set, url, schema))
  try {
    return await work(orm)
  } finally {
    await orm.close(true)
  }
}

/** The ORM that migrations run with: it knows no entities until a migration asks for an EntityManager. */
export class RunningOrm implements RunnerOrm {
  readonly #settings: OrmSettings
  readonly #url: string
  readonly #orm: OrmInternals
  #entities: OrmInternals['driver'] | undefined

  constructor(settings: OrmSettings, url: string) {
    this.#settings = settings
    this.#url = url
    // At home in no shared schema, so that shared tables are qualified: a migration's search_path holds the tenant's schema alone.
    this.#orm = new BaseOrm({ ...connectionOptions(url, TENANT_SCHEMA, []), entities: [] })
  }

  get config(): OrmInternals['config'] {
    return this.#orm.config
  }

  /** A query as text, with its parameters in it. */
  format(query: unknown): string {
    return (this.#orm.driver.connection.prepareQuery(query) as { query: string; formatted: string }).formatted
  }

  lane(url: string): Lane {
    return new Lane(this.#orm.config, this.#orm.driver.getPlatform(), url)
  }

  /** A driver that shares everything but the connection, and finds the entities when an EntityManager is asked for. */
  driverOn(lane: Lane): OrmInternals['driver'] {
    const createEntityManager = (useContext?: boolean): EntityManager => {
      this.#entities ??= this.#driverWithEntities()
      return onLane(this.#entities, lane).createEntityManager(useContext)
    }
    return Object.assign(onLane(this.#orm.driver, lane), { createEntityManager })
  }

  /** With a configuration of its own: MikroORM keeps what it derives from the entities there. */
  #driverWithEntities(): OrmInternals['driver'] {
    const options = connectionOptions(this.#url, TENANT_SCHEMA, [])
    const metadata = this.#settings.metadata?.()
    if (metadata === undefined) return new BaseOrm({ ...options, entities: [...this.#settings.entities.all] }).driver
    const driver = new Configuration(options as never, false).getDriver() as unknown as OrmInternals['driver']
    driver.setMetadata(metadata)
    return driver
  }
}

function onLane(driver: OrmInternals['driver'], lane: Lane): OrmInternals['driver'] {
  return Object.assign(Object.create(driver) as OrmInternals['driver'], { connection: lane.connection, replicas: [] })
}
