import {afterEach, describe, expect, test} from 'vitest'
import {account} from '../../src/account/decider.ts'
import {accountStream} from '../../src/account/events.ts'
import {calendar} from '../../src/calendar/decider.ts'
import {calendarStream} from '../../src/calendar/events.ts'
import {OutcomeUnknown} from '../../src/event-store/port.ts'
import {derivedCommandId, idOf} from '../../src/kernel/ids.ts'
import {entriesOf, type PersistentMap} from '../../src/kernel/persistent-map.ts'
import type {BookingTerms} from '../../src/kernel/terms.ts'
import {plusMinutes, type Instant} from '../../src/kernel/time.ts'
import {bookSlot} from '../../src/processes/book-slot.ts'
import {at} from '../support/given.ts'
import {Crashed, type AppendFate, type AppendSeen} from '../support/watched-store.ts'
import {balanceOf, book, booked, customer, grant, lifeOf} from '../support/world-acts.ts'
import {startWorld, type World} from '../support/world.ts'

let world: World
afterEach(() => world.stop())

/** Kills the caller at its `nth` append to the streams of a booking. */
function diesAt(nth: number, how: Exclude<AppendFate, 'lives'>) {
  let appends = 0
  return ({stream}: AppendSeen): AppendFate =>
    /^(account|calendar|booking)-/.test(stream) && ++appends === nth ? how : 'lives'
}

const confirmedOnce = ['HoursHeld', 'SlotAllocated', 'BookingConfirmed']
const cases = ([1, 2, 3] as const).flatMap(nth => (['dies before', 'dies after'] as const).map(how => ({nth, how})))

describe('a booking whose driver dies', () => {
  test.each(cases)('at append $nth ($how it) is confirmed once or never begun', async ({nth, how}) => {
    world = await startWorld()
    const back = await world.startEngine()
    await grant(back.engine, 'ann', 600)
    await world.quiet()
    const front = await world.startEngine({fateOf: diesAt(nth, how)})
    await expect(book(front.engine, 'ann', at('10:00'))).rejects.toThrow(Crashed)
    await front.stop()

    back.act()
    await world.advance(14_000)
    const hold = (await world.log()).find(({event}) => event.type === 'HoursHeld')
    if (nth === 1 && how === 'dies before') {
      expect(hold).toBeUndefined()
      return
    }
    await world.advance(2_000)
    const bookingId = bookingOf(hold)
    expect(await lifeOf(world, bookingId)).toEqual(confirmedOnce)
    expect(balanceOf(back.engine, 'ann', world.now())).toEqual([540, 60])
    expect(back.complaints).toEqual([])

    // The customer asks again with the same key, of a node that knows nothing of the first try.
    const repeat = await world.during(booked(back.engine, 'ann', at('10:00')))
    expect(repeat).toMatchObject({bookingId, status: 'confirmed', machineId: 'eu-1'})
    expect(await lifeOf(world, bookingId)).toEqual(confirmedOnce)
  })

  test.each([2, 3, 4].flatMap(nth => (['dies before', 'dies after'] as const).map(how => ({nth, how}))))(
    'at append $nth ($how it), having found no machine free, has its hours given back once',
    async ({nth, how}) => {
      world = await startWorld()
      const back = await world.startEngine()
      await grant(back.engine, 'ann', 600)
      await grant(back.engine, 'bob', 600)
      await booked(back.engine, 'bob', at('10:00'))
      await world.quiet()
      const front = await world.startEngine({fateOf: diesAt(nth, how)})
      const answer = await world.during(book(front.engine, 'ann', at('10:30')).catch(() => null))
      await front.stop()

      back.act()
      await world.advance(16_000)
      const ofAnn = (await world.log()).filter(({stream}) => stream === 'account-ann')
      expect(ofAnn.map(({event}) => event.type)).toEqual(['HoursGranted', 'HoursHeld', 'HoursReleased'])
      expect(balanceOf(back.engine, 'ann', world.now())).toEqual([600, 0])
      const bookingId = bookingOf(ofAnn[1])
      expect(await lifeOf(world, bookingId)).not.toContain('SlotAllocated')
      expect(await lifeOf(world, bookingId)).not.toContain('BookingConfirmed')

      // A repeat is told what the first try would have been told.
      const refusal = {type: 'SlotTaken', until: at('11:10')}
      if (answer !== null) expect(answer).toMatchObject({ok: false, refusal})
      expect(await world.during(book(back.engine, 'ann', at('10:30')))).toMatchObject({ok: false, refusal})
    },
  )
})

