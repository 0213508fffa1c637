/**
 * The log: one SQLite file, written and read by one thread. A group of writes is decided and applied in one
 * transaction; when `commit` returns, the group is on the disk (WAL, synchronous=FULL: COMMIT returns after the fsync).
 */
import {randomBytes} from 'node:crypto'
import {mkdirSync, statSync} from 'node:fs'
import {join} from 'node:path'
import type {DatabaseSync} from 'node:sqlite'

import {type FolderLock, lockFolder} from './folder-lock.ts'
import {loadLog, type Log, stateOf, type StreamState} from './log.ts'
import {copyLog, LOG_FILE, openLogFile, type Storage, syncPath} from './log-file.ts'
import type {StoredEvent, Write} from './records.ts'
import {firstKept, limitedStreams, type RemovedBatch, removeHidden, type StreamsPage} from './scavenge.ts'
import {type EventRow, eventOfRow, SCHEMA_VERSION} from './schema.ts'
import {commit, type Committed} from './write-transaction.ts'

export interface Store {
  /** Decides and applies the writes in order, all in one transaction. Throws when SQLite fails; nothing is half-written. */
  commit(writes: readonly Write[]): Committed
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
  /** Removes a bounded number of a stream's events that nobody can read in it any more. Throws when SQLite fails. */
  removeHidden(stream: string): RemovedBatch
  /** All streams that may have such events, a bounded number at a time; the first page begins at 0. */
  limitedStreams(from: number): StreamsPage
  /** What was removed is in no file of the log any more when this answers true; false: try again. */
  emptyWriteAheadLog(): boolean
  /** How long the last COMMIT took: writing and syncing, nothing else. */
  lastCommitMs(): number
  sizes(): {readonly logBytes: number; readonly writeAheadBytes: number}
  /** Copies the log into a file while writes go on; resolves with all in it that was acknowledged before the call. */
  backUp(file: string, progress: (donePages: number, totalPages: number) => void): Promise<void>
  close(): void
}

export interface StoreOptions {
  /** Bounds the file, in pages of 4 KiB: the way to see a full disk without filling one. */
  readonly pagesMax?: number | undefined
  /** Default `durable`. */
  readonly storage?: Storage | undefined
  /** How much is written before it is moved into the main file; default 16 MiB. */
  readonly checkpointEveryBytes?: number | undefined
}

const CHECKPOINT_EVERY_BYTES = 16 * 1024 * 1024
/** A thousand subscriptions may each hold a page of it that their reader has not taken yet. */
const PAGE_BYTES = 512 * 1024

/**
 * Opens or creates the store of a folder and takes the folder's lock, which the operating system releases when the
 * process ends, however it ends.
 * @throws DataFolderInUse when another process has it; LogDamaged
 */
export function openStore(dataDir: string, nowMs: () => number, options: StoreOptions = {}): Store {
  const {pagesMax, storage = 'durable', checkpointEveryBytes = CHECKPOINT_EVERY_BYTES} = options
  mkdirSync(dataDir, {recursive: true})
  const lock = lockFolder(dataDir)
  const path = join(dataDir, LOG_FILE)
  let db: DatabaseSync | null = null
  try {
    db = openLogFile(path, storage)
    syncPath(dataDir)
    if (pagesMax !== undefined) db.exec(`PRAGMA max_page_count = ${pagesMax}`)
    const store = storeOver(loadLog(db, nowMs), lock, path, checkpointEveryBytes)
    if (store.lastPosition() === 0) store.commit([firstWrite()])
    return store
  } catch (error) {
    db?.close()
    lock.close()
    throw error
  }
}

/** A fresh log is never empty, as a real node's is not: clients may ask for the last event of $all. */
function firstWrite(): Write {
  const data = Buffer.from(JSON.stringify({schemaVersion: SCHEMA_VERSION}))
  const event = {id: randomBytes(16), type: '$node-created', isJson: true, data, metadata: Buffer.alloc(0)}
  return {kind: 'append', stream: '$node', expected: 'noStream', events: [event]}
}

function storeOver(log: Log, lock: FolderLock, path: string, checkpointEveryBytes: number): Store {
  const {db, sql} = log
  return {
    commit: writes => commit(log, writes),
    state: stream => stateOf(log, stream),
    readAll(direction, position, limit) {
      const statement = direction === 'forwards' ? sql.allForwards : sql.allBackwards
      return takeEvents(statement.iterate(position, limit))
    },
    readStream(stream, direction, revision, limit) {
      const {id, lastRevision} = stateOf(log, stream)
      if (id === null) return []
      const statement = direction === 'forwards' ? sql.streamForwards : sql.streamBackwards
      return takeEvents(statement.iterate(stream, id, firstKept(log, id, lastRevision), revision, limit))
    },
    lastPosition: () => log.lastPosition,
    checkpointIfDue() {
      if (log.bytesSinceCheckpoint < checkpointEveryBytes) return
      log.bytesSinceCheckpoint = 0
      db.exec('PRAGMA wal_checkpoint(PASSIVE)')
    },
    removeHidden: stream => removeHidden(log, stream),
    limitedStreams: from => limitedStreams(log, from),
    emptyWriteAheadLog() {
      log.bytesSinceCheckpoint = 0
      const result = db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()
      return result?.['busy'] === 0
    },
    lastCommitMs: () => log.lastCommitMs,
    sizes: () => ({logBytes: bytesOf(path), writeAheadBytes: bytesOf(`${path}-wal`)}),
    backUp: (file, progress) => copyLog(db, file, progress),
    close() {
      db.close()
      lock.close()
    },
  }
}

const bytesOf = (path: string): number => statSync(path, {throwIfNoEntry: false})?.size ?? 0

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
