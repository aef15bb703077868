import { assert } from 'chai'
import fc from 'fast-check'
import {
  IDENTIFIER_MAX_BYTES,
  frameworkName,
  isIdentifier,
  isSlug,
  parseGivenIdentifier,
  parseIdentifier,
  parseNewSlug,
  parsePrefix,
  parseSlug,
  quoteForeignName,
  quoteIdentifier,
  quoteLiteral,
  tenantName,
  type Slug,
} from '../src/naming.ts'
import { query, serverUrl } from './helpers/postgres.ts'

const LETTERS = 'abcdefghijklmnopqrstuvwxyz'
const ALNUM = `${LETTERS}0123456789`
const chars = (alphabet: string, minLength: number, maxLength: number) =>
  fc.string({ unit: fc.constantFrom(...alphabet), minLength, maxLength })

/** Well-formed slugs, built from their parts and not from the expression that checks them. */
const slugs = fc
  .tuple(fc.constantFrom(...LETTERS), chars(`${ALNUM}-`, 1, 48), fc.constantFrom(...ALNUM))
  .map(parts => parts.join(''))
  .filter(text => !text.includes('--')) as fc.Arbitrary<Slug>
const prefixes = fc
  .tuple(fc.constantFrom(...LETTERS), chars(ALNUM, 0, 11))
  .map(parts => parts.join(''))
  .filter(text => text !== 'pg')
const nearSlugs = fc.oneof(chars(`${ALNUM}-_A. `, 0, 55), fc.string({ unit: 'binary', maxLength: 60 }), slugs)
const words = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }).filter(text => !text.includes('\0'))

/** The rule, spelled out once more and differently. */
function followsTheRule(text: string): boolean {
  if (text.length < 3 || text.length > 50) return false
  const all = [...text]
  return (
    all.every(char => char === '-' || ALNUM.includes(char)) &&
    LETTERS.includes(all[0]!) &&
    all.at(-1) !== '-' &&
    !all.some((char, index) => char === '-' && all[index + 1] === '-')
  )
}

