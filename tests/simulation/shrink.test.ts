import {expect, test} from 'vitest'
import {WrongExpectedRevision, type EventStore} from '../../src/event-store/port.ts'
import {faultIn, shrink, type Simulate} from './shrink.ts'
import {simulate} from './simulation.ts'

/** A store that appends wherever a stream stands: the guard that all deciders rely on is gone. */
const careless = (store: EventStore): EventStore => ({
  ...store,
  async append(stream, expected, events) {
    try {
      return await store.append(stream, expected, events)
    } catch (error) {
      if (!(error instanceof WrongExpectedRevision) || error.actual === null) throw error
      return store.append(stream, error.actual, events)
    }
  },
})

const title = 'a violation shrinks to a short history that shows the same, and nothing once the fault is mended'

test(title, {timeout: 180_000}, async () => {
  const simulateBug: Simulate = options => simulate({...options, plant: careless})
  const found = await simulateBug({seed: 4, days: 400, violationsMax: 1})
  const shrunk = await shrink(simulateBug, found, 120)
  if (shrunk === null) throw new Error('the missing guard shows in no violation')
  console.log(`${shrunk.fault}: ${shrunk.before} happenings shrink to ${shrunk.after} in ${shrunk.runs} runs`)
  expect(shrunk.after).toBeLessThan(shrunk.before / 4)
  const {seed, days, only, fault} = shrunk
  const again = await simulateBug({seed, days, only})
  expect(again.violations.map(faultIn)).toContain(fault)
  expect((await simulate({seed, days, only})).violations).toEqual([])
})
