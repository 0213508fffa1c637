import {rmSync} from 'node:fs'
import {DatabaseSync} from 'node:sqlite'
import type {Position} from '../src/event-store/port.ts'
import type {StoredEvent} from '../src/kernel/messages.ts'
import type {DomainEvent, Projection} from './projection.ts'

/** The file of read models and their checkpoints. Disposable: whatever is wrong with it, it is folded anew. */
export interface ReadModels {
  readonly db: DatabaseSync
  /** Folds anew what belongs to another log than the one that ends at `head`, e.g. one restored from an older copy. */
  checkAgainst(head: Position | null): void
  /** Where the subscription has to begin: the oldest checkpoint; null from the start of the log. */
  resumeAfter(): Position | null
  position(): bigint
  /** Applies a batch and moves the checkpoints up to `considered`, all in one transaction. */
  apply(batch: readonly StoredEvent<DomainEvent>[], considered: Position | null): void
  halted(): readonly {readonly name: string; readonly reason: string}[]
  /** Stops every read model: none of them can take this event. */
  haltAll(error: Error): void
  close(): void
}

interface Live {
  readonly projection: Projection
  readonly apply: (stored: StoredEvent<DomainEvent>) => void
  position: Position
  halted: Error | null
}

const before: Position = {commit: -1n, prepare: -1n}

export function openReadModels(
  file: string,
  projections: readonly Projection[],
  onHalted: (name: string, error: Error) => void,
): ReadModels {
  const db = openFile(file)
  const live = projections.map(projection => prepare(db, projection))
  const statements = {
    begin: db.prepare('BEGIN'),
    commit: db.prepare('COMMIT'),
    rollback: db.prepare('ROLLBACK'),
    checkpoint: db.prepare('UPDATE checkpoints SET commit_position = ?, prepare_position = ? WHERE name = ?'),
  }

  const halt = (model: Live, error: Error): void => {
    model.halted = error
    onHalted(model.projection.name, error)
  }

  const applyTo = (models: readonly Live[], batch: readonly StoredEvent<DomainEvent>[], upTo: Position): void => {
    statements.begin.run()
    try {
      for (const stored of batch) {
        for (const model of models) if (stored.commit > model.position.commit) model.apply(stored)
      }
      for (const model of models) {
        if (upTo.commit > model.position.commit) {
          statements.checkpoint.run(upTo.commit, upTo.prepare, model.projection.name)
        }
      }
      statements.commit.run()
    } catch (error) {
      statements.rollback.run()
      throw error
    }
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
          halt(model, error as Error)
        }
      }
      if (model.halted === null) applyTo([model], [], upTo)
    }
  }

  return {
    db,
    checkAgainst(head) {
      for (const [index, model] of live.entries()) {
        if (model.position.commit > (head?.commit ?? -1n)) live[index] = startOver(db, model.projection)
      }
    },
    resumeAfter() {
      const oldest = live.reduce(
        (least, model) => (model.position.commit < least.commit ? model.position : least),
        live[0]?.position ?? before,
      )
      return oldest.commit < 0n ? null : oldest
    },
    // A halted model moves no more; reads of the others must not wait for it.
    position: () =>
      live
        .filter(model => model.halted === null)
        .reduce(
          (least, model) => (least === null || model.position.commit < least ? model.position.commit : least),
          null as bigint | null,
        ) ?? -1n,
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
        applyOneByOne(batch, upTo)
      }
    },
    halted: () =>
      live.flatMap(({projection, halted}) =>
        halted === null ? [] : [{name: projection.name, reason: halted.message}],
      ),
    haltAll(error) {
      for (const model of live) if (model.halted === null) halt(model, error)
    },
    close: () => db.close(),
  }
}

/** Throws the rows of all read models away; the next start folds them anew. */
export function discardReadModels(file: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, {force: true})
}

function openFile(file: string): DatabaseSync {
  try {
    return openChecked(file)
  } catch (error) {
    if (file === ':memory:') throw error
    // Damaged: everything in it follows from the log.
    discardReadModels(file)
    return openChecked(file)
  }
}

function openChecked(file: string): DatabaseSync {
  const db = new DatabaseSync(file)
  try {
    // Rows and checkpoint go together or not at all; losing the last of both costs folding a few events again.
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;')
    const check = db.prepare('PRAGMA quick_check(1)').get()
    if (check?.['quick_check'] !== 'ok') throw new Error('the read models are damaged')
    db.exec(`
      CREATE TABLE IF NOT EXISTS checkpoints (
        name TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        commit_position INTEGER NOT NULL,
        prepare_position INTEGER NOT NULL
      ) STRICT`)
    return db
  } catch (error) {
    db.close()
    throw error
  }
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
  for (const table of tables) db.exec(`DROP TABLE IF EXISTS ${table}`)
  db.exec(ddl)
  db.prepare('INSERT OR REPLACE INTO checkpoints VALUES (?, ?, -1, -1)').run(name, version)
  return {projection, apply: projection.open(db), position: before, halted: null}
}
