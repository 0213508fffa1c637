import {expect, test} from 'vitest'
import {savedHistories} from './histories.ts'
import {simulate} from './simulation.ts'

test.each(savedHistories())('keeps every promise in %s', async (_name, {seed, days, only}) => {
  expect((await simulate({seed, days, only})).violations).toEqual([])
})
