/** What an error of the client means to a caller of the port. */
import {
  AppendTooLarge,
  type ExpectedRevision,
  OutcomeUnknown,
  StoreUnavailable,
  StreamTombstoned,
  WrongExpectedRevision,
} from './port.ts'

/** What is looked at of an error; `type` is set by the client's own errors, `code` by gRPC's. */
interface Described {
  readonly type: string | null
  readonly code: number | null
  readonly message: string
  readonly actualVersion: unknown
}

const GRPC_UNAVAILABLE = 14

function describe(error: unknown): Described {
  if (!(error instanceof Error)) return {type: null, code: null, message: String(error), actualVersion: null}
  const {type, code, actualVersion} = error as {type?: unknown; code?: unknown; actualVersion?: unknown}
  return {
    type: typeof type === 'string' ? type : null,
    code: typeof code === 'number' ? code : null,
    // The client's words for an answer that none of its error classes fits.
    message: error.message.replace(/^Could not recognize /, ''),
    actualVersion,
  }
}

const ownErrors = [WrongExpectedRevision, OutcomeUnknown, StoreUnavailable, StreamTombstoned, AppendTooLarge]
const isOwn = (error: unknown): error is Error => ownErrors.some(kind => error instanceof kind)

export const isStreamNotFound = (error: unknown): boolean => describe(error).type === 'stream-not-found'

/** The error to throw for an append that failed. `isTombstoned` is asked only when the answer leaves it open. */
export async function appendError(
  error: unknown,
  stream: string,
  expected: ExpectedRevision,
  isTombstoned: () => Promise<boolean>,
): Promise<Error> {
  // A soft-deleted stream that should exist is called deleted, too.
  if (describe(error).type === 'stream-deleted' && expected === 'streamExists' && !(await isTombstoned())) {
    return new WrongExpectedRevision(stream, null)
  }
  return deleteError(error, stream)
}

/** The error to throw for a delete that failed, and for an append in most cases. */
export function deleteError(error: unknown, stream: string): Error {
  if (isOwn(error)) return error
  const described = describe(error)
  const cause = {cause: error}
  switch (described.type) {
    case 'wrong-expected-version':
      return new WrongExpectedRevision(stream, actualRevision(described.actualVersion))
    case 'stream-deleted':
      return new StreamTombstoned(`the stream ${stream} was deleted for ever`, cause)
    case 'maximum-append-size-exceeded':
      return new AppendTooLarge(`the events for ${stream} are too large for one append`, cause)
    case 'access-denied':
    case 'not-leader':
      return new StoreUnavailable(`the store refused the write: ${described.message}`, cause)
    default:
      if (error instanceof TypeError) return error
      return isCertainlyUnsent(described)
        ? new StoreUnavailable(`the store took nothing: ${described.message}`, cause)
        : new OutcomeUnknown(`the outcome of the write is unknown: ${described.message}`, cause)
  }
}

function actualRevision(actual: unknown): bigint | null {
  return typeof actual === 'bigint' && actual >= 0n ? actual : null
}

/**
 * Only what cannot have reached the store, or what the store says it did not do. The client asks for the server's
 * features before the first append of a connection and passes on the raw error of that; all errors after that are of
 * its own classes.
 */
function isCertainlyUnsent({type, code, message}: Described): boolean {
  if (type === null && code === GRPC_UNAVAILABLE) return true
  return unsentTexts.some(text => message.includes(text))
}

const unsentTexts = [
  // Of @grpc/grpc-js: no connection was there to send anything over.
  'No connection established',
  'Channel has been shut down',
  'Channel closed before call started',
  'Name resolution failed',
  // Of the client's search for a cluster's node.
  'Failed to discover after',
  // Of the embedded node, when its disk is full.
  'Nothing was written',
]

/** The error to throw for a read or a subscription that failed. */
export function readError(error: unknown, stream: string): Error {
  if (isOwn(error) || error instanceof TypeError) return error
  const {type, message} = describe(error)
  if (type === 'stream-deleted')
    return new StreamTombstoned(`the stream ${stream} was deleted for ever`, {cause: error})
  return new StoreUnavailable(`${stream} cannot be read: ${message}`, {cause: error})
}
