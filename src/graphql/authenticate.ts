import type {Role} from '../access/events.ts'
import type {Instant} from '../kernel/time.ts'
import type {Identity} from './context.ts'
import type {GraphqlParts} from './parts.ts'

type AuthParts = Pick<GraphqlParts, 'verifyAccess' | 'queries' | 'logger'>

/**
 * Who sends a request, from its `Authorization` header. Nobody without one; null, to be answered with 401, when it holds
 * no valid bearer token of a known user. Roles are those of the read model: one taken away counts within moments.
 */
export function authenticate(parts: AuthParts, authorization: string | undefined, requestId: string): Identity | null {
  if (authorization === undefined) return {caller: null, expiresAt: null}
  const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1]
  const verified = parts.verifyAccess(token)
  if (!verified.ok) return refused(parts, requestId, verified.reason)
  const {userId, expiresAt} = verified
  const roles = rolesOf(parts, userId)
  if (roles === null) return refused(parts, requestId, 'UnknownUser')
  return {caller: {userId, roles, requestId}, expiresAt}
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
