import {
  binaryEvent,
  EventStoreDBClient,
  type Filter,
  jsonEvent,
  type ReadStreamOptions,
  streamNameFilter,
  type StreamMetadata,
  WrongExpectedVersionError,
} from '@eventstore/db-client'
import {StreamsClient} from '@eventstore/db-client/generated/streams_grpc_pb.js'
import {credentials, Metadata, type ServiceError, status} from '@grpc/grpc-js'
import {afterAll, beforeAll, expect, test} from 'vitest'

import {type EmbeddedNode, startEmbeddedNode} from '../../src/embedded-node/node.ts'
import {freshStream} from '../support/store-events.ts'
import {startTestStore, type TestStore} from '../support/store.ts'

/** What the port does not show of EventStoreDB's behaviour, through the official client as it is. */
let rig: TestStore
let node: EmbeddedNode
let client: EventStoreDBClient
beforeAll(async () => {
  rig = await startTestStore()
  node = rig.node
  client = EventStoreDBClient.connectionString(node.connectionString)
})
afterAll(async () => {
  await client.dispose()
  await rig.stop()
})

const tested = (number: number) => jsonEvent({type: 'Tested', data: {number}})
const testedMany = (count: number) => Array.from({length: count}, (_, number) => tested(number))
const unary = {credentials: {username: 'admin', password: 'changeit'}}

async function revisionsOf(stream: string, options: ReadStreamOptions = {}): Promise<readonly number[]> {
  const read = await Array.fromAsync(client.readStream(stream, options))
  return read.map(resolved => Number(resolved.event?.revision))
}

test('calls with credentials take the unary path, with the same rules and answers', async () => {
  const stream = freshStream()
  const events = testedMany(3)
  const appended = await client.appendToStream(stream, events, {expectedRevision: 'no_stream', ...unary})
  expect(appended).toMatchObject({success: true, nextExpectedRevision: 2n})
  const repeated = await client.appendToStream(stream, events, {expectedRevision: 'no_stream', ...unary})
  expect(repeated).toEqual(appended)
  expect(await client.appendToStream(stream, events, {expectedRevision: 'no_stream'})).toEqual(appended)

  const wrong = client.appendToStream(stream, tested(9), {expectedRevision: 7n, ...unary})
  await expect(wrong).rejects.toMatchObject({type: 'wrong-expected-version', expectedVersion: 7n, actualVersion: 2n})
  const missing = client.appendToStream(freshStream(), tested(9), {expectedRevision: 'stream_exists', ...unary})
  await expect(missing).rejects.toMatchObject({expectedVersion: 'stream_exists', actualVersion: 'no_stream'})
  const large = jsonEvent({type: 'Large', data: 'x'.repeat(1_100_000)})
  const tooLarge = client.appendToStream(stream, large, unary)
  await expect(tooLarge).rejects.toMatchObject({type: 'maximum-append-size-exceeded', maxAppendSize: 1_048_576})
  await client.tombstoneStream(stream, unary)
  await expect(client.appendToStream(stream, tested(9), unary)).rejects.toMatchObject({type: 'stream-deleted'})
})

test('unknown credentials are refused on every call', async () => {
  const raw = new StreamsClient(`127.0.0.1:${node.port}`, credentials.createInsecure())
  const metadata = new Metadata()
  metadata.set('authorization', `Basic ${Buffer.from('admin:wrong').toString('base64')}`)
  const codes = await Promise.all([
    new Promise<unknown>(resolve => {
      raw.append(metadata, error => resolve(error?.code)).end()
    }),
    new Promise<unknown>(resolve => {
      raw.batchAppend(metadata).on('error', (error: ServiceError) => resolve(error.code))
    }),
  ])
  raw.close()
  expect(codes).toEqual([status.UNAUTHENTICATED, status.UNAUTHENTICATED])
})

test('an append that comes in many messages is one append', async () => {
  const stream = freshStream()
  const appended = await client.appendToStream(stream, testedMany(500), {
    expectedRevision: 'no_stream',
    batchAppendSize: 1000,
  })
  expect(appended.nextExpectedRevision).toBe(499n)
  const all = await Array.fromAsync(client.readStream(stream))
  const positions = all.map(resolved => Number(resolved.event?.position?.commit))
  expect(positions).toEqual(positions.map((_, index) => (positions[0] ?? 0) + index))
  expect(appended.position?.commit).toBe(BigInt(positions.at(-1) ?? 0))
})

