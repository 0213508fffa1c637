import {EventStoreDBClient, jsonEvent} from '@eventstore/db-client'
import sharedPb from '@eventstore/db-client/generated/shared_pb.js'
import {StreamsClient} from '@eventstore/db-client/generated/streams_grpc_pb.js'
import streamsPb from '@eventstore/db-client/generated/streams_pb.js'
import {credentials, Metadata, type ServiceError, status} from '@grpc/grpc-js'
import {afterAll, beforeAll, expect, test} from 'vitest'

import {freshStream} from '../support/store-events.ts'
import {startTestStore, type TestStore} from '../support/store.ts'

/** What the official client's own tests ask of a server, in our words. */
let rig: TestStore
let client: EventStoreDBClient
beforeAll(async () => {
  rig = await startTestStore()
  client = EventStoreDBClient.connectionString(rig.node.connectionString)
})
afterAll(async () => {
  await client.dispose()
  await rig.stop()
})

test('a stream that was never written can be tombstoned, but not soft-deleted', async () => {
  const wrong = {type: 'wrong-expected-version'}
  for (const expectedRevision of ['any', 'no_stream'] as const) {
    const stream = freshStream()
    await expect(client.deleteStream(stream, {expectedRevision})).rejects.toMatchObject(wrong)
    expect(await client.tombstoneStream(stream, {expectedRevision})).toMatchObject({position: {}})
    await expect(client.appendToStream(stream, jsonEvent({type: 'Tested', data: {}}))).rejects.toMatchObject({
      type: 'stream-deleted',
    })
  }
})

test('an append that is too large and too late is too late', async () => {
  const events = Array.from({length: 12}, () => jsonEvent({type: 'Large', data: 'x'.repeat(100_000)}))
  const append = (deadline: number) => client.appendToStream(freshStream(), events, {deadline})
  await expect(append(-1000)).rejects.toMatchObject({type: 'deadline-exceeded'})
  await expect(append(10_000)).rejects.toMatchObject({type: 'maximum-append-size-exceeded'})
})

test('the trailers of an error name a stream as it is, as long as its name is ASCII', async () => {
  const stream = freshStream('a b/c%20')
  await client.tombstoneStream(stream)
  const read = Array.fromAsync(client.readStream(stream))
  await expect(read).rejects.toMatchObject({type: 'stream-deleted', streamName: stream})
})

test('a shutdown ends a single append as unavailable and a stream of appends as cancelled', async () => {
  const own = await startTestStore()
  const raw = new StreamsClient(`127.0.0.1:${own.node.port}`, credentials.createInsecure())
  const identifier = new sharedPb.StreamIdentifier().setStreamName(Buffer.from('s').toString('base64'))

  const single = Promise.withResolvers<unknown>()
  const append = raw.append(new Metadata(), error => single.resolve(error?.code))
  append.on('error', () => undefined)
  const options = new streamsPb.AppendReq.Options().setStreamIdentifier(identifier).setAny(new sharedPb.Empty())
  append.write(new streamsPb.AppendReq().setOptions(options))

  const batch = Promise.withResolvers<unknown>()
  const batches = raw.batchAppend(new Metadata())
  batches.on('error', (error: ServiceError) => batch.resolve(error.code))
  const correlated = new streamsPb.BatchAppendReq().setCorrelationId(new sharedPb.UUID().setString('one'))
  const batchOptions = new streamsPb.BatchAppendReq.Options().setStreamIdentifier(identifier)
  batches.write(correlated.setOptions(batchOptions).setIsFinal(true))
  await new Promise(resolve => batches.once('data', resolve))
  await own.stop()
  raw.close()
  expect(await Promise.all([single.promise, batch.promise])).toEqual([status.UNAVAILABLE, status.CANCELLED])
})
