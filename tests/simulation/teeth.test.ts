import {readFileSync} from 'node:fs'
import {beforeAll, expect, test} from 'vitest'
import {planted} from './planted.ts'
import {bite, showing, tableFile, type Found, type Run, type Tooth} from './teeth.ts'

/**
 * Every planted bug at the history that shows it by the table. A change of the engine moves all that happens after it,
 * so that another history may show the bug as well: a few are tried. What none of them shows, `npm run teeth` looks for.
 */
const table = JSON.parse(readFileSync(tableFile, 'utf8')) as readonly Tooth[]
const lanes = 2
const answerMsMax = 120_000
const otherSeedsMax = 100
/** For all of them: each test waits for its turn. */
const timeout = 600_000

const found = new Map(table.map(({bug}) => [bug, Promise.withResolvers<readonly string[]>()]))
const sound = Promise.withResolvers<readonly Found[]>()

beforeAll(() => {
  const jobs = [lookForNone, ...table.map(tooth => () => lookFor(tooth))]
  const work = async (): Promise<void> => {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) await job()
  }
  for (const {promise} of [...found.values(), sound]) promise.catch(() => undefined)
  for (let lane = 0; lane < lanes; lane++) void work()
})

async function lookFor({bug, seed, days}: Tooth): Promise<void> {
  const simulated = bite(bug, answerMsMax)
  const answer = found.get(bug)
  const shows = planted.find(({name}) => name === bug)?.shows
  try {
    const others = Array.from({length: otherSeedsMax}, (_, index) => ({seed: index + 1, days: 0.3}))
    let said: readonly string[] = []
    for (const run of [{seed, days}, ...others]) {
      said = showing((await simulated.run(run)).violations, shows)
      if (said.length > 0) break
    }
    answer?.resolve(said)
  } catch (error) {
    answer?.reject(error)
  }
  await simulated.end()
}

async function lookForNone(): Promise<void> {
  const simulated = bite(null, answerMsMax)
  try {
    const all: Found[] = []
    for (const run of longestOfEachSeed(table)) all.push(await simulated.run(run))
    sound.resolve(all)
  } catch (error) {
    sound.reject(error)
  }
  await simulated.end()
}

function longestOfEachSeed(runs: readonly Run[]): readonly Run[] {
  const longest = new Map<number, number>()
  for (const {seed, days} of runs) longest.set(seed, Math.max(days, longest.get(seed) ?? 0))
  return [...longest].map(([seed, days]) => ({seed, days}))
}

test('the table names every planted bug, at least twenty of them, each found within a thousand years', () => {
  expect(table.map(({bug, file}) => ({bug, file}))).toEqual(planted.map(({name, file}) => ({bug: name, file})))
  expect(table.length).toBeGreaterThanOrEqual(20)
  for (const {foundAfterYears} of table) expect(foundAfterYears).toBeLessThan(1_000)
})

test('finds nothing in these histories where no guard is missing', {timeout}, async () => {
  for (const {seed, violations} of await sound.promise) expect({seed, violations}).toEqual({seed, violations: []})
})

test.each(table)('finds that $bug', {timeout}, async ({bug}) => {
  expect(await found.get(bug)?.promise).not.toEqual([])
})
