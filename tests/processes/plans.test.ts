import {expect, test} from 'vitest'
import {keepPlans} from '../../src/processes/plans.ts'
import type {PoweredBooking} from '../../src/processes/power.ts'
import {at, termsOf} from '../support/given.ts'

/** A read model of two machines, changed by hand, and how often it was read. */
function models() {
  const rows: Record<string, string[]> = {'m-1': ['one'], 'm-2': []}
  const terms = termsOf({start: at('10:00'), end: at('11:00')})
  const reads: string[] = []
  const read = (machineId: string): PoweredBooking[] => {
    reads.push(machineId)
    return (rows[machineId] ?? []).map(bookingId => ({bookingId, terms}))
  }
  return {rows, reads, plans: keepPlans(read)}
}

const idsOn = (plans: ReturnType<typeof keepPlans>, machineId: string) =>
  plans.bookingsOn(machineId).map(({bookingId}) => bookingId)

test('reads a machine once while nothing happens to its bookings', () => {
  const {plans, reads} = models()
  expect([idsOn(plans, 'm-1'), idsOn(plans, 'm-1')]).toEqual([['one'], ['one']])
  plans.forget({type: 'PowerObserved', data: {machineId: 'm-1'}})
  plans.forget({type: 'BookingCancelled', data: {bookingId: 'somebody-elses'}})
  expect(idsOn(plans, 'm-1')).toEqual(['one'])
  expect(reads).toEqual(['m-1'])
})

test('reads it anew when a booking came, by the machine it came to', () => {
  const {plans, rows} = models()
  idsOn(plans, 'm-2')
  rows['m-2'] = ['two']
  plans.forget({type: 'BookingConfirmed', data: {bookingId: 'two', machineId: 'm-2'}})
  expect(idsOn(plans, 'm-2')).toEqual(['two'])
})

test('reads it anew when a booking is over, by the booking alone', () => {
  const {plans, rows} = models()
  idsOn(plans, 'm-1')
  rows['m-1'] = []
  plans.forget({type: 'BookingCancelled', data: {bookingId: 'one'}})
  expect(idsOn(plans, 'm-1')).toEqual([])
})

test('reads both machines anew when a booking moved from one to the other', () => {
  const {plans, rows} = models()
  expect([idsOn(plans, 'm-1'), idsOn(plans, 'm-2')]).toEqual([['one'], []])
  Object.assign(rows, {'m-1': [], 'm-2': ['one']})
  plans.forget({type: 'BookingFailedOver', data: {bookingId: 'one', fromMachineId: 'm-1', toMachineId: 'm-2'}})
  expect([idsOn(plans, 'm-1'), idsOn(plans, 'm-2')]).toEqual([[], ['one']])
})
