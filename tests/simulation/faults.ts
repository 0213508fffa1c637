import {diceOf, type Dice} from './dice.ts'
import type {Plot} from './plot.ts'

/** How often each kind strikes, as a share of its opportunities. */
export const faultShares = {
  appendRefused: 0.005,
  requestLost: 0.01,
  requestLate: 0.01,
  requestTwice: 0.01,
  replyLost: 0.01,
  readRefused: 0.005,
  subscriptionDropped: 0.003,
  deliveredTwice: 0.01,
  driverSilent: 0.002,
  driverFails: 0.005,
  driverLimits: 0.003,
  driverLocksOut: 0.001,
  crashAtAppend: 0.004,
  stallAtAppend: 0.02,
  stallAtSwitch: 0.02,
} as const

/** What comes over whole programs and machines; see `troubles.ts`. */
export const troubleKinds = [
  'crash',
  'crashWithDisk',
  'death',
  'freeze',
  'storeDown',
  'storeFull',
  'clockHourOn',
  'clockHourBack',
  'clockYearOn',
  'machineUnplugged',
] as const

/** What follows from others, and is only counted. */
export const consequences = ['wrongRevision', 'refusedByFullDisk', 'takeOver'] as const

export type FaultKind = keyof typeof faultShares
export type TroubleKind = (typeof troubleKinds)[number]
export type CountedKind = FaultKind | TroubleKind | (typeof consequences)[number]

export interface Faults {
  /** Whether this opportunity is taken. */
  strikes(kind: FaultKind): boolean
  count(kind: CountedKind): void
  counts(): Readonly<Record<string, number>>
}

export function faultsOf(seed: number, plot: Plot): Faults {
  const kinds = Object.keys(faultShares) as FaultKind[]
  const all: readonly CountedKind[] = [...kinds, ...troubleKinds, ...consequences]
  const counts = Object.fromEntries(all.map(kind => [kind, 0])) as Record<CountedKind, number>
  // Dice of its own for each kind: one that strikes less leaves the others where they were.
  const left = Object.fromEntries(
    kinds.map((kind, index) => {
      const dice = diceOf(seed + index)
      return [kind, {dice, count: untilNext(dice, faultShares[kind])}]
    }),
  ) as Record<FaultKind, {readonly dice: Dice; count: number}>
  return {
    count(kind) {
      counts[kind]++
    },
    counts: () => counts,
    strikes(kind) {
      const wait = left[kind]
      if (wait.count-- > 0) return false
      wait.count = untilNext(wait.dice, faultShares[kind])
      if (!plot.happens(kind)) return false
      counts[kind]++
      return true
    },
  }
}

/** How many opportunities pass until one is taken: geometric, drawn once instead of at each of them. */
function untilNext(dice: Dice, share: number): number {
  return Math.floor(Math.log(1 - dice.next()) / Math.log(1 - share))
}
