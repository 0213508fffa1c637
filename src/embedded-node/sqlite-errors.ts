/** What an error of SQLite means for a write. Source: sqlite.org/rescode.html. */
import type {WriteOutcome} from './records.ts'

const SQLITE_FULL = 13

/** A full disk refuses the write before it counts; after any other failure the log must be read again to know. */
export function diskFailure(
  error: unknown,
): Extract<WriteOutcome, {readonly type: 'diskFull'}> | Extract<WriteOutcome, {readonly type: 'failed'}> {
  const message = error instanceof Error ? error.message : String(error)
  const code = error instanceof Error && 'errcode' in error ? Number(error.errcode) & 0xff : 0
  return code === SQLITE_FULL ? {type: 'diskFull', message} : {type: 'failed', message}
}
