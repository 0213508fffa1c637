/**
 * When to fold what has arrived, and when to keep what was folded. Folding waits a few milliseconds under load, so that
 * one batch carries many events; it is quicker when little happens or somebody waits for it. Keeping costs most and
 * nobody waits for it: a few times a second is enough. It decides nothing, so its timers are real ones also where the
 * engine's time is not.
 */
export interface Pace {
  /** There is something to fold; `now`: somebody waits for it. */
  soon(now: boolean): void
  /** It was folded; also when nobody was asked. */
  done(): void
}

/** Between two batches while somebody waits, and while nobody does. */
const waitedForMs = 2
const lingerMs = 12
const keepMs = 250

/** `nowMs` never goes back; where it stands still, everything waits for the timer. */
export function createPace(nowMs: () => number, fold: () => void, keep: () => void): Pace {
  let immediate: NodeJS.Immediate | null = null
  let timer: NodeJS.Timeout | null = null
  let keeping: NodeJS.Timeout | null = null
  let lastMs = 0

  return {
    soon(now) {
      if (immediate !== null) return
      const dueInMs = lastMs + (now ? waitedForMs : lingerMs) - nowMs()
      if (dueInMs <= 0) immediate = setImmediate(fold)
      else if (timer === null || now) {
        if (timer !== null) clearTimeout(timer)
        timer = setTimeout(fold, dueInMs)
      }
    },
    done() {
      if (immediate !== null) clearImmediate(immediate)
      if (timer !== null) clearTimeout(timer)
      immediate = null
      timer = null
      lastMs = nowMs()
      keeping ??= setTimeout(() => {
        keeping = null
        keep()
      }, keepMs).unref()
    },
  }
}
