import type {Instant} from '../kernel/time.ts'

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
  /** The last command while nothing is known of what came of it; its author may have died before he sent it. */
  readonly inFlight: {readonly powerCommandId: string; readonly op: PowerOp} | null
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

/** How many milliseconds ago a moment of the state was; negative while it lies ahead. */
export type SinceMs = (moment: Instant) => number

/** Wanted on for a booking, or (null) off. */
export type DesiredPower = {readonly for: string} | null

/** `seen` must be up to date with the look that is being acted on. */
export function planPower(
  state: PowerState,
  desired: DesiredPower,
  sinceMs: SinceMs,
  timings: PowerTimings,
): PowerPlan {
  if (state.quarantined || state.seen === null) return nothing
  if (state.seen === 'unreachable') return planUnseen(state, desired, sinceMs, timings)
  if (desired === null) return state.seen === 'off' ? nothing : planOff(state, sinceMs, timings)
  return state.seen === 'off' ? planStart(state, desired.for, sinceMs, timings) : planBoot(state, sinceMs, timings)
}

/**
 * Unknown is not off: without an observation nothing is begun, and the phase stays what it was. But what was being
 * switched off goes on being switched off, since hanging on its way out is one reason for a machine to be silent;
 * whether it is stuck is told only once it is seen again.
 */
function planUnseen(state: PowerState, desired: DesiredPower, sinceMs: SinceMs, timings: PowerTimings): PowerPlan {
  if (desired !== null || !isLeaving(state)) return nothing
  const plan = planOff(state, sinceMs, timings)
  return plan.do === 'quarantine' ? resend(state, 'kill', sinceMs, timings) : plan
}

/** Wanted on, seen off. */
function planStart(state: PowerState, wish: string, sinceMs: SinceMs, timings: PowerTimings): PowerPlan {
  if (mustWait(state, sinceMs)) return nothing
  // Accepted but still off: it may be on its way, for whomever it was started.
  if (state.phase === 'booting' && secondsIn(state, sinceMs) < timings.bootTimeoutSeconds) return nothing
  const attempts = state.wish === wish ? state.attempts : 0
  if (state.wish === wish && (state.hopeless || attempts >= timings.attemptsMax)) {
    return {do: 'quarantine', reason: `it did not start in ${attempts} attempts`}
  }
  return {do: 'command', op: 'start', attempt: attempts + 1}
}

/** Wanted on, seen on: ready, booting, or on its way out. */
function planBoot(state: PowerState, sinceMs: SinceMs, timings: PowerTimings): PowerPlan {
  if (state.phase === 'on') return nothing
  if (isLeaving(state)) {
    // Nobody knows whether it was sent. If it was, the machine is off soon; if not, it goes on as if nothing had been.
    const mayHaveBeenSent = state.inFlight !== null && !stayedOn(state, sinceMs, timings)
    return mayHaveBeenSent ? nothing : planOff(state, sinceMs, timings)
  }
  if (secondsIn(state, sinceMs) < timings.bootTimeoutSeconds || mustWait(state, sinceMs)) return nothing
  // On but never ready: only taking the power away gives it a fresh start. The budget is looked at once it is off,
  // so that a machine is not given up on while it runs.
  return {do: 'command', op: 'kill', attempt: 1}
}

/**
 * Seen on, must go off: ask, ask again, then take the power away. The time for each begins with a command that was
 * surely tried: one without an outcome is sent again first, however long ago it was intended.
 */
function planOff(state: PowerState, sinceMs: SinceMs, timings: PowerTimings): PowerPlan {
  const inPhase = state.inFlight === null ? secondsIn(state, sinceMs) : 0
  if (state.phase === 'killing' && inPhase >= timings.killSeconds) {
    return {do: 'quarantine', reason: 'it cannot be switched off'}
  }
  if (mustWait(state, sinceMs)) return nothing
  if (state.phase === 'killing') return resend(state, 'kill', sinceMs, timings)
  if (state.phase !== 'stopping') return {do: 'command', op: 'stop', attempt: 1}
  if (inPhase >= timings.stopGraceSeconds) return {do: 'command', op: 'kill', attempt: 1}
  return resend(state, 'stop', sinceMs, timings)
}

export function isLeaving({phase}: PowerState): boolean {
  return phase === 'stopping' || phase === 'killing'
}

/** Of a command without an outcome: had it been sent, the machine would not be on any more. */
export function stayedOn(state: PowerState, sinceMs: SinceMs, timings: PowerTimings): boolean {
  const graceSeconds = state.phase === 'killing' ? timings.killSeconds : timings.stopGraceSeconds
  return isLeaving(state) && state.inFlight !== null && secondsIn(state, sinceMs) >= graceSeconds
}

function resend(state: PowerState, op: PowerOp, sinceMs: SinceMs, {stopResendSeconds}: PowerTimings): PowerPlan {
  const sentMs = state.lastCommandAt === null ? Infinity : sinceMs(state.lastCommandAt)
  if (sentMs < stopResendSeconds * 1000) return nothing
  return {do: 'command', op, attempt: 1 + Math.max(1, Math.round(secondsIn(state, sinceMs) / stopResendSeconds))}
}

function mustWait(state: PowerState, sinceMs: SinceMs): boolean {
  return state.retryAt !== null && sinceMs(state.retryAt) < 0
}

function secondsIn(state: PowerState, sinceMs: SinceMs): number {
  return state.phaseSince === null ? Infinity : sinceMs(state.phaseSince) / 1000
}
