import type {DatabaseSync} from 'node:sqlite'
import type {Position} from '../src/event-store/port.ts'
import type {StoredEvent} from '../src/kernel/messages.ts'
import {closeModelsFile, openModelsFile} from './models-file.ts'
import type {DomainEvent, Projection} from './projection.ts'

/** The file of read models and their checkpoints. Disposable: whatever is wrong with it, it is folded anew. */
export interface ReadModels {
  readonly db: DatabaseSync
  /** An event that was folded last: a log that does not hold it is another one. Null: none is known. */
  mark(): LogMark | null
  /**
   * Folds anew what belongs to another log, e.g. than one restored from an older copy: everything when `isMarked` says
   * that the log does not hold the mark, else what has come further than its `head`.
   */
  checkAgainst(head: Position | null, isMarked: boolean): void
  /** Where the subscription has to begin: the oldest checkpoint; null from the start of the log. */
  resumeAfter(): Position | null
  position(): bigint
  /**
   * Applies a batch and moves the checkpoints up to `considered`, all or nothing. Who reads through `db` sees it at once; it is
   * kept from the next `commit` on, before which a crash takes rows and checkpoints back together.
   */
  apply(batch: readonly StoredEvent<DomainEvent>[], considered: Position | null): void
  /** Keeps what was applied; by itself this happens after every few thousand events. */
  commit(): void
  /**
   * Why nothing of what was applied since the last commit is there any more, told once: the disk was full. Nothing is
   * wrong with the models, they stand where they were kept last, and what followed is to be applied again.
   */
  takeLoss(): Error | null
  halted(): readonly {readonly name: string; readonly reason: string}[]
  /** Stops every read model: none of them can take this event. */
  haltAll(error: Error): void
  close(): void
}

export interface LogMark {
  readonly stream: string
  readonly revision: bigint
  readonly id: string
}

interface Live {
  readonly projection: Projection
  readonly apply: (stored: StoredEvent<DomainEvent>) => void
  position: Position
  halted: Error | null
}

/** So many events go into one transaction at most: bounds what a crash makes fold again, and the write-ahead log. */
const uncommittedMax = 4000

const before: Position = {commit: -1n, prepare: -1n}

export function openReadModels(
  file: string,
  projections: readonly Projection[],
  onHalted: (name: string, error: Error) => void,
): ReadModels {
  const {db, prepared: live} = openModelsFile(file, opened => prepareAll(opened, projections))
  const statements = {
    begin: db.prepare('BEGIN'),
    commit: db.prepare('COMMIT'),
    rollback: db.prepare('ROLLBACK'),
    mark: db.prepare('SAVEPOINT batch'),
    keep: db.prepare('RELEASE batch'),
    takeBack: db.prepare('ROLLBACK TO batch'),
    checkpointAll: db.prepare(`
      UPDATE checkpoints SET commit_position = ?1, prepare_position = ?2 WHERE commit_position < ?1`),
    checkpointOne: db.prepare(`
      UPDATE checkpoints SET commit_position = ?1, prepare_position = ?2 WHERE commit_position < ?1 AND name = ?3`),
    rememberLog: db.prepare('INSERT OR REPLACE INTO log_mark VALUES (1, ?, ?, ?)'),
    distrust: db.prepare('UPDATE checkpoints SET version = -1 WHERE name = ?'),
  }

  const halt = (model: Live, error: Error): void => {
    model.halted = error
    onHalted(model.projection.name, error)
  }

  /** The event may be at fault or the rows: the next start folds this one anew and finds out. */
  const distrust = (model: Live, error: Error): void => {
    halt(model, error)
    try {
      statements.distrust.run(model.projection.name)
    } catch (unwritten) {
      onHalted(model.projection.name, unwritten as Error)
    }
  }

  let uncommitted = 0
  let loss: Error | null = null

  const commit = (): void => {
    uncommitted = 0
    if (!db.isTransaction) return
    try {
      statements.commit.run()
    } catch (error) {
      if (db.isTransaction) statements.rollback.run()
      lose(error as Error)
    }
  }

  /** The transaction is gone, with rows that the models have moved past: nothing they hold can be built upon. */
  const lose = (error: Error): void => {
    if (isFull(error)) return rewind(error)
    for (const model of live) if (model.halted === null) distrust(model, error)
  }

  const rewind = (error: Error): void => {
    loss = error
    uncommitted = 0
    for (const [index, model] of live.entries()) {
      if (model.halted === null) live[index] = prepare(db, model.projection)
    }
  }

  const applyTo = (models: readonly Live[], batch: readonly StoredEvent<DomainEvent>[], upTo: Position): void => {
    if (!db.isTransaction) statements.begin.run()
    statements.mark.run()
    try {
      for (const stored of batch) {
        for (const model of models) if (stored.commit > model.position.commit) model.apply(stored)
      }
      if (models.length === live.length) statements.checkpointAll.run(upTo.commit, upTo.prepare)
      else for (const {projection} of models) statements.checkpointOne.run(upTo.commit, upTo.prepare, projection.name)
      const last = batch.findLast(({stream}) => !mayVanish(stream))
      if (last !== undefined) statements.rememberLog.run(last.stream, last.revision, last.id)
      statements.keep.run()
    } catch (error) {
      // SQLite itself has rolled back everything after some errors, e.g. a full disk in most cases.
      if (isFull(error) && db.isTransaction) statements.rollback.run()
      if (!db.isTransaction) lose(error as Error)
      else {
        statements.takeBack.run()
        statements.keep.run()
      }
      throw error
    }
    uncommitted += batch.length
    for (const model of models) if (upTo.commit > model.position.commit) model.position = upTo
  }

  /** One of the batch cannot be taken by somebody: find out by whom, let the others go on. */
  const applyOneByOne = (batch: readonly StoredEvent<DomainEvent>[], upTo: Position): void => {
    for (const model of live) {
      for (const stored of batch) {
        if (model.halted !== null) break
        try {
          applyTo([model], [stored], {commit: stored.commit, prepare: stored.prepare})
        } catch (error) {
          // The disk is full now: all of them stand where they were kept last, and nobody is at fault.
          if (loss !== null) return
          distrust(model, error as Error)
        }
      }
      if (model.halted === null) applyTo([model], [], upTo)
    }
  }

  return {
    db,
    mark: () => markOf(db),
    checkAgainst(head, isMarked) {
      for (const [index, model] of live.entries()) {
        const isAhead = model.position.commit > (head?.commit ?? -1n)
        if (isAhead || !isMarked) live[index] = startOver(db, model.projection)
      }
      if (!isMarked) db.exec('DELETE FROM log_mark')
    },
    resumeAfter() {
      const oldest = live.reduce(
        (least, model) => (model.position.commit < least.commit ? model.position : least),
        live[0]?.position ?? before,
      )
      return oldest.commit < 0n ? null : oldest
    },
    position() {
      const moving = live.filter(model => model.halted === null)
      // A halted model moves no more; reads of the others must not wait for it.
      return leastOf(moving.length > 0 ? moving : live)
    },
    apply(batch, considered) {
      const last = batch.at(-1)
      const upTo = considered ?? (last === undefined ? null : {commit: last.commit, prepare: last.prepare})
      if (upTo === null) return
      try {
        applyTo(
          live.filter(model => model.halted === null),
          batch,
          upTo,
        )
      } catch {
        // The reason is found, reported and kept with the model that cannot take the event.
        if (loss === null) applyOneByOne(batch, upTo)
      }
      if (uncommitted >= uncommittedMax) commit()
    },
    commit,
    takeLoss() {
      const taken = loss
      loss = null
      return taken
    },
    halted: () =>
      live.flatMap(({projection, halted}) =>
        halted === null ? [] : [{name: projection.name, reason: halted.message}],
      ),
    haltAll(error) {
      for (const model of live) if (model.halted === null) halt(model, error)
    },
    close() {
      commit()
      closeModelsFile(file, db)
    },
  }
}

