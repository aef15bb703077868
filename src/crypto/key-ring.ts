/**
 * The key ring: the keys that seal stored secrets, each with an id, the first one being the one that encrypts.
 *
 * Old keys stay in the ring until every secret is sealed again; so keys rotate without a stop.
 */
import { createSecretKey, randomBytes, type KeyObject } from 'node:crypto'
import { ConfigurationError, shown } from '../errors.ts'

/** Length of an AES-256 key, in bytes. */
export const KEY_BYTES = 32

// The same symbol as util.inspect.custom; so this room needs node:crypto alone.
const INSPECT = Symbol.for('nodejs.util.inspect.custom')
const KEY_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/
// Canonical base64 of 32 bytes: 43 characters and one pad; the last character carries 4 bits only.
const KEY_TEXT = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/
const HINT =
  'TENANTKIT_ENCRYPTION_KEYS is <id>:<base64 of 32 bytes>, comma separated, the first one encrypts; `tenantkit keys generate` makes one.'

/**
 * The keys that seal and open stored secrets; it shows its ids, and never a key.
 *
 * Made by {@link parseKeyRing}. Keys live in `KeyObject`s and private fields: neither JSON, nor `inspect`, nor a clone, nor a log can
 * show them.
 *
 * @example
 * const ring = parseKeyRing(process.env.TENANTKIT_ENCRYPTION_KEYS ?? '')
 * ring.primaryId // 'k2'
 */
export class KeyRing {
  readonly #keys: ReadonlyMap<string, KeyObject>
  readonly #primaryId: string

  constructor(primaryId: string, keys: ReadonlyMap<string, KeyObject>) {
    if (!keys.has(primaryId)) throw new ConfigurationError(['The key ring does not hold its first key.'], HINT)
    this.#primaryId = primaryId
    this.#keys = new Map(keys)
  }

  /** The id of the key that encrypts. */
  get primaryId(): string {
    return this.#primaryId
  }

  /** The ids of all keys, the encrypting one first. */
  get ids(): readonly string[] {
    return [...this.#keys.keys()]
  }

  /** The key with this id, or undefined. */
  key(id: string): KeyObject | undefined {
    return this.#keys.get(id)
  }

  /** What JSON and logs may show: the ids. */
  toJSON(): { readonly ids: readonly string[] } {
    return { ids: this.ids }
  }

  [INSPECT](): string {
    return `KeyRing { ids: ${this.ids.join(', ')} }`
  }
}

/**
 * Reads a key ring from the form of `TENANTKIT_ENCRYPTION_KEYS`: `<id>:<base64 of 32 bytes>`, comma separated, the first one encrypts.
 *
 * An id has 1 to 32 letters, digits, `_` or `-`. All problems are reported at once, by position, without the text of an entry.
 * Throws `CONFIGURATION_INVALID` when an entry is malformed, of another length, or weak, and when an id or a key occurs twice.
 *
 * @example
 * const ring = parseKeyRing('k2:q83v…=,k1:AAEC…=') // seals with k2, opens k2 and k1
 */
export function parseKeyRing(text: string): KeyRing {
  const problems: string[] = []
  const keys = new Map<string, KeyObject>()
  if (text.trim() === '') throw new ConfigurationError(['No encryption key is set.'], HINT)
  for (const [index, entry] of text.split(',').entries()) {
    const found = parseEntry(entry.trim())
    if (typeof found === 'string') problems.push(`Encryption key ${index + 1} ${found}.`)
    else if (keys.has(found.id)) problems.push(`Encryption key ${index + 1} has the id ${shown(found.id)}, which an earlier key has.`)
    // Adding the old key under a new id looks like a rotation and is none.
    else if ([...keys.values()].some(key => key.equals(found.key)))
      problems.push(`Encryption key ${index + 1} is the same key as an earlier one.`)
    else keys.set(found.id, found.key)
  }
  const [primaryId] = keys.keys()
  if (problems.length > 0 || primaryId === undefined) throw new ConfigurationError(problems, HINT)
  return new KeyRing(primaryId, keys)
}

/**
 * Makes one entry for `TENANTKIT_ENCRYPTION_KEYS` with a random 256-bit key.
 *
 * @param id The key's id, default `k<date>-<4 hex digits>`. Throws `CONFIGURATION_INVALID` when it is malformed.
 *
 * @example
 * generateKey('k2') // 'k2:q83v…='
 */
export function generateKey(id: string = newKeyId()): string {
  if (!KEY_ID.test(id))
    throw new ConfigurationError(
      [`${shown(id)} is not a key id.`],
      'A key id has 1 to 32 letters, digits, _ or -, and begins with a letter or digit.',
    )
  return `${id}:${randomBytes(KEY_BYTES).toString('base64')}`
}

/**
 * The ids of keys that look written by hand instead of made by {@link generateKey}: few different bytes, a text, a sequence.
 *
 * Of 10^13 random keys not one looks so. What is malformed is left to {@link parseKeyRing}.
 */
export function weakKeyIds(text: string): readonly string[] {
  return text.split(',').flatMap(entry => {
    const found = parseEntry(entry.trim())
    return typeof found !== 'string' && isWeak(found.key.export()) ? [found.id] : []
  })
}

function isWeak(bytes: Buffer): boolean {
  const isText = bytes.every(byte => byte >= 0x20 && byte < 0x7f)
  const isSequence = bytes.every((byte, index) => index < 2 || byte - bytes[index - 1]! === bytes[1]! - bytes[0]!)
  return isText || isSequence || new Set(bytes).size < KEY_BYTES / 2
}

function newKeyId(): string {
  return `k${new Date().toISOString().slice(0, 10).replaceAll('-', '')}-${randomBytes(2).toString('hex')}`
}

/** One entry, or what is wrong with it. What is wrong never quotes the entry: id and key may stand in the wrong order. */
function parseEntry(entry: string): { readonly id: string; readonly key: KeyObject } | string {
  const colon = entry.indexOf(':')
  if (colon < 0) return 'is malformed: it has no colon between id and key'
  const id = entry.slice(0, colon)
  const text = entry.slice(colon + 1)
  if (!KEY_ID.test(id)) return 'is malformed: its id is not 1 to 32 letters, digits, _ or -'
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return 'is malformed: its key is not base64'
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length !== KEY_BYTES) return `has ${bytes.length} bytes instead of ${KEY_BYTES}`
  if (!KEY_TEXT.test(text)) return 'is malformed: its key is not canonical base64'
  if (bytes.every(byte => byte === bytes[0])) return 'is weak: all its bytes are equal'
  return { id, key: createSecretKey(bytes) }
}
