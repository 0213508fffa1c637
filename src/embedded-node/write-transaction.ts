/** One transaction: decides a group of writes in order and stores what may be stored. */
import {randomBytes} from 'node:crypto'

import {decideAppend, decideDelete, type WriteVerdict} from './expected-revision.ts'
import {lastData, type Log, reloadLog, stateOf, type StreamState} from './log.ts'
import {
  type DeleteWrite,
  type ProposedEvent,
  type StoredEvent,
  TOMBSTONE_REVISION,
  type Write,
  type WriteOutcome,
} from './records.ts'
import {firstRow} from './schema.ts'
import {
  isSoftDeleted,
  metadataStreamOf,
  originalStreamOf,
  parseRules,
  SOFT_DELETE_METADATA,
  undeleteMetadata,
} from './stream-rules.ts'

export interface Committed {
  /** One for each write, in their order. */
  readonly outcomes: readonly WriteOutcome[]
  readonly events: readonly StoredEvent[]
}

/** Throws when SQLite fails; what memory holds is as before then, and so is the file unless its disk failed. */
export function commit(log: Log, writes: readonly Write[]): Committed {
  const events: StoredEvent[] = []
  const before = log.lastPosition
  try {
    log.db.exec('BEGIN')
    const createdMs = log.nowMs()
    const outcomes = writes.map(write => applyWrite(log, write, createdMs, events))
    const begunMs = performance.now()
    log.db.exec('COMMIT')
    log.lastCommitMs = performance.now() - begunMs
    return {outcomes, events}
  } catch (error) {
    if (log.db.isTransaction) log.db.exec('ROLLBACK')
    reloadLog(log, before)
    throw error
  }
}

function applyWrite(log: Log, write: Write, createdMs: number, stored: StoredEvent[]): WriteOutcome {
  const state = stateOf(log, write.stream)
  const original = originalStreamOf(write.stream)
  const originalState = original === null ? null : stateOf(log, original)
  // A tombstone takes the stream's metadata with it.
  if (originalState?.lastRevision === TOMBSTONE_REVISION) return {type: 'streamDeleted'}
  const verdict = decide(log, write, state)
  if (verdict.type !== 'write') return outcomeOf(verdict)

  const insert = (stream: string, events: readonly ProposedEvent[], revision?: number): StoredEvent => {
    const inserted = insertEvents(log, stream, events, createdMs, revision)
    for (const event of inserted) stored.push(event)
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
    const metadata = lastData(log, metadataStreamOf(write.stream))
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

function metadataEvent(data: Uint8Array): ProposedEvent {
  return {id: randomBytes(16), type: '$metadata', isJson: true, data, metadata: Buffer.alloc(0)}
}

function decide(log: Log, write: Write, state: StreamState): WriteVerdict {
  const hasMetadata = (): boolean => stateOf(log, metadataStreamOf(write.stream)).lastRevision >= 0
  if (write.kind !== 'append') return decideDelete(write, state, hasMetadata)
  return decideAppend(write, {
    ...state,
    hasMetadata,
    recent: id => log.recent.find(id),
    idAt(revision) {
      const row = firstRow<[Uint8Array, number]>(log.sql.idAt, state.id, revision)
      return row === undefined ? null : {id: row[0], position: row[1]}
    },
  })
}

function outcomeOf(verdict: Exclude<WriteVerdict, {readonly type: 'write'}>): WriteOutcome {
  if (verdict.type !== 'repeat') return verdict
  return {type: 'done', revision: verdict.revision, position: verdict.position}
}

function insertEvents(
  log: Log,
  stream: string,
  events: readonly ProposedEvent[],
  createdMs: number,
  revision?: number,
): readonly StoredEvent[] {
  const state = stateOf(log, stream)
  const id = state.id ?? Number(log.sql.insertStream.run(stream).lastInsertRowid)
  let next = revision ?? state.lastRevision + 1
  const stored = events.map(event => {
    const position = ++log.lastPosition
    const json = event.isJson ? 1 : 0
    log.sql.insertEvent.run(
      ...([position, id, next, event.id, event.type, json, createdMs, event.data, event.metadata] as const),
    )
    log.recent.add(event.id, {stream, revision: next, position})
    // Pages of the table and of two indices are written beside the payload.
    log.bytesSinceCheckpoint += 2048 + event.data.length + event.metadata.length
    return {...event, stream, revision: next++, position, createdMs}
  })
  log.states.set(stream, {...state, id, lastRevision: next - 1})
  const original = originalStreamOf(stream)
  const last = stored.at(-1)
  if (original !== null && last !== undefined) {
    log.states.set(original, {...stateOf(log, original), rules: parseRules(last.data)})
  }
  return stored
}
