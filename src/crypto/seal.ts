/**
 * Sealing of stored secrets: AES-256-GCM, with the place where a secret belongs bound to it.
 *
 * An envelope is `v1.<key id>.<iv>.<ciphertext>.<tag>`, the last three in base64url. Version, key id, tenant and purpose are the
 * additional authenticated data: a secret copied to another tenant, or to another field, does not open.
 * Sources: NIST SP 800-38D (96-bit random IV, 128-bit tag), RFC 4648 section 5 (base64url).
 */
import { createCipheriv, createDecipheriv, randomBytes, type KeyObject } from 'node:crypto'
import { ConfigurationError, SecretKeyUnknownError, SecretTamperedError, ValidationFailedError } from '../errors.ts'
import type { KeyRing } from './key-ring.ts'

const VERSION = 'v1'
const CIPHER = 'aes-256-gcm'
// A random 96-bit IV is good for 2^32 secrets a key (SP 800-38D, 8.3): far above what a registry of tenants holds.
const IV_BYTES = 12
const TAG_BYTES = 16
const ENVELOPE = /^v1\.([A-Za-z0-9][A-Za-z0-9_-]{0,31})\.([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]*)\.([A-Za-z0-9_-]{22})$/

/** Where a secret belongs; both parts are bound to it. */
export interface SealContext {
  /** The immutable id of the tenant. Never the slug: a slug can be used again. */
  readonly tenantId: string
  /** What the secret is, for example the name of its column: `connection_string`. */
  readonly purpose: string
}

/**
 * Seals a secret with the first key of the ring.
 *
 * Two seals of one secret differ (random IV). Throws `VALIDATION_FAILED` when the text is not well-formed Unicode (it would come back
 * changed),
 * `CONFIGURATION_INVALID` when the context is empty.
 *
 * @example
 * const envelope = seal(ring, 'postgres://…', { tenantId: tenant.id, purpose: 'connection_string' })
 */
export function seal(keyRing: KeyRing, plaintext: string, context: SealContext): string {
  const id = keyRing.primaryId
  const key = keyOf(keyRing, id)
  const bytes = Buffer.from(plaintext, 'utf8')
  if (bytes.toString('utf8') !== plaintext)
    throw new ValidationFailedError([{ path: context.purpose, message: 'is not well-formed Unicode' }])
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES })
  cipher.setAAD(boundData(id, context))
  const ciphertext = Buffer.concat([cipher.update(bytes), cipher.final()])
  return [VERSION, id, iv.toString('base64url'), ciphertext.toString('base64url'), cipher.getAuthTag().toString('base64url')].join('.')
}

/**
 * Opens a sealed secret in the place it was sealed for.
 *
 * Throws `SECRET_TAMPERED` when any part was changed or cut, or when tenant or purpose are others, and `SECRET_KEY_UNKNOWN` when the ring
 * lacks the key.
 *
 * @example
 * const url = open(ring, tenant.sealedConnectionString, { tenantId: tenant.id, purpose: 'connection_string' })
 */
export function open(keyRing: KeyRing, envelope: string, context: SealContext): string {
  const { id, iv, ciphertext, tag } = parseEnvelope(envelope)
  const key = keyOf(keyRing, id)
  const decipher = createDecipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES })
  decipher.setAAD(boundData(id, context))
  decipher.setAuthTag(tag)
  const bytes = decipher.update(ciphertext)
  try {
    return Buffer.concat([bytes, decipher.final()]).toString('utf8')
  } catch {
    // OpenSSL says no more than "unable to authenticate data", so there is no cause worth keeping.
    throw new SecretTamperedError('it was changed, or belongs to another tenant or field')
  }
}

/**
 * The id of the key that sealed an envelope. Throws `SECRET_TAMPERED` when it is no envelope.
 *
 * @example
 * keyIdOf(envelope) // 'k1'
 */
export function keyIdOf(envelope: string): string {
  return parseEnvelope(envelope).id
}

/**
 * Whether an envelope is sealed with another key than the one that encrypts now. Throws `SECRET_TAMPERED` when it is no envelope.
 *
 * @example
 * if (needsReseal(ring, envelope)) envelope = reseal(ring, envelope, context)
 */
export function needsReseal(keyRing: KeyRing, envelope: string): boolean {
  return keyIdOf(envelope) !== keyRing.primaryId
}

/**
 * Opens a secret and seals it with the first key of the ring: one step of a key rotation.
 *
 * Throws what {@link open} throws; the old envelope stays good as long as its key is in the ring.
 *
 * @example
 * row.secret = reseal(ring, row.secret, { tenantId: row.id, purpose: 'connection_string' })
 */
export function reseal(keyRing: KeyRing, envelope: string, context: SealContext): string {
  return seal(keyRing, open(keyRing, envelope, context), context)
}

function keyOf(keyRing: KeyRing, id: string): KeyObject {
  const key = keyRing.key(id)
  if (key === undefined) throw new SecretKeyUnknownError(id, keyRing.ids)
  return key
}

/** The additional authenticated data. A JSON array, so that no two contexts give the same bytes. */
function boundData(keyId: string, { tenantId, purpose }: SealContext): Buffer {
  if (!isName(tenantId) || !isName(purpose))
    throw new ConfigurationError(['A secret is sealed for a tenant id and a purpose, and one of them is empty.'])
  return Buffer.from(JSON.stringify([VERSION, keyId, tenantId, purpose]), 'utf8')
}

function isName(value: unknown): boolean {
  return typeof value === 'string' && value !== ''
}

function parseEnvelope(envelope: string) {
  const found = typeof envelope === 'string' ? ENVELOPE.exec(envelope) : null
  if (found === null) throw new SecretTamperedError('it is not an envelope of version 1')
  const [, id = '', iv = '', ciphertext = '', tag = ''] = found
  return { id, iv: decode(iv), ciphertext: decode(ciphertext), tag: decode(tag) }
}

/** Decodes base64url strictly: Buffer ignores the spare bits of the last character, and then two envelopes would be one secret. */
function decode(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64url')
  if (bytes.toString('base64url') !== text) throw new SecretTamperedError('it is not canonical base64url')
  return bytes
}
