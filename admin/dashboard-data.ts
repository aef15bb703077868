/** What the first page is given. Bytes are numbers, days are `2026-01-31` (UTC), times are ISO 8601. */
import type { CardFigure } from './pages.ts'

/** A number of rows. */
export interface DashboardTile {
  readonly label: string
  readonly value: number
  readonly resource: string
}

/** Tenants of a status. */
export interface StatusCount {
  readonly status: string
  readonly tenants: number
}

/** Serving tenants that have the same last migration. */
export interface VersionShare {
  readonly version: string | null
  readonly tenants: number
  readonly current: boolean
}

/** One wave of a run; 0 are the canaries. */
export interface WaveFigures {
  readonly wave: number
  readonly applied: number
  readonly failed: number
  readonly skipped: number
  readonly running: number
  readonly pending: number
}

/** A migration run. */
export interface RunFigures {
  readonly id: string
  readonly status: string
  readonly actor: string
  readonly started_at: string
  readonly finished_at: string | null
  readonly reason: string | null
  readonly waves: readonly WaveFigures[]
}

/** Something that failed lately. */
export interface Failure {
  readonly at: string
  /** `provision`, `migrate`, … or `migration run`. */
  readonly what: string
  readonly code: string | null
  readonly reason: string | null
  readonly tenant: string
  /** Of the tenant; null when there is none of that name any more. */
  readonly tenant_id: string | null
}

/** Tenants that were made, and how many there ever were before. */
export interface TenantGrowth {
  readonly before: number
  readonly days: readonly { readonly day: string; readonly tenants: number }[]
}

/** What tenants take. */
export interface StorageFigures {
  /** The last day that was measured. */
  readonly day: string
  readonly bytes: number
  readonly tenants: number
  /** The largest. `bytes_before` is the oldest row of the last 30 days, if there is one of another day. */
  readonly largest: readonly {
    readonly id: string
    readonly tenant: string
    readonly bytes: number
    readonly day_before: string | null
    readonly bytes_before: number | null
  }[]
  readonly days: readonly { readonly day: string; readonly bytes: number }[]
}

/** The whole fleet, for who may see the registry. */
export interface FleetFigures {
  readonly statuses: readonly StatusCount[]
  /** The last migration of tenants. */
  readonly head: string | null
  readonly versions: readonly VersionShare[]
  readonly behind: number
  /** Those in progress; when there are none, the last one. */
  readonly runs: readonly RunFigures[]
  readonly failures: readonly Failure[]
  readonly growth: TenantGrowth
  /** Absent until something was measured. */
  readonly storage: StorageFigures | null
}

/** A tenant's own figures. */
export interface TenantFigures {
  readonly status: string
  readonly schema_version: string | null
  readonly days: readonly { readonly day: string; readonly bytes: number; readonly tables: number; readonly rows: number }[]
}

/** What the first page is given. */
export interface DashboardData {
  readonly tiles: readonly DashboardTile[]
  readonly fleet?: FleetFigures
  readonly tenant?: TenantFigures
  /** The application's own. */
  readonly cards?: readonly CardFigure[]
}
