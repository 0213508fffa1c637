/**
 * The event store over `@eventstore/db-client` 6.2.1, which is pinned: an embedded node, a single server and a cluster
 * are all reached through here. What the client gets wrong is made good in esdb-client.ts and esdb-errors.ts.
 */
import {type ConnectOptions, openConnection} from './esdb-connection.ts'
import {readAll, readStream, subscribeToAll, subscribeToStream} from './esdb-reads.ts'
import {appender, remove} from './esdb-writes.ts'
import type {EventStore} from './port.ts'

export type {ConnectOptions}

/**
 * Connects lazily: the first call does, and a lost connection is made again by the next call. Give each process one
 * store; a second one works, but a failure of either makes appends of both end as `OutcomeUnknown`.
 * @param connectionString e.g. `esdb://127.0.0.1:2113?tls=false`, `esdb+discover://user:password@cluster:2113`
 */
export function connectEventStore(connectionString: string, options: ConnectOptions = {}): EventStore {
  const connection = openConnection(connectionString, options)
  return {
    append: appender(connection),
    readStream: (stream, given) => readStream(connection, stream, given),
    readAll: given => readAll(connection, given),
    subscribeToAll: given => subscribeToAll(connection, given),
    subscribeToStream: (stream, given) => subscribeToStream(connection, stream, given),
    deleteStream: (stream, expected) => remove(connection, 'deleteStream', stream, expected),
    tombstoneStream: (stream, expected) => remove(connection, 'tombstoneStream', stream, expected),
    isReady: () =>
      readAll(connection, {direction: 'backwards', maxCount: 1}).then(
        () => true,
        () => false,
      ),
    close: () => connection.close(),
  }
}
