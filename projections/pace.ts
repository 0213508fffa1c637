/**
 * When to commit what has been folded: at once while little happens, else every few milliseconds, sooner when somebody
 * waits for it, so that under load one transaction carries many events. It decides nothing, so its timer is a real one
 * also where the engine's time is not.
 */
export interface Pace {
  /** There is something to commit; `now`: somebody waits for it. */
  soon(now: boolean): void
  /** It was committed; also when nobody was asked. */
  done(): void
}

/** Between two transactions while somebody waits, and while nobody does. */
const waitedForMs = 2
const lingerMs = 12

/** `nowMs` never goes back; where it stands still, everything waits for the timer. */
export function createPace(nowMs: () => number, commit: () => void): Pace {
  let immediate: NodeJS.Immediate | null = null
  let timer: NodeJS.Timeout | null = null
  let lastMs = 0

  const done = (): void => {
    if (immediate !== null) clearImmediate(immediate)
    if (timer !== null) clearTimeout(timer)
    immediate = null
    timer = null
    lastMs = nowMs()
  }
  return {
    soon(now) {
      if (immediate !== null) return
      const dueInMs = lastMs + (now ? waitedForMs : lingerMs) - nowMs()
      if (dueInMs <= 0) immediate = setImmediate(commit)
      else if (timer === null || now) {
        if (timer !== null) clearTimeout(timer)
        timer = setTimeout(commit, dueInMs)
      }
    },
    done,
  }
}
