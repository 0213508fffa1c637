import type {DomainEvent} from '../../projections/projection.ts'

/** Folds the log by rules of its own and says where it breaks a promise. */
export interface Rule {
  /** One event, when it is written; `decidedAt`: when somebody decided on it, before the clock was set perhaps. */
  see(event: DomainEvent, stream: string, atMs: number, decidedAt: string): void
  /**
   * Reports what is overdue and answers when the next thing will be (Infinity: nothing is owed).
   * `calmSinceMs`: since when the engine ran, the store answered and the clock went on; Infinity: it does not.
   */
  look?(nowMs: number, calmSinceMs: number): number
}

export type Report = (violation: string) => void

/** How long the engine has for what it owes, once nothing is in its way. */
export const patienceMs = 60_000

/** When something that was due is overdue. */
export function overdueAt(dueMs: number, calmSinceMs: number): number {
  return Math.max(dueMs, calmSinceMs) + patienceMs
}
