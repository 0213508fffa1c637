import {expect, test} from 'vitest'
import {consequences, faultShares, troubleKinds} from './faults.ts'
import {daysPerYear, linesOf, simulateSeeds} from './seeds.ts'

const yearsEach = 2
const seeds = 150

test('keeps every promise through three hundred years of a small community', {timeout: 900_000}, async () => {
  const began = performance.now()
  const totals = await simulateSeeds({first: 1, count: seeds, days: yearsEach * daysPerYear, workers: 2})
  for (const line of linesOf(totals, (performance.now() - began) / 1_000)) console.log(line)
  expect(totals.violations).toEqual([])
  expect(totals.days).toBeGreaterThanOrEqual(300 * daysPerYear)
  expect(totals.events).toBeGreaterThan(100_000)
  const kinds = [...Object.keys(faultShares), ...troubleKinds, ...consequences]
  expect(kinds.filter(kind => (totals.faults[kind] ?? 0) === 0)).toEqual([])
})
