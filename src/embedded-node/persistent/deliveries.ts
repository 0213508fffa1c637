/** The consumers of a group, and the messages that they have and have not yet answered. */
import type {Backlog} from './backlog.ts'
import {type Consumer, release} from './consumers.ts'
import type {Message} from './message.ts'
import type {GroupSettings} from './settings.ts'
import {openStrategy} from './strategies.ts'

export interface Deliveries {
  add(consumer: Consumer): void
  /** Answers what the consumer had and did not answer; null when it was removed before. */
  remove(consumer: Consumer): readonly Message[] | null
  /** Sends what can be sent. */
  send(): void
  /** The message of an answer, which is then no longer on its way; null when it is not. */
  takeBack(this: void, key: string): Message | null
  /** What has not been answered in time. */
  takeExpired(): readonly Message[]
  consumers(): readonly Consumer[]
  outstanding(): number
  totalItems(): number
}

interface Sent {
  readonly message: Message
  readonly consumer: Consumer
  readonly expiresMs: number
}

export function openDeliveries(settings: GroupSettings, backlog: Backlog): Deliveries {
  const strategy = openStrategy(settings.strategy)
  const consumers = new Set<Consumer>()
  const outstanding = new Map<string, Sent>()
  let totalItems = 0

  const takeBack = (key: string): Message | null => {
    const sent = outstanding.get(key)
    if (sent === undefined) return null
    outstanding.delete(key)
    release(sent.consumer, key)
    return sent.message
  }
  return {
    add(consumer) {
      consumers.add(consumer)
      strategy.added(consumer)
    },
    remove(consumer) {
      if (!consumers.delete(consumer)) return null
      strategy.removed(consumer)
      const lost = [...consumer.inFlight.values()]
      for (const {key} of lost) takeBack(key)
      return lost
    },
    send() {
      if (consumers.size === 0) return
      for (const message of backlog.waiting()) {
        // Two events may have the same id: an acknowledgement must mean one of them.
        if (outstanding.has(message.key)) continue
        const pushed = strategy.push(message)
        if (pushed === 'full') return
        if (pushed === 'skipped') continue
        backlog.taken(message)
        const expiresMs = performance.now() + settings.messageTimeoutMs
        outstanding.set(message.key, {message, consumer: pushed.to, expiresMs})
        totalItems++
      }
    },
    takeBack,
    takeExpired() {
      const now = performance.now()
      const expired: Message[] = []
      for (const {message, expiresMs} of outstanding.values()) {
        // All have the same time-out, so that the oldest expire first.
        if (expiresMs > now) break
        expired.push(message)
      }
      for (const {key} of expired) takeBack(key)
      return expired
    },
    consumers: () => [...consumers],
    outstanding: () => outstanding.size,
    totalItems: () => totalItems,
  }
}
