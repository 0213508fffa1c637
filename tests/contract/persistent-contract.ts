import {
  EventStoreDBClient,
  persistentSubscriptionToAllSettingsFromDefaults,
  persistentSubscriptionToStreamSettingsFromDefaults,
  streamNameFilter,
} from '@eventstore/db-client'
import {afterAll, beforeAll, describe, expect, test} from 'vitest'

import {freshStream} from '../support/store-events.ts'
import {freshGroup, freshName, GROUP, join, joinAll, revisionsOf, tested, until} from './persistent-rig.ts'

export interface ServerRig {
  readonly connectionString: string
  stop(): Promise<void>
}

/** What persistent subscriptions keep to, on an embedded node and on a real server alike. */
export function persistentContract(name: string, setUp: () => Promise<ServerRig>): void {
  describe(`persistent subscriptions: ${name}`, () => {
    let rig: ServerRig
    let client: EventStoreDBClient
    beforeAll(async () => {
      rig = await setUp()
      client = EventStoreDBClient.connectionString(rig.connectionString)
    })
    afterAll(async () => {
      await client.dispose()
      await rig.stop()
    })
    describe('delivery', () => deliveryContract(() => client))
    describe('answers', () => answerContract(() => client))
    describe('sharing', () => sharingContract(() => client))
    describe('groups', () => groupContract(() => client))
  })
}

type Client = () => EventStoreDBClient

function deliveryContract(client: Client): void {
  test('delivers what is stored and then what is appended, in order and once', async () => {
    const stream = await freshGroup(client(), 30)
    const consumer = await join(client(), stream)
    expect(revisionsOf(await consumer.take(30))).toEqual(Array.from({length: 30}, (_, index) => index))
    await client().appendToStream(stream, tested(5))
    expect(revisionsOf(await consumer.take(5))).toEqual([30, 31, 32, 33, 34])
    await consumer.leave()
  })

  test.each([
    ['the end', 'end' as const, [4, 5]],
    ['a revision, itself included', 2n, [2, 3, 4, 5]],
  ])('begins at %s', async (_name, startFrom, expected) => {
    const stream = await freshGroup(client(), 4, {startFrom})
    const consumer = await join(client(), stream)
    await client().appendToStream(stream, tested(2))
    expect(revisionsOf(await consumer.take(expected.length))).toEqual(expected)
    await consumer.leave()
  })

  test('sends no more than the consumer has slots, and one more for each answer', async () => {
    const stream = await freshGroup(client(), 20)
    const consumer = await join(client(), stream, 3)
    const first = await consumer.next()
    const info = () => client().getPersistentSubscriptionToStreamInfo(stream, GROUP)
    const held = await until(info, ({connections}) => connections[0]?.inFlightMessages === 3)
    expect(held).toMatchObject({connections: [{availableSlots: 0, totalItems: 3n}], stats: {totalInFlightMessages: 3}})
    await consumer.ack(first)
    const moved = await until(info, ({connections}) => connections[0]?.totalItems === 4n)
    expect(moved.connections).toMatchObject([{availableSlots: 0, inFlightMessages: 3}])
    await consumer.leave()
  })

  test('gives the events of $all that pass the filter, and resolves links when asked to', async () => {
    const prefix = freshStream()
    const group = freshName()
    const target = freshStream()
    await client().appendToStream(target, tested(1))
    const filter = streamNameFilter({prefixes: [prefix]})
    const settings = persistentSubscriptionToAllSettingsFromDefaults({startFrom: 'start', resolveLinkTos: true})
    await client().createPersistentSubscriptionToAll(group, settings, {filter})
    const consumer = await joinAll(client(), group)
    await client().appendToStream(`${prefix}-a`, tested(2))
    await client().appendToStream(freshStream(), tested(2))
    const link = {...tested(1, '$>')[0], contentType: 'application/octet-stream', data: Buffer.from(`0@${target}`)}
    await client().appendToStream(`${prefix}-b`, link as never)
    const got = await consumer.take(3)
    expect(got.map(({event, link: via}) => [event?.streamId, via?.streamId])).toEqual([
      [`${prefix}-a`, undefined],
      [`${prefix}-a`, undefined],
      [target, `${prefix}-b`],
    ])
    expect(got[2]?.commitPosition).toBe(got[2]?.link?.position?.commit)
    await consumer.leave()
    await client().deletePersistentSubscriptionToAll(group)
  })
}

