/** The life of a tenant: which operation is possible in which status. */
import { InvalidStateError, TenantArchivedError, TenantNotReadyError, TenantSuspendedError } from '../errors.ts'
import type { TenantStatus } from './entities.ts'

/** From which statuses each operation starts. */
export const ALLOWED = {
  provision: ['pending', 'failed'],
  provision_and_migrate: ['pending', 'failed', 'ready'],
  retry: ['failed'],
  migrate: ['ready', 'suspended'],
  bootstrap_admin: ['ready'],
  suspend: ['ready'],
  resume: ['suspended'],
  archive: ['ready', 'suspended', 'failed', 'pending'],
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
 * Whether a tenant serves, decided here and nowhere else.
 *
 * @throws TENANT_NOT_READY, TENANT_SUSPENDED, TENANT_ARCHIVED
 */
export function assertServing(slug: string, status: TenantStatus): void {
  if (status === 'ready') return
  if (status === 'suspended') throw new TenantSuspendedError(slug)
  if (status === 'archived' || status === 'purging' || status === 'purged') throw new TenantArchivedError(slug)
  throw new TenantNotReadyError(slug, status)
}
