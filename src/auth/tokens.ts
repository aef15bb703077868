/**
 * Bearer tokens: JSON Web Tokens with one pinned algorithm, HS256.
 *
 * Sources: RFC 7519 (JWT), RFC 8725 (best practice: one algorithm, issuer and audience checked), RFC 6750 (bearer tokens), RFC 7518
 * section 3.2 (key length).
 */
import { createSecretKey, randomUUID, type KeyObject } from 'node:crypto'
import { jwtVerify, SignJWT } from 'jose'
import { ConfigurationError, UnauthenticatedError } from '../errors.ts'
import { readIdentity, type IdentityClaims, type TokenClaims } from './claims.ts'

/** What {@link createTokens} needs. */
export interface TokenOptions {
  /** The signing secret, at least 32 bytes (a string counts in UTF-8). */
  readonly secret: string | Uint8Array
  /** The claim `iss` of every token. */
  readonly issuer: string
  /** The claim `aud` of every token. */
  readonly audience: string
  /** How long a token is good, in seconds. Default `3600`, at most `86_400`. */
  readonly lifetimeSeconds?: number
  /** The time in milliseconds since 1970. Default `Date.now()`. */
  readonly clock?: () => number
}

/** Signs and verifies tokens; it holds the secret and shows it to nobody. */
export interface Tokens {
  /** Signs a token for an identity. Throws `CONFIGURATION_INVALID` when the claims could not be verified again. */
  sign(claims: IdentityClaims): Promise<string>
  /** The claims of a good token, frozen. Throws `UNAUTHENTICATED`, the same for every fault, with the reason in `cause`. */
  verify(token: string): Promise<TokenClaims>
}

const ALGORITHM = 'HS256'
const LEAST_SECRET_BYTES = 32
const LONGEST_TOKEN = 8192
const CLOCK_TOLERANCE_SECONDS = 5
const DEFAULT_LIFETIME_SECONDS = 3600
const LONGEST_LIFETIME_SECONDS = 86_400
// RFC 6750, section 2.1: b64token; the scheme is case-insensitive (RFC 9110, section 11.1).
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i

/**
 * Makes the signer and verifier of an application's tokens.
 *
 * Refused are other algorithms than HS256 (and `none`), other keys, issuers and audiences, tokens that are expired, not valid yet,
 * longer-lived than `lifetimeSeconds`, longer than 8 kB, or whose claims do not fit together. Clocks may differ by 5 seconds.
 * Throws `CONFIGURATION_INVALID` when the secret has less than 32 bytes, or another option is odd.
 *
 * @example
 * const tokens = createTokens({ secret, issuer: 'billing', audience: 'billing-api' })
 * const token = await tokens.sign({ sub: user.id, plane: 'global' })
 * const claims = await tokens.verify(token)
 */
export function createTokens(options: TokenOptions): Tokens {
  const { issuer, audience, lifetimeSeconds, clock, key } = resolve(options)
  return Object.freeze({
    async sign(claims: IdentityClaims): Promise<string> {
      const identity = readIdentity(claims)
      if (typeof identity === 'string') throw new ConfigurationError([`These claims cannot be signed: ${identity}.`])
      const issuedAt = Math.floor(clock() / 1000)
      const registered = { iss: issuer, aud: audience, iat: issuedAt, exp: issuedAt + lifetimeSeconds, jti: randomUUID() }
      return new SignJWT({ ...identity, ...registered }).setProtectedHeader({ alg: ALGORITHM, typ: 'JWT' }).sign(key)
    },
    async verify(token: string): Promise<TokenClaims> {
      if (typeof token !== 'string' || token.length > LONGEST_TOKEN)
        throw refused(new Error(`The token is longer than ${LONGEST_TOKEN} characters, or no string.`))
      const expected = {
        algorithms: [ALGORITHM],
        typ: 'JWT',
        issuer,
        audience,
        maxTokenAge: lifetimeSeconds,
        clockTolerance: CLOCK_TOLERANCE_SECONDS,
      }
      const payload = await jwtVerify(token, key, {
        ...expected,
        requiredClaims: ['sub', 'exp', 'jti'],
        currentDate: new Date(clock()),
      }).then(
        result => result.payload,
        (cause: unknown) => {
          throw refused(cause)
        },
      )
      return readClaims(payload, issuer, audience)
    },
  })
}

/**
 * The token in an `Authorization` header: undefined without a header.
 *
 * Throws `UNAUTHENTICATED` when the header is anything but `Bearer <token>`.
 * Source: RFC 6750, section 2.1.
 *
 * @example
 * const token = bearerToken(ctx.req.headers.authorization)
 * const claims = token === undefined ? undefined : await tokens.verify(token)
 */
export function bearerToken(authorization: string | undefined): string | undefined {
  if (authorization === undefined) return undefined
  const found = authorization.length > LONGEST_TOKEN + 'Bearer '.length ? null : BEARER.exec(authorization)
  if (found?.[1] === undefined) throw refused(new Error('The Authorization header is not "Bearer <token>".'))
  return found[1]
}

/** The signature was good; what it signs must fit together too, and nothing else is passed on. */
function readClaims(payload: Readonly<Record<string, unknown>>, iss: string, aud: string): TokenClaims {
  const identity = readIdentity(payload)
  if (typeof identity === 'string') throw refused(new Error(`The claims do not fit together: ${identity}.`))
  const { exp, iat, jti } = payload
  if (typeof exp !== 'number' || typeof iat !== 'number' || typeof jti !== 'string') throw refused(new Error('exp, iat or jti is odd.'))
  // jose takes a list of audiences that holds ours; our own tokens have one audience.
  if (payload['aud'] !== aud) throw refused(new Error('aud is a list.'))
  return Object.freeze({ ...identity, iss, aud, exp, iat, jti })
}

/** One error for every fault: who guesses learns nothing. The cause is for the log. */
function refused(cause: unknown): UnauthenticatedError {
  const error = new UnauthenticatedError()
  Object.defineProperty(error, 'cause', { value: cause, configurable: true, writable: true })
  return error
}

function resolve(options: TokenOptions): Required<Omit<TokenOptions, 'secret'>> & { readonly key: KeyObject } {
  const { issuer, audience, lifetimeSeconds = DEFAULT_LIFETIME_SECONDS, clock = Date.now } = options
  const secret = bytesOf(options.secret)
  const problems: string[] = []
  if (secret.length < LEAST_SECRET_BYTES)
    problems.push(`The token secret has ${secret.length} bytes, and needs at least ${LEAST_SECRET_BYTES}.`)
  if (!issuer) problems.push('The issuer of tokens is empty.')
  if (!audience) problems.push('The audience of tokens is empty.')
  if (!Number.isSafeInteger(lifetimeSeconds) || lifetimeSeconds < 1 || lifetimeSeconds > LONGEST_LIFETIME_SECONDS) {
    problems.push(`lifetimeSeconds is ${lifetimeSeconds}, and must be 1 to ${LONGEST_LIFETIME_SECONDS}.`)
  }
  if (problems.length > 0)
    throw new ConfigurationError(
      problems,
      'Set TENANTKIT_JWT_SECRET to at least 32 random bytes, for example from `openssl rand -base64 48`.',
    )
  return { issuer, audience, lifetimeSeconds, clock, key: createSecretKey(secret) }
}

/** A secret that is not there at all (a variable that was not set, in JavaScript) has no bytes. */
function bytesOf(secret: string | Uint8Array | undefined): Buffer {
  return typeof secret === 'string' ? Buffer.from(secret, 'utf8') : Buffer.from(secret ?? [])
}
