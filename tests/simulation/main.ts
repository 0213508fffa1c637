import {availableParallelism} from 'node:os'
import {parseArgs} from 'node:util'
import {saveHistory} from './histories.ts'
import {daysPerYear, linesOf, simulateSeeds} from './seeds.ts'
import {shrink} from './shrink.ts'
import {simulate, type History} from './simulation.ts'

const {values} = parseArgs({
  options: {
    seeds: {type: 'string', default: '10'},
    seed: {type: 'string', default: '1'},
    years: {type: 'string', default: '1'},
    workers: {type: 'string', default: String(availableParallelism())},
    save: {type: 'boolean', default: false},
  },
})
const [count, first, years, workers] = [values.seeds, values.seed, values.years, values.workers].map(Number)
const given = [count, first, years, workers]
const isUsable = given.every(value => value !== undefined && Number.isFinite(value) && value > 0)
if (!isUsable || count === undefined || first === undefined || years === undefined || workers === undefined) {
  console.error('usage: npm run simulate -- [--seeds N] [--years Y] [--seed S] [--workers W] [--save]')
  process.exit(2)
}

/** Most histories made short and saved, and most runs for each. */
const savedMax = 5
const runsMax = 200

const began = performance.now()
const failed: History[] = []
const secondsSoFar = (): number => (performance.now() - began) / 1000
const totals = await simulateSeeds({first, count, days: years * daysPerYear, workers}, history => {
  const {seed, events, steps, hash, violations} = history
  console.log(`seed ${seed}: ${events} events, ${steps} steps, hash ${hash.slice(0, 16)}`)
  for (const violation of violations) console.log(`  VIOLATION (seed ${seed}) ${violation}`)
  if (violations.length > 0) failed.push(history)
})
for (const line of linesOf(totals, secondsSoFar())) console.log(line)
if (values.save) {
  for (const history of failed.slice(0, savedMax)) {
    const shrunk = await shrink(simulate, history, runsMax)
    if (shrunk === null) continue
    const {seed, before, after, runs} = shrunk
    console.log(`seed ${seed}: ${before} happenings, ${after} after ${runs} runs, saved as ${saveHistory(shrunk)}`)
  }
}
process.exit(totals.violations.length === 0 ? 0 : 1)
