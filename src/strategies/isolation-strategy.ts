/** How a tenant is isolated: one interface, one implementation for each isolation. */
import type { EntityManager } from '@mikro-orm/postgresql'
import type { Identifier } from '../naming.ts'
import type { CreatedResource, ProvisioningMode } from '../tenants/entities.ts'
import type { TenantRecord } from '../tenants/directory.ts'

/** Access to a tenant's data for one run or request. Whoever opens it ends it; afterwards its EntityManager refuses. */
export interface TenantLease {
  readonly em: EntityManager
  end(): void
}

/** Where the migrations of a tenant run. */
export interface MigrationPlace {
  readonly schema: Identifier
  /** A direct URL (no pooler) with the right to change tables. */
  readonly url: string
}

/** A new tenant, as far as its strategy must know it. */
export interface NewTenant {
  readonly record: TenantRecord
  readonly mode: ProvisioningMode
}

/** What a strategy runs to fill a new tenant: statements with unqualified names, in order. */
export interface TenantScript {
  readonly statements: readonly string[]
  readonly fingerprint: string
}

/** What became of resources that were to be dropped; what is in neither list was not there. */
export interface DropReport {
  readonly dropped: readonly CreatedResource[]
  /** What exists and does not bear the tenant's mark: left as it is. */
  readonly unmarked: readonly CreatedResource[]
}

/** What became of one resource. */
export type DropOutcome = 'dropped' | 'absent' | 'unmarked'

/** Drops resources one after the other. */
export async function dropAll(
  resources: readonly CreatedResource[],
  drop: (resource: CreatedResource) => Promise<DropOutcome>,
): Promise<DropReport> {
  const report = { dropped: [] as CreatedResource[], unmarked: [] as CreatedResource[] }
  for (const resource of resources) {
    const outcome = await drop(resource)
    if (outcome !== 'absent') report[outcome].push(resource)
  }
  return report
}

export interface IsolationStrategy {
  /**
   * Opens the way into a tenant. `giveUp` is asked for a signal if there is a wait for it.
   *
   * @throws POOL_EXHAUSTED, SECRET_TAMPERED, SECRET_KEY_UNKNOWN, and the signal's reason
   */
  connect(tenant: TenantRecord, giveUp?: () => AbortSignal | undefined): Promise<TenantLease>
  /** Creates the tenant's place and its tables; `created` is told of each resource as soon as it exists. */
  create(tenant: NewTenant, script: TenantScript, created: (resource: CreatedResource) => Promise<void>): Promise<void>
  /** Drops the named resources, and only those that are marked as this tenant's. */
  drop(tenant: TenantRecord, resources: readonly CreatedResource[]): Promise<DropReport>
  migrationPlace(tenant: TenantRecord): MigrationPlace
  /** Makes what an existing tenant lacks of what the isolation needs by now; `migrated` says whether its tables have just changed. */
  repair?(tenant: TenantRecord, migrated: boolean, created: (resource: CreatedResource) => Promise<void>): Promise<void>
}

/** The mark that this framework leaves on what it creates (`COMMENT ON …`); what does not bear it is never dropped. */
export function ownershipMark(tenantId: string): string {
  return `mikro-tenantkit tenant ${tenantId}`
}
