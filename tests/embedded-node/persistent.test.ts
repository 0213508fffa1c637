import {
  EventStoreDBClient,
  jsonEvent,
  persistentSubscriptionToAllSettingsFromDefaults,
  persistentSubscriptionToStreamSettingsFromDefaults,
  streamNameFilter,
} from '@eventstore/db-client'
import {randomUUID} from 'node:crypto'
import {afterAll, beforeAll, expect, test} from 'vitest'

import {freshGroup, freshName, GROUP, join, joinAll, revisionsOf, tested, until} from '../contract/persistent-rig.ts'
import {freshStream} from '../support/store-events.ts'
import {startTestStore, type TestStore} from '../support/store.ts'

/** What no client shows of groups on a real server, or what a real server does less well. */
let rig: TestStore
let client: EventStoreDBClient
const reconnect = (): void => {
  client = EventStoreDBClient.connectionString(rig.node.connectionString)
}
beforeAll(async () => {
  rig = await startTestStore()
  reconnect()
})
afterAll(async () => {
  await client.dispose()
  await rig.stop()
})

const infoOf = (stream: string) => client.getPersistentSubscriptionToStreamInfo(stream, GROUP)

async function dataOf(stream: string): Promise<readonly unknown[]> {
  const read = await Array.fromAsync(client.readStream(stream))
  return read.map(({event}) => event?.data)
}

async function restart(): Promise<void> {
  await client.dispose()
  await rig.restart()
  reconnect()
}

test('after a restart groups are what they were and go on from their checkpoints', async () => {
  const settings = {checkPointUpperBound: 1, checkPointLowerBound: 1, maxRetryCount: 7} as const
  const stream = await freshGroup(client, 10, settings)
  const group = freshName()
  const filter = streamNameFilter({regex: `^${stream}$`})
  const onAll = persistentSubscriptionToAllSettingsFromDefaults({...settings, startFrom: 'start'})
  await client.createPersistentSubscriptionToAll(group, onAll, {filter})
  const [one, all] = [await join(client, stream, 1), await joinAll(client, group, 1)]
  await one.take(4)
  const [last] = (await all.take(6)).slice(-1)
  await until(
    () => infoOf(stream),
    ({stats}) => stats.lastCheckpointedEventRevision === 3n,
  )
  const position = last?.event?.position
  const infoOfAll = () => client.getPersistentSubscriptionToAllInfo(group)
  await until(infoOfAll, ({stats}) => stats.lastCheckpointedEventPosition?.commit === position?.commit)
  expect((await dataOf(`$persistentsubscription-${stream}::${GROUP}-checkpoint`)).at(-1)).toBe('3')
  const checkpoints = await dataOf(`$persistentsubscription-$all::${group}-checkpoint`)
  expect(checkpoints.at(-1)).toBe(`C:${position?.commit}/P:${position?.prepare}`)
  expect(checkpoints.length).toBeLessThanOrEqual(2)
  for (const consumer of [one, all]) await consumer.leave()

  await restart()
  expect(await infoOf(stream)).toMatchObject({settings: {startFrom: 'start', maxRetryCount: 7}})
  expect(await infoOfAll()).toMatchObject({settings: onAll})
  const [oneMore, allMore] = [await join(client, stream), await joinAll(client, group)]
  expect(revisionsOf(await oneMore.take(6))).toEqual([4, 5, 6, 7, 8, 9])
  expect(revisionsOf(await allMore.take(4))).toEqual([6, 7, 8, 9])
  for (const consumer of [oneMore, allMore]) await consumer.leave()
})

test('the configuration is an event, in the form that EventStoreDB writes', async () => {
  const stream = await freshGroup(client, 0, {consumerStrategyName: 'Pinned'})
  const [config] = (await dataOf('$persistentSubscriptionConfig')).slice(-1)
  expect(config).toMatchObject({
    version: '2',
    entries: expect.arrayContaining([
      expect.objectContaining({stream, group: GROUP, startPosition: '0', namedConsumerStrategy: 'Pinned'}),
    ]),
  })
})

