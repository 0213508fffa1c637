/**
 * The log: one SQLite file, written and read by one thread. A group of writes is decided and applied in one
 * transaction; when `commit` returns, the group is on the disk (WAL, synchronous=FULL: COMMIT returns after the fsync).
 */
import {randomBytes} from 'node:crypto'
import {closeSync, fsyncSync, mkdirSync, openSync} from 'node:fs'
import {join} from 'node:path'
import {DatabaseSync} from 'node:sqlite'

import {DataFolderInUse, type FolderLock, isBusy, lockFolder} from './folder-lock.ts'
import {decideAppend, decideDelete, type WriteVerdict} from './expected-revision.ts'
import {type RecentIds, recentIds} from './recent-ids.ts'
import {
  type DeleteWrite,
  type ProposedEvent,
  type StoredEvent,
  TOMBSTONE_REVISION,
  type Write,
  type WriteOutcome,
} from './records.ts'
import {type EventRow, eventOfRow, prepareStatements, schema, SCHEMA_VERSION, type Statements} from './schema.ts'
import {
  isSoftDeleted,
  metadataStreamOf,
  originalStreamOf,
  parseRules,
  SOFT_DELETE_METADATA,
  type StreamRules,
  undeleteMetadata,
} from './stream-rules.ts'
import {type Cache, twoGenerationCache} from './two-generation-cache.ts'

/** What is known of a stream without reading its events. `id` is null while nothing was ever written to its name. */
export interface StreamState {
  readonly id: number | null
  /** −1 without events; `TOMBSTONE_REVISION` when tombstoned. */
  readonly lastRevision: number
  readonly rules: StreamRules
}

export interface Store {
  /** Decides and applies the writes in order, all in one transaction. Throws when SQLite fails; nothing is half-written. */
  commit(writes: readonly Write[]): {
    readonly outcomes: readonly WriteOutcome[]
    readonly events: readonly StoredEvent[]
  }
  state(stream: string): StreamState
  /** Events after (`forwards`) or before (`backwards`) a position, nearest first; none only if there are none. */
  readAll(direction: 'forwards' | 'backwards', position: number, limit: number): readonly StoredEvent[]
  /** Events of a stream from a revision on, itself included, nearest first. Rules of the stream are not applied. */
  readStream(
    stream: string,
    direction: 'forwards' | 'backwards',
    revision: number,
    limit: number,
  ): readonly StoredEvent[]
  /** 0 in a log without events. */
  lastPosition(): number
  /** Moves what the write-ahead log holds into the main file when it has grown enough; costs milliseconds. */
  checkpointIfDue(): void
  close(): void
}

const FILE_NAME = 'events.sqlite'
const CHECKPOINT_EVERY_BYTES = 16 * 1024 * 1024
const CACHED_STREAMS = 50_000
const PAGE_BYTES = 4 * 1024 * 1024

/**
 * Opens or creates the store of a folder and takes the folder's lock, which the operating system releases when the
 * process ends, however it ends.
 * @param pagesMax bounds the file, in pages of 4 KiB: the way to see a full disk without filling one
 * @throws DataFolderInUse when another process has it
 */
export function openStore(dataDir: string, nowMs: () => number, pagesMax?: number): Store {
  mkdirSync(dataDir, {recursive: true})
  const lock = lockFolder(dataDir)
  try {
    const db = openDatabase(join(dataDir, FILE_NAME))
    syncFolder(dataDir)
    if (pagesMax !== undefined) db.exec(`PRAGMA max_page_count = ${pagesMax}`)
    const store = createStore(db, prepareStatements(db), nowMs, lock)
    if (store.lastPosition() === 0) store.commit([firstWrite()])
    return store
  } catch (error) {
    lock.close()
    throw error
  }
}

function openDatabase(path: string): DatabaseSync {
  const db = new DatabaseSync(path, {enableForeignKeyConstraints: false})
  try {
    // Nobody else opens the file, so that the index of the write-ahead log can live in memory.
    db.exec('PRAGMA locking_mode = EXCLUSIVE')
    db.exec('PRAGMA journal_mode = WAL')
    db.exec('PRAGMA synchronous = FULL')
    // Checkpoints are run by hand: after the answers went out, and with their errors seen.
    db.exec('PRAGMA wal_autocheckpoint = 0')
    db.exec('PRAGMA cache_size = -65536')
    db.exec('BEGIN EXCLUSIVE')
    const version = Number(db.prepare('PRAGMA user_version').get()?.['user_version'])
    if (version === 0) db.exec(schema)
    else if (version !== SCHEMA_VERSION) throw new Error(`${path} has schema version ${version}, not ${SCHEMA_VERSION}`)
    db.exec('COMMIT')
    return db
  } catch (error) {
    db.close()
    if (isBusy(error)) throw new DataFolderInUse(`another process has ${path} open`)
    throw error
  }
}

