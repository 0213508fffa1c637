import type {Role} from '../access/events.ts'
import type {UserId} from '../kernel/ids.ts'
import type {Instant} from '../kernel/time.ts'
import type {Identity} from './context.ts'
import type {GraphqlParts} from './parts.ts'

type AuthParts = Pick<GraphqlParts, 'verifyAccess' | 'queries' | 'logger'>

/** What is known of a request before it is known who sends it. */
interface Asked {
  readonly requestId: string
  /** See `Caller`. */
  readonly arrivedAtMs: number
}

/** What a token proves by itself, before anybody is asked about its user; null: there is no token. */
type Claim = {readonly userId: UserId; readonly expiresAt: Instant} | null

/**
 * Who sends a request, from its `Authorization` header. Nobody without one; null, to be answered with 401, when it holds
 * no valid bearer token of a known user. Roles are those of the read model: one taken away counts within moments.
 */
export function authenticate(parts: AuthParts, authorization: string | undefined, asked: Asked): Identity | null {
  const claim = claimOf(parts, authorization, asked.requestId)
  return claim === 'invalid' ? null : identify(parts, claim, asked)
}

/** The first half of `authenticate`, for whoever has to wait for the read model before the second. */
export function claimOf(parts: AuthParts, authorization: string | undefined, requestId: string): Claim | 'invalid' {
  if (authorization === undefined) return null
  const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
  const verified = parts.verifyAccess(token)
  if (verified.ok) return verified
  refused(parts, requestId, verified.reason)
  return 'invalid'
}

export function identify(parts: AuthParts, claim: Claim, {requestId, arrivedAtMs}: Asked): Identity | null {
  if (claim === null) return {caller: null, expiresAt: null}
  const {userId, expiresAt} = claim
  const roles = rolesOf(parts, userId)
  if (roles === null) return refused(parts, requestId, 'UnknownUser')
  return {caller: {userId, roles, requestId, arrivedAtMs}, expiresAt}
}

/** Whether a token accepted earlier has not run out since. */
export function isStillValid(expiresAt: Instant, now: Instant): boolean {
  return now < expiresAt
}

function rolesOf({queries}: AuthParts, userId: string): readonly Role[] | null {
  return queries.users.user(userId)?.roles ?? null
}

function refused({logger}: AuthParts, requestId: string, reason: string): null {
  logger.warn({requestId, reason}, 'token refused')
  return null
}
