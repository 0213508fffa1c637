/** Appends and deletes through the client, with the answers and errors of the port. */
import type {AppendExpectedRevision} from '@eventstore/db-client'

import {newEventData} from './esdb-client.ts'
import {assertStreamName, type Connection} from './esdb-connection.ts'
import {appendError, deleteError} from './esdb-errors.ts'
import {isTombstoned, readStream} from './esdb-reads.ts'
import {
  type Appended,
  type ExpectedRevision,
  type NewEvent,
  OutcomeUnknown,
  StoreUnavailable,
  WrongExpectedRevision,
} from './port.ts'

/** More appends at once are refused: the client's buffers have no bound of their own. */
const APPENDS_IN_FLIGHT_MAX = 2048

export type Append = (stream: string, expected: ExpectedRevision, events: readonly NewEvent[]) => Promise<Appended>

export function appender(connection: Connection): Append {
  const {client, writeTimeoutMs} = connection
  let inFlight = 0
  return async (stream, expected, events) => {
    connection.assertOpen()
    assertStreamName(stream)
    if (events.length === 0) throw new TypeError('an append without events')
    if (inFlight >= APPENDS_IN_FLIGHT_MAX) throw new StoreUnavailable('too many appends wait for the store')
    inFlight++
    try {
      const expectedRevision = expectedOf(expected)
      const options = {expectedRevision, deadline: writeTimeoutMs}
      const sent = client.appendToStream(stream, events.map(newEventData), options)
      const {nextExpectedRevision, position} = await answered(connection, sent)
      if (position === undefined) throw new OutcomeUnknown('the store answered an append without a position')
      return {revision: nextExpectedRevision, position}
    } catch (error) {
      throw await appendError(error, stream, expected, () => isTombstoned(connection, stream))
    } finally {
      inFlight--
    }
  }
}

function expectedOf(expected: ExpectedRevision): AppendExpectedRevision {
  if (expected === 'noStream') return 'no_stream'
  return expected === 'streamExists' ? 'stream_exists' : expected
}

export async function remove(
  connection: Connection,
  how: 'deleteStream' | 'tombstoneStream',
  stream: string,
  expected: ExpectedRevision,
): Promise<void> {
  connection.assertOpen()
  assertStreamName(stream)
  // The client cannot say "the stream exists" here; a read decides it, and the delete takes any revision then.
  if (expected === 'streamExists') {
    const last = await readStream(connection, stream, {direction: 'backwards', maxCount: 1})
    if (last === null) throw new WrongExpectedRevision(stream, null)
  }
  const expectedRevision = expected === 'streamExists' ? 'any' : expected === 'noStream' ? 'no_stream' : expected
  try {
    await answered(connection, connection.client[how](stream, {expectedRevision, deadline: connection.writeTimeoutMs}))
  } catch (error) {
    throw deleteError(error, stream)
  }
}

/** The client waits for ever for an answer that does not come. Its own late answer or error is of no use any more. */
async function answered<Answer>({open, writeTimeoutMs}: Connection, sent: Promise<Answer>): Promise<Answer> {
  const {promise: unknown, reject} = Promise.withResolvers<never>()
  const end = (): void => reject(new OutcomeUnknown('the connection was closed before the answer came'))
  const timer = setTimeout(() => reject(new OutcomeUnknown(`no answer within ${writeTimeoutMs} ms`)), writeTimeoutMs)
  open.add(end)
  try {
    return await Promise.race([sent, unknown])
  } finally {
    clearTimeout(timer)
    open.delete(end)
  }
}
