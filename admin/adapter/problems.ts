/**
 * What a write was refused for, as the form shows it: at the field where there is one, as a notice otherwise, never as a success.
 *
 * AdminJS takes a ValidationError without a field for a success; so what belongs to no field is an AppError.
 */
import type { EntityMetadata } from '@mikro-orm/postgresql'
import { AppError, ForbiddenError, ValidationError } from 'adminjs'
import { TenancyError } from '../../src/tenancy-error.ts'

/** Messages by field. */
export type FieldProblems = Record<string, { readonly type: string; readonly message: string }>

interface DatabaseError {
  readonly name?: string
  readonly code?: string
  readonly detail?: string
  readonly column?: string
}

/** An error at fields. */
export function atFields(problems: FieldProblems): ValidationError {
  return new ValidationError(problems)
}

/** An error that a notice tells. */
export function notice(message: string): AppError {
  return new AppError(message)
}

/** Whether AdminJS shows the error by itself. */
export function isShown(error: unknown): boolean {
  return error instanceof ValidationError || error instanceof AppError || error instanceof ForbiddenError
}

/** The error that is shown for any error of a write; what is not known stays as it is, and becomes a 500. */
export function shown(error: unknown, meta: EntityMetadata): unknown {
  if (isShown(error)) return error
  if (error instanceof TenancyError) return ofTenancy(error, meta)
  const { name, code = '', detail, column } = (typeof error === 'object' && error !== null ? error : {}) as DatabaseError
  if (code === '23505') return taken(meta, detail)
  if (code === '23502' && column !== undefined) return required(meta, column)
  if (code === '23503') return notice('Other records refer to this one, or one that it refers to is gone.')
  if (code === '40001' || code === '40P01') return notice('Another change came between. Try again.')
  if (/^2[23]/.test(code)) return notice('The database refused a value: out of range, too long, or against a rule of the table.')
  if (name === 'NotFoundError') return notice('The record is gone.')
  return error
}

function ofTenancy(error: TenancyError, meta: EntityMetadata): unknown {
  if (error.status >= 500) return error
  if (error.code === 'FORBIDDEN') return new ForbiddenError('forbiddenError')
  const known = (error.errors ?? []).filter(({ path }) => path in meta.properties)
  if (known.length > 0 && known.length === error.errors?.length)
    return atFields(Object.fromEntries(known.map(({ path, message }) => [path, { type: 'invalid', message }])))
  const fields = (error.errors ?? []).map(({ path, message }) => `${path} ${message}`).join('; ')
  return notice([error.message, fields, error.hint].filter(Boolean).join(' '))
}

/** Source: PostgreSQL's detail of 23505, `Key (a, b)=(…) already exists.` The columns alone are taken from it. */
function taken(meta: EntityMetadata, detail = ''): unknown {
  const columns = (/^Key \(([^)]*)\)=/.exec(detail)?.[1] ?? '').split(', ').map(name => name.replaceAll('"', ''))
  const found = meta.props.filter(property => property.fieldNames?.some(name => columns.includes(name)))
  if (found.length === 0) return notice('A record with these values exists already.')
  return atFields(Object.fromEntries(found.map(({ name }) => [name, { type: 'unique', message: 'Already taken' }])))
}

function required(meta: EntityMetadata, column: string): unknown {
  const found = meta.props.find(property => property.fieldNames?.includes(column))
  return found === undefined
    ? notice(`A value is missing: ${column}.`)
    : atFields({ [found.name]: { type: 'required', message: 'Required' } })
}
