/** The Streams service's writing half: Append, Delete, Tombstone here, BatchAppend in batch-append.ts. */
import type {DeleteReq, TombstoneReq} from '@eventstore/db-client/generated/streams_pb.js'
import type {
  sendUnaryData,
  ServerDuplexStream,
  ServerReadableStream,
  ServerUnaryCall,
  ServiceError,
} from '@grpc/grpc-js'
import {status} from '@grpc/grpc-js'

import {appendsProblem, collectEvents, streamProblem} from './append-checks.ts'
import {decodeAppendReq, encodeAppendSuccess, encodeAppendWrongVersion, encodePositionReply} from './append-messages.ts'
import {serveBatchAppend} from './batch-append.ts'
import {allow} from './credentials.ts'
import type {GroupCommit} from './group-commit.ts'
import {appendTooLargeError, grpcError, missingMetadataError, unaryErrorOf} from './grpc-errors.ts'
import {BadMessage} from './protobuf.ts'
import type {Expected} from './records.ts'
import {originalStreamOf} from './stream-rules.ts'

export interface WriteCalls {
  batchAppend(call: ServerDuplexStream<Buffer, Buffer>): void
  append(call: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void
  delete(call: ServerUnaryCall<DeleteReq, Buffer>, answer: sendUnaryData<Buffer>): void
  tombstone(call: ServerUnaryCall<TombstoneReq, Buffer>, answer: sendUnaryData<Buffer>): void
}

/** `openAppends` holds the appends that are open, so that a shutdown can end them. */
export function writeCalls(commits: GroupCommit, openAppends: Set<(error: ServiceError) => void>): WriteCalls {
  return {
    batchAppend: call => serveBatchAppend(commits, openAppends, call),
    append: (call, answer) => serveAppend(commits, openAppends, call, answer),
    delete: (call, answer) => serveDelete(commits, 'softDelete', call, answer),
    tombstone: (call, answer) => serveDelete(commits, 'tombstone', call, answer),
  }
}

/** Unary Append: a wrong version is a result here; what else goes wrong is an error of the call. */
function serveAppend(
  commits: GroupCommit,
  openAppends: Set<(error: ServiceError) => void>,
  call: ServerReadableStream<Buffer, Buffer>,
  answerOnce: sendUnaryData<Buffer>,
): void {
  if (!allow(call, answerOnce)) return
  const crowded = appendsProblem(openAppends)
  if (crowded !== null) return answerOnce(crowded)
  const answer: sendUnaryData<Buffer> = (...reply) => {
    if (openAppends.delete(answer)) answerOnce(...reply)
  }
  openAppends.add(answer)
  call.on('cancelled', () => openAppends.delete(answer))
  let target: {readonly stream: string; readonly expected: Expected} | null = null
  const collected = collectEvents()
  let refusal: ServiceError | null = null

  const take = (message: Buffer): void => {
    const part = decodeAppendReq(message)
    if (part.target !== null) target = part.target
    if (part.event !== null) collected.add(part.event)
    if (collected.isTooLarge()) refusal = appendTooLargeError()
  }
  call.on('data', (message: Buffer) => {
    if (refusal !== null) return
    try {
      take(message)
    } catch (error) {
      if (!(error instanceof BadMessage)) throw error
      refusal = missingMetadataError(error.message)
    }
  })
  call.on('end', () => {
    const problem = target === null ? 'the append has no options' : streamProblem(target.stream)
    if (refusal !== null) return answer(refusal)
    if (target === null || problem !== null) return answer(grpcError(status.INVALID_ARGUMENT, problem ?? ''))
    const {stream, expected} = target
    commits.enqueue({kind: 'append', stream, expected, events: collected.events}, Infinity, outcome => {
      if (outcome.type === 'done') answer(null, encodeAppendSuccess(outcome.revision, outcome.position))
      else if (outcome.type === 'wrongRevision') answer(null, encodeAppendWrongVersion(expected, outcome.actual))
      else answer(unaryErrorOf(stream, expected, outcome))
    })
  })
}

function serveDelete(
  commits: GroupCommit,
  kind: 'softDelete' | 'tombstone',
  call: ServerUnaryCall<DeleteReq | TombstoneReq, Buffer>,
  answer: sendUnaryData<Buffer>,
): void {
  if (!allow(call, answer)) return
  const options = call.request.getOptions()
  const name = options?.getStreamIdentifier()?.getStreamName_asU8() ?? new Uint8Array()
  const stream = Buffer.from(name).toString('utf8')
  const problem = streamProblem(stream) ?? (originalStreamOf(stream) === null ? null : 'metadata cannot be deleted')
  if (options === undefined || problem !== null) return answer(grpcError(status.INVALID_ARGUMENT, problem ?? ''))
  const expected = expectedOf(options)
  commits.enqueue({kind, stream, expected}, Infinity, outcome => {
    if (outcome.type === 'done') answer(null, encodePositionReply(outcome.position ?? 0))
    else answer(unaryErrorOf(stream, expected, outcome))
  })
}

function expectedOf(options: DeleteReq.Options | TombstoneReq.Options): Expected {
  if (options.hasRevision()) return Number(options.getRevision())
  if (options.hasNoStream()) return 'noStream'
  return options.hasStreamExists() ? 'streamExists' : 'any'
}
