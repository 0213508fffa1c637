/**
 * One node per data folder. The lock is SQLite's lock on a file of its own, that is a lock of the operating system: it
 * ends with the process, however that ends, and can never be stale.
 */
import {join} from 'node:path'
import {DatabaseSync} from 'node:sqlite'

/** Another node, of this process or of another, works in the folder. */
export class DataFolderInUse extends Error {
  override readonly name = 'DataFolderInUse'
}

export interface FolderLock {
  close(): void
}

const FILE_NAME = 'node.lock'
/** Long enough for a killed predecessor to be cleared away. */
const WAIT_MS = 500

/** @throws DataFolderInUse */
export function lockFolder(dataDir: string): FolderLock {
  const lock = new DatabaseSync(join(dataDir, FILE_NAME), {timeout: WAIT_MS})
  try {
    // Never ended: the transaction is the lock. Of two that begin at once, one waits until the other has it.
    lock.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    lock.close()
    if (isBusy(error)) throw new DataFolderInUse(`another process works in ${dataDir}`)
    throw error
  }
  return lock
}

/** SQLITE_BUSY or SQLITE_LOCKED; source: sqlite.org/rescode.html. */
export function isBusy(error: unknown): boolean {
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0
  return code === 5 || code === 6
}
