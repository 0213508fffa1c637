import {describe, expect, test} from 'vitest'
import {defaultPolicy, checkRequest, type BookingPolicy} from '../../src/booking/policies.ts'
import {
  agendaWindow,
  availableSlots,
  slotsMax,
  type AvailabilityWish,
  type MachineAllocation,
  type Offer,
} from '../../src/calendar/availability.ts'
import {calendar, type CalendarState} from '../../src/calendar/decider.ts'
import {allocationOf} from '../../src/calendar/agenda.ts'
import type {CalendarEvent} from '../../src/calendar/events.ts'
import {fold} from '../../src/kernel/decider.ts'
import {idOf, type ServiceId, type UserId} from '../../src/kernel/ids.ts'
import {instantFromMs, msOf, plusMinutes, type Instant} from '../../src/kernel/time.ts'
import {at, seeded} from '../support/given.ts'

const ench = idOf<'Service'>('ench')
const boss = idOf<'Service'>('boss')
const ann = idOf<'User'>('ann')
const users = ['ann', 'ben', 'cyd'].map(name => idOf<'User'>(name))

const policy: BookingPolicy = {...defaultPolicy, noticeMinutesMin: 30, horizonDays: 1}

/** What the read model would answer for a calendar. */
function asRows(state: CalendarState) {
  const offers: Offer[] = []
  const allocations: MachineAllocation[] = []
  for (const {machineId, services, offered, allocations: own} of state.machines) {
    if (offered) offers.push({machineId, services})
    allocations.push(...own.map(allocation => ({...allocation, machineId})))
  }
  return {offers, allocations}
}

/** A calendar that came about by deciding: some machines, some bookings, some of them cut short. */
function randomCalendar(seed: number): CalendarState {
  const random = seeded(seed)
  let state = calendar.initial
  const decide = (command: Parameters<typeof calendar.decide>[0]): void => {
    const decision = calendar.decide(command, state, {now: at('00:00')})
    if (decision.ok) state = fold<CalendarState, CalendarEvent>(calendar, state, decision.events)
  }
  const machines = 1 + random.below(4)
  let last = {end: at('06:00'), userId: ann}
  for (let number = 0; number < machines; number++) {
    const services = random.chance(0.7) ? [ench, boss] : [boss]
    decide({type: 'OfferMachine', machineId: idOf(`m${number}`), services})
  }
  for (let number = 0; number < 40; number++) {
    // Often right after the one before, so that there are runs of one customer, beside whose bookings buffers fall away.
    const follows = random.chance(0.4)
    const start = follows ? last.end : plusMinutes(at('00:00'), 5 * random.below(12 * 34))
    const interval = {start, end: plusMinutes(start, 30 * (1 + random.below(6)))}
    const userId = follows ? last.userId : random.pick(users)
    last = {end: interval.end, userId}
    const [warmUpMinutes, turnaroundMinutes] = [random.pick([0, 5, 20]), random.pick([0, 5, 45])]
    const bookingId = idOf<'Booking'>(`b${number}`)
    const wish = {bookingId, userId, serviceId: random.pick([ench, boss]), interval}
    decide({type: 'AllocateSlot', wish: {...wish, warmUpMinutes, turnaroundMinutes}, begunAt: start})
    if (random.chance(0.2)) {
      decide({type: 'ShortenAllocation', bookingId, end: plusMinutes(start, random.pick([0, 10, 30]))})
    }
  }
  if (random.chance(0.3)) decide({type: 'WithdrawMachine', machineId: idOf('m0')})
  return state
}

function isAccepted(
  state: CalendarState,
  userId: UserId,
  serviceId: ServiceId,
  start: Instant,
  minutes: number,
  now: Instant,
) {
  if (checkRequest({start, minutes}, policy, now) !== null) return false
  const {warmUpMinutes, turnaroundMinutes} = policy
  const interval = {start, end: plusMinutes(start, minutes)}
  const wish = {bookingId: idOf<'Booking'>('new'), userId, serviceId, interval, warmUpMinutes, turnaroundMinutes}
  const decision = calendar.decide({type: 'AllocateSlot', wish, begunAt: now}, state, {now})
  return decision.ok && decision.events[0]?.type === 'SlotAllocated'
}

