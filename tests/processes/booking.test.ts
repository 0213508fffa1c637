import {describe, expect, test} from 'vitest'
import {
  failOverAgainAt,
  nextBookingStep,
  type BookedMachine,
  type BookingOutcome,
  type BookingWork,
} from '../../src/processes/booking.ts'
import {at, termsOf} from '../support/given.ts'

const terms = termsOf({start: at('10:00'), end: at('11:00')})

function work(more: Partial<BookingWork> = {}): BookingWork {
  const held = {terms, heldAt: at('08:00'), heldMinutes: 60, slotHeld: true, moving: false}
  return {...held, stage: 'confirmed', down: true, outcome: null, ...more}
}

function machine(more: Partial<BookedMachine> = {}): BookedMachine {
  return {seen: 'on', changedAt: at('09:56'), readySince: at('09:56'), quarantined: false, ...more}
}

const nothingUntil = (lookAgainAt: string | null) => ({do: 'nothing', lookAgainAt})

describe('a hold without its end', () => {
  test('is left to whoever began it for 15 seconds', () => {
    const held = work({stage: 'held', slotHeld: false})
    expect(nextBookingStep(held, null, at('08:00:14.999'))).toEqual(nothingUntil(at('08:00:15')))
  })

  test('is finished from then on, also when its interval is long over', () => {
    const held = work({stage: 'held', slotHeld: false})
    expect(nextBookingStep(held, null, at('08:00:15'))).toEqual({do: 'finishBooking'})
    expect(nextBookingStep(held, null, at('12:00', 3))).toEqual({do: 'finishBooking'})
  })
})

describe('a confirmed booking', () => {
  test('waits for its start, ready machine or not', () => {
    expect(nextBookingStep(work(), machine(), at('09:59:59.999'))).toEqual(nothingUntil(at('10:00')))
    expect(nextBookingStep(work(), null, at('09:00'))).toEqual(nothingUntil(at('10:00')))
  })

  test('looks at its machine an hour before its start, while another can still be found in time', () => {
    expect(nextBookingStep(work(), machine(), at('08:30'))).toEqual(nothingUntil(at('09:00')))
    expect(nextBookingStep(work(), null, at('08:59:59.999'))).toEqual(nothingUntil(at('09:00')))
  })

  test('starts at its start with a machine that is ready', () => {
    expect(nextBookingStep(work(), machine(), at('10:00'))).toEqual({do: 'start', readySince: at('09:56')})
  })

  test('waits for a machine that is not ready, at the longest to its end', () => {
    const booting = machine({readySince: null})
    expect(nextBookingStep(work(), booting, at('10:00'))).toEqual(nothingUntil(at('11:00')))
    expect(nextBookingStep(work(), null, at('10:59:59.999'))).toEqual(nothingUntil(at('11:00')))
  })

  test('ends at its end when no machine ever was ready for it', () => {
    expect(nextBookingStep(work(), machine({readySince: null}), at('11:00'))).toEqual({do: 'end'})
    expect(nextBookingStep(work(), null, at('11:00'))).toEqual({do: 'end'})
  })

  test('whose machine was ready within its interval starts even after its end, so that it ends as it was', () => {
    expect(nextBookingStep(work(), machine(), at('11:30'))).toEqual({do: 'start', readySince: at('09:56')})
    const late = machine({readySince: at('10:59:59.999')})
    expect(nextBookingStep(work(), late, at('11:30'))).toEqual({do: 'start', readySince: at('10:59:59.999')})
  })

  test('whose machine became ready only after its end, or long before it for somebody else, was never served', () => {
    expect(nextBookingStep(work(), machine({readySince: at('11:00')}), at('11:30'))).toEqual({do: 'end'})
    expect(nextBookingStep(work(), machine({readySince: at('09:54:59.999')}), at('11:30'))).toEqual({do: 'end'})
    expect(nextBookingStep(work(), machine({readySince: at('09:55')}), at('11:30'))).toMatchObject({do: 'start'})
  })

  test('leaves a quarantined machine from an hour before its start on, not before', () => {
    const broken = machine({quarantined: true, readySince: null})
    expect(nextBookingStep(work(), broken, at('08:59:59.999'))).toEqual(nothingUntil(at('09:00')))
    expect(nextBookingStep(work(), broken, at('09:00'))).toEqual({do: 'failOver', mayFail: false})
    expect(nextBookingStep(work(), broken, at('09:59:59.999'))).toEqual({do: 'failOver', mayFail: false})
  })

  test('may fail for want of a machine only from its start on', () => {
    const broken = machine({quarantined: true, readySince: null})
    expect(nextBookingStep(work(), broken, at('10:00'))).toEqual({do: 'failOver', mayFail: true})
    expect(nextBookingStep(work(), broken, at('11:00'))).toEqual({do: 'end'})
  })
})

