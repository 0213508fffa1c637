/**
 * The log: one SQLite file, written and read by one thread. A group of writes is decided and applied in one
 * transaction; when `commit` returns, the group is on the disk (WAL, synchronous=FULL: COMMIT returns after the fsync).
 */
import {randomBytes} from 'node:crypto'
import {closeSync, fsyncSync, mkdirSync, openSync} from 'node:fs'
import {join} from 'node:path'
import {DatabaseSync} from 'node:sqlite'

import {DataFolderInUse, type FolderLock, isBusy, lockFolder} from './folder-lock.ts'
import {loadLog, type Log, stateOf, type StreamState} from './log.ts'
import type {StoredEvent, Write} from './records.ts'
import {type EventRow, eventOfRow, schema, SCHEMA_VERSION} from './schema.ts'
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
  close(): void
}

const FILE_NAME = 'events.sqlite'
const CHECKPOINT_EVERY_BYTES = 16 * 1024 * 1024
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
  let db: DatabaseSync | null = null
  try {
    db = openDatabase(join(dataDir, FILE_NAME))
    syncFolder(dataDir)
    if (pagesMax !== undefined) db.exec(`PRAGMA max_page_count = ${pagesMax}`)
    const store = storeOver(loadLog(db, nowMs), lock)
    if (store.lastPosition() === 0) store.commit([firstWrite()])
    return store
  } catch (error) {
    db?.close()
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

function storeOver(log: Log, lock: FolderLock): Store {
  const {db, sql} = log
  return {
    commit: writes => commit(log, writes),
    state: stream => stateOf(log, stream),
    readAll(direction, position, limit) {
      const statement = direction === 'forwards' ? sql.allForwards : sql.allBackwards
      return takeEvents(statement.iterate(position, limit))
    },
    readStream(stream, direction, revision, limit) {
      const {id} = stateOf(log, stream)
      if (id === null) return []
      const statement = direction === 'forwards' ? sql.streamForwards : sql.streamBackwards
      return takeEvents(statement.iterate(stream, id, revision, limit))
    },
    lastPosition: () => log.lastPosition,
    checkpointIfDue() {
      if (log.bytesSinceCheckpoint < CHECKPOINT_EVERY_BYTES) return
      log.bytesSinceCheckpoint = 0
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
