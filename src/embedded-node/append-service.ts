/** The Streams service's writing half: BatchAppend, Append, Delete, Tombstone. */
import type {DeleteReq, TombstoneReq} from '@eventstore/db-client/generated/streams_pb.js'
import type {
  sendUnaryData,
  ServerDuplexStream,
  ServerReadableStream,
  ServerUnaryCall,
  ServiceError,
} from '@grpc/grpc-js'
import {status} from '@grpc/grpc-js'

import {burstWriter} from './burst-writer.ts'
import {allow} from './credentials.ts'
import type {GroupCommit} from './group-commit.ts'
import {
  appendTooLargeError,
  batchBadRequest,
  batchErrorOf,
  batchTooLarge,
  grpcError,
  missingMetadataError,
  unaryErrorOf,
} from './grpc-errors.ts'
import {BadMessage} from './protobuf.ts'
import {APPEND_BYTES_MAX, type AppendWrite, type Expected, type ProposedEvent} from './records.ts'
import {originalStreamOf} from './stream-rules.ts'
import {
  type BatchAppendChunk,
  type BatchAppendOptions,
  decodeAppendReq,
  decodeBatchAppendReq,
  encodeAppendSuccess,
  encodeAppendWrongVersion,
  encodeBatchAppendResp,
  encodePositionReply,
} from './append-messages.ts'

/** Appends of one call whose events are still coming in; more at once is a client gone wrong. */
const OPEN_APPENDS_MAX = 256

export interface WriteCalls {
  batchAppend(call: ServerDuplexStream<Buffer, Buffer>): void
  append(call: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void
  delete(call: ServerUnaryCall<DeleteReq, Buffer>, answer: sendUnaryData<Buffer>): void
  tombstone(call: ServerUnaryCall<TombstoneReq, Buffer>, answer: sendUnaryData<Buffer>): void
}

/** `openAppends` holds the batch-append calls that are open, so that a shutdown can end them. */
export function writeCalls(commits: GroupCommit, openAppends: Set<(error: ServiceError) => void>): WriteCalls {
  return {
    batchAppend: call => serveBatchAppend(commits, openAppends, call),
    append: (call, answer) => serveAppend(commits, call, answer),
    delete: (call, answer) => serveDelete(commits, 'softDelete', call, answer),
    tombstone: (call, answer) => serveDelete(commits, 'tombstone', call, answer),
  }
}

interface OpenAppend {
  readonly options: BatchAppendOptions
  readonly events: ProposedEvent[]
  bytes: number
  /** Set once it was answered early: what still comes for it is dropped. */
  isAnswered: boolean
}

function serveBatchAppend(
  commits: GroupCommit,
  openAppends: Set<(error: ServiceError) => void>,
  call: ServerDuplexStream<Buffer, Buffer>,
): void {
  if (!allow(call, error => call.emit('error', error))) return
  const writer = burstWriter(call)
  const open = new Map<string, OpenAppend>()
  let pending = 0
  let isHalfClosed = false
  let isOver = false

  const end = (error: ServiceError): void => {
    if (isOver) return
    isOver = true
    openAppends.delete(end)
    call.emit('error', error)
  }
  const reply = (bytes: Buffer): void => {
    if (!isOver && !call.cancelled) writer.write(bytes)
  }
  const endWhenDone = (): void => {
    if (!isHalfClosed || pending > 0 || isOver) return
    isOver = true
    openAppends.delete(end)
    call.end()
  }
  const submit = (chunk: BatchAppendChunk, append: OpenAppend): void => {
    const {options, events} = append
    const write: AppendWrite = {kind: 'append', stream: options.stream, expected: options.expected, events}
    pending++
    commits.enqueue(write, options.deadlineMs, outcome => {
      pending--
      const error = batchErrorOf(options.stream, options.expected, outcome)
      if (error !== null) reply(encodeBatchAppendResp(chunk.correlation, options, {error}))
      else if (outcome.type === 'done') reply(encodeBatchAppendResp(chunk.correlation, options, outcome))
      endWhenDone()
    })
    if (commits.isFull()) {
      call.pause()
      commits.onRoom(() => call.resume())
    } else if (writer.isFull()) {
      // The client does not take its answers: it gets no more of them.
      call.pause()
      writer.onRoom(() => call.resume())
    }
  }
  const take = (message: Buffer): void => {
    const chunk = decodeBatchAppendReq(message)
    const key = chunk.correlation.toString('latin1')
    const append = open.get(key) ?? beginAppend(chunk)
    if (chunk.isFinal) open.delete(key)
    else open.set(key, append)
    if (append.isAnswered) return
    const error = addEvents(append, chunk)
    if (error !== null) {
      append.isAnswered = true
      append.events.length = 0
      reply(encodeBatchAppendResp(chunk.correlation, append.options, {error}))
    } else if (chunk.isFinal) {
      submit(chunk, append)
    }
    if (open.size > OPEN_APPENDS_MAX) end(grpcError(status.RESOURCE_EXHAUSTED, 'Too many unfinished appends'))
  }

  openAppends.add(end)
  call.on('data', (message: Buffer) => {
    if (isOver) return
    try {
      take(message)
    } catch (error) {
      if (!(error instanceof BadMessage)) throw error
      end(grpcError(status.INVALID_ARGUMENT, error.message))
    }
  })
  call.on('end', () => {
    isHalfClosed = true
    endWhenDone()
  })
  call.on('cancelled', () => {
    isOver = true
    openAppends.delete(end)
  })
}

function beginAppend(chunk: BatchAppendChunk): OpenAppend {
  if (chunk.options === null) throw new BadMessage('the first message of an append has no options')
  return {options: chunk.options, events: [], bytes: 0, isAnswered: false}
}

/** Adds the chunk's events; answers the error that ends the append, or null. */
function addEvents(append: OpenAppend, chunk: BatchAppendChunk): Buffer | null {
  const problem = streamProblem(append.options.stream) ?? chunk.problem
  if (problem !== null) return batchBadRequest(problem)
  for (const event of chunk.events) {
    append.events.push(event)
    append.bytes += bytesOf(event)
  }
  return append.bytes > APPEND_BYTES_MAX ? batchTooLarge() : null
}

const bytesOf = (event: ProposedEvent): number => event.data.length + event.metadata.length + 2 * event.type.length

function streamProblem(stream: string): string | null {
  if (stream === '' || stream === '$$') return 'the stream has no name'
  if (stream === '$all') return '$all cannot be written to'
  return stream.includes('\0') ? 'the name of a stream holds a NUL' : null
}

/** Unary Append: a wrong version is a result here; what else goes wrong is an error of the call. */
function serveAppend(
  commits: GroupCommit,
  call: ServerReadableStream<Buffer, Buffer>,
  answer: sendUnaryData<Buffer>,
): void {
  if (!allow(call, answer)) return
  let target: {readonly stream: string; readonly expected: Expected} | null = null
  const events: ProposedEvent[] = []
  let bytes = 0
  let refusal: ServiceError | null = null

  const take = (message: Buffer): void => {
    const part = decodeAppendReq(message)
    if (part.target !== null) target = part.target
    if (part.event === null) return
    events.push(part.event)
    bytes += bytesOf(part.event)
    if (bytes > APPEND_BYTES_MAX) refusal = appendTooLargeError()
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
    commits.enqueue({kind: 'append', stream, expected, events}, Infinity, outcome => {
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
