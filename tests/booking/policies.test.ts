import {describe, expect, test} from 'vitest'
import {
  bookingRules,
  chargedBeforeStart,
  checkRequest,
  defaultPolicy,
  snapshotOf,
  startedMinutes,
  type BookingPolicy,
} from '../../src/booking/policies.ts'
import {parseInstant, plusMs, type Instant} from '../../src/kernel/time.ts'
import {at} from '../support/given.ts'

const now = at('10:00')
const policy: BookingPolicy = {...defaultPolicy, noticeMinutesMin: 30, horizonDays: 2}
const check = (start: Instant, minutes: number): unknown => checkRequest({start, minutes}, policy, now)
const wholeHour = {type: 'LengthNotAllowed', field: 'minutes', minutesMin: 60, minutesMax: 720, stepMinutes: 60}

describe('a booking', () => {
  test.each([60, 120, 720])('may last %d minutes', minutes => {
    expect(check(at('12:00'), minutes)).toBeNull()
  })

  test.each([0, -0, -1, -60, 1, 59, 61, 90, 60.5, 780, 6e10, 2 ** 53, NaN, Infinity, -Infinity])(
    'may not last %d minutes',
    minutes => {
      expect(check(at('12:00'), minutes)).toEqual(wholeHour)
    },
  )

  test('starts on a whole minute', () => {
    expect(check(at('12:01'), 60)).toBeNull()
    for (const start of [at('12:00:01'), at('12:00:00.001'), at('12:00:59.999')]) {
      expect(check(start, 60)).toEqual({type: 'StartNotOnMinute', field: 'start'})
    }
  })

  test('does not start in the past', () => {
    expect(check(at('09:59'), 60)).toEqual({type: 'StartInPast', field: 'start'})
    expect(check(at('10:00', -20), 60)).toEqual({type: 'StartInPast', field: 'start'})
    expect(checkRequest({start: now, minutes: 60}, {...policy, noticeMinutesMin: 0}, now)).toBeNull()
    expect(checkRequest({start: now, minutes: 60}, {...policy, noticeMinutesMin: 0}, plusMs(now, 1))).toEqual({
      type: 'StartInPast',
      field: 'start',
    })
  })

  test('is made with the minimum notice', () => {
    expect(check(at('10:30'), 60)).toBeNull()
    expect(check(at('10:29'), 60)).toEqual({type: 'NoticeTooShort', field: 'start', earliest: at('10:30')})
  })

  test('ends within the horizon', () => {
    expect(check(at('09:00', 2), 60)).toBeNull()
    expect(check(at('09:01', 2), 60)).toEqual({type: 'OutsideHorizon', field: 'end', latest: at('10:00', 2)})
    expect(check(at('09:00', 2), 120)).toEqual({type: 'OutsideHorizon', field: 'end', latest: at('10:00', 2)})
  })

  test('at the end of time is refused like any other', () => {
    const last = parseInstant('9999-12-31T23:59:00.000Z')
    if (last === null) throw new Error('no instant')
    expect(check(last, 720)).toMatchObject({type: 'OutsideHorizon'})
  })

  test('that breaks several rules is refused by the first in the list', () => {
    expect(check(at('09:00:01'), 0)).toEqual(wholeHour)
    expect(check(at('09:00:01'), 60)).toEqual({type: 'StartNotOnMinute', field: 'start'})
    expect(check(at('09:00'), 60)).toEqual({type: 'StartInPast', field: 'start'})
    expect(Object.keys(bookingRules)).toHaveLength(5)
  })

  test('takes along the terms of the policy, and no later change of it', () => {
    const tiers = [{noticeMinutesMin: 60, chargePercent: 50}]
    const snapshot = snapshotOf({...policy, cancellationTiers: tiers})
    tiers.push({noticeMinutesMin: 0, chargePercent: 100})
    expect(snapshot).toEqual({
      warmUpMinutes: 5,
      turnaroundMinutes: 5,
      cancellationTiers: [{noticeMinutesMin: 60, chargePercent: 50}],
    })
  })
})

describe('cancelling before the start', () => {
  const tiers = {
    ...snapshotOf(defaultPolicy),
    cancellationTiers: [
      {noticeMinutesMin: 0, chargePercent: 80},
      {noticeMinutesMin: 1_440, chargePercent: 0},
      {noticeMinutesMin: 60, chargePercent: 33.3},
    ],
  }
  const booked = {start: at('12:00', 2), minutes: 100}

  test.each([
    ['a day and more', at('12:00', 1), 0],
    ['a millisecond less than a day', plusMs(at('12:00', 1), 1), 33],
    ['an hour', at('11:00', 2), 33],
    ['a minute less than an hour', at('11:01', 2), 80],
    ['no time at all', at('12:00', 2), 80],
  ])('with a notice of %s charges by its tier, parts of a minute not', (_notice, when, charged) => {
    expect(chargedBeforeStart(tiers, booked, when)).toBe(charged)
  })

  test('with less notice than every tier asks for charges all', () => {
    const strict = {...tiers, cancellationTiers: [{noticeMinutesMin: 60, chargePercent: 10}]}
    expect(chargedBeforeStart(strict, booked, at('11:01', 2))).toBe(100)
    expect(chargedBeforeStart({...tiers, cancellationTiers: []}, booked, now)).toBe(100)
  })

  test('is free under the default policy', () => {
    expect(chargedBeforeStart(snapshotOf(defaultPolicy), booked, at('11:59', 2))).toBe(0)
  })
})

test.each([
  [at('11:59'), 0],
  [at('12:00'), 0],
  [at('12:00:00.001'), 1],
  [at('12:01'), 1],
  [at('12:01:00.001'), 2],
  [at('14:00'), 120],
])('at %s so many minutes of a booking from 12:00 have begun: %d', (when, minutes) => {
  expect(startedMinutes(at('12:00'), when)).toBe(minutes)
})
