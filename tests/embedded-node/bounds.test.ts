import {EventStoreDBClient, jsonEvent} from '@eventstore/db-client'
import {StreamsClient} from '@eventstore/db-client/generated/streams_grpc_pb.js'
import shared from '@eventstore/db-client/generated/shared_pb.js'
import streams from '@eventstore/db-client/generated/streams_pb.js'
import {type ClientReadableStream, credentials, type ServiceError, status} from '@grpc/grpc-js'
import {once} from 'node:events'
import {rm} from 'node:fs/promises'
import {afterEach, beforeEach, expect, test} from 'vitest'

import {type EmbeddedNode, startEmbeddedNode} from '../../src/embedded-node/node.ts'
import type {Limits} from '../../src/embedded-node/server.ts'
import {connectEventStore} from '../../src/event-store/esdb.ts'
import {StoreUnavailable} from '../../src/event-store/port.ts'
import {temporaryFolder} from '../support/store.ts'
import {freshStream, newEvents} from '../support/store-events.ts'

const mebibyte = 1024 * 1024

let dataDir: string
let node: EmbeddedNode
const opened: {close(): void}[] = []
beforeEach(async () => {
  dataDir = await temporaryFolder()
})
afterEach(async () => {
  for (const client of opened.splice(0)) client.close()
  await node.close()
  await rm(dataDir, {recursive: true, force: true})
})

async function start(limits?: Limits): Promise<void> {
  node = await startEmbeddedNode({dataDir, host: '127.0.0.1', limits})
}

/** A connection of its own: without the option clients to one address share one. */
function rawClient(): StreamsClient {
  const options = {'grpc.use_local_subchannel_pool': 1}
  const client = new StreamsClient(`127.0.0.1:${node.port}`, credentials.createInsecure(), options)
  opened.push(client)
  return client
}

type Messages = ClientReadableStream<InstanceType<typeof streams.ReadResp>>

/** A subscription to `$all`; nothing is taken from it before somebody reads. */
function subscribe(client: StreamsClient, from: 'start' | 'end'): Messages {
  const all = new streams.ReadReq.Options.AllOptions()
  if (from === 'start') all.setStart(new shared.Empty())
  else all.setEnd(new shared.Empty())
  const options = new streams.ReadReq.Options()
  options.setAll(all)
  options.setSubscription(new streams.ReadReq.Options.SubscriptionOptions())
  options.setNoFilter(new shared.Empty())
  options.setUuidOption(new streams.ReadReq.Options.UUIDOption())
  const request = new streams.ReadReq()
  request.setOptions(options)
  const call: Messages = client.read(request)
  call.on('error', () => undefined)
  return call
}

interface Stats {
  readonly connections: {readonly open: number; readonly refused: number}
  readonly reads: {
    readonly open: number
    readonly subscriptions: number
    readonly refused: number
    readonly pending: {readonly messages: number; readonly bytes: number}
  }
}
const statsNow = async (): Promise<Stats> => (await (await fetch(`${node.controlUrl}/stats`)).json()) as Stats

async function untilStats(isSo: (stats: Stats) => boolean): Promise<Stats> {
  for (let looks = 0; looks < 5000; looks++) {
    const stats = await statsNow()
    if (isSo(stats)) return stats
  }
  throw new Error(`it never came to be so: ${JSON.stringify(await statsNow())}`)
}

/** Reads until so many events came; answers their revisions' positions in the order they came. */
async function takeEvents(messages: Messages, count: number): Promise<readonly number[]> {
  const positions: number[] = []
  for await (const message of messages as AsyncIterable<InstanceType<typeof streams.ReadResp>>) {
    const event = message.getEvent()?.getEvent()
    if (event !== undefined) positions.push(Number(event.getCommitPosition()))
    if (positions.length === count) break
  }
  return positions
}

test('a reader that pauses through 10^5 events holds up a few hundred messages, nobody else, and misses none', async () => {
  await start()
  const store = connectEventStore(node.connectionString)
  const paused = subscribe(rawClient(), 'start')
  await untilStats(stats => stats.reads.subscriptions === 1)
  let most = {messages: 0, bytes: 0}
  for (let batch = 0; batch < 200; batch++) {
    await store.append(freshStream(), 'noStream', newEvents(500))
    const {pending} = (await statsNow()).reads
    most = {messages: Math.max(most.messages, pending.messages), bytes: Math.max(most.bytes, pending.bytes)}
  }
  // What one call may have on its way: 256 messages; one event more was being sent.
  expect(most.messages).toBeGreaterThan(0)
  expect(most.messages).toBeLessThanOrEqual(257)
  expect(most.bytes).toBeLessThanOrEqual(512 * 1024)
  const positions = await takeEvents(paused, 100_001)
  expect(positions).toEqual(positions.map((_, index) => index + 1))
  await store.close()
})

