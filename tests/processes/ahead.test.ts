import {afterEach, expect, test} from 'vitest'
import {openGate} from '../support/gate.ts'
import {at} from '../support/given.ts'
import {book, booked, customer, factsOf, grant} from '../support/world-acts.ts'
import {startWorld, type World} from '../support/world.ts'

/** A command is written down before it is due, so that nothing but the call is left to do at its moment. */

let world: World
afterEach(() => world.stop())

const policy = {minutesMin: 10, stepMinutes: 10, warmUpMinutes: 1, turnaroundMinutes: 0}
const short = {minutes: 10}

async function worldOfAnn() {
  world = await startWorld({policy})
  const node = await world.startEngine()
  await grant(node.engine, 'ann', 600)
  node.act()
  return node
}

const effects = (): readonly string[] => world.effects.map(({effect, at: when}) => `${effect} ${when.slice(11, 23)}`)

/** What the machine's stream says of power commands, in short. */
async function powerLog(): Promise<readonly string[]> {
  return (await world.log()).flatMap(({event}) => {
    const time = 'at' in event.data ? String(event.data.at).slice(11, 23) : ''
    if (event.type === 'PowerCommandIntended') return [`${time} ${event.data.op}`]
    return event.type.startsWith('PowerCommand') ? [`${time} ${event.type.slice('PowerCommand'.length)}`] : []
  })
}

test('a machine is told to start and stop at the moment itself, what was intended having been written before', async () => {
  const node = await worldOfAnn()
  await booked(node.engine, 'ann', at('08:03'), short)
  await world.advanceTo(at('08:14'))
  expect(await powerLog()).toEqual([
    '08:01:40.000 start',
    '08:02:00.000 Accepted',
    '08:12:40.000 stop',
    '08:13:00.000 Accepted',
  ])
  expect(effects()).toEqual(['started 08:02:00.000', 'stopped 08:13:02.000'])
})

test('the session lasts to its end though its stop is written down before', async () => {
  const node = await worldOfAnn()
  const {bookingId} = await booked(node.engine, 'ann', at('08:03'), short)
  await world.advanceTo(at('08:12:59'))
  expect(await powerLog()).toContain('08:12:40.000 stop')
  expect(node.engine.queries.machines.machine('eu-1')).toMatchObject({last_op: 'start', seen: 'on'})
  expect(node.engine.queries.machines.machine('eu-1')?.ready_since).not.toBeNull()
  await world.advanceTo(at('08:14'))
  expect(node.engine.queries.machines.machine('eu-1')).toMatchObject({last_op: 'stop', last_op_at: at('08:13')})
  expect((await factsOf(world, bookingId)).slice(3)).toMatchObject([
    ['BookingStarted', {at: at('08:03')}],
    ['BookingEnded', {at: at('08:13'), usedMinutes: 10, lostMinutes: 0}],
    ['HoursCaptured', {minutes: 10}],
  ])
})

test('a booking cancelled in the last seconds has nothing started for it', async () => {
  const node = await worldOfAnn()
  const {bookingId} = await booked(node.engine, 'ann', at('08:03'), short)
  await world.advanceTo(at('08:01:55'))
  await world.during(node.engine.bookings.cancelBooking(customer('ann'), {idempotencyKey: 'no', bookingId}))
  await world.advanceTo(at('08:14'))
  expect(await powerLog()).toEqual(['08:01:40.000 start', '08:01:55.000 Withdrawn'])
  expect(effects()).toEqual([])
})

test('a machine that is booked on in the last seconds stays on', async () => {
  const node = await worldOfAnn()
  await booked(node.engine, 'ann', at('08:03'), short)
  await world.advanceTo(at('08:12:55'))
  const next = await world.during(book(node.engine, 'ann', at('08:14'), {...short, key: 'next'}))
  expect(next.ok).toBe(true)
  await world.advanceTo(at('08:25'))
  expect(effects()).toEqual(['started 08:02:00.000', 'stopped 08:24:02.000'])
})

test('whoever takes over in between takes back what was planned, and plans it again', async () => {
  const one = await worldOfAnn()
  await booked(one.engine, 'ann', at('08:03'), short)
  await world.advanceTo(at('08:01:55'))
  await one.stop()
  const two = await world.startEngine()
  two.act()
  await world.advanceTo(at('08:02:05'))
  expect(await powerLog()).toEqual([
    '08:01:40.000 start',
    '08:01:55.000 Withdrawn',
    '08:01:55.000 start',
    '08:02:00.000 Accepted',
  ])
  expect(effects()).toEqual(['started 08:02:00.000'])
})

test('whoever takes over later sends it, once', async () => {
  const one = await worldOfAnn()
  await booked(one.engine, 'ann', at('08:03'), short)
  await world.advanceTo(at('08:01:55'))
  await one.stop()
  await world.advanceTo(at('08:02:30'))
  const two = await world.startEngine()
  two.act()
  await world.advanceTo(at('08:04'))
  expect(await powerLog()).toEqual(['08:01:40.000 start', '08:02:30.000 start', '08:02:30.000 Accepted'])
  expect(effects()).toEqual(['started 08:02:30.000'])
})

test('one that lost the lease meanwhile sends nothing', async () => {
  world = await startWorld({policy})
  const gate = openGate()
  const one = await world.startEngine({nodeId: 'node-a', gate, exclusive: false})
  await grant(one.engine, 'ann', 600)
  one.act()
  await world.during(booked(one.engine, 'ann', at('08:03'), short))
  const two = await world.startEngine({nodeId: 'node-b', gate: openGate(), exclusive: false})
  two.act()
  await world.advanceTo(at('08:01:52'))
  gate.close()
  one.ignore()
  await world.advanceTo(at('08:03'))
  // Off by somebody's hand while the frozen one wakes: what it had planned must not bring the machine back.
  await two.stop()
  await world.pullPlug('eu-1')
  gate.open()
  await world.quiet()
  expect(world.effects.map(({effect}) => effect)).toEqual(['started', 'killed'])
  await one.stop()
})

test('when the clock is set back, the machine waits for its moment to come again', async () => {
  const node = await worldOfAnn()
  await booked(node.engine, 'ann', at('08:03'), short)
  await world.advanceTo(at('08:01:55'))
  world.hand.jumpWall(-60_000)
  await world.advanceTo(at('08:01:59'))
  expect(effects()).toEqual([])
  await world.advanceTo(at('08:02:01'))
  expect(effects()).toEqual(['started 08:02:00.000'])
})
