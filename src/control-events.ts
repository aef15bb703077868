/** What the framework itself records in the control plane's history: operations on tenants, migration runs, new secrets, and who enters which tenant. */
import { currentActor, type Actor, type TenantRef } from './context/context.ts'
import { TenancyError } from './errors.ts'
import { reasonOf } from './provisioning/steps.ts'
import type { NewEvent } from './tenancy-history.ts'

/** Refusals of what was asked for: there was no operation. */
const NOTHING_TRIED: ReadonlySet<string> = new Set([
  'VALIDATION_FAILED',
  'TENANT_INVALID',
  'TENANT_NOT_FOUND',
  'UNKNOWN_OPERATION',
  'NO_ACTOR',
])

/** How long an actor who entered a tenant is not recorded there again, in each process. */
export const ENTRY_INTERVAL_MS = 15 * 60_000

/** How many entries are remembered; one more forgets the oldest, who is recorded again. */
const ENTRIES_MAX = 10_000

/** Who runs migrations where nobody else is named. */
const MIGRATIONS: Actor = { plane: 'system', id: 'migrations', label: 'migrations' }

export interface ControlEventsOptions {
  readonly record: (event: NewEvent) => Promise<void>
  /** The id of a tenant by its slug. */
  readonly idOf: (slug: string) => Promise<string | undefined>
  /** Milliseconds; for tests. Default: a clock that never goes back. */
  readonly now?: () => number
}

export class ControlEvents {
  readonly #options: ControlEventsOptions
  readonly #entered = new Map<string, number>()

  constructor(options: ControlEventsOptions) {
    this.#options = options
  }

  /** Runs an operation on a tenant and records how it ended. What cannot be attributed is not recorded: it changed nothing. */
  async operation<T>(name: string, slug: string, work: () => Promise<T>, facts: Readonly<Record<string, unknown>> = {}): Promise<T> {
    let result: T
    try {
      result = await work()
    } catch (error) {
      const code = error instanceof TenancyError ? error.code : 'INTERNAL'
      if (!NOTHING_TRIED.has(code)) await this.#ended(name, slug, { ...facts, outcome: 'failed', code })
      throw error
    }
    await this.#ended(name, slug, { ...facts, outcome: 'succeeded' })
    return result
  }

  /** Records that a run of migrations began, or how it ended: its numbers, no tenant by name. */
  async migrationRun(moment: 'started' | 'finished', run: string, facts: Readonly<Record<string, unknown>>): Promise<void> {
    try {
      await this.#options.record({
        action: `migration_run.${moment}`,
        entity: 'MigrationRun',
        entityId: run,
        details: facts,
        ...(currentActor() === undefined ? { actor: MIGRATIONS } : {}),
      })
    } catch (error) {
      notRecorded(`A migration run (${moment})`, error)
    }
  }

  /**
   * Records that a global actor entered a tenant: once for each actor and tenant in {@link ENTRY_INTERVAL_MS}, so that a request costs what
   * it did. Who cannot be recorded does not enter.
   */
  async entered(actor: Actor, tenant: TenantRef, requestId?: string): Promise<void> {
    const key = `${actor.id}|${tenant.id}`
    const now = (this.#options.now ?? (() => performance.now()))()
    const last = this.#entered.get(key)
    if (last !== undefined && now - last < ENTRY_INTERVAL_MS) return
    this.#entered.delete(key)
    this.#entered.set(key, now)
    if (this.#entered.size > ENTRIES_MAX) this.#entered.delete(this.#entered.keys().next().value!)
    try {
      const { id, slug } = tenant
      await this.#options.record({ action: 'tenant.enter', entity: 'Tenant', entityId: id, details: { slug }, actor, requestId })
    } catch (error) {
      this.#entered.delete(key)
      throw error
    }
  }

  /** The operation has ended, whatever becomes of this. */
  async #ended(name: string, slug: string, details: Readonly<Record<string, unknown>>): Promise<void> {
    if (currentActor() === undefined) return
    try {
      const entityId = await this.#options.idOf(slug)
      await this.#options.record({ action: `tenant.${name}`, entity: 'Tenant', entityId, details: { slug, ...details } })
    } catch (error) {
      notRecorded(`The end of ${name} of tenant "${slug}"`, error)
    }
  }
}

/** What has happened stays so. */
function notRecorded(what: string, error: unknown): void {
  process.emitWarning(`${what} could not be recorded: ${reasonOf(error)}`, { code: 'TENANTKIT_HISTORY_FAILED' })
}
