/**
 * `npm run crash -- --kills N --seed S [--faults kill|proxy|freeze|disk|all]`: the real program under load, and what
 * becomes of it. N counts deaths; of the slower faults there is a share of N. Exits with 1 when a promise was broken.
 */
import {parseArgs} from 'node:util'
import {allWireFaults, cutWires, endHolder, freezeHolder, killStore} from './disturbances.ts'
import {fillDisks} from './full-disk.ts'
import {killAgainAndAgain} from './kills.ts'
import {runSeveral, type Scene} from './several.ts'

const {values} = parseArgs({
  options: {
    kills: {type: 'string', default: '50'},
    seed: {type: 'string', default: '1'},
    faults: {type: 'string', default: 'kill'},
  },
})
const count = Number(values.kills)
const seed = Number(values.seed)
const onProgress = (line: string): void => console.log(line)
const share = (part: number): number => Math.max(1, Math.round(count / part))

async function repeat(times: number, what: () => Promise<void>): Promise<void> {
  for (let time = 0; time < times; time++) await what()
}

type Run = () => Promise<{readonly violations: readonly string[]}>

const runs: Readonly<Record<string, Run>> = {
  kill: () => killAgainAndAgain({kills: count, seed, onProgress}),
  proxy: () =>
    runSeveral({
      nodes: 2,
      seed,
      onProgress,
      disturb: scene =>
        repeat(share(10), async () => {
          await cutWires(scene, allWireFaults)
          await killStore(scene)
        }),
    }),
  freeze: () =>
    runSeveral({
      nodes: 3,
      seed,
      onProgress,
      disturb: (scene: Scene) =>
        repeat(share(25), async () => {
          await freezeHolder(scene)
          await endHolder(scene, 'SIGKILL')
          await endHolder(scene, 'SIGTERM')
        }),
    }),
  disk: () => fillDisks({seed, rounds: share(10), onProgress}),
}

const names = values.faults === 'all' ? Object.keys(runs) : [values.faults]
const isUsable = Number.isInteger(count) && count > 0 && Number.isInteger(seed) && names.every(name => name in runs)
if (!isUsable) {
  console.error('usage: npm run crash -- [--kills N] [--seed S] [--faults kill|proxy|freeze|disk|all]')
  process.exit(2)
}

let violationCount = 0
for (const name of names) {
  const began = performance.now()
  console.log(`── ${name}, seed ${seed} ──`)
  const {violations, ...figures} = (await runs[name]?.()) ?? {violations: ['no such run']}
  console.log(figures)
  console.log(`${Math.round((performance.now() - began) / 1000)} s, ${violations.length} violations`)
  for (const violation of violations) console.log(`VIOLATION ${violation}`)
  violationCount += violations.length
}
process.exit(violationCount === 0 ? 0 : 1)