test('very many paused readers share a bound, and what they held is given back when they go', async () => {
  await start()
  const store = connectEventStore(node.connectionString)
  for (let batch = 0; batch < 10; batch++) {
    const large = newEvents(200).map(event => ({...event, data: 'x'.repeat(1000)}))
    await store.append(freshStream(), 'any', large)
  }
  const client = rawClient()
  // Each alone may have 256 KiB on their way: together 150 MiB.
  const paused = Array.from({length: 600}, () => subscribe(client, 'start'))
  const {reads} = await untilStats(({reads}) => reads.subscriptions === 600 && reads.pending.bytes >= 64 * mebibyte)
  expect(reads.pending.bytes).toBeLessThanOrEqual(66 * mebibyte)
  for (const call of paused) call.cancel()
  const after = await untilStats(stats => stats.reads.open === 0 && stats.reads.pending.messages === 0)
  expect(after.reads.pending.bytes).toBe(0)
  await store.close()
})

test('a thousand subscriptions at once each get each event, in order', async () => {
  await start()
  const store = connectEventStore(node.connectionString)
  const clients = [rawClient(), rawClient()]
  const calls = Array.from({length: 1000}, (_, index) => subscribe(clients[index % 2] as StreamsClient, 'end'))
  const taken = calls.map(call => takeEvents(call, 20))
  await untilStats(stats => stats.reads.subscriptions === 1000)
  const first = await store.append(freshStream(), 'any', newEvents(1))
  for (let number = 1; number < 20; number++) await store.append(freshStream(), 'any', newEvents(1))
  const expected = Array.from({length: 20}, (_, index) => Number(first.position.commit) + index)
  for (const positions of await Promise.all(taken)) expect(positions).toEqual(expected)
  await store.close()
})

test('reads and subscriptions above the limit are refused with the limit, and there is room when one ends', async () => {
  await start({connectionsMax: 10, readsMax: 3})
  const client = rawClient()
  const calls = Array.from({length: 3}, () => subscribe(client, 'end'))
  await untilStats(stats => stats.reads.subscriptions === 3)
  const refused = subscribe(client, 'end')
  const [error] = (await once(refused.resume(), 'error')) as [ServiceError]
  expect(error).toMatchObject({code: status.RESOURCE_EXHAUSTED, details: expect.stringContaining('serves 3 at a time')})
  calls[0]?.cancel()
  await untilStats(stats => stats.reads.open === 2)
  subscribe(client, 'end')
  expect(await untilStats(stats => stats.reads.open === 3)).toMatchObject({reads: {refused: 1}})
})

test('connections above the limit are told so, and there is room when one ends', async () => {
  await start({connectionsMax: 2, readsMax: 100})
  const clients = [rawClient(), rawClient()]
  const calls = clients.map(client => subscribe(client, 'end'))
  await untilStats(stats => stats.reads.subscriptions === 2)
  const third = rawClient()
  const [error] = (await once(subscribe(third, 'end').resume(), 'error')) as [ServiceError]
  expect(error).toMatchObject({code: status.RESOURCE_EXHAUSTED, details: 'Too many connections: this node takes 2'})
  const official = EventStoreDBClient.connectionString(node.connectionString)
  const append = official.appendToStream('s', jsonEvent({type: 'Tested', data: {}}))
  await expect(append).rejects.toThrow('Too many connections')
  calls[0]?.cancel()
  clients[0]?.close()
  await untilStats(stats => stats.connections.open === 1)
  subscribe(third, 'end')
  expect(await untilStats(stats => stats.reads.subscriptions === 2)).toMatchObject({connections: {open: 2, refused: 2}})
  await official.dispose()
})

test('appends above the limit are refused with the limit and written by nobody; a long name is refused, too', async () => {
  await start()
  const client = rawClient()
  const open = Array.from({length: 2048}, () => {
    const call = client.append(() => undefined)
    call.on('error', () => undefined)
    // The request goes out with its first message.
    call.write(new streams.AppendReq())
    return call
  })
  const refused = Promise.withResolvers<ServiceError | null>()
  // Calls of one connection arrive in their order.
  const late = client.append(error => refused.resolve(error))
  late.on('error', () => undefined)
  late.write(new streams.AppendReq())
  expect(await refused.promise).toMatchObject({
    code: status.RESOURCE_EXHAUSTED,
    details: 'Nothing was written: this node takes 2048 appends at a time',
  })
  for (const call of open) call.cancel()
  const store = connectEventStore(node.connectionString)
  const answered = await untilAnswered(() => store.append('s', 'any', newEvents(1)))
  expect(answered.revision).toBe(0n)
  await expect(store.append('s'.repeat(4097), 'any', newEvents(1))).rejects.toThrow('more than 4096 bytes')
  await store.close()
})

async function untilAnswered<Answer>(attempt: () => Promise<Answer>): Promise<Answer> {
  for (let tries = 0; tries < 1000; tries++) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
    }
  }
  throw new Error('no answer after 1,000 tries')
}
