import {describe, expect, test} from 'vitest'
import {booking, type BookingCommand} from '../../src/booking/decider.ts'
import type {BookingEvent} from '../../src/booking/events.ts'
import {fold} from '../../src/kernel/decider.ts'
import {derivedCommandId, idOf} from '../../src/kernel/ids.ts'
import {msBetween, plusMs, type Instant} from '../../src/kernel/time.ts'
import {at, given, seeded, termsOf} from '../support/given.ts'

const bookingId = idOf<'Booking'>('b1')
const [m1, m2] = [idOf<'Machine'>('m1'), idOf<'Machine'>('m2')]
const terms = termsOf({start: at('12:00'), end: at('14:00')})
const confirmed: BookingEvent = {type: 'BookingConfirmed', data: {bookingId, terms, machineId: m1, at: at('08:00')}}
const started = (when: Instant): BookingEvent => ({type: 'BookingStarted', data: {bookingId, at: when}})
const interrupted = (when: Instant): BookingEvent => ({type: 'BookingInterrupted', data: {bookingId, at: when}})
const resumed = (when: Instant): BookingEvent => ({type: 'BookingResumed', data: {bookingId, at: when}})
const movedAt = (when: Instant): BookingEvent => ({
  type: 'BookingFailedOver',
  data: {bookingId, fromMachineId: m1, toMachineId: m2, at: when},
})

function ended(usedMinutes: number, lostMinutes: number): BookingEvent {
  return {type: 'BookingEnded', data: {bookingId, at: at('14:00'), usedMinutes, lostMinutes}}
}

function failed(when: Instant, reason: string, usedMinutes: number, lostMinutes: number): BookingEvent {
  return {type: 'BookingFailed', data: {bookingId, at: when, reason, usedMinutes, lostMinutes}}
}

describe('starting', () => {
  const start = (readySince: Instant): BookingCommand => ({type: 'StartBooking', readySince})

  test('waits for the interval', () => {
    given(booking, confirmed)
      .when(start(at('11:56')), at('11:59:59.999'))
      .thenRefused({type: 'TooEarly', dueAt: at('12:00')})
  })

  test('counts from the interval when the machine was ready before', () => {
    given(booking, confirmed)
      .when(start(at('11:56')), at('12:00:03'))
      .thenEvents(started(at('12:00')))
  })

  test('counts from the machine when that came later', () => {
    given(booking, confirmed)
      .when(start(at('12:07')), at('12:07:01'))
      .thenEvents(started(at('12:07')))
  })

  test('counts from now at the latest: the clock was set back since the machine was seen', () => {
    given(booking, confirmed)
      .when(start(at('12:50')), at('12:05'))
      .thenEvents(started(at('12:05')))
  })

  test('is too late once the interval is over', () => {
    given(booking, confirmed)
      .when(start(at('14:00')), at('14:00'))
      .thenNothing()
  })

  test('repeated is quiet', () => {
    given(booking, confirmed, started(at('12:00')))
      .when(start(at('12:30')), at('12:30'))
      .thenNothing()
  })
})

describe('an interruption', () => {
  const interrupt = (when: Instant): BookingCommand => ({type: 'InterruptBooking', at: when})
  const resume = (when: Instant): BookingCommand => ({type: 'ResumeBooking', at: when})
  const running = [confirmed, started(at('12:00'))]

  test('begins when the machine was seen away', () => {
    given(booking, ...running)
      .when(interrupt(at('12:30')), at('12:31'))
      .thenEvents(interrupted(at('12:30')))
  })

  test('repeated is quiet, and so is one before the session', () => {
    given(booking, ...running, interrupted(at('12:30')))
      .when(interrupt(at('12:31')), at('12:31'))
      .thenNothing()
    given(booking, confirmed)
      .when(interrupt(at('12:31')), at('12:31'))
      .thenNothing()
  })

  test('ends when the machine is ready again, and repeated is quiet', () => {
    given(booking, ...running, interrupted(at('12:30')))
      .when(resume(at('12:40')), at('12:41'))
      .thenEvents(resumed(at('12:40')))
    given(booking, ...running, interrupted(at('12:30')), resumed(at('12:40')))
      .when(resume(at('12:40')), at('12:42'))
      .thenNothing()
    given(booking, ...running)
      .when(resume(at('12:40')), at('12:42'))
      .thenNothing()
  })

  test('is kept within the interval', () => {
    given(booking, ...running)
      .when(interrupt(at('14:01')), at('14:01'))
      .thenEvents(interrupted(at('14:00')))
    given(booking, ...running)
      .when(interrupt(at('11:00')), at('12:01'))
      .thenEvents(interrupted(at('12:00')))
  })

  test('never reaches back before what was counted already', () => {
    const before = [...running, interrupted(at('12:30')), resumed(at('12:40'))]
    given(booking, ...before)
      .when(interrupt(at('12:30')), at('12:45'))
      .thenEvents(interrupted(at('12:40')))
    given(booking, confirmed, started(at('12:10')))
      .when(interrupt(at('12:05')), at('12:45'))
      .thenEvents(interrupted(at('12:10')))
    given(booking, ...before, interrupted(at('12:50')))
      .when(resume(at('12:40')), at('12:55'))
      .thenEvents(resumed(at('12:50')))
  })
})

