/**
 * Looks for every planted bug, first where it was found the last time, then history after history, until the simulation shows it or 1,000 years have passed, and
 * writes down which seed shows which: `teeth.json`, from which the test tells each again. To be run again when the
 * engine or the simulation has changed so much that the test no longer finds them there.
 *
 *     npm run teeth -- [--only <pattern of names>] [--years 1000] [--workers 2]
 */
import {existsSync, readFileSync, writeFileSync} from 'node:fs'
import {parseArgs} from 'node:util'
import type {Mutant} from './mutants/mutant.ts'
import {planted} from './planted.ts'
import {bite, firstShowing, tableFile, type Run, type Tooth} from './teeth.ts'

const answerMsMax = 600_000
const daysPerYear = 365.25

/** Short histories first: the earlier a seed shows a bug, the cheaper it is to see it again. */
function* histories(): Generator<Run> {
  for (let seed = 1; seed <= 400; seed++) yield {seed, days: 0.3}
  for (let seed = 1; ; seed++) yield {seed, days: daysPerYear}
}

async function look(bug: Mutant, last: Tooth | undefined): Promise<Tooth | null> {
  const simulated = bite(bug.name, answerMsMax)
  let daysBefore = 0
  try {
    if (last !== undefined) {
      const shown = firstShowing(await simulated.run(last), bug.shows)
      if (shown !== null) return {...last, file: bug.file, said: shown.said}
    }
    for (const run of histories()) {
      if (daysBefore > Number(values.years) * daysPerYear) break
      const found = await simulated.run(run)
      const shown = firstShowing(found, bug.shows)
      if (shown === null) {
        daysBefore += found.simulatedDays
        continue
      }
      const years = (daysBefore + shown.days) / daysPerYear
      const {name, file} = bug
      const row = {bug: name, file, seed: run.seed, foundAfterYears: Number(years.toFixed(4)), said: shown.said}
      // As short as it can be, if that shows it still: when the read models are compared depends on the end.
      const short = {seed: run.seed, days: Math.ceil(shown.days * 200 + 1) / 100}
      const isEnough = short.days < run.days && firstShowing(await simulated.run(short), bug.shows) !== null
      return {...row, days: isEnough ? short.days : run.days}
    }
    console.log(`NOT FOUND in ${(daysBefore / daysPerYear).toFixed(1)} years: ${bug.name}`)
  } catch (error) {
    console.log(`NOT FOUND after ${(daysBefore / daysPerYear).toFixed(1)} years: ${bug.name}: ${String(error)}`)
  } finally {
    await simulated.end()
  }
  return null
}

const {values} = parseArgs({
  options: {only: {type: 'string'}, workers: {type: 'string', default: '2'}, years: {type: 'string', default: '1000'}},
})
const wanted = new RegExp(values.only ?? '.')
const before = existsSync(tableFile) ? (JSON.parse(readFileSync(tableFile, 'utf8')) as Tooth[]) : []
const teeth = new Map(before.map(tooth => [tooth.bug, tooth]))
const open = planted.filter(({name}) => wanted.test(name))

async function lookForAll(): Promise<void> {
  for (let bug = open.shift(); bug !== undefined; bug = open.shift()) {
    const began = performance.now()
    const tooth = await look(bug, teeth.get(bug.name))
    if (tooth === null) teeth.delete(bug.name)
    else teeth.set(bug.name, tooth)
    const seconds = ((performance.now() - began) / 1000).toFixed(1)
    if (tooth !== null) console.log(`seed ${tooth.seed}, day ${tooth.days}: ${bug.name}: ${tooth.said} (${seconds} s)`)
  }
}

await Promise.all(Array.from({length: Number(values.workers)}, lookForAll))
const table = planted.flatMap(({name}) => teeth.get(name) ?? [])
writeFileSync(tableFile, `${JSON.stringify(table, null, 2)}\n`)
console.log(`${table.length} of ${planted.length} bugs are found`)
process.exitCode = table.length === planted.length ? 0 : 1
