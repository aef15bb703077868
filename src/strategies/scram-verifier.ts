/** What PostgreSQL stores of a password, computed here: no log of the server then holds the password. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'

const ITERATIONS = 4096
const SALT_BYTES = 16

/**
 * The SCRAM-SHA-256 verifier of a password of ASCII characters (others would need SASLprep).
 *
 * Sources: RFC 5802 (3), RFC 7677, https://www.postgresql.org/docs/current/catalog-pg-authid.html
 *
 * @param salt Default: 16 random bytes.
 */
export function scramVerifier(password: string, salt: Buffer = randomBytes(SALT_BYTES)): string {
  const salted = pbkdf2Sync(password, salt, ITERATIONS, 32, 'sha256')
  const keyOf = (name: string) => createHmac('sha256', salted).update(name).digest()
  const storedKey = createHash('sha256').update(keyOf('Client Key')).digest('base64')
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${storedKey}:${keyOf('Server Key').toString('base64')}`
}
