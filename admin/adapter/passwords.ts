/** Passwords in forms: written and never read. What is kept is what the application's own function makes of them. */
import type { EntityMetadata } from '@mikro-orm/postgresql'
import { ConfigurationError } from '../../src/errors.ts'
import { TenancyError } from '../../src/tenancy-error.ts'
import type { FieldProblems } from './problems.ts'

/** Makes the hash of a password, by property; what it throws is shown at the field. */
export type Passwords = Readonly<Record<string, (password: string) => Promise<string>>>

const MAX_LENGTH = 1_000

/** @throws CONFIGURATION_INVALID for a property that is not there, or that is not hidden: it would be shown, and told by the history */
export function assertHidden(meta: EntityMetadata, passwords: Passwords): void {
  const wrong = Object.keys(passwords).filter(name => !Object.hasOwn(meta.properties, name) || meta.properties[name]?.hidden !== true)
  if (wrong.length > 0)
    throw new ConfigurationError(
      [`admin.resources.${meta.className}.passwords names ${wrong.join(', ')}, which is no hidden property.`],
      'Mark it as hidden().',
    )
}

/** The hashes of the passwords that a form sends; an empty one means that none is sent. */
export async function hashesOf(passwords: Passwords, params: Readonly<Record<string, unknown>>) {
  const data: Record<string, string> = {}
  const problems: FieldProblems = {}
  for (const [name, hash] of Object.entries(passwords)) {
    const password = params[name]
    if (password === undefined || password === null || password === '') continue
    if (typeof password !== 'string') problems[name] = { type: 'invalid', message: 'Not a single value' }
    else if (password.length > MAX_LENGTH) problems[name] = { type: 'invalid', message: `At most ${MAX_LENGTH} characters` }
    else {
      try {
        data[name] = await hash(password)
      } catch (error) {
        if (!(error instanceof TenancyError) || error.status >= 500) throw error
        problems[name] = { type: 'invalid', message: error.errors?.map(({ message }) => message).join('; ') || error.message }
      }
    }
  }
  return { data, problems }
}
