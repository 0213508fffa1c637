import {parseArgs} from 'node:util'
import {killAgainAndAgain} from './kills.ts'

const {values} = parseArgs({
  options: {kills: {type: 'string', default: '50'}, seed: {type: 'string', default: '1'}},
})
const began = performance.now()
const {violations, kills, ...figures} = await killAgainAndAgain({
  kills: Number(values.kills),
  seed: Number(values.seed),
  onProgress: line => console.log(line),
})
console.log(kills)
console.log(figures, `${Math.round((performance.now() - began) / 1000)} s`)
for (const violation of violations) console.log(`VIOLATION ${violation}`)
process.exit(violations.length === 0 ? 0 : 1)
