import {binaryEvent, EventStoreDBClient, jsonEvent, streamNameFilter} from '@eventstore/db-client'
import {GossipClient} from '@eventstore/db-client/generated/gossip_grpc_pb.js'
import {ServerFeaturesClient} from '@eventstore/db-client/generated/serverfeatures_grpc_pb.js'
import sharedPb from '@eventstore/db-client/generated/shared_pb.js'
import {StreamsClient} from '@eventstore/db-client/generated/streams_grpc_pb.js'
import streamsPb from '@eventstore/db-client/generated/streams_pb.js'
import {credentials, Metadata, type ServiceError, status} from '@grpc/grpc-js'
import timestampPb from 'google-protobuf/google/protobuf/timestamp_pb.js'
import {randomUUID} from 'node:crypto'
import {once} from 'node:events'
import {connect} from 'node:http2'
import {afterAll, beforeAll, expect, test} from 'vitest'

import {freshStream} from '../support/store-events.ts'
import {startTestStore, type TestStore} from '../support/store.ts'

/** The protocol itself, message by message, where the clients would hide a deviation or die of it. */
let rig: TestStore
let client: EventStoreDBClient
let raw: StreamsClient
let address: string
beforeAll(async () => {
  rig = await startTestStore()
  address = `127.0.0.1:${rig.node.port}`
  client = EventStoreDBClient.connectionString(rig.node.connectionString)
  raw = new StreamsClient(address, credentials.createInsecure())
})
afterAll(async () => {
  raw.close()
  await client.dispose()
  await rig.stop()
})

const empty = (): InstanceType<typeof sharedPb.Empty> => new sharedPb.Empty()
const named = (stream: string) => new sharedPb.StreamIdentifier().setStreamName(Buffer.from(stream))

/** The answer of a call with one answer. */
function answerOf<Answer>(call: (done: (error: ServiceError | null, answer: Answer) => void) => unknown) {
  const {promise, resolve, reject} = Promise.withResolvers<Answer>()
  call((error, answer) => (error === null ? resolve(answer) : reject(error)))
  return promise
}

test('tells its version and, in lower case, all that it serves', async () => {
  const features = new ServerFeaturesClient(address, credentials.createInsecure())
  const answer = await answerOf<{toObject(): unknown}>(done => features.getSupportedMethods(empty(), done))
  features.close()
  const {eventStoreServerVersion, methodsList} = answer.toObject() as {
    readonly eventStoreServerVersion: string
    readonly methodsList: readonly {serviceName: string; methodName: string; featuresList: readonly string[]}[]
  }
  expect(eventStoreServerVersion).toBe('24.10.0')
  const served = methodsList.map(({serviceName, methodName, featuresList}) => [
    `${serviceName}/${methodName}`,
    featuresList,
  ])
  expect(served).toEqual(
    expect.arrayContaining([
      ['event_store.client.streams.streams/read', []],
      ['event_store.client.streams.streams/batchappend', []],
      ['event_store.client.persistent_subscriptions.persistentsubscriptions/create', ['stream', 'all']],
      ['event_store.client.persistent_subscriptions.persistentsubscriptions/restartsubsystem', ['stream', 'all']],
      ['event_store.client.operations.operations/startscavenge', []],
    ]),
  )
})

test('tells by gossip of one live leader, at the address where it is', async () => {
  const gossip = new GossipClient(address, credentials.createInsecure())
  const answer = await answerOf<{toObject(): unknown}>(done => gossip.read(empty(), done))
  gossip.close()
  const endPoint = {address: '127.0.0.1', port: rig.node.port}
  expect(answer.toObject()).toMatchObject({membersList: [{state: 8, isAlive: true, httpEndPoint: endPoint}]})
})

interface Part {
  readonly correlation: string
  readonly stream?: string
  readonly expected?: number
  readonly deadlineMs?: number
  readonly sizes: readonly number[]
  readonly type?: string
  readonly isFinal: boolean
}

function requestOf({correlation, stream, expected, deadlineMs, sizes, type = 'Tested', isFinal}: Part) {
  const request = new streamsPb.BatchAppendReq().setIsFinal(isFinal)
  request.setCorrelationId(new sharedPb.UUID().setString(correlation))
  if (stream !== undefined) {
    const options = new streamsPb.BatchAppendReq.Options().setStreamIdentifier(named(stream))
    // Without an expectation: any revision.
    if (expected !== undefined) options.setStreamPosition(String(expected))
    if (deadlineMs !== undefined) options.setDeadline(timestampPb.Timestamp.fromDate(new Date(deadlineMs)))
    request.setOptions(options)
  }
  request.setProposedMessagesList(
    sizes.map(size => {
      const message = new streamsPb.BatchAppendReq.ProposedMessage()
      message.setId(new sharedPb.UUID().setString(randomUUID())).setData(Buffer.alloc(size))
      message.getMetadataMap().set('type', type).set('content-type', 'application/octet-stream')
      return message
    }),
  )
  return request
}

