/**
 * BatchAppend: one call carries many appends, each in one or more messages with a correlation id. Each id gets exactly
 * one reply; what still comes for an answered id is dropped.
 */
import {type ServerDuplexStream, type ServiceError, status} from '@grpc/grpc-js'

import {appendsProblem, type Collected, collectEvents, streamProblem} from './append-checks.ts'
import {
  type BatchAppendChunk,
  type BatchAppendOptions,
  decodeBatchAppendReq,
  encodeBatchAppendResp,
} from './append-messages.ts'
import {burstWriter} from './burst-writer.ts'
import {allow} from './credentials.ts'
import type {GroupCommit} from './group-commit.ts'
import {batchBadRequest, batchErrorOf, batchTooLarge, grpcError} from './grpc-errors.ts'
import {BadMessage} from './protobuf.ts'
import type {WriteOutcome} from './records.ts'

/** Appends of one call whose events are still coming in; more at once is a client gone wrong. */
const UNFINISHED_MAX = 256

export function serveBatchAppend(
  commits: GroupCommit,
  openAppends: Set<(error: ServiceError) => void>,
  call: ServerDuplexStream<Buffer, Buffer>,
): void {
  if (!allow(call, error => call.emit('error', error))) return
  const crowded = appendsProblem(openAppends)
  if (crowded !== null) return void call.emit('error', crowded)
  const writer = burstWriter(call)
  let pending = 0
  let isHalfClosed = false
  let isOver = false

  /** True the first time. */
  const close = (): boolean => {
    if (isOver) return false
    isOver = true
    openAppends.delete(shutDown)
    return true
  }
  const end = (error: ServiceError): void => {
    if (close()) call.emit('error', error)
  }
  // A single append ends as UNAVAILABLE, a stream of them as CANCELLED: clients tell the two apart.
  const shutDown = ({details}: ServiceError): void => end(grpcError(status.CANCELLED, details))
  const reply = (bytes: Buffer): void => {
    if (!isOver && !call.cancelled) writer.write(bytes)
  }
  const endWhenDone = (): void => {
    if (isHalfClosed && pending === 0 && close()) call.end()
  }
  const submit = ({correlation, options, collected}: CompleteAppend): void => {
    const {stream, expected, deadlineMs} = options
    pending++
    commits.enqueue({kind: 'append', stream, expected, events: collected.events}, deadlineMs, outcome => {
      pending--
      reply(encodeOutcome(correlation, options, outcome))
      endWhenDone()
    })
    // A client that does not take its answers gets no more of them.
    const narrow = commits.isFull() ? commits : writer.isFull() ? writer : null
    if (narrow === null) return
    call.pause()
    narrow.onRoom(() => call.resume())
  }

  const take = appendCollector(submit, reply)
  openAppends.add(shutDown)
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
  call.on('cancelled', close)
}

function encodeOutcome(correlation: Buffer, options: BatchAppendOptions, outcome: WriteOutcome): Buffer {
  if (outcome.type === 'done') return encodeBatchAppendResp(correlation, options, outcome)
  return encodeBatchAppendResp(correlation, options, {error: batchErrorOf(options.stream, options.expected, outcome)})
}

interface CompleteAppend {
  readonly correlation: Buffer
  readonly options: BatchAppendOptions
  readonly collected: Collected
}

interface UnfinishedAppend {
  readonly options: BatchAppendOptions
  readonly collected: Collected
  /** Set once it was answered early. */
  isAnswered: boolean
}

/**
 * Puts the messages of a call together to appends. An append that cannot be taken is answered at once.
 * @throws BadMessage (the collector) when the call as a whole makes no sense
 */
function appendCollector(
  submit: (append: CompleteAppend) => void,
  reply: (bytes: Buffer) => void,
): (message: Buffer) => void {
  const unfinished = new Map<string, UnfinishedAppend>()
  return message => {
    const chunk = decodeBatchAppendReq(message)
    const {correlation, isFinal} = chunk
    const key = correlation.toString('latin1')
    const append = unfinished.get(key) ?? beginAppend(chunk)
    if (isFinal) unfinished.delete(key)
    else unfinished.set(key, append)
    if (unfinished.size > UNFINISHED_MAX) throw new BadMessage('too many unfinished appends')
    if (append.isAnswered) return
    const error = addChunk(append, chunk)
    if (error !== null) {
      append.isAnswered = true
      reply(encodeBatchAppendResp(correlation, append.options, {error}))
    } else if (isFinal) {
      submit({correlation, options: append.options, collected: append.collected})
    }
  }
}

function beginAppend({options}: BatchAppendChunk): UnfinishedAppend {
  if (options === null) throw new BadMessage('the first message of an append has no options')
  return {options, collected: collectEvents(), isAnswered: false}
}

/** Adds the events of a message; answers the error that ends the append, or null. */
function addChunk({options, collected}: UnfinishedAppend, {events, problem}: BatchAppendChunk): Buffer | null {
  const reason = streamProblem(options.stream) ?? problem
  if (reason !== null) return batchBadRequest(reason)
  // The time counts while the messages of an append come in, not only when it is complete.
  if (options.deadlineMs <= Date.now()) return batchErrorOf(options.stream, options.expected, {type: 'timeout'})
  for (const event of events) collected.add(event)
  return collected.isTooLarge() ? batchTooLarge() : null
}
