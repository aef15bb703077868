/** The one ORM of the running application: all entities, the control plane's pool, and drivers for tenants derived from it. */
import { LoadStrategy, MikroORM, type EntityManager, type MetadataStorage } from '@mikro-orm/postgresql'
import { SoftDeleteSubscriber } from '../audit/soft-delete.ts'
import { refuseWrongRelations, type ClassifiedEntities } from '../classification/classify.ts'
import { planeOf } from '../classification/scope.ts'
import { ControlDriver } from '../connections/control-driver.ts'
import { GuardedConnection, NO_TENANT_SCHEMA, type PoolSettings, type PoolStatistics } from '../connections/guarded-connection.ts'
import type { ConnectionInternals } from '../connections/internals.ts'
import { poolOptions, settingsOf } from '../connections/settings.ts'
import type { TenantRef } from '../context/context.ts'
import { ReadingControlDriver } from './reading-control-driver.ts'
import { TenantDriver } from './tenant-driver.ts'
import { TenantEntityManager } from './tenant-entity-manager.ts'
import { TenantGuard } from './tenant-guard.ts'
import { TenantResultCache } from './tenant-result-cache.ts'

export interface RuntimeOrmOptions {
  readonly entities: ClassifiedEntities
  readonly url: string
  readonly pool: PoolSettings
}

export class RuntimeOrm {
  readonly #orm: MikroORM

  private constructor(orm: MikroORM) {
    this.#orm = orm
  }

  /** Discovers the entities; opens no connection. @throws CONFIGURATION_INVALID */
  static async create(options: RuntimeOrmOptions): Promise<RuntimeOrm> {
    const { driverOptions, ...settings } = settingsOf(options.url)
    const orm = await MikroORM.init({
      ...settings,
      driver: ControlDriver,
      driverOptions: { ...poolOptions(options.pool), ...driverOptions },
      schema: NO_TENANT_SCHEMA,
      contextName: 'default',
      entities: [...options.entities.all],
      entityManager: TenantEntityManager,
      subscribers: [new TenantGuard(), new SoftDeleteSubscriber()],
      resultCache: { adapter: TenantResultCache },
      // With the default, a live row of a deleted parent would vanish from lists, and each list would join its parents.
      autoJoinRefsForFilters: false,
      allowGlobalContext: false,
      ensureDatabase: false,
      discovery: {
        afterDiscovered: (storage: MetadataStorage) => {
          refuseWrongRelations(storage)
          for (const meta of storage.getAll().values()) {
            if (planeOf(meta) === 'shared') continue
            // Loaded by one query by ids in both isolations: a tenant with a database of its own cannot join shared tables.
            for (const property of meta.relations)
              if (planeOf(property.targetMeta!) === 'shared') property.strategy ??= LoadStrategy.SELECT_IN
          }
        },
      },
    } as never)
    return new RuntimeOrm(orm as unknown as MikroORM)
  }

  /** The entities as they were discovered. */
  metadata(): MetadataStorage {
    return this.#orm.getMetadata()
  }

  /** An EntityManager of the control plane, which inherits no tenant and no transaction of one. */
  control(): EntityManager {
    return this.#orm.em.fork({ disableContextResolution: true })
  }

  /** The same for reading only: every write is refused with `FORBIDDEN`. */
  readingControl(): EntityManager {
    return ReadingControlDriver.over(this.#driver()).createEntityManager(false)
  }

  /** The control plane's own pool, which schema tenants share. */
  controlConnection(): ConnectionInternals {
    return this.#driver().connection
  }

  /** A pool to a database of a tenant's own. */
  openDatabase(key: string, url: string, pool: PoolSettings): GuardedConnection {
    const { driverOptions, ...settings } = settingsOf(url, `the connection of tenant ${key}`)
    const connection = new GuardedConnection(
      this.#orm.config,
      { ...settings, name: key, driverOptions: { ...poolOptions(pool), ...driverOptions } },
      'write',
    )
    connection.setMetadata(this.#orm.getMetadata())
    connection.setPlatform(this.#driver().getPlatform())
    return connection
  }

  /** An EntityManager for one run in one tenant, and the driver that ends it. */
  tenantManager(tenant: TenantRef, connection: ConnectionInternals): { readonly em: EntityManager; readonly driver: TenantDriver } {
    const driver = TenantDriver.forRun(this.#driver(), tenant, connection)
    return { em: driver.createEntityManager(true), driver }
  }

  statistics(): PoolStatistics {
    const connection = this.controlConnection()
    return connection instanceof GuardedConnection ? connection.statistics() : { open: 0, idle: 0, waiting: 0 }
  }

  async ping(): Promise<void> {
    await this.control().execute('select 1')
  }

  async close(): Promise<void> {
    await this.#orm.close(true)
  }

  #driver(): ControlDriver {
    return this.#orm.driver as unknown as ControlDriver
  }
}
