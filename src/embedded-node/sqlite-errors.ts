/** What an error of SQLite means. Source: sqlite.org/rescode.html. */
import type {WriteOutcome} from './records.ts'

const SQLITE_CORRUPT = 11
const SQLITE_FULL = 13
const SQLITE_NOTADB = 26

const codeOf = (error: unknown): number =>
  error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0

/** A full disk refuses the write before it counts; after any other failure the log must be read again to know. */
export function diskFailure(
  error: unknown,
): Extract<WriteOutcome, {readonly type: 'diskFull'}> | Extract<WriteOutcome, {readonly type: 'failed'}> {
  const message = error instanceof Error ? error.message : String(error)
  return codeOf(error) === SQLITE_FULL ? {type: 'diskFull', message} : {type: 'failed', message}
}

/** The file is not what SQLite wrote. */
export const isDamage = (error: unknown): boolean => [SQLITE_CORRUPT, SQLITE_NOTADB].includes(codeOf(error))

/**
 * A backup met a write transaction at its first step, with nothing copied yet. At a later step Node tries again by
 * itself; at the first one, nothing being left to copy, it takes the backup for ended and reports "not an error".
 * Source: `BackupJob::AfterThreadPoolWork` in Node's node_sqlite.cc.
 */
export const hasNotBegun = (error: unknown): boolean =>
  error instanceof Error && 'errcode' in error && error.errcode === 0
