/** One connection to the store, shared by its writes and its reads. */
import type {EventStoreDBClient} from '@eventstore/db-client'

import {connectClient, disconnect} from './esdb-client.ts'
import {StoreUnavailable} from './port.ts'

export interface ConnectOptions {
  /** How long an append or a delete may take before its outcome counts as unknown. Default 10,000. */
  readonly writeTimeoutMs?: number
  /** How long a read may go without an event before it counts as failed. Default 10,000. */
  readonly readTimeoutMs?: number
}

export interface Connection {
  readonly client: EventStoreDBClient
  readonly writeTimeoutMs: number
  readonly readTimeoutMs: number
  /** What is open, each with its way to end when the connection closes: the client would leave it waiting. */
  readonly open: Set<() => void>
  /** @throws StoreUnavailable after `close` */
  assertOpen(this: void): void
  close(): Promise<void>
}

export const closedError = (): StoreUnavailable => new StoreUnavailable('the connection to the event store was closed')

export function openConnection(connectionString: string, options: ConnectOptions): Connection {
  const client = connectClient(connectionString)
  const open = new Set<() => void>()
  let isClosed = false
  return {
    client,
    writeTimeoutMs: options.writeTimeoutMs ?? 10_000,
    readTimeoutMs: options.readTimeoutMs ?? 10_000,
    open,
    assertOpen() {
      if (isClosed) throw closedError()
    },
    async close() {
      if (isClosed) return
      isClosed = true
      for (const end of open) end()
      await disconnect(client)
    },
  }
}

/** Names that no server accepts are bugs of the caller. */
export function assertStreamName(stream: string): void {
  if (stream === '' || stream === '$all' || stream.includes('\0')) throw new TypeError(`not a stream: "${stream}"`)
}
