import {describe, expect, test} from 'vitest'
import {calendar, declinedBecause, machineHolding, type CalendarCommand} from '../../src/calendar/decider.ts'
import type {CalendarEvent, SlotRefusal} from '../../src/calendar/events.ts'
import {idOf} from '../../src/kernel/ids.ts'
import type {Instant} from '../../src/kernel/time.ts'
import {at, given} from '../support/given.ts'

const now = at('08:00')
const serviceA = idOf<'Service'>('service-a')
const serviceB = idOf<'Service'>('service-b')

function offered(machineId: string, services = [serviceA]): CalendarEvent {
  return {type: 'MachineOffered', data: {...on(machineId), services}}
}

function withdrawn(machineId: string): CalendarEvent {
  return {type: 'MachineWithdrawn', data: {machineId: idOf(machineId)}}
}

const buffers = {warmUpMinutes: 5, turnaroundMinutes: 5}

function allocate(bookingId: string, start: string, end: string, userId = 'ann'): CalendarCommand {
  const interval = {start: at(start), end: at(end)}
  const ids = {bookingId: idOf<'Booking'>(bookingId), userId: idOf<'User'>(userId), serviceId: serviceA}
  return {type: 'AllocateSlot', wish: {...ids, interval, ...buffers}, begunAt: at('08:00')}
}

function allocated(bookingId: string, machineId: string, start: string, end: string, userId = 'ann'): CalendarEvent {
  const interval = {start: at(start), end: at(end)}
  const ids = {bookingId: idOf<'Booking'>(bookingId), userId: idOf<'User'>(userId), serviceId: serviceA}
  return {type: 'SlotAllocated', data: {...ids, ...on(machineId), interval, ...buffers, at: now}}
}

function declined(refusal: SlotRefusal, bookingId = 'b1'): CalendarEvent {
  return {type: 'SlotDeclined', data: {bookingId: idOf(bookingId), refusal, at: now}}
}

function on(machineId: string): {machineId: ReturnType<typeof idOf<'Machine'>>} {
  return {machineId: idOf<'Machine'>(machineId)}
}

function shortened(bookingId: string, machineId: string, end: Instant, when = now): CalendarEvent {
  return {type: 'AllocationShortened', data: {bookingId: idOf(bookingId), ...on(machineId), end, at: when}}
}

describe('offering a machine', () => {
  test('names the services it serves, each once and in order', () => {
    given(calendar)
      .when({type: 'OfferMachine', ...on('m1'), services: [serviceB, serviceA, serviceB]}, now)
      .thenEvents(offered('m1', [serviceA, serviceB]))
  })

  test('repeated is quiet, with other services it is recorded again', () => {
    const before = given(calendar, offered('m1', [serviceA, serviceB]))
    before.when({type: 'OfferMachine', ...on('m1'), services: [serviceB, serviceA]}, now).thenNothing()
    before.when({type: 'OfferMachine', ...on('m1'), services: [serviceA]}, now).thenEvents(offered('m1', [serviceA]))
  })

  test('after it was withdrawn is recorded, and its bookings are still known', () => {
    const before = given(calendar, offered('m1'), allocated('b1', 'm1', '10:00', '11:00'), withdrawn('m1'))
    before.when({type: 'OfferMachine', ...on('m1'), services: [serviceA]}, now).thenEvents(offered('m1'))
    const {state} = given(
      calendar,
      offered('m1'),
      allocated('b1', 'm1', '10:00', '11:00'),
      withdrawn('m1'),
      offered('m1'),
    )
    expect(machineHolding(state, idOf('b1'))).toBe('m1')
  })
})

describe('withdrawing a machine', () => {
  test('is recorded, and repeated is quiet', () => {
    given(calendar, offered('m1'))
      .when({type: 'WithdrawMachine', ...on('m1')}, now)
      .thenEvents(withdrawn('m1'))
    given(calendar, offered('m1'), withdrawn('m1'))
      .when({type: 'WithdrawMachine', ...on('m1')}, now)
      .thenNothing()
    given(calendar)
      .when({type: 'WithdrawMachine', ...on('m1')}, now)
      .thenNothing()
  })

  test('gives it nothing new, and leaves it what it has', () => {
    const events = [offered('m1'), allocated('b1', 'm1', '10:00', '11:00'), withdrawn('m1')]
    given(calendar, ...events)
      .when(allocate('b2', '12:00', '13:00'), now)
      .thenEvents(declined({type: 'NoMachineServes', serviceId: serviceA}, 'b2'))
    given(calendar, ...events, offered('m2'))
      .when(allocate('b2', '12:00', '13:00'), now)
      .thenEvents(allocated('b2', 'm2', '12:00', '13:00'))
    expect(machineHolding(given(calendar, ...events).state, idOf('b1'))).toBe('m1')
  })
})

