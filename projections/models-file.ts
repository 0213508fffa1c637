import {createHash} from 'node:crypto'
import {closeSync, existsSync, openSync, readFileSync, readSync, rmSync, writeFileSync} from 'node:fs'
import {DatabaseSync} from 'node:sqlite'

/**
 * Opens the file of the read models and lets `prepare` make of it what it needs. Whatever is wrong with the file, it is
 * thrown away and begun anew: everything in it follows from the log.
 */
export function openModelsFile<Prepared>(
  file: string,
  prepare: (db: DatabaseSync) => Prepared,
): {readonly db: DatabaseSync; readonly prepared: Prepared} {
  try {
    return openOnce(file, prepare)
  } catch (error) {
    if (file === ':memory:') throw error
    discardReadModels(file)
    return openOnce(file, prepare)
  }
}

/** Leaves the file as something to believe in, or not at all. */
export function closeModelsFile(file: string, db: DatabaseSync): void {
  if (file === ':memory:') {
    db.close()
    return
  }
  try {
    markClean(db)
    db.close()
    writeFileSync(file + digestSuffix, digestOf(file))
  } catch {
    if (db.isOpen) db.close()
    discardReadModels(file)
  }
}

/** Throws the rows of all read models away; the next start folds them anew. */
export function discardReadModels(file: string): void {
  for (const suffix of ['', '-wal', '-shm', digestSuffix]) rmSync(file + suffix, {force: true})
}

function openOnce<Prepared>(
  file: string,
  prepare: (db: DatabaseSync) => Prepared,
): {readonly db: DatabaseSync; readonly prepared: Prepared} {
  const db = openChecked(file)
  try {
    return {db, prepared: prepare(db)}
  } catch (error) {
    db.close()
    throw error
  }
}

function openChecked(file: string): DatabaseSync {
  if (file !== ':memory:') checkDigest(file)
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
  CREATE TABLE IF NOT EXISTS log_mark (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    stream TEXT NOT NULL,
    revision INTEGER NOT NULL,
    event_id TEXT NOT NULL
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

/** A file that was closed in order has its digest beside it: SQLite itself does not notice a changed letter in a row. */
const digestSuffix = '.sha256'

function digestOf(file: string): string {
  const hash = createHash('sha256')
  const chunk = Buffer.alloc(1 << 20)
  const handle = openSync(file, 'r')
  try {
    for (let read = readSync(handle, chunk); read > 0; read = readSync(handle, chunk))
      hash.update(chunk.subarray(0, read))
  } finally {
    closeSync(handle)
  }
  return hash.digest('hex')
}

/** Throws when the file is not what was closed in order; from here on it changes, and no digest speaks for it. */
function checkDigest(file: string): void {
  if (!existsSync(file + digestSuffix)) return
  const isWhole = existsSync(file) && readFileSync(file + digestSuffix, 'utf8') === digestOf(file)
  rmSync(file + digestSuffix)
  if (!isWhole) throw new Error('the read models were changed while nobody had them open')
}
