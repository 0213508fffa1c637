/** An event on its way through a group: read, sent, perhaps sent again, and at last done or parked. */
import {isLink, resolveLink} from '../reader.ts'
import {keyOfId} from '../recent-ids.ts'
import type {StoredEvent} from '../records.ts'
import type {Store} from '../store.ts'

export interface Message {
  /** The id by which consumers acknowledge it: that of the link if there is one. */
  readonly key: string
  /** Null for a link whose event is gone. */
  readonly event: StoredEvent | null
  readonly link: StoredEvent | null
  /** Where it is in the group's source, counted from the group's start; null for a parked message that is replayed. */
  readonly sequence: number | null
  /** Where a checkpoint stands while this message is not done; null when nothing was read before it. */
  readonly previous: number | null
  /** Its revision in the parked stream, when it is replayed from there. */
  readonly parked: number | null
  readonly bytes: number
  retryCount: number
}

export interface MessagePlace {
  readonly sequence: number | null
  readonly previous: number | null
  readonly parked: number | null
}

export function messageOf(store: Store, original: StoredEvent, resolveLinks: boolean, place: MessagePlace): Message {
  const isResolved = resolveLinks && isLink(original)
  const event = isResolved ? resolveLink(store, original) : original
  const link = isResolved ? original : null
  const bytes = [event, link].reduce(
    (sum, part) => sum + (part === null ? 0 : part.data.length + part.metadata.length),
    0,
  )
  return {key: keyOfId(original.id), event, link, ...place, bytes, retryCount: 0}
}

/** The event that was written to the group's source. */
export function originalOf({event, link}: Message): StoredEvent {
  const original = link ?? event
  if (original === null) throw new Error('a message without an event')
  return original
}
