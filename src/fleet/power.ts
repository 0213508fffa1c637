import {msBetween, type Instant} from '../kernel/time.ts'

/**
 * The power rules: from what is wanted and what was seen to the one thing to do now. Level-triggered: nothing here
 * depends on how the machine came to be where it is, so a missed moment is caught up at the next look.
 */
export type PowerPhase = 'unknown' | 'off' | 'starting' | 'booting' | 'on' | 'stopping' | 'killing'
export type PowerOp = 'start' | 'stop' | 'kill'

/** Durations in seconds; `attemptsMax` bounds the tries at one start. */
export interface PowerTimings {
  readonly bootTimeoutSeconds: number
  readonly stopResendSeconds: number
  readonly stopGraceSeconds: number
  readonly killSeconds: number
  readonly attemptsMax: number
}

export interface PowerState {
  readonly phase: PowerPhase
  /** What was last seen, and since when it is so. */
  readonly seen: 'off' | 'on' | 'unreachable' | null
  readonly readySince: Instant | null
  /** When the phase began; null before the first look. */
  readonly phaseSince: Instant | null
  readonly lastCommandAt: Instant | null
  /** What the last command served: a booking, or null for off. */
  readonly wish: string | null
  /** Starts tried for that wish since the machine last proved itself by staying ready. */
  readonly attempts: number
  /** No command before this. */
  readonly retryAt: Instant | null
  /** The last start failed in a way that trying again cannot mend. */
  readonly hopeless: boolean
  readonly quarantined: boolean
}

export type PowerPlan =
  | {readonly do: 'nothing'}
  | {readonly do: 'command'; readonly op: PowerOp; readonly attempt: number}
  | {readonly do: 'quarantine'; readonly reason: string}

const nothing: PowerPlan = {do: 'nothing'}

/** Wanted on for a booking, or (null) off. */
export type DesiredPower = {readonly for: string} | null

/** `seen` must be up to date with the look that is being acted on. */
export function planPower(state: PowerState, desired: DesiredPower, now: Instant, timings: PowerTimings): PowerPlan {
  if (state.quarantined || state.seen === null) return nothing
  if (state.seen === 'unreachable') return planUnseen(state, desired, now, timings)
  if (desired === null) return state.seen === 'off' ? nothing : planOff(state, now, timings)
  return state.seen === 'off' ? planStart(state, desired.for, now, timings) : planBoot(state, now, timings)
}

/**
 * Unknown is not off: without an observation nothing is begun, and the phase stays what it was. But what was being
 * switched off goes on being switched off, since hanging on its way out is one reason for a machine to be silent;
 * whether it is stuck is told only once it is seen again.
 */
function planUnseen(state: PowerState, desired: DesiredPower, now: Instant, timings: PowerTimings): PowerPlan {
  const leaving = state.phase === 'stopping' || state.phase === 'killing'
  if (desired !== null || !leaving) return nothing
  const plan = planOff(state, now, timings)
  return plan.do === 'quarantine' ? resend(state, 'kill', now, timings) : plan
}

/** Wanted on, seen off. */
function planStart(state: PowerState, wish: string, now: Instant, timings: PowerTimings): PowerPlan {
  if (mustWait(state, now)) return nothing
  // Accepted but still off: it may be on its way, for whomever it was started.
  if (state.phase === 'booting' && secondsIn(state, now) < timings.bootTimeoutSeconds) return nothing
  const attempts = state.wish === wish ? state.attempts : 0
  if (state.wish === wish && (state.hopeless || attempts >= timings.attemptsMax)) {
    return {do: 'quarantine', reason: `it did not start in ${attempts} attempts`}
  }
  return {do: 'command', op: 'start', attempt: attempts + 1}
}

/** Wanted on, seen on: ready, booting, or on its way out. */
function planBoot(state: PowerState, now: Instant, timings: PowerTimings): PowerPlan {
  if (state.phase === 'on') return nothing
  if (state.phase === 'stopping' || state.phase === 'killing') return planOff(state, now, timings)
  if (secondsIn(state, now) < timings.bootTimeoutSeconds || mustWait(state, now)) return nothing
  // On but never ready: only taking the power away gives it a fresh start. The budget is looked at once it is off,
  // so that a machine is not given up on while it runs.
  return {do: 'command', op: 'kill', attempt: 1}
}

/** Seen on, must go off: ask, ask again, then take the power away. */
function planOff(state: PowerState, now: Instant, timings: PowerTimings): PowerPlan {
  const inPhase = secondsIn(state, now)
  if (state.phase === 'killing' && inPhase >= timings.killSeconds) {
    return {do: 'quarantine', reason: 'it cannot be switched off'}
  }
  if (mustWait(state, now)) return nothing
  if (state.phase === 'killing') return resend(state, 'kill', now, timings)
  if (state.phase !== 'stopping') return {do: 'command', op: 'stop', attempt: 1}
  if (inPhase >= timings.stopGraceSeconds) return {do: 'command', op: 'kill', attempt: 1}
  return resend(state, 'stop', now, timings)
}

function resend(state: PowerState, op: PowerOp, now: Instant, {stopResendSeconds}: PowerTimings): PowerPlan {
  const sentMs = state.lastCommandAt === null ? Infinity : msBetween(state.lastCommandAt, now)
  if (sentMs < stopResendSeconds * 1000) return nothing
  return {do: 'command', op, attempt: 1 + Math.max(1, Math.round(secondsIn(state, now) / stopResendSeconds))}
}

function mustWait(state: PowerState, now: Instant): boolean {
  return state.retryAt !== null && now < state.retryAt
}

function secondsIn(state: PowerState, now: Instant): number {
  return state.phaseSince === null ? Infinity : msBetween(state.phaseSince, now) / 1000
}
