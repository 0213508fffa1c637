import {describe, expect, test} from 'vitest'
import {account, type AccountCommand} from '../../src/account/decider.ts'
import type {AccountEvent, Draw, ReleaseReason} from '../../src/account/events.ts'
import {idOf} from '../../src/kernel/ids.ts'
import {lookUp} from '../../src/kernel/persistent-map.ts'
import {at, given, termsOf} from '../support/given.ts'

const now = at('15:00')
const bookingId = idOf<'Booking'>('booking-1')
const terms = termsOf({start: at('12:00'), end: at('14:00')})
const reason: ReleaseReason = {type: 'cancelled'}

function granted(grantId: string, minutes: number): AccountEvent {
  const source = {type: 'operator', reason: 'welcome'} as const
  const data = {
    grantId: idOf<'Grant'>(grantId),
    minutes,
    source,
    priority: 0,
    effectiveAt: at('08:00'),
    expiresAt: null,
  }
  return {type: 'HoursGranted', data}
}

function draw(grantId: string, minutes: number): Draw {
  return {grantId: idOf<'Grant'>(grantId), minutes}
}

function settle(usedMinutes: number, lostMinutes: number): AccountCommand {
  return {type: 'SettleHold', bookingId, usedMinutes, lostMinutes, reason}
}

function captured(...draws: Draw[]): AccountEvent {
  return {type: 'HoursCaptured', data: {bookingId, minutes: total(draws), draws}}
}

function compensated(...draws: Draw[]): AccountEvent {
  return {type: 'HoursCompensated', data: {bookingId, minutes: total(draws), draws}}
}

function released(...draws: Draw[]): AccountEvent {
  return {type: 'HoursReleased', data: {bookingId, minutes: total(draws), draws, reason}}
}

function total(draws: readonly Draw[]): number {
  return draws.reduce((sum, {minutes}) => sum + minutes, 0)
}

const open: readonly AccountEvent[] = [
  granted('g1', 100),
  granted('g2', 100),
  {type: 'HoursHeld', data: {bookingId, minutes: 120, draws: [draw('g1', 100), draw('g2', 20)], terms}},
]

describe('settling a hold', () => {
  test('captures all of it when all was used', () => {
    given(account, ...open)
      .when(settle(120, 0), now)
      .thenEvents(captured(draw('g1', 100), draw('g2', 20)))
  })

  test('captures what was used, compensates what was lost, releases the rest', () => {
    given(account, ...open)
      .when(settle(90, 15), now)
      .thenEvents(captured(draw('g1', 90)), compensated(draw('g1', 10), draw('g2', 5)), released(draw('g2', 15)))
  })

  test('releases all of it when nothing was used', () => {
    given(account, ...open)
      .when(settle(0, 0), now)
      .thenEvents(released(draw('g1', 100), draw('g2', 20)))
  })

  test('compensates all of it when the machine was never there', () => {
    given(account, ...open)
      .when(settle(0, 120), now)
      .thenEvents(compensated(draw('g1', 100), draw('g2', 20)))
  })

  test('never takes more than was held', () => {
    given(account, ...open)
      .when(settle(500, 500), now)
      .thenEvents(captured(draw('g1', 100), draw('g2', 20)))
  })

  test('twice is quiet, with other numbers too', () => {
    const settled = [captured(draw('g1', 90)), compensated(draw('g1', 10), draw('g2', 5)), released(draw('g2', 15))]
    const after = given(account, ...open, ...settled)
    after.when(settle(90, 15), now).thenNothing()
    after.when(settle(120, 0), now).thenNothing()
    after.when({type: 'ReleaseHold', bookingId, reason}, now).thenNothing()
  })

  test('of a hold that never was is refused', () => {
    given(account).when(settle(60, 0), now).thenRefused({type: 'NoSuchHold', bookingId})
  })

  test('ends a hold of no minutes as well', () => {
    const empty: AccountEvent = {
      type: 'HoursHeld',
      data: {bookingId, minutes: 0, draws: [], terms: {...terms, minutes: 0}},
    }
    given(account, empty).when(settle(0, 0), now).thenEvents(released())
    expect(lookUp(given(account, empty, released()).state.holds, bookingId)).toBeUndefined()
  })

  test('leaves the grants with what was captured, and the rest available', () => {
    const settled = [captured(draw('g1', 90)), compensated(draw('g1', 10), draw('g2', 5)), released(draw('g2', 15))]
    const {grants, holds} = given(account, ...open, ...settled).state
    expect(
      grants.map(({grantId, available, held, captured, expired}) => [grantId, available, held, captured, expired]),
    ).toEqual([
      ['g1', 10, 0, 90, 0],
      ['g2', 100, 0, 0, 0],
    ])
    expect(holds.size).toBe(0)
  })
})
