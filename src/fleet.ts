/** Migrating everything: the control plane first, then the tenants, several at a time. */
import type { EntityManager } from '@mikro-orm/postgresql'
import { withDirectClient } from './connections/direct.ts'
import { emptySearchPathOf } from './connections/search-path.ts'
import { settingsOf } from './connections/settings.ts'
import { ConfigurationError, TenantNotFoundError, ValidationFailedError } from './errors.ts'
import type { Migrations } from './migrations/migrations.ts'
import type { MigrationTarget } from './migrations/runner.ts'
import type { TenantRegistry } from './provisioning/tenant-registry.ts'
import { reasonOf } from './provisioning/steps.ts'
import type { TenantRoles } from './strategies/tenant-roles.ts'
import { recordOf } from './tenants/directory.ts'
import { Tenant } from './tenants/entities.ts'

/** What `tenancy.migrate` applies. */
export interface MigrateOptions {
  /** Default `all`. */
  readonly scope?: 'shared' | 'tenant' | 'all' | undefined
  /** Only these tenants, by slug. Default: all that are ready or suspended. */
  readonly tenants?: readonly string[] | undefined
  /** Tenants at a time. Default 4. */
  readonly concurrency?: number | undefined
}

/** What became of one tenant. */
export interface MigrateOutcome {
  readonly tenant: string
  readonly status: 'applied' | 'failed'
  readonly names: readonly string[]
  readonly error?: string
}

/** What `tenancy.migrate` applied. */
export interface MigrateReport {
  /** Migrations applied to the control plane. */
  readonly shared: readonly string[]
  readonly tenants: readonly MigrateOutcome[]
}

export interface FleetOptions {
  readonly control: () => EntityManager
  readonly migrations: Migrations
  readonly registry: TenantRegistry
  readonly prefix: string
  /** The control plane as requests reach it, if that is through a pooler: the role there needs its empty search_path. */
  readonly pooledUrl: string | undefined
  /** In strict mode. */
  readonly roles: TenantRoles | undefined
}

const DEFAULT_CONCURRENCY = 4
const MIGRATED = ['ready', 'suspended'] as const

export class FleetMigration {
  readonly #options: FleetOptions

  constructor(options: FleetOptions) {
    this.#options = options
  }

  async migrate(options: MigrateOptions): Promise<MigrateReport> {
    const { scope = 'all', concurrency = DEFAULT_CONCURRENCY } = options
    if (!Number.isSafeInteger(concurrency) || concurrency < 1)
      throw new ValidationFailedError([{ path: 'concurrency', message: 'must be a positive whole number' }])
    const shared = scope === 'tenant' ? [] : await this.#shared()
    return { shared, tenants: scope === 'shared' ? [] : await this.#tenants(options.tenants, concurrency) }
  }

  /** Two queries, and in strict mode a third, whatever the number of tenants. */
  async pending(): Promise<boolean> {
    const { migrations, control } = this.#options
    if ((await migrations.pending(migrations.sharedTarget())).length > 0) return true
    await assertPrefix(control(), this.#options.prefix)
    const head = await migrations.head('tenant')
    const behind = { status: { $in: [...MIGRATED] }, schemaVersion: head === undefined ? { $ne: null } : { $ne: head } }
    const behindOrNew = head === undefined ? behind : { $or: [behind, { status: { $in: [...MIGRATED] }, schemaVersion: null }] }
    if ((await control().count(Tenant, behindOrNew as never)) > 0) return true
    return ((await this.#options.roles?.missing()) ?? []).length > 0
  }

  async targets(): Promise<readonly MigrationTarget[]> {
    const rows = await this.#options.control().find(Tenant, { status: { $in: [...MIGRATED] } }, { orderBy: { slug: 'asc' } })
    return rows.map(row => this.#options.registry.target(recordOf(row)))
  }

  async #shared(): Promise<readonly string[]> {
    const { migrations, prefix, pooledUrl, roles } = this.#options
    const target = migrations.sharedTarget()
    // First of all, for what is read through the pooler afterwards.
    if (pooledUrl !== undefined) await withDirectClient(target.url, client => emptySearchPathOf(client, settingsOf(pooledUrl).user))
    const names = await migrations.up(target)
    await withDirectClient(target.url, client =>
      client.query(`insert into public.tenantkit_control (key, value) values ('naming.prefix', $1) on conflict (key) do nothing`, [prefix]),
    )
    await assertPrefix(this.#options.control(), prefix)
    await roles?.updateReaders()
    return names
  }

  async #tenants(only: readonly string[] | undefined, concurrency: number): Promise<readonly MigrateOutcome[]> {
    const em = this.#options.control()
    const where = { status: { $in: [...MIGRATED] }, ...(only === undefined ? {} : { slug: { $in: [...only] } }) }
    const rows = await em.find(Tenant, where, { fields: ['slug'], orderBy: { slug: 'asc' } })
    const slugs = rows.map(row => row.slug)
    const missing = only?.find(slug => !slugs.includes(slug))
    if (missing !== undefined) throw new TenantNotFoundError(missing)
    const outcomes: MigrateOutcome[] = []
    const queue = [...slugs]
    const worker = async () => {
      for (let slug = queue.shift(); slug !== undefined; slug = queue.shift()) outcomes.push(await this.#one(slug))
    }
    await Promise.all(Array.from({ length: Math.min(concurrency, queue.length) }, worker))
    return outcomes.sort((a, b) => a.tenant.localeCompare(b.tenant))
  }

  async #one(tenant: string): Promise<MigrateOutcome> {
    try {
      const { applied } = await this.#options.registry.migrate(tenant)
      return { tenant, status: 'applied', names: applied }
    } catch (error) {
      return { tenant, status: 'failed', names: [], error: reasonOf(error) }
    }
  }
}

/**
 * The names of schemas, databases and roles depend on the prefix: a control plane keeps the one it was set up with.
 *
 * @throws CONFIGURATION_INVALID
 */
export async function assertPrefix(em: EntityManager, prefix: string): Promise<void> {
  const rows: { value: string }[] = await em.execute(`select value from public.tenantkit_control where key = 'naming.prefix'`)
  const stored = rows[0]?.value
  if (stored === undefined || stored === prefix) return
  throw new ConfigurationError([`naming.prefix is "${prefix}", and this control plane was set up with "${stored}".`], 'Set it back.')
}
