/** Reads and subscriptions of the client, as events of the port. */
import type {ResolvedEvent} from '@eventstore/db-client'

import {cancelRead, type ClientRead, guardRead} from './esdb-client.ts'
import {assertStreamName, closedError, type Connection} from './esdb-connection.ts'
import {isStreamNotFound, readError} from './esdb-errors.ts'
import {
  type AllMessage,
  type ReadAllOptions,
  type ReadStreamOptions,
  type RecordedEvent,
  StoreUnavailable,
  StreamTombstoned,
  type SubscribeToAllOptions,
  type SubscribeToStreamOptions,
} from './port.ts'

/** A checkpoint comes after so many times 32 events that did not pass the filter. */
const CHECKPOINT_INTERVAL = 8

/** @throws StoreUnavailable, StreamTombstoned */
export async function readStream(
  connection: Connection,
  stream: string,
  {direction = 'forwards', from, maxCount}: ReadStreamOptions,
): Promise<readonly RecordedEvent[] | null> {
  connection.assertOpen()
  assertStreamName(stream)
  const fromRevision = from ?? (direction === 'forwards' ? 'start' : 'end')
  const read = connection.client.readStream(stream, {direction, fromRevision, maxCount: countOf(maxCount)})
  try {
    return await collect(connection, read)
  } catch (error) {
    if (isStreamNotFound(error)) return null
    throw readError(error, stream)
  }
}

/** @throws StoreUnavailable */
export async function readAll(
  connection: Connection,
  {direction = 'forwards', from, maxCount}: ReadAllOptions,
): Promise<readonly RecordedEvent[]> {
  connection.assertOpen()
  const fromPosition = from ?? (direction === 'forwards' ? 'start' : 'end')
  const read = connection.client.readAll({direction, fromPosition, maxCount: countOf(maxCount)})
  try {
    return await collect(connection, read)
  } catch (error) {
    throw readError(error, '$all')
  }
}

function countOf(maxCount: number): number {
  if (!Number.isSafeInteger(maxCount) || maxCount < 1) throw new TypeError(`maxCount is ${maxCount}`)
  return maxCount
}

/** Tells a tombstoned stream from one that only reads as missing; false when that cannot be known now. */
export async function isTombstoned(connection: Connection, stream: string): Promise<boolean> {
  try {
    await readStream(connection, stream, {maxCount: 1})
    return false
  } catch (error) {
    return error instanceof StreamTombstoned
  }
}

/** Reads to the end; fails when nothing came for a while. */
async function collect(
  {open, readTimeoutMs}: Connection,
  read: ClientRead<ResolvedEvent>,
): Promise<readonly RecordedEvent[]> {
  const events: RecordedEvent[] = []
  guardRead(read)
  const end = (): void => cancelRead(read, closedError())
  open.add(end)
  let seen = 0
  const timer = setInterval(() => {
    if (events.length > seen) seen = events.length
    else cancelRead(read, new StoreUnavailable(`the store sent nothing for ${readTimeoutMs} ms`))
  }, readTimeoutMs)
  try {
    for await (const resolved of read) {
      const event = recordedEvent(resolved)
      if (event !== null) events.push(event)
    }
    return events
  } finally {
    clearInterval(timer)
    open.delete(end)
    cancelRead(read)
  }
}

function recordedEvent({event}: ResolvedEvent): RecordedEvent | null {
  if (event === undefined) return null
  const {id, type, streamId: stream, revision, created, data, metadata, position} = event
  if (position === undefined) throw new StoreUnavailable('the store is older than 22.6: its events have no position')
  return {id, type, stream, revision, position, recordedAtMs: created.getTime(), data, metadata}
}

/** Follows $all; nothing is asked of the server before the first message is. */
export function subscribeToAll(
  connection: Connection,
  {after, excludeSystemEvents = true, signal}: SubscribeToAllOptions,
): AsyncIterable<AllMessage> {
  const start = (): ClientRead<ResolvedEvent | AllMessage> => {
    // Checkpoints and the end of catching up are pushed between the events, so that they keep their place in the order.
    const push = (message: AllMessage): boolean => subscription.push(message)
    const filter = {
      filterOn: 'eventType',
      regex: '^[^$].*',
      checkpointInterval: CHECKPOINT_INTERVAL,
      checkpointReached: (_subscription: unknown, position: {readonly commit: bigint; readonly prepare: bigint}) =>
        void push({type: 'checkpoint', position}),
    } as const
    const subscription = connection.client.subscribeToAll({
      fromPosition: after ?? 'start',
      ...(excludeSystemEvents ? {filter} : {}),
    })
    subscription.on('caughtUp', () => push({type: 'caughtUp'}))
    return subscription
  }
  return follow(connection, start, allMessage, {signal, stream: '$all'})
}

function allMessage(item: ResolvedEvent | AllMessage): AllMessage | null {
  if ('type' in item) return item
  const event = recordedEvent(item)
  return event === null ? null : {type: 'event', event}
}

export function subscribeToStream(
  connection: Connection,
  stream: string,
  {after, signal}: SubscribeToStreamOptions,
): AsyncIterable<RecordedEvent> {
  assertStreamName(stream)
  const start = (): ClientRead<ResolvedEvent> =>
    connection.client.subscribeToStream(stream, {fromRevision: after ?? 'start'})
  return follow(connection, start, recordedEvent, {signal, stream})
}

/** The messages of a subscription; ends quietly when the signal says so, and by an error when the server ends it. */
async function* follow<Item, Message>(
  {open, assertOpen}: Connection,
  start: () => ClientRead<Item>,
  messageOf: (item: Item) => Message | null,
  {signal, stream}: {readonly signal: AbortSignal; readonly stream: string},
): AsyncGenerator<Message, void, undefined> {
  if (signal.aborted) return
  assertOpen()
  const subscription = start()
  guardRead(subscription)
  const end = (): void => cancelRead(subscription, closedError())
  open.add(end)
  signal.addEventListener('abort', end, {once: true})
  try {
    for await (const item of subscription) {
      const message = messageOf(item)
      if (message !== null) yield message
    }
    if (!signal.aborted) throw new StoreUnavailable(`the store ended the subscription to ${stream}`)
  } catch (error) {
    if (!signal.aborted) throw readError(error, stream)
  } finally {
    signal.removeEventListener('abort', end)
    open.delete(end)
    cancelRead(subscription)
  }
}
