import type {RecordedEvent} from '../../src/event-store/port.ts'
import type {DomainEvent} from '../../projections/projection.ts'
import {checkAccounts} from './check-accounts.ts'
import {checkBookings} from './check-bookings.ts'
import {checkCalendar, type Cover} from './check-calendar.ts'
import {checkPayments} from './check-payments.ts'
import type {Report, Rule} from './rule.ts'

/** All rules over one log. */
export interface Checker extends Cover {
  see(recorded: RecordedEvent): void
  look(nowMs: number, calmSinceMs: number): void
}

export function createChecker(report: Report): Checker {
  const seen = new Set<string>()
  const calendar = checkCalendar(report)
  const rules: readonly Rule[] = [calendar, checkAccounts(report), checkPayments(report), checkBookings(report)]
  return {
    covers: (machineId, atMs) => calendar.covers(machineId, atMs),
    coveredLately: (machineId, atMs) => calendar.coveredLately(machineId, atMs),
    see(recorded) {
      if (seen.has(recorded.id)) report(`event ${recorded.id} is in the log twice`)
      seen.add(recorded.id)
      const event = {type: recorded.type, data: recorded.data} as DomainEvent
      for (const rule of rules) rule.see(event, recorded.stream, recorded.recordedAtMs)
    },
    look(nowMs, calmSinceMs) {
      for (const rule of rules) rule.look?.(nowMs, calmSinceMs)
    },
  }
}
