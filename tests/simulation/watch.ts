import type {VirtualTime} from './virtual-time.ts'

/** Looks for what is overdue when something may be, and not in between. */
export interface Watch {
  /** Something happened: look soon. */
  soon(): void
}

const soonMs = 5_000
const gapMsMin = 1_000

/** `look` answers when, by the wall clock, it is to look again; Infinity: when something happens. */
export function createWatch(time: VirtualTime, look: () => number): Watch {
  let plannedMs = Infinity
  const plan = (ms: number): void => {
    const atMs = time.elapsedMs() + ms
    if (atMs >= plannedMs || ms === Infinity) return
    plannedMs = atMs
    time.after(ms, () => {
      if (plannedMs !== atMs) return
      plannedMs = Infinity
      plan(Math.max(gapMsMin, look() - time.nowMs() + 1))
    })
  }
  return {soon: () => plan(soonMs)}
}
