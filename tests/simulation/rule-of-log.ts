import type {DomainEvent} from '../../projections/projection.ts'
import type {Phase} from '../../src/drivers/simulated-machine.ts'
import type {PowerTimings} from '../../src/fleet/power.ts'
import type {LeaseEvent} from '../../src/processes/lease-events.ts'
export {overdueAt, type Report} from '../../src/verify/rule.ts'

/** What is asked of the world outside the log. */
export interface LogWorld {
  truth(machineId: string): Phase
  /** By the wall clock. */
  nowMs(): number
  /** Since the beginning, whatever the wall clock says. */
  elapsedMs(): number
  /** How long a lease lasts without being renewed; 0: nobody has to wait for it. */
  leaseTermMs(): number
  readonly timings: PowerTimings
}

/** Every event a simulation writes. */
export type Known = DomainEvent | LeaseEvent

/** When and by whom an event came about. */
export interface Origin {
  readonly stream: string
  /** By the clock of whoever decided it. */
  readonly decidedMs: number
  /** The user who asked for it; null: a process did. */
  readonly userId: string | null
}

/** Folds the log by rules of its own and says where a guard must have been missing. */
export interface LogRule {
  see(event: Known, origin: Origin): void
  /** See `Rule.look`. */
  look?(nowMs: number, calmSinceMs: number): number
}
