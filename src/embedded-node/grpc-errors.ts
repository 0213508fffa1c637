/**
 * Refusals as EventStoreDB sends them: a gRPC status with trailers that the clients turn into their error classes, and
 * the `google.rpc.Status` of a batch append.
 */
import {Metadata, type ServiceError, status} from '@grpc/grpc-js'

import {EMPTY, field} from './protobuf.ts'
import {APPEND_BYTES_MAX, type Expected, type WriteOutcome} from './records.ts'

/**
 * Begins the text of an error after which it is certain that nothing was written, although no error class of the
 * protocol says so (a full disk).
 */
export const NOTHING_WRITTEN = 'Nothing was written'

export function grpcError(
  code: status,
  message: string,
  trailers: Readonly<Record<string, string>> = {},
): ServiceError {
  const metadata = new Metadata()
  for (const [key, value] of Object.entries(trailers)) metadata.set(key, trailerText(value))
  return Object.assign(new Error(message), {code, details: message, metadata})
}

/** Trailers are ASCII without space around it: names of streams may be anything. */
const trailerText = (value: string): string => (/^(?! )[ -~]*(?<! )$/.test(value) ? value : encodeURIComponent(value))

export const streamDeletedError = (stream: string): ServiceError =>
  grpcError(status.FAILED_PRECONDITION, `Event stream '${encodeURIComponent(stream)}' is deleted.`, {
    exception: 'stream-deleted',
    'stream-name': stream,
  })

export const wrongVersionError = (stream: string, expected: Expected, actual: number | null): ServiceError =>
  grpcError(
    status.FAILED_PRECONDITION,
    `Wrong expected version: ${expected}, actual version: ${actual === null ? 'no stream' : actual}.`,
    {
      exception: 'wrong-expected-version',
      'stream-name': stream,
      'expected-version': String(expectedNumber(expected)),
      'actual-version': String(actual ?? -1),
    },
  )

export const appendTooLargeError = (): ServiceError =>
  grpcError(status.INVALID_ARGUMENT, `Maximum append size of ${APPEND_BYTES_MAX} bytes exceeded.`, {
    exception: 'maximum-append-size-exceeded',
    'maximum-append-size': String(APPEND_BYTES_MAX),
  })

export const missingMetadataError = (message: string): ServiceError =>
  grpcError(status.INVALID_ARGUMENT, message, {
    exception: 'missing-required-metadata-property',
    'required-metadata-properties': 'type,content-type',
  })

/** The numbers of EventStoreDB's ExpectedVersion. */
function expectedNumber(expected: Expected): number {
  if (typeof expected === 'number') return expected
  return {noStream: -1, any: -2, streamExists: -4}[expected]
}

/** A `google.rpc.Status` {code = 1, message = 2, details = 3: Any {type_url = 1, value = 2}} for a batch append. */
function batchError(code: status, message: string, name: string, detail: Uint8Array): Buffer {
  const typeUrl = field(1, Buffer.from(`type.googleapis.com/event_store.client.${name}`))
  const any = Buffer.concat([typeUrl, field(2, detail)])
  return Buffer.concat([field(1, code), field(2, Buffer.from(message)), field(3, any)])
}

export const batchTooLarge = (): Buffer =>
  batchError(status.INVALID_ARGUMENT, 'TooLarge', 'MaximumAppendSizeExceeded', field(1, APPEND_BYTES_MAX))

export const batchBadRequest = (message: string): Buffer =>
  batchError(status.INVALID_ARGUMENT, `${NOTHING_WRITTEN}: ${message}`, 'BadRequest', field(1, Buffer.from(message)))

type NotDone = Exclude<WriteOutcome, {readonly type: 'done'}>

/** The error part of a batch reply. Field numbers: shared.proto. */
export function batchErrorOf(stream: string, expected: Expected, outcome: NotDone): Buffer {
  switch (outcome.type) {
    case 'wrongRevision': {
      const actual = outcome.actual === null ? field(2, EMPTY) : field(1, outcome.actual)
      const detail = Buffer.concat([actual, expectedField(expected)])
      return batchError(status.FAILED_PRECONDITION, 'WrongExpectedVersion', 'WrongExpectedVersion', detail)
    }
    case 'streamDeleted': {
      const detail = field(1, field(3, Buffer.from(stream)))
      return batchError(status.FAILED_PRECONDITION, 'StreamDeleted', 'StreamDeleted', detail)
    }
    case 'timeout':
      return batchError(status.DEADLINE_EXCEEDED, 'Timeout', 'Timeout', EMPTY)
    case 'diskFull':
      // No error class of the protocol says "not written"; `BadRequest` is the one that promises nothing else.
      return batchError(status.RESOURCE_EXHAUSTED, `${NOTHING_WRITTEN}: ${outcome.message}`, 'BadRequest', EMPTY)
    case 'failed':
    default:
      return batchError(status.INTERNAL, outcome.message, 'Unknown', EMPTY)
  }
}

/** WrongExpectedVersion {expected_stream_position = 3, any = 4, stream_exists = 5, no_stream = 6}. */
function expectedField(expected: Expected): Buffer {
  if (typeof expected === 'number') return field(3, expected)
  return field({any: 4, streamExists: 5, noStream: 6}[expected], EMPTY)
}

/** The error of a unary call for a write that was not done. */
export function unaryErrorOf(stream: string, expected: Expected, outcome: NotDone): ServiceError {
  switch (outcome.type) {
    case 'wrongRevision':
      return wrongVersionError(stream, expected, outcome.actual)
    case 'streamDeleted':
      return streamDeletedError(stream)
    case 'timeout':
      return grpcError(status.DEADLINE_EXCEEDED, 'The deadline passed')
    case 'diskFull':
      return grpcError(status.RESOURCE_EXHAUSTED, `${NOTHING_WRITTEN}: ${outcome.message}`)
    case 'failed':
    default:
      return grpcError(status.INTERNAL, outcome.message)
  }
}

type PersistentFault = 'failed' | 'does-not-exist' | 'exists' | 'dropped' | 'maximum-subscribers-reached'

/** Refusals about a group of a persistent subscription, with EventStoreDB's codes, words and trailers. */
export function groupError(fault: PersistentFault, stream: string, group: string, reason = ''): ServiceError {
  const of = `${encodeName(group)} on stream ${encodeName(stream)}`
  const [code, message] = {
    failed: [status.INTERNAL, `Subscription group ${of} failed: '${reason}'`],
    'does-not-exist': [status.NOT_FOUND, `Subscription group ${of} does not exist.`],
    exists: [status.ALREADY_EXISTS, `Subscription group ${of} exists.`],
    dropped: [status.CANCELLED, `Subscription group ${of} was dropped.`],
    'maximum-subscribers-reached': [
      status.FAILED_PRECONDITION,
      `Maximum subscriptions reached for subscription group ${of}.`,
    ],
  }[fault] as [status, string]
  const exception = fault === 'maximum-subscribers-reached' ? fault : `persistent-subscription-${fault}`
  return grpcError(code, message, {
    exception,
    'stream-name': stream,
    'group-name': group,
    ...(fault === 'failed' ? {reason} : {}),
  })
}

const encodeName = (name: string): string => (/^[ -~]*$/.test(name) ? name : encodeURIComponent(name))
