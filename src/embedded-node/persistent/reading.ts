/** How far a group has read in its source. */
import type {ReadContext} from '../read-context.ts'
import type {Backlog} from './backlog.ts'
import {messageOf} from './message.ts'
import {type GroupDefinition, LIVE} from './settings.ts'
import {openSource} from './source.ts'

export interface Reading {
  /** Reads at most one page, so that others get their turn. `gone`: the stream is tombstoned. */
  advance(): 'more' | 'enough' | 'gone'
  isLive(): boolean
  /** The revision or position of the last event that was read; null before the first. */
  lastRead(): number | null
  /** The last event read that passed the filter. */
  lastKnown(): number | null
  /** How many events were read, those that did not pass included. */
  count(): number
}

/** @throws BadMessage when the filter cannot be read */
export function openReading(
  context: ReadContext,
  definition: GroupDefinition,
  /** The checkpoint; without one, where a group that starts from the end begins, default the end of now. */
  resume: number | {readonly liveFrom: number | undefined},
  backlog: Backlog,
): Reading {
  const {settings, startFrom} = definition
  const source = openSource(context, definition.source, definition.filter)
  const begin = (liveFrom: number | undefined): number => (startFrom === LIVE ? (liveFrom ?? source.end()) : startFrom)
  let cursor = typeof resume === 'number' ? resume + 1 : begin(resume.liveFrom)
  let lastRead = typeof resume === 'number' ? resume : null
  let lastKnown: number | null = null
  let sequence = 0
  return {
    advance() {
      if (!backlog.hasRoom()) return 'enough'
      const page = source.read(cursor, Math.max(settings.readBatchSize, 10))
      if (page === null) return 'gone'
      for (const {event, at, passes} of page.items) {
        if (passes) {
          backlog.read(
            messageOf(context.store, event, settings.resolveLinks, {sequence, previous: lastRead, parked: null}),
          )
          lastKnown = at
        }
        sequence++
        lastRead = at
      }
      cursor = page.next
      return page.isAtEnd ? 'enough' : 'more'
    },
    isLive: () => cursor >= source.end(),
    lastRead: () => lastRead,
    lastKnown: () => lastKnown,
    count: () => sequence,
  }
}
