import {expect} from 'vitest'
import {fold, type Decider} from '../../src/kernel/decider.ts'
import {idOf} from '../../src/kernel/ids.ts'
import type {BookingTerms} from '../../src/kernel/terms.ts'
import {msBetween, parseInstant, type Instant} from '../../src/kernel/time.ts'

/** Given these events, when this command comes, then these events follow or this refusal: all fields written. */
export function given<State, Command, Event, Refusal>(
  decider: Decider<State, Command, Event, Refusal>,
  ...events: readonly Event[]
): {
  when(command: Command, now: Instant): Outcome<Event, Refusal>
  readonly state: State
} {
  const state = fold(decider, decider.initial, events)
  return {
    state,
    when(command, now) {
      const decision = decider.decide(command, state, {now})
      return {
        thenEvents: (...expected) => expect(decision).toEqual({ok: true, events: expected}),
        thenNothing: () => expect(decision).toEqual({ok: true, events: []}),
        thenRefused: refusal => expect(decision).toEqual({ok: false, refusal}),
      }
    },
  }
}

export interface Outcome<Event, Refusal> {
  thenEvents(...expected: readonly Event[]): void
  thenNothing(): void
  thenRefused(refusal: Refusal): void
}

/** `10:30`, `10:30:15` or `10:30:15.250` on 21 November 2026, or so many days after it. */
export function at(time: string, day = 0): Instant {
  const full = time.length === 5 ? `${time}:00.000` : time.length === 8 ? `${time}.000` : time
  const instant = parseInstant(`2026-11-${String(21 + day).padStart(2, '0')}T${full}Z`)
  if (instant === null) throw new Error(`no time: ${time}`)
  return instant
}

/** Terms of a booking of `service-a` in `realm-1`; what a test does not name is of no matter to it. */
export function termsOf(
  interval: {readonly start: Instant; readonly end: Instant},
  more: {
    readonly userId?: string
    readonly serviceId?: string
    readonly minutes?: number
    readonly tiers?: BookingTerms['policy']['cancellationTiers']
  } = {},
): BookingTerms {
  const value = {amountMinor: 500, currency: 'EUR'}
  return {
    userId: idOf(more.userId ?? 'ann'),
    serviceId: idOf(more.serviceId ?? 'service-a'),
    realmId: idOf('realm-1'),
    poolId: idOf('pool-1'),
    interval,
    zone: null,
    minutes: more.minutes ?? msBetween(interval.start, interval.end) / 60_000,
    price: {list: value, discountPercent: 0, total: value},
    policy: {
      warmUpMinutes: 5,
      turnaroundMinutes: 5,
      cancellationTiers: more.tiers ?? [{noticeMinutesMin: 0, chargePercent: 0}],
    },
  }
}

/** The same numbers for the same seed, 0 ≤ x < 1 (mulberry32). */
export function seeded(seed: number): {
  next(): number
  below(bound: number): number
  chance(share: number): boolean
  pick<Value>(from: readonly Value[]): Value
} {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (bound: number): number => Math.floor(next() * bound)
  return {
    next,
    below,
    chance: share => next() < share,
    pick(from) {
      const picked = from[below(from.length)]
      if (picked === undefined) throw new Error('nothing to pick from')
      return picked
    },
  }
}
