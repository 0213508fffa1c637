/**
 * The newest events, kept in memory, and the wake-up of those that wait for more. A subscription always reads on from
 * its own cursor, from here or from the log, so that there is no moment of "going live" at which an event could be
 * lost or doubled.
 */
import type {StoredEvent} from './records.ts'
import type {Store} from './store.ts'

export interface Tail {
  /** Events strictly after a position, oldest first; empty at the head of the log. */
  after(position: number, limit: number): readonly StoredEvent[]
  committed(this: void, events: readonly StoredEvent[]): void
  /** Forgets what it holds, which is in the log, too: some of it was removed there. */
  clear(this: void): void
  /** Calls `wake` once, at the next commit that stores anything. Answers how to withdraw it. */
  onCommit(this: void, wake: () => void): () => void
}

const EVENTS_MAX = 8192
const BYTES_MAX = 16 * 1024 * 1024

export function createTail(store: Store): Tail {
  let events: StoredEvent[] = []
  let bytes = 0
  let waiting = new Set<() => void>()

  const sizeOf = (event: StoredEvent): number => event.data.length + event.metadata.length + 200

  const trim = (): void => {
    while (events.length > EVENTS_MAX || (bytes > BYTES_MAX && events.length > 1)) {
      const half = events.length >> 1
      for (const event of events.slice(0, half)) bytes -= sizeOf(event)
      events = events.slice(half)
    }
  }

  return {
    after(position, limit) {
      const first = events[0]?.position ?? Infinity
      if (position + 1 < first)
        return position >= store.lastPosition() ? [] : store.readAll('forwards', position, limit)
      const from = position + 1 - first
      return events.slice(from, from + limit)
    },
    committed(added) {
      if (added.length === 0) return
      for (const event of added) {
        events.push(event)
        bytes += sizeOf(event)
      }
      trim()
      const woken = waiting
      waiting = new Set()
      for (const wake of woken) wake()
    },
    clear() {
      events = []
      bytes = 0
    },
    onCommit(wake) {
      waiting.add(wake)
      return () => waiting.delete(wake)
    },
  }
}
