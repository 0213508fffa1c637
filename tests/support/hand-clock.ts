import {instantFromMs, msOf, type Clock, type Instant, type Timers} from '../../src/kernel/time.ts'

/** A clock that stands until it is moved, and timers that wake when it passes their time. */
export interface HandClock {
  readonly clock: Clock
  readonly timers: Timers
  /** Milliseconds since the start, on the monotonic clock. */
  elapsedMs(): number
  /** When the next sleeper wakes, in elapsed milliseconds; null when nobody sleeps. */
  nextWakeMs(): number | null
  /** Moves both clocks forward and wakes everybody whose time has come, in order. */
  moveTo(elapsedMs: number): void
  /** The wall clock is set by so much, as by an operator or NTP; the monotonic clock does not notice. */
  jumpWall(ms: number): void
  /** Sleeps begun so far: grows whenever somebody did something. */
  sleeps(): number
}

interface Sleeper {
  readonly wakeMs: number
  readonly wake: () => void
}

export function handClock(start: Instant): HandClock {
  const sleepers = new Set<Sleeper>()
  let wallMs = msOf(start)
  let elapsedMs = 0
  let sleeps = 0

  const sleep = (ms: number, signal?: AbortSignal): Promise<void> => {
    sleeps++
    if (ms <= 0 || signal?.aborted === true) return Promise.resolve()
    const {promise, resolve} = Promise.withResolvers<void>()
    const sleeper: Sleeper = {
      wakeMs: elapsedMs + ms,
      wake() {
        sleepers.delete(sleeper)
        signal?.removeEventListener('abort', sleeper.wake)
        resolve()
      },
    }
    sleepers.add(sleeper)
    signal?.addEventListener('abort', sleeper.wake)
    return promise
  }

  return {
    clock: {now: () => instantFromMs(Math.floor(wallMs)), monotonicMs: () => elapsedMs},
    timers: {sleep},
    elapsedMs: () => elapsedMs,
    nextWakeMs() {
      let next: number | null = null
      for (const {wakeMs} of sleepers) if (next === null || wakeMs < next) next = wakeMs
      return next
    },
    moveTo(ms) {
      if (ms < elapsedMs) throw new RangeError('time does not go back')
      wallMs += ms - elapsedMs
      elapsedMs = ms
      const due = [...sleepers].filter(({wakeMs}) => wakeMs <= ms).sort((a, b) => a.wakeMs - b.wakeMs)
      for (const {wake} of due) wake()
    },
    jumpWall(ms) {
      wallMs += ms
    },
    sleeps: () => sleeps,
  }
}

/** One turn of the event loop: what is ready runs, nothing is waited for. */
export function turn(): Promise<void> {
  const {promise, resolve} = Promise.withResolvers<void>()
  setImmediate(resolve)
  return promise
}
