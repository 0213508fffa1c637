import {expect, test} from 'vitest'
import {fillDisks} from './full-disk.ts'

test('a full disk refuses requests, loses none that was acknowledged, and is survived without a restart', async () => {
  const {violations, acknowledged, repeated} = await fillDisks({seed: 1, rounds: 2})
  expect(violations).toEqual([])
  expect(acknowledged).toBeGreaterThan(50)
  expect(repeated).toBeGreaterThan(20)
}, 180_000)
