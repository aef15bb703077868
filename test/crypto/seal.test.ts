import { createCipheriv } from 'node:crypto'
import { assert } from 'chai'
import fc from 'fast-check'
import { generateKey, parseKeyRing } from '../../src/crypto/key-ring.ts'
import { keyIdOf, needsReseal, open, reseal, seal } from '../../src/crypto/seal.ts'
import { ConfigurationError, SecretKeyUnknownError, SecretTamperedError, ValidationFailedError } from '../../src/errors.ts'

const [k1, k2] = [generateKey('k1'), generateKey('k2')]
const ring = parseKeyRing(k1)
const rotated = parseKeyRing(`${k2},${k1}`)
const context = { tenantId: '0198f5b2-0000-7000-8000-000000000001', purpose: 'connection_string' }
const SECRET = 'postgres://acme:s3cret@db.example/acme'
const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** What the envelope is refused with: only the two typed errors may come out. */
function refusedWith(envelope: string, where = context, keys = ring): string {
  try {
    open(keys, envelope, where)
  } catch (error) {
    if (error instanceof SecretTamperedError || error instanceof SecretKeyUnknownError) return error.code
    throw error
  }
  return 'opened'
}

/** The envelope with some of its parts replaced. */
function withParts(envelope: string, change: Readonly<Record<number, string>>): string {
  return envelope
    .split('.')
    .map((part, index) => change[index] ?? part)
    .join('.')
}

describe('seal and open', () => {
  it('give back any well-formed text', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 200 }),
        fc.string({ unit: 'binary', minLength: 1 }),
        fc.string({ unit: 'binary', minLength: 1 }),
        (text, tenantId, purpose) => {
          assert.equal(open(ring, seal(ring, text, { tenantId, purpose }), { tenantId, purpose }), text)
        },
      ),
    )
  })

  it('give back the empty text, a long one and NUL', () => {
    for (const text of ['', '\0', 'ü'.repeat(100_000), '🐘'.repeat(1000)])
      assert.equal(open(ring, seal(ring, text, context), context), text)
  })

  it('refuse half a surrogate pair, which would come back changed', () => {
    assert.throws(() => seal(ring, 'a\ud800b', context), ValidationFailedError, 'connection_string: is not well-formed Unicode')
  })

  it('write the documented form, with a fresh IV each time', () => {
    const [one, two] = [seal(ring, SECRET, context), seal(ring, SECRET, context)]
    assert.match(one, /^v1\.k1\.[\w-]{16}\.[\w-]+\.[\w-]{22}$/)
    assert.notEqual(one.split('.')[2], two.split('.')[2])
    assert.notEqual(one.split('.')[3], two.split('.')[3])
    assert.notInclude(one, 's3cret')
  })

  it('need a tenant and a purpose', () => {
    for (const odd of [
      { tenantId: '', purpose: 'a' },
      { tenantId: 'a', purpose: '' },
      { tenantId: undefined as unknown as string, purpose: 'a' },
    ]) {
      assert.throws(() => seal(ring, SECRET, odd), ConfigurationError)
      assert.throws(() => open(ring, seal(ring, SECRET, context), odd), ConfigurationError)
    }
  })
})