test('a checkpoint never passes a message that is not answered, nor one that is being parked', async () => {
  const stream = await freshGroup(client, 5, {checkPointUpperBound: 1, checkPointLowerBound: 1})
  const consumer = await join(client, stream)
  const [held, parked, ...others] = [
    await consumer.next(),
    await consumer.next(),
    await consumer.next(),
    await consumer.next(),
    await consumer.next(),
  ]
  await consumer.ack(...others)
  await consumer.nack('park', parked)
  const answered = await until(
    () => infoOf(stream),
    ({stats}) => stats.parkedMessageCount === 1n,
  )
  expect(answered.stats.lastCheckpointedEventRevision).toBeUndefined()
  await consumer.ack(held)
  await until(
    () => infoOf(stream),
    ({stats}) => stats.lastCheckpointedEventRevision === 4n,
  )
  const all = await Array.fromAsync(client.readAll({direction: 'backwards', fromPosition: 'end', maxCount: 20}))
  const streams = all.map(({event}) => event?.streamId)
  const key = `$persistentsubscription-${stream}::${GROUP}`
  expect(streams.indexOf(`${key}-checkpoint`)).toBeLessThan(streams.indexOf(`${key}-parked`))
  await consumer.leave()
})

test('reads no further ahead than its buffer, however far behind the consumer is', async () => {
  const stream = freshStream()
  for (let batch = 0; batch < 10; batch++) await client.appendToStream(stream, tested(1000))
  const settings = persistentSubscriptionToStreamSettingsFromDefaults({startFrom: 'start', historyBufferSize: 50})
  await client.createPersistentSubscriptionToStream(stream, GROUP, settings)
  const consumer = await join(client, stream, 20)
  await consumer.next()
  const {stats} = await until(
    () => infoOf(stream),
    ({stats: {readBufferCount}}) => readBufferCount >= 50,
  )
  // The last page may go beyond the buffer.
  expect(stats.readBufferCount).toBeLessThan(50 + settings.readBatchSize)
  expect(stats.totalInFlightMessages).toBe(20)
  expect(await infoOf(stream)).toMatchObject({status: 'Behind'})
  await consumer.leave()
})

test('holds a bounded number of bytes of large events, and delivers them all', async () => {
  const stream = freshStream()
  const large = 'x'.repeat(900_000)
  for (let number = 0; number < 50; number++) {
    await client.appendToStream(stream, jsonEvent({type: 'Large', data: {number, large}}))
  }
  const settings = persistentSubscriptionToStreamSettingsFromDefaults({startFrom: 'start'})
  await client.createPersistentSubscriptionToStream(stream, GROUP, settings)
  const consumer = await join(client, stream, 5)
  await consumer.next()
  // 32 MiB, and what the last page brought beyond.
  expect((await infoOf(stream)).stats.readBufferCount).toBeLessThan(45)
  await consumer.leave()
  const next = await join(client, stream, 5)
  expect(revisionsOf(await next.take(50))).toEqual(Array.from({length: 50}, (_, index) => index))
  await next.leave()
})

test('parked messages come back although the buffer is full of others', async () => {
  const stream = await freshGroup(client, 200, {historyBufferSize: 25})
  const consumer = await join(client, stream, 1)
  await consumer.nack('park', await consumer.next())
  await until(
    () => infoOf(stream),
    ({stats}) => stats.parkedMessageCount === 1n && stats.readBufferCount >= 25,
  )
  await client.replayParkedMessagesToStream(stream, GROUP)
  const replayed = await consumer.take(3)
  expect(revisionsOf(replayed)).toContain(0)
  await consumer.leave()
})

test('replays up to a number and leaves the rest parked', async () => {
  const stream = await freshGroup(client, 4)
  const consumer = await join(client, stream)
  for (let count = 0; count < 4; count++) await consumer.nack('park', await consumer.next())
  await until(
    () => infoOf(stream),
    ({stats}) => stats.parkedMessageCount === 4n,
  )
  await client.replayParkedMessagesToStream(stream, GROUP, {stopAt: 3})
  expect(revisionsOf(await consumer.take(3))).toEqual([0, 1, 2])
  await until(
    () => infoOf(stream),
    ({stats}) => stats.parkedMessageCount === 1n,
  )
  await consumer.leave()
})

test('a replayed message that is not answered before a restart is still parked, and comes once when asked', async () => {
  const stream = await freshGroup(client, 4, {checkPointUpperBound: 1, checkPointLowerBound: 1})
  const consumer = await join(client, stream)
  for (let count = 0; count < 4; count++) await consumer.nack('park', await consumer.next())
  const parked = (count: bigint) =>
    until(
      () => infoOf(stream),
      ({stats}) => stats.parkedMessageCount === count,
    )
  await parked(4n)
  await until(
    () => infoOf(stream),
    ({stats}) => stats.lastCheckpointedEventRevision === 3n,
  )
  await client.replayParkedMessagesToStream(stream, GROUP)
  const replayed = [await consumer.next(), await consumer.next(), await consumer.next(), await consumer.next()]
  expect(revisionsOf(replayed)).toEqual([0, 1, 2, 3])
  // On its way: asking again does not send it twice.
  await client.replayParkedMessagesToStream(stream, GROUP)
  // All but the second: what lies behind it waits for it in the parked stream.
  for (const index of [3, 2, 0]) await consumer.ack(replayed[index] as (typeof replayed)[number])
  await parked(3n)
  await restart()
  await parked(3n)
  const next = await join(client, stream)
  await client.replayParkedMessagesToStream(stream, GROUP)
  expect(revisionsOf(await next.take(3))).toEqual([1, 2, 3])
  await parked(0n)
  await next.leave()
})

