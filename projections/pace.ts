/**
 * When to commit what has been folded: at once while little happens or somebody waits for it, else every few
 * milliseconds, so that under load one transaction carries many events. Times real milliseconds, as it only trades
 * work for latency and decides nothing.
 */
export interface Pace {
  /** There is something to commit; `now`: somebody waits for it. */
  soon(now: boolean): void
  /** It was committed; also when nobody was asked. */
  done(): void
}

const lingerMs = 4

export function createPace(commit: () => void): Pace {
  let immediate: NodeJS.Immediate | null = null
  let timer: NodeJS.Timeout | null = null
  let lastMs = 0

  const done = (): void => {
    if (immediate !== null) clearImmediate(immediate)
    if (timer !== null) clearTimeout(timer)
    immediate = null
    timer = null
    lastMs = performance.now()
  }
  return {
    soon(now) {
      if (immediate !== null) return
      if (now || performance.now() - lastMs > lingerMs) immediate = setImmediate(commit)
      else timer ??= setTimeout(commit, lingerMs)
    },
    done,
  }
}