/** The names of the files must survive a power cut as surely as their contents. */
function syncFolder(dataDir: string): void {
  const folder = openSync(dataDir, 'r')
  fsyncSync(folder)
  closeSync(folder)
}

/** A fresh log is never empty, as a real node's is not: clients may ask for the last event of $all. */
function firstWrite(): Write {
  const data = Buffer.from(JSON.stringify({schemaVersion: SCHEMA_VERSION}))
  const event = {id: randomBytes(16), type: '$node-created', isJson: true, data, metadata: Buffer.alloc(0)}
  return {kind: 'append', stream: '$node', expected: 'noStream', events: [event]}
}

interface Context {
  readonly db: DatabaseSync
  readonly sql: Statements
  readonly states: Cache<string, StreamState>
  readonly recent: RecentIds
  readonly nowMs: () => number
  lastPosition: number
  bytesSinceCheckpoint: number
}

function createStore(db: DatabaseSync, sql: Statements, nowMs: () => number, lock: FolderLock): Store {
  const context: Context = {
    db,
    sql,
    states: twoGenerationCache(CACHED_STREAMS),
    recent: recentIds(),
    nowMs,
    lastPosition: readLastPosition(sql),
    bytesSinceCheckpoint: 0,
  }
  rememberRecent(context)
  return {
    commit: writes => commit(context, writes),
    state: stream => stateOf(context, stream),
    readAll(direction, position, limit) {
      const statement = direction === 'forwards' ? sql.allForwards : sql.allBackwards
      return takeEvents(statement.iterate(position, limit))
    },
    readStream(stream, direction, revision, limit) {
      const {id} = stateOf(context, stream)
      if (id === null) return []
      const statement = direction === 'forwards' ? sql.streamForwards : sql.streamBackwards
      return takeEvents(statement.iterate(stream, id, revision, limit))
    },
    lastPosition: () => context.lastPosition,
    checkpointIfDue() {
      if (context.bytesSinceCheckpoint < CHECKPOINT_EVERY_BYTES) return
      context.bytesSinceCheckpoint = 0
      db.exec('PRAGMA wal_checkpoint(PASSIVE)')
    },
    close() {
      db.close()
      lock.close()
    },
  }
}

/** At least one event if there is one; fewer than asked for when they are large, so that a page of them fits in memory. */
function takeEvents(rows: Iterable<unknown>): readonly StoredEvent[] {
  const events: StoredEvent[] = []
  let bytes = 0
  for (const row of rows) {
    const event = eventOfRow(row as EventRow)
    events.push(event)
    bytes += event.data.length + event.metadata.length
    if (bytes >= PAGE_BYTES) break
  }
  return events
}

function readLastPosition(sql: Statements): number {
  const row = sql.lastPosition.get() as unknown as [number | null] | undefined
  return row?.[0] ?? 0
}

/** Repeats that arrive after a restart must be known as well, so that the newest ids are read back. */
function rememberRecent(context: Context): void {
  const rows = context.sql.recent.all(RECENT_READ_BACK) as unknown as [Uint8Array, string, number, number][]
  for (const [id, stream, revision, position] of rows.reverse()) {
    context.recent.add(id, {stream, revision, position})
  }
}

const RECENT_READ_BACK = 10_000

function stateOf(context: Context, stream: string): StreamState {
  const cached = context.states.get(stream)
  if (cached !== undefined) return cached
  const id = streamId(context, stream)
  const last = id === null ? undefined : (context.sql.lastRevision.get(id) as unknown as [number] | undefined)
  const state = {id, lastRevision: last?.[0] ?? -1, rules: readRules(context, stream)}
  context.states.set(stream, state)
  return state
}

function streamId(context: Context, stream: string): number | null {
  const row = context.sql.streamId.get(stream) as unknown as [number] | undefined
  return row?.[0] ?? null
}

function readRules(context: Context, stream: string): StreamRules {
  // The metadata stream of a metadata stream does not exist; of its events only the newest counts.
  if (originalStreamOf(stream) !== null) return {maxCount: 1}
  const id = streamId(context, metadataStreamOf(stream))
  const row = id === null ? undefined : (context.sql.lastData.get(id) as unknown as [Uint8Array] | undefined)
  return row === undefined ? {} : parseRules(row[0])
}

function commit(context: Context, writes: readonly Write[]): ReturnType<Store['commit']> {
  const events: StoredEvent[] = []
  const before = context.lastPosition
  try {
    context.db.exec('BEGIN')
    const createdMs = context.nowMs()
    const outcomes = writes.map(write => applyWrite(context, write, createdMs, events))
    context.db.exec('COMMIT')
    return {outcomes, events}
  } catch (error) {
    context.lastPosition = before
    // What memory holds may be of the failed transaction: forget it and read it again from the log.
    context.states.clear()
    context.recent.clear()
    if (context.db.isTransaction) context.db.exec('ROLLBACK')
    rememberRecent(context)
    throw error
  }
}

