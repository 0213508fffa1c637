import {afterEach, describe, expect, test} from 'vitest'
import {at} from '../support/given.ts'
import {booked, grant, lifeOf, startWorld, type World} from '../support/world.ts'

let world: World
afterEach(() => world.stop())

describe('a booking', () => {
  test('has its machine on from warm-up to end, and is charged what was used', async () => {
    world = await startWorld()
    const node = await world.startEngine()
    node.act()
    await grant(node.engine, 'ann', 600)
    const {bookingId} = await booked(node.engine, 'ann', at('10:00'))
    await world.advanceTo(at('11:10'))
    expect(await lifeOf(world, bookingId)).toEqual([
      'HoursHeld',
      'SlotAllocated',
      'BookingConfirmed',
      'BookingStarted',
      'BookingEnded',
      'HoursCaptured',
    ])
    expect(world.effects.map(({effect, at}) => [effect, at])).toEqual([])
    expect(node.complaints).toEqual([])
  })
})
