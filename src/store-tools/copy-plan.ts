/** What of a store is copied: found out by one pass over its log. */
import type {AllStreamResolvedEvent, EventStoreDBClient} from '@eventstore/db-client'

import {guardRead} from '../event-store/esdb-client.ts'
import {CannotDo} from './command-line.ts'
import {originalTimeOf} from './copy-event.ts'

export type StoredEvent = NonNullable<AllStreamResolvedEvent['event']>

export interface Plan {
  /** The last position of the log when the pass began; what comes later is for another run. */
  readonly end: bigint
  /** Events to copy, as far as the numbers in their streams tell. */
  readonly events: number
  /** Streams that are deleted: what was in them was to be gone, and is not carried on. */
  readonly deleted: ReadonlySet<string>
  readonly tombstoned: ReadonlySet<string>
  /** The newest metadata of each stream that has any. */
  readonly metadata: ReadonlyMap<string, StoredEvent>
  /** What each stream still shows; streams that were not there, or are deleted, are absent. */
  readonly windows: ReadonlyMap<string, Window>
}

/** Before it a stream shows nothing: what was there is, or will be, removed by either store whenever it likes. */
export interface Window {
  readonly first: bigint
  /** Milliseconds since the Unix epoch, by the time of the first recording. */
  readonly sinceMs: number
}

/** From here on `$tb` means "deleted": EventStoreDB writes int64-max. */
const SOFT_DELETED_FROM = 2 ** 53
/** Streams with metadata, kept in memory. */
const STREAMS_MAX = 5_000_000

interface Range {
  readonly first: bigint
  readonly last: bigint
}

/** @throws CannotDo when there are too many deleted streams to remember */
export async function makePlan(source: EventStoreDBClient): Promise<Plan> {
  const end = await lastPosition(source)
  const tombstoned = new Set<string>()
  const metadata = new Map<string, StoredEvent>()
  const ranges = new Map<string, Range>()
  let newestMs = -Infinity
  for await (const event of allEvents(source, end)) {
    const {streamId, type, revision, created} = event
    newestMs = Math.max(newestMs, created.getTime())
    if (type === '$streamDeleted') tombstoned.add(streamId)
    else if (streamId.startsWith('$$') && !streamId.startsWith('$$$')) metadata.set(streamId.slice(2), event)
    else if (isCopied(event)) ranges.set(streamId, {first: ranges.get(streamId)?.first ?? revision, last: revision})
    if (metadata.size + tombstoned.size + ranges.size > STREAMS_MAX) {
      throw new CannotDo(`The source has more than ${STREAMS_MAX} streams.`)
    }
  }
  const deleted = new Set(tombstoned)
  for (const [stream, event] of metadata) if (limitOf(event, '$tb') >= SOFT_DELETED_FROM) deleted.add(stream)
  for (const stream of deleted) {
    ranges.delete(stream)
    metadata.delete(stream)
  }
  const windows = new Map<string, Window>()
  let events = 0
  for (const [stream, range] of ranges) {
    const window = windowOf(range, metadata.get(stream), newestMs)
    windows.set(stream, window)
    if (range.last >= window.first) events += Number(range.last - window.first) + 1
  }
  return {end, events, deleted, tombstoned, metadata, windows}
}

function windowOf({first, last}: Range, metadata: StoredEvent | undefined, nowMs: number): Window {
  if (metadata === undefined) return {first, sinceMs: -Infinity}
  const before = BigInt(limitOf(metadata, '$tb'))
  const maxCount = limitOf(metadata, '$maxCount')
  const byCount = maxCount === 0 ? 0n : last - BigInt(maxCount) + 1n
  const maxAgeSeconds = limitOf(metadata, '$maxAge')
  const firsts = [first, before, byCount]
  return {
    first: firsts.reduce((a, b) => (a > b ? a : b)),
    sinceMs: maxAgeSeconds === 0 ? -Infinity : nowMs - 1000 * maxAgeSeconds,
  }
}

/** 0 when there is no such limit. */
function limitOf({data}: StoredEvent, key: '$tb' | '$maxCount' | '$maxAge'): number {
  const value = (data as Readonly<Record<string, unknown>> | null)?.[key]
  return typeof value === 'number' && value > 0 ? Math.floor(value) : 0
}

/** Stands in a copy for an event that is no longer there, so that those behind it keep their revisions. */
export const GAP_TYPE = '$copyGap'

/** The store's own events (statistics, projections, its users) belong to the store. */
export const isCopied = ({streamId, type}: StoredEvent): boolean =>
  !streamId.startsWith('$') && type !== '$streamDeleted' && type !== GAP_TYPE

/** Whether an event, of the source or a copy of it, is still to be seen in the source. */
export function isShown({windows, deleted}: Plan, event: StoredEvent): boolean {
  const window = windows.get(event.streamId)
  if (window === undefined) return !deleted.has(event.streamId)
  return event.revision >= window.first && Date.parse(originalTimeOf(event)) >= window.sinceMs
}

/** The events to copy, in the order of the log. */
export async function* eventsToCopy(source: EventStoreDBClient, plan: Plan): AsyncGenerator<StoredEvent> {
  for await (const event of allEvents(source, plan.end)) if (isCopied(event) && isShown(plan, event)) yield event
}

/** All events up to and including a position. Links come as they are, not as what they point to. */
export async function* allEvents(client: EventStoreDBClient, end: bigint): AsyncGenerator<StoredEvent> {
  const read = client.readAll({fromPosition: 'start', resolveLinkTos: false})
  guardRead(read)
  for await (const {event} of read) {
    if (event === undefined) continue
    if (event.position === undefined) throw new CannotDo('The store is older than 22.6: its events have no position.')
    if (event.position.commit > end) return
    yield event
  }
}

async function lastPosition(client: EventStoreDBClient): Promise<bigint> {
  const read = client.readAll({direction: 'backwards', fromPosition: 'end', maxCount: 1})
  guardRead(read)
  for await (const {event} of read) return event?.position?.commit ?? 0n
  return 0n
}

/**
 * The events of a target that a copy could have put there, as far as they go, but for those that the source does not
 * show any more. `seen` is called for all of them, and for what stands in for events.
 */
export async function* copiedEvents(
  target: EventStoreDBClient,
  plan: Plan,
  seen: (event: StoredEvent) => void = () => undefined,
): AsyncGenerator<StoredEvent> {
  for await (const event of allEvents(target, await lastPosition(target))) {
    if (!isCopied(event) && event.type !== GAP_TYPE) continue
    seen(event)
    if (event.type !== GAP_TYPE && isShown(plan, event)) yield event
  }
}