test('an append whose size exceeds the limit in its third message is refused once and whole', async () => {
  const stream = freshStream()
  const events = Array.from({length: 12}, () => jsonEvent({type: 'Large', data: 'x'.repeat(100_000)}))
  const append = client.appendToStream(stream, events, {batchAppendSize: 300_000})
  await expect(append).rejects.toMatchObject({type: 'maximum-append-size-exceeded'})
  await expect(revisionsOf(stream)).rejects.toMatchObject({type: 'stream-not-found'})
  expect(await client.appendToStream(stream, tested(1))).toMatchObject({nextExpectedRevision: 0n})
})

test('a deadline that has passed when the append arrives is a time-out, and nothing is written', async () => {
  const stream = freshStream()
  await expect(client.appendToStream(stream, tested(1), {deadline: -1000})).rejects.toMatchObject({
    type: 'deadline-exceeded',
  })
  await expect(revisionsOf(stream)).rejects.toMatchObject({type: 'stream-not-found'})
})

test('binary data and metadata come back byte for byte', async () => {
  const stream = freshStream()
  const data = Uint8Array.from({length: 256}, (_, byte) => byte)
  await client.appendToStream(stream, binaryEvent({type: 'Bytes', data, metadata: Uint8Array.from([255, 0, 254])}))
  const [read] = await Array.fromAsync(client.readStream(stream))
  expect(read?.event).toMatchObject({isJson: false, type: 'Bytes'})
  expect(Buffer.from(read?.event?.data as Uint8Array)).toEqual(Buffer.from(data))
  expect(Buffer.from(read?.event?.metadata as Uint8Array)).toEqual(Buffer.from([255, 0, 254]))
})

test('the limits in the metadata of a stream hide events from its reads, not from $all', async () => {
  const stream = freshStream()
  const from = (await client.appendToStream(stream, testedMany(10))).position
  const visible = async (metadata: StreamMetadata): Promise<readonly number[]> => {
    await client.setStreamMetadata(stream, metadata)
    expect(await revisionsOf(stream, {direction: 'backwards', fromRevision: 'end'})).toEqual(
      (await revisionsOf(stream)).toReversed(),
    )
    return revisionsOf(stream)
  }
  expect(await visible({maxCount: 3})).toEqual([7, 8, 9])
  expect(await visible({truncateBefore: 4})).toEqual([4, 5, 6, 7, 8, 9])
  expect(await visible({truncateBefore: 4, maxCount: 100})).toEqual([4, 5, 6, 7, 8, 9])
  expect(await visible({truncateBefore: 10})).toEqual([])
  expect(await visible({maxAge: 3600})).toHaveLength(10)
  expect(await visible({})).toHaveLength(10)
  expect(await client.getStreamMetadata(stream)).toMatchObject({metadata: {}})
  expect(await revisionsOf(`$$${stream}`)).toEqual([5])
  const all = client.readAll({direction: 'backwards', fromPosition: 'end', maxCount: 100})
  const mine = (await Array.fromAsync(all)).filter(resolved => resolved.event?.streamId === stream)
  expect(mine).toHaveLength(10)
  expect(mine[0]?.event?.position).toEqual(from)
})

test('a stream with metadata only exists for stream_exists, and can be deleted', async () => {
  const stream = freshStream()
  await client.setStreamMetadata(stream, {maxCount: 5})
  const append = await client.appendToStream(stream, tested(0), {expectedRevision: 'stream_exists'})
  expect(append.nextExpectedRevision).toBe(0n)
  const other = freshStream()
  await client.setStreamMetadata(other, {maxCount: 5})
  expect(await client.deleteStream(other)).toMatchObject({position: {commit: expect.any(BigInt)}})
})

test('metadata written to a soft-deleted stream brings it back with its old events hidden', async () => {
  const stream = freshStream()
  await client.appendToStream(stream, testedMany(2))
  await client.deleteStream(stream)
  await client.setStreamMetadata(stream, {maxCount: 9})
  expect(await client.getStreamMetadata(stream)).toMatchObject({metadata: {maxCount: 9, truncateBefore: 2}})
  expect(await client.appendToStream(stream, tested(2))).toMatchObject({nextExpectedRevision: 2n})
  expect(await revisionsOf(stream)).toEqual([2])
})

