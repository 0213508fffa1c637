/** The SQLite file of the log: how it is made, opened, checked and copied. */
import {closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, statSync} from 'node:fs'
import {dirname} from 'node:path'
import {backup, DatabaseSync} from 'node:sqlite'
import {setTimeout as after} from 'node:timers/promises'

import {DataFolderInUse, isBusy} from './folder-lock.ts'
import {countRemoved, schema, SCHEMA_VERSION} from './schema.ts'
import {diskFailure, hasNotBegun, isDamage} from './sqlite-errors.ts'
import {walDamage} from './wal-check.ts'

/** The file of the log in the folder of a node. */
export const LOG_FILE = 'events.sqlite'

/** The log cannot be trusted. Nothing was changed; the message says what to do. */
export class LogDamaged extends Error {
  override readonly name = 'LogDamaged'
  constructor(path: string, what: string, cause?: unknown) {
    super(
      `${path} is damaged: ${what}. Keep the folder as it is for an inquiry, and restore the newest backup into ` +
        'another one: npm run restore -- BACKUP --data NEW_FOLDER',
      {cause},
    )
  }
}

/**
 * `durable`: a write is on the disk when it is acknowledged. The others are for measuring what that costs and for
 * proving that it is so: `unsynced` never waits for the disk, `memory` has no file.
 */
export type Storage = 'durable' | 'unsynced' | 'memory'

/** @throws DataFolderInUse, LogDamaged, Error of another schema version */
export function openLogFile(path: string, storage: Storage): DatabaseSync {
  if (storage === 'memory') {
    const db = new DatabaseSync(':memory:')
    db.exec(schema)
    return db
  }
  try {
    return openExisting(path, storage)
  } catch (error) {
    if (isBusy(error)) throw new DataFolderInUse(`another process has ${path} open`)
    if (isDamage(error)) throw new LogDamaged(path, (error as Error).message, error)
    throw error
  }
}

