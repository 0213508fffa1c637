import type {PolicySnapshot} from '../kernel/terms.ts'
import {msBetween, msOf, plusMinutes, type Instant} from '../kernel/time.ts'

/** What the house allows and promises. Lengths in whole minutes. */
export interface BookingPolicy {
  readonly minutesMin: number
  readonly minutesMax: number
  /** Bookings are whole multiples of this. */
  readonly stepMinutes: number
  /** Offered slots begin on this grid; a start asked for may be any whole minute. */
  readonly slotStepMinutes: number
  readonly noticeMinutesMin: number
  readonly horizonDays: number
  readonly warmUpMinutes: number
  readonly turnaroundMinutes: number
  readonly cancellationTiers: PolicySnapshot['cancellationTiers']
}

export const defaultPolicy: BookingPolicy = {
  minutesMin: 60,
  minutesMax: 720,
  stepMinutes: 60,
  slotStepMinutes: 15,
  noticeMinutesMin: 0,
  horizonDays: 60,
  warmUpMinutes: 5,
  turnaroundMinutes: 5,
  cancellationTiers: [{noticeMinutesMin: 0, chargePercent: 0}],
}

export type PolicyRefusal =
  | {readonly type: 'StartInPast'; readonly field: 'start'}
  | {readonly type: 'StartNotOnMinute'; readonly field: 'start'}
  | {readonly type: 'NoticeTooShort'; readonly field: 'start'; readonly earliest: Instant}
  | {readonly type: 'OutsideHorizon'; readonly field: 'end'; readonly latest: Instant}
  | {
      readonly type: 'LengthNotAllowed'
      readonly field: 'minutes'
      readonly minutesMin: number
      readonly minutesMax: number
      readonly stepMinutes: number
    }

interface Request {
  readonly start: Instant
  readonly minutes: number
}

type Rule = (request: Request, policy: BookingPolicy, now: Instant) => PolicyRefusal | null

/** Checked in this order; the first that refuses is the answer. */
export const bookingRules: Readonly<Record<string, Rule>> = {
  'a booking lasts a whole number of steps, within the bounds': ({minutes}, {minutesMin, minutesMax, stepMinutes}) =>
    Number.isSafeInteger(minutes) && minutes >= minutesMin && minutes <= minutesMax && minutes % stepMinutes === 0
      ? null
      : {type: 'LengthNotAllowed', field: 'minutes', minutesMin, minutesMax, stepMinutes},

  'a booking starts on a whole minute': ({start}) =>
    msOf(start) % 60_000 === 0 ? null : {type: 'StartNotOnMinute', field: 'start'},

  'a booking does not start in the past': ({start}, _policy, now) =>
    start >= now ? null : {type: 'StartInPast', field: 'start'},

  'a booking is made with the minimum notice': ({start}, {noticeMinutesMin}, now) => {
    const earliest = plusMinutes(now, noticeMinutesMin)
    return start >= earliest ? null : {type: 'NoticeTooShort', field: 'start', earliest}
  },

  'a booking ends within the horizon': ({start, minutes}, {horizonDays}, now) => {
    const latest = plusMinutes(now, horizonDays * 1440)
    // Compared as lengths: a start near year 9999 has no representable end.
    return msBetween(start, latest) >= minutes * 60_000 ? null : {type: 'OutsideHorizon', field: 'end', latest}
  },
}

export function checkRequest(request: Request, policy: BookingPolicy, now: Instant): PolicyRefusal | null {
  for (const rule of Object.values(bookingRules)) {
    const refusal = rule(request, policy, now)
    if (refusal !== null) return refusal
  }
  return null
}

export function snapshotOf(policy: BookingPolicy): PolicySnapshot {
  const {warmUpMinutes, turnaroundMinutes, cancellationTiers} = policy
  return {warmUpMinutes, turnaroundMinutes, cancellationTiers: [...cancellationTiers]}
}

/**
 * Minutes charged when a booking is cancelled before its start, by the tier whose notice is still kept; with less
 * notice than every tier asks for, all of them. Parts of a minute are not charged.
 */
export function chargedBeforeStart(
  policy: PolicySnapshot,
  booked: {readonly start: Instant; readonly minutes: number},
  now: Instant,
): number {
  const noticeMs = msBetween(now, booked.start)
  const kept = policy.cancellationTiers
    .filter(tier => noticeMs >= tier.noticeMinutesMin * 60_000)
    .sort((a, b) => b.noticeMinutesMin - a.noticeMinutesMin)[0]
  return Math.floor((booked.minutes * (kept?.chargePercent ?? 100)) / 100)
}

/** Minutes begun between the start and `now`: what is charged when a running booking is cancelled. */
export function startedMinutes(start: Instant, now: Instant): number {
  return Math.max(0, Math.ceil(msBetween(start, now) / 60_000))
}
