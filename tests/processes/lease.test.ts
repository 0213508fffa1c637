import {afterEach, describe, expect, test} from 'vitest'
import {createHandler} from '../../src/event-store/handler.ts'
import {createRegistry} from '../../src/event-store/registry.ts'
import {leaseEvents} from '../../src/processes/lease-events.ts'
import {keepLease, leaseTermMs, type HeldLease} from '../../src/processes/lease-keeper.ts'
import {lease} from '../../src/processes/lease.ts'
import {openGate, gatedStore, gatedTimers, type Gate} from '../support/gate.ts'
import {at, given} from '../support/given.ts'
import {watchedStore} from '../support/watched-store.ts'
import {booked, factsOf, grant} from '../support/world-acts.ts'
import {startWorld, type World} from '../support/world.ts'

let world: World
afterEach(() => world.stop())

const sharing = (nodeId: string, gate: Gate) => ({nodeId, gate, exclusive: false})

const epochsOf = async (machineId: string): Promise<readonly [string, number][]> =>
  (await world.log()).flatMap(({event, stream}): [string, number][] =>
    stream === `machine-${machineId}` && event.type === 'PowerCommandIntended'
      ? [[event.data.op, event.data.epoch]]
      : [],
  )

/** Short bookings: every second of two engines' clock is a read of the lease. */
const policy = {minutesMin: 10, stepMinutes: 10, warmUpMinutes: 1}
const short = {minutes: 10}

describe('two engines on one store', () => {
  test('act one at a time: every machine is started and stopped once', async () => {
    world = await startWorld({machines: {'eu-1': {}, 'eu-2': {}}, policy})
    const one = await world.startEngine(sharing('node-a', openGate()))
    const two = await world.startEngine(sharing('node-b', openGate()))
    await grant(one.engine, 'ann', 600)
    one.act()
    two.act()
    const first = await world.during(booked(one.engine, 'ann', at('08:03'), short))
    const second = await world.during(booked(two.engine, 'ann', at('08:03'), {...short, key: 'second'}))
    await world.advanceTo(at('08:14'))
    for (const {bookingId} of [first, second]) {
      expect((await factsOf(world, bookingId)).map(([type]) => type)).toEqual([
        'HoursHeld',
        'SlotAllocated',
        'BookingConfirmed',
        'BookingStarted',
        'BookingEnded',
        'HoursCaptured',
      ])
    }
    for (const machineId of ['eu-1', 'eu-2']) {
      expect(await epochsOf(machineId)).toEqual([
        ['start', 1],
        ['stop', 1],
      ])
    }
    expect(world.effects.map(({effect}) => effect)).toEqual(['started', 'started', 'stopped', 'stopped'])
    expect([...one.complaints, ...two.complaints]).toEqual([])
  })

  test('take over from each other: at once when one stops, within its term when one freezes', async () => {
    world = await startWorld({policy})
    const gate = openGate()
    const one = await world.startEngine(sharing('node-a', openGate()))
    await grant(one.engine, 'ann', 600)
    one.act()
    await world.quiet()
    const two = await world.startEngine(sharing('node-b', gate))
    two.act()
    const {bookingId} = await booked(one.engine, 'ann', at('08:03'), short)
    await world.advanceTo(at('08:02:30'))
    expect(await epochsOf('eu-1')).toEqual([['start', 1]])
    await one.stop()
    await world.advanceTo(at('08:04'))
    expect((await factsOf(world, bookingId)).at(-1)).toMatchObject(['BookingStarted', {at: at('08:03')}])

    const three = await world.startEngine(sharing('node-c', openGate()))
    three.act()
    await world.advanceTo(at('08:12:55'))
    gate.close()
    two.ignore()
    await world.advanceTo(at('08:13:20'))
    expect(world.truth('eu-1')?.phase).toBe('off')
    // The one that froze had made the stop ready, and was not there to send it.
    expect(await epochsOf('eu-1')).toEqual([
      ['start', 1],
      ['stop', 2],
      ['stop', 3],
    ])
    expect((await factsOf(world, bookingId)).slice(3)).toMatchObject([
      ['BookingStarted', {at: at('08:03')}],
      ['BookingEnded', {at: at('08:13'), usedMinutes: 10}],
      ['HoursCaptured', {minutes: 10}],
    ])
    gate.open()
    await world.advanceTo(at('08:15'))
    expect(world.effects.map(({effect}) => effect)).toEqual(['started', 'stopped'])
    await two.stop()
  })

  test('do not switch a machine twice when one wakes up between its intent and its act', async () => {
    world = await startWorld({policy})
    const gate = openGate()
    const one = await world.startEngine({
      ...sharing('node-a', gate),
      fateOf({events}) {
        // Frozen while the store writes the intent: the answer waits for the engine to wake.
        if (events.some(({type}) => type === 'PowerCommandIntended')) gate.close()
        return 'lives'
      },
    })
    await grant(one.engine, 'ann', 600)
    one.act()
    // So soon that its machine is told to start at once.
    const {bookingId} = await booked(one.engine, 'ann', at('08:01'), short)
    const two = await world.startEngine(sharing('node-b', openGate()))
    two.act()
    await world.advanceTo(at('08:00:00.500'))
    one.ignore()
    expect(await epochsOf('eu-1')).toEqual([['start', 1]])
    expect(world.effects).toEqual([])
    await world.advanceTo(at('08:08'))
    expect(await epochsOf('eu-1')).toEqual([
      ['start', 1],
      ['start', 2],
    ])
    expect((await factsOf(world, bookingId)).at(-1)).toMatchObject(['BookingStarted', {at: at('08:01')}])
    // Off by somebody's hand while the frozen one wakes: its old intent must not bring it back.
    await two.stop()
    await world.pullPlug('eu-1')
    gate.open()
    await world.quiet()
    expect(world.effects.map(({effect}) => effect)).toEqual(['started', 'killed'])
    await one.stop()
  })
})