type BatchReply = InstanceType<typeof streamsPb.BatchAppendResp>

/** Sends the parts, says that there are no more, and takes all replies until the server ends the call. */
async function batch(parts: readonly Part[]): Promise<readonly BatchReply[]> {
  const call = raw.batchAppend(new Metadata())
  for (const part of parts) call.write(requestOf(part))
  call.end()
  return Array.fromAsync(call as AsyncIterable<BatchReply>)
}

test('a batch answers each append once, with its stream, and ends only when all are answered', async () => {
  const [tombstoned, fine] = [freshStream(), freshStream('größe 🐎')]
  await client.tombstoneStream(tombstoned)
  const replies = await batch([
    {correlation: 'large', stream: freshStream(), sizes: [900_000], isFinal: false},
    {correlation: 'fine', stream: fine, sizes: [10], isFinal: false},
    {correlation: 'large', sizes: [900_000], isFinal: false},
    // It was answered by now: neither this nor the next counts any more.
    {correlation: 'large', sizes: [900_000], isFinal: false},
    {correlation: 'large', sizes: [10], isFinal: true},
    {correlation: 'wrong', stream: freshStream(), expected: 7, sizes: [10], isFinal: true},
    {correlation: 'deleted', stream: tombstoned, sizes: [10], isFinal: true},
    {correlation: 'late', stream: freshStream(), deadlineMs: 1, sizes: [10], isFinal: true},
    {correlation: 'typeless', stream: freshStream(), sizes: [10], type: '', isFinal: true},
    {correlation: 'fine', sizes: [10, 10], isFinal: true},
    ...Array.from({length: 200}, (_, number) => ({
      correlation: `more-${number}`,
      stream: freshStream(),
      sizes: [number],
      isFinal: true,
    })),
  ])
  const byId = Map.groupBy(replies, reply => reply.getCorrelationId()?.getString())
  expect(byId.size).toBe(206)
  expect([...byId.values()].every(of => of.length === 1)).toBe(true)
  const reply = (id: string): BatchReply | undefined => byId.get(id)?.[0]
  const typeOf = (id: string) => reply(id)?.getError()?.getDetails()?.getTypeUrl()
  expect(['large', 'wrong', 'deleted', 'late', 'typeless'].map(typeOf)).toEqual(
    ['MaximumAppendSizeExceeded', 'WrongExpectedVersion', 'StreamDeleted', 'Timeout', 'BadRequest'].map(
      name => `type.googleapis.com/event_store.client.${name}`,
    ),
  )
  const success = reply('fine')
  expect(Buffer.from(success?.getStreamIdentifier()?.getStreamName_asU8() ?? []).toString()).toBe(fine)
  expect(success?.getSuccess()?.getCurrentRevision()).toBe('2')
  const [last] = await Array.fromAsync(client.readStream(fine, {direction: 'backwards', fromRevision: 'end'}))
  // An append's position is that of its last event.
  expect(success?.getSuccess()?.getPosition()?.getCommitPosition()).toBe(String(last?.event?.position?.commit))
})

test('the limit of an append is 1,048,576 bytes: data, metadata and twice the type', async () => {
  const sized = (bytes: number) =>
    binaryEvent({type: 'Type', data: Buffer.alloc(bytes - 2 * 4 - 100), metadata: Buffer.alloc(100, 1)})
  const stream = freshStream()
  expect(await client.appendToStream(stream, sized(1_048_576))).toMatchObject({nextExpectedRevision: 0n})
  const halves = [sized(524_288), sized(524_288)]
  expect(await client.appendToStream(stream, halves)).toMatchObject({nextExpectedRevision: 2n})
  for (const events of [sized(1_048_577), [sized(524_288), sized(524_289)]]) {
    const refused = {type: 'maximum-append-size-exceeded', maxAppendSize: 1_048_576}
    await expect(client.appendToStream(stream, events)).rejects.toMatchObject(refused)
  }
  // As one message it is larger than what gRPC takes unless it is told: the refusal must still be that of an append.
  const huge = client.appendToStream(stream, sized(5_000_000), {batchAppendSize: 6_000_000})
  await expect(huge).rejects.toMatchObject({type: 'maximum-append-size-exceeded'})
})

test('an event without a type is refused with the names of what must be there', async () => {
  const {promise: refused, resolve} = Promise.withResolvers<ServiceError | null>()
  const append = raw.append(new Metadata(), error => resolve(error))
  append.on('error', () => undefined)
  const options = new streamsPb.AppendReq.Options().setStreamIdentifier(named(freshStream())).setAny(empty())
  append.write(new streamsPb.AppendReq().setOptions(options))
  const message = new streamsPb.AppendReq.ProposedMessage().setId(new sharedPb.UUID().setString(randomUUID()))
  message.getMetadataMap().set('content-type', 'application/json')
  append.write(new streamsPb.AppendReq().setProposedMessage(message))
  append.end()
  const error = await refused
  expect(error?.code).toBe(status.INVALID_ARGUMENT)
  expect(error?.metadata.getMap()).toMatchObject({
    exception: 'missing-required-metadata-property',
    'required-metadata-properties': 'type,content-type',
  })
})

