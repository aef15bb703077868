/** The first administrator of a tenant, checked before anything is made. */
import { ValidationFailedError, type FieldError } from '../errors.ts'

/** The first administrator. */
export interface FirstAdmin {
  readonly email: string
  readonly password: string
}

const EMAIL = /^[^\s@\0]+@[^\s@\0]+$/
const EMAIL_MAX = 254

/** What is wrong with a password. */
export type CheckPassword = (password: unknown) => readonly FieldError[]

/**
 * @param checkPassword Undefined where the application makes no administrators.
 * @throws VALIDATION_FAILED
 */
export function checkFirstAdmin(admin: FirstAdmin, checkPassword: CheckPassword | undefined): void {
  if (checkPassword === undefined) {
    throw new ValidationFailedError(
      [{ path: 'admin', message: 'this application makes no administrators' }],
      'Give the option bootstrapAdmin to defineTenancy.',
    )
  }
  const errors: FieldError[] = checkPassword(admin.password).map(error => ({ ...error, path: `admin.${error.path}` }))
  const email: unknown = admin.email
  if (typeof email !== 'string' || email.trim().length > EMAIL_MAX || !EMAIL.test(email.trim()))
    errors.unshift({ path: 'admin.email', message: 'must be an email address' })
  if (errors.length > 0) throw new ValidationFailedError(errors)
}
