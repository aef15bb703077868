/** Storing rows of the registry, and what PostgreSQL's refusals mean there. */
import { OptimisticLockError, UniqueConstraintViolationException, type EntityManager } from '@mikro-orm/postgresql'
import { changeLife } from '../audit/audit-subscriber.ts'
import { AliasTakenError, ConflictError, SchemaTakenError, SlugTakenError } from '../errors.ts'
import type { TenantRow } from '../tenants/directory.ts'
import { Tenant, type TenantStatus } from '../tenants/entities.ts'
import type { CheckedTenant } from '../tenants/input.ts'

/** What may be changed of a row. */
export type RowChange = Partial<Record<keyof TenantRow, unknown>> & { readonly status?: TenantStatus }

/** The row of an id, whatever its status. */
export async function tenantById(em: EntityManager, id: string): Promise<TenantRow> {
  return em.findOneOrFail(Tenant, { id }, { filters: false })
}

/** @throws CONFLICT when somebody else changed the row meanwhile. */
export async function changeTenant(em: EntityManager, id: string, change: RowChange, life?: 'delete' | 'restore'): Promise<void> {
  const row = await tenantById(em, id)
  Object.assign(row, change)
  if (life !== undefined) changeLife(row, life)
  await save(em)
}

async function save(em: EntityManager): Promise<void> {
  await em.flush().catch((error: unknown) => {
    if (error instanceof OptimisticLockError)
      throw new ConflictError('The tenant was changed meanwhile.', { hint: 'Read it again and repeat the change.', cause: error })
    throw error
  })
}

/** Which unique value was taken is read from the declared index that the violation names. */
export function takenError(error: unknown, checked: CheckedTenant): unknown {
  if (!(error instanceof UniqueConstraintViolationException)) return error
  const constraint = (error as { constraint?: string }).constraint ?? error.message
  if (constraint.includes('schema_name')) return new SchemaTakenError(checked.schemaName ?? '')
  if (constraint.includes('connection_alias')) return new AliasTakenError(checked.connectionAlias ?? '')
  return new SlugTakenError(checked.slug)
}
