/** Counts what the node does, for `/stats`. All of bounded size. */
export interface Meter {
  /** One group: how many writes, how many events were stored, how long its COMMIT took. */
  committed(writes: number, events: number, commitMs: number): void
  read(): MeterReading
}

export interface MeterReading {
  readonly writes: number
  readonly events: number
  /** Over the last ten whole seconds. */
  readonly writesPerSecond: number
  readonly eventsPerSecond: number
  readonly groups: number
  /** Of the last 1,024 COMMITs: writing and syncing. */
  readonly commitMs: {readonly p50: number; readonly p99: number; readonly max: number}
}

const SECONDS = 10
const TIMES = 1024

export function createMeter(monotonicMs: () => number): Meter {
  const times = new Float64Array(TIMES)
  // One slot more than is summed up: the second that is not over.
  const slots = Array.from({length: SECONDS + 1}, () => ({second: -1, writes: 0, events: 0}))
  let [groups, writes, events] = [0, 0, 0]
  const second = (): number => Math.floor(monotonicMs() / 1000)

  return {
    committed(groupWrites, groupEvents, commitMs) {
      times[groups++ % TIMES] = commitMs
      writes += groupWrites
      events += groupEvents
      const now = second()
      const slot = slots[now % slots.length]
      if (slot === undefined) return
      if (slot.second !== now) Object.assign(slot, {second: now, writes: 0, events: 0})
      slot.writes += groupWrites
      slot.events += groupEvents
    },
    read() {
      const now = second()
      const whole = slots.filter(slot => slot.second >= now - SECONDS && slot.second < now)
      const perSecond = (of: 'writes' | 'events'): number => whole.reduce((sum, slot) => sum + slot[of], 0) / SECONDS
      const sorted = times.slice(0, Math.min(groups, TIMES)).sort()
      const quantile = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? 0
      return {
        writes,
        events,
        writesPerSecond: perSecond('writes'),
        eventsPerSecond: perSecond('events'),
        groups,
        commitMs: {p50: quantile(0.5), p99: quantile(0.99), max: quantile(1)},
      }
    },
  }
}
