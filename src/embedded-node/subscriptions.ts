/**
 * Catch-up subscriptions. Each reads on from its own cursor until there is nothing more, says so once, and then waits
 * for the next commit: the reading is the same before and after, so that no event is lost or doubled in between. A slow
 * reader holds back only itself, and no memory: what it has not taken stays in the log.
 */
import {randomUUID} from 'node:crypto'

import {streamDeletedError} from './grpc-errors.ts'
import type {Outlet} from './outlet.ts'
import {PAGE_EVENTS, readStreamPage, streamStatus} from './reader.ts'
import {encodeForRead, type ReadContext, turnOfOthers} from './read-context.ts'
import type {ReadRequest} from './read-request.ts'
import {encodeCaughtUp, encodeCheckpoint, encodeConfirmation} from './read-messages.ts'

export async function subscribeToAll(context: ReadContext, request: ReadRequest, outlet: Outlet): Promise<void> {
  const {filter, from} = request
  let cursor = from === 'start' ? 0 : from === 'end' ? context.store.lastPosition() : from
  let checkpoint = cursor
  let considered = 0
  let isCaughtUp = false
  await outlet.send(encodeConfirmation(randomUUID()))
  while (!outlet.isOver()) {
    const page = context.tail.after(cursor, PAGE_EVENTS)
    for (const event of page) {
      if (filter === null || filter.passes(event)) await outlet.send(encodeForRead(context, request, event))
      cursor = event.position
      if (filter !== null && ++considered >= filter.checkpointEvery) {
        considered = 0
        checkpoint = cursor
        await outlet.send(encodeCheckpoint(checkpoint))
      }
      if (outlet.isOver()) return
    }
    if (page.length > 0) {
      if (!isCaughtUp) await turnOfOthers()
      continue
    }
    if (!isCaughtUp) {
      isCaughtUp = true
      if (filter !== null && cursor > checkpoint) {
        considered = 0
        checkpoint = cursor
        await outlet.send(encodeCheckpoint(checkpoint))
      }
      await outlet.send(encodeCaughtUp())
      continue
    }
    await outlet.until(context.tail.onCommit)
  }
}

export async function subscribeToStream(
  context: ReadContext,
  request: ReadRequest,
  stream: string,
  outlet: Outlet,
): Promise<void> {
  const {from} = request
  const {lastRevision} = context.store.state(stream)
  let next = from === 'start' ? 0 : from === 'end' ? lastRevision + 1 : from + 1
  let isCaughtUp = false
  await outlet.send(encodeConfirmation(randomUUID()))
  while (!outlet.isOver()) {
    if (streamStatus(context.store, stream) === 'tombstoned') return outlet.fail(streamDeletedError(stream))
    const page = readStreamPage(context.store, stream, 'forwards', next, context.nowMs())
    for (const event of page.events) {
      await outlet.send(encodeForRead(context, request, event))
      if (outlet.isOver()) return
    }
    if (page.next !== null) {
      next = page.next
      await turnOfOthers()
      continue
    }
    if (!isCaughtUp) {
      isCaughtUp = true
      await outlet.send(encodeCaughtUp())
      continue
    }
    await outlet.until(context.tail.onCommit)
  }
}
