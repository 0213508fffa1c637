import jwt from 'jsonwebtoken'
import {z} from 'zod'
import {parseId, type IdSource, type UserId} from '../kernel/ids.ts'
import {instantFromMs, msOf, type Clock, type Instant} from '../kernel/time.ts'
import {tokenSecretBytesMin, type TokenKey} from './secrets.ts'

/** What a token is for; one made for one use is refused for every other. */
type TokenUse = 'access' | 'sign-in'

/** Why a token was refused. For the audit log; a caller is told only that it was. */
export type TokenRefusal =
  /** Not three canonical base64url parts of JSON objects, or over 8 KB. */
  | 'Malformed'
  /** A header other than ours: another algorithm or type, a key or extension of the sender's own choice. */
  | 'ForeignHeader'
  /** The key is not, or no longer, one of ours. */
  | 'UnknownKey'
  | 'BadSignature'
  /** A claim is missing or not of its form, or names another issuer or audience. */
  | 'BadClaims'
  | 'WrongUse'
  | 'Expired'
  /** Issued, or valid from, more than the skew ahead of our clock. */
  | 'FromTheFuture'

export type Refused = {readonly ok: false; readonly reason: TokenRefusal}

export interface VerifiedAccess {
  readonly ok: true
  readonly userId: UserId
  readonly roles: readonly string[]
  readonly issuedAt: Instant
  readonly expiresAt: Instant
  readonly tokenId: string
}

export interface VerifiedSignIn {
  readonly ok: true
  readonly userId: UserId
  readonly expiresAt: Instant
  /** Name of this one token; the caller records it, so that the token works once. */
  readonly tokenId: string
}

export interface Tokens {
  /** A bearer token that names the user and the roles of now; 15 minutes unless said otherwise. */
  issueAccess(grant: {readonly userId: UserId; readonly roles: readonly string[]; readonly ttlSeconds?: number}): string
  verifyAccess(token: unknown): VerifiedAccess | Refused
  /** A link that signs a user in without a password, e.g. the owner at first start. */
  issueSignIn(grant: {readonly userId: UserId; readonly ttlSeconds: number}): {
    readonly token: string
    readonly tokenId: string
    readonly expiresAt: Instant
  }
  verifySignIn(token: unknown): VerifiedSignIn | Refused
}

export interface TokenOptions {
  /** The first signs; all verify. A retired key is one that is no longer here. */
  readonly keys: readonly TokenKey[]
  readonly issuer: string
  readonly audience: string
  readonly clock: Pick<Clock, 'now'>
  readonly ids: IdSource
}

const tokenCharactersMax = 8192
const skewSeconds = 60
const accessTtlSecondsDefault = 15 * 60
const ttlSecondsMax = 24 * 60 * 60

/**
 * Signed tokens (JWT, RFC 7519, with RFC 8725's advice): HS256 under our own keys and nothing else. `jsonwebtoken` signs
 * and checks signatures, but it takes unknown `crit` headers, tokens without `exp` or with `iat` in the future, padded
 * copies, and its own clock when ours says zero; so form, header, claims and times are all checked here.
 */
