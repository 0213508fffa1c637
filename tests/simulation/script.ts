import {diceOf, mixed, type Dice} from './dice.ts'
import type {Pulse} from './node.ts'
import type {VirtualTime} from './virtual-time.ts'

/** Which programs run: one alone, one that acts and one that only takes commands, or two that want to act. */
export type Cast = 'alone' | 'helped' | 'rivals'

/** What the script asks for; whether and how it happens is not its concern. */
export interface Players {
  /** An episode begins with this cast. */
  readonly enter: (cast: Cast, pulse: Pulse) => void
  readonly act: () => void
  readonly trouble: () => void
}

const minuteMs = 60_000
const hourMs = 60 * minuteMs
export const dayMs = 24 * hourMs

export const calmPulse: Pulse = {
  changingMs: 30_000,
  onMs: hourMs,
  offMs: 20 * dayMs,
  aheadMs: 5 * minuteMs,
  leaseTermMs: 8 * minuteMs,
}
const livelyPulses: readonly Pulse[] = [
  {changingMs: 3_000, onMs: 5 * minuteMs, offMs: hourMs, aheadMs: minuteMs, leaseTermMs: 6 * minuteMs},
  {changingMs: 15_000, onMs: 15 * minuteMs, offMs: 4 * hourMs, aheadMs: 5 * minuteMs, leaseTermMs: 8 * minuteMs},
  {changingMs: 30_000, onMs: 15 * minuteMs, offMs: 4 * hourMs, aheadMs: 2 * minuteMs, leaseTermMs: 8 * minuteMs},
]

/** Mean times between what happens, and what it amounts to. */
const actGapMs = 60_000
const troubleGapMs = 8 * minuteMs
const aftermathMs = hourMs
const quietMs = 140 * dayMs
const quietActGapMs = 6 * dayMs
const quietTroubleGapMs = 40 * dayMs

/**
 * Lets years pass in episodes, the first at once: an hour or two of rivalry, crashes and faults, some hours in which
 * the faults go on, and then quiet days with a booking now and then. Planned from the seed alone.
 */
export function playScript(time: VirtualTime, seed: number, players: Players): void {
  const episode = (number: number): void => {
    const dice = diceOf(mixed(seed, number))
    const cast = dice.pick<Cast>(['alone', 'helped', 'helped', 'rivals', 'rivals']) ?? 'alone'
    players.enter(cast, dice.pick(livelyPulses) ?? calmPulse)
    const livelyMs = (40 + dice.next() * 50) * minuteMs
    const troubledMs = livelyMs + aftermathMs
    const nextMs = troubledMs + Math.min(spread(dice, quietMs), 3 * quietMs)
    often(time, dice, {fromMs: minuteMs, untilMs: livelyMs, gapMs: actGapMs}, players.act)
    often(time, dice, {fromMs: minuteMs, untilMs: troubledMs, gapMs: troubleGapMs}, players.trouble)
    time.after(troubledMs, () => players.enter('alone', calmPulse))
    often(time, dice, {fromMs: troubledMs, untilMs: nextMs, gapMs: quietActGapMs}, players.act)
    often(time, dice, {fromMs: troubledMs, untilMs: nextMs, gapMs: quietTroubleGapMs}, players.trouble)
    time.after(nextMs, () => episode(number + 1))
  }
  episode(0)
}

function often(
  time: VirtualTime,
  dice: Dice,
  {fromMs, untilMs, gapMs}: {readonly fromMs: number; readonly untilMs: number; readonly gapMs: number},
  work: () => void,
): void {
  for (let atMs = fromMs + spread(dice, gapMs); atMs < untilMs; atMs += spread(dice, gapMs)) time.after(atMs, work)
}

/** Exponential: things happen independently of each other. */
function spread(dice: Dice, meanMs: number): number {
  return -Math.log(1 - dice.next()) * meanMs
}
