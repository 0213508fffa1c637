/** Groups and consumers of persistent subscriptions for tests, through the official client. */
import {
  type EventStoreDBClient,
  jsonEvent,
  type PersistentSubscriptionToStream,
  type PersistentSubscriptionToStreamSettings,
  persistentSubscriptionToStreamSettingsFromDefaults,
  type ResolvedEvent,
} from '@eventstore/db-client'
import {randomUUID} from 'node:crypto'

import {freshStream} from '../support/store-events.ts'

export const GROUP = 'group'

/** A message, with how often it was sent before. */
export type Delivery = ResolvedEvent & {readonly retryCount: number}

export interface Consumer {
  /** The next message; nothing is acknowledged by itself. */
  next(): Promise<Delivery>
  /** The next messages, each acknowledged. */
  take(count: number): Promise<readonly Delivery[]>
  ack(...events: readonly ResolvedEvent[]): Promise<void>
  nack(action: 'park' | 'retry' | 'skip' | 'stop', ...events: readonly ResolvedEvent[]): Promise<void>
  leave(): Promise<void>
}

export const tested = (count: number, type = 'Tested') =>
  Array.from({length: count}, (_, number) => jsonEvent({type, data: {number}}))

/** A stream of so many events with a group on it. */
export async function freshGroup(
  client: EventStoreDBClient,
  count: number,
  settings: Partial<PersistentSubscriptionToStreamSettings> = {},
): Promise<string> {
  const stream = freshStream()
  if (count > 0) await client.appendToStream(stream, tested(count))
  await client.createPersistentSubscriptionToStream(
    stream,
    GROUP,
    persistentSubscriptionToStreamSettingsFromDefaults({startFrom: 'start', ...settings}),
  )
  return stream
}

type Subscription = Pick<PersistentSubscriptionToStream, 'ack' | 'nack' | 'unsubscribe'> & AsyncIterable<unknown>

/** Resolves when the server has confirmed; rejects with its refusal. */
export function join(client: EventStoreDBClient, stream: string, bufferSize = 10): Promise<Consumer> {
  return consumerOf(client.subscribeToPersistentSubscriptionToStream(stream, GROUP, {bufferSize}))
}

export function joinAll(client: EventStoreDBClient, group: string, bufferSize = 10): Promise<Consumer> {
  return consumerOf(client.subscribeToPersistentSubscriptionToAll(group, {bufferSize}))
}

async function consumerOf(
  subscription: Subscription & {once(event: 'confirmation' | 'error', listener: (error?: Error) => void): unknown},
): Promise<Consumer> {
  const confirmed = Promise.withResolvers<undefined>()
  subscription.once('confirmation', () => confirmed.resolve(undefined))
  subscription.once('error', error => confirmed.reject(error ?? new Error('refused')))
  const messages = subscription[Symbol.asyncIterator]()
  await confirmed.promise
  const next = async (): Promise<Delivery> => {
    const {value, done} = await messages.next()
    if (done === true) throw new Error('the subscription ended')
    return value as Delivery
  }
  return {
    next,
    async take(count) {
      const taken: Delivery[] = []
      while (taken.length < count) {
        const message = await next()
        taken.push(message)
        await subscription.ack(message)
      }
      return taken
    },
    ack: (...events) => subscription.ack(...events),
    nack: (action, ...events) => subscription.nack(action, 'for the test', ...events),
    leave: () => subscription.unsubscribe(),
  }
}

export const revisionsOf = (messages: readonly Delivery[]): readonly number[] =>
  messages.map(({event}) => Number(event?.revision))

export const freshName = (): string => `group-${randomUUID()}`

/** Asks until the answer is as it should be; the test's own time-out ends it. */
export async function until<Answer>(ask: () => Promise<Answer>, isRight: (answer: Answer) => boolean): Promise<Answer> {
  for (;;) {
    const answer = await ask()
    if (isRight(answer)) return answer
    await new Promise(resolve => setImmediate(resolve))
  }
}