function answerContract(client: Client): void {
  test('sends a message that is to be tried again before later ones, and parks it when it was tried enough', async () => {
    const stream = await freshGroup(client(), 2, {maxRetryCount: 2})
    const consumer = await join(client(), stream, 1)
    const seen: unknown[] = []
    for (let attempt = 0; attempt < 3; attempt++) {
      const message = await consumer.next()
      seen.push([message.event?.revision, message.retryCount])
      await consumer.nack('retry', message)
    }
    expect(seen).toEqual([
      [0n, 0],
      [0n, 1],
      [0n, 2],
    ])
    expect(revisionsOf(await consumer.take(1))).toEqual([1])
    const info = () => client().getPersistentSubscriptionToStreamInfo(stream, GROUP)
    await until(info, ({stats}) => stats.parkedMessageCount === 1n)
    await consumer.leave()
  })

  test('parks a message as a link with the reason, and replays it when asked', async () => {
    const stream = await freshGroup(client(), 3)
    const consumer = await join(client(), stream)
    const [first] = [await consumer.next(), await consumer.next(), await consumer.next()]
    await consumer.nack('park', first)
    const info = () => client().getPersistentSubscriptionToStreamInfo(stream, GROUP)
    await until(info, ({stats}) => stats.parkedMessageCount === 1n)
    const [parked] = await Array.fromAsync(client().readStream(`$persistentsubscription-${stream}::${GROUP}-parked`))
    expect(parked?.event?.type).toBe('$>')
    expect(Buffer.from(parked?.event?.data as Uint8Array).toString()).toBe(`0@${stream}`)
    expect(parked?.event?.metadata).toMatchObject({reason: expect.stringContaining('for the test')})

    await client().replayParkedMessagesToStream(stream, GROUP)
    const replayed = await consumer.next()
    expect(replayed).toMatchObject({event: {streamId: stream, revision: 0n}, link: {id: parked?.event?.id}})
    await consumer.ack(replayed)
    await until(info, ({stats}) => stats.parkedMessageCount === 0n && stats.outstandingMessagesCount === 2)
    await consumer.leave()
  })

  test.each(['skip', 'stop'] as const)('is done with a message that is refused with %s', async action => {
    const stream = await freshGroup(client(), 2)
    const consumer = await join(client(), stream, 1)
    await consumer.nack(action, await consumer.next())
    expect(revisionsOf(await consumer.take(1))).toEqual([1])
    await consumer.leave()
  })

  test('sends a message again that was not answered in time', async () => {
    const stream = await freshGroup(client(), 1, {messageTimeout: 50})
    const consumer = await join(client(), stream)
    await consumer.next()
    const again = await consumer.next()
    expect(again).toMatchObject({event: {revision: 0n}, retryCount: 1})
    await consumer.ack(again)
    await consumer.leave()
  })

  test('gives what a consumer leaves unanswered to another', async () => {
    const stream = await freshGroup(client(), 3)
    const leaving = await join(client(), stream)
    await leaving.next()
    await leaving.leave()
    const staying = await join(client(), stream)
    const got = await staying.take(3)
    expect(revisionsOf(got)).toEqual([0, 1, 2])
    expect(got[0]?.retryCount).toBe(1)
    await staying.leave()
  })
}

const byFirst = (a: readonly number[] = [], b: readonly number[] = []): number => (a[0] ?? 0) - (b[0] ?? 0)

function sharingContract(client: Client): void {
  test('takes turns', async () => {
    const stream = await freshGroup(client(), 0, {consumerStrategyName: 'RoundRobin'})
    const consumers = [await join(client(), stream), await join(client(), stream)] as const
    await client().appendToStream(stream, tested(6))
    const [mine, yours] = await Promise.all(consumers.map(async consumer => revisionsOf(await consumer.take(3))))
    expect([mine, yours].toSorted(byFirst)).toEqual([
      [0, 2, 4],
      [1, 3, 5],
    ])
    for (const consumer of consumers) await consumer.leave()
  })

  test('fills one consumer before the next', async () => {
    const stream = await freshGroup(client(), 0, {consumerStrategyName: 'DispatchToSingle'})
    const consumers = [await join(client(), stream, 2), await join(client(), stream, 2)] as const
    await client().appendToStream(stream, tested(4))
    const held = await Promise.all(
      consumers.map(async consumer => revisionsOf([await consumer.next(), await consumer.next()])),
    )
    expect(held.toSorted(byFirst)).toEqual([
      [0, 1],
      [2, 3],
    ])
    for (const consumer of consumers) await consumer.leave()
  })

  test('pins each stream to one consumer', async () => {
    const prefix = freshStream()
    const group = freshName()
    const filter = streamNameFilter({prefixes: [prefix]})
    const settings = persistentSubscriptionToAllSettingsFromDefaults({consumerStrategyName: 'Pinned'})
    await client().createPersistentSubscriptionToAll(group, {...settings, startFrom: 'end'}, {filter})
    const consumers = [await joinAll(client(), group, 100), await joinAll(client(), group, 100)] as const
    const streams = Array.from({length: 8}, (_, index) => `${prefix}-${index}`)
    for (let round = 0; round < 4; round++)
      for (const stream of streams) await client().appendToStream(stream, tested(1))
    const owners = new Map<string, Set<number>>()
    let left = streams.length * 4
    await Promise.all(
      consumers.map(async (consumer, number) => {
        const next = () => consumer.next().catch(() => null)
        for (let message = await next(); message !== null; message = await next()) {
          const stream = String(message.event?.streamId)
          owners.set(stream, (owners.get(stream) ?? new Set()).add(number))
          await consumer.ack(message)
          if (--left === 0) for (const each of consumers) await each.leave()
        }
      }),
    )
    expect([...owners.keys()].toSorted()).toEqual(streams)
    expect([...owners.values()].every(numbers => numbers.size === 1)).toBe(true)
    expect(new Set([...owners.values()].flatMap(numbers => [...numbers])).size).toBe(2)
    await client().deletePersistentSubscriptionToAll(group)
  })
}

