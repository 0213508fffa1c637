import {assertNever} from '../kernel/decider.ts'
import type {BookingTerms} from '../kernel/terms.ts'
import {minInstant, plusMinutes, plusMs, type Instant} from '../kernel/time.ts'

/** A booking that is not settled yet. */
export interface BookingWork {
  readonly terms: BookingTerms
  readonly heldAt: Instant
  /** Minutes still set aside on the account. */
  readonly heldMinutes: number
  readonly stage: 'held' | 'confirmed' | 'started' | 'over'
  /** The calendar has given it another machine; the booking does not know yet. */
  readonly moving: boolean
  /** The calendar still keeps the machine for it. */
  readonly slotHeld: boolean
  /** The session is without a ready machine. */
  readonly down: boolean
  readonly outcome: BookingOutcome | null
}

export interface BookingOutcome {
  readonly because: 'ended' | 'cancelled' | 'failed'
  readonly at: Instant
  readonly usedMinutes: number
  readonly lostMinutes: number
}

/** The booking's machine as it was last seen. */
export interface BookedMachine {
  readonly seen: 'off' | 'on' | 'unreachable' | null
  readonly changedAt: Instant
  readonly readySince: Instant | null
  readonly quarantined: boolean
}

export type BookingStep =
  | {readonly do: 'nothing'; readonly lookAgainAt: Instant | null}
  /** Whoever began it is gone: take it to its end. */
  | {readonly do: 'finishBooking'}
  | {readonly do: 'start'; readonly readySince: Instant}
  | {readonly do: 'interrupt'; readonly at: Instant}
  | {readonly do: 'resume'; readonly at: Instant}
  | {readonly do: 'end'}
  /** Find another machine; when there is none and `mayFail`, the booking fails. */
  | {readonly do: 'failOver'; readonly mayFail: boolean}
  | {readonly do: 'settle'; readonly outcome: BookingOutcome}
  | {readonly do: 'giveSlotBack'; readonly end: Instant}

/** A caller that drives its own booking is done long before; one that died is helped well within a minute. */
export const orphanedAfterMs = 15_000
/** A machine that fell out is worth replacing this long before it is needed; before that it may recover. */
export const failOverLeadMs = 60 * 60_000
const retryFailOverMs = 30_000
/** The other machine is found already: whatever the old one is like now, calendar and booking must agree. */
const finishMove: BookingStep = {do: 'failOver', mayFail: false}

/** The one next step of a booking. Level-triggered: it follows from where things stand, not from what happened last. */
export function nextBookingStep(work: BookingWork, machine: BookedMachine | null, now: Instant): BookingStep {
  const {start, end} = work.terms.interval
  switch (work.stage) {
    case 'held': {
      const orphanedAt = plusMs(work.heldAt, orphanedAfterMs)
      return now >= orphanedAt ? {do: 'finishBooking'} : {do: 'nothing', lookAgainAt: orphanedAt}
    }
    case 'confirmed': {
      const readySince = machine?.readySince ?? null
      if (now >= end) return wasServed(work, readySince) ? {do: 'start', readySince} : {do: 'end'}
      if (work.moving) return finishMove
      if (machine?.quarantined === true) return replaceMachine(work, now)
      if (now < worthReplacingFrom(work)) return {do: 'nothing', lookAgainAt: worthReplacingFrom(work)}
      if (now < start) return {do: 'nothing', lookAgainAt: start}
      // Not ready yet: its readiness will be news.
      return readySince === null ? {do: 'nothing', lookAgainAt: end} : {do: 'start', readySince}
    }
    case 'started':
      if (now >= end) return {do: 'end'}
      if (work.moving) return finishMove
      return followSession(work, machine, now)
    case 'over': {
      if (work.outcome === null) return {do: 'nothing', lookAgainAt: null}
      if (work.heldMinutes > 0) return {do: 'settle', outcome: work.outcome}
      return work.slotHeld ? {do: 'giveSlotBack', end: work.outcome.at} : {do: 'nothing', lookAgainAt: null}
    }
    default:
      return assertNever(work.stage)
  }
}

/**
 * Whether a session took place that nobody was there to see begin: it is caught up first, so that it ends as it was. Only
 * a machine that was made ready for this very booking proves it.
 */
function wasServed(work: BookingWork, readySince: Instant | null): readySince is Instant {
  const {start, end} = work.terms.interval
  const preparedFrom = plusMinutes(start, -work.terms.policy.warmUpMinutes)
  return readySince !== null && preparedFrom <= readySince && readySince < end
}

function followSession(work: BookingWork, machine: BookedMachine | null, now: Instant): BookingStep {
  const {end} = work.terms.interval
  const there = machine !== null && machine.readySince !== null
  if (!work.down && machine !== null && !there && machine.seen !== 'unreachable') {
    return {do: 'interrupt', at: machine.changedAt}
  }
  if (work.down && there) return {do: 'resume', at: machine.readySince ?? now}
  if (machine?.quarantined === true) return replaceMachine(work, now)
  return {do: 'nothing', lookAgainAt: end}
}

function replaceMachine(work: BookingWork, now: Instant): BookingStep {
  const worthItFrom = worthReplacingFrom(work)
  if (now < worthItFrom) return {do: 'nothing', lookAgainAt: worthItFrom}
  return {do: 'failOver', mayFail: now >= work.terms.interval.start}
}

function worthReplacingFrom(work: BookingWork): Instant {
  return plusMs(work.terms.interval.start, -failOverLeadMs)
}

/** When to try again for another machine, none having been free. */
export function failOverAgainAt(work: BookingWork, now: Instant): Instant {
  const {start} = work.terms.interval
  const soon = plusMs(now, retryFailOverMs)
  return now < start ? minInstant(soon, start) : soon
}
