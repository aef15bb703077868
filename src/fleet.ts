/** Migrating everything: the control plane first, then the tenants, several at a time, as a run that survives its process. */
import type { EntityManager } from '@mikro-orm/postgresql'
import { withDirectClient } from './connections/direct.ts'
import { emptySearchPathOf } from './connections/search-path.ts'
import { settingsOf } from './connections/settings.ts'
import { currentActor, type TenantRef } from './context/context.ts'
import { ConfigurationError, NotFoundError, TenantNotFoundError, ValidationFailedError } from './errors.ts'
import type { DownOptions, MigrateOptions, MigrateOutcome, MigrateReport } from './fleet/migrate-options.ts'
import { LISTED, controlState, isBehindSql, type ControlState, type Heads } from './fleet/behind.ts'
import { execute } from './fleet/execution.ts'
import { planOf, type MigrationPlan, type PlanOptions } from './fleet/plan.ts'
import { WAVES, type RunStore, type Done, type RunChoice, type RunSummary } from './fleet/run-store.ts'
import { runsOf, statusOf, type FleetStatus } from './fleet/status.ts'
import { newId } from './ids.ts'
import { DestructiveMigrationError, MigrationInterruptedError } from './migrations/errors.ts'
import { undeclaredIn } from './migrations/fast-path.ts'
import type { Migrations } from './migrations/migrations.ts'
import type { MigrationTarget, Selection } from './migrations/runner.ts'
import { quoteLiteral } from './naming.ts'
import type { TenantMigration } from './provisioning/tenant-migration.ts'
import type { TenantRoles } from './strategies/tenant-roles.ts'
import { recordOf } from './tenants/directory.ts'
import { Tenant } from './tenants/entities.ts'
import type { RunPlan } from './tenants/migration-runs.ts'

export interface FleetOptions {
  readonly control: () => EntityManager
  readonly migrations: Migrations
  readonly tenantMigration: TenantMigration
  readonly directUrl: string
  readonly prefix: string
  /** The control plane as requests reach it, if that is through a pooler: the role there needs its empty search_path. */
  readonly pooledUrl: string | undefined
  /** In strict mode. */
  readonly roles: TenantRoles | undefined
  /** How many tenants may be migrated at once at most. */
  readonly mostAtOnce: number
  /** Told of a tenant whose row has changed. */
  readonly changed: (slug: string) => void
  /** Reverts in one tenant, while nothing else works on it. */
  readonly down: (slug: string, selection: Selection) => Promise<readonly string[]>
  /** Told of a run that began, or ended, with its numbers. */
  readonly ran: (moment: 'started' | 'finished', run: string, facts: Readonly<Record<string, unknown>>) => Promise<void>
  /** Told of a tenant and of what was applied there. */
  readonly migrated: (tenant: TenantRef, names: readonly string[]) => Promise<unknown>
}

interface Begun {
  readonly plan: RunPlan
  readonly total: number
}

const DEFAULT_CONCURRENCY = 8
const MIGRATED = ['ready', 'suspended'] as const
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** The tables of all tenants: what is to be migrated, what was, and the runs that do it. */
export class Fleet {
  readonly #options: FleetOptions
  readonly #stopping = new AbortController()
  readonly #running = new Set<Promise<unknown>>()

  /** @internal */
  constructor(options: FleetOptions) {
    this.#options = options
  }

