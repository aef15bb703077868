/** What the actions on tenants share: the row they are about, what they may do, and how a refusal is told. */
import { AppError, type ActionContext, type ActionRequest } from 'adminjs'
import { controlEm } from '../src/context/context.ts'
import { NotFoundError } from '../src/errors.ts'
import { TenancyError } from '../src/tenancy-error.ts'
import { Tenant, type TenantStatus } from '../src/tenants/entities.ts'
import { ALLOWED, type LifeOperation } from '../src/tenants/life.ts'
import { atFields, type FieldProblems } from './adapter/problems.ts'
import { CONFIRMATION } from './deleted.ts'

/** Whether the record's status allows an operation. */
export function allows(operation: LifeOperation): (context: ActionContext) => boolean {
  const allowed: readonly TenantStatus[] = ALLOWED[operation]
  return ({ record }) => record === undefined || allowed.includes(record.param('status') as TenantStatus)
}

/** The row of a record, by its id: a slug may be another tenant's by now. @throws NOT_FOUND */
export async function tenantOf(id: string) {
  const row = await controlEm().findOne(Tenant, { id }, { filters: { notDeleted: false } })
  if (row === null || row.status === 'purged') throw new NotFoundError('tenant')
  return row
}

/** What was typed to confirm. */
export function confirmationIn({ payload }: ActionRequest): string | undefined {
  const given: unknown = payload?.[CONFIRMATION]
  return typeof given === 'string' ? given : undefined
}

/** Tells refusals of the registry as they are; what is our own fault goes on. */
export async function refusalsShown<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof TenancyError && error.status < 500) throw new AppError(sayingOf(error))
    throw error
  }
}

/** An error with its hint, and without what must not be read. */
export function sayingOf(error: TenancyError): string {
  return [error.message, error.hint].filter(Boolean).join(' ')
}

/** A refusal at its fields, where each of them is a field of the form; everything else as it is. */
export function problemsAt(error: unknown, fields: Readonly<Record<string, string>>): unknown {
  if (!(error instanceof TenancyError) || error.status >= 500 || error.errors === undefined || error.errors.length === 0) return error
  const problems: FieldProblems = {}
  for (const { path, message } of error.errors) {
    const field = Object.hasOwn(fields, path) ? fields[path]! : undefined
    if (field === undefined) return error
    problems[field] ??= { type: 'invalid', message }
  }
  return atFields(problems)
}
