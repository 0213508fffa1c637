import {afterEach, describe, expect, test} from 'vitest'
import {at} from '../support/given.ts'
import {balanceOf, booked, factsOf, grant} from '../support/world-acts.ts'
import type {RunningEngine} from '../support/world-engine.ts'
import {startWorld, type World} from '../support/world.ts'

let world: World
let node: RunningEngine
afterEach(() => world.stop())

const hourMs = 3_600_000

async function bookingAtTen(): Promise<string> {
  world = await startWorld()
  node = await world.startEngine()
  await grant(node.engine, 'ann', 600)
  node.act()
  return (await booked(node.engine, 'ann', at('10:00'))).bookingId
}

const effects = (): readonly string[] => world.effects.map(({effect}) => effect)

describe('a wall clock that is set', () => {
  test('back by an hour in the warm-up begins no session early and keeps no machine on for nothing', async () => {
    const bookingId = await bookingAtTen()
    await world.advanceTo(at('09:58'))
    world.hand.jumpWall(-hourMs)
    await world.advance(60_000)
    expect(world.truth('eu-1')?.phase).toBe('off')
    await world.advanceTo(at('11:10'))
    expect((await factsOf(world, bookingId)).slice(3)).toMatchObject([
      ['BookingStarted', {at: at('10:00')}],
      ['BookingEnded', {at: at('11:00'), usedMinutes: 60, lostMinutes: 0}],
      ['HoursCaptured', {minutes: 60}],
    ])
    expect(effects()).toEqual(['started', 'stopped', 'started', 'stopped'])
    expect(node.complaints).toEqual([])
  })

  test('back by an hour in the session neither ends nor interrupts it, and a crash in it is still noticed', async () => {
    const bookingId = await bookingAtTen()
    await world.advanceTo(at('10:59'))
    world.hand.jumpWall(-hourMs + 10 * 60_000)
    await world.advance(5_000)
    await world.pullPlug('eu-1')
    await world.advance(30_000)
    expect(world.truth('eu-1')).toEqual({phase: 'ready', starts: 2})
    await world.advanceTo(at('11:10'))
    const types = (await factsOf(world, bookingId)).map(([type]) => type)
    expect(types.slice(3)).toEqual([
      'BookingStarted',
      'BookingInterrupted',
      'BookingResumed',
      'BookingEnded',
      'HoursCaptured',
    ])
    expect(node.complaints).toEqual([])
  })

  test('ahead by an hour, over start and end, ends what it skipped and switches off what is on', async () => {
    const bookingId = await bookingAtTen()
    await world.advanceTo(at('09:58'))
    world.hand.jumpWall(2 * hourMs)
    await world.advance(10_000)
    expect(world.truth('eu-1')?.phase).toBe('off')
    expect((await factsOf(world, bookingId)).at(-1)?.[0]).toMatch(/^Hours(Captured|Compensated)$/)
    expect(balanceOf(node.engine, 'ann', world.now())[1]).toBe(0)
    expect(node.complaints).toEqual([])
  })

  test('ahead by 400 days ends all that was open, and the engine goes on', async () => {
    await bookingAtTen()
    const later = await booked(node.engine, 'ann', at('14:00'))
    await world.advanceTo(at('10:30'))
    world.hand.jumpWall(400 * 24 * hourMs)
    await world.advance(60_000)
    expect(world.truth('eu-1')?.phase).toBe('off')
    expect(node.engine.queries.agenda.booking(later.bookingId)?.status).toBe('failed')
    expect(balanceOf(node.engine, 'ann', world.now())[1]).toBe(0)
    expect(node.complaints).toEqual([])
    expect(node.engine.projections.halted()).toEqual([])
  })

  test('back by an hour while a machine stops does not keep it on when its keeper is another one then', async () => {
    world = await startWorld({machines: {'eu-1': {failureRates: {ignoresStop: 1}}}})
    node = await world.startEngine()
    await grant(node.engine, 'ann', 600)
    node.act()
    await booked(node.engine, 'ann', at('08:05'))
    await world.advanceTo(at('09:05:05'))
    await node.stop()
    world.hand.jumpWall(-hourMs + 2 * 60_000)
    const next = await world.startEngine()
    next.act()
    await world.advance(3 * 60_000)
    expect(effects()).toEqual(['started', 'killed'])
    expect(next.complaints).toEqual([])
  })

  test('ahead while a machine boots or stops does not use up the time it is given for that', async () => {
    world = await startWorld({machines: {'eu-1': {bootSeconds: 60, stopSeconds: 30}}})
    node = await world.startEngine()
    await grant(node.engine, 'ann', 600)
    node.act()
    await booked(node.engine, 'ann', at('08:05'))
    await world.advanceTo(at('08:00:30'))
    expect(world.truth('eu-1')?.phase).toBe('booting')
    world.hand.jumpWall(10 * 60_000)
    await world.advance(40_000)
    expect(world.truth('eu-1')).toEqual({phase: 'ready', starts: 1})

    await world.advanceTo(at('09:05:10'))
    expect(world.truth('eu-1')?.phase).toBe('stopping')
    world.hand.jumpWall(10 * 60_000)
    await world.advance(40_000)
    expect(effects()).toEqual(['started', 'stopped'])
    expect(node.complaints).toEqual([])
  })
})