describe('the offered slots', () => {
  test.each(Array.from({length: 60}, (_, seed) => [seed]))(
    'are exactly the starts on the grid that the calendar accepts (seed %i)',
    seed => {
      const random = seeded(1000 + seed)
      const state = randomCalendar(seed)
      const now = plusMinutes(at('03:07'), random.below(60))
      const minutes = 60 * (1 + random.below(3))
      const wish: AvailabilityWish = {serviceId: ench, from: at('02:00'), to: at('12:00', 1), minutes, userId: ann}
      const offered = availableSlots(wish, policy, asRows(state), now).slots.map(({start}) => start)

      const grid: Instant[] = []
      for (let start = wish.from; start < wish.to; start = plusMinutes(start, policy.slotStepMinutes)) grid.push(start)
      const accepted = grid.filter(start => isAccepted(state, ann, ench, start, minutes, now))
      expect(offered).toEqual(accepted)
    },
  )

  test('of the seeded calendars are some and not all', () => {
    const shares = Array.from({length: 60}, (_, seed) => {
      const wish = {serviceId: ench, from: at('04:00'), to: at('12:00', 1), minutes: 60, userId: ann}
      return availableSlots(wish, {...policy, horizonDays: 9}, asRows(randomCalendar(seed)), at('00:00')).slots.length
    })
    expect(shares.filter(count => count > 0 && count < 128).length).toBeGreaterThan(20)
  })

  const offers = [{machineId: idOf<'Machine'>('m1'), services: [ench]}]
  const taken = (userId: UserId, start: Instant, end: Instant): MachineAllocation => ({
    machineId: idOf('m1'),
    ...allocationOf({
      bookingId: idOf('b1'),
      userId,
      serviceId: ench,
      interval: {start, end},
      warmUpMinutes: 5,
      turnaroundMinutes: 5,
    }),
  })
  const slotsBetween = (from: Instant, to: Instant, userId: UserId | null, allocations: MachineAllocation[]) =>
    availableSlots({serviceId: ench, from, to, minutes: 60, userId}, policy, {offers, allocations}, at('00:00')).slots

  test('touch the asking customer’s own bookings, and nobody else’s', () => {
    const allocations = [taken(ann, at('10:00'), at('11:00'))]
    const starts = (userId: UserId | null) =>
      slotsBetween(at('08:30'), at('11:30'), userId, allocations).map(({start}) => start)
    expect(starts(ann)).toEqual([at('08:30'), at('08:45'), at('09:00'), at('11:00'), at('11:15')])
    expect(starts(idOf('ben'))).toEqual([at('08:30'), at('08:45'), at('11:15')])
    expect(starts(null)).toEqual([at('08:30'), at('08:45'), at('11:15')])
  })

  test('tell their end and how many machines are free', () => {
    const two = [...offers, {machineId: idOf<'Machine'>('m2'), services: [ench]}]
    const wish = {serviceId: ench, from: at('10:00'), to: at('10:01'), minutes: 60, userId: null}
    const free = (allocations: MachineAllocation[]) =>
      availableSlots(wish, policy, {offers: two, allocations}, at('00:00')).slots
    expect(free([])).toEqual([{start: at('10:00'), end: at('11:00'), freeMachines: 2}])
    expect(free([taken(ann, at('10:30'), at('11:30'))])).toEqual([
      {start: at('10:00'), end: at('11:00'), freeMachines: 1},
    ])
  })

  test('begin on the grid counted from the epoch, wherever the window begins', () => {
    const starts = slotsBetween(at('10:01'), at('10:40'), null, []).map(({start}) => start)
    expect(starts).toEqual([at('10:15'), at('10:30')])
  })

  test('keep the notice and the horizon', () => {
    const wish = {serviceId: ench, from: at('00:00'), to: at('23:00', 3), minutes: 60, userId: null}
    const {slots} = availableSlots(wish, policy, {offers, allocations: []}, at('10:00'))
    expect([slots[0]?.start, slots.at(-1)?.end]).toEqual([at('10:30'), at('10:00', 1)])
  })

  test('are at most 2,000, and it is told where to go on', () => {
    const wish = {
      serviceId: ench,
      from: at('00:00'),
      to: plusMinutes(at('00:00'), 31 * 1440),
      minutes: 60,
      userId: null,
    }
    const whole = {...policy, horizonDays: 60, slotStepMinutes: 15}
    const first = availableSlots(wish, whole, {offers, allocations: []}, at('00:00'))
    expect(first.slots.length).toBe(slotsMax)
    expect(first.searchedUntil).not.toBeNull()
    const next = {...wish, from: first.searchedUntil ?? wish.to}
    const second = availableSlots(next, whole, {offers, allocations: []}, at('00:00'))
    expect(first.slots.at(-1)?.start).toBe(plusMinutes(next.from, -15))
    expect([first.slots.length + second.slots.length, second.searchedUntil]).toEqual([31 * 96 - 2, null])
  })

  test('are none where nobody serves', () => {
    expect(slotsBetween(at('10:00'), at('12:00'), null, [])).not.toEqual([])
    const wish = {serviceId: boss, from: at('10:00'), to: at('12:00'), minutes: 60, userId: null}
    expect(availableSlots(wish, policy, {offers, allocations: []}, at('00:00')).slots).toEqual([])
  })

  test('need the agenda of two days beside the window, for buffers of bookings made under other terms', () => {
    const wish = {serviceId: ench, from: at('00:00', 2), to: at('00:00', 3), minutes: 60, userId: null}
    const {fromMs, toMs} = agendaWindow(wish)
    expect([instantFromMs(fromMs), instantFromMs(toMs)]).toEqual([at('00:00'), at('01:00', 5)])
    expect(msOf(wish.from) - fromMs).toBe(2 * 86_400_000)
  })
})
