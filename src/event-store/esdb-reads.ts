/** Reads and subscriptions of the client, as events of the port. */
import type {EventStoreDBClient, ResolvedEvent} from '@eventstore/db-client'

import {cancelRead, type ClientRead, guardRead} from './esdb-client.ts'
import {readError} from './esdb-errors.ts'
import {
  type AllMessage,
  type RecordedEvent,
  StoreUnavailable,
  type SubscribeToAllOptions,
  type SubscribeToStreamOptions,
} from './port.ts'

/** A checkpoint comes after so many times 32 events that did not pass the filter. */
const CHECKPOINT_INTERVAL = 8

/** Reads to the end; fails when nothing came for `timeoutMs`. */
export async function collect(read: ClientRead<ResolvedEvent>, timeoutMs: number): Promise<readonly RecordedEvent[]> {
  const events: RecordedEvent[] = []
  guardRead(read)
  let seen = 0
  const timer = setInterval(() => {
    if (events.length > seen) seen = events.length
    else cancelRead(read, new StoreUnavailable(`the store sent nothing for ${timeoutMs} ms`))
  }, timeoutMs)
  try {
    for await (const resolved of read) {
      const event = recordedEvent(resolved)
      if (event !== null) events.push(event)
    }
    return events
  } finally {
    clearInterval(timer)
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
  client: EventStoreDBClient,
  {after, excludeSystemEvents = true, signal}: SubscribeToAllOptions,
  assertOpen: () => void,
): AsyncIterable<AllMessage> {
  const open = (): ClientRead<ResolvedEvent | AllMessage> => {
    assertOpen()
    // Checkpoints and the end of catching up are pushed between the events, so that they keep their place in the order.
    const push = (message: AllMessage): boolean => subscription.push(message)
    const filter = {
      filterOn: 'eventType',
      regex: '^[^$].*',
      checkpointInterval: CHECKPOINT_INTERVAL,
      checkpointReached: (_subscription: unknown, position: {readonly commit: bigint; readonly prepare: bigint}) =>
        void push({type: 'checkpoint', position}),
    } as const
    const subscription = client.subscribeToAll({
      fromPosition: after ?? 'start',
      ...(excludeSystemEvents ? {filter} : {}),
    })
    subscription.on('caughtUp', () => push({type: 'caughtUp'}))
    return subscription
  }
  return follow(open, allMessage, signal, '$all')
}

function allMessage(item: ResolvedEvent | AllMessage): AllMessage | null {
  if ('type' in item) return item
  const event = recordedEvent(item)
  return event === null ? null : {type: 'event', event}
}

export function subscribeToStream(
  client: EventStoreDBClient,
  stream: string,
  {after, signal}: SubscribeToStreamOptions,
  assertOpen: () => void,
): AsyncIterable<RecordedEvent> {
  const open = (): ClientRead<ResolvedEvent> => {
    assertOpen()
    return client.subscribeToStream(stream, {fromRevision: after ?? 'start'})
  }
  return follow(open, recordedEvent, signal, stream)
}

/** The messages of a subscription; ends quietly when the signal says so, and by an error when the server ends it. */
async function* follow<Item, Message>(
  open: () => ClientRead<Item>,
  messageOf: (item: Item) => Message | null,
  signal: AbortSignal,
  stream: string,
): AsyncGenerator<Message, void, undefined> {
  if (signal.aborted) return
  const subscription = open()
  guardRead(subscription)
  const abort = (): void => cancelRead(subscription, new Error('aborted'))
  signal.addEventListener('abort', abort, {once: true})
  try {
    for await (const item of subscription) {
      const message = messageOf(item)
      if (message !== null) yield message
    }
    if (!signal.aborted) throw new StoreUnavailable(`the store ended the subscription to ${stream}`)
  } catch (error) {
    if (!signal.aborted) throw readError(error, stream)
  } finally {
    signal.removeEventListener('abort', abort)
    cancelRead(subscription)
  }
}
