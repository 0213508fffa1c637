import type {DomainEvent} from '../../projections/projection.ts'

/** Folds the log by rules of its own and says where it breaks a promise. */
export interface Rule {
  /** One event, as it is written. */
  see(event: DomainEvent, stream: string, atMs: number): void
  /** What is overdue; `calmSinceMs`: since when the engine ran and the store answered. */
  look?(nowMs: number, calmSinceMs: number): void
}

export type Report = (violation: string) => void

/** How long the engine has for what it owes, once nothing is in its way. */
export const patienceMs = 60_000

export function isOverdue(dueMs: number, nowMs: number, calmSinceMs: number): boolean {
  return nowMs > Math.max(dueMs, calmSinceMs) + patienceMs
}