/** Old events of the lease may be taken out of the log: none of them can tell it from another. */
function mayVanish(stream: string): boolean {
  return stream.startsWith('lease-')
}

function markOf(db: DatabaseSync): LogMark | null {
  const select = db.prepare('SELECT stream, revision, event_id FROM log_mark')
  select.setReadBigInts(true)
  const row = select.get() as {stream: string; revision: bigint; event_id: string} | undefined
  return row === undefined ? null : {stream: row.stream, revision: row.revision, id: row.event_id}
}

const SQLITE_FULL = 13

/** Whether there was no room. Source: sqlite.org/rescode.html. */
function isFull(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === SQLITE_FULL
}

function prepareAll(db: DatabaseSync, projections: readonly Projection[]): Live[] {
  // The checkpoint of a read model that is no more must not grow: were it to come back, it would miss what was between.
  const names = JSON.stringify(projections.map(({name}) => name))
  db.prepare('DELETE FROM checkpoints WHERE name NOT IN (SELECT value FROM json_each(?))').run(names)
  return projections.map(projection => prepare(db, projection))
}

function prepare(db: DatabaseSync, projection: Projection): Live {
  const select = db.prepare('SELECT version, commit_position, prepare_position FROM checkpoints WHERE name = ?')
  select.setReadBigInts(true)
  const row = select.get(projection.name) as
    Record<'version' | 'commit_position' | 'prepare_position', bigint> | undefined
  if (row === undefined || Number(row.version) !== projection.version) return startOver(db, projection)
  const position = {commit: row.commit_position, prepare: row.prepare_position}
  return {projection, apply: projection.open(db), position, halted: null}
}

function startOver(db: DatabaseSync, projection: Projection): Live {
  const {name, version, tables, ddl} = projection
  // Without rows, the old checkpoint would be a lie: all or nothing.
  db.exec('BEGIN')
  try {
    for (const table of tables) db.exec(`DROP TABLE IF EXISTS ${table}`)
    db.exec(ddl)
    db.prepare('INSERT OR REPLACE INTO checkpoints VALUES (?, ?, -1, -1)').run(name, version)
    db.exec('COMMIT')
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
  return {projection, apply: projection.open(db), position: before, halted: null}
}

function leastOf(models: readonly Live[]): bigint {
  const positions = models.map(({position}) => position.commit)
  return positions.reduce((least, commit) => (commit < least ? commit : least), positions[0] ?? -1n)
}
