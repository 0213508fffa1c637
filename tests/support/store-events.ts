/** Events to store in tests, and readers of subscriptions that stop at a condition. */
import {randomUUID} from 'node:crypto'

import type {AllMessage, EventStore, NewEvent, Position, RecordedEvent} from '../../src/event-store/port.ts'

/** A name that no other test and no other run uses, so that any server may be tested. */
export const freshStream = (category = 'test'): string => `${category}-${randomUUID()}`

export function newEvent(number: number, type = 'Tested'): NewEvent {
  return {id: randomUUID(), type, data: {number}, metadata: {at: `2030-01-01T00:00:00.000Z`, actor: {type: 'test'}}}
}

export const newEvents = (count: number, type?: string): readonly NewEvent[] =>
  Array.from({length: count}, (_, index) => newEvent(index, type))

export const numbersOf = (events: readonly RecordedEvent[] | null): readonly unknown[] | null =>
  events?.map(event => (event.data as {readonly number: unknown}).number) ?? null

/** The position of the last event of the store. */
export async function headOf(store: EventStore): Promise<Position> {
  const [last] = await store.readAll({direction: 'backwards', maxCount: 1})
  if (last === undefined) throw new Error('the store is empty')
  return last.position
}

/** The messages of a subscription to $all up to and including the first that `isLast` accepts. */
export async function followUntil(
  store: EventStore,
  options: {readonly after?: Position; readonly excludeSystemEvents?: boolean},
  isLast: (message: AllMessage) => boolean,
): Promise<readonly AllMessage[]> {
  const abort = new AbortController()
  const messages: AllMessage[] = []
  for await (const message of store.subscribeToAll({...options, signal: abort.signal})) {
    messages.push(message)
    if (isLast(message)) abort.abort()
  }
  return messages
}

export function eventsOf(messages: readonly AllMessage[], isWanted: (stream: string) => boolean): RecordedEvent[] {
  return messages.flatMap(message =>
    message.type === 'event' && isWanted(message.event.stream) ? [message.event] : [],
  )
}
