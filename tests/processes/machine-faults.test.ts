import {afterEach, describe, expect, test} from 'vitest'
import {idOf} from '../../src/kernel/ids.ts'
import {at} from '../support/given.ts'
import type {AppendFate} from '../support/watched-store.ts'
import {balanceOf, book, booked, factsOf, grant, owner} from '../support/world-acts.ts'
import {startWorld, type World} from '../support/world.ts'

let world: World
afterEach(() => world.stop())

async function worldOfAnn(machines: Record<string, Record<string, unknown>>) {
  world = await startWorld({machines})
  const node = await world.startEngine()
  await grant(node.engine, 'ann', 600)
  node.act()
  return node
}

const typesOf = async (machineId: string): Promise<readonly string[]> =>
  (await world.log()).filter(({stream}) => stream === `machine-${machineId}`).map(({event}) => event.type)

const hangs = {failureRates: {hangAtBoot: 1}}

describe('a machine that does not boot', () => {
  test('is tried again, given up on, and its booking moves to another machine in time', async () => {
    const node = await worldOfAnn({'eu-1': hangs, 'eu-2': {}})
    const {bookingId, machineId} = await booked(node.engine, 'ann', at('10:00'))
    expect(machineId).toBe('eu-1')
    await world.advanceTo(at('11:10'))
    const life = await factsOf(world, bookingId)
    expect(life.slice(2)).toMatchObject([
      ['BookingConfirmed', {machineId: 'eu-1'}],
      ['AllocationFailedOver', {fromMachineId: 'eu-1', toMachineId: 'eu-2'}],
      ['BookingFailedOver', {fromMachineId: 'eu-1', toMachineId: 'eu-2'}],
      ['BookingStarted', {at: at('10:00')}],
      ['BookingEnded', {usedMinutes: 60, lostMinutes: 0}],
      ['HoursCaptured', {minutes: 60}],
    ])
    expect(world.truth('eu-1')).toEqual({phase: 'off', starts: 2})
    expect(world.truth('eu-2')).toEqual({phase: 'off', starts: 1})
    expect((await typesOf('eu-1')).at(-1)).toBe('MachineQuarantined')
    expect(node.engine.queries.machines.machine('eu-1')?.quarantined_because).toBe('it did not start in 2 attempts')
    expect(node.complaints).toEqual([])
  })

  test('and has no replacement fails its booking at the start; every minute goes back', async () => {
    const node = await worldOfAnn({'eu-1': hangs})
    const {bookingId} = await booked(node.engine, 'ann', at('10:00'))
    await world.advanceTo(at('10:00:10'))
    expect((await factsOf(world, bookingId)).slice(2)).toMatchObject([
      ['BookingConfirmed', {}],
      ['BookingFailed', {reason: 'NoMachineServes', usedMinutes: 0}],
      ['HoursReleased', {minutes: 60, reason: {type: 'failed'}}],
      ['AllocationShortened', {}],
    ])
    expect(balanceOf(node.engine, 'ann', world.now())).toEqual([600, 0])
    await world.advanceTo(at('10:30'))
    expect(world.truth('eu-1')).toEqual({phase: 'off', starts: 2})
    expect(node.complaints).toEqual([])
  })

  test('takes no bookings until an operator lifts its quarantine; then it does, and is tried anew', async () => {
    const node = await worldOfAnn({'eu-1': hangs})
    await booked(node.engine, 'ann', at('10:00'))
    await world.advanceTo(at('10:30'))
    const refused = await world.during(book(node.engine, 'ann', at('12:00')))
    expect(refused).toMatchObject({ok: false, refusal: {type: 'NoMachineServes'}})

    const lift = {idempotencyKey: 'lift', machineId: idOf<'Machine'>('eu-1')}
    expect((await world.during(node.engine.operations.liftQuarantine(owner, lift))).ok).toBe(true)
    await world.quiet()
    const accepted = await world.during(book(node.engine, 'ann', at('12:00'), {key: 'again'}))
    expect(accepted.ok).toBe(true)
    await world.advanceTo(at('11:56'))
    expect(world.truth('eu-1')).toEqual({phase: 'booting', starts: 3})
    expect(node.complaints).toEqual([])
  })
})