describe('a booking that two drive at once', () => {
  test('is made once, whoever is first', async () => {
    world = await startWorld({machines: {'eu-1': {}, 'eu-2': {}}})
    const [one, two] = [await world.startEngine(), await world.startEngine({nodeId: 'node-b'})]
    await grant(one.engine, 'ann', 6_000)
    for (let round = 0; round < 10; round++) {
      const start = at('10:00', round)
      const answers = Promise.all([book(one.engine, 'ann', start), book(two.engine, 'ann', start)])
      const [first, second] = await world.during(answers)
      if (!first.ok || !second.ok) throw new Error('refused')
      expect(first.value.bookingId).toBe(second.value.bookingId)
      expect(first.value.machineId).toBe(second.value.machineId)
      expect(await lifeOf(world, first.value.bookingId)).toEqual(confirmedOnce)
    }
    expect(balanceOf(one.engine, 'ann', world.now())).toEqual([5_400, 600])
  })

  test('is decided once, though the slot comes free while one was refused and before it gives the hours back', async () => {
    world = await startWorld()
    const back = await world.startEngine()
    await grant(back.engine, 'ann', 600)
    await grant(back.engine, 'bob', 600)
    const inTheWay = await booked(back.engine, 'bob', at('10:00'))
    await world.quiet()
    // The driver of the request stands still just before it gives the hours back.
    const held = Promise.withResolvers<void>()
    const reached = Promise.withResolvers<void>()
    const front = await world.startEngine({
      nodeId: 'node-b',
      async fateOf({events}): Promise<AppendFate> {
        if (!events.some(({type}) => type === 'HoursReleased')) return 'lives'
        reached.resolve()
        await held.promise
        return 'lives'
      },
    })
    const answer = book(front.engine, 'ann', at('10:00'))
    await reached.promise

    const {handler} = back.engine
    const free = {type: 'ShortenAllocation', bookingId: inTheWay.bookingId, end: at('10:00')} as const
    const meta = {
      commandId: derivedCommandId('test'),
      correlationId: 'test',
      actor: {type: 'process', name: 'test'},
    } as const
    await world.during(handler.handle(calendar, calendarStream(idOf('eu')), free, meta))
    const state = await handler.load(account, accountStream(idOf('ann')))
    const [bookingId, terms] = onlyHold(state.holds)
    const finished = await world.during(bookSlot(handler, idOf(bookingId), terms, {...meta, begunAt: world.now()}))
    held.resolve()
    await world.during(answer)

    const life = await lifeOf(world, bookingId)
    const isBooked = life.includes('BookingConfirmed')
    expect(life.includes('HoursReleased')).toBe(!isBooked)
    expect(life.includes('SlotAllocated')).toBe(isBooked)
    expect((await answer).ok).toBe(isBooked)
    expect(finished.ok).toBe(isBooked)
  })
})

describe('a driver who comes back after a day', () => {
  test('goes no further on what he knew then, and finishes it when he has looked anew', async () => {
    world = await startWorld()
    // After the grant and the hold.
    const dying = await world.startEngine({fateOf: diesAt(3, 'dies before')})
    await grant(dying.engine, 'ann', 600)
    await expect(book(dying.engine, 'ann', plusMinutes(at('10:00'), 7 * 24 * 60))).rejects.toBeInstanceOf(Crashed)
    await world.advance(24 * 3_600_000)
    const {handler} = (await world.startEngine()).engine
    const [bookingId, terms] = onlyHold((await handler.load(account, accountStream(idOf('ann')))).holds)
    const cause = {correlationId: 'test', actor: {type: 'process', name: 'test'}} as const
    const goOn = (begunAt: Instant) => bookSlot(handler, idOf(bookingId), terms, {...cause, begunAt})
    await expect(goOn(plusMinutes(world.now(), -24 * 60))).rejects.toBeInstanceOf(OutcomeUnknown)
    expect(await lifeOf(world, bookingId)).toEqual(['HoursHeld'])
    expect(await goOn(world.now())).toMatchObject({ok: true})
    expect(await lifeOf(world, bookingId)).toEqual(confirmedOnce)
  })
})

describe('a repeat', () => {
  test('is answered with the booking as it is now, also by a node that has not seen it before', async () => {
    world = await startWorld()
    const one = await world.startEngine()
    one.act()
    await grant(one.engine, 'ann', 600)
    const {bookingId} = await booked(one.engine, 'ann', at('10:00'))
    await world.advanceTo(at('10:30'))
    const two = await world.startEngine({nodeId: 'node-b'})
    expect(await world.during(booked(two.engine, 'ann', at('10:00')))).toMatchObject({bookingId, status: 'started'})

    const cancelled = await one.engine.bookings.cancelBooking(customer('ann'), {idempotencyKey: 'c', bookingId})
    expect(cancelled.ok).toBe(true)
    await world.quiet()
    const three = await world.startEngine({nodeId: 'node-c'})
    expect(await world.during(booked(three.engine, 'ann', at('10:00')))).toMatchObject({bookingId, status: 'cancelled'})
  })
})

function onlyHold(holds: PersistentMap<{readonly terms: BookingTerms}>) {
  const open = [...entriesOf(holds)].filter(([, {terms}]) => terms.userId === 'ann')
  const [only] = open
  if (only === undefined || open.length > 1) throw new Error(`${open.length} holds`)
  return [only[0], only[1].terms] as const
}

function bookingOf(fact: {readonly event: {readonly data: unknown}} | undefined): string {
  if (fact === undefined) throw new Error('no such fact')
  return (fact.event.data as {bookingId: string}).bookingId
}
