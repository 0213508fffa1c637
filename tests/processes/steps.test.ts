import {afterEach, expect, test} from 'vitest'
import {workQueries} from '../../projections/work.ts'
import type {Instant} from '../../src/kernel/time.ts'
import {stepBooking, type StepParts, type Work} from '../../src/processes/steps.ts'
import {at} from '../support/given.ts'
import {booked, grant} from '../support/world-acts.ts'
import {startWorld, type World} from '../support/world.ts'

let world: World
afterEach(() => world.stop())

test('a session that is interrupted and resumed twice at what counts as one moment has four facts of it', async () => {
  world = await startWorld()
  const {engine} = await world.startEngine()
  await grant(engine, 'ann', 600)
  const {bookingId} = await booked(engine, 'ann', at('08:05'))
  const rows = workQueries(engine.projections.db)
  const machine = (
    seen: 'on' | 'off',
    changedAt: Instant,
    readySince: Instant | null,
  ): StepParts['work']['machine'] => {
    const listing = {poolId: 'eu', services: [], offered: true, quarantined: false}
    return () => ({seen, changedAt, readySince, ...listing})
  }
  const stepSeeing = async (seen: Work['machine']): Promise<void> => {
    await world.quiet()
    const work = {booking: (id: string) => rows.booking(id) as ReturnType<Work['booking']>, purchase: () => null}
    await stepBooking({handler: engine.handler, clock: world.hand.clock, work: {...work, machine: seen}}, bookingId)
    await world.quiet()
  }
  const ready = machine('on', at('08:04'), at('08:04'))
  const gone = machine('off', at('08:10'), null)
  await world.advanceTo(at('08:06'))
  await stepSeeing(ready)
  // A node that stood still acts on what it saw before: the machine was there all the time.
  for (const minute of ['08:11', '08:12']) {
    await world.advanceTo(at(minute))
    await stepSeeing(gone)
    await stepSeeing(ready)
  }
  const facts = (await world.log()).filter(({stream}) => stream === `booking-${bookingId}`)
  expect(facts.map(({event}) => event.type).slice(1)).toEqual([
    'BookingStarted',
    'BookingInterrupted',
    'BookingResumed',
    'BookingInterrupted',
    'BookingResumed',
  ])
  expect(new Set(facts.map(({id}) => id)).size).toBe(facts.length)
})
