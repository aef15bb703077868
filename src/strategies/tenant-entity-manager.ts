/** The EntityManager of this framework: in a tenant it is pinned to that tenant's schema; in the control plane it has none. */
import {
  EntityLoader,
  EntityManager,
  type EntityMetadata,
  type EntityName,
  type ForkOptions,
  type SessionContext,
} from '@mikro-orm/postgresql'
import type { DriverInternals } from '../connections/internals.ts'
import { upsertArguments } from '../audit/upsert-arguments.ts'
import { currentContext } from '../context/context.ts'
import { CrossTenantEntityError, ForbiddenError, SqlRefusedError } from '../errors.ts'
import { recordingFlush } from '../history/flush-recording.ts'
import { CONTROL_WRITE_PERMISSION, ReadingControlDriver } from './reading-control-driver.ts'
import { TenantDriver, tenantDriverOf } from './tenant-driver.ts'
import { assertNoForeign, assertOwnEntities } from './tenant-guard.ts'

/** What MikroORM's constructor takes; named here because the subclass passes it on untouched. */
type ConstructorArguments = ConstructorParameters<typeof EntityManager>

export class TenantEntityManager extends EntityManager {
  constructor(...args: ConstructorArguments) {
    super(...args)
    const driver: unknown = args[1]
    if (driver instanceof TenantDriver) {
      // `name` is readonly in the typings; MikroORM looks transactions up by it, and runs must not find each other's.
      ;(this as { name: string }).name = driver.contextName
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
    tenantDriverOf(this)?.assertActive()
  }

  /** After the run has ended there is nothing left to roll back: its end did. */
  override async rollback(): Promise<void> {
    if (tenantDriverOf(this)?.ended === true) this.resetTransactionContext()
    else await super.rollback()
  }

  /** Cached rows are kept apart by tenant, by plane, and by whether the system (which sees every row) asked. */
  override clearCache(cacheKey: string): Promise<void> {
    return super.clearCache(cacheKeyOf(this, cacheKey))
  }

  /** In the context of whoever asks: a flush that waits for another one begins in the context of that one, where its guard would find nothing. */
  override async flush(): Promise<void> {
    tenantDriverOf(this)?.assertActive()
    await recordingFlush(() => super.flush())
  }

  /** @throws SQL_REFUSED for a role, and for what would lead unqualified names elsewhere. */
  override setSessionContext(context: SessionContext): void {
    tenantDriverOf(this)?.assertActive()
    refuseSession(this, context)
    super.setSessionContext(context)
  }

  /** @throws SQL_REFUSED for a session with a role or a search_path. */
  override fork(options?: ForkOptions): this {
    if (options?.session !== undefined) refuseSession(this, options.session)
    return super.fork(options)
  }

  /** @throws CROSS_TENANT_ENTITY for entities of another tenant, when it is used. */
  override getEntityLoader(): EntityLoader {
    const driver = tenantDriverOf(this)
    return driver === undefined ? super.getEntityLoader() : (new OwnEntityLoader(this.getContext(), driver) as unknown as EntityLoader)
  }

  /** @throws NO_TENANT_CONTEXT for a tenant's view in the control plane. */
  override async refreshMaterializedView<Entity extends object>(
    entityName: EntityName<Entity>,
    options?: { readonly concurrently?: boolean },
  ): Promise<void> {
    const meta = this.getMetadata(entityName)
    // The stock method takes the schema from the metadata, where it is a wildcard.
    if (meta.view !== true || meta.materialized !== true) return super.refreshMaterializedView(entityName, options)
    const schema = (this.getDriver() as unknown as DriverInternals).getSchemaName(meta as unknown as EntityMetadata)
    await this.execute(this.getPlatform().getSchemaHelper()!.refreshMaterializedView(meta.tableName, schema, options?.concurrently))
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
      return original.apply(this, name.startsWith('upsert') ? upsertArguments(args) : args)
    },
  })
}

/** Paths that take entities and work on them as if they were their own: what they read for one tenant would stand in another's entity. */
for (const name of ['assign', 'create', 'merge', 'persist', 'remove'] as const) define(name, false)
for (const name of ['clone', 'lock', 'populate', 'refresh', 'refreshOrFail'] as const) define(name, true)

function define(name: keyof EntityManager, asynchronous: boolean): void {
  const original = EntityManager.prototype[name] as (...args: unknown[]) => unknown
  const admit = (manager: TenantEntityManager, given: unknown): void => {
    const driver = tenantDriverOf(manager)
    driver?.assertActive()
    if (driver !== undefined) assertOwnEntities(given, driver)
  }
  const value = asynchronous
    ? async function (this: TenantEntityManager, ...args: unknown[]): Promise<unknown> {
        admit(this, args[0])
        return original.apply(this, args)
      }
    : function (this: TenantEntityManager, ...args: unknown[]): unknown {
        admit(this, args[0])
        return original.apply(this, args)
      }
  Object.defineProperty(TenantEntityManager.prototype, name, { configurable: true, writable: true, value })
}

/** Populates entities of its own tenant alone. */
class OwnEntityLoader extends (EntityLoader as unknown as new (manager: EntityManager) => {
  populate(...args: unknown[]): Promise<void>
}) {
  readonly #driver: TenantDriver

  constructor(manager: EntityManager, driver: TenantDriver) {
    super(manager)
    this.#driver = driver
  }

  override async populate(...args: unknown[]): Promise<void> {
    this.#driver.assertActive()
    assertOwnEntities(args[1], this.#driver)
    await super.populate(...args)
  }
}

/** What PostgreSQL takes as a setting and means more than a value: the names are not case sensitive there. */
const REFUSED_VARIABLES = new Set(['role', 'session_authorization', 'search_path'])

function refuseSession(manager: EntityManager, { role, variables }: SessionContext): void {
  if (tenantDriverOf(manager) === undefined) return
  const refused = role !== undefined ? 'role' : Object.keys(variables ?? {}).find(name => REFUSED_VARIABLES.has(name.toLowerCase()))
  if (refused !== undefined)
    throw new SqlRefusedError(
      `The setting "${refused}" for the session of a tenant's EntityManager`,
      'A tenant has the role and the search_path that it was given; other variables can be set.',
    )
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

/** One object instead of a list of conditions, where nothing but the soft-delete filter joins in: each level costs as much as a comparison. */
const { applyFilters } = EntityManager.prototype as unknown as {
  readonly applyFilters: (this: void, ...args: unknown[]) => Promise<unknown>
}
Object.defineProperty(TenantEntityManager.prototype, 'applyFilters', {
  configurable: true,
  writable: true,
  async value(this: TenantEntityManager, ...args: unknown[]): Promise<unknown> {
    return flattened(await Reflect.apply(applyFilters, this, args))
  },
})

/** `{ $and: [{ a }, { b }] }` as `{ a, b }`, if that says the same: plain names, each once. */
function flattened(where: unknown): unknown {
  const parts = (where as { $and?: readonly object[] } | undefined)?.$and
  if (parts === undefined || Object.keys(where as object).length !== 1 || parts.length !== 2) return where
  const [first, second] = parts as readonly [object, object]
  if (!isPlain(first) || !isPlain(second)) return where
  for (const key of Object.keys(first)) if (key in second) return where
  return { ...first, ...second }
}

function isPlain(part: object): boolean {
  if (Object.getPrototypeOf(part) !== Object.prototype || '__strict' in part || Object.getOwnPropertySymbols(part).length > 0) return false
  for (const key of Object.keys(part)) if (key.startsWith('$')) return false
  return true
}
