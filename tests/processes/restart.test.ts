import {afterEach, describe, expect, test} from 'vitest'
import type {Instant} from '../../src/kernel/time.ts'
import {at} from '../support/given.ts'
import {foldedRows, rowsOf} from '../projections/support.ts'
import {Crashed} from '../support/watched-store.ts'
import {balanceOf, book, booked, factsOf, grant} from '../support/world-acts.ts'
import type {RunningEngine} from '../support/world-engine.ts'
import {startWorld, type World} from '../support/world.ts'

let world: World
afterEach(() => world.stop())

async function worldOfAnn(options: Parameters<typeof startWorld>[0] = {}): Promise<RunningEngine> {
  world = await startWorld(options)
  const node = await world.startEngine()
  await grant(node.engine, 'ann', 600)
  node.act()
  return node
}

/** The engine is gone from one moment to the other. */
async function away(node: RunningEngine, from: Instant, to: Instant): Promise<RunningEngine> {
  await world.advanceTo(from)
  await node.stop()
  await world.advanceTo(to)
  const next = await world.startEngine()
  next.act()
  return next
}

const session = async (bookingId: string) => (await factsOf(world, bookingId)).slice(3)

const asIfNothingHadHappened = [
  ['BookingStarted', {at: at('10:00')}],
  ['BookingEnded', {at: at('11:00'), usedMinutes: 60, lostMinutes: 0}],
  ['HoursCaptured', {minutes: 60}],
]

describe('an engine that was stopped', () => {
  test.each([
    ['over the start', at('09:58'), at('10:10'), at('11:00:02')],
    ['within the session', at('10:20'), at('10:40'), at('11:00:02')],
    ['over the end', at('10:50'), at('11:20'), at('11:20:02')],
    ['over start and end', at('09:58'), at('11:20'), at('11:20:02')],
    ['while a booking made before it had not begun', at('08:10'), at('09:50'), at('11:00:02')],
  ])('%s catches up; the booking goes as if nothing had happened', async (_, from, to, offAt) => {
    const node = await worldOfAnn()
    const {bookingId} = await booked(node.engine, 'ann', at('10:00'))
    const next = await away(node, from, to)
    await world.advanceTo(at('11:30'))
    expect(await session(bookingId)).toMatchObject(asIfNothingHadHappened)
    expect(world.effects.map(({effect, at}) => [effect, at])).toEqual([
      ['started', at('09:55')],
      ['stopped', offAt],
    ])
    expect([...node.complaints, ...next.complaints]).toEqual([])
  })

  test('over the warm-up and the start begins late, and what was lost is compensated', async () => {
    const node = await worldOfAnn({machines: {'eu-1': {bootSeconds: 10}}})
    const {bookingId} = await booked(node.engine, 'ann', at('10:00'))
    await away(node, at('09:50'), at('10:10'))
    await world.advanceTo(at('11:10'))
    expect(await session(bookingId)).toMatchObject([
      ['BookingStarted', {}],
      ['BookingEnded', {usedMinutes: 50, lostMinutes: 10}],
      ['HoursCaptured', {minutes: 50}],
      ['HoursCompensated', {minutes: 10}],
    ])
    const [[, {at: startedAt}] = ['', {at: ''}]] = await session(bookingId)
    expect(String(startedAt).slice(0, 16)).toBe('2026-11-21T10:10')
  })

  test('over a whole booking that had no machine ends it without a start, and every minute goes back', async () => {
    const node = await worldOfAnn()
    const {bookingId} = await booked(node.engine, 'ann', at('10:00'))
    await away(node, at('09:50'), at('11:20'))
    await world.advanceTo(at('11:21'))
    expect(await session(bookingId)).toMatchObject([
      ['BookingFailed', {at: at('11:00'), reason: 'NeverReady', usedMinutes: 0, lostMinutes: 60}],
      ['HoursCompensated', {minutes: 60}],
    ])
    expect(world.effects).toEqual([])
  })

  test('while the machine died believes what it sees, not what it knew: no session begins without a machine', async () => {
    const node = await worldOfAnn({machines: {'eu-1': {bootSeconds: 10}}})
    const {bookingId} = await booked(node.engine, 'ann', at('10:00'))
    await world.advanceTo(at('09:58'))
    await node.stop()
    await world.pullPlug('eu-1')
    await world.advanceTo(at('10:30'))
    const next = await world.startEngine()
    next.act()
    await world.advanceTo(at('11:10'))
    expect(await session(bookingId)).toMatchObject([
      ['BookingStarted', {}],
      ['BookingEnded', {usedMinutes: 30, lostMinutes: 30}],
      ['HoursCaptured', {minutes: 30}],
      ['HoursCompensated', {minutes: 30}],
    ])
    const [[, {at: startedAt}] = ['', {at: ''}]] = await session(bookingId)
    expect(String(startedAt).slice(0, 16)).toBe('2026-11-21T10:30')
  })

  test('with its read models kept on disk goes on where it was', async () => {
    world = await startWorld()
    const readModels = `${world.testStore.dataDir}/models.sqlite`
    const node = await world.startEngine({readModels})
    await grant(node.engine, 'ann', 600)
    node.act()
    const {bookingId} = await booked(node.engine, 'ann', at('10:00'))
    await world.advanceTo(at('10:20'))
    await node.stop()
    await world.advanceTo(at('10:40'))
    const next = await world.startEngine({readModels})
    next.act()
    await world.advanceTo(at('11:10'))
    expect(await session(bookingId)).toMatchObject(asIfNothingHadHappened)
    expect(next.complaints).toEqual([])
  })
})

