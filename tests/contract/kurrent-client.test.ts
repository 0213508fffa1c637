import {
  jsonEvent,
  persistentSubscriptionToStreamSettingsFromDefaults,
  streamNameFilter,
  WrongExpectedVersionError,
} from '@kurrent/kurrentdb-client'
import {expect, test} from 'vitest'

import {kurrentClient} from '../support/kurrent.ts'
import {freshStream} from '../support/store-events.ts'

const client = kurrentClient()

const tested = (count: number) =>
  Array.from({length: count}, (_, number) => jsonEvent({type: 'Tested', data: {number}, metadata: {by: 'test'}}))

test('appends, refuses a wrong revision and reads back in order', async () => {
  const stream = freshStream()
  const appended = await client().appendToStream(stream, tested(3), {streamState: 'no_stream'})
  expect(appended).toMatchObject({success: true, nextExpectedRevision: 2n})
  const wrong = client().appendToStream(stream, tested(1), {streamState: 0n})
  await expect(wrong).rejects.toBeInstanceOf(WrongExpectedVersionError)
  await expect(wrong).rejects.toMatchObject({actualState: 2n})
  const read = await Array.fromAsync(client().readStream(stream))
  expect(read.map(({event}) => [event?.revision, event?.data, event?.metadata])).toEqual(
    [0, 1, 2].map(number => [BigInt(number), {number}, {by: 'test'}]),
  )
})

test('reads $all backwards from its end, and a stream that does not exist is not found', async () => {
  const stream = freshStream()
  const {position} = await client().appendToStream(stream, tested(1))
  const [last] = await Array.fromAsync(client().readAll({direction: 'backwards', fromPosition: 'end', maxCount: 1}))
  expect(last?.event).toMatchObject({streamId: stream, position})
  await expect(Array.fromAsync(client().readStream(freshStream()))).rejects.toMatchObject({type: 'stream-not-found'})
})

test('deletes and tombstones', async () => {
  const deleted = freshStream()
  await client().appendToStream(deleted, tested(2))
  await client().deleteStream(deleted, {expectedRevision: 1n})
  expect(await client().appendToStream(deleted, tested(1))).toMatchObject({nextExpectedRevision: 2n})
  await client().tombstoneStream(deleted)
  await expect(client().appendToStream(deleted, tested(1))).rejects.toMatchObject({type: 'stream-deleted'})
})

test('a subscription gets what is stored and then what is appended, once each', async () => {
  const stream = freshStream()
  await client().appendToStream(stream, tested(5))
  const subscription = client().subscribeToAll({filter: streamNameFilter({prefixes: [stream]})})
  const revisions: unknown[] = []
  subscription.once('caughtUp', () => void client().appendToStream(stream, tested(5)))
  for await (const {event} of subscription) {
    revisions.push(event?.revision)
    if (revisions.length === 10) break
  }
  expect(revisions).toEqual(Array.from({length: 10}, (_, index) => BigInt(index)))
})

test('a persistent subscription delivers, sends again what is refused, and tells about itself', async () => {
  const stream = freshStream()
  await client().appendToStream(stream, tested(3))
  const settings = persistentSubscriptionToStreamSettingsFromDefaults({startFrom: 'start'})
  await client().createPersistentSubscriptionToStream(stream, 'group', settings)
  const subscription = client().subscribeToPersistentSubscriptionToStream(stream, 'group', {bufferSize: 1})
  const got: unknown[] = []
  for await (const resolved of subscription) {
    got.push([resolved.event?.revision, resolved.retryCount])
    if (got.length === 1) await subscription.nack('retry', 'again', resolved)
    else await subscription.ack(resolved)
    if (got.length === 4) break
  }
  expect(got).toEqual([
    [0n, 0],
    [0n, 1],
    [1n, 0],
    [2n, 0],
  ])
  const info = await client().getPersistentSubscriptionToStreamInfo(stream, 'group')
  expect(info).toMatchObject({groupName: 'group', settings, stats: {totalItems: 4n, lastKnownEventRevision: 2n}})
  await client().deletePersistentSubscriptionToStream(stream, 'group')
  await expect(client().getPersistentSubscriptionToStreamInfo(stream, 'group')).rejects.toMatchObject({
    type: 'persistent-subscription-does-not-exist',
  })
})
