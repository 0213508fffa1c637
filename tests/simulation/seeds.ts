import {Worker} from 'node:worker_threads'
import type {History} from './simulation.ts'

export interface Seeds {
  readonly first: number
  readonly count: number
  /** Simulated days of each. */
  readonly days: number
  readonly workers: number
}

/** What a thread is asked for. */
export interface Task {
  readonly seed: number
  readonly days: number
}

/** What many histories come to. */
export interface Totals {
  days: number
  events: number
  steps: number
  acknowledged: number
  readonly faults: Record<string, number>
  readonly types: Record<string, number>
  /** Each with the seed that shows it. */
  readonly violations: {readonly seed: number; readonly violation: string}[]
}

/** Simulates many seeds, one at a time in each of some threads. */
export async function simulateSeeds(
  {first, count, days, workers}: Seeds,
  onHistory: (history: History) => void = () => undefined,
): Promise<Totals> {
  const totals: Totals = {days: 0, events: 0, steps: 0, acknowledged: 0, faults: {}, types: {}, violations: []}
  let next = first
  const work = async (): Promise<void> => {
    const thread = startThread()
    try {
      while (next < first + count) {
        const history = await thread.simulate({seed: next++, days})
        addTo(totals, history)
        onHistory(history)
      }
    } finally {
      await thread.stop()
    }
  }
  await Promise.all(Array.from({length: Math.min(workers, count)}, work))
  return totals
}

function startThread(): {simulate(task: Task): Promise<History>; stop(): Promise<unknown>} {
  // Most of what a simulation allocates is gone soon: room for it keeps it from being copied about.
  const resourceLimits = {maxYoungGenerationSizeMb: 64}
  const worker = new Worker(new URL('thread.ts', import.meta.url), {resourceLimits, execArgv: []})
  return {
    simulate(task) {
      const {promise, resolve, reject} = Promise.withResolvers<History>()
      const onExit = (code: number): void => reject(new Error(`seed ${task.seed}: the thread ended with ${code}`))
      const onError = (error: unknown): void => reject(new Error(`seed ${task.seed}`, {cause: error}))
      worker.once('message', resolve).once('error', onError).once('exit', onExit)
      worker.postMessage(task, [])
      return promise.finally(() => worker.off('error', onError).off('exit', onExit))
    },
    stop: () => worker.terminate(),
  }
}

function addTo(totals: Totals, history: History): void {
  totals.days += history.days
  totals.events += history.events
  totals.steps += history.steps
  totals.acknowledged += history.acknowledged
  for (const part of ['faults', 'types'] as const) {
    for (const [kind, count] of Object.entries(history[part])) totals[part][kind] = (totals[part][kind] ?? 0) + count
  }
  for (const violation of history.violations) totals.violations.push({seed: history.seed, violation})
}

/** For people to read; the processors' time is that of this process so far. */
export function linesOf(totals: Totals, seconds: number): readonly string[] {
  const {user, system} = process.cpuUsage()
  const busy = ((user + system) / 1e6).toFixed(1)
  const {days, events, steps, acknowledged, faults, types, violations} = totals
  const years = days / daysPerYear
  const inOrder = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .sort(([, a], [, b]) => b - a)
      .map(([kind, count]) => `${kind} ${count}`)
      .join(', ')
  const faultCount = Object.values(faults).reduce((sum, count) => sum + count, 0)
  return [
    `simulated ${years.toFixed(2)} years in ${seconds.toFixed(1)} s (${busy} s of processors), ${(years / seconds).toFixed(2)} years a second`,
    `${events} events, ${steps} steps, ${acknowledged} answers held against the log`,
    `events: ${inOrder(types)}`,
    `${faultCount} faults, one in ${(events / Math.max(1, faultCount)).toFixed(1)} events: ${inOrder(faults)}`,
    `violations: ${violations.length}`,
    ...violations.map(({seed, violation}) => `  VIOLATION (seed ${seed}) ${violation}`),
  ]
}

export const daysPerYear = 365.25
