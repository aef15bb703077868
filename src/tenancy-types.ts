/** What the methods of a tenancy take and give. */
import type { ConnectionRegistryStatistics } from './connections/connection-registry.ts'
import type { Actor } from './context/context.ts'
import type { AdminInput } from './options.ts'
import type { OrmStatistics } from './strategies/runtime-orm.ts'
import type { DirectoryStatistics } from './tenants/directory.ts'
import type { TenantInput } from './tenants/input.ts'
import type { TenantJson } from './tenants/tenant-json.ts'

/** What a run may be told beside its work. */
export interface RunOptions {
  /** Who acts. Default: the actor of the outer context, except a local user of another tenant. */
  readonly actor?: Actor | undefined
  /** For logs. Default: that of the outer context. */
  readonly requestId?: string | undefined
  /** Aborts the run when it fires: statements are cancelled, transactions rolled back, the lease is given back. Default: none. */
  readonly signal?: AbortSignal | undefined
}

/** What is open and in use now, and what happened so far. */
export interface TenancyStatistics extends OrmStatistics {
  /** Runs and requests in tenants. */
  readonly leases: number
  /** Pools of database tenants. */
  readonly databases: ConnectionRegistryStatistics
  /** The tenants that are kept in memory. */
  readonly directory: DirectoryStatistics
}

/** What `provision` takes: a tenant's fields, and maybe its first administrator. */
export interface ProvisionInput extends TenantInput {
  readonly admin?: AdminInput | undefined
}

/** What an operation says when it ran to its end. */
export interface OperationReport {
  readonly operation: {
    readonly id: string
    readonly name: string
    readonly status: 'succeeded'
    readonly tenant: string
    readonly started_at: string
    readonly finished_at: string
    /** Migrations that were applied, or resources that were dropped; `hook_failures` when hooks threw. */
    readonly result: Readonly<Record<string, unknown>>
  }
  readonly tenant: TenantJson
}

/** What an operation may be told. */
export interface OperationOptions {
  /** `DELETE <slug>` for `purge`. */
  readonly confirm?: string | undefined
  /** The first administrator, for `bootstrap_admin` and for provisioning. */
  readonly admin?: AdminInput | undefined
}

/** A hook that threw after its event. */
export interface HookFailure {
  readonly name: string
  readonly message: string
}

/** What an operation did. @internal */
export interface Performed {
  readonly failures: readonly HookFailure[]
  readonly result: Readonly<Record<string, unknown>>
}
