import type {DesiredPower, PowerPhase} from '../fleet/power.ts'
import type {BookingTerms} from '../kernel/terms.ts'
import {minInstant, msBetween, plusMinutes, plusMs, type Instant} from '../kernel/time.ts'

/** A booking that is confirmed or started, on the machine in question. */
export interface PoweredBooking {
  readonly bookingId: string
  readonly terms: BookingTerms
}

/** What is wanted of a machine now, and until when at least; null: nothing is to change. */
export interface Wishes {
  readonly desired: DesiredPower
  readonly until: Instant | null
}

/**
 * What a machine should do now, and when that changes next. Derived from the bookings and the clock at every look,
 * never stored: a missed moment is simply seen later.
 */
export function desiredPower(bookings: readonly PoweredBooking[], now: Instant): Wishes {
  let desired: DesiredPower = null
  let until: Instant | null = null
  for (const {bookingId, terms} of bookings) {
    const {start, end} = terms.interval
    const from = plusMinutes(start, -terms.policy.warmUpMinutes)
    if (now >= from && now < end) desired ??= {for: bookingId}
    const edge = now < from ? from : now < end ? end : null
    if (edge !== null) until = until === null ? edge : minInstant(until, edge)
  }
  return {desired, until}
}

/** What will be wanted from `until` on, when that is so near that it is to be made ready now. */
export function aheadOf(
  bookings: readonly PoweredBooking[],
  until: Instant | null,
  now: Instant,
  {aheadMs}: LookIntervals,
): {readonly desired: DesiredPower; readonly dueAt: Instant} | null {
  if (until === null || msBetween(now, until) > aheadMs) return null
  return {desired: desiredPower(bookings, until).desired, dueAt: until}
}

/** Milliseconds between looks at a machine. */
export interface LookIntervals {
  /** While it is on its way from one state to another. */
  readonly changingMs: number
  /** While it should be on and is: how late a machine that went away is noticed. */
  readonly onMs: number
  /** While it should be off and is: how late a machine that somebody else switched on is noticed. */
  readonly offMs: number
  /**
   * So long before a machine is to be switched, its command is made ready: thousands may be due at one minute, and each
   * needs a look and an append of its own first.
   */
  readonly aheadMs: number
}

export const defaultLookIntervals: LookIntervals = {changingMs: 500, onMs: 10_000, offMs: 60_000, aheadMs: 20_000}

/** When to look at the machine again, given what it is like after this look. */
export function nextLookAt(
  machine: {
    readonly phase: PowerPhase
    readonly seen: string | null
    readonly quarantined: boolean
    readonly retryAt: Instant | null
  },
  desired: DesiredPower,
  until: Instant | null,
  now: Instant,
  intervals: LookIntervals,
): Instant {
  const settled = desired === null ? machine.seen === 'off' : machine.phase === 'on' && machine.seen === 'on'
  const steadyMs = desired === null || machine.quarantined ? intervals.offMs : intervals.onMs
  const changingMs =
    machine.seen === 'unreachable' ? Math.min(intervals.changingMs * 4, steadyMs) : intervals.changingMs
  const isSteady = settled || machine.quarantined
  const routine = plusMs(now, isSteady ? steadyMs : changingMs)
  const mustWait = !isSteady && machine.retryAt !== null && machine.retryAt > routine
  // A provider may say to come back in hours; the machine is looked at meanwhile all the same.
  const waiting = mustWait ? minInstant(machine.retryAt, plusMs(now, intervals.offMs)) : routine
  if (until === null) return waiting
  const readyFrom = plusMs(until, -intervals.aheadMs)
  return minInstant(waiting, readyFrom > now ? readyFrom : until)
}

/** Whether the calendar should offer the machine for new bookings. */
export function shouldOffer(machine: {readonly quarantined: boolean}): boolean {
  return !machine.quarantined
}
