import {existsSync, readdirSync, readFileSync} from 'node:fs'
import {describe, expect, test} from 'vitest'
import {exceptions, extraSliceFiles, slices, violationsOf, zones} from './architecture/rules.ts'
import {scan} from './architecture/scan.ts'

const root = new URL('..', import.meta.url)
const read = (path: string) => readFileSync(new URL(path, root), 'utf8')
const files = ['src', 'projections'].flatMap(folder =>
  readdirSync(new URL(folder, root), {recursive: true, encoding: 'utf8'})
    .filter(name => name.endsWith('.ts'))
    .map(name => `${folder}/${name}`),
)
const scans = files.map(path => scan(path, read(path)))

describe('the sources', () => {
  test('are found', () => {
    expect(files).toContain('src/kernel/time.ts')
    expect(files).toContain('src/account/decider.ts')
    expect(files.length).toBeGreaterThan(50)
  })

  test('keep every rule of tests/architecture/rules.ts', () => {
    expect(scans.flatMap(violationsOf)).toEqual([])
  })

  test('name their stream categories in constants, each once', () => {
    const categories = scans.flatMap(({categories}) => categories.map(({value}) => value))
    expect(categories).toEqual(
      expect.arrayContaining(['account', 'booking', 'calendar', 'machine', 'purchase', 'user']),
    )
    expect(new Set(categories).size).toBe(categories.length)
  })

  test('have SQLite plan each statement once: to look at a bound LIMIT, it would plan at every run', () => {
    const replanned = files.filter(path => /LIMIT \?(?! \+ 0)/.test(read(path)))
    expect(replanned).toEqual([])
  })
})

test('every command the documents name is there', () => {
  const {scripts} = JSON.parse(read('package.json')) as {scripts: Record<string, string>}
  const named = ['README.md', 'docs/reliability.md'].flatMap(path =>
    [...read(path).matchAll(/npm run (?:--silent )?([a-z][a-z:]*)/g)].map(([, name]) => name ?? ''),
  )
  expect(named.length).toBeGreaterThan(20)
  expect(named.filter(name => !(name in scripts))).toEqual([])
})

describe('the tables of the rules', () => {
  test('hold nothing that is gone', () => {
    expect(Object.keys(extraSliceFiles).filter(path => !files.includes(path))).toEqual([])
    const unused = exceptions.filter(({file, imports}) => {
      const found = scans.find(({path}) => path === file)
      return found?.imports.every(({target}) => target !== imports) !== false
    })
    expect(unused).toEqual([])
  })

  test('know every slice that has events', () => {
    const notSlices = ['processes']
    const found = readdirSync(new URL('src', root)).filter(
      name => existsSync(new URL(`src/${name}/events.ts`, root)) && !notSlices.includes(name),
    )
    expect(slices).toEqual(expect.arrayContaining(found))
  })

  test('have a zone for each file they speak of', () => {
    expect(files.filter(path => !zones.some(zone => zone.files.test(path)))).toEqual([])
  })
})

describe('the rules find', () => {
  test.each([
    ['rule 1: an import into the kernel', 'src/kernel/a.ts', "import type {A} from '../account/events.ts'"],
    ['rule 1: a package in the kernel', 'src/kernel/a.ts', "import {readFileSync} from 'node:fs'"],
    ['rule 2: another slice in a decider', 'src/booking/decider.ts', "import {a} from '../account/decider.ts'"],
    ['rule 2: the handler in a decider', 'src/booking/decider.ts', "import {a} from '../event-store/handler.ts'"],
    ['rule 2: a re-export of another slice', 'src/booking/events.ts', "export * from '../account/events.ts'"],
    ['rule 2: a type of another slice', 'src/booking/policies.ts', "let a: import('../account/events.ts').A"],
    ['rule 3: a driver in a process', 'src/processes/a.ts', "import {qemu} from '../drivers/qemu.ts'"],
    ['rule 3: a view in a process', 'src/processes/a.ts', "import {a} from '../../projections/agenda.ts'"],
    ['rule 4: a decider in a projection', 'projections/a.ts', "import {a} from '../src/account/decider.ts'"],
    ['rule 4: the store in a projection', 'projections/a.ts', "import {a} from '../src/event-store/port.ts'"],
    ['rule 5: another slice in an edge', 'src/booking/graphql.ts', "import {a} from '../account/decider.ts'"],
    ['rule 5: the store in an edge', 'src/booking/graphql.ts', "import {a} from '../event-store/esdb.ts'"],
    ['rule 6: an adapter in a dispatcher', 'src/dispatch/a.ts', "import {a} from '../embedded-node/node.ts'"],
    ['rule 6: the real clock in a process', 'src/processes/a.ts', "import {systemClock} from '../system.ts'"],
    ['rule 6: an adapter in the wiring', 'src/engine.ts', "import {a} from './drivers/qemu.ts'"],
    ['rule 6: luxon elsewhere', 'src/kernel/ids.ts', "import {DateTime} from 'luxon'"],
    ['an import that is computed', 'src/dispatch/a.ts', "await import('../' + 'drivers/qemu.ts')"],
    ['an import without its ending', 'src/kernel/a.ts', "import {a} from './time'"],
    ['the clock', 'src/kernel/a.ts', 'export const a = () => Date.now()'],
    ['the clock, aside', 'src/kernel/a.ts', "export const a = Date['now']"],
    ['today', 'src/kernel/a.ts', 'export const a = () => new Date()'],
    ['today, as text', 'src/kernel/a.ts', 'export const a = () => Date()'],
    ['chance', 'src/processes/a.ts', 'export const a = () => Math.random()'],
    ['a random id', 'src/dispatch/a.ts', 'export const a = () => crypto.randomUUID()'],
    ['an imported random id', 'src/http/a.ts', "import {randomUUID as id} from 'node:crypto'"],
    ['the environment', 'src/http/a.ts', 'export const a = process.env.PORT'],
    ['a file that no slice has', 'src/booking/helpers.ts', ''],
    ['a file that no zone has', 'src/misc/a.ts', ''],
    ['a name that is not in kebab-case', 'src/kernel/dueQueue.ts', ''],
    ['a category with a hyphen', 'src/booking/events.ts', "export const bookingCategory = 'slot-booking'"],
    ['a file of 401 lines', 'src/kernel/a.ts', `export const a = 1${'\n'.repeat(400)}export const b = 1`],
    ['a function of 71 lines', 'src/kernel/a.ts', `export function a() {${'\n'.repeat(70)}}`],
  ])('%s', (_, path, source) => {
    expect(violationsOf(scan(path, source))).not.toEqual([])
  })

  test.each([
    ['a date of a given instant', 'src/kernel/a.ts', 'export const a = (ms: number) => new Date(ms)'],
    ['a word in a comment or a text', 'src/kernel/a.ts', "// Date.now\nexport const a = 'Math.random()'"],
    [
      'the kernel in a decider',
      'src/booking/decider.ts',
      "import {a} from '../kernel/time.ts'\nimport {b} from './events.ts'",
    ],
    ['facts in a projection', 'projections/a.ts', "import type {A} from '../src/account/events.ts'"],
    [
      'a function of 71 lines of which 60 are of another inside',
      'src/kernel/a.ts',
      `export function a() {\n\n\n\n\n  const b = () => {${'\n'.repeat(59)}}\n\n\n\n\n}`,
    ],
  ])('nothing wrong with %s', (_, path, source) => {
    expect(violationsOf(scan(path, source))).toEqual([])
  })
})
