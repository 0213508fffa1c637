import type {SimulatedKind} from '../../src/drivers/simulated.ts'
import type {Crew} from './crew.ts'
import {diceOf, mixed, type Dice} from './dice.ts'
import type {Faults, TroubleKind} from './faults.ts'
import type {Plot} from './plot.ts'
import type {SimulatedStore} from './store.ts'
import type {VirtualTime} from './virtual-time.ts'

export interface TroubleParts {
  readonly seed: number
  readonly time: VirtualTime
  readonly plot: Plot
  readonly faults: Faults
  readonly crew: Crew
  readonly store: SimulatedStore
  readonly kind: SimulatedKind
  readonly machineIds: readonly string[]
  /** Runs what nobody of the engine does. */
  readonly byHand: (work: () => void) => void
}

/** Answers whether it came over anybody. */
type Trouble = (parts: TroubleParts, dice: Dice) => boolean

const secondMs = 1_000
const minuteMs = 60_000
const hourMs = 60 * minuteMs

/** How often each comes, and what it does. */
const troubles: Readonly<Record<TroubleKind, readonly [weight: number, befall: Trouble]>> = {
  crash: [10, ({crew}, dice) => crew.crash(dice.below(2), dice.chance(0.6) ? 0 : dice.below(90 * secondMs), false)],
  crashWithDisk: [0.15, ({crew}, dice) => crew.crash(dice.below(2), dice.below(10 * secondMs), true)],
  death: [2, ({crew}, dice) => crew.crash(dice.below(2), dice.below(30 * minuteMs), false)],
  freeze: [4, ({crew}, dice) => crew.freeze(dice.below(2), dice.below(dice.pick([20, 120, 1_200]) ?? 1) * secondMs)],
  storeDown: [
    5,
    (parts, dice) =>
      hinder(parts, secondMs + dice.below(2 * minuteMs), is => {
        parts.store.setDown(is)
      }),
  ],
  storeFull: [
    3,
    (parts, dice) =>
      hinder(parts, secondMs + dice.below(5 * minuteMs), is => {
        parts.store.setFull(is)
      }),
  ],
  clockHourOn: [1, parts => jump(parts, hourMs)],
  clockHourBack: [1, parts => jump(parts, -hourMs)],
  clockYearOn: [0.15, parts => jump(parts, 400 * 24 * hourMs)],
  machineUnplugged: [5, unplug],
}

/** One trouble after another, each from dice of its own. */
export function createTroubles(parts: TroubleParts): () => void {
  const kinds = Object.keys(troubles) as TroubleKind[]
  const total = kinds.reduce((sum, kind) => sum + troubles[kind][0], 0)
  let count = 0
  return () => {
    const dice = diceOf(mixed(parts.seed, count++))
    let left = dice.next() * total
    for (const kind of kinds) {
      const [weight, befall] = troubles[kind]
      left -= weight
      if (left >= 0) continue
      if (!parts.plot.happens('trouble')) return
      if (befall(parts, dice)) parts.faults.count(kind)
      return
    }
  }
}

function hinder({time, crew}: TroubleParts, ms: number, set: (is: boolean) => void): boolean {
  set(true)
  time.after(ms, () => set(false))
  crew.disturb(ms + 1)
  return true
}

function jump({time, crew}: TroubleParts, ms: number): boolean {
  time.jump(ms)
  crew.unsettle()
  return true
}

/** Nobody is told, and a machine that is out of reach is left alone. */
function unplug({kind, machineIds, byHand}: TroubleParts, dice: Dice): boolean {
  const config = kind.parseConfig({})
  const machineId = dice.pick(machineIds)
  if (!config.ok || machineId === undefined || (kind.truth(machineId)?.phase ?? 'off') === 'off') return false
  const never = new AbortController().signal
  byHand(() => {
    kind
      .open(machineId, config.config)
      .kill(never)
      .catch(() => undefined)
  })
  return true
}
