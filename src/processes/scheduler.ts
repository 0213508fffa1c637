import {createDueQueue} from '../kernel/due-queue.ts'
import {msOf, type Clock, type Instant, type Timers} from '../kernel/time.ts'

/**
 * Does what is due for one key and answers when it is to be looked at again (null: when something touches it).
 * `othersFirst` lets all go first that are due, and gives its place to one of them meanwhile.
 */
export type Perform = (key: string, othersFirst: () => Promise<void>) => Promise<Instant | null>

export interface SchedulerParts {
  readonly clock: Clock
  readonly timers: Timers
  /** 0 ≤ x < 1. */
  readonly random: () => number
  readonly onError: (key: string, error: Error) => void
  /** Keys worked on at the same time. */
  readonly parallelMax: number
  readonly naps?: Naps
  /** For how many milliseconds nothing is to be begun, since something else comes first; 0: it does not. */
  readonly asideMs?: () => number
}

/** How to sleep while nothing is due. */
export interface Naps {
  /** A simulation's know when the wall clock jumps, and end then. */
  readonly timers: Timers
  /** The longest sleep, in milliseconds: bounds how late a jump of the wall clock is noticed. */
  readonly msMax: number
}

/** Looks after many keys: each when it is due or touched, never one key twice at once. */
export interface Scheduler {
  /** Something about this key changed: look now, or once more when the look under way is done. */
  touch(key: string): void
  /** Nothing is to be done before `at`: look then, whatever was planned. A look under way is followed by another. */
  plan(key: string, at: Instant): void
  /** Since when more was due than may be worked on, in milliseconds on the monotonic clock; null: it is not so now. */
  busySinceMs(): number | null
  /** Works until `signal` ends it, then waits for what is under way. */
  run(signal: AbortSignal): Promise<void>
}

const napMsMax = 1_000
const backoffMsMax = 60_000

export function createScheduler(parts: SchedulerParts, perform: Perform): Scheduler {
  const {clock, timers, random, onError, parallelMax} = parts
  const naps = parts.naps ?? {timers, msMax: napMsMax}
  const asideMs = parts.asideMs ?? (() => 0)
  const due = createDueQueue()
  const underWay = new Map<string, Promise<void>>()
  const touchedMeanwhile = new Set<string>()
  const failures = new Map<string, number>()
  /** Those of the keys under way that let others go first. */
  const waiting: (() => void)[] = []
  let wake = Promise.withResolvers<void>()
  let napUntilMs = Infinity
  let isOver = false
  let busySinceMs: number | null = null

  /** Most plans lie far ahead: only what is due before the nap would end cuts it short. */
  const wakeFor = (dueMs: number): void => {
    if (dueMs < napUntilMs) wake.resolve()
  }
  const nowMs = (): number => msOf(clock.now())

  const othersFirst = (): Promise<void> => {
    if (isOver) return Promise.resolve()
    const {promise, resolve} = Promise.withResolvers<void>()
    waiting.push(resolve)
    wake.resolve()
    return promise
  }
  const hasRoom = (): boolean => underWay.size - waiting.length < parallelMax

  const work = async (key: string): Promise<void> => {
    try {
      const again = await perform(key, othersFirst)
      failures.delete(key)
      if (again !== null) due.set(key, msOf(again))
    } catch (error) {
      const count = (failures.get(key) ?? 0) + 1
      failures.set(key, count)
      onError(key, error as Error)
      due.set(key, nowMs() + Math.min(backoffMsMax, 500 * 2 ** count) * (0.5 + random() / 2))
    }
    underWay.delete(key)
    if (touchedMeanwhile.delete(key)) due.set(key, nowMs())
    wake.resolve()
  }

  const begin = (): void => {
    while (hasRoom()) {
      const key = due.take(nowMs())
      if (key === null) return
      if (underWay.has(key)) touchedMeanwhile.add(key)
      else underWay.set(key, work(key))
    }
  }

  return {
    touch(key) {
      if (underWay.has(key)) touchedMeanwhile.add(key)
      else due.hurry(key, nowMs())
      wakeFor(nowMs())
    },
    plan(key, at) {
      if (underWay.has(key)) touchedMeanwhile.add(key)
      else due.set(key, msOf(at))
      wakeFor(msOf(at))
    },
    busySinceMs: () => busySinceMs,
    async run(signal) {
      let lastMs = nowMs()
      const stop = (): void => wake.resolve()
      signal.addEventListener('abort', stop, {once: true})
      while (!signal.aborted) {
        wake = Promise.withResolvers()
        // The wall clock was set back: what was due in a minute may now be due in hours. Look at everything again.
        if (nowMs() < lastMs) due.hurryAll(nowMs())
        lastMs = nowMs()
        const waitMs = asideMs()
        if (waitMs === 0) begin()
        const isBusy = !hasRoom() && (due.nextDueMs() ?? Infinity) <= nowMs()
        busySinceMs = isBusy ? (busySinceMs ?? clock.monotonicMs()) : null
        while (waiting.length > 0 && hasRoom()) waiting.shift()?.()
        const next = hasRoom() ? due.nextDueMs() : null
        const untilNextMs = next === null ? naps.msMax : Math.max(waitMs, next - nowMs())
        const napMs = Math.max(0, Math.min(naps.msMax, untilNextMs))
        napUntilMs = nowMs() + napMs
        const napping = new AbortController()
        await Promise.race([wake.promise, naps.timers.sleep(napMs, napping.signal)])
        // With a reason of its own: the platform's would be an error, with a stack, at every look.
        napping.abort('awake')
      }
      signal.removeEventListener('abort', stop)
      isOver = true
      for (const goOn of waiting.splice(0)) goOn()
      await Promise.all(underWay.values())
    },
  }
}
