/**
 * The physics of a simulated machine. Everything that can go wrong in a run is decided when the run begins, so that the
 * state at any moment is a function of elapsed time alone: no timers, and a virtual clock can jump over years.
 */

/** One run of a machine, from power on. Milliseconds on the monotonic clock. */
export interface Run {
  readonly startedAtMs: number
  /** null: hangs at boot and never becomes ready. */
  readonly readyAtMs: number | null
  /** When the machine dies by itself; null: it does not. */
  readonly crashesAtMs: number | null
  /** True: a graceful stop has no effect in this run, only a kill ends it. */
  readonly ignoresStop: boolean
  /** When an accepted graceful stop will have ended the run; null: none was accepted. */
  readonly stopsAtMs: number | null
}

export type Phase = 'off' | 'booting' | 'ready' | 'stopping'

/** Each rate is a chance from 0 (never, the default) to 1 (always). */
export interface FailureRates {
  /** A start is accepted and nothing happens. */
  readonly startLost: number
  /** A start is refused with a transient error. */
  readonly startRefused: number
  /** A start or stop is refused with `rateLimited` and a delay of 5 s. */
  readonly rateLimited: number
  /** A graceful stop sent before the guest is ready has no effect. */
  readonly stopLostInBoot: number
  /** A run never becomes ready. */
  readonly hangAtBoot: number
  /** A run does not react to graceful stops. */
  readonly ignoresStop: number
  /** A run dies by itself within its first hour. */
  readonly crash: number
  /** A call finds the machine out of reach, and so do all calls for the next `outageSeconds`. */
  readonly unreachable: number
}

export interface RunPlan {
  readonly bootMs: number
  readonly rates: FailureRates
}

/** Begins a run and draws its fate. Always four draws, so that one rate does not shift the luck of another. */
export function beginRun(nowMs: number, plan: RunPlan, draw: () => number): Run {
  const hangs = draw() < plan.rates.hangAtBoot
  const ignoresStop = draw() < plan.rates.ignoresStop
  const crashes = draw() < plan.rates.crash
  const crashAfterMs = Math.floor(draw() * 3_600_000)
  return {
    startedAtMs: nowMs,
    readyAtMs: hangs ? null : nowMs + plan.bootMs,
    crashesAtMs: crashes ? nowMs + crashAfterMs : null,
    ignoresStop,
    stopsAtMs: null,
  }
}

/** When the run ends by what is known now, and how. */
export function endOf(run: Run): {readonly atMs: number; readonly how: 'stopped' | 'crashed'} | null {
  const stopsAtMs = run.stopsAtMs ?? Infinity
  const crashesAtMs = run.crashesAtMs ?? Infinity
  if (stopsAtMs === Infinity && crashesAtMs === Infinity) return null
  return stopsAtMs <= crashesAtMs ? {atMs: stopsAtMs, how: 'stopped'} : {atMs: crashesAtMs, how: 'crashed'}
}

export function phaseOf(run: Run | null, nowMs: number): Phase {
  if (run === null) return 'off'
  const end = endOf(run)
  if (end !== null && end.atMs <= nowMs) return 'off'
  if (run.stopsAtMs !== null) return 'stopping'
  return run.readyAtMs !== null && run.readyAtMs <= nowMs ? 'ready' : 'booting'
}

/** Mulberry32 (Tommy Ettinger, public domain): small, fast and the same on every machine. Uniform in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** FNV-1a, 32 bits: gives every machine its own luck from one seed. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193) >>> 0
  }
  return hash
}
