import {readFileSync, rmSync} from 'node:fs'
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
  const {db, live} = openOrDiscard(file, projections)
  const statements = {
    begin: db.prepare('BEGIN'),
    commit: db.prepare('COMMIT'),
    rollback: db.prepare('ROLLBACK'),
    checkpointAll: db.prepare(`
      UPDATE checkpoints SET commit_position = ?1, prepare_position = ?2 WHERE commit_position < ?1`),
    checkpointOne: db.prepare(`
      UPDATE checkpoints SET commit_position = ?1, prepare_position = ?2 WHERE commit_position < ?1 AND name = ?3`),
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

  const applyTo = (models: readonly Live[], batch: readonly StoredEvent<DomainEvent>[], upTo: Position): void => {
    statements.begin.run()
    try {
      for (const stored of batch) {
        for (const model of models) if (stored.commit > model.position.commit) model.apply(stored)
      }
      if (models.length === live.length) statements.checkpointAll.run(upTo.commit, upTo.prepare)
      else for (const {projection} of models) statements.checkpointOne.run(upTo.commit, upTo.prepare, projection.name)
      statements.commit.run()
    } catch (error) {
      // SQLite itself has rolled back after some errors, e.g. a full disk.
      if (db.isTransaction) statements.rollback.run()
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
          distrust(model, error as Error)
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
    close() {
      if (file === ':memory:') return db.close()
      try {
        markClean(db)
      } catch {
        // It cannot be left as something to believe in.
        db.close()
        return discardReadModels(file)
      }
      db.close()
    },
  }
}

/** Throws the rows of all read models away; the next start folds them anew. */
export function discardReadModels(file: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, {force: true})
}

interface Opened {
  readonly db: DatabaseSync
  readonly live: Live[]
}

/** Whatever is wrong with the file, everything in it follows from the log. */
function openOrDiscard(file: string, projections: readonly Projection[]): Opened {
  try {
    return open(file, projections)
  } catch (error) {
    if (file === ':memory:') throw error
    discardReadModels(file)
    return open(file, projections)
  }
}

function open(file: string, projections: readonly Projection[]): Opened {
  const db = openChecked(file)
  try {
    // The checkpoint of a read model that is no more must not grow: were it to come back, it would miss what was between.
    const names = JSON.stringify(projections.map(({name}) => name))
    db.prepare('DELETE FROM checkpoints WHERE name NOT IN (SELECT value FROM json_each(?))').run(names)
    return {db, live: projections.map(projection => prepare(db, projection))}
  } catch (error) {
    db.close()
    throw error
  }
}

function openChecked(file: string): DatabaseSync {
  const db = new DatabaseSync(file)
  try {
    db.exec('PRAGMA journal_mode = WAL; PRAGMA temp_store = MEMORY; PRAGMA synchronous = FULL;')
    const check = db.prepare('PRAGMA quick_check(1)').get()
    if (check?.['quick_check'] !== 'ok') throw new Error('the read models are damaged')
    db.exec(tables)
    if (file !== ':memory:') markInUse(db)
    // Nothing waits for the disk from here on: what a dead process wrote, the kernel still has. Pages stay in memory
    // and move from the log to the file in larger lots than SQLite's small defaults.
    db.exec('PRAGMA synchronous = OFF; PRAGMA cache_size = -65536; PRAGMA wal_autocheckpoint = 8000;')
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

const tables = `
  CREATE TABLE IF NOT EXISTS checkpoints (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    commit_position INTEGER NOT NULL,
    prepare_position INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS usage (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    boot_id TEXT NOT NULL,
    is_clean INTEGER NOT NULL
  ) STRICT;
`

/**
 * Writes without fsync survive the end of the process but not that of the machine, and half of them on the disk could
 * look whole. So the file says under which boot of the machine it is being written: one that was left in use under
 * another boot is not believed.
 */
function markInUse(db: DatabaseSync): void {
  const bootId = currentBootId()
  const left = db.prepare('SELECT boot_id, is_clean FROM usage').get()
  if (left?.['is_clean'] === 0 && (bootId === null || left['boot_id'] !== bootId)) {
    throw new Error('the machine stopped while the read models were written')
  }
  db.prepare('INSERT OR REPLACE INTO usage VALUES (1, ?, 0)').run(bootId ?? '')
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
}

function markClean(db: DatabaseSync): void {
  db.exec('PRAGMA synchronous = FULL; PRAGMA wal_checkpoint(TRUNCATE); UPDATE usage SET is_clean = 1;')
}

/** Linux tells the boots of a machine apart; null elsewhere, where only a clean file is believed. */
function currentBootId(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return null
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
