/**
 * Password hashes: argon2id where the runtime has it (Node >= 24.7), else scrypt, both in the PHC string format.
 *
 * Sources: RFC 9106 (argon2), RFC 7914 (scrypt), OWASP Password Storage Cheat Sheet (parameters), NIST SP 800-63B (policy).
 */
// A namespace import: on Node 22 a named import of `argon2` would not even link.
import * as crypto from 'node:crypto'
import { ConfigurationError, ValidationFailedError, type FieldError } from '../errors.ts'

/** The two ways a password is hashed. */
export type PasswordAlgorithm = 'argon2id' | 'scrypt'

/** Least and greatest length of a password, in characters (code points after normalisation). */
export const PASSWORD_LENGTH = Object.freeze({ min: 8, max: 200 })

// scrypt begins with HMAC, which fills short keys up with zeros: a password and the same one with NULs behind it have one hash.
const NUL = '\0'
const SALT_BYTES = 16
const HASH_BYTES = 32
const ARGON2 = Object.freeze({ memoryKiB: 19 * 1024, passes: 2, parallelism: 1 })
const SCRYPT = Object.freeze({ logCost: 17, blockSize: 8, parallelism: 1 })
// A stored hash may ask for more work than ours (an import), but not for so much that checking it stops the server.
const MOST_MEMORY_BYTES = 256 * 1024 * 1024

const ARGON2_HASH = /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/
const SCRYPT_HASH = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/

type Parameters =
  | { readonly algorithm: 'argon2id'; readonly memoryKiB: number; readonly passes: number; readonly parallelism: number }
  | { readonly algorithm: 'scrypt'; readonly logCost: number; readonly blockSize: number; readonly parallelism: number }

interface StoredHash {
  readonly parameters: Parameters
  readonly salt: Buffer
  readonly hash: Buffer
}

/** The algorithm new hashes use on this runtime. */
export const passwordAlgorithm: PasswordAlgorithm = typeof crypto.argon2 === 'function' ? 'argon2id' : 'scrypt'

/**
 * Hashes a password for storage, with a random salt, as a PHC string.
 *
 * argon2id with 19 MiB, 2 passes, 1 lane; or scrypt with N = 2^17, r = 8, p = 1 (128 MiB) where the runtime has no argon2.
 * Throws `VALIDATION_FAILED` when the password is refused by {@link checkPassword}.
 *
 * @param algorithm Default: the best this runtime has, {@link passwordAlgorithm}.
 *
 * @example
 * user.passwordHash = await hashPassword('correct horse battery') // '$argon2id$v=19$m=19456,t=2,p=1$…'
 */
export async function hashPassword(password: string, algorithm: PasswordAlgorithm = passwordAlgorithm): Promise<string> {
  const refused = checkPassword(password)
  if (refused.length > 0) throw new ValidationFailedError(refused)
  const parameters = defaultsOf(algorithm)
  const salt = crypto.randomBytes(SALT_BYTES)
  const hash = await derive(password, salt, HASH_BYTES, parameters)
  return `${prefixOf(parameters)}$${unpadded(salt)}$${unpadded(hash)}`
}

/**
 * Whether a password is the one of a stored hash; the answer for an unknown user (`undefined`) takes the same time.
 *
 * A malformed hash is false, after the same work. Throws `CONFIGURATION_INVALID` for an argon2id hash on a runtime without argon2:
 * all users would be locked out, and nobody would know why.
 *
 * @example
 * const user = await findUser(email)
 * const good = await verifyPassword(password, user?.passwordHash)
 */
export async function verifyPassword(password: string, stored: string | null | undefined): Promise<boolean> {
  const known = typeof stored === 'string' ? parseHash(stored) : undefined
  // No password that is longer than the policy allows, or holds a NUL, was ever stored; it must not buy extra work either.
  const fits = typeof password === 'string' && !isTooLong(password) && !password.includes(NUL)
  const target = known ?? nobody()
  const hash = await derive(fits ? password : '', target.salt, target.hash.length, target.parameters)
  const equal = crypto.timingSafeEqual(hash, target.hash)
  return equal && fits && known !== undefined
}

/**
 * Whether a stored hash should be replaced at the next good log-in: it is malformed, or not made as a new one would be.
 *
 * @example
 * if (good && needsRehash(user.passwordHash)) user.passwordHash = await hashPassword(password)
 */
export function needsRehash(stored: string): boolean {
  const known = parseHash(stored)
  return known === undefined || prefixOf(known.parameters) !== prefixOf(defaultsOf(passwordAlgorithm))
}

/**
 * What is wrong with a new password: nothing (an empty list) for 8 to 200 characters that are not all the same and hold no NUL.
 *
 * Length is what protects; rules about digits and capitals are left out on purpose (NIST SP 800-63B, 5.1.1.2).
 *
 * @example
 * const errors = checkPassword(body.password)
 * if (errors.length > 0) throw new ValidationFailedError(errors)
 */
