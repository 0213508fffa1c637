/** One thread with at most one bug in it: simulates what it is asked for, one run after the other. */
import {parentPort, workerData} from 'node:worker_threads'
import {plant} from './mutants/plant.ts'
import {planted} from './planted.ts'
import type {Found, Run} from './teeth.ts'

const name = workerData as string | null
const bug = planted.find(mutant => mutant.name === name)
if (name !== null && bug === undefined) throw new Error(`no such bug: ${name}`)
const isPlanted = bug === undefined ? () => true : plant(bug)
// Only now: what was loaded before has no bug in it.
const {simulate} = await import('./simulation.ts')

parentPort?.on('message', ({seed, days}: Run) => {
  void answer({seed, days})
})

async function answer(run: Run): Promise<void> {
  const {violations, violationDays, events, days: simulatedDays} = await simulate(run)
  if (!isPlanted()) throw new Error(`nobody imports ${bug?.file}`)
  const found: Found = {...run, simulatedDays, events, violations, violationDays}
  parentPort?.postMessage(found, [])
}
