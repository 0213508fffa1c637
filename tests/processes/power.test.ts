import {describe, expect, test} from 'vitest'
import {desiredPower, nextLookAt, shouldOffer, type PoweredBooking} from '../../src/processes/power.ts'
import type {Instant} from '../../src/kernel/time.ts'
import {at, termsOf} from '../support/given.ts'

const bookingOf = (bookingId: string, start: Instant, end: Instant): PoweredBooking => ({
  bookingId,
  terms: termsOf({start, end}),
})

describe('a machine is wanted', () => {
  const one = [bookingOf('one', at('10:00'), at('11:00'))]

  test('off without bookings, with nothing to wait for', () => {
    expect(desiredPower([], at('10:00'))).toEqual({desired: null, until: null})
  })

  test('on from the warm-up before the start to the end, the end not included', () => {
    expect(desiredPower(one, at('09:54:59.999'))).toEqual({desired: null, until: at('09:55')})
    expect(desiredPower(one, at('09:55'))).toEqual({desired: {for: 'one'}, until: at('11:00')})
    expect(desiredPower(one, at('10:59:59.999'))).toEqual({desired: {for: 'one'}, until: at('11:00')})
    expect(desiredPower(one, at('11:00'))).toEqual({desired: null, until: null})
  })

  test('without a gap between two bookings that touch, for the earlier one first', () => {
    const two = [...one, bookingOf('two', at('11:00'), at('12:00'))]
    expect(desiredPower(two, at('10:54'))).toEqual({desired: {for: 'one'}, until: at('10:55')})
    expect(desiredPower(two, at('10:55'))).toEqual({desired: {for: 'one'}, until: at('11:00')})
    expect(desiredPower(two, at('11:00'))).toEqual({desired: {for: 'two'}, until: at('12:00')})
  })

  test('off between two bookings with room between them, until the next warm-up', () => {
    const two = [...one, bookingOf('two', at('11:10'), at('12:00'))]
    expect(desiredPower(two, at('11:00'))).toEqual({desired: null, until: at('11:05')})
  })

  test('for the one that covers now, though one that is past is not ended yet', () => {
    const two = [bookingOf('past', at('08:00'), at('09:00')), ...one]
    expect(desiredPower(two, at('10:30'))).toEqual({desired: {for: 'one'}, until: at('11:00')})
  })
})

describe('the next look', () => {
  const intervals = {changingMs: 500, onMs: 10_000, offMs: 60_000, aheadMs: 10_000}
  const off = {phase: 'off', seen: 'off', quarantined: false, retryAt: null} as const
  const on = {...off, phase: 'on', seen: 'on'} as const
  const booting = {...off, phase: 'booting', seen: 'on'} as const
  const wanted = {for: 'one'}
  const now = at('10:00')

  test.each([
    ['off, and is', off, null, at('10:01')],
    ['on, and is', on, wanted, at('10:00:10')],
    ['on, and boots', booting, wanted, at('10:00:00.500')],
    ['on, and is off', off, wanted, at('10:00:00.500')],
    ['off, and still is on', on, null, at('10:00:00.500')],
    ['off, and was never seen', {...off, phase: 'unknown', seen: null} as const, null, at('10:00:00.500')],
    ['on, and cannot be reached', {...on, seen: 'unreachable'} as const, wanted, at('10:00:02')],
    ['off, and cannot be reached', {...on, seen: 'unreachable'} as const, null, at('10:00:02')],
    ['on, and is given up on', {...off, quarantined: true}, wanted, at('10:01')],
  ])('at a machine that should be %s', (_, machine, desired, next) => {
    expect(nextLookAt(machine, desired, null, now, intervals)).toBe(next)
  })

  test('waits for the time a failed command may be tried again', () => {
    const waiting = {...off, retryAt: at('10:00:07')}
    expect(nextLookAt(waiting, wanted, null, now, intervals)).toBe(at('10:00:07'))
    const past = {...off, retryAt: at('09:59')}
    expect(nextLookAt(past, wanted, null, now, intervals)).toBe(at('10:00:00.500'))
  })

  test('comes a little before the next change of what is wanted, and then with it', () => {
    expect(nextLookAt(off, null, at('10:00:30'), now, intervals)).toBe(at('10:00:20'))
    expect(nextLookAt(off, null, at('10:00:10.001'), now, intervals)).toBe(at('10:00:00.001'))
    expect(nextLookAt(off, null, at('10:00:10'), now, intervals)).toBe(at('10:00:10'))
    expect(nextLookAt(on, wanted, at('10:00:04'), now, intervals)).toBe(at('10:00:04'))
  })

  test('is never later than the next change of what is wanted', () => {
    expect(nextLookAt({...off, retryAt: at('10:05')}, wanted, at('10:01'), now, intervals)).toBe(at('10:00:50'))
    expect(nextLookAt(off, null, at('12:00'), now, intervals)).toBe(at('10:01'))
  })

  test('does not put off the sight of a machine longer than its routine, however long a provider says to wait', () => {
    const limited = {...on, retryAt: at('11:00')}
    expect(nextLookAt(limited, wanted, null, now, intervals)).toBe(at('10:00:10'))
    expect(nextLookAt({...off, retryAt: at('11:00')}, wanted, null, now, intervals)).toBe(at('10:01'))
  })
})

test('a machine is offered for bookings unless it is quarantined', () => {
  expect(shouldOffer({quarantined: false})).toBe(true)
  expect(shouldOffer({quarantined: true})).toBe(false)
})