export function checkPassword(password: unknown): FieldError[] {
  const refuse = (message: string): FieldError[] => [{ path: 'password', message }]
  if (typeof password !== 'string') return refuse('must be a string')
  if (isTooLong(password)) return refuse(`must have at most ${PASSWORD_LENGTH.max} characters`)
  if (password.includes(NUL)) return refuse('must not hold the character NUL')
  const characters = [...password.normalize('NFKC')]
  if (characters.length < PASSWORD_LENGTH.min) return refuse(`must have at least ${PASSWORD_LENGTH.min} characters`)
  if (new Set(characters).size === 1) return refuse('must not be one character repeated')
  return []
}

function isTooLong(password: string): boolean {
  // A cheap bound first: normalising megabytes is work an attacker would get for free. Eight units a character
  // leave room for combining marks.
  return password.length > PASSWORD_LENGTH.max * 8 || [...password.normalize('NFKC')].length > PASSWORD_LENGTH.max
}

function defaultsOf(algorithm: PasswordAlgorithm): Parameters {
  return algorithm === 'argon2id' ? { algorithm, ...ARGON2 } : { algorithm, ...SCRYPT }
}

function prefixOf(parameters: Parameters): string {
  return parameters.algorithm === 'argon2id'
    ? `$argon2id$v=19$m=${parameters.memoryKiB},t=${parameters.passes},p=${parameters.parallelism}`
    : `$scrypt$ln=${parameters.logCost},r=${parameters.blockSize},p=${parameters.parallelism}`
}

/** The hash of nobody: as much work as a real one, and no password has it. */
function nobody(): StoredHash {
  return { parameters: defaultsOf(passwordAlgorithm), salt: crypto.randomBytes(SALT_BYTES), hash: crypto.randomBytes(HASH_BYTES) }
}

function derive(password: string, salt: Buffer, length: number, parameters: Parameters): Promise<Buffer> {
  // One spelling for what looks the same: keyboards differ in how they compose an accent (NIST SP 800-63B, 5.1.1.2).
  const message = Buffer.from(password.normalize('NFKC'), 'utf8')
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, hash: Buffer): void => (error ? reject(error) : resolve(hash))
    if (parameters.algorithm === 'scrypt') {
      const { logCost, blockSize, parallelism } = parameters
      const maxmem = scryptMemory(logCost, blockSize, parallelism) + 1024 * 1024
      crypto.scrypt(message, salt, length, { N: 2 ** logCost, r: blockSize, p: parallelism, maxmem }, done)
    } else if (typeof crypto.argon2 === 'function') {
      const { memoryKiB, passes, parallelism } = parameters
      crypto.argon2('argon2id', { message, nonce: salt, parallelism, tagLength: length, memory: memoryKiB, passes }, done)
    } else {
      reject(new ConfigurationError(['This runtime cannot check argon2id password hashes.'], 'Run on Node 24.7 or newer.'))
    }
  })
}

function scryptMemory(logCost: number, blockSize: number, parallelism: number): number {
  return 128 * blockSize * (2 ** logCost + parallelism + 2)
}

function parseHash(stored: string): StoredHash | undefined {
  const argon2 = ARGON2_HASH.exec(stored)
  const found = argon2 ?? SCRYPT_HASH.exec(stored)
  if (found === null) return undefined
  const [first, second, third] = found.slice(1, 4).map(Number) as [number, number, number]
  const parameters: Parameters = argon2
    ? { algorithm: 'argon2id', memoryKiB: first, passes: second, parallelism: third }
    : { algorithm: 'scrypt', logCost: first, blockSize: second, parallelism: third }
  const salt = padded(found[4] ?? '')
  const hash = padded(found[5] ?? '')
  return salt !== undefined && hash !== undefined && isBearable(parameters) ? { parameters, salt, hash } : undefined
}

/** Whether the parameters are legal (RFC 9106, 3.1; RFC 7914, 2) and affordable. */
function isBearable(parameters: Parameters): boolean {
  const { parallelism } = parameters
  if (parallelism < 1 || parallelism > 16) return false
  if (parameters.algorithm === 'argon2id') {
    const { memoryKiB, passes } = parameters
    return passes >= 1 && passes <= 16 && memoryKiB >= 8 * parallelism && memoryKiB * 1024 <= MOST_MEMORY_BYTES
  }
  const { logCost, blockSize } = parameters
  return logCost >= 1 && logCost <= 20 && blockSize >= 1 && scryptMemory(logCost, blockSize, parallelism) <= MOST_MEMORY_BYTES
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '')
}

/** Decodes base64 without padding, in its canonical form only. */
function padded(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  return unpadded(bytes) === text ? bytes : undefined
}
