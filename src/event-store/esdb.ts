/**
 * The event store over `@eventstore/db-client` 6.2.1, which is pinned: an embedded node, a single server and a cluster
 * are all reached through here. What the client gets wrong is made good here and in esdb-client.ts, esdb-errors.ts.
 */
import type {AppendExpectedRevision, EventStoreDBClient, ResolvedEvent} from '@eventstore/db-client'

import {cancelRead, type ClientRead, connectClient, disconnect, guardRead, newEventData} from './esdb-client.ts'
import {appendError, deleteError, isStreamNotFound, readError} from './esdb-errors.ts'
import {
  type AllMessage,
  type Appended,
  type EventStore,
  type ExpectedRevision,
  type NewEvent,
  OutcomeUnknown,
  type ReadAllOptions,
  type ReadStreamOptions,
  type RecordedEvent,
  StoreUnavailable,
  type SubscribeToAllOptions,
  type SubscribeToStreamOptions,
  WrongExpectedRevision,
} from './port.ts'

export interface ConnectOptions {
  /** How long an append or a delete may take before its outcome counts as unknown. Default 10,000. */
  readonly writeTimeoutMs?: number
  /** How long a read may go without an event before it counts as failed. Default 10,000. */
  readonly readTimeoutMs?: number
}

/** More appends at once are refused: the client's buffers have no bound of their own. */
const APPENDS_IN_FLIGHT_MAX = 2048
/** A checkpoint comes after so many times 32 events that did not pass the filter. */
const CHECKPOINT_INTERVAL = 8

/**
 * Connects lazily: the first call does, and a lost connection is made again by the next call. Give each process one
 * store; a second one works, but a failure of either makes appends of both end as `OutcomeUnknown`.
 * @param connectionString e.g. `esdb://127.0.0.1:2113?tls=false`, `esdb+discover://user:password@cluster:2113`
 */
export function connectEventStore(connectionString: string, options: ConnectOptions = {}): EventStore {
  const {writeTimeoutMs = 10_000, readTimeoutMs = 10_000} = options
  const client = connectClient(connectionString)
  let appendsInFlight = 0
  let isClosed = false

  const assertOpen = (): void => {
    if (isClosed) throw new StoreUnavailable('the connection to the event store was closed')
  }

  const append = async (stream: string, expected: ExpectedRevision, events: readonly NewEvent[]): Promise<Appended> => {
    assertOpen()
    assertStreamName(stream)
    if (events.length === 0) throw new TypeError('an append without events')
    if (appendsInFlight >= APPENDS_IN_FLIGHT_MAX) throw new StoreUnavailable('too many appends wait for the store')
    appendsInFlight++
    try {
      const sent = client.appendToStream(stream, events.map(newEventData), {
        expectedRevision: expectedOf(expected),
        deadline: writeTimeoutMs,
      })
      const {nextExpectedRevision, position} = await answeredWithin(sent, writeTimeoutMs)
      if (position === undefined) throw new OutcomeUnknown('the store answered an append without a position')
      return {revision: nextExpectedRevision, position}
    } catch (error) {
      throw await appendError(error, stream, expected, () => isTombstoned(client, stream, readTimeoutMs))
    } finally {
      appendsInFlight--
    }
  }

  const remove = async (how: 'deleteStream' | 'tombstoneStream', stream: string, expected: ExpectedRevision) => {
    assertOpen()
    assertStreamName(stream)
    // The client cannot say "the stream exists" here; the read decides it, and the delete takes any revision then.
    if (expected === 'streamExists' && (await readStream(stream, {direction: 'backwards', maxCount: 1})) === null) {
      throw new WrongExpectedRevision(stream, null)
    }
    const expectedRevision = expected === 'streamExists' ? 'any' : expected === 'noStream' ? 'no_stream' : expected
    try {
      const options = {expectedRevision, deadline: writeTimeoutMs} as const
      await answeredWithin(client[how](stream, options), writeTimeoutMs)
    } catch (error) {
      throw deleteError(error, stream)
    }
  }

  const readStream = async (stream: string, given: ReadStreamOptions): Promise<readonly RecordedEvent[] | null> => {
    assertOpen()
    assertStreamName(stream)
    const {direction = 'forwards', maxCount} = given
    const fromRevision = given.from ?? (direction === 'forwards' ? 'start' : 'end')
    try {
      const read = client.readStream(stream, {direction, fromRevision, maxCount: countOf(maxCount)})
      return await collect(read, readTimeoutMs)
    } catch (error) {
      if (isStreamNotFound(error)) return null
      throw readError(error, stream)
    }
  }

  const readAll = async (given: ReadAllOptions): Promise<readonly RecordedEvent[]> => {
    assertOpen()
    const {direction = 'forwards', maxCount} = given
    const fromPosition = given.from ?? (direction === 'forwards' ? 'start' : 'end')
    try {
      return await collect(client.readAll({direction, fromPosition, maxCount: countOf(maxCount)}), readTimeoutMs)
    } catch (error) {
      throw readError(error, '$all')
    }
  }

  return {
    append,
    readStream,
    readAll,
    subscribeToAll: given => subscribeToAll(client, given, assertOpen),
    subscribeToStream: (stream, given) => subscribeToStream(client, stream, given, assertOpen),
    deleteStream: (stream, expected) => remove('deleteStream', stream, expected),
    tombstoneStream: (stream, expected) => remove('tombstoneStream', stream, expected),
    isReady: () =>
      readAll({direction: 'backwards', maxCount: 1}).then(
        () => true,
        () => false,
      ),
    async close() {
      if (isClosed) return
      isClosed = true
      await disconnect(client)
    },
  }
}

