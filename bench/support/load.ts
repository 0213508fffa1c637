/** One closed-loop load: so many clients, each sending its next request when it has the answer to the last. */
export interface Load {
  readonly clients: number
  readonly warmUpMs: number
  readonly measureMs: number
}

export interface Measured {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** Answers that were no booking; a benchmark of refusals would flatter. */
  readonly refused: number
}

/** Sends `request(0)`, `request(1)`, … until the time is over. Answers before the warm-up's end do not count. */
export async function measure(load: Load, request: (index: number) => Promise<boolean>): Promise<Measured> {
  const latencies: number[] = []
  let next = 0
  let refused = 0
  const begin = performance.now() + load.warmUpMs
  const end = begin + load.measureMs
  const client = async (): Promise<void> => {
    for (let sent = performance.now(); sent < end; sent = performance.now()) {
      const booked = await request(next++)
      const answered = performance.now()
      if (answered < begin || answered > end) continue
      latencies.push(answered - sent)
      if (!booked) refused++
    }
  }
  await Promise.all(Array.from({length: load.clients}, client))
  latencies.sort((a, b) => a - b)
  const quantile = (share: number): number => latencies[Math.floor((latencies.length - 1) * share)] ?? Number.NaN
  return {
    perSecond: latencies.length / (load.measureMs / 1000),
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    refused,
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? Number.NaN
}
