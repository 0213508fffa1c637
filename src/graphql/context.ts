import type {YogaInitialContext} from 'graphql-yoga'
import {hasRole, type Caller} from '../dispatch/caller.ts'
import type {Instant} from '../kernel/time.ts'
import {forbidden, unauthenticated} from './errors.ts'
import type {GraphqlParts} from './parts.ts'
import type {Subscriptions} from './subscriptions.ts'

/** Who asks: the user behind a verified token, with the roles of now; both null for anybody else. */
export interface Identity {
  readonly caller: Caller | null
  readonly expiresAt: Instant | null
}

/** What the server knows of a request before Yoga sees it. */
export interface RequestContext extends Identity {
  readonly parts: GraphqlParts
  readonly subscriptions: Subscriptions
  readonly requestId: string
}

export type GraphqlContext = RequestContext & Partial<YogaInitialContext>

export function requireCaller({caller}: RequestContext): Caller {
  if (caller === null) throw unauthenticated()
  return caller
}

export function requireOperator(context: RequestContext): Caller {
  const caller = requireCaller(context)
  if (!hasRole(caller, 'operator')) throw forbidden()
  return caller
}

export function isOperator({caller}: RequestContext): boolean {
  return caller !== null && hasRole(caller, 'operator')
}
