/**
 * How punctual machines are switched. Simulated machines; the engine, its store and the disk are real, on real time,
 * but for the day, which passes under virtual time. Lateness counts from the minute that a booking asks for to when the
 * driver is called, the intent being in the log by then, and to when the machine was seen to have changed, as the store
 * recorded it.
 *
 *     npm run bench:punctuality
 *     npm run bench:punctuality -- --machines 2000 --day-machines 100 --parts rush,idle,outage,day
 */
import {mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {cpus, loadavg} from 'node:os'
import {parseArgs} from 'node:util'
import type {RecordedEvent} from '../src/event-store/port.ts'
import {instantFromMs, type Clock} from '../src/kernel/time.ts'
import {systemClock, systemTimers} from '../src/system.ts'
import {liveDay} from './support/power-day.ts'
import type {Told} from './support/witness.ts'
import {bookAll, eventsAfter, registerMachines, startPowerScene, type PlannedBooking} from './support/power-scene.ts'

const {values: options} = parseArgs({
  options: {
    /** All due at one minute. */
    machines: {type: 'string', default: '10000'},
    'day-machines': {type: 'string', default: '1000'},
    parts: {type: 'string', default: 'rush,idle,outage,day'},
  },
})
const minuteMs = 60_000
const quick = {bootSeconds: 0, stopSeconds: 0}
type Figures = Readonly<Record<string, number>>

function latenessOf(name: string, lateness: readonly number[], expected: number): Figures {
  const sorted = lateness.toSorted((a, b) => a - b)
  const quantile = (share: number): number => sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN
  return {
    [`${name}: early`]: sorted.filter(ms => ms < 0).length,
    [`${name}: missed`]: expected - sorted.length,
    [`${name}: p50 ms late`]: quantile(0.5),
    [`${name}: p99 ms late`]: quantile(0.99),
    [`${name}: max ms late`]: sorted.at(-1) ?? Number.NaN,
  }
}

interface PowerData {
  readonly op?: string
  readonly power?: string
}

const isIntent = (op: string) => (event: RecordedEvent) =>
  event.type === 'PowerCommandIntended' && (event.data as PowerData).op === op

/** How long before its moment each intent was in the log. */
function aheadOf(name: string, intents: readonly RecordedEvent[], edgeMs: number): Figures {
  const ahead = intents.map(event => edgeMs - event.recordedAtMs).toSorted((a, b) => a - b)
  return {
    [`${name}: least ms ahead`]: ahead[0] ?? Number.NaN,
    [`${name}: p50 ms ahead`]: ahead[ahead.length >> 1] ?? Number.NaN,
  }
}
const isSighting = (power: string) => (event: RecordedEvent) =>
  event.type === 'PowerObserved' && (event.data as PowerData).power === power
const untilClock = (ms: number): Promise<void> => systemTimers.sleep(Math.max(0, ms - Date.now()))

/** Everything is due on at one minute, and off again at another. */
async function rush(count: number): Promise<Figures> {
  const scene = await startPowerScene({clock: systemClock, timers: systemTimers})
  const maker = await scene.startProgram(false)
  await registerMachines(maker.engine, count, quick)
  // Time to book them all, and for a first look at each.
  const onMs = Math.ceil((Date.now() + 60_000 + 10 * count) / minuteMs) * minuteMs
  const offMs = onMs + 2 * minuteMs
  const all = Array.from({length: count}, (_, machine) => machine)
  await bookAll(
    maker.engine,
    all.map(machine => ({machine, startMs: onMs + minuteMs, minutes: 1, warmUpMinutes: 1})),
  )
  await maker.stop()
  const program = await scene.startProgram(true)
  // Before anything is intended for that minute.
  await untilClock(onMs - 25_000)
  const [last] = await scene.store.readAll({direction: 'backwards', from: 'end', maxCount: 1})
  await untilClock(onMs)
  const before = process.threadCpuUsage()
  while (scene.effects.length < count && Date.now() < offMs - 10_000) await systemTimers.sleep(10)
  const {user, system} = process.threadCpuUsage(before)
  await untilClock(offMs + minuteMs)
  const events = await eventsAfter(scene.store, last?.position ?? null)
  await program.stop()
  await scene.stop()
  const late = (is: (event: RecordedEvent) => boolean, edgeMs: number): number[] =>
    events.filter(is).map(event => event.recordedAtMs - edgeMs)
  const told = (op: Told['op'], edgeMs: number): number[] =>
    scene.told.filter(each => each.op === op).map(({atMs}) => atMs - edgeMs)
  return {
    ...aheadOf(`${count} at once, start intended`, events.filter(isIntent('start')), onMs),
    ...latenessOf(`${count} at once, told to start`, told('start', onMs), count),
    ...latenessOf(`${count} at once, on observed`, late(isSighting('on'), onMs), count),
    ...aheadOf(`${count} at once, stop intended`, events.filter(isIntent('stop')), offMs),
    ...latenessOf(`${count} at once, told to stop`, told('stop', offMs), count),
    ...latenessOf(`${count} at once, off observed`, late(isSighting('off'), offMs), count),
    [`${count} at once: ms of the main thread until all were started`]: (user + system) / 1000,
  }
}

/** What the program costs while there is nothing to switch. */
async function idle(count: number): Promise<Figures> {
  const scene = await startPowerScene({clock: systemClock, timers: systemTimers})
  const program = await scene.startProgram(true)
  await registerMachines(program.engine, count, quick)
  const share = async (): Promise<number> => {
    await systemTimers.sleep(5_000)
    const before = process.cpuUsage()
    const beganMs = performance.now()
    await systemTimers.sleep(61_000)
    const {user, system} = process.cpuUsage(before)
    return (user + system) / 10 / (performance.now() - beganMs)
  }
  const off = await share()
  const startMs = Math.ceil(Date.now() / minuteMs) * minuteMs
  const all = Array.from({length: count}, (_, machine) => machine)
  await bookAll(
    program.engine,
    all.map(machine => ({machine, startMs, minutes: 60, warmUpMinutes: 1})),
  )
  while (scene.effects.length < count) await systemTimers.sleep(100)
  const on = await share()
  await program.stop()
  await scene.stop()
  return {[`${count} machines off: % of a core`]: off, [`${count} machines on: % of a core`]: on}
}

const outageMs = 10 * minuteMs

/** The program stops, its wall clock goes on by ten minutes, and it starts again: half had to start, half to stop. */
async function outage(count: number): Promise<Figures> {
  const shift = {ms: -outageMs}
  const clock: Clock = {
    now: () => instantFromMs(Date.now() + shift.ms),
    monotonicMs: () => systemClock.monotonicMs(),
  }
  const scene = await startPowerScene({clock, timers: systemTimers})
  const first = await scene.startProgram(true)
  await registerMachines(first.engine, count, quick)
  const half = count / 2
  const nowMs = Math.floor((Date.now() + shift.ms) / minuteMs) * minuteMs
  const planned = Array.from({length: count}, (_, machine): PlannedBooking => {
    // A pool chooses among its machines: all of one pool have to be on before it, or all off.
    const minute = 2 + (machine % 7)
    return machine < half
      ? {machine, startMs: nowMs, minutes: minute, warmUpMinutes: 1}
      : {machine, startMs: nowMs + (minute + 1) * minuteMs, minutes: 60, warmUpMinutes: 1}
  })
  await bookAll(first.engine, planned)
  while (scene.effects.length < half) await systemTimers.sleep(50)
  await systemTimers.sleep(2_000)
  await first.stop()
  shift.ms = 0
  const startedMs = Date.now()
  const before = scene.told.length
  const second = await scene.startProgram(true)
  await systemTimers.sleep(30_000)
  const after = scene.told.slice(before)
  await second.stop()
  await scene.stop()
  const late = (op: Told['op']): number[] => after.filter(each => each.op === op).map(({atMs}) => atMs - startedMs)
  return {
    ...latenessOf('after 10 minutes of outage, told to start', late('start'), half),
    ...latenessOf('after 10 minutes of outage, told to stop', late('stop'), half),
  }
}

/** Virtual time: shows that nothing is early or missed, and what waiting the engine itself adds. */
async function day(count: number): Promise<Figures> {
  const {bookings, events, told} = await liveDay(count, 1)
  const runs = runsOf(events)
  if (runs.reduce((sum, run) => sum + run.bookings, 0) !== bookings) throw new Error('not all was booked')
  const late = (op: Told['op'], edge: 'onMs' | 'offMs'): number[] => {
    const seen = new Map<string, number[]>()
    for (const {machineId, atMs} of told.filter(each => each.op === op)) {
      seen.set(machineId, [...(seen.get(machineId) ?? []), atMs])
    }
    return runs.flatMap(run => {
      const atMs = seen.get(run.machineId)?.shift()
      return atMs === undefined ? [] : [atMs - run[edge]]
    })
  }
  const name = `a day of ${count} machines`
  return {
    [`${name}: starts and stops`]: 2 * runs.length,
    ...latenessOf(`${name}, told to start`, late('start', 'onMs'), runs.length),
    ...latenessOf(`${name}, told to stop`, late('stop', 'offMs'), runs.length),
  }
}

interface Run {
  readonly machineId: string
  readonly onMs: number
  readonly offMs: number
  readonly bookings: number
}

/** When machines should be on, in order. Between bookings that leave no time between them a machine stays on. */
function runsOf(events: readonly RecordedEvent[]): readonly Run[] {
  const booked = events
    .filter(({type}) => type === 'BookingConfirmed')
    .map(({data}): Run => {
      type Terms = {interval: {start: string; end: string}; policy: {warmUpMinutes: number}}
      const {machineId, terms} = data as {machineId: string; terms: Terms}
      const onMs = Date.parse(terms.interval.start) - terms.policy.warmUpMinutes * minuteMs
      return {machineId, onMs, offMs: Date.parse(terms.interval.end), bookings: 1}
    })
  const runs = new Map<string, Run[]>()
  for (const one of booked.toSorted((a, b) => a.onMs - b.onMs)) {
    const ofMachine = runs.get(one.machineId) ?? []
    runs.set(one.machineId, ofMachine)
    const last = ofMachine.at(-1)
    if (last === undefined || last.offMs < one.onMs) ofMachine.push(one)
    else ofMachine[ofMachine.length - 1] = {...last, offMs: one.offMs, bookings: last.bookings + 1}
  }
  return [...runs.values()].flat()
}

const loadBefore = loadavg()[0] ?? Number.NaN
const parts = options.parts.split(',')
const figures: Record<string, number> = {}
const run = async (part: string, work: () => Promise<Figures>): Promise<void> => {
  if (!parts.includes(part)) return
  const found = await work()
  console.table(Object.fromEntries(Object.entries(found).map(([name, value]) => [name, Number(value.toFixed(2))])))
  Object.assign(figures, found)
}
await run('rush', () => rush(Number(options.machines)))
await run('idle', () => idle(1_000))
await run('outage', () => outage(1_000))
await run('day', () => day(Number(options['day-machines'])))
if (loadBefore > 0.5) console.log(`The machine was busy before the run (load ${loadBefore.toFixed(1)}).`)

const machine = {cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, node: process.version}
const file = new URL('./results/punctuality.json', import.meta.url)
mkdirSync(new URL('./', file), {recursive: true})
// Parts that were not run keep what was measured before.
const before = parts.length === 4 ? {} : figuresIn(file)
const measured = {measuredAt: new Date().toISOString(), machine, loadBefore, figures: {...before, ...figures}}
writeFileSync(file, `${JSON.stringify(measured, null, 2)}\n`)
process.exit(0)

function figuresIn(kept: URL): Figures {
  try {
    return (JSON.parse(readFileSync(kept, 'utf8')) as {figures: Figures}).figures
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw error
  }
}