describe('the lease', () => {
  /** Two candidates for a lease, without an engine around them. */
  function candidate(nodeId: string, gate: Gate, act: (lease: HeldLease) => Promise<void>, onFirstAppend?: () => void) {
    const {clock} = world.hand
    const timers = gatedTimers(world.hand.timers, gate)
    let isFirst = true
    const fateOf = (): 'lives' => {
      if (isFirst) onFirstAppend?.()
      isFirst = false
      return 'lives'
    }
    const store = gatedStore(watchedStore(world.store, world.watch, fateOf), gate)
    const handler = createHandler({store, registry: createRegistry(leaseEvents), clock, timers, random: () => 0.5})
    const stopping = new AbortController()
    let count = 0
    const ids = {uuid: () => `00000000-0000-4000-8000-${nodeId.padEnd(6, '0')}${String(++count).padStart(6, '0')}`}
    const errors: Error[] = []
    const parts = {handler, clock, timers, ids, nodeId, exclusive: false, onError: (error: Error) => errors.push(error)}
    const ended = keepLease(parts, stopping.signal, act)
    ended.catch((error: Error) => errors.push(error))
    return {
      errors,
      async stop() {
        stopping.abort()
        await ended.catch(() => undefined)
      },
    }
  }

  const untilLost = ({held}: HeldLease): Promise<void> => {
    const {promise, resolve} = Promise.withResolvers<void>()
    held.addEventListener('abort', () => resolve(), {once: true})
    return promise
  }

  test('is never held by two at once, by the clock, however long one of them is frozen at any moment', async () => {
    world = await startWorld()
    const holders = new Map<string, HeldLease>()
    const gates = {a: openGate(), b: openGate(), c: openGate()}
    const act = (name: string) => async (held: HeldLease) => {
      holders.set(name, held)
      await untilLost(held)
    }
    const nodes = Object.entries(gates).map(([name, gate]) => candidate(name, gate, act(name)))
    const names = Object.keys(gates) as (keyof typeof gates)[]
    let mostHolders = 0
    let changes = 0
    let lastHolder = ''
    for (let second = 0; second < 240; second++) {
      const name = names[second % names.length] ?? 'a'
      // Each is frozen for 40 s, at a second of its own, again and again.
      if (Math.floor(second / 40) % 3 === names.indexOf(name)) gates[name].close()
      else gates[name].open()
      await world.advance(977)
      const now = names.filter(candidateName => holders.get(candidateName)?.isHeld() === true)
      mostHolders = Math.max(mostHolders, now.length)
      if (now[0] !== undefined && now[0] !== lastHolder) changes++
      lastHolder = now[0] ?? lastHolder
    }
    expect(mostHolders).toBe(1)
    expect(changes).toBeGreaterThan(2)
    for (const gate of Object.values(gates)) gate.open()
    await world.during(Promise.all(nodes.map(node => node.stop())))
    expect(nodes.flatMap(({errors}) => errors)).toEqual([])
  })

  test('taken by one who was frozen while taking it counts from before it asked', async () => {
    world = await startWorld()
    const gate = openGate()
    let ofA: HeldLease | null = null
    let ofB: HeldLease | null = null
    const a = candidate(
      'a',
      gate,
      async held => {
        ofA ??= held
        await untilLost(held)
      },
      // Frozen while the store writes that it has the lease.
      () => gate.close(),
    )
    await world.advance(1_000)
    expect((await world.log()).map(({event}) => event.type)).toContain('LeaseTaken')
    expect(ofA).toBeNull()
    const b = candidate('b', openGate(), async held => {
      ofB = held
      await untilLost(held)
    })
    await world.advance(leaseTermMs + 5_000)
    gate.open()
    await world.advance(1)
    expect([isHeld(ofA), isHeld(ofB)]).toEqual([false, true])
    await world.during(Promise.all([a.stop(), b.stop()]))
  })

  test('is given back when what is done under it fails, so that another node can try', async () => {
    world = await startWorld()
    let ofB: HeldLease | null = null
    const a = candidate('a', openGate(), async () => {
      throw new Error('a bug')
    })
    await world.quiet()
    expect(a.errors).toEqual([new Error('a bug')])
    const b = candidate('b', openGate(), async held => {
      ofB = held
      await untilLost(held)
    })
    await world.quiet()
    expect(isHeld(ofB)).toBe(true)
    await world.during(Promise.all([a.stop(), b.stop()]))
  })

  test('is decided by its stream: only who saw it as it is can take it, only its holder keeps it', async () => {
    world = await startWorld()
    const taken = {type: 'LeaseTaken', data: {holder: 'a', epoch: 1, at: at('08:00')}} as const
    const renewed = {type: 'LeaseRenewed', data: {holder: 'a', epoch: 1, at: at('08:01')}} as const
    const seen = {holder: 'a', epoch: 1, renewals: 0}
    const now = at('08:02')
    given(lease).when({type: 'TakeLease', holder: 'a', seen: lease.initial}, at('08:00')).thenEvents(taken)
    given(lease, taken)
      .when({type: 'TakeLease', holder: 'b', seen}, now)
      .thenEvents({type: 'LeaseTaken', data: {holder: 'b', epoch: 2, at: now}})
    given(lease, taken, renewed).when({type: 'TakeLease', holder: 'b', seen}, now).thenRefused({type: 'LeaseMoved'})
    given(lease, taken).when({type: 'RenewLease', holder: 'a', epoch: 1}, at('08:01')).thenEvents(renewed)
    given(lease, taken).when({type: 'RenewLease', holder: 'b', epoch: 1}, now).thenRefused({type: 'NotHolder'})
    given(lease, taken).when({type: 'RenewLease', holder: 'a', epoch: 0}, now).thenRefused({type: 'NotHolder'})
    given(lease, taken)
      .when({type: 'ReleaseLease', holder: 'a', epoch: 1}, now)
      .thenEvents({type: 'LeaseReleased', data: {holder: 'a', epoch: 1, at: now}})
    given(lease, taken).when({type: 'ReleaseLease', holder: 'b', epoch: 1}, now).thenNothing()
  })
})

function isHeld(held: HeldLease | null): boolean {
  return held?.isHeld() === true
}
