import type {Happenings} from './plot.ts'
import type {History, SimulationOptions} from './simulation.ts'

/** A short history that shows, or once showed, a fault of the engine; kept as a file and told again by a test. */
export interface SavedHistory {
  readonly seed: number
  readonly days: number
  /** Of all that happens by chance under this seed, only this. */
  readonly only: Happenings
  /** What was wrong, without its times and ids. */
  readonly fault: string
}

export interface Shrunk extends SavedHistory {
  /** How much happened by chance before and after, and in how many runs. */
  readonly before: number
  readonly after: number
  readonly runs: number
}

/** Lives through a history; a shrinking calls it many times. */
export type Simulate = (options: SimulationOptions) => Promise<History>

/**
 * Leaves out what happened by chance, piece by piece, as long as the same thing still goes wrong: first all of a kind,
 * then ever smaller parts of what is left (delta debugging: Zeller and Hildebrandt, 2002), in a bounded number of runs.
 */
export async function shrink(simulate: Simulate, found: History, runsMax: number): Promise<Shrunk | null> {
  const [violation, elapsedDays] = [found.violations[0], found.violationDays[0]]
  if (violation === undefined || elapsedDays === undefined) return null
  const fault = faultIn(violation)
  const {seed} = found
  let runs = 0
  const shows = async (happenings: readonly Happening[], days: number): Promise<boolean> => {
    if (runs >= runsMax) return false
    runs++
    const {violations} = await simulate({seed, days, only: toOnly(happenings), violationsMax: 3})
    return violations.some(other => faultIn(other) === fault)
  }
  let left = toList(found.happened)
  const before = left.length
  // What comes after it has no part in it; but some things are only looked at in the end.
  let days = elapsedDays + 1 / 24
  if (!(await shows(left, days))) days = found.days
  for (const name of new Set(left.map(([of]) => of))) {
    const without = left.filter(([of]) => of !== name)
    if (without.length < left.length && (await shows(without, days))) left = without
  }
  // Once the runs are used up nothing is left out any more, and this comes to its end at once.
  for (let parts = 2; parts <= left.length;) {
    const size = Math.ceil(left.length / parts)
    let isSmaller = false
    for (let from = 0; from < left.length; from += size) {
      const without = [...left.slice(0, from), ...left.slice(from + size)]
      if (!(await shows(without, days))) continue
      left = without
      isSmaller = true
      break
    }
    if (isSmaller) parts = Math.max(2, parts - 1)
    else if (size === 1) break
    else parts = Math.min(left.length, parts * 2)
  }
  return {seed, days, only: toOnly(left), fault, before, after: left.length, runs}
}

/** What a violation says, whenever and of whomever it says it. */
export function faultIn(violation: string): string {
  return violation
    .replace(/^\S+ /, '')
    .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '…')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '…')
    .replace(/\d+/g, '…')
}

type Happening = readonly [name: string, number: number]

function toList(happened: Happenings): readonly Happening[] {
  return Object.entries(happened).flatMap(([name, numbers]) => numbers.map(number => [name, number] as const))
}

function toOnly(happenings: readonly Happening[]): Happenings {
  const only: Record<string, number[]> = {}
  for (const [name, number] of happenings) (only[name] ??= []).push(number)
  return only
}
