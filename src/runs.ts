/** Opens and ends runs: who acts in them, what they hold, and when they are not wanted any more. */
import type { EntityManager } from '@mikro-orm/postgresql'
import { currentContext, currentUnit, runInContext, type Actor, type Isolation, type TenantRef } from './context/context.ts'
import { Unit } from './context/unit.ts'
import { RunAbortedError } from './errors.ts'
import type { IsolationStrategy } from './strategies/isolation-strategy.ts'
import { CONTROL_WRITE_PERMISSION } from './strategies/reading-control-driver.ts'
import type { RuntimeOrm } from './strategies/runtime-orm.ts'
import type { RunOptions } from './tenancy-types.ts'
import type { TenantRecord } from './tenants/directory.ts'

export interface RunsOptions {
  readonly orm: RuntimeOrm
  readonly strategies: Readonly<Record<Isolation, IsolationStrategy>>
  /** Behind a pooler running statements cannot be cancelled. */
  readonly pooled: boolean
  /** The tenant of a slug as it is now. */
  readonly find: (slug: string) => Promise<TenantRecord | undefined>
}

/** Whether actor and request id may come from the outer context. Default true. */
export interface Inheritance {
  readonly inherits?: boolean
}

export class Runs {
  readonly #options: RunsOptions
  /** The runs under way, by slug. */
  readonly #live = new Map<string, Set<Unit>>()
  #leases = 0

  constructor(options: RunsOptions) {
    this.#options = options
  }

  /** How many leases are out. */
  get leases(): number {
    return this.#leases
  }

  /** Runs work in a tenant, whatever its status. @throws RUN_ABORTED, POOL_EXHAUSTED */
  async run<T>(record: TenantRecord, work: () => Promise<T>, options: RunOptions, inheritance?: Inheritance): Promise<T> {
    const unit = await this.open(record, options, inheritance)
    try {
      return await unit.run(work)
    } finally {
      unit.end()
    }
  }

  /** Runs work in the control plane. */
  async runAsActor<T>(actor: Actor, work: () => Promise<T>, options: Pick<RunOptions, 'requestId'>): Promise<T> {
    const requestId = options.requestId ?? currentContext()?.requestId
    return runInContext({ tenant: undefined, actor, em: undefined, control: this.#controlFor(actor), requestId }, async () => work())
  }

  /** Opens a unit; whoever opens it ends it. @throws RUN_ABORTED before and after the wait for a connection, POOL_EXHAUSTED */
  async open(record: TenantRecord, options: RunOptions, { inherits = true }: Inheritance = {}): Promise<Unit> {
    const { signal } = options
    const outer = inherits ? currentContext() : undefined
    const assertWanted = () => {
      if (signal?.aborted === true || currentUnit()?.state === 'aborted') throw new RunAbortedError(record.ref.slug, signal?.reason)
    }
    assertWanted()
    const actor = options.actor ?? inheritedActor(outer?.actor, outer?.tenant, record.ref)
    const giveUp = () => signal ?? outer?.signal
    const lease = await this.#options.strategies[record.ref.isolation].connect(record, giveUp).catch((error: unknown) => {
      assertWanted()
      throw error
    })
    this.#leases++
    let unit: Unit | undefined
    const release = () => {
      this.#leases--
      if (unit !== undefined) this.#forget(unit)
      lease.end()
    }
    try {
      assertWanted()
      const requestId = options.requestId ?? outer?.requestId
      const shared = { control: this.#controlFor(actor), cancels: !this.#options.pooled, release }
      unit = new Unit({ tenant: record.ref, em: lease.em, actor, requestId, signal, ...shared })
      this.#remember(unit)
      return unit
    } catch (error) {
      release()
      throw error
    }
  }

  /**
   * Aborts the runs of a tenant that is being purged: its schema and its slug may be another tenant's soon, and a run knows it by name.
   * `undefined` looks at every tenant that has runs.
   */
  async abortPurged(slug: string | undefined): Promise<void> {
    for (const each of slug === undefined ? [...this.#live.keys()] : [slug]) {
      if (!this.#live.has(each)) continue
      const record = await this.#options.find(each)
      for (const unit of this.#live.get(each) ?? []) {
        const isGone = record?.ref.id !== unit.tenant.id || record.status === 'purging' || record.status === 'purged'
        if (isGone) unit.abort()
      }
    }
  }

  #remember(unit: Unit): void {
    const { slug } = unit.tenant
    const units = this.#live.get(slug)
    if (units === undefined) this.#live.set(slug, new Set([unit]))
    else units.add(unit)
  }

  #forget(unit: Unit): void {
    const { slug } = unit.tenant
    const units = this.#live.get(slug)
    if (units?.delete(unit) === true && units.size === 0) this.#live.delete(slug)
  }

  #controlFor(actor: Actor | undefined): (() => EntityManager) | undefined {
    if (actor === undefined || actor.plane === 'tenant') return undefined
    const { orm } = this.#options
    const writes = actor.plane === 'system' || actor.permissions?.has(CONTROL_WRITE_PERMISSION) === true
    return () => (writes ? orm.control() : orm.readingControl())
  }
}

/** A local user acts in the own tenant only; everyone else is still the same one tenant further. */
function inheritedActor(actor: Actor | undefined, from: TenantRef | undefined, to: TenantRef): Actor | undefined {
  return actor?.plane === 'tenant' && from?.id !== to.id ? undefined : actor
}