test('a delete at a wrong revision names all in its trailers, in ASCII, whatever the name', async () => {
  const stream = freshStream('größe ')
  await client.appendToStream(stream, jsonEvent({type: 'Tested', data: {}}))
  for (const kind of ['delete', 'tombstone'] as const) {
    const {promise: refused, resolve} = Promise.withResolvers<ServiceError | null>()
    if (kind === 'delete') {
      const options = new streamsPb.DeleteReq.Options().setStreamIdentifier(named(stream)).setRevision('5')
      raw.delete(new streamsPb.DeleteReq().setOptions(options), error => resolve(error))
    } else {
      const options = new streamsPb.TombstoneReq.Options().setStreamIdentifier(named(stream)).setNoStream(empty())
      raw.tombstone(new streamsPb.TombstoneReq().setOptions(options), error => resolve(error))
    }
    const error = await refused
    expect(error?.code).toBe(status.FAILED_PRECONDITION)
    expect(error?.metadata.getMap()).toMatchObject({
      exception: 'wrong-expected-version',
      'stream-name': encodeURIComponent(stream),
      'expected-version': kind === 'delete' ? '5' : '-1',
      'actual-version': '0',
    })
  }
})

test('a subscription begins with its confirmation and counts what it considers, not what passes', async () => {
  const {position} = await client.appendToStream(freshStream(), jsonEvent({type: 'Tested', data: {}}))
  if (position === undefined) throw new Error('an append without a position')
  const hidden = Array.from({length: 150}, () => jsonEvent({type: 'Hidden', data: {}}))
  await client.appendToStream(freshStream(), hidden)
  const all = new streamsPb.ReadReq.Options.AllOptions()
  const from = new streamsPb.ReadReq.Options.Position()
  from.setCommitPosition(String(position.commit)).setPreparePosition(String(position.prepare))
  all.setPosition(from)
  const expression = new streamsPb.ReadReq.Options.FilterOptions.Expression().setPrefixList(['nobody'])
  const filter = new streamsPb.ReadReq.Options.FilterOptions().setStreamIdentifier(expression)
  filter.setMax(10).setCheckpointintervalmultiplier(5)
  const options = new streamsPb.ReadReq.Options().setAll(all).setFilter(filter)
  options.setSubscription(new streamsPb.ReadReq.Options.SubscriptionOptions())
  options.setUuidOption(new streamsPb.ReadReq.Options.UUIDOption().setString(empty()))
  const call = raw.read(new streamsPb.ReadReq().setOptions(options))
  call.on('error', () => undefined)
  const seen: (string | number)[] = []
  for await (const message of call as AsyncIterable<InstanceType<typeof streamsPb.ReadResp>>) {
    const checkpoint = message.getCheckpoint()
    if (message.hasConfirmation()) seen.push('confirmation')
    else if (message.hasCaughtUp()) seen.push('caught up')
    else if (checkpoint !== undefined) seen.push(Number(checkpoint.getCommitPosition()) - Number(position.commit))
    if (message.hasCaughtUp()) break
  }
  call.cancel()
  // Every 10 × 5; at the moment of catching up the third is where it is already.
  expect(seen).toEqual(['confirmation', 50, 100, 150, 'caught up'])
})

test('a window that the client does not choose is of 32 events', async () => {
  const stream = freshStream()
  const {position} = await client.appendToStream(stream, jsonEvent({type: 'Tested', data: {}}))
  await client.appendToStream(
    stream,
    Array.from({length: 70}, () => jsonEvent({type: 'Hidden', data: {}})),
  )
  const checkpoints: number[] = []
  const filter = streamNameFilter({
    prefixes: ['nobody'],
    checkpointInterval: 1,
    async checkpointReached(_subscription, at) {
      checkpoints.push(Number(at.commit) - Number(position?.commit))
    },
  })
  const subscription = client.subscribeToAll({fromPosition: position ?? 'start', filter})
  await once(subscription, 'caughtUp')
  await subscription.unsubscribe()
  expect(checkpoints).toEqual([32, 64, 70])
})

test('any number of pings is answered, and the connection goes on', async () => {
  const session = connect(`http://${address}`)
  await once(session, 'connect')
  for (let ping = 0; ping < 100; ping++) {
    const {promise, resolve} = Promise.withResolvers<Error | null>()
    session.ping(resolve)
    expect(await promise).toBeNull()
  }
  expect(session.closed).toBe(false)
  session.close()
})
