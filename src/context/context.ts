/**
 * The context: what is active now, carried by one AsyncLocalStorage.
 *
 * It is entered by a function that runs work inside it, it nests, and it is never set or cleared by hand; when the work ends, by whatever
 * way, the outer context is current again.
 */
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'
import type { EntityManager } from '@mikro-orm/postgresql'
import { ForbiddenError, NoActorError, NoTenantContextError } from '../errors.ts'
import type { Unit } from './unit.ts'

/** How a tenant is isolated: a schema in the control-plane database, or a database of its own. */
export type Isolation = 'schema' | 'database'

/** Who acts. Stored in audit columns as `global:<id>`, `tenant:<id>` or `system:<job>`. */
export interface Actor {
  readonly plane: 'global' | 'tenant' | 'system'
  readonly id: string
  /** What a person reads: an email address or the name of a job. Never stored in audit columns. */
  readonly label: string
  /** What this actor may do. Absent means nothing that needs a permission; `system` may do everything. */
  readonly permissions?: ReadonlySet<string>
}

/** The part of a tenant that travels with the context: no secrets, no entity. */
export interface TenantRef {
  readonly id: string
  readonly slug: string
  readonly name: string
  readonly isolation: Isolation
  /** The schema its tables stand in. */
  readonly schema: string
}

/** What is active now. Frozen. */
export interface TenancyContext {
  readonly tenant: TenantRef | undefined
  readonly actor: Actor | undefined
  /** The EntityManager of the tenant; absent where no tenant is active. */
  readonly em: EntityManager | undefined
  /** The EntityManager of the control plane, made when it is first asked for. */
  readonly control: (() => EntityManager) | undefined
  readonly requestId: string | undefined
  /** Fires when the run is aborted: its client went away, or the `signal` that it was given fired. Absent where no tenant is active. */
  readonly signal?: AbortSignal
  /** What the run holds. @internal */
  readonly unit?: Unit
}

const storage = new AsyncLocalStorage<TenancyContext>()

/** Runs work in a context; afterwards, also after a throw, the outer context is current again. */
export function runInContext<T>(context: TenancyContext, work: () => T): T {
  return storage.run(Object.freeze(context), work)
}

/** The active context, or `undefined` outside of any. */
export function currentContext(): TenancyContext | undefined {
  return storage.getStore()
}

/** What the active run holds, or `undefined` outside of a tenant. @internal */
export function currentUnit(): Unit | undefined {
  return storage.getStore()?.unit
}

/**
 * The tenant that is active here.
 *
 * @throws NO_TENANT_CONTEXT where none is.
 * @example const { slug } = currentTenant()
 */
export function currentTenant(): TenantRef {
  const tenant = storage.getStore()?.tenant
  if (tenant === undefined) throw new NoTenantContextError()
  return tenant
}

/** The actor of the active context, or `undefined` (outside of a context, and in a request without identity). */
export function currentActor(): Actor | undefined {
  return storage.getStore()?.actor
}

/**
 * The active actor as it is stored in audit columns.
 *
 * @throws NO_ACTOR where nobody acts.
 * @example actorKey() // 'tenant:0198…'
 */
export function actorKey(): string {
  const actor = currentActor()
  if (actor === undefined) throw new NoActorError()
  return `${actor.plane}:${actor.id}`
}

/**
 * The EntityManager of the active tenant.
 *
 * It serves tenant and both entities, and reads shared ones. It lives as long as the run or request that it belongs to.
 *
 * @throws NO_TENANT_CONTEXT where no tenant is active.
 * @example const invoices = await em().find(Invoice, {})
 */
export function em(): EntityManager {
  const active = storage.getStore()?.em
  if (active === undefined) throw new NoTenantContextError()
  return active
}

/**
 * Binds a function to the context that is active now, for callbacks that lose it (event emitters, queues, pools of other libraries).
 *
 * @example emitter.on('paid', bindContext(async id => { await em().findOneOrFail(Invoice, id) }))
 */
export function bindContext<A extends unknown[], R>(work: (...args: A) => R): (...args: A) => R {
  return AsyncResource.bind(work)
}

/**
 * The EntityManager of the control plane, for shared entities and the shared halves of both entities.
 *
 * It inherits neither the active tenant nor its transaction. `runAsSystem` reads and writes; a global actor reads, and writes with the
 * permission `data:write`; a tenant's actor is refused. Each call gives a new unit of work.
 *
 * @throws NO_TENANT_CONTEXT outside of any context, FORBIDDEN
 * @example await tenancy.runAsSystem('prices', async () => { const plans = await controlEm().find(Plan, {}) })
 */
export function controlEm(): EntityManager {
  const context = storage.getStore()
  if (context === undefined) {
    throw new NoTenantContextError(
      'No context is active here.',
      'Wrap the call in tenancy.runAsSystem(name, work), or mount tenantMiddleware(tenancy, …) before this route.',
    )
  }
  if (context.control === undefined || (context.actor?.plane !== 'system' && context.actor?.plane !== 'global')) throw new ForbiddenError()
  return context.control()
}
