/** The tables of the log and the prepared statements over them. */
import type {DatabaseSync, SQLInputValue, StatementSync} from 'node:sqlite'

import {type StoredEvent, TOMBSTONE_REVISION} from './records.ts'

export const SCHEMA_VERSION = 1

/**
 * Positions are row ids, so that the log is stored and read in its own order. Names of streams are kept once: 10^7
 * events repeat them. The index on (stream, revision) serves stream reads and finds an event id for a repeat; event ids
 * need no index of their own.
 */
export const schema = `
  CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
  ) STRICT;
  CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    type TEXT NOT NULL,
    is_json INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    data BLOB NOT NULL,
    metadata BLOB NOT NULL,
    UNIQUE (stream, revision)
  ) STRICT;
  PRAGMA user_version = ${SCHEMA_VERSION};
`

/**
 * A removed event (scavenge.ts) leaves a row without id and contents: its position and its revision are never used
 * again, and a position without a row still means damage. No reader is shown such rows.
 */
const isRemoved = "event_id = x''"
const isThere = "e.event_id <> x''"

export interface Statements {
  readonly streamId: StatementSync
  readonly lastRevision: StatementSync
  readonly lastData: StatementSync
  readonly idAt: StatementSync
  readonly insertStream: StatementSync
  readonly insertEvent: StatementSync
  readonly lastPosition: StatementSync
  readonly recent: StatementSync
  readonly allForwards: StatementSync
  readonly allBackwards: StatementSync
  readonly streamForwards: StatementSync
  readonly streamBackwards: StatementSync
  readonly lastRevisionBefore: StatementSync
  readonly isRemovedAt: StatementSync
  readonly sizesOf: StatementSync
  readonly removeEvent: StatementSync
  readonly streamsAfter: StatementSync
}

const columns = (name: string): string =>
  `e.position, ${name}, e.revision, e.event_id, e.type, e.is_json, e.created_ms, e.data, e.metadata`
const allOf = `SELECT ${columns('s.name')} FROM events e JOIN streams s ON s.id = e.stream`
const streamOf = `SELECT ${columns('?')} FROM events e WHERE e.stream = ?`

export function prepareStatements(db: DatabaseSync): Statements {
  const prepare = (sql: string): StatementSync => {
    const statement = db.prepare(sql)
    statement.setReturnArrays(true)
    return statement
  }
  return {
    streamId: prepare('SELECT id FROM streams WHERE name = ?'),
    lastRevision: prepare('SELECT revision FROM events WHERE stream = ? ORDER BY revision DESC LIMIT 1'),
    lastData: prepare('SELECT data FROM events WHERE stream = ? ORDER BY revision DESC LIMIT 1'),
    idAt: prepare('SELECT event_id, position FROM events WHERE stream = ? AND revision = ?'),
    insertStream: prepare('INSERT INTO streams (name) VALUES (?)'),
    insertEvent: prepare('INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)'),
    lastPosition: prepare('SELECT max(position) FROM events'),
    recent: prepare(`SELECT e.event_id, s.name, e.revision, e.position
      FROM events e JOIN streams s ON s.id = e.stream WHERE ${isThere} ORDER BY e.position DESC LIMIT ? + 0`),
    allForwards: prepare(`${allOf} WHERE ${isThere} AND e.position > ? ORDER BY e.position LIMIT ? + 0`),
    allBackwards: prepare(`${allOf} WHERE ${isThere} AND e.position < ? ORDER BY e.position DESC LIMIT ? + 0`),
    // The first parameter of both is where the stream begins: there may be any number of removed events before it.
    streamForwards: prepare(`${streamOf} AND e.revision >= max(?, ?) ORDER BY e.revision LIMIT ? + 0`),
    streamBackwards: prepare(
      `${streamOf} AND e.revision >= ? AND e.revision <= ? ORDER BY e.revision DESC LIMIT ? + 0`,
    ),
    lastRevisionBefore: prepare(
      'SELECT revision FROM events WHERE stream = ? AND revision < ? ORDER BY revision DESC LIMIT 1',
    ),
    isRemovedAt: prepare(`SELECT ${isRemoved} FROM events WHERE stream = ? AND revision = ?`),
    sizesOf: prepare(`SELECT position, created_ms, length(data) + length(metadata)
      FROM events WHERE stream = ? AND revision BETWEEN ? AND ? ORDER BY revision LIMIT ? + 0`),
    removeEvent: prepare(`UPDATE events
      SET event_id = x'', type = '', is_json = 0, created_ms = 0, data = x'', metadata = x'' WHERE position = ?`),
    streamsAfter: prepare(`SELECT id, name,
      EXISTS (SELECT 1 FROM events WHERE stream = streams.id AND revision = ${TOMBSTONE_REVISION})
      FROM streams WHERE id > ? ORDER BY id LIMIT ? + 0`),
  }
}

/** How many events of the log were removed. */
export const countRemoved = `SELECT count(*) FROM events WHERE ${isRemoved}`

export type EventRow = [number, string, number, Uint8Array, string, number, number, Uint8Array, Uint8Array]

export function eventOfRow(row: EventRow): StoredEvent {
  const [position, stream, revision, id, type, isJson, createdMs, data, metadata] = row
  return {position, stream, revision, id, type, isJson: isJson === 1, createdMs, data, metadata}
}

/** The first row of a query, typed by the caller: its columns are those of the statement. */
export function firstRow<Row extends unknown[]>(
  statement: StatementSync,
  ...parameters: readonly SQLInputValue[]
): Row | undefined {
  return statement.get(...parameters) as unknown as Row | undefined
}
