import {afterEach, describe, expect, test} from 'vitest'
import {at} from '../support/given.ts'
import type {AppendFate, AppendSeen} from '../support/watched-store.ts'
import {balanceOf, book, factsOf, grant} from '../support/world-acts.ts'
import {startWorld, type World} from '../support/world.ts'

let world: World
afterEach(() => world.stop())

/** The engine that asks for the `nth` append of its life dies of it; nothing it asks for after that is done. */
function dyingAt(nth: number, how: Exclude<AppendFate, 'lives'>) {
  const life = {isOver: false, appends: [] as string[]}
  const fateOf = ({stream, events}: AppendSeen): AppendFate => {
    if (life.isOver) return 'dies before'
    if (!stream.startsWith('lease-'))
      life.appends.push(`${stream.split('-')[0]}: ${events.map(({type}) => type).join()}`)
    if (life.appends.length < nth || stream.startsWith('lease-')) return 'lives'
    life.isOver = true
    return how
  }
  return {life, fateOf}
}

const policy = {minutesMin: 10, stepMinutes: 10, warmUpMinutes: 1}
const wholeLife = 14
const deaths = Array.from({length: wholeLife}, (_, index) => index + 1).flatMap(nth =>
  (['dies before', 'dies after'] as const).map(how => ({nth, how})),
)

describe('an engine that dies at any of its appends', () => {
  test('writes this much in the life of one booking', async () => {
    world = await startWorld({policy})
    const {life, fateOf} = dyingAt(Infinity, 'dies after')
    const node = await world.startEngine({fateOf})
    await grant(node.engine, 'ann', 60)
    life.appends.splice(0)
    node.act()
    expect((await book(node.engine, 'ann', at('08:05'), {minutes: 10})).ok).toBe(true)
    await world.advanceTo(at('08:20'))
    expect(life.appends).toHaveLength(wholeLife)
    // Machine and booking go their ways side by side.
    expect(life.appends.sort()).toEqual([
      'account: HoursCaptured',
      'account: HoursHeld',
      'booking: BookingConfirmed',
      'booking: BookingEnded',
      'booking: BookingStarted',
      'calendar: SlotAllocated',
      'machine: MachineReady',
      'machine: PowerCommandAccepted',
      'machine: PowerCommandAccepted',
      'machine: PowerCommandIntended',
      'machine: PowerCommandIntended',
      'machine: PowerObserved',
      'machine: PowerObserved',
      'machine: PowerObserved',
    ])
  })

  test.each(deaths)(
    'number $nth ($how it) is followed by one that finishes its work, and does nothing twice',
    async death => {
      world = await startWorld({policy})
      const {life, fateOf} = dyingAt(death.nth, death.how)
      const back = await world.startEngine()
      await grant(back.engine, 'ann', 60)
      await world.quiet()
      const front = await world.startEngine({fateOf})
      front.act()
      const answer = await world.during(book(front.engine, 'ann', at('08:05'), {minutes: 10}).catch(() => null))
      await world.advanceUntil(() => life.isOver || world.now() >= at('08:20'), 20 * 60_000)
      await front.stop()
      await world.advance(3_000)
      back.act()
      await world.advance(20_000)
      await world.advanceTo(at('08:30'))

      const held = (await world.log()).find(({event}) => event.type === 'HoursHeld')
      if (held === undefined) {
        expect(answer).toBeNull()
        expect(balanceOf(back.engine, 'ann', world.now())).toEqual([60, 0])
        expect(world.effects).toEqual([])
        return
      }
      const {bookingId} = held.event.data as {bookingId: string}
      expect((await factsOf(world, bookingId)).map(([type]) => type)).toEqual([
        'HoursHeld',
        'SlotAllocated',
        'BookingConfirmed',
        'BookingStarted',
        'BookingEnded',
        'HoursCaptured',
      ])
      expect((await factsOf(world, bookingId)).slice(3, 5)).toMatchObject([
        ['BookingStarted', {at: at('08:05')}],
        ['BookingEnded', {at: at('08:15'), usedMinutes: 10, lostMinutes: 0}],
      ])
      expect(balanceOf(back.engine, 'ann', world.now())).toEqual([50, 0])
      expect(world.effects.map(({effect}) => effect)).toEqual(['started', 'stopped'])
      expect(world.truth('eu-1')?.phase).toBe('off')
      expect(back.complaints).toEqual([])
    },
  )
})