describe('a booking begun by an engine that died, with nobody to finish it for days', () => {
  test('comes to its end although the calendar has forgotten its slot; every minute goes back', async () => {
    world = await startWorld()
    const back = await world.startEngine()
    await grant(back.engine, 'ann', 600)
    await grant(back.engine, 'bob', 600)
    await world.quiet()
    const front = await world.startEngine({
      fateOf: ({events}) => (events.some(({type}) => type === 'BookingConfirmed') ? 'dies before' : 'lives'),
    })
    await expect(book(front.engine, 'ann', at('10:00'))).rejects.toThrow(Crashed)
    await front.stop()
    await world.advanceTo(at('12:00', 4))
    // What has long ended is forgotten when something new comes.
    const later = await world.during(booked(back.engine, 'bob', at('13:00', 4)))
    back.act()
    await world.advanceTo(at('13:10', 4))
    expect(back.engine.projections.halted()).toEqual([])
    expect(balanceOf(back.engine, 'ann', world.now())).toEqual([600, 0])
    const hold = (await world.log()).find(({event}) => event.type === 'HoursHeld')
    expect(
      (await factsOf(world, (hold?.event.data as {bookingId: string} | undefined)?.bookingId ?? '')).at(-1),
    ).toMatchObject(['HoursCompensated', {minutes: 60}])
    expect(back.engine.queries.agenda.booking(later.bookingId)?.status).toBe('started')
    expect(await foldedRows(world.store)).toEqual(rowsOf(back.engine.projections.db))
  })
})

describe('an engine that stops', () => {
  test('writes nothing untrue on its way out: a look that was cut short saw nothing', async () => {
    const node = await worldOfAnn()
    await booked(node.engine, 'ann', at('10:00'))
    for (const moment of [at('09:55'), at('10:00'), at('10:00:10'), at('10:30:00.500')]) {
      await world.advanceTo(moment)
    }
    await node.stop()
    const seen = (await world.log()).filter(({event}) => event.type === 'PowerObserved')
    expect(seen.filter(({event}) => JSON.stringify(event.data).includes('unreachable'))).toEqual([])
  })

  test('stops at once although its read models have not caught up', async () => {
    world = await startWorld()
    const node = await world.startEngine()
    node.act()
    await world.quiet()
    await node.stop()
    expect(node.complaints).toEqual([])
  })
})
