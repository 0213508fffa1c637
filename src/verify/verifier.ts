import type {DomainEvent} from '../../projections/projection.ts'
import type {RecordedEvent} from '../event-store/port.ts'
import type {Registry} from '../event-store/registry.ts'
import type {StoredEvent} from '../kernel/messages.ts'
import {checkAccounts} from './check-accounts.ts'
import {checkBookings} from './check-bookings.ts'
import {checkCalendar} from './check-calendar.ts'
import {checkOrder} from './check-order.ts'
import {checkPayments} from './check-payments.ts'
import {patienceMs, type Rule} from './rule.ts'

export interface Violation {
  readonly stream: string
  readonly revision: bigint
  /** Commit position in the log. */
  readonly position: bigint
  readonly what: string
}

/**
 * Holds the events of a log, given in order, against the invariants that the log alone can tell of: no two allocations
 * overlap (1), every account adds up (2), one payment is one credit (3), every hold ends (4), and what was written is
 * there once, without gaps, and can be read (6).
 */
export interface Verifier {
  /** Answers the event as the program reads it; null when it is the store's own or cannot be read. */
  see(recorded: RecordedEvent): StoredEvent<DomainEvent> | null
  /** Looks at what is still owed at the end of the log. */
  end(): void
}

export function createVerifier(registry: Registry, report: (violation: Violation) => void): Verifier {
  let current: RecordedEvent | null = null
  const reportAt = ({stream, revision, position}: RecordedEvent, what: string): void =>
    report({stream, revision, position: position.commit, what})
  const reportHere = (what: string): void => {
    if (current !== null) reportAt(current, what)
  }
  const order = checkOrder(reportHere)
  const rules: readonly Rule[] = [
    checkCalendar(reportHere),
    checkAccounts(reportHere),
    checkPayments(reportHere),
    checkBookings(reportHere),
  ]
  const calm = createCalm()
  let lookAgainMs = 0

  const look = (nowMs: number): void => {
    if (nowMs < lookAgainMs) return
    lookAgainMs = Math.min(...rules.map(rule => rule.look?.(nowMs, calm.sinceMs()) ?? Infinity))
  }

  return {
    see(recorded) {
      current = recorded
      order.see(recorded)
      if (recorded.type.startsWith('$') || recorded.stream.startsWith('$')) return null
      const stored = read(registry, recorded)
      if (stored instanceof Error) {
        reportHere(stored.message)
        return null
      }
      const atMs = originalMsOf(recorded)
      calm.see(recorded.type, atMs)
      look(atMs)
      for (const rule of rules) rule.see(stored.event, recorded.stream, atMs, stored.metadata.at)
      // Something new may be owed sooner than what was.
      lookAgainMs = Math.min(lookAgainMs, atMs + patienceMs)
      return stored
    },
    end() {
      lookAgainMs = -Infinity
      if (current !== null) look(originalMsOf(current))
      for (const {at, what} of order.end()) reportAt(at, what)
    },
  }
}

function read(registry: Registry, recorded: RecordedEvent): StoredEvent<DomainEvent> | Error {
  try {
    return registry.fromStored(recorded) as StoredEvent<DomainEvent>
  } catch (error) {
    return error as Error
  }
}

/** When it was first recorded, in whatever store: a copy of a store keeps that beside its events. */
function originalMsOf({metadata, recordedAtMs}: RecordedEvent): number {
  const {$copy} = (metadata ?? {}) as {readonly $copy?: {readonly created?: unknown}}
  return typeof $copy?.created === 'string' ? Date.parse($copy.created) : recordedAtMs
}

/**
 * Since when the engine was surely at work. A log does not say when a program was away, so that after a minute without
 * events the time begins anew: what is owed is overdue once a minute of activity has passed over it.
 */
function createCalm() {
  let sinceMs = Infinity
  let lastMs = -Infinity
  return {
    see(type: string, atMs: number): void {
      if (type === 'LeaseReleased') sinceMs = Infinity
      else if (type === 'LeaseTaken') sinceMs = atMs
      else if (Number.isFinite(sinceMs) && atMs - lastMs > patienceMs) sinceMs = atMs
      lastMs = atMs
    },
    sinceMs: () => sinceMs,
  }
}
