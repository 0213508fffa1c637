import type {Dice} from './dice.ts'

/** How often each kind strikes, as a share of its opportunities; those of 0 are only counted. */
export const faultShares = {
  appendRefused: 0.005,
  requestLost: 0.01,
  requestLate: 0.01,
  replyLost: 0.01,
  readRefused: 0.005,
  subscriptionDropped: 0.003,
  driverSilent: 0.001,
  wrongRevision: 0,
  crash: 0,
  storeDown: 0,
  machineUnplugged: 0,
} as const

export type FaultKind = keyof typeof faultShares

export interface Faults {
  /** Whether this opportunity is taken. */
  strikes(kind: FaultKind): boolean
  count(kind: FaultKind): void
  counts(): Readonly<Record<string, number>>
}

export function faultsOf(dice: Dice): Faults {
  const counts: Record<string, number> = Object.fromEntries(Object.keys(faultShares).map(kind => [kind, 0]))
  const count = (kind: FaultKind): void => {
    counts[kind] = (counts[kind] ?? 0) + 1
  }
  return {
    count,
    counts: () => counts,
    strikes(kind) {
      const isStruck = dice.chance(faultShares[kind])
      if (isStruck) count(kind)
      return isStruck
    },
  }
}
