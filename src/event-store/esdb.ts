/**
 * The event store over `@eventstore/db-client` 6.2.1, which is pinned: an embedded node, a single server and a cluster
 * are all reached through here. What the client gets wrong is made good here and in esdb-client.ts, esdb-errors.ts.
 */
import type {AppendExpectedRevision, EventStoreDBClient} from '@eventstore/db-client'

import {connectClient, disconnect, newEventData} from './esdb-client.ts'
import {appendError, deleteError, isStreamNotFound, readError} from './esdb-errors.ts'
import {collect, subscribeToAll, subscribeToStream} from './esdb-reads.ts'
import {
  type Appended,
  type EventStore,
  type ExpectedRevision,
  type NewEvent,
  OutcomeUnknown,
  type ReadAllOptions,
  type ReadStreamOptions,
  type RecordedEvent,
  StoreUnavailable,
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
    subscribeToStream(stream, given) {
      assertStreamName(stream)
      return subscribeToStream(client, stream, given, assertOpen)
    },
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

async function isTombstoned(client: EventStoreDBClient, stream: string, timeoutMs: number): Promise<boolean> {
  try {
    await collect(client.readStream(stream, {maxCount: 1}), timeoutMs)
    return false
  } catch (error) {
    if (isStreamNotFound(error)) return false
    return readError(error, stream).name === 'StreamTombstoned'
  }
}