test('an undeleted stream keeps what else its metadata said', async () => {
  const stream = freshStream()
  await client.appendToStream(stream, testedMany(2))
  await client.appendToStream(`$$${stream}`, jsonEvent({type: '$metadata', data: {$tb: 9e18, owner: 'me'}}))
  await expect(revisionsOf(stream)).rejects.toMatchObject({type: 'stream-not-found'})
  await client.appendToStream(stream, tested(2))
  expect(await client.getStreamMetadata(stream)).toMatchObject({metadata: {owner: 'me', truncateBefore: 2}})
})

test('links resolve to their events, and a dangling link comes without one', async () => {
  const target = freshStream()
  const links = freshStream()
  await client.appendToStream(target, testedMany(2))
  const link = (to: string) => binaryEvent({type: '$>', data: Buffer.from(to)})
  await client.appendToStream(links, [link(`1@${target}`), link(`7@${target}`), link('0@nowhere'), link('nonsense')])
  const resolved = await Array.fromAsync(client.readStream(links, {resolveLinkTos: true}))
  expect(resolved.map(({event, link}) => [event?.revision, link?.revision])).toEqual([
    [1n, 0n],
    [undefined, 1n],
    [undefined, 2n],
    [undefined, 3n],
  ])
  expect(await revisionsOf(links)).toEqual([0, 1, 2, 3])
})

test('$all is filtered by the prefix of a stream, by an expression, and a bad expression is refused', async () => {
  const category = `filter${Date.now()}`
  for (const name of ['a', 'b', 'c']) await client.appendToStream(`${category}-${name}`, testedMany(2))
  const read = async (filter: Filter): Promise<readonly unknown[]> => {
    const subscription = client.subscribeToAll({filter})
    subscription.on('caughtUp', () => void subscription.unsubscribe())
    return (await Array.fromAsync(subscription)).map(resolved => resolved.event?.streamId)
  }
  const names = (...of: string[]): string[] => of.map(name => `${category}-${name}`)
  expect(await read(streamNameFilter({prefixes: names('a', 'c')}))).toEqual(names('a', 'a', 'c', 'c'))
  expect(await read(streamNameFilter({regex: `^${category}-[bc]$`}))).toEqual(names('b', 'b', 'c', 'c'))
  await expect(read(streamNameFilter({regex: '('}))).rejects.toThrow('expression')
})

test('a tombstone is the event $streamDeleted at int64-max', async () => {
  const stream = freshStream()
  await client.appendToStream(stream, tested(0))
  await client.tombstoneStream(stream, {expectedRevision: 0n})
  const [last] = await Array.fromAsync(client.readAll({direction: 'backwards', fromPosition: 'end', maxCount: 1}))
  expect(last?.event).toMatchObject({type: '$streamDeleted', streamId: stream, revision: 2n ** 63n - 1n})
  await expect(client.setStreamMetadata(stream, {maxCount: 1})).rejects.toMatchObject({type: 'stream-deleted'})
})

test('a wrong version of a delete names both revisions, for streams of any name', async () => {
  const stream = freshStream('Ünï %20 🐎')
  await client.appendToStream(stream, tested(0))
  const error = await client.deleteStream(stream, {expectedRevision: 4n}).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(WrongExpectedVersionError)
  expect(error).toMatchObject({streamName: encodeURIComponent(stream), expectedVersion: 4n, actualVersion: 0n})
})

test('a client that looks for a cluster finds the one node', async () => {
  const discovering = EventStoreDBClient.connectionString(`esdb+discover://127.0.0.1:${node.port}?tls=false`)
  expect(await discovering.appendToStream(freshStream(), tested(0))).toMatchObject({success: true})
  await discovering.dispose()
})

test('listens on loopback only, whatever it is told', async () => {
  const elsewhere = startEmbeddedNode({dataDir: rig.dataDir, host: '0.0.0.0'})
  await expect(elsewhere).rejects.toThrow('loopback')
})