  /** @internal Use `tenancy.migrate`. */
  async migrate(options: MigrateOptions): Promise<MigrateReport> {
    const plan = this.#checked(options)
    const { scope = 'all' } = options
    const { migrations, pooledUrl } = this.#options
    // First of all, for what is read through the pooler afterwards.
    if (scope !== 'tenant' && pooledUrl !== undefined)
      await withDirectClient(migrations.sharedTarget().url, client => emptySearchPathOf(client, settingsOf(pooledUrl).user))
    const heads = await this.#heads()
    const before = await this.#state(heads)
    if (!plan.allowDestructive) await this.#refuseLoss(before, heads, options)
    const shared = scope === 'tenant' ? [] : await this.#shared(before)
    if (scope === 'shared') return { shared, tenants: [] }
    const state = before === undefined || shared.length > 0 ? await this.#state(heads) : before
    if (state === undefined)
      throw new ConfigurationError(['The control plane was never migrated, or is too old.'], 'Run `tenantkit migrate` without --scope.')
    return { shared, ...(await this.#tenants(state, heads, options, plan)) }
  }

  /**
   * What `migrate` would do: the SQL, and how many tenants it would be sent to. Nothing is executed.
   *
   * @example const { behind, tenant } = await tenancy.fleet.plan()
   */
  async plan(options: PlanOptions = {}): Promise<MigrationPlan> {
    const { control, migrations } = this.#options
    const heads = await this.#heads()
    const state = await this.#state(heads)
    if (options.tenants !== undefined) await this.#known(options.tenants)
    return planOf({ migrations, control, heads }, state?.shared, options)
  }

  /**
   * How many tenants have which version, which failed and why, and the last runs. A few queries, whatever the number of tenants.
   *
   * @example const { behind, failed } = await tenancy.fleet.status()
   */
  async status(): Promise<FleetStatus> {
    const { control, migrations } = this.#options
    const heads = await this.#heads()
    return statusOf(control(), heads, { names: await migrations.names('shared'), state: await this.#state(heads) })
  }

  /**
   * Goes on with a run that was cut off or stopped, and tries those again that failed. What was applied is not applied twice.
   *
   * @throws NOT_FOUND if there is no such run, MIGRATION_INTERRUPTED
   */
  async resume(run: string, options: Pick<MigrateOptions, 'onProgress'> = {}): Promise<MigrateReport> {
    if (!UUID.test(run)) throw new ValidationFailedError([{ path: 'run', message: 'must be the id of a run' }])
    const reopen = async (store: RunStore): Promise<Begun> => {
      const plan = await store.reopen()
      if (plan === undefined) throw new NotFoundError('migration run')
      const { left: total } = await store.counts()
      return { plan: { ...plan, concurrency: Math.min(plan.concurrency, this.#options.mostAtOnce) }, total }
    }
    return { shared: [], ...(await this.#execute(run, await this.#heads(), reopen, options)) }
  }

  /**
   * Reverts the last migration of one tenant, and answers the names of what was reverted.
   *
   * @throws TENANT_NOT_FOUND, INVALID_STATE, OPERATION_CONFLICT, MIGRATION_FAILED, CONFIGURATION_INVALID if it has no `down()`
   */
  down(slug: string, { to }: DownOptions = {}): Promise<readonly string[]> {
    return this.#options.down(slug, to === undefined ? {} : { to })
  }

  /** Two queries at most, whatever the number of tenants. @internal */
  async pending(): Promise<boolean> {
    const { migrations, roles } = this.#options
    const state = await this.#state(await this.#heads())
    if (state === undefined || (await migrations.names('shared')).some(name => !state.shared.includes(name))) return true
    return state.behind || ((await roles?.missing()) ?? []).length > 0
  }

  /** @internal */
  async targets(): Promise<readonly MigrationTarget[]> {
    const rows = await this.#options.control().find(Tenant, { status: { $in: [...MIGRATED] } }, { orderBy: { slug: 'asc' } })
    return rows.map(row => this.#options.tenantMigration.target(recordOf(row)))
  }

  /** Begins nothing new, and waits for what was begun. @internal */
  async close(): Promise<void> {
    this.#stopping.abort()
    await Promise.allSettled(this.#running)
  }

  /** @throws CONFIGURATION_INVALID if the control plane was set up with another prefix. */
  async #state(heads: Heads): Promise<ControlState | undefined> {
    const state = await controlState(this.#options.control(), heads)
    if (state?.prefix !== undefined) samePrefix(state.prefix, this.#options.prefix)
    return state
  }

  async #heads(): Promise<Heads> {
    const { tenantMigration } = this.#options
    return { schema: await tenantMigration.head('schema'), database: await tenantMigration.head('database') }
  }

  async #shared(state: ControlState | undefined): Promise<readonly string[]> {
    const { migrations, prefix, roles, control } = this.#options
    const target = migrations.sharedTarget()
    const pending = (await migrations.names('shared')).some(name => state?.shared.includes(name) !== true)
    // What may be lost was looked at before.
    const names = pending ? await migrations.up(target, { allowDestructive: true }) : []
    if (pending || state?.prefix === undefined) {
      await withDirectClient(target.url, client =>
        client.query(`insert into public.tenantkit_control (key, value) values ('naming.prefix', $1) on conflict (key) do nothing`, [
          prefix,
        ]),
      )
      await assertPrefix(control(), prefix)
    }
    await roles?.updateReaders()
    return names
  }

  async #tenants(state: ControlState, heads: Heads, options: MigrateOptions, plan: RunPlan): Promise<Omit<MigrateReport, 'shared'>> {
    const { tenants: named, canary = [], waves = WAVES } = options
    await this.#known([...(named ?? []), ...canary])
    const unready = (await this.#options.roles?.missing()) ?? []
    const upToDate: readonly string[] = state.listed.length > LISTED || named !== undefined ? [] : state.listed
    if (named === undefined && !state.behind && unready.length === 0) return { tenants: upToDate.map(unchanged) }
    const some = named ?? unready
    const listed = some.length === 0 ? 'false' : `t.slug in (${some.map(quoteLiteral).join(', ')})`
    const choice: RunChoice = { where: named === undefined ? `(${isBehindSql(heads)} or ${listed})` : listed, canary, waves }
    const create = async (store: RunStore): Promise<Begun> => {
      const total = await store.create(plan, heads.schema.schemaVersion, choice)
      return { plan, total }
    }
    const report = await this.#execute(newId(), heads, create, options)
    const met = new Set(report.tenants.map(({ tenant }) => tenant))
    const others = upToDate.filter(slug => !met.has(slug)).map(unchanged)
    return { ...report, tenants: sorted([...report.tenants, ...(report.run?.pending === 0 ? others : [])]) }
  }

  async #execute(
    id: string,
    heads: Heads,
    begin: (store: RunStore) => Promise<Begun>,
    { onProgress }: Pick<MigrateOptions, 'onProgress'>,
  ): Promise<Omit<MigrateReport, 'shared'>> {
    const { directUrl, migrations, tenantMigration, changed, migrated, ran } = this.#options
    const actor = currentActor()
    const outcomes: MigrateOutcome[] = []
    let total = 0
    let hooks: Promise<unknown> = Promise.resolve()
    const done = ({ slug, status, names, error }: Done, tenant: TenantRef): void => {
      const outcome = { tenant: slug, status, names, ...(error === undefined ? {} : { error }) }
      outcomes.push(outcome)
      onProgress?.({ outcome, done: outcomes.length, total: Math.max(total, outcomes.length) })
      if (names.length > 0) hooks = hooks.then(() => migrated(tenant, names))
    }
    const by = actor === undefined ? 'system:migrations' : `${actor.plane}:${actor.id}`
    const shared = { directUrl, migrations, tenantMigration, heads, signal: this.#stopping.signal, changed }
    const opened = async (store: RunStore): Promise<RunPlan> => {
      const begun = await begin(store)
      total = begun.total
      await ran('started', id, { tenants: total, version: heads.schema.schemaVersion })
      return begun.plan
    }
    const running = this.#recorded(id, execute({ id, actor: by, ...shared, begin: opened, done }), () => outcomes.length)
    this.#running.add(running)
    try {
      const run = await running
      return { tenants: sorted(outcomes), ...(run === undefined ? {} : { run }) }
    } finally {
      this.#running.delete(running)
      await hooks
    }
  }

  /** Waits for a run and has its end recorded. */
  async #recorded(id: string, executed: Promise<void>, done: () => number): Promise<RunSummary | undefined> {
    const { control, ran } = this.#options
    try {
      await executed
    } catch (error) {
      if (error instanceof MigrationInterruptedError) await ran('finished', id, { status: 'interrupted', done: done() })
      throw error
    }
    const [run] = await runsOf(control(), id)
    if (run === undefined) return undefined
    const { status, total: tenants, applied, failed, skipped, pending } = run
    await ran('finished', id, { status, tenants, applied, failed, skipped, pending })
    return run
  }

  /** @throws TENANT_NOT_FOUND for a slug that no serving tenant has. */
  async #known(slugs: readonly string[]): Promise<void> {
    if (slugs.length === 0) return
    const rows = await this.#options
      .control()
      .find(Tenant, { status: { $in: [...MIGRATED] }, slug: { $in: [...slugs] } }, { fields: ['slug'] })
    const found = new Set(rows.map(row => row.slug))
    const missing = slugs.find(slug => !found.has(slug))
    if (missing !== undefined) throw new TenantNotFoundError(missing)
  }

  /** Before anything is done. @throws DESTRUCTIVE_MIGRATION */
  async #refuseLoss(state: ControlState | undefined, heads: Heads, options: MigrateOptions): Promise<void> {
    // Where nothing was applied yet there is nothing to lose.
    if (state === undefined || state.shared.length === 0) return
    const { migrations, control } = this.#options
    const scope = options.scope ?? 'all'
    const pending = (await migrations.names('shared')).filter(name => !state.shared.includes(name))
    const lost = scope === 'tenant' ? undefined : undeclaredIn(await migrations.collected('shared'), pending)
    if (lost !== undefined) throw new DestructiveMigrationError(lost.name, lost.statement)
    if (scope === 'shared' || !state.behind) return
    const { groups } = await planOf({ migrations, control, heads }, state.shared, { scope: 'tenant', tenants: options.tenants })
    for (const { version, isolation, pending: names } of groups) {
      const found = version === null ? undefined : undeclaredIn(await migrations.collected('tenant', isolation), names ?? [])
      if (found !== undefined) throw new DestructiveMigrationError(found.name, found.statement)
    }
  }

  /** @throws VALIDATION_FAILED */
  #checked({ concurrency, maxFailures, waves, canary, tenants, allowDestructive }: MigrateOptions): RunPlan {
    const whole = { concurrency, maxFailures, ...Object.fromEntries((waves ?? []).map((size, index) => [`waves.${index}`, size])) }
    const errors = Object.entries(whole)
      .filter(([, value]) => value !== undefined && (!Number.isSafeInteger(value) || value < 1))
      .map(([path]) => ({ path, message: 'must be a positive whole number' }))
    if (canary?.some(slug => tenants?.includes(slug) === false) === true)
      errors.push({ path: 'canary', message: 'must be among the tenants that are named' })
    if (errors.length > 0) throw new ValidationFailedError(errors)
    return {
      concurrency: Math.min(concurrency ?? DEFAULT_CONCURRENCY, this.#options.mostAtOnce),
      maxFailures: maxFailures ?? null,
      allowDestructive: allowDestructive ?? false,
      everyone: tenants === undefined,
    }
  }
}

function unchanged(tenant: string): MigrateOutcome {
  return { tenant, status: 'applied', names: [] }
}

function sorted(outcomes: readonly MigrateOutcome[]): readonly MigrateOutcome[] {
  return outcomes.toSorted((a, b) => a.tenant.localeCompare(b.tenant))
}

/**
 * The names of schemas, databases and roles depend on the prefix: a control plane keeps the one it was set up with.
 *
 * @throws CONFIGURATION_INVALID
 */
export async function assertPrefix(em: EntityManager, prefix: string): Promise<void> {
  const rows: { value: string }[] = await em.execute(`select value from public.tenantkit_control where key = 'naming.prefix'`)
  if (rows[0] !== undefined) samePrefix(rows[0].value, prefix)
}

function samePrefix(stored: string, prefix: string): void {
  if (stored === prefix) return
  throw new ConfigurationError([`naming.prefix is "${prefix}", and this control plane was set up with "${stored}".`], 'Set it back.')
}