function assertStreamName(stream: string): void {
  if (stream === '' || stream === '$all' || stream.includes('\0')) throw new TypeError(`not a stream: "${stream}"`)
}

function countOf(maxCount: number): number {
  if (!Number.isSafeInteger(maxCount) || maxCount < 1) throw new TypeError(`maxCount is ${maxCount}`)
  return maxCount
}

function expectedOf(expected: ExpectedRevision): AppendExpectedRevision {
  if (expected === 'noStream') return 'no_stream'
  return expected === 'streamExists' ? 'stream_exists' : expected
}

/** The client waits for ever for an answer that does not come. Its own late answer or error is of no use any more. */
async function answeredWithin<Answer>(sent: Promise<Answer>, timeoutMs: number): Promise<Answer> {
  const {promise: tooLate, reject} = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new OutcomeUnknown(`no answer within ${timeoutMs} ms`)), timeoutMs)
  try {
    return await Promise.race([sent, tooLate])
  } finally {
    clearTimeout(timer)
  }
}

/** Reads to the end; fails when nothing came for `timeoutMs`. */
async function collect(read: ClientRead<ResolvedEvent>, timeoutMs: number): Promise<readonly RecordedEvent[]> {
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

async function isTombstoned(client: EventStoreDBClient, stream: string, timeoutMs: number): Promise<boolean> {
  try {
    await collect(client.readStream(stream, {maxCount: 1}), timeoutMs)
    return false
  } catch (error) {
    if (isStreamNotFound(error)) return false
    return readError(error, stream).name === 'StreamTombstoned'
  }
}

async function* subscribeToAll(
  client: EventStoreDBClient,
  {after, excludeSystemEvents = true, signal}: SubscribeToAllOptions,
  assertOpen: () => void,
): AsyncGenerator<AllMessage, void, undefined> {
  assertOpen()
  if (signal.aborted) return
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
  for await (const item of untilAborted<ResolvedEvent | AllMessage>(subscription, signal, '$all')) {
    if ('type' in item) {
      yield item
      continue
    }
    const event = recordedEvent(item)
    if (event !== null) yield {type: 'event', event}
  }
}

async function* subscribeToStream(
  client: EventStoreDBClient,
  stream: string,
  {after, signal}: SubscribeToStreamOptions,
  assertOpen: () => void,
): AsyncGenerator<RecordedEvent, void, undefined> {
  assertOpen()
  assertStreamName(stream)
  if (signal.aborted) return
  const subscription = client.subscribeToStream(stream, {fromRevision: after ?? 'start'})
  for await (const resolved of untilAborted<ResolvedEvent>(subscription, signal, stream)) {
    const event = recordedEvent(resolved)
    if (event !== null) yield event
  }
}

/** The items of a subscription; ends quietly when the signal says so, and by an error when the server ends it. */
async function* untilAborted<Item>(
  subscription: ClientRead<Item>,
  signal: AbortSignal,
  stream: string,
): AsyncGenerator<Item, void, undefined> {
  guardRead(subscription)
  const abort = (): void => cancelRead(subscription, new Error('aborted'))
  signal.addEventListener('abort', abort, {once: true})
  try {
    for await (const item of subscription) yield item
    if (!signal.aborted) throw new StoreUnavailable(`the store ended the subscription to ${stream}`)
  } catch (error) {
    if (!signal.aborted) throw readError(error, stream)
  } finally {
    signal.removeEventListener('abort', abort)
    cancelRead(subscription)
  }
}
