import {describe, expect, test} from 'vitest'
import {calendar, machineHolding, type CalendarCommand} from '../../src/calendar/decider.ts'
import type {CalendarEvent} from '../../src/calendar/events.ts'
import {idOf} from '../../src/kernel/ids.ts'
import type {Instant} from '../../src/kernel/time.ts'
import {at, given} from '../support/given.ts'

const serviceId = idOf<'Service'>('service-a')
const bookingId = idOf<'Booking'>('b1')
const m1 = idOf<'Machine'>('m1')
const m2 = idOf<'Machine'>('m2')

const offered = (machineId: typeof m1): CalendarEvent => ({
  type: 'MachineOffered',
  data: {machineId, services: [serviceId]},
})

function allocated(id: string, machineId: typeof m1, start: string, end: string, userId: string): CalendarEvent {
  const interval = {start: at(start), end: at(end)}
  const who = {bookingId: idOf<'Booking'>(id), userId: idOf<'User'>(userId), serviceId, machineId}
  return {type: 'SlotAllocated', data: {...who, interval, warmUpMinutes: 5, turnaroundMinutes: 5, at: at('08:00')}}
}

const failOver: CalendarCommand = {type: 'FailOverAllocation', bookingId, fromMachineId: m1}
const failedOver = (when: Instant): CalendarEvent => ({
  type: 'AllocationFailedOver',
  data: {bookingId, fromMachineId: m1, toMachineId: m2, at: when},
})
const before = [offered(m1), offered(m2), allocated('b1', m1, '10:00', '12:00', 'ann')]

describe('failing over', () => {
  test('moves the booking to another machine of the pool, and repeated is quiet', () => {
    given(calendar, ...before)
      .when(failOver, at('09:00'))
      .thenEvents(failedOver(at('09:00')))
    const after = given(calendar, ...before, failedOver(at('09:00')))
    expect(machineHolding(after.state, bookingId)).toBe(m2)
    after.when(failOver, at('09:01')).thenNothing()
  })

  test('works from a machine that was withdrawn', () => {
    given(calendar, ...before, {type: 'MachineWithdrawn', data: {machineId: m1}})
      .when(failOver, at('09:00'))
      .thenEvents(failedOver(at('09:00')))
  })

  test('needs the other machine only from now on', () => {
    given(calendar, ...before, allocated('x', m2, '09:00', '10:25', 'bob'))
      .when(failOver, at('10:30'))
      .thenEvents(failedOver(at('10:30')))
  })

  test('leaves what the other machine did before as it was', () => {
    const after = given(calendar, ...before, allocated('x', m2, '09:00', '10:25', 'bob'), failedOver(at('10:30')))
    const agenda = after.state.machines.find(({machineId}) => machineId === m2)
    expect(agenda?.allocations.map(({startMs, warmUpMs}) => [new Date(startMs).toISOString(), warmUpMs])).toEqual([
      [at('09:00'), 300_000],
      [at('10:30'), 0],
    ])
  })

  test('gives the machine that failed free for its other customers', () => {
    const wish = {bookingId: idOf<'Booking'>('b2'), userId: idOf<'User'>('bob'), serviceId}
    const interval = {start: at('10:00'), end: at('12:00')}
    given(calendar, ...before, failedOver(at('09:00')))
      .when(
        {
          type: 'AllocateSlot',
          wish: {...wish, interval, warmUpMinutes: 5, turnaroundMinutes: 5},
          begunAt: at('08:00'),
        },
        at('08:00'),
      )
      .thenEvents(allocated('b2', m1, '10:00', '12:00', 'bob'))
  })

  test('is refused when the other machines are taken, naming when one of them is free', () => {
    given(calendar, ...before, allocated('x', m2, '09:00', '11:00', 'bob'))
      .when(failOver, at('10:30'))
      .thenRefused({type: 'SlotTaken', until: at('11:05')})
  })

  test('is refused when no other machine serves', () => {
    given(calendar, offered(m1), allocated('b1', m1, '10:00', '12:00', 'ann'))
      .when(failOver, at('10:30'))
      .thenRefused({type: 'NoMachineServes', serviceId})
  })

  test('of a booking without a slot, or whose time is over, is refused', () => {
    given(calendar, offered(m1), offered(m2))
      .when(failOver, at('10:30'))
      .thenRefused({type: 'NoSuchAllocation', bookingId})
    given(calendar, ...before)
      .when(failOver, at('12:00'))
      .thenRefused({type: 'NoSuchAllocation', bookingId})
  })
})