function groupContract(client: Client): void {
  const settings = persistentSubscriptionToStreamSettingsFromDefaults()
  const named = (stream: string) => ({streamName: stream, groupName: GROUP})

  test('is created once, and is refused when it makes no sense', async () => {
    const stream = await freshGroup(client(), 0)
    const again = client().createPersistentSubscriptionToStream(stream, GROUP, settings)
    await expect(again).rejects.toMatchObject({type: 'persistent-subscription-exists', ...named(stream)})
    const wrong = persistentSubscriptionToStreamSettingsFromDefaults({readBatchSize: 20, historyBufferSize: 20})
    const other = freshStream()
    const senseless = client().createPersistentSubscriptionToStream(other, GROUP, wrong)
    await expect(senseless).rejects.toMatchObject({type: 'persistent-subscription-failed', ...named(other)})
  })

  test('takes no more consumers than it may have', async () => {
    const stream = await freshGroup(client(), 0, {maxSubscriberCount: 1})
    const only = await join(client(), stream)
    await expect(join(client(), stream)).rejects.toMatchObject({type: 'maximum-subscribers-reached', ...named(stream)})
    await only.leave()
    const info = () => client().getPersistentSubscriptionToStreamInfo(stream, GROUP)
    await until(info, ({connections}) => connections.length === 0)
    await (await join(client(), stream)).leave()
  })

  test('does not exist before it is created, nor after it is deleted', async () => {
    const stream = freshStream('größe 🐎')
    const missing = {type: 'persistent-subscription-does-not-exist'}
    const attempts: readonly (() => Promise<unknown>)[] = [
      () => join(client(), stream),
      () => client().updatePersistentSubscriptionToStream(stream, GROUP, settings),
      () => client().deletePersistentSubscriptionToStream(stream, GROUP),
      () => client().getPersistentSubscriptionToStreamInfo(stream, GROUP),
      () => client().replayParkedMessagesToStream(stream, GROUP),
      () => client().listPersistentSubscriptionsToStream(stream),
    ]
    for (const attempt of attempts) await expect(attempt()).rejects.toMatchObject(missing)
    await client().createPersistentSubscriptionToStream(stream, GROUP, settings)
    const consumer = await join(client(), stream)
    const ended = consumer.next()
    const dropped = expect(ended).rejects.toMatchObject({type: 'persistent-subscription-dropped'})
    await client().deletePersistentSubscriptionToStream(stream, GROUP)
    await dropped
    for (const attempt of attempts.slice(0, 5)) await expect(attempt()).rejects.toMatchObject(missing)
  })

  test('drops its consumers when it is changed, and goes on from its checkpoint', async () => {
    const stream = await freshGroup(client(), 5, {checkPointUpperBound: 1, checkPointLowerBound: 1})
    const before = await join(client(), stream, 1)
    await before.take(3)
    const info = () => client().getPersistentSubscriptionToStreamInfo(stream, GROUP)
    await until(info, ({stats}) => stats.lastCheckpointedEventRevision === 2n)
    const after = persistentSubscriptionToStreamSettingsFromDefaults({startFrom: 'start', maxRetryCount: 3})
    // What was sent and not answered comes first, then the end.
    const ended = (async () => {
      for (;;) await before.next()
    })()
    const dropped = expect(ended).rejects.toMatchObject({type: 'persistent-subscription-dropped'})
    await client().updatePersistentSubscriptionToStream(stream, GROUP, after)
    await dropped
    expect(await info()).toMatchObject({settings: after})
    const consumer = await join(client(), stream)
    expect(revisionsOf(await consumer.take(2))).toEqual([3, 4])
    await consumer.leave()
  })

  test('is listed, with the place it has reached', async () => {
    const stream = await freshGroup(client(), 3, {extraStatistics: true})
    const consumer = await join(client(), stream)
    await consumer.take(3)
    const list = () => client().listPersistentSubscriptionsToStream(stream)
    const [info] = await until(list, ([first]) => first?.stats.outstandingMessagesCount === 0)
    expect(info).toMatchObject({eventSource: stream, groupName: GROUP, stats: {lastKnownEventRevision: 2n}})
    expect([...(info?.connections[0]?.extraStatistics?.keys() ?? [])]).toContain('99.9%')
    const everywhere = await client().listAllPersistentSubscriptions()
    expect(everywhere.some(({eventSource}) => eventSource === stream)).toBe(true)
    await consumer.leave()
  })
}
