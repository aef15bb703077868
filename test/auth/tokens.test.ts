import { createHmac, generateKeyPairSync } from 'node:crypto'
import { inspect } from 'node:util'
import { assert } from 'chai'
import fc from 'fast-check'
import { SignJWT } from 'jose'
import type { IdentityClaims } from '../../src/auth/claims.ts'
import { bearerToken, createTokens } from '../../src/auth/tokens.ts'
import { ConfigurationError, UnauthenticatedError } from '../../src/errors.ts'

const SECRET = 'a secret of this test, 32 bytes and more'
const key = Buffer.from(SECRET)
const NOW = 1_800_000_000
const options = { secret: SECRET, issuer: 'billing', audience: 'billing-api' }
const at = (seconds: number) => createTokens({ ...options, clock: () => seconds * 1000 })
const tokens = at(NOW)
const owner: IdentityClaims = { sub: 'u1', plane: 'global' }
const ada: IdentityClaims = { sub: 'u1', plane: 'tenant', tenant_id: 't1', tenant_slug: 'acme' }
const registered = { iss: 'billing', aud: 'billing-api', iat: NOW, exp: NOW + 3600, jti: 'j1' }

const encode = (part: unknown): string => Buffer.from(JSON.stringify(part)).toString('base64url')

/** A token made without jose's help and with the right key, so that it may be as wrong as a test needs. */
function forge(claims: unknown, header: unknown = { alg: 'HS256', typ: 'JWT' }, secret: Buffer = key, digest = 'sha256'): string {
  const text = `${encode(header)}.${encode(claims)}`
  return `${text}.${createHmac(digest, secret).update(text).digest('base64url')}`
}

async function refusal(token: unknown, by = tokens): Promise<UnauthenticatedError> {
  const error = await by.verify(token as string).then(
    claims => assert.fail(`accepted: ${JSON.stringify(claims)}`),
    (thrown: unknown) => thrown,
  )
  assert.instanceOf(error, UnauthenticatedError)
  return error as UnauthenticatedError
}

describe('sign and verify', () => {
  it('give back the claims of a global and of a tenant identity, frozen', async () => {
    for (const identity of [owner, ada]) {
      const claims = await tokens.verify(await tokens.sign(identity))
      assert.deepInclude(claims, { ...identity, iss: 'billing', aud: 'billing-api', iat: NOW, exp: NOW + 3600 })
      assert.match(claims.jti, /^[0-9a-f-]{36}$/)
      assert.isFrozen(claims)
    }
  })

  it('write exactly the documented claims, and another jti each time', async () => {
    const read = async (): Promise<Record<string, unknown>> =>
      JSON.parse(
        Buffer.from((await tokens.sign({ ...ada, admin: true } as IdentityClaims)).split('.')[1]!, 'base64url').toString(),
      ) as Record<string, unknown>
    const [one, two] = [await read(), await read()]
    assert.hasAllKeys(one, ['sub', 'plane', 'tenant_id', 'tenant_slug', 'iss', 'aud', 'exp', 'iat', 'jti'])
    assert.notEqual(one['jti'], two['jti'])
  })

  it('pass on no claim they do not know, and sign none', async () => {
    assert.notProperty(await tokens.verify(forge({ ...ada, ...registered, admin: true })), 'admin')
    assert.notProperty(await tokens.verify(await tokens.sign({ ...ada, admin: true, exp: NOW * 2 } as IdentityClaims)), 'admin')
    assert.equal((await tokens.verify(await tokens.sign({ ...ada, exp: NOW * 2 } as IdentityClaims))).exp, NOW + 3600)
  })

  it('take a hand-made good token: what is refused below is refused for its own fault', async () => {
    assert.equal((await tokens.verify(forge({ ...ada, ...registered }))).sub, 'u1')
    assert.equal((await tokens.verify(forge({ ...owner, ...registered }))).sub, 'u1')
  })

  it('use the real clock by default, and one hour', async () => {
    const real = createTokens(options)
    const claims = await real.verify(await real.sign(owner))
    assert.closeTo(claims.iat, Date.now() / 1000, 5)
    assert.equal(claims.exp - claims.iat, 3600)
  })

  it('do not sign claims that could not be verified', async () => {
    for (const odd of [
      { sub: '', plane: 'global' },
      { sub: 'u1' },
      { sub: 'u1', plane: 'tenant' },
      { sub: 'u1', plane: 'global', tenant_id: 't1' },
    ]) {
      const error = await tokens.sign(odd as IdentityClaims).then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      assert.instanceOf(error, ConfigurationError)
    }
  })
})

