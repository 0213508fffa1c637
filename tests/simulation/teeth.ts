import {Worker} from 'node:worker_threads'

/** One history to live through. */
export interface Run {
  readonly seed: number
  readonly days: number
}

export interface Found extends Run {
  readonly simulatedDays: number
  readonly events: number
  readonly violations: readonly string[]
  /** When each was seen. */
  readonly violationDays: readonly number[]
}

/** A row of the table: which history shows which bug. */
export interface Tooth extends Run {
  readonly bug: string
  readonly file: string
  /** Simulated from the first seed tried until it was seen. */
  readonly foundAfterYears: number
  readonly said: string
}

export const tableFile = new URL('./teeth.json', import.meta.url)

/** A simulator with one bug in it, or (null) none, in a thread of its own. */
export interface Bitten {
  /** What came of a run. Rejects when the thread died or gave no answer in time: the bug may go round in circles. */
  run(run: Run): Promise<Found>
  end(): Promise<void>
}

export function bite(bug: string | null, timeoutMs: number): Bitten {
  const worker = new Worker(new URL('./teeth-worker.ts', import.meta.url), {
    workerData: bug,
    resourceLimits: {maxOldGenerationSizeMb: 1500},
    // Says that SQLite is new, once for every thread.
    execArgv: ['--disable-warning=ExperimentalWarning'],
  })
  return {
    run(run) {
      const {promise, resolve, reject} = Promise.withResolvers<Found>()
      const timeout = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
      worker.once('message', resolve)
      worker.once('error', reject)
      worker.postMessage(run, [])
      return promise.finally(() => {
        clearTimeout(timeout)
        worker.off('message', resolve)
        worker.off('error', reject)
      })
    },
    async end() {
      await worker.terminate()
    },
  }
}

/** The first violation that shows a bug, and how many simulated days after the start; null when none does. */
export function firstShowing(found: Found, shows: RegExp): {readonly days: number; readonly said: string} | null {
  const index = found.violations.findIndex(violation => shows.test(violation))
  const violation = found.violations[index]
  if (violation === undefined) return null
  return {days: found.violationDays[index] ?? found.simulatedDays, said: violation.slice(violation.indexOf(' ') + 1)}
}

export function showing(violations: readonly string[], shows: RegExp | undefined): readonly string[] {
  return violations.filter(violation => shows?.test(violation))
}
