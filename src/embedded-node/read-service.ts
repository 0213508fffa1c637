/** The Streams service's Read: reads that end, of one stream or of $all. Subscriptions are in subscriptions.ts. */
import type {ReadReq} from '@eventstore/db-client/generated/streams_pb.js'
import {type ServerWritableStream, status} from '@grpc/grpc-js'

import {allow} from './credentials.ts'
import {grpcError, streamDeletedError} from './grpc-errors.ts'
import {openOutlet, type Outlet} from './outlet.ts'
import {BadMessage} from './protobuf.ts'
import {encodeForRead, type ReadContext, readsRefusal, turnOfOthers} from './read-context.ts'
import {PAGE_EVENTS, readStreamPage, streamStatus} from './reader.ts'
import {parseReadRequest, type ReadRequest} from './read-request.ts'
import type {StoredEvent} from './records.ts'
import {subscribeToAll, subscribeToStream} from './subscriptions.ts'
import {encodeStreamNotFound} from './read-messages.ts'

export function serveRead(context: ReadContext, call: ServerWritableStream<ReadReq, Buffer>): void {
  if (!allow(call, error => call.emit('error', error))) return
  const refusal = readsRefusal(context)
  if (refusal !== null) {
    call.emit('error', refusal)
    return
  }
  const outlet = openOutlet(call, context.openReads)
  read(context, call.request, outlet).then(
    () => outlet.finish(),
    (error: unknown) => {
      if (error instanceof BadMessage) return outlet.fail(grpcError(status.INVALID_ARGUMENT, error.message))
      outlet.fail(grpcError(status.INTERNAL, 'The log cannot be read'))
      context.broken(error instanceof Error ? error : new Error(String(error)))
    },
  )
}

async function read(context: ReadContext, message: ReadReq, outlet: Outlet): Promise<void> {
  const request = parseReadRequest(message)
  if (!request.isSubscription) return readOrSubscribe(context, request, outlet)
  context.load.subscriptions++
  try {
    await readOrSubscribe(context, request, outlet)
  } finally {
    context.load.subscriptions--
  }
}

async function readOrSubscribe(context: ReadContext, request: ReadRequest, outlet: Outlet): Promise<void> {
  const {stream} = request
  if (stream === null)
    return request.isSubscription ? subscribeToAll(context, request, outlet) : readAll(context, request, outlet)
  if (streamStatus(context.store, stream) === 'tombstoned') return outlet.fail(streamDeletedError(stream))
  if (request.isSubscription) return subscribeToStream(context, request, stream, outlet)
  return readStream(context, request, stream, outlet)
}

async function readStream(context: ReadContext, request: ReadRequest, stream: string, outlet: Outlet): Promise<void> {
  if (streamStatus(context.store, stream) === 'missing') {
    await outlet.send(encodeStreamNotFound(stream))
    return
  }
  const {direction, from} = request
  const end = direction === 'forwards' ? Infinity : context.store.state(stream).lastRevision
  let next: number | null = from === 'start' ? 0 : from === 'end' ? end : from
  let left = request.count
  while (next !== null && left > 0 && !outlet.isOver()) {
    const page = readStreamPage(context.store, stream, direction, next, context.nowMs())
    left -= await sendPage(context, request, page.events.slice(0, left), outlet)
    next = page.next
    await turnOfOthers()
  }
}

async function readAll(context: ReadContext, request: ReadRequest, outlet: Outlet): Promise<void> {
  const {direction, filter} = request
  let cursor = firstCursor(request)
  let left = request.count
  while (left > 0 && !outlet.isOver()) {
    const limit = filter === null ? Math.min(PAGE_EVENTS, left) : PAGE_EVENTS
    const page = context.store.readAll(direction, cursor, limit)
    const last = page.at(-1)
    if (last === undefined) return
    cursor = last.position
    const passing = filter === null ? page : page.filter(filter.passes).slice(0, left)
    left -= await sendPage(context, request, passing, outlet)
    await turnOfOthers()
  }
}

/** Forwards is inclusive, backwards exclusive; the store reads strictly after and strictly before. */
function firstCursor({from, direction}: ReadRequest): number {
  const beyond = Number.MAX_SAFE_INTEGER
  if (from === 'start') return 0
  if (from === 'end') return beyond
  return Math.min(direction === 'forwards' ? from - 1 : from, beyond)
}

/** Answers how many events were sent. */
async function sendPage(
  context: ReadContext,
  request: ReadRequest,
  events: readonly StoredEvent[],
  outlet: Outlet,
): Promise<number> {
  for (const event of events) {
    const wait = outlet.send(encodeForRead(context, request, event))
    if (wait !== null) await wait
    if (outlet.isOver()) break
  }
  return events.length
}
