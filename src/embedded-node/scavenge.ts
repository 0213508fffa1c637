/**
 * Removes from the file what no stream shows any more: events of deleted streams, and those that `$tb`, `$maxCount` or
 * `$maxAge` hide. EventStoreDB keeps the last event of a stream that is deleted softly; here it goes as well, since a
 * deleted key must be gone.
 *
 * Events are overwritten where they are and not deleted as rows: SQLite moves the neighbours of deleted rows to other
 * pages, and the bytes they leave behind there would outlive them (its secure_delete does not reach those).
 */
import {type Log, stateOf, type StreamState} from './log.ts'
import {TOMBSTONE_REVISION} from './records.ts'
import {firstRow} from './schema.ts'
import {metadataStreamOf, originalStreamOf} from './stream-rules.ts'

export interface RemovedBatch {
  readonly events: number
  /** False when the stream has more to remove. */
  readonly isDone: boolean
}

const BATCH_EVENTS_MAX = 256
const BATCH_BYTES_MAX = 1024 * 1024

/**
 * Removes a bounded number of events of one stream, the oldest first, in one transaction.
 * Throws when SQLite fails; nothing is removed then.
 */
export function removeHidden(log: Log, stream: string): RemovedBatch {
  const state = stateOf(log, stream)
  const {id} = state
  const last = id === null ? null : lastCandidate(log, stream, state)
  if (id === null || last === null) return {events: 0, isDone: true}
  const from = firstKept(log, id, last)
  if (from > last) return {events: 0, isDone: true}
  const rows = log.sql.sizesOf.all(id, from, last, BATCH_EVENTS_MAX) as unknown as [number, number, number][]
  const hiddenByNumber = endOfHidden(log, stream, state)
  const oldestMs = log.nowMs() - (state.rules.maxAgeSeconds ?? Infinity) * 1000
  const positions: number[] = []
  let bytes = 0
  for (const [index, [position, createdMs, size]] of rows.entries()) {
    const isHidden = from + index < hiddenByNumber || createdMs < oldestMs
    // The log ends with an event that is there: readers know by it where the end is.
    if (!isHidden || position >= log.lastPosition) {
      remove(log, positions, bytes)
      return {events: positions.length, isDone: true}
    }
    positions.push(position)
    bytes += size
    if (bytes >= BATCH_BYTES_MAX) break
  }
  remove(log, positions, bytes)
  return {events: positions.length, isDone: from + positions.length > last}
}

/** The first revision that the stream's rules other than its age leave to be seen. */
function endOfHidden(log: Log, stream: string, {lastRevision, rules}: StreamState): number {
  if (lastRevision === TOMBSTONE_REVISION) return TOMBSTONE_REVISION
  const original = originalStreamOf(stream)
  // A tombstone takes the stream's metadata with it.
  if (original !== null && stateOf(log, original).lastRevision === TOMBSTONE_REVISION) return lastRevision + 1
  const byCount = rules.maxCount === undefined ? 0 : lastRevision - rules.maxCount + 1
  return Math.min(Math.max(0, rules.truncateBefore ?? 0, byCount), lastRevision + 1)
}

/** The last revision that may be hidden; null when there is none. */
function lastCandidate(log: Log, stream: string, state: StreamState): number | null {
  const isTombstoned = state.lastRevision === TOMBSTONE_REVISION
  const byAge = state.rules.maxAgeSeconds === undefined || isTombstoned ? 0 : state.lastRevision + 1
  const end = Math.max(endOfHidden(log, stream, state), byAge)
  return end === 0 ? null : (firstRow<[number]>(log.sql.lastRevisionBefore, state.id, end)?.[0] ?? null)
}

/**
 * The first revision up to `last`, which may be behind the end, that was not removed. Removed is always the beginning of
 * a stream, so that halving finds its end, however long it is.
 */
export function firstKept(log: Log, id: number, last: number): number {
  const isRemoved = (revision: number): boolean => firstRow<[number]>(log.sql.isRemovedAt, id, revision)?.[0] === 1
  if (!isRemoved(0)) return 0
  let [low, high] = [1, last + 1]
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    if (isRemoved(middle)) low = middle + 1
    else high = middle
  }
  return low
}

function remove(log: Log, positions: readonly number[], bytes: number): void {
  if (positions.length === 0) return
  try {
    log.db.exec('BEGIN')
    for (const position of positions) log.sql.removeEvent.run(position)
    log.db.exec('COMMIT')
  } catch (error) {
    if (log.db.isTransaction) log.db.exec('ROLLBACK')
    throw error
  }
  log.bytesSinceCheckpoint += bytes + 4096 * positions.length
}

const STREAMS_PER_PAGE = 200

export interface StreamsPage {
  /** Those that may have something to remove. */
  readonly streams: readonly string[]
  /** Where the next page begins; null at the end. */
  readonly next: number | null
}

/** All streams that are limited or deleted, a bounded number at a time. The first page begins at 0. */
export function limitedStreams(log: Log, from: number): StreamsPage {
  const rows = log.sql.streamsAfter.all(from, STREAMS_PER_PAGE) as unknown as [number, string, number][]
  const streams = rows.flatMap(([, name, isTombstoned]) => {
    const original = originalStreamOf(name)
    if (original !== null) return [name, original]
    return isTombstoned === 1 ? [name, metadataStreamOf(name)] : []
  })
  return {streams, next: rows.length < STREAMS_PER_PAGE ? null : (rows.at(-1)?.[0] ?? null)}
}
