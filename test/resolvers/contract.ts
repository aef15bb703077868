import { assert } from 'chai'
import fc from 'fast-check'
import { TenantInvalidError } from '../../src/errors.ts'
import { isSlug, type Slug } from '../../src/naming.ts'
import type { RequestEvidence, TenantResolver } from '../../src/resolvers/evidence.ts'
import { resolveTenant } from '../../src/resolvers/resolve-tenant.ts'

/** Evidence that says nothing at all. */
export const NOTHING: RequestEvidence = { header: () => undefined }

/** Evidence with these headers, read as Node reads them. */
export function withHeaders(
  headers: Readonly<Record<string, string | readonly string[]>>,
  rest: Omit<RequestEvidence, 'header'> = {},
): RequestEvidence {
  return { ...rest, header: name => (Object.hasOwn(headers, name) ? headers[name] : undefined) }
}

/** Strings as they arrive from outside: slugs, near misses and rubbish. */
export const anyString = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom('a', 'b', '1', '-', '.', 'A', '_') }),
  fc.stringMatching(/^[a-z][a-z0-9-]{1,48}[a-z0-9]$/),
  fc.constantFrom('acme', 'www', 'localhost', '__proto__', 'constructor', '[::1]', '127.0.0.1'),
)

/** Identifiers that no resolver may let through. */
export const MALFORMED: Readonly<Record<string, string>> = {
  'two characters': 'ab',
  SQL: "acme'; DROP SCHEMA tenant_acme CASCADE; --",
  'a quoted identifier': '"tenant_acme"',
  'letters that are not ASCII': 'äcme',
  'a look-alike letter': 'аcme',
  'an underscore': 'a_b_c',
  'two hyphens': 'a--b',
  'a hyphen at the end': 'acme-',
  'a digit at the start': '1acme',
  '51 characters': 'a'.repeat(51),
  '10 kB': 'a'.repeat(10_240),
  'a list': 'acme, acme',
  'a path': '../acme',
  'a NUL': 'acme\0',
  'a space inside': 'ac me',
}

/**
 * What every resolver must do, whatever it reads.
 *
 * @param make Makes the resolver.
 * @param evidenceOf Evidence in which the resolver's source holds this text.
 */
export function resolverContract(make: () => TenantResolver, evidenceOf: (text: string) => RequestEvidence): void {
  const resolve = (evidence: RequestEvidence): Promise<Slug | undefined> => resolveTenant([make()], evidence)

  it('has a name for messages', () => {
    assert.match(make().name, /^[a-z][a-z -]+$/)
  })

  it('gives undefined without evidence', async () => {
    assert.isUndefined(await resolve(NOTHING))
  })

  it('gives the slug', async () => {
    for (const slug of ['acme', 'a-b', 'abc', 'a1-2-3', 'a'.repeat(50)]) assert.equal(await resolve(evidenceOf(slug)), slug)
  })

  for (const [name, text] of Object.entries(MALFORMED)) {
    it(`refuses ${name} with TENANT_INVALID, and a short message`, async () => {
      const error = await resolve(evidenceOf(text)).then(
        slug => assert.fail(`gave ${slug}`),
        (thrown: unknown) => thrown,
      )
      assert.instanceOf(error, TenantInvalidError)
      assert.isBelow((error as TenantInvalidError).message.length, 160)
    })
  }

  it('gives undefined, a slug or TENANT_INVALID, whatever string arrives', async () => {
    await fc.assert(
      fc.asyncProperty(anyString, async text => {
        const result = await resolve(evidenceOf(text)).catch((error: unknown) => error)
        assert.isTrue(result === undefined || isSlug(result) || result instanceof TenantInvalidError, String(result))
      }),
    )
  })

  it('keeps nothing from one request to the next', async () => {
    const resolver = make()
    assert.equal(await resolveTenant([resolver], evidenceOf('acme')), 'acme')
    assert.isUndefined(await resolveTenant([resolver], NOTHING))
    assert.equal(await resolveTenant([resolver], evidenceOf('globex')), 'globex')
    assert.isFrozen(resolver)
  })
}
