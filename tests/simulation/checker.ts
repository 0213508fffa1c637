import type {RecordedEvent} from '../../src/event-store/port.ts'
import type {DomainEvent} from '../../projections/projection.ts'
import {checkAccounts} from '../../src/verify/check-accounts.ts'
import {checkBookings} from '../../src/verify/check-bookings.ts'
import {checkCalendar} from '../../src/verify/check-calendar.ts'
import {checkLog, type LogChecker} from './check-log.ts'
import {checkOnce} from './check-once.ts'
import {checkPayments} from '../../src/verify/check-payments.ts'
import {checkPower, type PowerRule, type PowerWorld} from './check-power.ts'
import type {LogWorld} from './rule-of-log.ts'
import type {Report, Rule} from '../../src/verify/rule.ts'

/** All rules over one log. */
export interface Checker extends Pick<PowerRule, 'effect'>, Pick<LogChecker, 'account' | 'leaseHolder'> {
  see(recorded: RecordedEvent, appendNumber: number): void
  /** See `Rule.look`. */
  look(nowMs: number, calmSinceMs: number): number
}

export function createChecker(world: PowerWorld & LogWorld, report: Report): Checker {
  const once = checkOnce(report)
  const power = checkPower(world, report)
  const log = checkLog(world, report)
  const rules: readonly Rule[] = [
    checkCalendar(report),
    checkAccounts(report),
    checkPayments(report),
    checkBookings(report),
    power,
  ]
  return {
    account: (userId, nowMs) => log.account(userId, nowMs),
    leaseHolder: () => log.leaseHolder(),
    effect(effect, byHand) {
      log.effect(effect)
      power.effect(effect, byHand)
    },
    see(recorded, appendNumber) {
      once.see(recorded, appendNumber)
      log.see(recorded)
      const event = {type: recorded.type, data: recorded.data} as DomainEvent
      const {at} = recorded.metadata as {at: string}
      for (const rule of rules) rule.see(event, recorded.stream, recorded.recordedAtMs, at)
    },
    look(nowMs, calmSinceMs) {
      let nextMs = log.look(nowMs, calmSinceMs)
      for (const rule of rules) nextMs = Math.min(nextMs, rule.look?.(nowMs, calmSinceMs) ?? Infinity)
      return nextMs
    },
  }
}
