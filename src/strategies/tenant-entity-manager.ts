/** The EntityManager of this framework: in a tenant it is pinned to that tenant's schema; in the control plane it has none. */
import { EntityManager } from '@mikro-orm/postgresql'
import { currentContext } from '../context/context.ts'
import { CrossTenantEntityError, ForbiddenError } from '../errors.ts'
import { CONTROL_WRITE_PERMISSION, ReadingControlDriver } from './reading-control-driver.ts'
import { TenantDriver, tenantDriverOf } from './tenant-driver.ts'
import { assertNoForeign } from './tenant-guard.ts'

/** What MikroORM's constructor takes; named here because the subclass passes it on untouched. */
type ConstructorArguments = ConstructorParameters<typeof EntityManager>

export class TenantEntityManager extends EntityManager {
  constructor(...args: ConstructorArguments) {
    super(...args)
    const driver: unknown = args[1]
    if (driver instanceof TenantDriver) {
      // `name` is readonly in the typings; MikroORM looks transactions up by it, and runs must not find each other's.
      Object.defineProperty(this, 'name', { value: driver.contextName, enumerable: true })
      super.schema = driver.tenant.schema
    }
  }

  override get schema(): string | undefined {
    return super.schema
  }

  /** @throws CROSS_TENANT_ENTITY for any other schema than its own. */
  override set schema(schema: string | null | undefined) {
    const own = tenantDriverOf(this)?.tenant.schema
    if (schema != null && schema !== own) {
      throw new CrossTenantEntityError(
        `The schema of this EntityManager is ${own === undefined ? 'none' : `"${own}"`} and cannot become ${JSON.stringify(schema)}.`,
        'To work in another tenant, open a run there: tenancy.run(slug, work).',
      )
    }
  }

  /** What opens the connection to anything is refused to an actor who may only read. @throws FORBIDDEN */
  override getConnection(type?: 'read' | 'write'): ReturnType<EntityManager['getConnection']> {
    if (this.getDriver() instanceof ReadingControlDriver) throw new ForbiddenError(CONTROL_WRITE_PERMISSION)
    return super.getConnection(type)
  }

  override async begin(options?: Parameters<EntityManager['begin']>[0]): Promise<void> {
    await super.begin(options)
    const driver = tenantDriverOf(this)
    driver?.transactions.set(this, this.getTransactionContext())
    // The run may have ended while the connection was waited for: its end did not see this transaction.
    if (driver?.ended === true) driver.end()
    driver?.assertActive()
  }

  override async commit(): Promise<void> {
    await super.commit()
    tenantDriverOf(this)?.transactions.delete(this)
  }

  /** After the run has ended there is nothing left to roll back: its end did. */
  override async rollback(): Promise<void> {
    const driver = tenantDriverOf(this)
    if (driver?.ended === true) this.resetTransactionContext()
    else await super.rollback()
    driver?.transactions.delete(this)
  }

  /** Cached rows are kept apart by tenant, by plane, and by whether the system (which sees every row) asked. */
  override clearCache(cacheKey: string): Promise<void> {
    return super.clearCache(cacheKeyOf(this, cacheKey))
  }

  /** Before MikroORM computes anything: `onCreate` would complain of the missing actor first. */
  override async flush(): Promise<void> {
    tenantDriverOf(this)?.assertActive()
    await super.flush()
  }

  protected override prepareOptions<Options extends object>(options: Options): Options {
    tenantDriverOf(this)?.assertActive()
    return super.prepareOptions(options as never)
  }
}

/** Paths that take entities and pass a flush by: an entity of another tenant is refused there as well, and as a relation. */
for (const name of ['insert', 'insertMany', 'upsert', 'upsertMany'] as const) {
  const original = EntityManager.prototype[name] as (...args: unknown[]) => unknown
  Object.defineProperty(TenantEntityManager.prototype, name, {
    configurable: true,
    writable: true,
    value: async function (this: TenantEntityManager, ...args: unknown[]): Promise<unknown> {
      const driver = tenantDriverOf(this)
      driver?.assertActive()
      if (driver !== undefined) assertNoForeign(args.slice(0, 2), driver)
      return original.apply(this, args)
    },
  })
}

/** MikroORM's own look-up; its type parameters cannot be repeated in an override. */
const { tryCache } = EntityManager.prototype as unknown as { readonly tryCache: (this: void, ...args: unknown[]) => unknown }
Object.defineProperty(TenantEntityManager.prototype, 'tryCache', {
  configurable: true,
  writable: true,
  value(this: TenantEntityManager, entityName: unknown, config: unknown, key: unknown, ...rest: unknown[]): unknown {
    const named: unknown = Array.isArray(config) ? [cacheKeyOf(this, String(config[0])), config[1]] : config
    return Reflect.apply(tryCache, this, [entityName, named, [cacheKeyOf(this, ''), key], ...rest])
  },
})

function cacheKeyOf(manager: EntityManager, name: string): string {
  const plane = tenantDriverOf(manager) === undefined ? 'control' : 'tenant'
  return `${plane}|${currentContext()?.actor?.plane === 'system' ? 'system' : 'other'}|${name}`
}
