import { inspect } from 'node:util'
import { assert } from 'chai'
import { generateKey, KeyRing, parseKeyRing, weakKeyIds } from '../../src/crypto/key-ring.ts'
import { ConfigurationError } from '../../src/errors.ts'

const key = (first: number, length = 32): string => Buffer.from(Array.from({ length }, (_, i) => (first + i * 7) % 256)).toString('base64')

function refusal(text: string): ConfigurationError {
  try {
    parseKeyRing(text)
  } catch (error) {
    assert.instanceOf(error, ConfigurationError)
    return error as ConfigurationError
  }
  return assert.fail(`${text} was accepted`)
}

describe('parseKeyRing', () => {
  it('reads one key', () => {
    const ring = parseKeyRing(`k1:${key(1)}`)
    assert.equal(ring.primaryId, 'k1')
    assert.deepEqual(ring.ids, ['k1'])
    assert.equal(ring.key('k1')?.export().toString('base64'), key(1))
    assert.isUndefined(ring.key('k2'))
  })

  it('encrypts with the first of several, and trims white space', () => {
    const ring = parseKeyRing(` k2:${key(2)} ,\n k1:${key(1)}\n`)
    assert.equal(ring.primaryId, 'k2')
    assert.deepEqual(ring.ids, ['k2', 'k1'])
  })

  const cases: readonly (readonly [name: string, text: string, reason: RegExp])[] = [
    ['nothing', '', /No encryption key/],
    ['white space', ' \n', /No encryption key/],
    ['a key without id', key(1), /key 1 is malformed: it has no colon/],
    ['an empty id', `:${key(1)}`, /its id/],
    ['an id with a dot, which would break the envelope', `k.1:${key(1)}`, /its id/],
    ['an id of 33 characters', `${'k'.repeat(33)}:${key(1)}`, /its id/],
    ['an empty key', 'k1:', /not base64/],
    ['a key that is not base64', 'k1:@@@', /not base64/],
    ['a trailing comma', `k1:${key(1)},`, /key 2 is malformed/],
    ['31 bytes', `k1:${key(1, 31)}`, /has 31 bytes instead of 32/],
    ['33 bytes', `k1:${key(1, 33)}`, /has 33 bytes instead of 32/],
    ['a key without its pad', `k1:${key(1).slice(0, -1)}`, /not canonical/],
    ['spare bits that are not zero', `k1:${key(1).slice(0, -2)}${key(1).at(-2) === 'B' ? 'C' : 'B'}=`, /not canonical/],
    ['zero bytes', `k1:${Buffer.alloc(32).toString('base64')}`, /weak/],
    ['equal bytes', `k1:${Buffer.alloc(32, 0x61).toString('base64')}`, /weak/],
    ['an id twice', `k1:${key(1)},k1:${key(2)}`, /key 2 has the id "k1"/],
    ['a key twice', `k2:${key(1)},k1:${key(1)}`, /key 2 is the same key/],
  ]
  for (const [name, text, reason] of cases) {
    it(`refuses ${name}`, () => {
      const error = refusal(text)
      assert.match(error.message, reason)
      assert.include(error.hint, 'TENANTKIT_ENCRYPTION_KEYS')
    })
  }

  it('lists all problems at once', () => {
    assert.lengthOf(refusal(`k1:${key(1)},k1:${key(2)},k3,k4:AAAA`).problems, 3)
  })

  it('never shows key material, not even when id and key are swapped or the id is forgotten', () => {
    for (const text of [
      `${key(1)}:k1`,
      key(1),
      `k1:${key(1)},k1:${key(2)}`,
      `k1:${key(1, 31)}`,
      `${key(1).slice(0, 31)}:k1`,
      `k1:${key(1)}!`,
    ]) {
      const seen = inspect(refusal(text), { depth: 9 })
      const stackless = seen.slice(0, seen.indexOf('    at '))
      assert.notInclude(stackless, key(1).slice(0, 12), text)
      assert.notInclude(stackless, key(2).slice(0, 12), text)
    }
  })
})

describe('KeyRing', () => {
  const ring = parseKeyRing(`k2:${key(2)},k1:${key(1)}`)
  const hidden = [key(1), key(2), Buffer.from(key(1), 'base64').toString('hex'), '1, 8, 15', '01 08 0f']

  it('does not show keys as JSON, in inspect, as text, by its properties or in a clone', () => {
    const shapes = [
      JSON.stringify(ring),
      JSON.stringify({ nested: [ring] }),
      inspect(ring, { depth: 99, showHidden: true }),
      inspect(ring, { customInspect: false, depth: 99, showHidden: true }),
      inspect({ nested: ring }),
      String(ring),
      JSON.stringify(Object.getOwnPropertyNames(ring)),
      inspect({ ...ring }),
      inspect(structuredClone(ring)),
    ]
    for (const shape of shapes) for (const secret of hidden) assert.notInclude(shape, secret)
  })

  it('shows its ids', () => {
    assert.equal(JSON.stringify(ring), '{"ids":["k2","k1"]}')
    assert.equal(inspect(ring), 'KeyRing { ids: k2, k1 }')
  })

  it('is not changed by the map or the list it was given or gave', () => {
    const source = new Map([['k1', ring.key('k1')!]])
    const copy = new KeyRing('k1', source)
    source.clear()
    ;(copy.ids as string[]).push('k9')
    assert.deepEqual(copy.ids, ['k1'])
    assert.isDefined(copy.key('k1'))
  })

  it('refuses a first key that it does not hold', () => {
    assert.throws(() => new KeyRing('k1', new Map()), ConfigurationError)
  })
})

describe('generateKey', () => {
  it('makes entries that parse, each another', () => {
    const ring = parseKeyRing([generateKey('k2'), generateKey('k1'), generateKey()].join(','))
    assert.equal(ring.primaryId, 'k2')
    assert.match(ring.ids[2] ?? '', /^k\d{8}-[0-9a-f]{4}$/)
  })

  it('refuses an id that would not parse', () => {
    for (const id of ['', 'a:b', 'a,b', 'a.b', '-a', 'k'.repeat(33)])
      assert.throws(() => generateKey(id), ConfigurationError, 'is not a key id')
  })
})

describe('weakKeyIds', () => {
  const entry = (id: string, bytes: Uint8Array | string) => `${id}:${Buffer.from(bytes as string).toString('base64')}`

  it('names keys that were written by hand, and no random one', () => {
    const weak = [
      entry('text', 'correct horse battery staple 123'),
      entry(
        'sequence',
        Uint8Array.from({ length: 32 }, (_, index) => index * 3),
      ),
      entry(
        'repeated',
        Uint8Array.from({ length: 32 }, (_, index) => (index % 7) * 37),
      ),
    ]
    assert.deepEqual(weakKeyIds([generateKey('good'), ...weak].join(',')), ['text', 'sequence', 'repeated'])
    for (let index = 0; index < 2_000; index++) assert.deepEqual(weakKeyIds(generateKey()), [])
  })

  it('leaves what is malformed to the parser', () => assert.deepEqual(weakKeyIds('nonsense,k1:short,'), []))
})
