import {jsonEvent, persistentSubscriptionToAllSettingsFromDefaults, streamNameFilter} from '@kurrent/kurrentdb-client'
import {expect, test} from 'vitest'

import {kurrentClient} from '../support/kurrent.ts'
import {freshStream} from '../support/store-events.ts'

/**
 * The consumer strategy that only this client can ask for (support/kurrent.ts says why it is alone). What it does
 * with events without a usable correlation id is what EventStoreDB's own tests say.
 */
const client = kurrentClient()

interface Sent {
  readonly stream: string
  readonly metadata: Readonly<Record<string, unknown>>
}
interface Taken {
  readonly stream: string
  readonly correlation: unknown
  readonly consumer: number
}

/** Appends the events one by one while two consumers of a new group take them; answers who took which. */
async function takenByTwo(prefix: string, sent: readonly Sent[]): Promise<readonly Taken[]> {
  const settings = persistentSubscriptionToAllSettingsFromDefaults({
    consumerStrategyName: 'PinnedByCorrelation',
    startFrom: 'end',
  })
  await client().createPersistentSubscriptionToAll(prefix, settings, {filter: streamNameFilter({prefixes: [prefix]})})
  expect(await client().getPersistentSubscriptionToAllInfo(prefix)).toMatchObject({settings})
  const consumers = [1, 2].map(() => client().subscribeToPersistentSubscriptionToAll(prefix, {bufferSize: 100}))
  await Promise.all(
    consumers.map(consumer => {
      const {promise, resolve} = Promise.withResolvers<undefined>()
      consumer.once('confirmation', () => resolve(undefined))
      return promise
    }),
  )
  for (const {stream, metadata} of sent) {
    await client().appendToStream(stream, jsonEvent({type: 'Tested', data: {}, metadata}))
  }
  const taken: Taken[] = []
  await Promise.all(
    consumers.map(async (consumer, number) => {
      for await (const message of consumer) {
        const {streamId = '', metadata} = message.event ?? {}
        const correlation = (metadata as {readonly $correlationId?: unknown} | undefined)?.$correlationId
        taken.push({stream: streamId, correlation, consumer: number})
        await consumer.ack(message)
        if (taken.length === sent.length) for (const each of consumers) await each.unsubscribe()
      }
    }),
  )
  return taken
}

function expectPinned(taken: readonly Taken[], key: (one: Taken) => unknown): void {
  const groups = Map.groupBy(taken, key)
  expect(groups.size).toBe(8)
  for (const [, group] of groups) expect(new Set(group.map(({consumer}) => consumer)).size).toBe(1)
  expect(new Set(taken.map(({consumer}) => consumer)).size).toBe(2)
}

test('each correlation goes to one consumer, over all streams', async () => {
  const prefix = freshStream()
  const sent = Array.from({length: 64}, (_, number) => ({
    stream: `${prefix}-${number % 8}`,
    metadata: {other: number, $correlationId: `${prefix}-c-${Math.floor(number / 3) % 8}`},
  }))
  const taken = await takenByTwo(prefix, sent)
  expectPinned(taken, ({correlation}) => correlation)
  const ofOneStream = taken.filter(({stream}) => stream === `${prefix}-0`)
  expect(new Set(ofOneStream.map(({consumer}) => consumer)).size).toBe(2)
})

test('what has no correlation id, or one that is no text, is pinned by its stream', async () => {
  const prefix = freshStream()
  const metadata = [{}, {x: 'x'}, {$correlationId: 0}, {$correlationId: null}]
  const sent = Array.from({length: 64}, (_, number) => ({
    stream: `${prefix}-${number % 8}`,
    metadata: metadata[Math.floor(number / 8) % 4] ?? {},
  }))
  expectPinned(await takenByTwo(prefix, sent), ({stream}) => stream)
})
