/** The one ORM of the running application: all entities, the control plane's pool, and drivers for tenants derived from it. */
import { LoadStrategy, MikroORM, type EntityManager, type EventSubscriber, type MetadataStorage } from '@mikro-orm/postgresql'
import { AuditSubscriber } from '../audit/audit-subscriber.ts'
import { touchParentTables } from '../audit/audit-fields.ts'
import { refuseWrongPolicies } from '../audit/policies.ts'
import { refuseWrongRelations, type ClassifiedEntities } from '../classification/classify.ts'
import { planeOf } from '../classification/scope.ts'
import type { ControlDriver } from '../connections/control-driver.ts'
import { ConnectionBudget, type BudgetOptions, type ConnectionStatistics } from '../connections/connection-budget.ts'
import { NO_TENANT_SCHEMA } from '../connections/bound-statement.ts'
import { GuardedConnection, type PoolSettings } from '../connections/guarded-connection.ts'
import type { ConnectionInternals } from '../connections/internals.ts'
import { RoleConnection } from '../connections/role-connection.ts'
import { poolOptions, settingsOf, type Opening } from '../connections/settings.ts'
import { WaitingRoom, type WaitingRoomOptions, type WaitingStatistics } from '../connections/waiting-room.ts'
import { currentContext, type TenantRef } from '../context/context.ts'
import { reserveConnection, type ReservedConnection } from '../context/unit.ts'
import { HistorySubscriber } from '../history/flush-recording.ts'
import type { Identifier } from '../naming.ts'
import { ReadingControlDriver } from './reading-control-driver.ts'
import { RecordingControlDriver } from './recording-control-driver.ts'
import { RunEvents } from './run-events.ts'
import { TenantDriver } from './tenant-driver.ts'
import { TenantEntityManager } from './tenant-entity-manager.ts'
import { TenantGuard } from './tenant-guard.ts'
import { TenantResultCache } from './tenant-result-cache.ts'

export interface RuntimeOrmOptions {
  readonly entities: ClassifiedEntities
  readonly url: string
  readonly pool: PoolSettings
  /** Whether `url` leads through a pooler in transaction mode. */
  readonly pooled: boolean
  /** The application's own subscribers. */
  readonly subscribers?: readonly EventSubscriber[] | undefined
  /** What all pools together may open, and how long and how many wait. */
  readonly limits: BudgetOptions & WaitingRoomOptions
}

/** What is open now and happened so far: connections, and those who wait for one. */
export interface OrmStatistics {
  /** The control plane's pool, which schema tenants share. */
  readonly shared: ConnectionStatistics & WaitingStatistics
  /** All pools of tenants that have databases of their own; those included who wait for such a pool. */
  readonly connections: ConnectionStatistics & WaitingStatistics
  /** Open connections by `host:port`. */
  readonly servers: Readonly<Record<string, number>>
}

export class RuntimeOrm {
  readonly #orm: MikroORM
  readonly #events: RunEvents
  readonly #budget: ConnectionBudget
  readonly #sharedRoom: WaitingRoom
  /** Where those wait who want a database tenant's pool, or a connection of one. Those of schema tenants have a room of their own. */
  readonly databaseRoom: WaitingRoom

  private constructor(orm: MikroORM, limits: RuntimeOrmOptions['limits']) {
    this.#orm = orm
    this.#budget = new ConnectionBudget(limits)
    this.#sharedRoom = new WaitingRoom(limits)
    this.databaseRoom = new WaitingRoom(limits)
    const connection = this.#driver().connection as GuardedConnection
    // A tenant with many requests has its turn as often as one with few.
    connection.govern({ budget: this.#budget, room: this.#sharedRoom, aside: true, turnOf: () => currentContext()?.tenant?.id ?? '' })
    this.#events = new RunEvents(orm.config.get('subscribers') as readonly EventSubscriber[])
  }

  /** Discovers the entities; opens no connection. @throws CONFIGURATION_INVALID */
  static async create(options: RuntimeOrmOptions): Promise<RuntimeOrm> {
    const { driverOptions, ...settings } = settingsOf(options.url)
    const orm = await MikroORM.init({
      ...settings,
      driver: RecordingControlDriver,
      driverOptions: { ...poolOptions(options.pool, { pooled: options.pooled }), ...driverOptions },
      schema: NO_TENANT_SCHEMA,
      contextName: 'default',
      entities: [...options.entities.all],
      entityManager: TenantEntityManager,
      subscribers: [...(options.subscribers ?? []), new TenantGuard(), new AuditSubscriber(), new HistorySubscriber()],
      resultCache: { adapter: TenantResultCache },
      // With the default, a live row of a deleted parent would vanish from lists, and each list would join its parents.
      autoJoinRefsForFilters: false,
      allowGlobalContext: false,
      ensureDatabase: false,
      discovery: {
        afterDiscovered: (storage: MetadataStorage) => {
          refuseWrongRelations(storage)
          refuseWrongPolicies(storage)
          touchParentTables(storage.getAll().values())
          for (const meta of storage.getAll().values()) {
            if (planeOf(meta) === 'shared') continue
            // Loaded by one query by ids in both isolations: a tenant with a database of its own cannot join shared tables.
            for (const property of meta.relations)
              if (planeOf(property.targetMeta!) === 'shared') property.strategy ??= LoadStrategy.SELECT_IN
          }
        },
      },
    } as never)
    // Every pool is made from this configuration, on first use.
    orm.config.set('onReserveConnection', async connection => reserveConnection(connection as ReservedConnection))
    return new RuntimeOrm(orm as unknown as MikroORM, options.limits)
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

  /** The same pool in one role. */
  roleConnection(role: Identifier): ConnectionInternals {
    const connection = new RoleConnection(this.#orm.config, this.controlConnection(), role)
    connection.setMetadata(this.#orm.getMetadata())
    return connection
  }

  /** A pool to a database of a tenant's own; it connects when it is first used. */
  openDatabase(key: string, url: string, pool: PoolSettings, opening: Opening): GuardedConnection {
    const { driverOptions, ...settings } = settingsOf(url, `the connection of tenant ${key}`)
    const connection = new GuardedConnection(
      this.#orm.config,
      { ...settings, name: key, driverOptions: { ...poolOptions(pool, opening), ...driverOptions } },
      'write',
    )
    connection.setMetadata(this.#orm.getMetadata())
    connection.setPlatform(this.#driver().getPlatform())
    connection.govern({ budget: this.#budget, room: this.databaseRoom })
    return connection
  }

  /** An EntityManager for one run in one tenant, and the driver that ends it. */
  tenantManager(tenant: TenantRef, connection: ConnectionInternals): { readonly em: EntityManager; readonly driver: TenantDriver } {
    const driver = TenantDriver.forRun(this.#driver(), tenant, connection, this.#events)
    return { em: driver.createEntityManager(true), driver }
  }

  statistics(): OrmStatistics {
    return {
      shared: { ...this.#budget.statistics('aside'), ...this.#sharedRoom.statistics() },
      connections: { ...this.#budget.statistics('asking'), ...this.databaseRoom.statistics() },
      servers: this.#budget.servers(),
    }
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
