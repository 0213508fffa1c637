import {instantFromMs, msOf, type Clock, type Instant, type Timers} from '../../src/kernel/time.ts'

/**
 * Time that passes from one event to the next. Everything that waits in a simulation waits here, so that the order of
 * all that happens follows from the seed alone.
 */
export interface VirtualTime {
  readonly clock: Clock
  /** By the wall clock, which can be set. */
  nowMs(): number
  /** Since the beginning, whatever the wall clock was set to. */
  elapsedMs(): number
  /** Runs `work` after so many milliseconds; events of one moment run in the order they were asked for. */
  after(ms: number, work: () => void): Cancel
  /** Sets the wall clock forward or back; no timer but a nap takes notice. */
  jump(ms: number): void
  /** Told of every jump. */
  readonly onJump: Set<() => void>
  /**
   * Goes from event to event, and lets everything happen that follows from each, until the limit or until `isDone`
   * after an event.
   * @returns how many there were
   */
  run(limitElapsedMs: number, isDone: () => boolean): Promise<number>
  /** The same for one event; false when none comes before the limit. */
  step(limitElapsedMs: number): Promise<boolean>
}

export type Cancel = () => void

/** One run of a program: when it is over, nothing it waited for ever comes. */
export interface Life {
  isOver: boolean
  /** While it stands still: what has come for it meanwhile, in order. Null when it runs. */
  held: (() => void)[] | null
}

export const newLife = (): Life => ({isOver: false, held: null})

interface Due {
  readonly atMs: number
  readonly order: number
  work: (() => void) | null
}

/** So often the loop of the platform gets its turn: for messages between threads and what else waits there. */
const stepsPerTurn = 2_000

export function virtualTime(start: Instant): VirtualTime {
  const heap: Due[] = []
  const onJump = new Set<() => void>()
  let startMs = msOf(start)
  let elapsedMs = 0
  let order = 0
  let instant = start
  let instantMs = startMs
  const next = (limitElapsedMs: number): boolean => {
    for (;;) {
      const due = heap[0]
      if (due === undefined || due.atMs > limitElapsedMs) {
        if (Number.isFinite(limitElapsedMs)) elapsedMs = Math.max(elapsedMs, limitElapsedMs)
        return false
      }
      pop(heap)
      if (due.work === null) continue
      elapsedMs = due.atMs
      due.work()
      return true
    }
  }

  function run(limitElapsedMs: number, isDone: () => boolean): Promise<number> {
    const {promise, resolve, reject} = Promise.withResolvers<number>()
    let steps = 0
    const tick = (): void => {
      try {
        if (isDone() || !next(limitElapsedMs)) return resolve(steps)
      } catch (error) {
        return reject(error)
      }
      if (++steps % stepsPerTurn === 0) setImmediate(soon)
      else process.nextTick(soon)
    }
    // All that can happen without time passing is in the queue of microtasks, after which the next tick comes: nothing
    // in a simulation waits for the outside. From within a tick the next one would come at once, before them.
    const soon = (): void => queueMicrotask(tick)
    soon()
    return promise
  }

  return {
    onJump,
    nowMs: () => startMs + elapsedMs,
    elapsedMs: () => elapsedMs,
    clock: {
      now() {
        const nowMs = Math.floor(startMs + elapsedMs)
        if (instantMs !== nowMs) {
          instantMs = nowMs
          instant = instantFromMs(nowMs)
        }
        return instant
      },
      monotonicMs: () => elapsedMs,
    },
    after(ms, work) {
      const due: Due = {atMs: elapsedMs + Math.max(0, ms), order: order++, work}
      push(heap, due)
      return () => {
        due.work = null
      }
    },
    jump(ms) {
      startMs += ms
      for (const tell of onJump) tell()
    },
    run,
    async step(limitElapsedMs) {
      let isFirst = true
      const isSecond = (): boolean => {
        const wasFirst = isFirst
        isFirst = false
        return !wasFirst
      }
      return (await run(limitElapsedMs, isSecond)) > 0
    },
  }
}

/** What is to happen in a program happens only while it lives, and not while it stands still. */
export function within(life: Life, work: () => void): () => void {
  return () => {
    if (life.isOver) return
    if (life.held === null) work()
    else life.held.push(work)
  }
}

/** Sleeps of a program. */
export function timersOf(time: VirtualTime, life: Life): Timers {
  return {sleep: (ms, signal) => sleep(time, life, ms, signal)}
}

/** The same for sleeps that only wait for the next thing to do: they end when the wall clock jumps. */
export function napTimersOf(time: VirtualTime, life: Life): Timers {
  return {
    async sleep(ms, signal) {
      const jumped = new AbortController()
      // As late as the engine's own naps would notice it.
      const wake = (): void =>
        void time.after(
          1_000,
          within(life, () => jumped.abort('jumped')),
        )
      const over = (): void => jumped.abort('over')
      time.onJump.add(wake)
      signal?.addEventListener('abort', over, {once: true})
      await sleep(time, life, ms, jumped.signal)
      time.onJump.delete(wake)
      signal?.removeEventListener('abort', over)
    },
  }
}

function sleep(time: VirtualTime, life: Life, ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve()
  const {promise, resolve} = Promise.withResolvers<void>()
  const early = (): void => {
    cancel()
    resolve()
  }
  const wake = within(life, () => {
    signal?.removeEventListener('abort', early)
    resolve()
  })
  const cancel = time.after(ms, wake)
  signal?.addEventListener('abort', early, {once: true})
  return promise
}

function isBefore(a: Due, b: Due): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}

function push(heap: Due[], due: Due): void {
  let index = heap.length
  heap.push(due)
  while (index > 0) {
    const above = (index - 1) >> 1
    const parent = heap[above]
    if (parent === undefined || isBefore(parent, due)) break
    heap[index] = parent
    index = above
  }
  heap[index] = due
}

function pop(heap: Due[]): void {
  const last = heap.pop()
  if (last === undefined || heap.length === 0) return
  let index = 0
  for (;;) {
    const left = heap[2 * index + 1]
    const right = heap[2 * index + 2]
    if (left === undefined) break
    const child = right !== undefined && isBefore(right, left) ? right : left
    if (!isBefore(child, last)) break
    heap[index] = child
    index = 2 * index + (child === left ? 1 : 2)
  }
  heap[index] = last
}
