import {parseArgs} from 'node:util'
import {simulate} from './simulation.ts'

const {values} = parseArgs({
  options: {
    seeds: {type: 'string', default: '1'},
    seed: {type: 'string', default: '1'},
    days: {type: 'string', default: '30'},
  },
})
const [seeds, first, days] = [Number(values.seeds), Number(values.seed), Number(values.days)]
if (![seeds, first, days].every(value => Number.isFinite(value) && value > 0)) {
  console.error('usage: npm run simulate -- [--seeds N] [--seed S] [--days D]')
  process.exit(2)
}

const faults: Record<string, number> = {}
const began = performance.now()
let simulatedDays = 0
let events = 0
let violations = 0
for (let seed = first; seed < first + seeds; seed++) {
  const history = await simulate({seed, days})
  simulatedDays += history.days
  events += history.events
  violations += history.violations.length
  for (const [kind, count] of Object.entries(history.faults)) faults[kind] = (faults[kind] ?? 0) + count
  console.log(`seed ${seed}: ${history.events} events, ${history.steps} steps, hash ${history.hash.slice(0, 16)}`)
  for (const violation of history.violations) console.log(`  VIOLATION (seed ${seed}) ${violation}`)
}
const seconds = (performance.now() - began) / 1000
console.log(`simulated ${simulatedDays.toFixed(1)} days (${(simulatedDays / 365.25).toFixed(2)} years)`)
console.log(`in ${seconds.toFixed(1)} s, ${(simulatedDays / seconds).toFixed(2)} days a second; ${events} events`)
console.log(`faults: ${JSON.stringify(faults)}`)
console.log(`violations: ${violations}`)
process.exit(violations === 0 ? 0 : 1)