describe('verify refuses', () => {
  const without = (claim: string): Record<string, unknown> =>
    Object.fromEntries(Object.entries({ ...ada, ...registered }).filter(([name]) => name !== claim))
  const bad: Readonly<Record<string, string>> = {
    'alg none, unsigned': `${encode({ alg: 'none', typ: 'JWT' })}.${encode({ ...ada, ...registered })}.`,
    'alg none, signed': forge({ ...ada, ...registered }, { alg: 'none', typ: 'JWT' }),
    'alg None': `${encode({ alg: 'None', typ: 'JWT' })}.${encode({ ...ada, ...registered })}.`,
    'HS384 with the right key': forge({ ...ada, ...registered }, { alg: 'HS384', typ: 'JWT' }, key, 'sha384'),
    'HS512 with the right key': forge({ ...ada, ...registered }, { alg: 'HS512', typ: 'JWT' }, key, 'sha512'),
    'no alg': forge({ ...ada, ...registered }, { typ: 'JWT' }),
    'no typ': forge({ ...ada, ...registered }, { alg: 'HS256' }),
    'another typ': forge({ ...ada, ...registered }, { alg: 'HS256', typ: 'at+jwt' }),
    'an unknown critical header': forge({ ...ada, ...registered }, { alg: 'HS256', typ: 'JWT', crit: ['x'], x: 1 }),
    'a key in the header': forge(
      { ...ada, ...registered },
      { alg: 'HS256', typ: 'JWT', jwk: { kty: 'oct', k: Buffer.alloc(32).toString('base64url') } },
      Buffer.alloc(32),
    ),
    'another key': forge({ ...ada, ...registered }, undefined, Buffer.from('another secret, 32 bytes and more too')),
    'another issuer': forge({ ...ada, ...registered, iss: 'other' }),
    'another audience': forge({ ...ada, ...registered, aud: 'other' }),
    'a list of audiences': forge({ ...ada, ...registered, aud: ['billing-api', 'other'] }),
    expired: forge({ ...ada, ...registered, iat: NOW - 3000, exp: NOW - 6 }),
    'not valid yet': forge({ ...ada, ...registered, nbf: NOW + 6 }),
    'issued in the future': forge({ ...ada, ...registered, iat: NOW + 6 }),
    'older than the lifetime, whatever exp says': forge({ ...ada, ...registered, iat: NOW - 3606, exp: NOW + 9 }),
    'exp of another type': forge({ ...ada, ...registered, exp: String(NOW + 9) }),
    'an empty sub': forge({ ...ada, ...registered, sub: '' }),
    'a sub of another type': forge({ ...ada, ...registered, sub: 7 }),
    'a sub of 201 characters': forge({ ...ada, ...registered, sub: 'x'.repeat(201) }),
    'an unknown plane': forge({ ...ada, ...registered, plane: 'system' }),
    'a plane of another type': forge({ ...ada, ...registered, plane: ['tenant'] }),
    'an empty tenant id': forge({ ...ada, ...registered, tenant_id: '' }),
    'a tenant slug of another type': forge({ ...ada, ...registered, tenant_slug: { toString: 1 } }),
    'a global identity with a tenant id': forge({ ...owner, ...registered, tenant_id: 't1' }),
    'a global identity with a tenant slug': forge({ ...owner, ...registered, tenant_slug: 'acme' }),
    'a global identity with a null tenant': forge({ ...owner, ...registered, tenant_id: null }),
    'a jti of another type': forge({ ...ada, ...registered, jti: 7 }),
    'claims that are no object': forge([1]),
    'claims that are no JSON': `${encode({ alg: 'HS256', typ: 'JWT' })}.AAAA.AAAA`,
    'more than 8 kB, even when good': forge({ ...ada, ...registered, extra: 'x'.repeat(8192) }),
    'the empty text': '',
    dots: '..',
    'five parts': 'a.b.c.d.e',
  }
  const cases = {
    ...bad,
    ...Object.fromEntries(
      ['sub', 'plane', 'tenant_id', 'tenant_slug', 'iss', 'aud', 'exp', 'iat', 'jti'].map(claim => [
        `a missing ${claim}`,
        forge(without(claim)),
      ]),
    ),
  }
  for (const [name, token] of Object.entries(cases)) {
    it(name, async () => {
      const error = await refusal(token)
      assert.equal(error.message, 'No valid token was sent.')
      assert.instanceOf(error.cause, Error)
      assert.notInclude(JSON.stringify(error), 'cause')
      if (token.length > 20) assert.notInclude(`${error.message} ${error.hint} ${String(error.cause)}`, token)
    })
  }

  it('what is no string', async () => {
    for (const odd of [undefined, null, 7, {}, ['a.b.c'], key]) await refusal(odd)
  })

  it('a public-key signature', async () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    await refusal(await new SignJWT({ ...ada, ...registered }).setProtectedHeader({ alg: 'RS256', typ: 'JWT' }).sign(privateKey))
  })

  it('a token whose characters were changed', async () => {
    const token = await tokens.sign(ada)
    const cut = token.lastIndexOf('.')
    for (let index = 0; index < cut; index++)
      await refusal(token.slice(0, index) + (token[index] === 'A' ? 'B' : 'A') + token.slice(index + 1))
    for (let index = cut + 1; index < token.length - 1; index++)
      await refusal(token.slice(0, index) + (token[index] === 'A' ? 'B' : 'A') + token.slice(index + 1))
    await refusal(token.slice(0, cut + 1))
  })

  it('any text, with the same error', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.tuple(fc.json(), fc.json()).map(([a, b]) => forge(JSON.parse(b), JSON.parse(a))),
        ),
        async text => void (await refusal(text)),
      ),
    )
  })
})

