import {describe, expect, test} from 'vitest'
import {booking, type BookingCommand} from '../../src/booking/decider.ts'
import type {BookingEvent} from '../../src/booking/events.ts'
import {derivedCommandId, idOf} from '../../src/kernel/ids.ts'
import type {Instant} from '../../src/kernel/time.ts'
import {at, given, termsOf} from '../support/given.ts'

const bookingId = idOf<'Booking'>('b1')
const machineId = idOf<'Machine'>('m1')
const ann = idOf<'User'>('ann')
const bob = idOf<'User'>('bob')
const tiers = [
  {noticeMinutesMin: 60, chargePercent: 0},
  {noticeMinutesMin: 0, chargePercent: 50},
]
const terms = termsOf({start: at('12:00'), end: at('14:00')}, {tiers})
const confirm: BookingCommand = {type: 'ConfirmBooking', bookingId, terms, machineId}
const confirmed: BookingEvent = {type: 'BookingConfirmed', data: {bookingId, terms, machineId, at: at('08:00')}}
const started = (when: Instant): BookingEvent => ({type: 'BookingStarted', data: {bookingId, at: when}})

const commandId = derivedCommandId('cancel')
const cancel: BookingCommand = {type: 'CancelBooking', commandId, by: ann, asOperator: false}
function cancelled(when: Instant, usedMinutes: number, lostMinutes = 0, by = ann): BookingEvent {
  return {type: 'BookingCancelled', data: {bookingId, at: when, by, commandId, usedMinutes, lostMinutes}}
}

describe('confirming', () => {
  test('opens the booking, and repeated is quiet', () => {
    given(booking).when(confirm, at('08:00')).thenEvents(confirmed)
    given(booking, confirmed).when(confirm, at('08:01')).thenNothing()
    given(booking, confirmed, cancelled(at('09:00'), 0))
      .when(confirm, at('10:00'))
      .thenNothing()
  })

  test.each<BookingCommand>([
    cancel,
    {type: 'StartBooking', readySince: at('11:00')},
    {type: 'InterruptBooking', at: at('12:30')},
    {type: 'ResumeBooking', at: at('12:30')},
    {type: 'FailOverBooking', fromMachineId: machineId, toMachineId: idOf('m2')},
    {type: 'EndBooking'},
    {type: 'FailBooking', reason: 'x'},
  ])('comes before anything else: $type', command => {
    given(booking).when(command, at('12:30')).thenRefused({type: 'NoSuchBooking'})
  })
})

describe('cancelling', () => {
  test('in good time is free', () => {
    given(booking, confirmed)
      .when(cancel, at('11:00'))
      .thenEvents(cancelled(at('11:00'), 0))
  })

  test('at short notice charges by the terms agreed on', () => {
    given(booking, confirmed)
      .when(cancel, at('11:30'))
      .thenEvents(cancelled(at('11:30'), 60))
  })

  test('after the start charges every started minute', () => {
    const running = given(booking, confirmed, started(at('12:00')))
    running.when(cancel, at('12:00:00.001')).thenEvents(cancelled(at('12:00:00.001'), 1))
    running.when(cancel, at('12:30')).thenEvents(cancelled(at('12:30'), 30))
    running.when(cancel, at('12:30:01')).thenEvents(cancelled(at('12:30:01'), 31))
    running.when(cancel, at('13:59:59')).thenEvents(cancelled(at('13:59:59'), 120))
  })

  test('at the very start charges nothing', () => {
    given(booking, confirmed, started(at('12:00')))
      .when(cancel, at('12:00'))
      .thenEvents(cancelled(at('12:00'), 0))
  })

  test('after a start without a machine charges nothing', () => {
    given(booking, confirmed)
      .when(cancel, at('12:30'))
      .thenEvents(cancelled(at('12:30'), 0, 30))
    given(booking, confirmed)
      .when(cancel, at('12:30:20'))
      .thenEvents(cancelled(at('12:30:20'), 0, 31))
  })

  test('does not charge the time the machine was away', () => {
    const away: BookingEvent = {type: 'BookingInterrupted', data: {bookingId, at: at('12:20')}}
    given(booking, confirmed, started(at('12:05')), away)
      .when(cancel, at('12:30'))
      .thenEvents(cancelled(at('12:30'), 15, 15))
  })

  test('repeated is quiet, another time it has ended', () => {
    const before = given(booking, confirmed, cancelled(at('11:00'), 0))
    before.when(cancel, at('11:01')).thenNothing()
    before
      .when({...cancel, commandId: derivedCommandId('another')}, at('11:01'))
      .thenRefused({type: 'AlreadyEnded', status: 'cancelled'})
  })

  test('somebody else’s booking is refused, before and after its end', () => {
    const foreign: BookingCommand = {...cancel, by: bob}
    given(booking, confirmed).when(foreign, at('11:00')).thenRefused({type: 'NotYours'})
    given(booking, confirmed, cancelled(at('11:00'), 0))
      .when(foreign, at('11:01'))
      .thenRefused({type: 'NotYours'})
  })

  test('is open to operators for every booking, on the same terms', () => {
    given(booking, confirmed)
      .when({...cancel, by: bob, asOperator: true}, at('11:30'))
      .thenEvents(cancelled(at('11:30'), 60, 0, bob))
  })

  test('is refused once the interval is over, ended or not yet', () => {
    given(booking, confirmed, started(at('12:00')))
      .when(cancel, at('14:00'))
      .thenRefused({type: 'AlreadyEnded', status: 'ended'})
    const ended: BookingEvent = {
      type: 'BookingEnded',
      data: {bookingId, at: at('14:00'), usedMinutes: 120, lostMinutes: 0},
    }
    given(booking, confirmed, started(at('12:00')), ended)
      .when(cancel, at('13:00'))
      .thenRefused({type: 'AlreadyEnded', status: 'ended'})
    const failed: BookingEvent = {
      type: 'BookingFailed',
      data: {bookingId, at: at('12:30'), reason: 'x', usedMinutes: 0, lostMinutes: 30},
    }
    given(booking, confirmed, failed).when(cancel, at('12:31')).thenRefused({type: 'AlreadyEnded', status: 'failed'})
  })
})

describe('after the end', () => {
  const ends: BookingEvent[] = [
    {type: 'BookingEnded', data: {bookingId, at: at('14:00'), usedMinutes: 120, lostMinutes: 0}},
    {type: 'BookingFailed', data: {bookingId, at: at('13:00'), reason: 'x', usedMinutes: 60, lostMinutes: 0}},
    cancelled(at('13:00'), 60),
  ]
  const commands: BookingCommand[] = [
    confirm,
    {type: 'StartBooking', readySince: at('12:00')},
    {type: 'InterruptBooking', at: at('13:30')},
    {type: 'ResumeBooking', at: at('13:30')},
    {type: 'FailOverBooking', fromMachineId: machineId, toMachineId: idOf('m2')},
    {type: 'EndBooking'},
    {type: 'FailBooking', reason: 'x'},
  ]

  test.each(ends)('nothing changes any more: $type', end => {
    for (const command of commands) {
      given(booking, confirmed, started(at('12:00')), end)
        .when(command, at('15:00'))
        .thenNothing()
    }
    expect(commands).toHaveLength(7)
  })
})
