import {parseArgs} from 'node:util'
import {simulatedHistory} from './simulated.ts'
import {judge} from './verdict.ts'

const {values} = parseArgs({
  options: {count: {type: 'string', default: '5'}, seed: {type: 'string', default: '1'}},
})
const size = {clients: 8, callsEach: 200}
for (let seed = Number(values.seed); seed < Number(values.seed) + Number(values.count); seed++) {
  const t = performance.now()
  const history = await simulatedHistory(seed, size)
  const u = performance.now()
  const verdict = judge(history)
  const v = performance.now()
  const kinds: Record<string, number> = {}
  for (const {call, answer} of history.entries) {
    const kind = `${call.type}:${answer?.type ?? 'open'}`
    kinds[kind] = (kinds[kind] ?? 0) + 1
  }
  console.log(seed, Math.round(u - t), Math.round(v - u), {...verdict, violations: verdict.violations.length}, kinds)
  for (const violation of verdict.violations) console.log(violation)
}
