/** How long a consumer took for its newest messages, in EventStoreDB's measures. */
export interface Timings {
  begin(key: string): void
  end(key: string): void
  /** Whole milliseconds by name; empty before the first message is done. */
  measurements(): readonly (readonly [string, number])[]
}

const WINDOW = 1000

export function timings(): Timings {
  const begun = new Map<string, number>()
  const taken: number[] = []
  return {
    begin: key => void begun.set(key, performance.now()),
    end(key) {
      const since = begun.get(key)
      if (since === undefined) return
      begun.delete(key)
      if (taken.length >= WINDOW) taken.shift()
      taken.push(Math.floor(performance.now() - since))
    },
    measurements: () => (taken.length === 0 ? [] : measure([...taken].sort((a, b) => a - b))),
  }
}

function measure(sorted: readonly number[]): readonly (readonly [string, number])[] {
  const at = (percent: number): number =>
    sorted[Math.min(Math.floor((percent / 100) * sorted.length), sorted.length - 1)] ?? 0
  return [
    ['Mean', Math.floor(sorted.reduce((sum, ms) => sum + ms, 0) / sorted.length)],
    ['Median', at(50)],
    ['Fastest', at(0)],
    ...[0, 20, 40, 60, 80].map((percent, index) => [`Quintile ${index + 1}`, at(percent)] as const),
    ...[90, 95, 99, 99.5, 99.9].map(percent => [`${percent}%`, at(percent)] as const),
    ['Highest', at(100)],
  ]
}
