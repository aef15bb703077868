/** The life of a tenant: which operation is possible in which status. */
import { InvalidStateError, TenantArchivedError, TenantNotReadyError, TenantSuspendedError, ValidationFailedError } from '../errors.ts'
import type { TenantRow } from './directory.ts'
import type { TenantStatus } from './entities.ts'
import type { TenantChange } from './input.ts'

/** From which statuses each operation starts. */
export const ALLOWED = {
  // A tenant that is `provisioning` while nobody holds its lock was abandoned: its process ended.
  provision: ['pending', 'provisioning', 'failed'],
  provision_and_migrate: ['pending', 'provisioning', 'failed', 'ready'],
  retry: ['provisioning', 'failed'],
  migrate: ['ready', 'suspended'],
  bootstrap_admin: ['ready'],
  suspend: ['ready'],
  resume: ['suspended'],
  archive: ['ready', 'suspended', 'failed', 'pending', 'provisioning'],
  restore: ['archived'],
  purge: ['archived', 'purging'],
} as const satisfies Record<string, readonly TenantStatus[]>

export type LifeOperation = keyof typeof ALLOWED

/** The operations that can be asked for by name. `archive` is asked for by deleting. */
export const OPERATIONS = [
  'provision',
  'migrate',
  'provision_and_migrate',
  'bootstrap_admin',
  'suspend',
  'resume',
  'restore',
  'purge',
  'retry',
] as const
export type OperationName = (typeof OPERATIONS)[number]

/** @throws INVALID_STATE with `details.allowed` */
export function assertAllowed(slug: string, operation: LifeOperation, status: TenantStatus): void {
  const allowed: readonly TenantStatus[] = ALLOWED[operation]
  if (!allowed.includes(status)) throw new InvalidStateError(slug, operation, status, allowed)
}

/**
 * Whether a tenant serves, decided here and nowhere else. One that is being migrated does not, until the time that its run last said: a run
 * that was killed says nothing any more.
 *
 * @throws TENANT_NOT_READY, TENANT_SUSPENDED, TENANT_ARCHIVED
 */
export function assertServing(slug: string, status: TenantStatus, migratingUntil?: number): void {
  if (status === 'ready') {
    if (migratingUntil !== undefined && Date.now() < migratingUntil) throw new TenantNotReadyError(slug, 'being migrated')
    return
  }
  if (status === 'suspended') throw new TenantSuspendedError(slug)
  if (status === 'archived' || status === 'purging' || status === 'purged') throw new TenantArchivedError(slug)
  throw new TenantNotReadyError(slug, status)
}

/** Nothing serves yet: there is no database to compare a connection with. */
export const UNPROVISIONED: readonly TenantStatus[] = ['pending', 'provisioning', 'failed']

/**
 * Whether a change is possible in the tenant's status: while it is purged, only the credentials to purge it with.
 *
 * @throws INVALID_STATE, VALIDATION_FAILED
 */
export function assertChangeable(row: TenantRow, change: TenantChange): void {
  const { provisioningConnectionString: credentials, ...others } = change
  const isForPurge = credentials !== undefined && Object.values(others).every(value => value === undefined)
  if (row.status === 'purged' || (row.status === 'purging' && !isForPurge))
    throw new InvalidStateError(row.slug, 'update', row.status, ['ready', 'suspended', 'failed', 'pending', 'provisioning', 'archived'])
  if (change.connectionString !== undefined && row.provisioningMode === 'auto' && UNPROVISIONED.includes(row.status))
    throw new ValidationFailedError([{ path: 'connection_string', message: 'is made by provisioning, which has not succeeded yet' }])
}
