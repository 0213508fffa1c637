import type {MachineCommand, Sighting} from '../fleet/decider.ts'
import type {PowerOp} from '../fleet/power.ts'
import {plusMs, type Clock, type Timers} from '../kernel/time.ts'

/** What the power process needs of a driver; `drivers/port.ts` is wider. */
export interface PowerDriver {
  start(signal: AbortSignal): Promise<void>
  stop(signal: AbortSignal): Promise<void>
  kill(signal: AbortSignal): Promise<void>
  observe(signal: AbortSignal): Promise<Sighting>
}

/** How a failed call is classed; `retryAfterMs` when the provider said when to come back. */
export interface DriverFailure {
  readonly class: string
  readonly message: string
  readonly retryAfterMs: number | null
}

export interface DriverCallParts {
  readonly clock: Clock
  readonly timers: Timers
  /** 0 ≤ x < 1. */
  readonly random: () => number
  readonly failureOf: (error: unknown) => DriverFailure
}

const callTimeoutMs = 15_000
const observeTimeoutMs = 5_000

/** What the machine shows; without an answer in time, or without a driver, it is out of reach. */
export async function observe(
  parts: DriverCallParts,
  driver: PowerDriver | null,
  held: AbortSignal,
): Promise<Sighting> {
  if (driver === null) return {power: 'unreachable', reason: 'no driver for this machine on this node'}
  try {
    return await bounded(parts.timers, observeTimeoutMs, held, signal => driver.observe(signal))
  } catch (error) {
    const {class: errorClass, message} = parts.failureOf(error)
    return {power: 'unreachable', reason: `${errorClass}: ${message}`}
  }
}

/** Sends a command whose intent is in the log; answers what is to be written of it. */
export async function callDriver(
  parts: DriverCallParts,
  driver: PowerDriver,
  intent: {readonly op: PowerOp; readonly powerCommandId: string; readonly attempt: number},
  held: AbortSignal,
): Promise<MachineCommand> {
  const {op, powerCommandId, attempt} = intent
  try {
    await bounded(parts.timers, callTimeoutMs, held, signal => driver[op](signal))
    return {type: 'AcceptPowerCommand', powerCommandId}
  } catch (error) {
    const failure = parts.failureOf(error)
    const retryAt = plusMs(parts.clock.now(), retryDelayMs(failure, attempt, parts.random))
    const {class: errorClass, message} = failure
    return {type: 'FailPowerCommand', powerCommandId, errorClass, message, retryAt}
  }
}

/** What the provider asked for, else full jitter between 1 s and 60 s, doubling with each attempt. */
function retryDelayMs(failure: DriverFailure, attempt: number, random: () => number): number {
  if (failure.retryAfterMs !== null) return failure.retryAfterMs
  if (failure.class === 'auth') return 60_000
  const ceilingMs = Math.min(60_000, 1_000 * 2 ** attempt)
  return Math.round(1_000 + random() * (ceilingMs - 1_000))
}

async function bounded<Value>(
  timers: Timers,
  timeoutMs: number,
  held: AbortSignal,
  work: (signal: AbortSignal) => Promise<Value>,
): Promise<Value> {
  const over = new AbortController()
  // By hand: the platform's way of joining signals costs more than all else in a look.
  const giveUp = (): void => over.abort(held.reason)
  if (held.aborted) giveUp()
  held.addEventListener('abort', giveUp, {once: true})
  const done = new AbortController()
  const late = Promise.withResolvers<never>()
  void timers.sleep(timeoutMs, done.signal).then(() => {
    if (done.signal.aborted) return
    over.abort(new Error('no answer in time'))
    late.reject(new Error(`no answer within ${timeoutMs} ms`))
  })
  try {
    return await Promise.race([work(over.signal), late.promise])
  } finally {
    held.removeEventListener('abort', giveUp)
    // With a reason of its own: the platform's would be an error, with a stack, at every look.
    done.abort('done')
  }
}