describe('open refuses', () => {
  const envelope = seal(ring, SECRET, context)

  it('every change of a single character, at every position', () => {
    for (let at = 0; at < envelope.length; at++) {
      for (const character of `${BASE64URL}.=+/ \n`) {
        if (character === envelope[at]) continue
        const changed = envelope.slice(0, at) + character + envelope.slice(at + 1)
        const code = refusedWith(changed)
        // The key id is the one part whose change can name another, unknown key.
        assert.equal(
          code,
          /^v1\.[A-Za-z0-9][\w-]*\./.test(changed) && !changed.startsWith('v1.k1.') && changed.split('.').length === 5
            ? 'SECRET_KEY_UNKNOWN'
            : 'SECRET_TAMPERED',
          `${at} ${character}`,
        )
      }
    }
  })

  it('every lost, doubled and inserted character', () => {
    for (let at = 0; at < envelope.length; at++) {
      const [head, tail] = [envelope.slice(0, at), envelope.slice(at)]
      for (const changed of [head + tail.slice(1), head + tail[0] + tail, `${head}A${tail}`, `${head}.${tail}`])
        assert.notEqual(refusedWith(changed), 'opened', changed)
    }
  })

  it('any text at all with a typed error', () => {
    const part = fc.oneof(fc.string({ unit: fc.constantFrom(...BASE64URL) }), fc.string({ unit: 'binary' }))
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.array(part).map(parts => ['v1', ...parts].join('.')),
        ),
        text => assert.notEqual(refusedWith(text), 'opened'),
      ),
    )
    for (const odd of [undefined, null, 7, {}, []]) assert.equal(refusedWith(odd as unknown as string), 'SECRET_TAMPERED')
  })

  it('a secret in another tenant', () => {
    assert.equal(refusedWith(envelope, { ...context, tenantId: '0198f5b2-0000-7000-8000-000000000002' }), 'SECRET_TAMPERED')
  })

  it('a secret in another field', () => {
    assert.equal(refusedWith(envelope, { ...context, purpose: 'provisioning_connection_string' }), 'SECRET_TAMPERED')
  })

  it('a context whose parts were shifted, so that they read the same when joined', () => {
    const shifted = seal(ring, SECRET, { tenantId: 'a', purpose: 'b","c' })
    assert.equal(refusedWith(shifted, { tenantId: 'a","b', purpose: 'c' }), 'SECRET_TAMPERED')
    assert.equal(refusedWith(seal(ring, SECRET, { tenantId: 'ab', purpose: 'c' }), { tenantId: 'a', purpose: 'bc' }), 'SECRET_TAMPERED')
  })

  it('a part of another envelope of the same tenant', () => {
    const other = seal(ring, SECRET, context).split('.')
    for (const index of [2, 3, 4]) assert.equal(refusedWith(withParts(envelope, { [index]: other[index]! })), 'SECRET_TAMPERED')
  })

  it('a tag cut to the lengths that GCM allows', () => {
    const tag = Buffer.from(envelope.split('.')[4]!, 'base64url')
    for (const length of [0, 4, 8, 12, 13, 14, 15])
      assert.equal(refusedWith(withParts(envelope, { 4: tag.subarray(0, length).toString('base64url') })), 'SECRET_TAMPERED')
  })

  it('an IV of another length, even one that was really used', () => {
    const iv = Buffer.alloc(16, 7)
    const cipher = createCipheriv('aes-256-gcm', ring.key('k1')!, iv)
    cipher.setAAD(Buffer.from(JSON.stringify(['v1', 'k1', context.tenantId, context.purpose])))
    const ciphertext = Buffer.concat([cipher.update('x'), cipher.final()])
    const forged = ['v1', 'k1', ...[iv, ciphertext, cipher.getAuthTag()].map(bytes => bytes.toString('base64url'))].join('.')
    assert.equal(refusedWith(forged), 'SECRET_TAMPERED')
  })

  it('an envelope relabelled to another key or version', () => {
    assert.equal(refusedWith(withParts(envelope, { 1: 'k2' }), context, rotated), 'SECRET_TAMPERED')
    assert.equal(refusedWith(withParts(envelope, { 0: 'v2' })), 'SECRET_TAMPERED')
  })

  it('another key under the same id', () => {
    assert.equal(refusedWith(envelope, context, parseKeyRing(generateKey('k1'))), 'SECRET_TAMPERED')
  })

  it('a key that the ring does not hold, and names the ids it knows', () => {
    const unknown = seal(rotated, SECRET, context)
    assert.equal(refusedWith(unknown), 'SECRET_KEY_UNKNOWN')
    assert.throws(() => open(ring, unknown, context), /"k2"/)
  })

  it('without showing the secret, the envelope or the key', () => {
    for (const changed of [`${envelope}A`, withParts(envelope, { 4: 'A'.repeat(22) }), 'postgres://plain:s3cret@db']) {
      assert.notEqual(refusedWith(changed), 'opened')
      try {
        open(ring, changed, context)
      } catch (error) {
        const shown = `${(error as Error).message} ${JSON.stringify(error)}`
        for (const part of [SECRET, 's3cret', ...envelope.split('.').slice(2), k1.slice(3)]) assert.notInclude(shown, part)
      }
    }
  })
})

describe('rotation', () => {
  it('reseals with the new key; the old envelope opens as long as its key is there', () => {
    const old = seal(ring, SECRET, context)
    assert.equal(keyIdOf(old), 'k1')
    assert.isTrue(needsReseal(rotated, old))
    assert.equal(open(rotated, old, context), SECRET)
    const fresh = reseal(rotated, old, context)
    assert.equal(keyIdOf(fresh), 'k2')
    assert.isFalse(needsReseal(rotated, fresh))
    assert.equal(open(parseKeyRing(k2), fresh, context), SECRET)
    assert.equal(refusedWith(old, context, parseKeyRing(k2)), 'SECRET_KEY_UNKNOWN')
  })

  it('does not move a secret to another tenant', () => {
    assert.throws(() => reseal(rotated, seal(ring, SECRET, context), { ...context, tenantId: 'other' }), SecretTamperedError)
  })

  it('refuses what is no envelope', () => {
    for (const text of ['', 'k1', SECRET, 'v1.k1..', 'v1.k1.AAAA.AAAA.AAAA']) {
      assert.throws(() => keyIdOf(text), SecretTamperedError)
      assert.throws(() => needsReseal(rotated, text), SecretTamperedError)
    }
  })
})