function openExisting(path: string, storage: Storage): DatabaseSync {
  const walPath = `${path}-wal`
  if (!existsSync(path)) {
    if (existsSync(walPath)) throw new LogDamaged(path, 'the file is gone, and its write-ahead log is still there')
    create(path)
  }
  if (statSync(path).size === 0) throw new LogDamaged(path, 'the file is empty')
  const damage = walDamage(walPath)
  if (damage !== null) throw new LogDamaged(path, damage)
  const db = new DatabaseSync(path, {enableForeignKeyConstraints: false})
  try {
    // Nobody else opens the file, so that the index of the write-ahead log can live in memory.
    db.exec('PRAGMA locking_mode = EXCLUSIVE')
    db.exec('PRAGMA journal_mode = WAL')
    db.exec(`PRAGMA synchronous = ${storage === 'durable' ? 'FULL' : 'OFF'}`)
    // Checkpoints are run by hand: after the answers went out, and with their errors seen.
    db.exec('PRAGMA wal_autocheckpoint = 0')
    db.exec('PRAGMA cache_size = -65536')
    // What is removed is overwritten, not only forgotten.
    db.exec('PRAGMA secure_delete = ON')
    db.exec('BEGIN EXCLUSIVE')
    const version = numberOf(db, 'PRAGMA user_version')
    db.exec('ROLLBACK')
    if (version !== SCHEMA_VERSION) throw new Error(`${path} has schema version ${version}, not ${SCHEMA_VERSION}`)
    checkAtStart(db, path)
    emptyWal(db)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/** Under another name first: a file of the right name is then always whole, and an empty one is never taken for new. */
function create(path: string): void {
  const newPath = `${path}.new`
  for (const suffix of ['', '-journal', '-wal']) rmSync(newPath + suffix, {force: true})
  const db = new DatabaseSync(newPath)
  try {
    db.exec('PRAGMA synchronous = FULL')
    db.exec(`BEGIN; ${schema}; COMMIT`)
  } finally {
    db.close()
  }
  moveIntoPlace(newPath, path)
}

/** A file that was completely written and synced gets its name, for good when this returns. */
export function moveIntoPlace(from: string, to: string): void {
  syncPath(from)
  renameSync(from, to)
  syncPath(dirname(to))
}

/** Files and folders alike: the names of files must survive a power cut as surely as their contents. */
export function syncPath(path: string): void {
  const file = openSync(path, 'r')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** About 0.1 s on a slow disk. */
const FULLY_CHECKED_BYTES_MAX = 64 * 1024 * 1024
const SAMPLES = 256
const TAIL_EVENTS = 2000

/**
 * A small file is checked in full: its structure, and that no position is missing. A large one cannot be in bounded
 * time; of it the end is checked, where a torn write would be, and samples spread over all of it, each by way of the
 * table and of the index. `npm run backup` checks the whole of what it has copied.
 */
function checkAtStart(db: DatabaseSync, path: string): void {
  const bytes = numberOf(db, 'PRAGMA page_count') * numberOf(db, 'PRAGMA page_size')
  if (bytes <= FULLY_CHECKED_BYTES_MAX) return checkFully(db, path, 'quick_check')
  const last = numberOf(db, 'SELECT max(position) FROM events')
  const tail = numberOf(db, `SELECT count(*) FROM events WHERE position > ${last - TAIL_EVENTS}`)
  if (tail !== Math.min(TAIL_EVENTS, last)) throw new LogDamaged(path, `events are missing before position ${last}`)
  const byPosition = db.prepare('SELECT stream, revision, length(data) FROM events WHERE position = ?')
  const byRevision = db.prepare('SELECT position FROM events WHERE stream = ? AND revision = ?')
  for (const statement of [byPosition, byRevision]) statement.setReturnArrays(true)
  for (let sample = 0; sample <= SAMPLES; sample++) {
    const position = 1 + Math.floor(((last - 1) * sample) / SAMPLES)
    const row = byPosition.get(position) as unknown as [number, number] | undefined
    const found = row === undefined ? undefined : (byRevision.get(row[0], row[1]) as unknown as [number] | undefined)
    if (found?.[0] !== position) throw new LogDamaged(path, `the event at position ${position} is missing`)
  }
}

/** @throws LogDamaged */
function checkFully(db: DatabaseSync, path: string, how: 'quick_check' | 'integrity_check'): void {
  const result = db.prepare(`PRAGMA ${how}(1)`).get()?.[how]
  if (result !== 'ok') throw new LogDamaged(path, String(result))
  const count = numberOf(db, 'SELECT count(*) FROM events')
  const last = numberOf(db, 'SELECT coalesce(max(position), 0) FROM events')
  if (count !== last) throw new LogDamaged(path, `it holds ${count} events, and the last one is number ${last}`)
}

/**
 * Frames that a crash left behind the valid ones must not be there when the next crash comes: they would look like
 * damage. A full disk leaves the log as it is, which is as safe.
 */
function emptyWal(db: DatabaseSync): void {
  try {
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  } catch (error) {
    if (diskFailure(error).type !== 'diskFull') throw error
  }
}

function numberOf(db: DatabaseSync, sql: string): number {
  return Number(Object.values(db.prepare(sql).get() ?? {})[0])
}

/** What a complete check of a log found. */
export interface LogSummary {
  /** Without those that were removed. */
  readonly events: number
  readonly streams: number
  readonly lastPosition: number
  /** Of the last event, milliseconds since the Unix epoch; null in an empty log. */
  readonly lastCreatedMs: number | null
}

/**
 * Checks all of a file that no node has open, and makes it one file without a write-ahead log.
 * @throws LogDamaged, Error of another schema version
 */
export function verifyLogFile(path: string): LogSummary {
  try {
    const db = new DatabaseSync(path)
    try {
      const version = numberOf(db, 'PRAGMA user_version')
      if (version !== SCHEMA_VERSION) throw new Error(`${path} is no event log of schema version ${SCHEMA_VERSION}`)
      checkFully(db, path, 'integrity_check')
      db.exec('PRAGMA journal_mode = DELETE')
      const last = db.prepare('SELECT position, created_ms FROM events ORDER BY position DESC LIMIT 1').get()
      const position = Number(last?.['position'] ?? 0)
      const lastCreatedMs = last === undefined ? null : Number(last['created_ms'])
      const streams = numberOf(db, 'SELECT count(*) FROM streams')
      return {events: position - numberOf(db, countRemoved), streams, lastPosition: position, lastCreatedMs}
    } finally {
      db.close()
    }
  } catch (error) {
    if (isDamage(error)) throw new LogDamaged(path, (error as Error).message, error)
    throw error
  }
}

/** Pages of 4 KiB copied before writers get their turn. */
const BACKUP_STEP_PAGES = 256

const BACKUP_TRIES_MAX = 100
const BACKUP_PAUSE_MS = 10

/**
 * Copies the log as it is at the end of the copying; writes through the same `db` go on meanwhile. `pause` is waited
 * for between tries to begin; given only by tests.
 */
export async function copyLog(
  db: DatabaseSync,
  file: string,
  progress: (donePages: number, totalPages: number) => void,
  pause: () => Promise<void> = () => after(BACKUP_PAUSE_MS),
): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await backup(db, file, {
        rate: BACKUP_STEP_PAGES,
        progress: ({totalPages, remainingPages}) => progress(totalPages - remainingPages, totalPages),
      })
      return
    } catch (error) {
      if (!hasNotBegun(error)) throw error
      if (tries === BACKUP_TRIES_MAX) {
        throw new Error(`the log was being written to at each of ${tries} tries to copy it; try again`, {cause: error})
      }
      await pause()
    }
  }
}
