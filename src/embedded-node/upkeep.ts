/**
 * Scavenging in the background, a small step at a time, with most of the time left to appends and readers. What was
 * deleted goes at once. What limits hide goes at the start of the node and every hour, and when it is asked for: who set
 * a limit by mistake can take it back until then, as with EventStoreDB.
 */
import {randomUUID} from 'node:crypto'

import {type StoredEvent, TOMBSTONE_REVISION} from './records.ts'
import {diskFailure} from './sqlite-errors.ts'
import type {Store} from './store.ts'
import {isSoftDeleted, metadataStreamOf, originalStreamOf} from './stream-rules.ts'

export interface Upkeep {
  /** Told of all that is stored: deletions are among it. */
  committed(events: readonly StoredEvent[]): void
  /** Looks at all streams. Answers the id of this scavenge, or of the one that is running. */
  begin(): {readonly id: string; readonly isNew: boolean}
  /** Answers false when there is none with this id. */
  stop(id: string): boolean
  stats(): UpkeepStats
  close(): void
}

export interface UpkeepStats {
  /** False when all that was found is gone from the files of the log. */
  readonly isRunning: boolean
  /** Since the start, as the next. */
  readonly removedEvents: number
  /** How often all streams were looked at. */
  readonly completed: number
}

export interface UpkeepHooks {
  /** Removed events are out of the log; what else remembers them must forget them. */
  removed(this: void): void
  /** The disk failed. */
  broken(this: void, error: Error): void
}

const ALL_EVERY_MS = 3_600_000
const BEGIN_MS = 20
/** So many times as long as a step took nothing is done after it. */
const REST_FACTOR = 4
const DISK_FULL_RETRY_MS = 10_000
/** With more deleted at a time all streams are looked at. */
const PENDING_MAX = 10_000

interface Scavenge {
  readonly id: string
  /** Where the next page of streams begins; null when all were looked at. */
  from: number | null
}

export function openUpkeep(store: Store, {removed, broken}: UpkeepHooks): Upkeep {
  const pending = new Set<string>()
  let scavenge: Scavenge | null = null
  let isDirty = false
  let isClosed = false
  let [removedEvents, completed] = [0, 0]
  let timer: NodeJS.Timeout | null = null

  const isRunning = (): boolean => pending.size > 0 || isDirty || scavenge !== null
  const schedule = (ms: number): void => {
    if (isClosed || timer !== null) return
    timer = setTimeout(run, ms)
  }
  const add = (...streams: readonly string[]): void => {
    for (const stream of streams) pending.add(stream)
    schedule(BEGIN_MS)
  }
  /** One bounded piece of work. */
  const step = (): void => {
    const [stream] = pending
    if (stream !== undefined) {
      const {events, isDone} = store.removeHidden(stream)
      if (isDone) pending.delete(stream)
      removedEvents += events
      isDirty ||= events > 0
      store.checkpointIfDue()
    } else if (isDirty) {
      isDirty = !store.emptyWriteAheadLog()
      removed()
    } else if (scavenge?.from === null) {
      scavenge = null
      completed++
    } else if (scavenge !== null) {
      const {streams, next} = store.limitedStreams(scavenge.from)
      scavenge.from = next
      add(...streams)
    }
  }
  const run = (): void => {
    timer = null
    const begunMs = performance.now()
    try {
      step()
    } catch (error) {
      if (diskFailure(error).type === 'diskFull') return schedule(DISK_FULL_RETRY_MS)
      return broken(error instanceof Error ? error : new Error(String(error)))
    }
    if (isRunning()) schedule(Math.ceil(REST_FACTOR * (performance.now() - begunMs)))
  }
  const begin: Upkeep['begin'] = () => {
    if (scavenge !== null) return {id: scavenge.id, isNew: false}
    scavenge = {id: randomUUID(), from: 0}
    schedule(BEGIN_MS)
    return {id: scavenge.id, isNew: true}
  }
  const beginning = setInterval(begin, ALL_EVERY_MS)
  begin()

  return {
    committed(events) {
      for (const {stream, revision} of events) {
        const original = originalStreamOf(stream)
        if (original !== null && isSoftDeleted(store.state(original).rules)) add(original)
        else if (revision === TOMBSTONE_REVISION) add(stream, metadataStreamOf(stream))
      }
      if (pending.size <= PENDING_MAX) return
      pending.clear()
      scavenge = {id: scavenge?.id ?? randomUUID(), from: 0}
    },
    begin,
    stop(id) {
      if (scavenge?.id !== id) return false
      scavenge = null
      return true
    },
    stats: () => ({isRunning: isRunning(), removedEvents, completed}),
    close() {
      isClosed = true
      clearInterval(beginning)
      if (timer !== null) clearTimeout(timer)
    },
  }
}