export function createTokens({keys, issuer, audience, clock, ids}: TokenOptions): Tokens {
  const [signingKey] = keys
  if (signingKey === undefined) throw new RangeError('no key to sign tokens with')
  for (const {secret} of keys) {
    if ((secret.symmetricKeySize ?? 0) < tokenSecretBytesMin) throw new RangeError('a token key is too short')
  }
  // A Map: an object would find `__proto__` and `constructor` as keys.
  const secrets = new Map(keys.map(({kid, secret}) => [kid, secret]))
  // At least 1: an `iat` of zero is a sign for the library to use its own clock.
  const nowSeconds = () => Math.max(1, Math.floor(msOf(clock.now()) / 1000))

  function issue(use: TokenUse, userId: UserId, ttlSeconds: number, roles?: readonly string[]) {
    if (!(Number.isInteger(ttlSeconds) && ttlSeconds > 0 && ttlSeconds <= ttlSecondsMax)) {
      throw new RangeError(`a token must last 1 to ${ttlSecondsMax} whole seconds`)
    }
    const iat = nowSeconds()
    const claims: Claims = {iss: issuer, aud: audience, sub: userId, jti: ids.uuid(), use, iat, exp: iat + ttlSeconds}
    const token = jwt.sign(roles === undefined ? claims : {...claims, roles}, signingKey?.secret ?? '', {
      algorithm: 'HS256',
      keyid: signingKey?.kid ?? '',
    })
    return {token, tokenId: claims.jti, expiresAt: instantFromMs(claims.exp * 1000)}
  }

  function verify(use: TokenUse, token: unknown): {readonly ok: true; readonly claims: Claims} | Refused {
    const parts = partsOf(token)
    if (parts === null) return refused('Malformed')
    if (!isOurHeader(parts.header)) return refused('ForeignHeader')
    const secret = secrets.get(parts.header.kid)
    if (secret === undefined) return refused('UnknownKey')
    try {
      // Only the signature is left to the library: it knows no injected clock that may say zero.
      jwt.verify(parts.token, secret, {algorithms: ['HS256'], ignoreExpiration: true, ignoreNotBefore: true})
    } catch (error) {
      if (error instanceof jwt.JsonWebTokenError) return refused('BadSignature')
      throw error
    }
    const parsed = claimsSchema.safeParse(parts.payload)
    if (!parsed.success) return refused('BadClaims')
    const claims = parsed.data
    if (claims.iss !== issuer || claims.aud !== audience) return refused('BadClaims')
    if (claims.use !== use) return refused('WrongUse')
    const now = nowSeconds()
    if (claims.iat > now + skewSeconds || (claims.nbf ?? 0) > now + skewSeconds) return refused('FromTheFuture')
    if (claims.exp + skewSeconds <= now) return refused('Expired')
    return {ok: true, claims}
  }

  return {
    issueAccess: ({userId, roles, ttlSeconds = accessTtlSecondsDefault}) =>
      issue('access', userId, ttlSeconds, roles).token,
    verifyAccess(token) {
      const verified = verify('access', token)
      if (!verified.ok) return verified
      const {roles, iat} = verified.claims
      if (roles === undefined) return refused('BadClaims')
      return {...subjectOf(verified.claims), roles, issuedAt: instantFromMs(iat * 1000)}
    },
    issueSignIn: ({userId, ttlSeconds}) => issue('sign-in', userId, ttlSeconds),
    verifySignIn(token) {
      const verified = verify('sign-in', token)
      return verified.ok ? subjectOf(verified.claims) : verified
    },
  }
}

// Until year 9999, so that every time in a token is an instant.
const seconds = z.int().min(0).max(253_402_300_799)

// Claims that we do not know are passed over, so that an older node takes the tokens of a newer one.
const claimsSchema = z.object({
  iss: z.string(),
  // One audience, never a list: a token for several is not one of ours.
  aud: z.string(),
  sub: z.custom<UserId>(value => parseId(value) !== null),
  jti: z.string().min(1).max(64),
  use: z.string().max(32),
  iat: seconds,
  exp: seconds,
  nbf: seconds.optional(),
  roles: z.array(z.string().min(1).max(64)).max(32).optional(),
})
type Claims = z.infer<typeof claimsSchema>

function subjectOf({sub, exp, jti}: Claims) {
  return {ok: true, userId: sub, expiresAt: instantFromMs(exp * 1000), tokenId: jti} as const
}

/** The parts of a token, parsed; null unless each is the one way of writing its bytes. */
function partsOf(token: unknown) {
  if (typeof token !== 'string' || token.length > tokenCharactersMax) return null
  const [header = '', payload = '', signature = '', ...rest] = token.split('.')
  if (rest.length > 0 || ![header, payload, signature].every(isCanonical)) return null
  const parsedHeader = parseJsonObject(header)
  const parsedPayload = parseJsonObject(payload)
  return parsedHeader && parsedPayload && {token, header: parsedHeader, payload: parsedPayload}
}

/** Padding, `+` and `/`, and stray low bits in the last letter all decode too; one token must have one spelling. */
function isCanonical(part: string): boolean {
  return part !== '' && Buffer.from(part, 'base64url').toString('base64url') === part
}

function parseJsonObject(part: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? {...value} : null
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

/**
 * Our tokens have these three header fields and no other. That refuses `crit`, `jku`, `x5u`, `x5c` and an embedded `jwk`
 * without naming them, and whatever is invented next.
 */
function isOurHeader(header: Readonly<Record<string, unknown>>): header is {alg: 'HS256'; typ: 'JWT'; kid: string} {
  return (
    Object.keys(header).every(name => ['alg', 'typ', 'kid'].includes(name)) &&
    header.alg === 'HS256' &&
    header.typ === 'JWT' &&
    typeof header.kid === 'string'
  )
}

function refused(reason: TokenRefusal): Refused {
  return {ok: false, reason}
}
