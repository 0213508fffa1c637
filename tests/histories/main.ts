/** `npm run histories -- [--count N] [--seed S] [--through simulated|genuine|graphql]` */
import {mkdirSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {parseArgs} from 'node:util'
import {genuineStage} from './genuine.ts'
import {graphqlHistory} from './graphql.ts'
import {asText, type History} from './history.ts'
import {simulatedHistory} from './simulated.ts'
import {judge} from './verdict.ts'

const {values} = parseArgs({
  options: {
    count: {type: 'string', default: '50'},
    seed: {type: 'string', default: '1'},
    through: {type: 'string', default: 'simulated'},
  },
})
const [count, first] = [Number(values.count), Number(values.seed)]
if (![count, first].every(value => Number.isSafeInteger(value) && value > 0)) {
  console.error('usage: npm run histories -- [--count N] [--seed S] [--through simulated|genuine|graphql]')
  process.exit(2)
}
const size = {clients: 8, callsEach: 200}
const totals = {histories: 0, operations: 0, open: 0, objects: 0, configurations: 0, violations: 0}
const began = performance.now()

function report(seed: number, history: History): void {
  const verdict = judge(history)
  totals.histories++
  totals.operations += verdict.operations
  totals.open += verdict.open
  totals.objects += verdict.objects
  totals.configurations += verdict.configurations
  totals.violations += verdict.violations.length
  if (totals.histories % 100 === 0) console.log(`${totals.histories} histories`)
  if (verdict.violations.length === 0) return
  for (const violation of verdict.violations) console.log(`VIOLATION (${history.name}) ${violation}`)
  const folder = join(tmpdir(), 'hourhand-histories')
  mkdirSync(folder, {recursive: true})
  const file = join(folder, `${values.through}-${seed}.json`)
  writeFileSync(file, asText(history))
  console.log(`the history is kept in ${file}`)
}

const stage = values.through === 'genuine' ? await genuineStage() : null
for (let seed = first; seed < first + count; seed++) {
  if (stage !== null) report(seed, await stage.history(seed, size))
  else if (values.through === 'graphql') report(seed, await graphqlHistory(seed, size))
  else report(seed, await simulatedHistory(seed, size))
}
await stage?.stop()
const seconds = (performance.now() - began) / 1000
console.log(
  `${totals.histories} histories of ${totals.objects} objects: ${totals.operations} calls, ${totals.open} unanswered; ` +
    `${totals.configurations} configurations searched; ${seconds.toFixed(1)} s`,
)
console.log(`violations: ${totals.violations}`)
process.exit(totals.violations === 0 ? 0 : 1)
