/** What of a store is copied: found out by one pass over its log. */
import type {AllStreamResolvedEvent, EventStoreDBClient} from '@eventstore/db-client'

import {guardRead} from '../event-store/esdb-client.ts'
import {CannotDo} from './command-line.ts'

export type StoredEvent = NonNullable<AllStreamResolvedEvent['event']>

export interface Plan {
  /** The last position of the log when the pass began; what comes later is for another run. */
  readonly end: bigint
  /** Events to copy. */
  readonly events: number
  /** Streams that are deleted: what was in them was to be gone, and is not carried on. */
  readonly deleted: ReadonlySet<string>
  readonly tombstoned: ReadonlySet<string>
  /** The newest metadata of each stream that has any. */
  readonly metadata: ReadonlyMap<string, StoredEvent>
}

/** From here on `$tb` means "deleted": EventStoreDB writes int64-max. */
const SOFT_DELETED_FROM = 2 ** 53
/** Streams with metadata, kept in memory. */
const STREAMS_MAX = 5_000_000

/** @throws CannotDo when there are too many deleted streams to remember */
export async function makePlan(source: EventStoreDBClient): Promise<Plan> {
  const end = await lastPosition(source)
  const deleted = new Set<string>()
  const tombstoned = new Set<string>()
  const metadata = new Map<string, StoredEvent>()
  const counts = new Map<string, number>()
  for await (const event of allEvents(source, end)) {
    const {streamId, type} = event
    if (type === '$streamDeleted') tombstoned.add(streamId)
    else if (streamId.startsWith('$$') && !streamId.startsWith('$$$')) metadata.set(streamId.slice(2), event)
    else if (isCopied(event)) counts.set(streamId, (counts.get(streamId) ?? 0) + 1)
    if (metadata.size + tombstoned.size + counts.size > STREAMS_MAX) {
      throw new CannotDo(`The source has more than ${STREAMS_MAX} streams.`)
    }
  }
  for (const [stream, {data}] of metadata) {
    const before = (data as {readonly $tb?: unknown} | null)?.$tb
    if (typeof before === 'number' && before >= SOFT_DELETED_FROM) deleted.add(stream)
  }
  for (const stream of tombstoned) deleted.add(stream)
  for (const stream of deleted) {
    counts.delete(stream)
    metadata.delete(stream)
  }
  const events = [...counts.values()].reduce((sum, count) => sum + count, 0)
  return {end, events, deleted, tombstoned, metadata}
}

/** The store's own events (statistics, projections, its users) belong to the store. */
export const isCopied = ({streamId, type}: StoredEvent): boolean =>
  !streamId.startsWith('$') && type !== '$streamDeleted'

/** The events to copy, in the order of the log. */
export async function* eventsToCopy(source: EventStoreDBClient, {end, deleted}: Plan): AsyncGenerator<StoredEvent> {
  for await (const event of allEvents(source, end)) {
    if (isCopied(event) && !deleted.has(event.streamId)) yield event
  }
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

/** The events of a target that a copy could have put there, as far as they go. */
export async function* copiedEvents(target: EventStoreDBClient): AsyncGenerator<StoredEvent> {
  for await (const event of allEvents(target, await lastPosition(target))) if (isCopied(event)) yield event
}