describe('the clock', () => {
  it('may differ by 5 seconds, and no more', async () => {
    const token = await tokens.sign(ada)
    await at(NOW - 5).verify(token)
    await refusal(token, at(NOW - 6))
    await at(NOW + 3604).verify(token)
    await refusal(token, at(NOW + 3605))
  })
})

describe('createTokens', () => {
  it('refuses odd options with a hint, and does not show the secret', () => {
    const odd = [
      { secret: 'short secret' },
      { secret: 'x'.repeat(31) },
      { secret: new Uint8Array(31) },
      { secret: undefined as unknown as string },
      { issuer: '' },
      { audience: '' },
      { lifetimeSeconds: 0 },
      { lifetimeSeconds: 1.5 },
      { lifetimeSeconds: NaN },
      { lifetimeSeconds: 86_401 },
    ]
    for (const change of odd) assert.throws(() => createTokens({ ...options, ...change }), ConfigurationError)
    try {
      createTokens({ ...options, secret: 'short secret', issuer: '' })
    } catch (error) {
      assert.lengthOf((error as ConfigurationError).problems, 2)
      assert.notInclude(inspect(error), 'short secret')
      assert.include((error as ConfigurationError).hint, 'TENANTKIT_JWT_SECRET')
    }
  })

  it('counts bytes, not characters, and takes bytes', async () => {
    createTokens({ ...options, secret: 'ü'.repeat(16) })
    const same = createTokens({ ...options, secret: new Uint8Array(key), clock: () => NOW * 1000 })
    await same.verify(await tokens.sign(ada))
  })

  it('shows the secret to nobody', () => {
    for (const shape of [inspect(tokens, { depth: 9, showHidden: true }), JSON.stringify(tokens)]) assert.notInclude(shape, SECRET)
  })
})

describe('bearerToken', () => {
  it('reads the token, whatever the case of the scheme', () => {
    for (const scheme of ['Bearer', 'bearer', 'BEARER', 'Bearer  '])
      assert.equal(bearerToken(`${scheme} a.b-c_d~e+f/g==`), 'a.b-c_d~e+f/g==')
  })

  it('knows no header from a malformed one', () => {
    assert.isUndefined(bearerToken(undefined))
    for (const bad of [
      '',
      ' ',
      'Bearer',
      'Bearer ',
      'Bearer\ta.b.c',
      'a.b.c',
      'Basic YTpi',
      'Bearer a b',
      'Bearer a, Bearer b',
      'Bearer =a',
      'Bearer a\n',
      ' Bearer a',
      'Bearera',
      'Bearer ä',
      `Bearer ${'a'.repeat(8193)}`,
      `Bearer ${' '.repeat(100_000)}a`,
    ]) {
      assert.throws(() => bearerToken(bad), UnauthenticatedError)
    }
    assert.equal(bearerToken(`Bearer ${'a'.repeat(8192)}`)?.length, 8192)
  })
})