describe('allocating a slot', () => {
  test('takes a machine that serves', () => {
    given(calendar, offered('m1', [serviceB]), offered('m2'))
      .when(allocate('b1', '10:00', '11:00'), now)
      .thenEvents(allocated('b1', 'm2', '10:00', '11:00'))
  })

  test('is refused when no machine serves', () => {
    given(calendar, offered('m1', [serviceB]))
      .when(allocate('b1', '10:00', '11:00'), now)
      .thenEvents(declined({type: 'NoMachineServes', serviceId: serviceA}))
  })

  test('takes the lowest id when all are as good', () => {
    given(calendar, offered('m3'), offered('m1'), offered('m2'))
      .when(allocate('b1', '10:00', '11:00'), now)
      .thenEvents(allocated('b1', 'm1', '10:00', '11:00'))
  })

  test('takes the machine on which it leaves the least idle time', () => {
    given(
      calendar,
      offered('m1'),
      offered('m2'),
      offered('m3'),
      allocated('x', 'm2', '08:30', '09:30', 'bob'),
      allocated('y', 'm3', '11:15', '12:00', 'bob'),
    )
      .when(allocate('b1', '10:00', '11:00'), now)
      .thenEvents(allocated('b1', 'm3', '10:00', '11:00'))
  })

  test('puts the bookings of one customer one behind the other on one machine', () => {
    given(calendar, offered('m1'), offered('m2'), allocated('x', 'm2', '09:00', '10:00'))
      .when(allocate('b1', '10:00', '11:00'), now)
      .thenEvents(allocated('b1', 'm2', '10:00', '11:00'))
  })

  test('accepts a slot whose buffers touch those of another', () => {
    given(
      calendar,
      offered('m1'),
      allocated('x', 'm1', '08:50', '09:50', 'bob'),
      allocated('y', 'm1', '11:10', '12:00', 'bob'),
    )
      .when(allocate('b1', '10:00', '11:00'), now)
      .thenEvents(allocated('b1', 'm1', '10:00', '11:00'))
  })

  test.each([
    ['by one minute before', '09:59', '10:59'],
    ['by one second behind', '10:00:01', '11:00:01'],
  ])('refuses a slot that overlaps %s', (_by, start, end) => {
    given(
      calendar,
      offered('m1'),
      allocated('x', 'm1', '08:50', '09:50', 'bob'),
      allocated('y', 'm1', '11:10', '12:00', 'bob'),
    )
      .when(allocate('b1', start, end), now)
      .thenEvents(declined({type: 'SlotTaken', until: start === '09:59' ? at('10:00') : at('12:10')}))
  })

  test('names the earliest start on any machine that serves', () => {
    given(
      calendar,
      offered('m1'),
      offered('m2'),
      offered('m3', [serviceB]),
      allocated('x', 'm1', '10:00', '14:00', 'bob'),
      allocated('y', 'm2', '10:00', '12:30', 'bob'),
    )
      .when(allocate('b1', '11:00', '12:00'), now)
      .thenEvents(declined({type: 'SlotTaken', until: at('12:40')}))
  })

  test('once declined stays declined, though the slot has become free', () => {
    const refusal = {type: 'SlotTaken', until: at('12:10')} as const
    const taken = allocated('x', 'm1', '10:00', '12:00', 'bob')
    const after = given(calendar, offered('m1'), taken, declined(refusal), shortened('x', 'm1', at('10:00')))
    after.when(allocate('b1', '10:00', '11:00'), now).thenNothing()
    expect(declinedBecause(after.state, idOf('b1'))).toEqual(refusal)
    expect(machineHolding(after.state, idOf('b1'))).toBeUndefined()
    expect(declinedBecause(after.state, idOf('x'))).toBeNull()
  })

  test('repeated is quiet and finds its machine', () => {
    const before = given(calendar, offered('m1'), offered('m2'), allocated('b1', 'm1', '10:00', '11:00'))
    before.when(allocate('b1', '10:00', '11:00'), now).thenNothing()
    expect(machineHolding(before.state, idOf('b1'))).toBe('m1')
  })
})

describe('shortening an allocation', () => {
  const events = [offered('m1'), allocated('b1', 'm1', '10:00', '12:00')]
  const shorten = (end: Instant): CalendarCommand => ({type: 'ShortenAllocation', bookingId: idOf('b1'), end})

  test('makes room behind the new end', () => {
    given(calendar, ...events)
      .when(shorten(at('11:00')), now)
      .thenEvents(shortened('b1', 'm1', at('11:00')))
    given(calendar, ...events, shortened('b1', 'm1', at('11:00')))
      .when(allocate('b2', '11:10', '12:10', 'bob'), now)
      .thenEvents(allocated('b2', 'm1', '11:10', '12:10', 'bob'))
  })

  test('repeated, or to a later end, is quiet', () => {
    const before = given(calendar, ...events, shortened('b1', 'm1', at('11:00')))
    before.when(shorten(at('11:00')), now).thenNothing()
    before.when(shorten(at('11:30')), now).thenNothing()
    given(calendar, ...events)
      .when(shorten(at('12:00')), now)
      .thenNothing()
  })

  test('to its start or before frees the slot', () => {
    given(calendar, ...events)
      .when(shorten(at('09:00')), now)
      .thenEvents(shortened('b1', 'm1', at('09:00')))
    for (const end of [at('09:00'), at('10:00')]) {
      const freed = given(calendar, ...events, shortened('b1', 'm1', end))
      expect(machineHolding(freed.state, idOf('b1'))).toBeUndefined()
      freed
        .when(allocate('b2', '10:00', '12:00', 'bob'), now)
        .thenEvents(allocated('b2', 'm1', '10:00', '12:00', 'bob'))
      freed.when(shorten(end), now).thenNothing()
    }
  })

  test('of a booking without a slot is refused', () => {
    given(calendar, offered('m1'))
      .when(shorten(at('11:00')), now)
      .thenRefused({type: 'NoSuchAllocation', bookingId: idOf('b1')})
  })

  test('to nothing keeps a late repeat of the allocation from taking a slot', () => {
    const freed = given(calendar, ...events, shortened('b1', 'm1', at('10:00')))
    freed.when(allocate('b1', '10:00', '12:00'), now).thenNothing()
    expect(machineHolding(freed.state, idOf('b1'))).toBeUndefined()
  })
})
