import {expect, test} from 'vitest'
import {planted} from './planted.ts'
import {simulate} from './simulation.ts'

const run = {seed: 3, days: 0.4}

test('finds nothing where no guard is missing', async () => {
  expect((await simulate(run)).violations).toEqual([])
})

test.each(Object.entries(planted))('finds that %s', async (_name, bug) => {
  const {violations} = await bug.within(plant => simulate({...run, plant}))
  expect(violations.filter(violation => bug.shows.test(violation))).not.toEqual([])
})