describe('a started booking', () => {
  const started = (more: Partial<BookingWork> = {}): BookingWork => work({stage: 'started', down: false, ...more})

  test('goes on to its end while its machine is ready', () => {
    expect(nextBookingStep(started(), machine(), at('10:30'))).toEqual(nothingUntil(at('11:00')))
    expect(nextBookingStep(started(), machine(), at('11:00'))).toEqual({do: 'end'})
  })

  test('is interrupted when its machine was seen off, or on but no longer ready, from that sight on', () => {
    const off = machine({seen: 'off', readySince: null, changedAt: at('10:20')})
    expect(nextBookingStep(started(), off, at('10:21'))).toEqual({do: 'interrupt', at: at('10:20')})
    const hung = machine({seen: 'on', readySince: null, changedAt: at('10:20')})
    expect(nextBookingStep(started(), hung, at('10:21'))).toEqual({do: 'interrupt', at: at('10:20')})
  })

  test('is not interrupted by a machine nobody can reach or knows: unknown is not off', () => {
    const away = machine({seen: 'unreachable', changedAt: at('10:20')})
    expect(nextBookingStep(started(), away, at('10:21'))).toEqual(nothingUntil(at('11:00')))
    const awayUnready = machine({seen: 'unreachable', readySince: null})
    expect(nextBookingStep(started(), awayUnready, at('10:21'))).toEqual(nothingUntil(at('11:00')))
    expect(nextBookingStep(started(), null, at('10:21'))).toEqual(nothingUntil(at('11:00')))
  })

  test('is interrupted once, and resumed when the machine is ready again', () => {
    const off = machine({seen: 'off', readySince: null, changedAt: at('10:20')})
    expect(nextBookingStep(started({down: true}), off, at('10:21'))).toEqual(nothingUntil(at('11:00')))
    const back = machine({readySince: at('10:25')})
    expect(nextBookingStep(started({down: true}), back, at('10:26'))).toEqual({do: 'resume', at: at('10:25')})
  })

  test('is interrupted first and then moved when its machine is quarantined', () => {
    const broken = machine({seen: 'off', readySince: null, quarantined: true, changedAt: at('10:20')})
    expect(nextBookingStep(started(), broken, at('10:21'))).toEqual({do: 'interrupt', at: at('10:20')})
    expect(nextBookingStep(started({down: true}), broken, at('10:21'))).toEqual({do: 'failOver', mayFail: true})
  })
})

describe('a booking whose machine the calendar has changed', () => {
  test('follows at once, whatever its old machine is like, until it is over', () => {
    const moving = work({moving: true})
    const follow = {do: 'failOver', mayFail: false}
    expect(nextBookingStep(moving, machine(), at('08:30'))).toEqual(follow)
    expect(nextBookingStep(moving, machine({quarantined: true}), at('10:30'))).toEqual(follow)
    expect(nextBookingStep({...moving, stage: 'started', down: false}, machine(), at('10:30'))).toEqual(follow)
    expect(nextBookingStep({...moving, stage: 'started'}, null, at('11:00'))).toEqual({do: 'end'})
  })
})

describe('a booking that is over', () => {
  const outcome: BookingOutcome = {because: 'cancelled', at: at('09:30'), usedMinutes: 15, lostMinutes: 0}

  test('is settled before its slot is given back, and then left alone', () => {
    const over = work({stage: 'over', outcome})
    expect(nextBookingStep(over, machine(), at('09:31'))).toEqual({do: 'settle', outcome})
    const settled = work({stage: 'over', outcome, heldMinutes: 0})
    expect(nextBookingStep(settled, machine(), at('09:31'))).toEqual({do: 'giveSlotBack', end: at('09:30')})
    const done = work({stage: 'over', outcome, heldMinutes: 0, slotHeld: false})
    expect(nextBookingStep(done, machine(), at('09:31'))).toEqual(nothingUntil(null))
  })

  test('is settled and gives its slot back however late', () => {
    expect(nextBookingStep(work({stage: 'over', outcome}), null, at('09:31', 5))).toEqual({do: 'settle', outcome})
    const settled = work({stage: 'over', outcome, heldMinutes: 0})
    expect(nextBookingStep(settled, null, at('09:31', 5))).toEqual({do: 'giveSlotBack', end: at('09:30')})
  })

  test('without an outcome is left alone', () => {
    expect(nextBookingStep(work({stage: 'over'}), null, at('12:00'))).toEqual(nothingUntil(null))
  })
})

describe('the next search for another machine', () => {
  test('comes in half a minute, and at the start itself', () => {
    expect(failOverAgainAt(work(), at('09:30'))).toBe(at('09:30:30'))
    expect(failOverAgainAt(work(), at('09:59:45'))).toBe(at('10:00'))
    expect(failOverAgainAt(work(), at('10:00'))).toBe(at('10:00:30'))
  })
})
