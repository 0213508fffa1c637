/** Pages of events out of the log, with the rules of streams applied: what is hidden, what is deleted, what is linked. */
import {type StoredEvent, TOMBSTONE_REVISION} from './records.ts'
import type {StreamState} from './log.ts'
import type {Store} from './store.ts'
import {isSoftDeleted} from './stream-rules.ts'

/** Events read at a time, before others get their turn. */
export const PAGE_EVENTS = 256

export type StreamStatus = 'exists' | 'missing' | 'tombstoned'

export function streamStatus(store: Store, stream: string): StreamStatus {
  const {lastRevision, rules} = store.state(stream)
  if (lastRevision === TOMBSTONE_REVISION) return 'tombstoned'
  return lastRevision < 0 || isSoftDeleted(rules) ? 'missing' : 'exists'
}

/** The first revision that `$tb` and `$maxCount` leave to be seen. */
function firstVisible({lastRevision, rules}: StreamState): number {
  const byCount = rules.maxCount === undefined ? 0 : lastRevision - rules.maxCount + 1
  return Math.max(0, rules.truncateBefore ?? 0, byCount)
}

export interface StreamPage {
  readonly events: readonly StoredEvent[]
  /** Where the next page begins; null when there is nothing more now. */
  readonly next: number | null
}

/** A page of one stream from a revision on, itself included. */
export function readStreamPage(
  store: Store,
  stream: string,
  direction: 'forwards' | 'backwards',
  revision: number,
  nowMs: number,
  limit = PAGE_EVENTS,
): StreamPage {
  const state = store.state(stream)
  const first = firstVisible(state)
  const from = direction === 'forwards' ? Math.max(revision, first) : Math.min(revision, state.lastRevision)
  if (from < first || from > state.lastRevision) return {events: [], next: null}
  const page = store.readStream(stream, direction, from, limit)
  const last = page.at(-1)
  if (last === undefined) return {events: [], next: null}
  const {maxAgeSeconds} = state.rules
  const oldestMs = maxAgeSeconds === undefined ? -Infinity : nowMs - maxAgeSeconds * 1000
  const events = page.filter(event => event.revision >= first && event.createdMs >= oldestMs)
  const next = last.revision + (direction === 'forwards' ? 1 : -1)
  return {events, next: next < first ? null : next}
}

/** The event that a link (`$>`, with `revision@stream` as its data) points to; null when it cannot be seen any more. */
export function resolveLink(store: Store, link: StoredEvent): StoredEvent | null {
  const text = Buffer.from(link.data.buffer, link.data.byteOffset, link.data.byteLength).toString('utf8')
  const at = text.indexOf('@')
  const revision = Number(text.slice(0, at))
  const stream = text.slice(at + 1)
  if (at < 1 || !Number.isSafeInteger(revision)) return null
  const state = store.state(stream)
  if (streamStatus(store, stream) !== 'exists' || revision < firstVisible(state)) return null
  const [event] = store.readStream(stream, 'forwards', revision, 1)
  return event?.revision === revision ? event : null
}

export const isLink = (event: StoredEvent): boolean => event.type === '$>'
