/**
 * The node has no accounts: it serves the loopback interface only, and clients send no credentials without TLS. The
 * account that every fresh EventStoreDB has is accepted, other credentials are refused instead of being ignored.
 */
import {type Metadata, type ServiceError, status} from '@grpc/grpc-js'

import {grpcError} from './grpc-errors.ts'

const DEFAULT_ACCOUNT = `Basic ${Buffer.from('admin:changeit').toString('base64')}`

/** Answers true when the call may go on, else refuses it as UNAUTHENTICATED. */
export function allow(call: {readonly metadata: Metadata}, refuse: (error: ServiceError) => void): boolean {
  const given = call.metadata.get('authorization')
  if (given.every(value => value === DEFAULT_ACCOUNT)) return true
  refuse(grpcError(status.UNAUTHENTICATED, 'These credentials are not known here'))
  return false
}

/** Set by security.ts once it has checked the account. */
export const ACCOUNT_HEADER = 'x-account'

/** The name of an allowed caller, for those who ask who is connected; nothing is allowed by it. */
export function userOf(call: {readonly metadata: Metadata}): string {
  const [account] = call.metadata.get(ACCOUNT_HEADER)
  if (account !== undefined) return String(account)
  const basic = /^Basic (.*)$/.exec(String(call.metadata.get('authorization')[0] ?? ''))?.[1]
  if (basic === undefined) return 'anonymous'
  return Buffer.from(basic, 'base64').toString('utf8').split(':', 1)[0] ?? 'anonymous'
}
