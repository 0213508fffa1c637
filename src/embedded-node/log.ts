/** What the node remembers of its log between two writes; all of it can be read again from the file. */
import type {DatabaseSync} from 'node:sqlite'

import {type RecentIds, recentIds} from './recent-ids.ts'
import {firstRow, prepareStatements, type Statements} from './schema.ts'
import {metadataStreamOf, originalStreamOf, parseRules, type StreamRules} from './stream-rules.ts'
import {type Cache, twoGenerationCache} from './two-generation-cache.ts'

/** What is known of a stream without reading its events. `id` is null while nothing was ever written to its name. */
export interface StreamState {
  readonly id: number | null
  /** −1 without events; `TOMBSTONE_REVISION` when tombstoned. */
  readonly lastRevision: number
  readonly rules: StreamRules
}

export interface Log {
  readonly db: DatabaseSync
  readonly sql: Statements
  readonly states: Cache<string, StreamState>
  readonly recent: RecentIds
  readonly nowMs: () => number
  /** 0 in a log without events. */
  lastPosition: number
  /** About as much as was written to the write-ahead log since it was last emptied. */
  bytesSinceCheckpoint: number
  lastCommitMs: number
}

const CACHED_STREAMS = 50_000
const RECENT_READ_BACK = 10_000

export function loadLog(db: DatabaseSync, nowMs: () => number): Log {
  const sql = prepareStatements(db)
  const log: Log = {
    db,
    sql,
    states: twoGenerationCache(CACHED_STREAMS),
    recent: recentIds(),
    nowMs,
    lastPosition: firstRow<[number | null]>(sql.lastPosition)?.[0] ?? 0,
    bytesSinceCheckpoint: 0,
    lastCommitMs: 0,
  }
  rememberRecent(log)
  return log
}

/** Forgets what may be of a failed transaction. */
export function reloadLog(log: Log, lastPosition: number): void {
  log.lastPosition = lastPosition
  log.states.clear()
  log.recent.clear()
  rememberRecent(log)
}

/** Repeats that arrive after a restart must be known as well, so that the newest ids are read back. */
function rememberRecent(log: Log): void {
  const rows = log.sql.recent.all(RECENT_READ_BACK) as unknown as [Uint8Array, string, number, number][]
  for (const [id, stream, revision, position] of rows.reverse()) log.recent.add(id, {stream, revision, position})
}

export function stateOf(log: Log, stream: string): StreamState {
  const cached = log.states.get(stream)
  if (cached !== undefined) return cached
  const id = streamId(log, stream)
  const lastRevision = id === null ? -1 : (firstRow<[number]>(log.sql.lastRevision, id)?.[0] ?? -1)
  const state = {id, lastRevision, rules: readRules(log, stream)}
  log.states.set(stream, state)
  return state
}

/** The data of a stream's last event; null when there is none. */
export function lastData(log: Log, stream: string): Uint8Array | null {
  const id = streamId(log, stream)
  return id === null ? null : (firstRow<[Uint8Array]>(log.sql.lastData, id)?.[0] ?? null)
}

function streamId(log: Log, stream: string): number | null {
  return firstRow<[number]>(log.sql.streamId, stream)?.[0] ?? null
}

function readRules(log: Log, stream: string): StreamRules {
  // The metadata stream of a metadata stream does not exist; of its events only the newest counts.
  if (originalStreamOf(stream) !== null) return {maxCount: 1}
  const data = lastData(log, metadataStreamOf(stream))
  return data === null ? {} : parseRules(data)
}