test('a group on $all that starts from the end begins with the event that makes it', async () => {
  const group = freshName()
  await client.appendToStream(freshStream(), tested(1))
  const settings = persistentSubscriptionToAllSettingsFromDefaults({startFrom: 'end'})
  await client.createPersistentSubscriptionToAll(group, settings)
  const consumer = await joinAll(client, group)
  const [first] = await consumer.take(1)
  expect(first?.event).toMatchObject({type: '$PersistentConfig', streamId: '$persistentSubscriptionConfig'})
  expect(JSON.stringify(first?.event?.data)).toContain(group)
  await consumer.leave()
})

test('two events with the same id are both delivered, one after the other', async () => {
  const [prefix, group] = [freshStream(), freshName()]
  const filter = streamNameFilter({prefixes: [prefix]})
  const settings = persistentSubscriptionToAllSettingsFromDefaults({startFrom: 'end'})
  await client.createPersistentSubscriptionToAll(group, settings, {filter})
  const event = {...jsonEvent({type: 'Tested', data: {}}), id: randomUUID()}
  for (const name of ['a', 'b']) await client.appendToStream(`${prefix}-${name}`, event)
  const consumer = await joinAll(client, group)
  expect((await consumer.take(2)).map(message => message.event?.streamId)).toEqual([`${prefix}-a`, `${prefix}-b`])
  await consumer.leave()
})

test('a group on $all is not fed with its own checkpoints', async () => {
  const group = freshName()
  const settings = persistentSubscriptionToAllSettingsFromDefaults({
    startFrom: 'end',
    checkPointLowerBound: 1,
    checkPointUpperBound: 1,
  })
  await client.createPersistentSubscriptionToAll(group, settings)
  const consumer = await joinAll(client, group)
  const [first, second] = [freshStream(), freshStream()]
  await client.appendToStream(first, tested(1))
  const seen = []
  for (const stream of [first, second]) {
    let message = await consumer.next()
    for (; message.event?.streamId !== stream; message = await consumer.next()) {
      seen.push(message.event?.streamId)
      await consumer.ack(message)
    }
    await consumer.ack(message)
    const info = () => client.getPersistentSubscriptionToAllInfo(group)
    const {commit} = message.event.position ?? {}
    await until(info, ({stats}) => (stats.lastCheckpointedEventPosition?.commit ?? 0n) >= (commit ?? 0n))
    if (stream === first) await client.appendToStream(second, tested(1))
  }
  expect(seen.filter(stream => stream?.startsWith('$persistentsubscription-$all'))).toEqual([])
  await consumer.leave()
})

test('the consumers of a tombstoned stream are dropped', async () => {
  const stream = await freshGroup(client, 1)
  const consumer = await join(client, stream)
  await consumer.take(1)
  const dropped = expect(consumer.next()).rejects.toMatchObject({type: 'persistent-subscription-dropped'})
  await client.tombstoneStream(stream)
  await dropped
})

test('a restart of the subsystem drops the consumers and keeps the groups', async () => {
  const stream = await freshGroup(client, 1)
  const consumer = await join(client, stream)
  await consumer.next()
  const dropped = expect(consumer.next()).rejects.toMatchObject({type: 'persistent-subscription-dropped'})
  await client.restartPersistentSubscriptionSubsystem()
  await dropped
  const again = await join(client, stream)
  expect(revisionsOf(await again.take(1))).toEqual([0])
  await again.leave()
})

test('a configuration that cannot be read is named, and all else goes on', async () => {
  const stream = await freshGroup(client, 1)
  await client.appendToStream('$persistentSubscriptionConfig', jsonEvent({type: '$PersistentConfig', data: {no: 1}}))
  await restart()
  const failed = {
    type: 'persistent-subscription-failed',
    reason: expect.stringContaining('$persistentSubscriptionConfig'),
  }
  const settings = persistentSubscriptionToStreamSettingsFromDefaults()
  await expect(client.createPersistentSubscriptionToStream(stream, 'other', settings)).rejects.toMatchObject(failed)
  await expect(infoOf(stream)).rejects.toMatchObject(failed)
  expect(await client.appendToStream(stream, tested(1))).toMatchObject({nextExpectedRevision: 1n})
})
