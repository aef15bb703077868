/** The way to an EntityManager, and the third layer of the scopes: the context itself refuses what does not belong to it. */
import type { EntityManager, EntityMetadata } from '@mikro-orm/postgresql'
import { CONTROL_ONLY, marksOf, planeOf } from '../../src/classification/scope.ts'
import { controlEm, currentContext, em } from '../../src/context/context.ts'
import { ForbiddenError } from '../../src/errors.ts'

/** What an EntityManager is wanted for. */
export type Access = 'read' | 'write'

/**
 * A new EntityManager of the active context for an entity: a tenant's in its tenant, a shared one in the control plane. In a tenant shared
 * rows are read, as far as they are visible to it, so that references can be named; they are never written there.
 *
 * @throws NO_TENANT_CONTEXT, FORBIDDEN
 */
export function managerFor(meta: EntityMetadata, access: Access): EntityManager {
  if (planeOf(meta) === 'tenant') return em().fork()
  if (!isInTenant()) return controlEm()
  if (access === 'write' || marksOf(meta)[CONTROL_ONLY] === true) throw new ForbiddenError()
  return em().fork()
}

/** Whether a tenant is active here. */
export function isInTenant(): boolean {
  return currentContext()?.tenant !== undefined
}
