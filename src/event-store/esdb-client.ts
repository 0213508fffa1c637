/** The client library with its faults fenced in. Nothing but esdb.ts uses it. */
import {type EventData, EventStoreDBClient} from '@eventstore/db-client'
import {StreamsClient} from '@eventstore/db-client/generated/streams_grpc_pb.js'
import {logVerbosity, setLogVerbosity} from '@grpc/grpc-js'

import type {NewEvent} from './port.ts'

/** Makes a client that does not connect yet. Throws when the connection string cannot be read. */
export function connectClient(connectionString: string): EventStoreDBClient {
  guardBatchAppends()
  // Errors reach the caller; printing them as well says nothing more.
  setLogVerbosity(logVerbosity.NONE)
  return EventStoreDBClient.connectionString(connectionString)
}

/**
 * Ends the calls and closes the channel. The client's own `dispose` leaves the channel open, which would keep the
 * process alive.
 */
export async function disconnect(client: EventStoreDBClient): Promise<void> {
  const {promise: late, resolve: giveUp} = Promise.withResolvers<undefined>()
  const timer = setTimeout(giveUp, DISPOSE_MS_MAX, undefined)
  await Promise.race([client.dispose(), late])
  clearTimeout(timer)
  const internals = client as unknown as {getChannel(): Promise<{close(): void}>}
  const channel = await internals.getChannel().catch(() => null)
  channel?.close()
}

const DISPOSE_MS_MAX = 2000

let isGuarded = false

type Listener = (...given: unknown[]) => void
interface AppendCall {
  on(event: string, listener: Listener): AppendCall
  write(message: unknown): boolean
}

/**
 * Two faults of the client's batch appends would end the process, from code that no caller can catch:
 * a reply that comes after its append was given up throws in the listener of the call, and messages that wait for the
 * call to drain when it breaks are rejections that nobody handles. Late replies are dropped here, and messages never
 * wait: how many there can be is bounded by the appends that the adapter lets through.
 */
function guardBatchAppends(): void {
  if (isGuarded) return
  isGuarded = true
  const prototype = StreamsClient.prototype as unknown as {batchAppend: (...given: unknown[]) => AppendCall}
  const original = prototype.batchAppend
  prototype.batchAppend = function guarded(...given) {
    const call = original.apply(this, given)
    const on = call.on.bind(call)
    const write = call.write.bind(call)
    call.on = (event, listener) => on(event, event === 'data' ? withoutLateReplies(listener) : listener)
    call.write = message => {
      write(message)
      return true
    }
    return call
  }
}

function withoutLateReplies(listener: Listener): Listener {
  return (...given) => {
    try {
      listener(...given)
    } catch (error) {
      // The client finds no pending append for the reply and tries to take `undefined` apart.
      if (!(error instanceof TypeError)) throw error
    }
  }
}

const encoder = new TextEncoder()

/**
 * An event with its JSON encoded once. The client would encode JSON data twice, by way of base64; it sends bytes as
 * they are, but only under another content type. It reads `contentType` twice, first to send it and then to choose how
 * to encode, so that the two answers differ here. Saves a quarter of an append's time in this thread. A contract test
 * fails if the client should ever read them in another order.
 */
export function newEventData({id, type, data, metadata}: NewEvent): EventData {
  let wasSent = false
  const event = {
    id,
    type,
    get contentType() {
      if (wasSent) return 'application/octet-stream'
      wasSent = true
      return 'application/json'
    },
    data: jsonBytes(data),
    metadata: jsonBytes(metadata),
  }
  return event as unknown as EventData
}

function jsonBytes(value: unknown): Uint8Array {
  const json = JSON.stringify(value) as string | undefined
  if (json === undefined) throw new TypeError('the data of an event is not JSON')
  return encoder.encode(json)
}

/** A read or a subscription of the client; its own types do not agree with those of the newer Node. */
export interface ClientRead<Item> extends AsyncIterable<Item> {
  on(event: 'error', listener: (error: Error) => void): unknown
  destroy(error?: Error): unknown
  readonly cancel?: () => Promise<void>
  readonly unsubscribe?: () => Promise<void>
}

/**
 * To be called at once on every read: the client emits errors on streams that were left long ago, and an `error` event
 * without a listener ends the process. The reader gets its errors all the same.
 */
export function guardRead(read: ClientRead<unknown>): void {
  read.on('error', ignoreLateError)
}

/** Ends a read or a subscription, with an error for its reader if one is given. Safe at any time and more than once. */
export function cancelRead(read: ClientRead<unknown>, error?: Error): void {
  const cancelled = read.cancel?.() ?? read.unsubscribe?.() ?? Promise.resolve()
  // It rejects when the call never came to be: there is nothing to cancel then.
  cancelled.catch(ignoreLateError)
  read.destroy(error)
}

function ignoreLateError(): void {
  // The reader has gone; there is nobody to tell.
}
