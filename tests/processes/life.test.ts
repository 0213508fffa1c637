import {afterEach, describe, expect, test} from 'vitest'
import {at} from '../support/given.ts'
import {balanceOf, book, booked, customer, factsOf, grant} from '../support/world-acts.ts'
import {startWorld, type World} from '../support/world.ts'

let world: World
afterEach(() => world.stop())

const changes = (): readonly string[] => world.effects.map(({machineId, effect, at}) => `${at} ${machineId} ${effect}`)

async function worldOfAnn(options: Parameters<typeof startWorld>[0] = {}) {
  world = await startWorld(options)
  const node = await world.startEngine()
  await grant(node.engine, 'ann', 600)
  node.act()
  return node
}

describe('a booking', () => {
  test('has its machine on from the warm-up to the end and is charged for its hour', async () => {
    const node = await worldOfAnn()
    const {bookingId} = await booked(node.engine, 'ann', at('10:00'))
    await world.advanceTo(at('09:54:59'))
    expect(world.truth('eu-1')?.phase).toBe('off')
    await world.advanceTo(at('09:59:59'))
    expect(world.truth('eu-1')).toEqual({phase: 'ready', starts: 1})
    expect(node.engine.queries.agenda.booking(bookingId)?.status).toBe('confirmed')
    await world.advanceTo(at('10:00:01'))
    expect(node.engine.queries.agenda.booking(bookingId)).toMatchObject({status: 'started', started_at: at('10:00')})
    await world.advanceTo(at('10:59:59'))
    expect(world.truth('eu-1')).toEqual({phase: 'ready', starts: 1})
    await world.advanceTo(at('11:00:10'))
    expect(world.truth('eu-1')).toEqual({phase: 'off', starts: 1})

    expect(await factsOf(world, bookingId)).toMatchObject([
      ['HoursHeld', {minutes: 60}],
      ['SlotAllocated', {machineId: 'eu-1'}],
      ['BookingConfirmed', {machineId: 'eu-1', at: at('08:00')}],
      ['BookingStarted', {at: at('10:00')}],
      ['BookingEnded', {at: at('11:00'), usedMinutes: 60, lostMinutes: 0}],
      ['HoursCaptured', {minutes: 60}],
    ])
    expect(balanceOf(node.engine, 'ann', world.now())).toEqual([540, 0])
    expect(changes()).toEqual([`${at('09:55')} eu-1 started`, `${at('11:00:02')} eu-1 stopped`])

    await world.advanceTo(at('18:00'))
    expect(changes()).toHaveLength(2)
    expect(node.complaints).toEqual([])
  })

  test('that is cancelled in its warm-up has its machine switched off and costs nothing; the slot is free again', async () => {
    const node = await worldOfAnn()
    await grant(node.engine, 'bob', 600)
    const {bookingId} = await booked(node.engine, 'ann', at('10:00'))
    await world.advanceTo(at('09:57'))
    expect(world.truth('eu-1')?.phase).toBe('ready')
    expect((await world.during(book(node.engine, 'bob', at('10:30')))).ok).toBe(false)

    const cancel = {idempotencyKey: 'cancel', bookingId}
    expect((await world.during(node.engine.bookings.cancelBooking(customer('ann'), cancel))).ok).toBe(true)
    await world.advanceTo(at('09:57:10'))
    expect(world.truth('eu-1')).toEqual({phase: 'off', starts: 1})
    expect(await factsOf(world, bookingId)).toMatchObject([
      ['HoursHeld', {}],
      ['SlotAllocated', {}],
      ['BookingConfirmed', {}],
      ['BookingCancelled', {at: at('09:57'), usedMinutes: 0, lostMinutes: 0}],
      ['HoursReleased', {minutes: 60, reason: {type: 'cancelled'}}],
      ['AllocationShortened', {end: at('09:57')}],
    ])
    expect(balanceOf(node.engine, 'ann', world.now())).toEqual([600, 0])
    expect((await world.during(book(node.engine, 'bob', at('10:30'), {key: 'again'}))).ok).toBe(true)
    await world.advanceTo(at('12:00'))
    expect(changes().filter(change => change.endsWith('started'))).toHaveLength(2)
    expect(node.complaints).toEqual([])
  })

  test('that is cancelled after its start is charged for the minutes begun, and the rest of its slot is free', async () => {
    const node = await worldOfAnn()
    await grant(node.engine, 'bob', 600)
    const {bookingId} = await booked(node.engine, 'ann', at('10:00'), {minutes: 120})
    await world.advanceTo(at('10:20:30'))
    const cancel = {idempotencyKey: 'cancel', bookingId}
    expect((await world.during(node.engine.bookings.cancelBooking(customer('ann'), cancel))).ok).toBe(true)
    await world.advanceTo(at('10:20:40'))
    expect(world.truth('eu-1')).toEqual({phase: 'off', starts: 1})
    expect((await factsOf(world, bookingId)).slice(3)).toMatchObject([
      ['BookingStarted', {at: at('10:00')}],
      ['BookingCancelled', {at: at('10:20:30'), usedMinutes: 21, lostMinutes: 0}],
      ['HoursCaptured', {minutes: 21}],
      ['HoursReleased', {minutes: 99, reason: {type: 'cancelled'}}],
      ['AllocationShortened', {end: at('10:20:30')}],
    ])
    expect(balanceOf(node.engine, 'ann', world.now())).toEqual([579, 0])
    expect((await world.during(book(node.engine, 'bob', at('10:31')))).ok).toBe(true)
    expect(node.complaints).toEqual([])
  })

  test('that touches another of the same customer shares its machine without a power cycle', async () => {
    const node = await worldOfAnn()
    const first = await booked(node.engine, 'ann', at('10:00'))
    const second = await booked(node.engine, 'ann', at('11:00'))
    await world.advanceTo(at('12:10'))
    expect(changes()).toEqual([`${at('09:55')} eu-1 started`, `${at('12:00:02')} eu-1 stopped`])
    for (const {bookingId} of [first, second]) {
      const [, , , started, ended, settled] = await factsOf(world, bookingId)
      expect(started?.[0]).toBe('BookingStarted')
      expect(ended).toMatchObject(['BookingEnded', {usedMinutes: 60, lostMinutes: 0}])
      expect(settled).toMatchObject(['HoursCaptured', {minutes: 60}])
    }
    expect(balanceOf(node.engine, 'ann', world.now())).toEqual([480, 0])
    expect(node.complaints).toEqual([])
  })

  test('of another customer after it gets a machine that was off in between', async () => {
    const node = await worldOfAnn()
    await grant(node.engine, 'bob', 600)
    await booked(node.engine, 'ann', at('10:00'))
    await booked(node.engine, 'bob', at('11:10'))
    await world.advanceTo(at('12:20'))
    expect(changes()).toEqual([
      `${at('09:55')} eu-1 started`,
      `${at('11:00:02')} eu-1 stopped`,
      `${at('11:05')} eu-1 started`,
      `${at('12:10:02')} eu-1 stopped`,
    ])
    expect(node.complaints).toEqual([])
  })
})
