import type {DatabaseSync} from 'node:sqlite'
import type {Draw} from '../src/account/events.ts'
import type {Instant} from '../src/kernel/time.ts'
import type {Projection} from './projection.ts'

/** Every account's grants, and its ledger: one line for each movement of minutes. */
export const balances: Projection = {
  name: 'balances',
  version: 1,
  tables: ['grants', 'ledger'],
  ddl: `
    CREATE TABLE grants (
      user_id TEXT NOT NULL,
      grant_id TEXT NOT NULL,
      minutes INTEGER NOT NULL,
      available INTEGER NOT NULL,
      held INTEGER NOT NULL DEFAULT 0,
      captured INTEGER NOT NULL DEFAULT 0,
      expired INTEGER NOT NULL DEFAULT 0,
      effective_at TEXT NOT NULL,
      expires_at TEXT,
      PRIMARY KEY (user_id, grant_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE ledger (
      user_id TEXT NOT NULL,
      revision INTEGER NOT NULL,
      kind TEXT NOT NULL,
      minutes INTEGER NOT NULL,
      booking_id TEXT,
      grant_id TEXT,
      at TEXT NOT NULL,
      available_after INTEGER NOT NULL,
      held_after INTEGER NOT NULL,
      PRIMARY KEY (user_id, revision)
    ) STRICT;
  `,
  open(db) {
    const grant = db.prepare(`
      INSERT INTO grants (user_id, grant_id, minutes, available, effective_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)`)
    const move = db.prepare(`
      UPDATE grants SET available = available + ?, held = held + ?, captured = captured + ?, expired = expired + ?
      WHERE user_id = ? AND grant_id = ?`)
    const last = db.prepare(`
      SELECT available_after, held_after FROM ledger WHERE user_id = ? ORDER BY revision DESC LIMIT 1`)
    const write = db.prepare('INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)')

    return ({event, stream, revision, metadata}) => {
      const userId = stream.slice(stream.indexOf('-') + 1)
      const line = (
        kind: LedgerKind,
        minutes: number,
        change: {available: number; held: number},
        ref: {bookingId?: string; grantId?: string},
      ): void => {
        const before = last.get(userId) as {available_after: number; held_after: number} | undefined
        const available = (before?.available_after ?? 0) + change.available
        const held = (before?.held_after ?? 0) + change.held
        const {bookingId = null, grantId = null} = ref
        write.run(userId, Number(revision), kind, minutes, bookingId, grantId, metadata.at, available, held)
      }
      const moveAll = (draws: readonly Draw[], available: number, held: number, captured: number): void => {
        for (const {grantId, minutes} of draws) {
          move.run(minutes * available, minutes * held, minutes * captured, 0, userId, grantId)
        }
      }
      switch (event.type) {
        case 'HoursGranted': {
          const {grantId, minutes, effectiveAt, expiresAt} = event.data
          grant.run(userId, grantId, minutes, minutes, effectiveAt, expiresAt)
          line('granted', minutes, {available: minutes, held: 0}, {grantId})
          return
        }
        case 'HoursHeld': {
          const {draws, minutes, bookingId} = event.data
          moveAll(draws, -1, 1, 0)
          line('held', minutes, {available: -minutes, held: minutes}, {bookingId})
          return
        }
        case 'HoursCaptured': {
          const {draws, minutes, bookingId} = event.data
          moveAll(draws, 0, -1, 1)
          line('captured', minutes, {available: 0, held: -minutes}, {bookingId})
          return
        }
        case 'HoursReleased':
        case 'HoursCompensated': {
          const {draws, minutes, bookingId} = event.data
          moveAll(draws, 1, -1, 0)
          const kind = event.type === 'HoursReleased' ? 'released' : 'compensated'
          line(kind, minutes, {available: minutes, held: -minutes}, {bookingId})
          return
        }
        case 'HoursExpired': {
          const {grantId, minutes} = event.data
          move.run(-minutes, 0, 0, minutes, userId, grantId)
          line('expired', minutes, {available: -minutes, held: 0}, {grantId})
          return
        }
        default:
      }
    }
  },
}

export type LedgerKind = 'granted' | 'held' | 'captured' | 'released' | 'compensated' | 'expired'

export interface LedgerRow {
  readonly user_id: string
  /** Number of the event in the account's stream; the line's place in the ledger. */
  readonly revision: number
  readonly kind: LedgerKind
  readonly minutes: number
  readonly booking_id: string | null
  readonly grant_id: string | null
  readonly at: string
  readonly available_after: number
  readonly held_after: number
}

export interface Balance {
  readonly availableMinutes: number
  readonly heldMinutes: number
}

export interface BalanceQueries {
  /** What can be held at `now`: a grant whose time is over counts no more, written off or not. */
  balance(userId: string, now: Instant): Balance
  /** Newest first; lines before `beforeRevision` (null: from the newest), at most `limit`. */
  ledger(userId: string, beforeRevision: number | null, limit: number): readonly LedgerRow[]
}

export function balanceQueries(db: DatabaseSync): BalanceQueries {
  const sums = db.prepare(`
    SELECT coalesce(sum(CASE WHEN effective_at <= ?2 AND (expires_at IS NULL OR expires_at > ?2)
        THEN available ELSE 0 END), 0) AS available, coalesce(sum(held), 0) AS held
    FROM grants WHERE user_id = ?1`)
  const lines = db.prepare(`
    SELECT * FROM ledger WHERE user_id = ? AND revision < ? ORDER BY revision DESC LIMIT ? + 0`)
  return {
    balance(userId, now) {
      const {available, held} = sums.get(userId, now) as {available: number; held: number}
      return {availableMinutes: available, heldMinutes: held}
    },
    ledger: (userId, beforeRevision, limit) =>
      lines.all(userId, beforeRevision ?? Number.MAX_SAFE_INTEGER, limit) as unknown as LedgerRow[],
  }
}