describe('a machine that goes away in a session', () => {
  test('interrupts it, is started again, and the whole minutes without it are compensated once', async () => {
    const node = await worldOfAnn({'eu-1': {bootSeconds: 100}})
    const {bookingId} = await booked(node.engine, 'ann', at('10:00'))
    await world.advanceTo(at('10:20'))
    await world.pullPlug('eu-1')
    await world.advanceTo(at('10:20:15'))
    expect(node.engine.queries.agenda.booking(bookingId)?.interrupted_at).not.toBeNull()
    expect(world.truth('eu-1')).toEqual({phase: 'booting', starts: 2})
    await world.advanceTo(at('10:30'))
    expect(world.truth('eu-1')).toEqual({phase: 'ready', starts: 2})
    expect(node.engine.queries.agenda.booking(bookingId)?.interrupted_at).toBeNull()
    await world.advanceTo(at('11:10'))
    expect((await factsOf(world, bookingId)).slice(3).map(([type]) => type)).toEqual([
      'BookingStarted',
      'BookingInterrupted',
      'BookingResumed',
      'BookingEnded',
      'HoursCaptured',
      'HoursCompensated',
    ])
    expect((await factsOf(world, bookingId)).slice(-2)).toMatchObject([
      ['HoursCaptured', {minutes: 59}],
      ['HoursCompensated', {minutes: 1}],
    ])
    expect(balanceOf(node.engine, 'ann', world.now())).toEqual([541, 0])
    expect(node.complaints).toEqual([])
  })

  test('and does not come back leaves the session to another machine', async () => {
    const node = await worldOfAnn({'eu-1': {bootSeconds: 60}, 'eu-2': {bootSeconds: 60}})
    const {bookingId} = await booked(node.engine, 'ann', at('10:00'))
    await world.advanceTo(at('10:20'))
    for (const starts of [1, 2, 3]) {
      await world.advanceUntil(() => world.truth('eu-1')?.starts === starts, 60_000)
      await world.advance(5_000)
      await world.pullPlug('eu-1')
    }
    await world.advanceUntil(() => world.truth('eu-2')?.phase === 'ready', 120_000)
    await world.advanceTo(at('11:10'))
    const life = await factsOf(world, bookingId)
    expect(life.slice(3)).toMatchObject([
      ['BookingStarted', {at: at('10:00')}],
      ['BookingInterrupted', {}],
      ['AllocationFailedOver', {fromMachineId: 'eu-1', toMachineId: 'eu-2'}],
      ['BookingFailedOver', {fromMachineId: 'eu-1', toMachineId: 'eu-2'}],
      ['BookingResumed', {}],
      ['BookingEnded', {at: at('11:00'), usedMinutes: 59, lostMinutes: 1}],
      ['HoursCaptured', {minutes: 59}],
      ['HoursCompensated', {minutes: 1}],
    ])
    expect(world.truth('eu-1')).toEqual({phase: 'off', starts: 3})
    expect(world.truth('eu-2')).toEqual({phase: 'off', starts: 1})
    expect(node.complaints).toEqual([])
  })
})

describe('a fail-over that is cut in half', () => {
  test('is finished, though the first machine is well again: calendar and booking agree on the machine', async () => {
    world = await startWorld({machines: {'eu-1': {bootSeconds: 60}, 'eu-2': {}}})
    let isDead = false
    const front = await world.startEngine({
      fateOf({events}): AppendFate {
        if (isDead) return 'dies before'
        isDead = events.some(({type}) => type === 'AllocationFailedOver')
        return isDead ? 'dies after' : 'lives'
      },
    })
    const back = await world.startEngine()
    await grant(back.engine, 'ann', 600)
    await grant(back.engine, 'bob', 600)
    front.act()
    const {bookingId} = await booked(back.engine, 'ann', at('10:00'))
    await world.advanceTo(at('09:54'))
    for (const starts of [1, 2]) {
      await world.advanceUntil(() => world.truth('eu-1')?.starts === starts, 120_000)
      await world.advance(5_000)
      await world.pullPlug('eu-1')
    }
    await world.advanceUntil(() => isDead, 60_000)
    await front.stop()
    const lift = {idempotencyKey: 'lift', machineId: idOf<'Machine'>('eu-1')}
    expect((await world.during(back.engine.operations.liftQuarantine(owner, lift))).ok).toBe(true)

    back.act()
    await world.advanceTo(at('10:30'))
    expect((await factsOf(world, bookingId)).slice(3)).toMatchObject([
      ['AllocationFailedOver', {fromMachineId: 'eu-1', toMachineId: 'eu-2'}],
      ['BookingFailedOver', {fromMachineId: 'eu-1', toMachineId: 'eu-2'}],
      ['BookingStarted', {at: at('10:00')}],
    ])
    expect(world.truth('eu-1')).toEqual({phase: 'off', starts: 2})
    expect(world.truth('eu-2')).toEqual({phase: 'ready', starts: 1})
    expect(back.complaints).toEqual([])
  })
})

describe('a machine that ignores a graceful stop', () => {
  test('has its power taken away', async () => {
    const node = await worldOfAnn({'eu-1': {failureRates: {ignoresStop: 1}}})
    await booked(node.engine, 'ann', at('10:00'))
    await world.advanceTo(at('11:02'))
    expect(world.truth('eu-1')).toEqual({phase: 'off', starts: 1})
    expect(world.effects.map(({effect}) => effect)).toEqual(['started', 'killed'])
    expect((await typesOf('eu-1')).includes('MachineQuarantined')).toBe(false)
    expect(node.complaints).toEqual([])
  })
})
