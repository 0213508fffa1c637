import {afterEach, describe, expect, test} from 'vitest'
import {idOf} from '../../src/kernel/ids.ts'
import {openGate} from '../support/gate.ts'
import {at} from '../support/given.ts'
import {booked, grant, owner} from '../support/world-acts.ts'
import {startWorld, type World} from '../support/world.ts'

let world: World
afterEach(() => world.stop())

const hangs = {failureRates: {hangAtBoot: 1}}

describe('the processes', () => {
  test('hear of a lifted quarantine also when they are just looking at the machine', async () => {
    world = await startWorld({machines: {'eu-1': hangs}})
    const driverGate = openGate()
    const node = await world.startEngine({driverGate})
    await grant(node.engine, 'ann', 600)
    node.act()
    await booked(node.engine, 'ann', at('09:00'))
    await world.advanceTo(at('09:10'))
    expect(node.engine.queries.machines.machine('eu-1')?.quarantined_because).not.toBeNull()

    driverGate.close()
    // The routine look begins, and its sight does not come.
    await world.advanceUntil(() => driverGate.waiting() > 0, 61_000)
    const lift = {idempotencyKey: 'lift', machineId: idOf<'Machine'>('eu-1')}
    expect((await node.engine.operations.liftQuarantine(owner, lift)).ok).toBe(true)
    await world.quiet()
    driverGate.open()
    await world.quiet()
    await world.during(booked(node.engine, 'ann', at('09:12'), {key: 'again'}))
    await world.advance(2_000)
    expect(world.truth('eu-1')).toEqual({phase: 'booting', starts: 3})
  })

  test('write nothing down of a look that a stop of the engine cut short', async () => {
    world = await startWorld()
    const driverGate = openGate()
    const node = await world.startEngine({driverGate})
    await grant(node.engine, 'ann', 600)
    node.act()
    await booked(node.engine, 'ann', at('09:00'))
    await world.advanceTo(at('09:00:05'))
    driverGate.close()
    await world.advanceUntil(() => driverGate.waiting() > 0, 15_000)
    await node.stop()
    const seen = (await world.log()).flatMap(({event}) => (event.type === 'PowerObserved' ? [event.data.power] : []))
    expect(seen).toEqual(['off', 'on'])
  })

  test('take a machine that does not answer in time for unreachable, which is not off, and go on when it answers', async () => {
    world = await startWorld()
    const driverGate = openGate()
    const node = await world.startEngine({driverGate})
    await grant(node.engine, 'ann', 600)
    node.act()
    const {bookingId} = await booked(node.engine, 'ann', at('09:00'))
    await world.advanceTo(at('09:20'))
    driverGate.close()
    await world.advance(60_000)
    expect(node.engine.queries.machines.machine('eu-1')?.seen).toBe('unreachable')
    driverGate.open()
    await world.advanceTo(at('10:01'))
    expect(node.engine.queries.agenda.booking(bookingId)).toMatchObject({status: 'ended', lost_minutes: 0})
    expect(world.effects.map(({effect}) => effect)).toEqual(['started', 'stopped'])
  })

  test('are left to others by a node that met an event it cannot read: it no longer knows what it does', async () => {
    world = await startWorld()
    const node = await world.startEngine()
    await grant(node.engine, 'ann', 600)
    node.act()
    await booked(node.engine, 'ann', at('09:00'))
    await world.advanceTo(at('08:30'))
    const id = '0e8b5d0c-6a1f-4c3e-9d57-2f6a1b7c9e10'
    await world.store.append('customer-x', 'noStream', [{id, type: 'CustomerTeleported', data: {}, metadata: {}}])
    await world.advanceUntil(() => node.engine.projections.halted().length > 0, 10_000)
    await world.advanceTo(at('09:10'))
    expect((await world.log()).at(-1)?.event.type).toBe('LeaseReleased')
    expect(world.effects).toEqual([])
    expect(node.complaints).toContainEqual(expect.stringContaining('CustomerTeleported'))
  })

  test('stop at once, although the read models never catch up', async () => {
    world = await startWorld()
    const logGate = openGate()
    logGate.close()
    const node = await world.startEngine({logGate})
    node.act()
    await world.advance(5_000)
    expect((await world.log()).at(-1)?.event.type).toBe('LeaseTaken')
    expect(node.engine.projections.isCaughtUp()).toBe(false)
    await node.stopActing()
    logGate.open()
    await node.stop()
  })
})