function codeOf(work: () => unknown): string | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe('naming', () => {
  it('accepts exactly the slugs of the rule', () => {
    fc.assert(
      fc.property(nearSlugs, text => {
        assert.equal(isSlug(text), followsTheRule(text))
        assert.equal(
          codeOf(() => parseSlug(text)),
          followsTheRule(text) ? undefined : 'TENANT_INVALID',
        )
      }),
      { numRuns: 2000 },
    )
    fc.assert(fc.property(slugs, text => assert.equal(parseSlug(text), text)))
    for (const text of ['abc\n', 'ａbc', 'é-b', 'a\u0000b', '-ab', 'ab-', 'a--b', '1ab', 'ab', `a${'b'.repeat(50)}`]) {
      assert.isFalse(isSlug(text), JSON.stringify(text))
    }
  })

  it('refuses every other type as a slug, an identifier and a prefix', () => {
    fc.assert(
      fc.property(fc.anything(), value => {
        if (typeof value === 'string') return
        assert.equal(
          codeOf(() => parseSlug(value)),
          'TENANT_INVALID',
        )
        assert.equal(
          codeOf(() => parseNewSlug(value)),
          'VALIDATION_FAILED',
        )
        assert.equal(
          codeOf(() => parseIdentifier(value)),
          'VALIDATION_FAILED',
        )
        assert.equal(
          codeOf(() => parsePrefix(value)),
          'VALIDATION_FAILED',
        )
      }),
    )
  })

  it('gives two slugs never one name, and every name at most 63 bytes', () => {
    fc.assert(
      fc.property(prefixes, slugs, slugs, (prefix, one, other) => {
        const name = tenantName(prefix, one)
        assert.isTrue(isIdentifier(name))
        assert.isAtMost(Buffer.byteLength(name), IDENTIFIER_MAX_BYTES)
        assert.equal(name === tenantName(prefix, other), one === other)
      }),
      { numRuns: 2000 },
    )
    // Slugs that differ in a hyphen only are the ones that could meet.
    fc.assert(
      fc.property(slugs, fc.nat(), (slug, at) => {
        const hyphens = [...slug].flatMap((char, index) => (char === '-' ? [index] : []))
        if (hyphens.length === 0) return
        const index = hyphens[at % hyphens.length]!
        const other = slug.slice(0, index) + slug.slice(index + 1)
        if (isSlug(other)) assert.notEqual(tenantName('tenant', slug), tenantName('tenant', other))
      }),
    )
  })

  it("never makes a tenant's name of a framework's own", () => {
    fc.assert(
      fc.property(prefixes, slugs, fc.constantFrom('members', 'template_0123456789ab'), (prefix, slug, what) => {
        assert.notEqual<string>(tenantName(prefix, slug), frameworkName(prefix, what))
        assert.notInclude(tenantName(prefix, slug), '__')
      }),
    )
  })

  it('refuses reserved names', () => {
    for (const slug of ['admin', 'api', 'public', 'postgres', 'control-plane', 'information-schema', 'tenant', 'www']) {
      assert.equal(
        codeOf(() => parseNewSlug(slug)),
        'RESERVED_NAME',
        slug,
      )
    }
    for (const name of ['public', 'information_schema', 'pg_catalog', 'pg_toast', 'pg_x', 'tenant', 'postgres', 'template1', 'default']) {
      assert.equal(
        codeOf(() => parseGivenIdentifier(name, 'schema_name')),
        'RESERVED_NAME',
        name,
      )
    }
    assert.equal(
      codeOf(() => parsePrefix('pg')),
      'VALIDATION_FAILED',
    )
  })

  it('accepts as an identifier only what needs no quotes and is not cut off', () => {
    const near = fc.oneof(chars(`${ALNUM}_"'?.*-`, 0, 70), words)
    fc.assert(
      fc.property(near, text => {
        const [first = '', ...rest] = text
        const valid =
          LETTERS.includes(first) && first !== '' && rest.every(char => char === '_' || ALNUM.includes(char)) && text.length <= 63
        assert.equal(isIdentifier(text), valid)
        assert.equal(codeOf(() => parseGivenIdentifier(text, 'schema_name')) === 'VALIDATION_FAILED', !valid)
      }),
      { numRuns: 2000 },
    )
    for (const text of [`q'v?'mark`, 'a.b', '*', 'x"; drop schema public cascade; --', 'a'.repeat(64), 'Public']) {
      assert.equal(
        codeOf(() => quoteIdentifier(text as never)),
        'VALIDATION_FAILED',
        text,
      )
    }
  })

  it('accepts as a prefix only what leaves room for a slug', () => {
    fc.assert(fc.property(prefixes, prefix => assert.equal<string>(parsePrefix(prefix), prefix)))
    for (const prefix of ['', 'a_b', 'A', '1a', 'a'.repeat(13), 'a-b', 'a ']) {
      assert.equal(
        codeOf(() => parsePrefix(prefix)),
        'VALIDATION_FAILED',
        prefix,
      )
    }
  })

  it('quotes names and literals so that PostgreSQL reads what was given', async () => {
    const names = fc.sample(words, 150).filter(name => Buffer.byteLength(name) <= 63)
    const tricky = ['a"b', '"', `'; drop table x; --`, 'a\\', "\\'", '$1', '?', 'é', '🐘', "it's", '\\\\', '\\x41', 'E\\']
    for (const set of [names, tricky]) {
      const literals = await query<{ text: string }>(
        serverUrl(),
        `select unnest(array[${set.map(quoteLiteral).join(',')}]::text[]) as text`,
      )
      assert.deepEqual(
        literals.map(row => row.text),
        set,
      )
      const [row] = await query(serverUrl(), `select ${set.map((name, index) => `${index} as ${quoteForeignName(name)}`).join(',')}`)
      assert.sameMembers(Object.keys(row!), [...new Set(set)])
    }
    const identifiers = fc
      .sample(
        chars(`${ALNUM}_`, 1, 62).map(text => `q${text}`),
        50,
      )
      .filter(isIdentifier)
    const server = await query<{ name: string }>(serverUrl(), `select format('%I', unnest($1::text[])) as name`, [identifiers])
    server.forEach(({ name }, index) => assert.equal(quoteIdentifier(identifiers[index]!), `"${name.replaceAll('"', '')}"`))
  })

  it('refuses zero bytes and empty names', () => {
    assert.equal(
      codeOf(() => quoteLiteral('a\0b')),
      'VALIDATION_FAILED',
    )
    assert.equal(
      codeOf(() => quoteForeignName('a\0b')),
      'VALIDATION_FAILED',
    )
    assert.equal(
      codeOf(() => quoteForeignName('')),
      'VALIDATION_FAILED',
    )
  })
})
