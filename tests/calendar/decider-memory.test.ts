import {expect, test} from 'vitest'
import {calendar, machineHolding, type CalendarCommand, type CalendarState} from '../../src/calendar/decider.ts'
import {fold} from '../../src/kernel/decider.ts'
import {idOf, type BookingId} from '../../src/kernel/ids.ts'
import {plusMinutes, type Instant} from '../../src/kernel/time.ts'
import {at} from '../support/given.ts'

const serviceId = idOf<'Service'>('service-a')

function run(state: CalendarState, command: CalendarCommand, now: Instant): CalendarState {
  const decision = calendar.decide(command, state, {now})
  if (!decision.ok) throw new Error(decision.refusal.type)
  if (decision.events.some(({type}) => type === 'SlotDeclined')) throw new Error('declined')
  return fold(calendar, state, decision.events)
}

function allocate(bookingId: BookingId, start: Instant, begunAt: Instant): CalendarCommand {
  const interval = {start, end: plusMinutes(start, 60)}
  const wish = {bookingId, userId: idOf<'User'>(`u-${bookingId}`), serviceId, interval}
  return {type: 'AllocateSlot', wish: {...wish, warmUpMinutes: 5, turnaroundMinutes: 5}, begunAt}
}

function remembered(state: CalendarState): number {
  const live = state.machines.reduce((sum, {allocations}) => sum + allocations.length, 0)
  expect(state.machineOf.size).toBe(live)
  return live + state.gone.size + state.goneBefore.size
}

test('remembers what is live and what ended or was freed in the last days, however long it runs', () => {
  const machineId = idOf<'Machine'>('m1')
  let state = run(calendar.initial, {type: 'OfferMachine', machineId, services: [serviceId]}, at('00:00'))
  let most = 0
  // A year of bookings, every three hours one that is kept and one that is given back.
  for (let index = 0; index < 365 * 8; index++) {
    const now = plusMinutes(at('00:00'), index * 180)
    const [kept, freed] = [idOf<'Booking'>(`kept-${index}`), idOf<'Booking'>(`freed-${index}`)]
    state = run(state, allocate(kept, plusMinutes(now, 600), now), now)
    state = run(state, allocate(freed, plusMinutes(now, 670), now), now)
    state = run(state, {type: 'ShortenAllocation', bookingId: freed, end: now}, now)
    most = Math.max(most, remembered(state))
  }
  expect(most).toBeLessThan(70)
  expect(most).toBeGreaterThan(30)
})

test('knows a freed booking for at least a day, whatever else is freed', () => {
  const machineId = idOf<'Machine'>('m1')
  let state = run(calendar.initial, {type: 'OfferMachine', machineId, services: [serviceId]}, at('00:00'))
  const freedAt = new Map<BookingId, Instant>()
  for (let index = 0; index < 200; index++) {
    const now = plusMinutes(at('00:00'), index * 60)
    const bookingId = idOf<'Booking'>(`b${index}`)
    state = run(state, allocate(bookingId, plusMinutes(now, 600), now), now)
    state = run(state, {type: 'ShortenAllocation', bookingId, end: now}, now)
    freedAt.set(bookingId, now)
    for (const [freed, when] of freedAt) {
      if (plusMinutes(when, 24 * 60) < now) continue
      state = run(state, allocate(freed, plusMinutes(now, 600), now), now)
      expect(machineHolding(state, freed)).toBeUndefined()
    }
  }
})

test('knows an allocation for two days after its end', () => {
  const machineId = idOf<'Machine'>('m1')
  const first = idOf<'Booking'>('first')
  let state = run(calendar.initial, {type: 'OfferMachine', machineId, services: [serviceId]}, at('00:00'))
  state = run(state, allocate(first, at('01:00'), at('00:00')), at('00:00'))
  state = run(state, allocate(idOf('second'), at('03:00', 2), at('02:04', 2)), at('02:04', 2))
  expect(machineHolding(state, first)).toBe(machineId)
  state = run(state, allocate(idOf('third'), at('06:00', 2), at('02:05', 2)), at('02:05', 2))
  expect(machineHolding(state, first)).toBeUndefined()
  expect(machineHolding(state, idOf('second'))).toBe(machineId)
})

test('allocates nothing for whoever began so long ago that it may have forgotten what was decided since', () => {
  const [machineId, bookingId] = [idOf<'Machine'>('m1'), idOf<'Booking'>('old')]
  const begunAt = at('00:00')
  const state = run(calendar.initial, {type: 'OfferMachine', machineId, services: [serviceId]}, begunAt)
  const command = allocate(bookingId, plusMinutes(begunAt, 10 * 24 * 60), begunAt)
  const dayMinutes = 24 * 60
  const answerAfter = (minutes: number) => calendar.decide(command, state, {now: plusMinutes(begunAt, minutes)})
  expect(answerAfter(dayMinutes - 1)).toMatchObject({ok: true, events: [{type: 'SlotAllocated'}]})
  expect(answerAfter(dayMinutes)).toEqual({ok: false, refusal: {type: 'BegunTooLongAgo', bookingId}})
  // What is known is told, however late.
  const allocated = run(state, allocate(bookingId, plusMinutes(begunAt, 600), begunAt), begunAt)
  const late = plusMinutes(begunAt, dayMinutes + 1)
  expect(calendar.decide(command, allocated, {now: late})).toEqual({ok: true, events: []})
})
