import type {Timers} from '../kernel/time.ts'
import {StoreUnavailable, type AllMessage, type EventStore, type Position} from './port.ts'

export interface FollowOptions {
  /** Deliver what comes after this; null means from the start. */
  readonly after: Position | null
  readonly signal: AbortSignal
  /** Told of every lost connection, before the wait and the next try. */
  readonly onLost: (error: StoreUnavailable) => void
}

const firstDelayMs = 100
const delayMsMax = 5_000

/**
 * Follows `$all` for as long as the signal lives: in order, without gap or repeat, through any number of lost
 * connections. One message at a time: the next is asked for when the consumer is done with the last.
 */
export async function* followAll(
  store: EventStore,
  timers: Timers,
  options: FollowOptions,
): AsyncGenerator<AllMessage, void, undefined> {
  const {signal, onLost} = options
  let after = options.after
  let delayMs = firstDelayMs
  while (!signal.aborted) {
    try {
      for await (const message of store.subscribeToAll(after === null ? {signal} : {after, signal})) {
        delayMs = firstDelayMs
        if (message.type === 'event') {
          // Whoever folds could not tell a repeat from news.
          if (after !== null && !isAfter(message.event.position, after)) continue
          after = message.event.position
        }
        if (message.type === 'checkpoint') after = message.position
        yield message
      }
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      // What ends because it was told to is not lost.
      if (signal.aborted) return
      onLost(error)
    }
    if (signal.aborted) return
    await timers.sleep(delayMs, signal)
    delayMs = Math.min(delayMs * 2, delayMsMax)
  }
}

function isAfter(position: Position, other: Position): boolean {
  return position.commit > other.commit || (position.commit === other.commit && position.prepare > other.prepare)
}
