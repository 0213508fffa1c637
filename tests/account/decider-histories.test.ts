import {expect, test} from 'vitest'
import {account, availableMinutes, type AccountCommand, type AccountState} from '../../src/account/decider.ts'
import type {AccountEvent} from '../../src/account/events.ts'
import {fold} from '../../src/kernel/decider.ts'
import {idOf} from '../../src/kernel/ids.ts'
import {entriesOf, lookUp} from '../../src/kernel/persistent-map.ts'
import {plusMinutes, type Instant} from '../../src/kernel/time.ts'
import {at, seeded, termsOf} from '../support/given.ts'

type Random = ReturnType<typeof seeded>

test.each([1, 2, 3])('every balance holds after every event of 2,000 random commands (seed %d)', seed => {
  const random = seeded(seed)
  const log: AccountEvent[] = []
  let state: AccountState = account.initial
  let now = at('00:00')
  let accepted = 0
  for (let step = 0; step < 2_000; step++) {
    now = plusMinutes(now, random.below(30))
    const command = randomCommand(random, step, now)
    const before = state
    const decision = account.decide(command, state, {now})
    if (!decision.ok) {
      if (decision.refusal.type === 'InsufficientHours') {
        expect(decision.refusal.availableMinutes).toBe(availableMinutes(state, now))
        expect(decision.refusal.neededMinutes).toBeGreaterThan(decision.refusal.availableMinutes)
      }
      continue
    }
    if (decision.events.length > 0) accepted++
    for (const event of decision.events) {
      state = account.evolve(state, event)
      expectBalanced(state)
    }
    log.push(...decision.events)
    // Whatever was accepted is quiet when it is repeated at once, and evolving changed nothing in place.
    expect(account.decide(command, state, {now})).toEqual({ok: true, events: []})
    expectBalanced(before)
  }
  expect(accepted).toBeGreaterThan(400)
  expect(fold(account, account.initial, log)).toEqual(state)
  for (const type of ['HoursCaptured', 'HoursCompensated', 'HoursReleased', 'HoursExpired']) {
    expect(log.some(event => event.type === type)).toBe(true)
  }
})

/** Per grant: granted = available + held + captured + expired, nothing below zero; what is held is held by someone. */
function expectBalanced(state: AccountState): void {
  const heldByGrant = new Map<string, number>()
  for (const [, {draws}] of entriesOf(state.holds)) {
    for (const {grantId, minutes} of draws) heldByGrant.set(grantId, (heldByGrant.get(grantId) ?? 0) + minutes)
  }
  for (const {grantId, minutes, available, held, captured, expired} of state.grants) {
    const parts = [available, held, captured, expired]
    if (parts.some(part => part < 0 || !Number.isInteger(part)))
      expect({grantId, parts}).toBe('whole and never negative')
    if (available + held + captured + expired !== minutes) expect({grantId, parts}).toBe(minutes)
    if (held !== (heldByGrant.get(grantId) ?? 0)) expect({grantId, held}).toBe(heldByGrant.get(grantId))
  }
  for (const [bookingId] of entriesOf(state.holds)) {
    if (lookUp(state.ended, bookingId) !== undefined) expect(bookingId).toBe('open or ended, not both')
  }
}

function randomCommand(random: Random, step: number, now: Instant): AccountCommand {
  const bookingId = idOf<'Booking'>(`booking-${Math.max(0, Math.floor(step / 3) - random.below(20))}`)
  const kind = random.below(10)
  if (kind < 2) {
    const effectiveAt = random.chance(0.7) ? null : plusMinutes(now, random.below(2_000) - 500)
    const expiresAt = random.chance(0.3) ? null : plusMinutes(now, random.below(3_000))
    const source = {type: 'operator', reason: 'test'} as const
    const minutes = random.below(400)
    return {
      type: 'GrantHours',
      grantId: idOf(`g${step}`),
      minutes,
      source,
      priority: random.below(3),
      effectiveAt,
      expiresAt,
    }
  }
  if (kind < 6) {
    const start = at('00:00', random.below(5))
    const minutes = 1 + random.below(300)
    return {type: 'HoldHours', bookingId, terms: termsOf({start, end: plusMinutes(start, minutes)})}
  }
  if (kind < 7) return {type: 'ReleaseHold', bookingId, reason: {type: 'cancelled'}}
  const [usedMinutes, lostMinutes] = [random.below(200), random.below(100)]
  return {type: 'SettleHold', bookingId, usedMinutes, lostMinutes, reason: {type: 'failed'}}
}
