import {instantFromMs, msOf, type Clock, type Instant, type Timers} from '../../src/kernel/time.ts'

/**
 * Time that passes from one event to the next. Everything that waits in a simulation waits here, so that the order of
 * all that happens follows from the seed alone.
 */
export interface VirtualTime {
  readonly clock: Clock
  nowMs(): number
  /** Runs `work` after so many milliseconds; events of one moment run in the order they were asked for. */
  after(ms: number, work: () => void): Cancel
  /** Goes to the next event and lets everything that follows from it happen; false when nobody waits for anything. */
  step(limitMs: number): Promise<boolean>
}

export type Cancel = () => void

/** One run of a program: when it is over, nothing it waited for ever comes. */
export interface Life {
  isOver: boolean
}

interface Due {
  readonly atMs: number
  readonly order: number
  work: (() => void) | null
}

export function virtualTime(start: Instant): VirtualTime {
  const heap: Due[] = []
  const startMs = msOf(start)
  let elapsedMs = 0
  let order = 0
  let instant = start
  let instantMs = 0
  return {
    nowMs: () => startMs + elapsedMs,
    clock: {
      now() {
        if (instantMs !== Math.floor(elapsedMs)) {
          instantMs = Math.floor(elapsedMs)
          instant = instantFromMs(startMs + instantMs)
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
    async step(limitMs) {
      for (;;) {
        const next = heap[0]
        if (next === undefined || startMs + next.atMs > limitMs) return false
        pop(heap)
        if (next.work === null) continue
        elapsedMs = next.atMs
        next.work()
        await settled()
        return true
      }
    },
  }
}

export function timersOf(time: VirtualTime, life: Life): Timers {
  return {
    sleep(ms, signal) {
      if (signal?.aborted === true) return Promise.resolve()
      const {promise, resolve} = Promise.withResolvers<void>()
      const wake = (): void => {
        signal?.removeEventListener('abort', early)
        if (!life.isOver) resolve()
      }
      const cancel = time.after(ms, wake)
      const early = (): void => {
        cancel()
        resolve()
      }
      signal?.addEventListener('abort', early, {once: true})
      return promise
    },
  }
}

/** All that can happen without time passing has happened: nothing in a simulation waits for the outside. */
function settled(): Promise<void> {
  const {promise, resolve} = Promise.withResolvers<void>()
  setImmediate(resolve)
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
