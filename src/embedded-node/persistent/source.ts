/** Where a group reads: one stream, or $all with the group's filter. */
import type {ReadContext} from '../read-context.ts'
import {PAGE_EVENTS, readStreamPage, streamStatus} from '../reader.ts'
import type {StoredEvent} from '../records.ts'
import {ALL, type GroupFilter, passesAll} from './settings.ts'

export interface SourcePage {
  readonly items: readonly SourceItem[]
  /** Where the next page begins. */
  readonly next: number
  readonly isAtEnd: boolean
}

export interface SourceItem {
  readonly event: StoredEvent
  /** Its revision, or its position in $all. */
  readonly at: number
  /** False when the filter leaves it out: it only moves the checkpoint. */
  readonly passes: boolean
}

export interface EventSource {
  /** Reads from `cursor` on, itself included; at most `limit` events that pass. Null when the stream is tombstoned. */
  read(cursor: number, limit: number): SourcePage | null
  /** The cursor before which everything is written. */
  end(): number
}

/** @throws BadMessage when the filter cannot be read */
export function openSource(context: ReadContext, source: string, filter: GroupFilter | null): EventSource {
  return source === ALL ? allSource(context, passesAll(filter)) : streamSource(context, source)
}

function streamSource({store, nowMs}: ReadContext, stream: string): EventSource {
  return {
    read(cursor, limit) {
      if (streamStatus(store, stream) === 'tombstoned') return null
      const page = readStreamPage(store, stream, 'forwards', cursor, nowMs(), limit)
      const items = page.events.map(event => ({event, at: event.revision, passes: true}))
      return {items, next: page.next ?? cursor, isAtEnd: page.next === null}
    },
    end: () => (streamStatus(store, stream) === 'tombstoned' ? 0 : store.state(stream).lastRevision + 1),
  }
}

function allSource({store, tail}: ReadContext, passes: (event: StoredEvent) => boolean): EventSource {
  return {
    read(cursor, limit) {
      const items: SourceItem[] = []
      let passing = 0
      for (const event of tail.after(cursor - 1, PAGE_EVENTS)) {
        const item = {event, at: event.position, passes: passes(event)}
        items.push(item)
        if (item.passes && ++passing >= limit) break
      }
      const next = (items.at(-1)?.at ?? cursor - 1) + 1
      return {items, next, isAtEnd: next > store.lastPosition()}
    },
    end: () => store.lastPosition() + 1,
  }
}
