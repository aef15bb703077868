/** Secrets in the environment that are easily guessed. What is not set is not looked at: who needs it says so at start. */
import type { Finding } from './findings.ts'

/** The bytes that HS256 asks for at least: https://www.rfc-editor.org/rfc/rfc7518#section-3.2 */
const SECRET_BYTES = 32
const PASSWORD_LENGTH = 12
const SECRETS = ['TENANTKIT_JWT_SECRET'] as const
const PASSWORDS = ['TENANTKIT_ADMIN_PASSWORD'] as const
const COMMON = /(change.?me|password|secret|example|qwert|letmein|12345|admin)/i

/** The finding about secrets in environment variables. It never holds one. */
export function environmentFindings(env: Readonly<Record<string, string | undefined>>): readonly Finding[] {
  const weak = [
    ...SECRETS.flatMap(name => reasonFor(name, env[name], SECRET_BYTES, 'bytes')),
    ...PASSWORDS.flatMap(name => reasonFor(name, env[name], PASSWORD_LENGTH, 'characters')),
  ]
  const name = 'environment'
  if (weak.length === 0) return [{ name, ok: true, level: 'ok', message: 'no secret in it is easily guessed' }]
  const hint = 'Make one: openssl rand -base64 48'
  return [{ name, ok: true, level: 'warning', message: weak.join('; '), hint }]
}

function reasonFor(name: string, value: string | undefined, least: number, unit: string): string[] {
  if (value === undefined || value.trim() === '') return []
  if (Buffer.byteLength(value) < least) return [`${name} has less than ${least} ${unit}`]
  if (new Set(value).size < 8) return [`${name} repeats few characters`]
  // A long phrase may hold such a word.
  return COMMON.test(value) && value.length < 2 * PASSWORD_LENGTH ? [`${name} holds a word that is tried first`] : []
}
