/**
 * What a group has read and not finished: first what is to be sent again, then what was never sent. All that is held in
 * memory is counted here, so that a group whose consumers are slow reads no further.
 */
import type {Message} from './message.ts'

export interface Backlog {
  /** A message of the source, in its order. */
  read(message: Message): void
  /** Puts a message before all that were never sent; messages of the source in their order, replayed ones last. */
  retry(this: void, message: Message): void
  /** What is to be sent, in order. A message may be `taken` while it is looked at. */
  waiting(): Iterable<Message>
  taken(message: Message): void
  /** The message is acknowledged, skipped or parked. */
  done(this: void, message: Message): void
  /** The first message of the source that is not done. */
  lowest(): Message | null
  hasRoom(): boolean
  /** Its own bound: however much is read ahead, parked messages come back. */
  hasRoomToReplay(): boolean
  counts(): {readonly read: number; readonly retry: number}
}

/** However large a group's buffer is asked to be. */
const UNFINISHED_MAX = 20_000
const REPLAYED_MAX = 100
const HELD_BYTES_MAX = 32 * 1024 * 1024

export function openBacklog(bufferSize: number): Backlog {
  const fresh = new Set<Message>()
  const retries: Message[] = []
  const unfinished = new Map<number, Message>()
  const held = new Set<Message>()
  let heldBytes = 0

  const hold = (message: Message): void => {
    if (held.has(message)) return
    held.add(message)
    heldBytes += message.bytes
  }
  return {
    read(message) {
      hold(message)
      fresh.add(message)
      if (message.sequence !== null) unfinished.set(message.sequence, message)
    },
    retry(message) {
      hold(message)
      const {sequence} = message
      const at = sequence === null ? -1 : retries.findIndex(other => (other.sequence ?? Infinity) > sequence)
      if (at < 0) retries.push(message)
      else retries.splice(at, 0, message)
    },
    *waiting() {
      yield* retries.slice()
      yield* fresh
    },
    taken(message) {
      if (fresh.delete(message)) return
      const at = retries.indexOf(message)
      if (at >= 0) retries.splice(at, 1)
    },
    done(message) {
      if (message.sequence !== null) unfinished.delete(message.sequence)
      if (held.delete(message)) heldBytes -= message.bytes
    },
    lowest: () => unfinished.values().next().value ?? null,
    hasRoom: () => fresh.size + retries.length < bufferSize && held.size < UNFINISHED_MAX && heldBytes < HELD_BYTES_MAX,
    hasRoomToReplay: () => retries.length < REPLAYED_MAX,
    counts: () => ({read: fresh.size, retry: retries.length}),
  }
}
