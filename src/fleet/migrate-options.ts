/** What migrating a fleet takes and gives. */
import type { RunSummary } from './run-store.ts'

/** What `tenancy.migrate` applies. */
export interface MigrateOptions {
  /** Default `all`. */
  readonly scope?: 'shared' | 'tenant' | 'all' | undefined
  /** Only these tenants, by slug; they are looked into even if the registry says that they have everything. Default: all that are ready or suspended. */
  readonly tenants?: readonly string[] | undefined
  /** Tenants at a time; each takes up to two connections. Default 8, and never more than the connection budget leaves. */
  readonly concurrency?: number | undefined
  /** These tenants come first; when one of them fails, no other is begun. Default: none. */
  readonly canary?: readonly string[] | undefined
  /** The sizes of the waves; the last one repeats. A wave of which every tenant failed ends the run. Default 10, 100, 1000. */
  readonly waves?: readonly number[] | undefined
  /** When so many tenants have failed, no other is begun. Default: no limit. */
  readonly maxFailures?: number | undefined
  /** Whether migrations may lose data that do not declare it. Default false. */
  readonly allowDestructive?: boolean | undefined
  /** Told of each tenant that is done with. */
  readonly onProgress?: ((progress: MigrateProgress) => void) | undefined
}

/** What became of one tenant just now. */
export interface MigrateProgress {
  readonly outcome: MigrateOutcome
  /** Tenants that are done with, by this process. */
  readonly done: number
  /** Tenants that it began with; more may turn up. */
  readonly total: number
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
  /** By slug. Those that had everything already are listed where there are at most 100 tenants. */
  readonly tenants: readonly MigrateOutcome[]
  /** The run over the tenants; absent when there was nothing to do. */
  readonly run?: RunSummary
}

/** What `tenancy.fleet.down` reverts. */
export interface DownOptions {
  /** Reverts all that came after this one. `0` reverts everything. Default: only the last one is reverted. */
  readonly to?: string | undefined
}
