import type {PowerEffect} from '../../src/drivers/simulated.ts'
import type {RecordedEvent} from '../../src/event-store/port.ts'
import type {EventMetadata} from '../../src/kernel/messages.ts'
import {checkGrants} from './check-grants.ts'
import {checkLease} from './check-lease.ts'
import {checkMachines} from './check-machines.ts'
import {checkPeople} from './check-people.ts'
import {checkSessions} from './check-sessions.ts'
import {checkStarts} from './check-starts.ts'
import type {Known, LogRule, LogWorld, Report} from './rule-of-log.ts'

/** The rules about single guards, each exact: what they ask follows from the log alone. */
export type LogChecker = ReturnType<typeof checkLog>

export function checkLog(world: LogWorld, report: Report) {
  // The only one who acts for others in a simulation.
  const isOperator = (userId: string): boolean => userId === 'owner'
  const lease = checkLease(world, report)
  const grants = checkGrants(report)
  const starts = checkStarts(world, report)
  const machines = checkMachines(world, report)
  const rules: readonly LogRule[] = [
    grants,
    starts,
    machines,
    checkSessions(report, isOperator),
    checkPeople(report, isOperator),
    lease,
  ]
  return {
    /** Who holds the lease by what is written. */
    leaseHolder: lease.holder,
    account: (userId: string, nowMs: number) => grants.account(`account-${userId}`, nowMs),
    effect: (effect: PowerEffect) => starts.effect(effect),
    see({type, data, metadata, stream}: RecordedEvent): void {
      const {at, actor} = metadata as EventMetadata
      const userId = actor.type === 'user' ? actor.userId : null
      const origin = {stream, decidedMs: Date.parse(at), userId}
      for (const rule of rules) rule.see({type, data} as Known, origin)
    },
    /** See `Rule.look`. */
    look(nowMs: number, calmSinceMs: number): number {
      let nextMs = Infinity
      for (const rule of rules) nextMs = Math.min(nextMs, rule.look?.(nowMs, calmSinceMs) ?? Infinity)
      return nextMs
    },
  }
}