describe('failing over', () => {
  const failOver: BookingCommand = {type: 'FailOverBooking', fromMachineId: m1, toMachineId: m2}

  test('before the start only moves', () => {
    given(booking, confirmed)
      .when(failOver, at('11:00'))
      .thenEvents(movedAt(at('11:00')))
  })

  test('of a running session interrupts it until the other machine is ready', () => {
    given(booking, confirmed, started(at('12:00')))
      .when(failOver, at('12:30'))
      .thenEvents(interrupted(at('12:30')), movedAt(at('12:30')))
    const {state} = given(booking, confirmed, started(at('12:00')), interrupted(at('12:30')), movedAt(at('12:30')))
    expect(state).toMatchObject({machineId: m2, status: 'started', downSince: at('12:30')})
  })

  test('of an interrupted session only moves', () => {
    given(booking, confirmed, started(at('12:00')), interrupted(at('12:20')))
      .when(failOver, at('12:30'))
      .thenEvents(movedAt(at('12:30')))
  })

  test('to a machine that was ready all along loses nothing more', () => {
    given(booking, confirmed, started(at('12:00')), interrupted(at('12:30')), movedAt(at('12:30')))
      .when({type: 'ResumeBooking', at: at('09:00')}, at('12:30:05'))
      .thenEvents(resumed(at('12:30')))
  })

  test('repeated is quiet', () => {
    given(booking, confirmed, movedAt(at('11:00')))
      .when(failOver, at('11:01'))
      .thenNothing()
  })
})

describe('the end', () => {
  const end: BookingCommand = {type: 'EndBooking'}

  test('waits for the end of the interval', () => {
    given(booking, confirmed, started(at('12:00')))
      .when(end, at('13:59:59.999'))
      .thenRefused({type: 'TooEarly', dueAt: at('14:00')})
  })

  test('counts all of it as used when nothing was lost, however late it comes', () => {
    given(booking, confirmed, started(at('12:00')))
      .when(end, at('20:00'))
      .thenEvents(ended(120, 0))
  })

  test('counts a late start and every interruption as lost, in whole minutes', () => {
    const events = [confirmed, started(at('12:05')), interrupted(at('12:30')), resumed(at('12:40:30'))]
    given(booking, ...events)
      .when(end, at('14:00'))
      .thenEvents(ended(105, 15))
  })

  test('counts an interruption that lasts as lost up to the end', () => {
    given(booking, confirmed, started(at('12:00')), interrupted(at('13:30')))
      .when(end, at('16:00'))
      .thenEvents(ended(90, 30))
  })

  test('of a booking that never had a machine is a failure, and all of it is lost', () => {
    given(booking, confirmed)
      .when(end, at('14:00'))
      .thenEvents(failed(at('14:00'), 'NeverReady', 0, 120))
  })
})

describe('giving up', () => {
  const fail: BookingCommand = {type: 'FailBooking', reason: 'NoMachineServes'}

  test('before the start gives everything back', () => {
    given(booking, confirmed)
      .when(fail, at('11:00'))
      .thenEvents(failed(at('11:00'), 'NoMachineServes', 0, 0))
  })

  test('after a start without a machine counts the time gone by as lost', () => {
    given(booking, confirmed)
      .when(fail, at('12:10'))
      .thenEvents(failed(at('12:10'), 'NoMachineServes', 0, 10))
  })

  test('in a session charges what was used', () => {
    given(booking, confirmed, started(at('12:00')), interrupted(at('12:40')))
      .when(fail, at('12:50'))
      .thenEvents(failed(at('12:50'), 'NoMachineServes', 40, 10))
  })

  test('when the interval is over long since counts nothing beyond its end', () => {
    given(booking, confirmed, started(at('12:00')), interrupted(at('13:50')))
      .when(fail, at('14:30'))
      .thenEvents(failed(at('14:00'), 'NoMachineServes', 110, 10))
  })
})

test.each([1, 2, 3])('whatever happens, used and lost minutes fit the interval and the clock (seed %d)', seed => {
  const random = seeded(seed)
  for (let run = 0; run < 400; run++) {
    let now = at('11:30')
    let state = fold(booking, booking.initial, [confirmed])
    let settled: {usedMinutes: number; lostMinutes: number; at: Instant} | null = null
    let downMs = 0
    let downSince: Instant | null = at('12:00')
    for (let step = 0; step < 40 && settled === null; step++) {
      now = plusMs(now, random.below(600_000))
      const about = plusMs(now, -random.below(900_000))
      const command = random.pick<BookingCommand>([
        {type: 'StartBooking', readySince: about},
        {type: 'InterruptBooking', at: about},
        {type: 'ResumeBooking', at: about},
        {type: 'FailOverBooking', fromMachineId: random.pick([m1, m2]), toMachineId: random.pick([m1, m2])},
        {type: 'EndBooking'},
        ...(random.chance(0.1)
          ? ([
              {type: 'FailBooking', reason: 'x'},
              {type: 'CancelBooking', commandId: derivedCommandId('c'), by: idOf<'User'>('ann'), asOperator: false},
            ] as const)
          : []),
      ])
      const decision = booking.decide(command, state, {now})
      if (!decision.ok) continue
      state = fold(booking, state, decision.events)
      for (const {type, data} of decision.events) {
        if (type === 'BookingInterrupted') downSince = data.at
        if ((type === 'BookingStarted' || type === 'BookingResumed') && downSince !== null) {
          expect(msBetween(downSince, data.at)).toBeGreaterThanOrEqual(0)
          downMs += msBetween(downSince, data.at)
          downSince = null
        }
        if ('usedMinutes' in data) settled = data
      }
    }
    if (settled === null) continue
    const {usedMinutes, lostMinutes, at: over} = settled
    const elapsed = Math.min(120, Math.max(0, Math.ceil(msBetween(at('12:00'), over) / 60_000)))
    expect(usedMinutes + lostMinutes).toBe(elapsed)
    if (downSince !== null) downMs += Math.max(0, msBetween(downSince, over))
    expect(Math.abs(lostMinutes - Math.min(elapsed, downMs / 60_000))).toBeLessThanOrEqual(1)
  }
})