function applyWrite(context: Context, write: Write, createdMs: number, stored: StoredEvent[]): WriteOutcome {
  const state = stateOf(context, write.stream)
  const original = originalStreamOf(write.stream)
  const originalState = original === null ? null : stateOf(context, original)
  // A tombstone takes the stream's metadata with it.
  if (originalState?.lastRevision === TOMBSTONE_REVISION) return {type: 'streamDeleted'}
  const verdict = decide(context, write, state)
  if (verdict.type !== 'write') return outcomeOf(verdict)

  const insert = (stream: string, events: readonly ProposedEvent[], revision?: number): StoredEvent => {
    const inserted = insertEvents(context, stream, events, createdMs, revision)
    stored.push(...inserted)
    const last = inserted.at(-1)
    if (last === undefined) throw new Error('an insert without events')
    return last
  }
  if (write.kind !== 'append') return applyDelete(write, state, insert)
  if (write.events.length === 0) {
    return {type: 'done', revision: state.lastRevision < 0 ? null : state.lastRevision, position: null}
  }
  const last = insert(write.stream, write.events)
  // Writing to a soft-deleted stream, or to its metadata, brings it back with the old events still hidden.
  if (isSoftDeleted(state.rules)) {
    const metadata = lastData(context, metadataStreamOf(write.stream))
    insert(metadataStreamOf(write.stream), [metadataEvent(undeleteMetadata(metadata, state.lastRevision + 1))])
  } else if (originalState !== null && isSoftDeleted(originalState.rules)) {
    const event = metadataEvent(undeleteMetadata(last.data, originalState.lastRevision + 1))
    insert(write.stream, [event])
  }
  return {type: 'done', revision: last.revision, position: last.position}
}

function applyDelete(
  {kind, stream}: DeleteWrite,
  {lastRevision}: StreamState,
  insert: (stream: string, events: readonly ProposedEvent[], revision?: number) => StoredEvent,
): WriteOutcome {
  if (kind === 'softDelete') {
    const {position} = insert(metadataStreamOf(stream), [metadataEvent(SOFT_DELETE_METADATA)])
    return {type: 'done', revision: lastRevision, position}
  }
  const event = {...metadataEvent(Buffer.alloc(0)), type: '$streamDeleted', isJson: false}
  const {revision, position} = insert(stream, [event], TOMBSTONE_REVISION)
  return {type: 'done', revision, position}
}

function lastData(context: Context, stream: string): Uint8Array | null {
  const {id} = stateOf(context, stream)
  const row = id === null ? undefined : (context.sql.lastData.get(id) as unknown as [Uint8Array] | undefined)
  return row?.[0] ?? null
}

function metadataEvent(data: Uint8Array): ProposedEvent {
  return {id: randomBytes(16), type: '$metadata', isJson: true, data, metadata: Buffer.alloc(0)}
}

function decide(context: Context, write: Write, state: StreamState): WriteVerdict {
  const hasMetadata = (): boolean => stateOf(context, metadataStreamOf(write.stream)).lastRevision >= 0
  if (write.kind !== 'append') return decideDelete(write.expected, state, hasMetadata)
  return decideAppend(write, {
    ...state,
    hasMetadata,
    recent: id => context.recent.find(id),
    idAt(revision) {
      const row = context.sql.idAt.get(state.id, revision) as unknown as [Uint8Array, number] | undefined
      return row === undefined ? null : {id: row[0], position: row[1]}
    },
  })
}

function outcomeOf(verdict: Exclude<WriteVerdict, {readonly type: 'write'}>): WriteOutcome {
  if (verdict.type !== 'repeat') return verdict
  return {type: 'done', revision: verdict.revision, position: verdict.position}
}

function insertEvents(
  context: Context,
  stream: string,
  events: readonly ProposedEvent[],
  createdMs: number,
  revision?: number,
): readonly StoredEvent[] {
  const state = stateOf(context, stream)
  const id = state.id ?? Number(context.sql.insertStream.run(stream).lastInsertRowid)
  let next = revision ?? state.lastRevision + 1
  const stored = events.map(event => {
    const position = ++context.lastPosition
    const json = event.isJson ? 1 : 0
    context.sql.insertEvent.run(
      ...([position, id, next, event.id, event.type, json, createdMs, event.data, event.metadata] as const),
    )
    context.recent.add(event.id, {stream, revision: next, position})
    // Pages of the table and of two indices are written beside the payload.
    context.bytesSinceCheckpoint += 2048 + event.data.length + event.metadata.length
    return {...event, stream, revision: next++, position, createdMs}
  })
  context.states.set(stream, {...state, id, lastRevision: next - 1})
  const original = originalStreamOf(stream)
  const last = stored.at(-1)
  if (original !== null && last !== undefined) {
    context.states.set(original, {...stateOf(context, original), rules: parseRules(last.data)})
  }
  return stored
}
