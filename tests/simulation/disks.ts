import {DatabaseSync} from 'node:sqlite'
import {threadId} from 'node:worker_threads'

/** What is kept of read models over a crash: a database lives in memory as long as somebody has it open. */
export interface Disks {
  /** The name under which a program opens its database. */
  fileOf(disk: string): string
  close(): void
}

let runs = 0

export function createDisks(): Disks {
  const run = runs++
  const open = new Map<string, DatabaseSync>()
  return {
    fileOf(disk) {
      const file = `file:simulated-${threadId}-${run}-${disk}?mode=memory&cache=shared`
      if (!open.has(disk)) open.set(disk, new DatabaseSync(file))
      return file
    },
    close() {
      for (const database of open.values()) database.close()
    },
  }
}
