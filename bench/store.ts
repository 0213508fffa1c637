/**
 * The embedded node under load, through the official client, beside two floors of the same run: the log alone, without
 * network and encoding, and the same node in memory. Usage: npm run bench:store -- [--rounds N] [--seconds N] [--large]
 */
import {mkdirSync, rmSync, statSync, writeFileSync} from 'node:fs'
import {cpus, loadavg} from 'node:os'
import {join} from 'node:path'
import {parseArgs} from 'node:util'
import {startEmbeddedNode} from '../src/embedded-node/node.ts'
import {connectEventStore} from '../src/event-store/esdb.ts'
import type {EventStore} from '../src/event-store/port.ts'
import {measure, median} from './support/load.ts'
import {benchEvent, benchFolder, fillLog, rawGroupCommits, startBenchNode, streamOf} from './support/store.ts'

const {values: options} = parseArgs({
  options: {
    rounds: {type: 'string', default: '3'},
    seconds: {type: 'string', default: '3'},
    /** Also starts on a log of 10^7 events, which takes minutes to fill. */
    large: {type: 'boolean', default: false},
  },
})
const rounds = Number(options.rounds)
const measureMs = Number(options.seconds) * 1000
const inFlights = [1, 64, 256]
const catchUpEvents = 100_000
const livePushes = 500

type Figures = Readonly<Record<string, number>>

/** The two take turns at each load: what else the machine does then hits both alike. */
async function appendFigures(stores: Readonly<Record<string, EventStore>>): Promise<Figures> {
  const figures: Record<string, number> = {}
  for (const clients of inFlights) {
    for (const [name, store] of Object.entries(stores)) {
      const measured = await measure({clients, warmUpMs: 1000, measureMs}, async index => {
        await store.append(streamOf(index), 'any', [benchEvent(index)])
        return true
      })
      figures[`${name}, ${clients} in flight: appends/s`] = measured.perSecond
      figures[`${name}, ${clients} in flight: p50 ms`] = measured.p50Ms
      figures[`${name}, ${clients} in flight: p99 ms`] = measured.p99Ms
    }
  }
  return figures
}

async function readFigures(store: EventStore): Promise<Figures> {
  const batch = Array.from({length: 500}, (_, index) => index)
  for (let done = 0; done < catchUpEvents; done += batch.length) {
    await store.append(streamOf(done), 'any', batch.map(benchEvent))
  }
  return {...(await catchUpFigures(store)), ...(await livePushFigures(store))}
}

async function catchUpFigures(store: EventStore): Promise<Figures> {
  const abort = new AbortController()
  const begin = performance.now()
  let events = 0
  for await (const message of store.subscribeToAll({signal: abort.signal})) {
    if (message.type === 'event') events++
    if (message.type === 'caughtUp') abort.abort()
  }
  return {'catch-up of $all: events/s': (1000 * events) / (performance.now() - begin)}
}

/** From the call of an append to its event at a subscriber. */
async function livePushFigures(store: EventStore): Promise<Figures> {
  const abort = new AbortController()
  const [last] = await store.readAll({direction: 'backwards', maxCount: 1})
  const after = last === undefined ? {} : {after: last.position}
  const subscription = store.subscribeToAll({signal: abort.signal, ...after})
  const messages = subscription[Symbol.asyncIterator]()
  while ((await messages.next()).value?.type !== 'caughtUp');
  const times: number[] = []
  for (let push = 0; push < livePushes; push++) {
    const begin = performance.now()
    const appended = store.append(streamOf(push), 'any', [benchEvent(push)])
    while ((await messages.next()).value?.type !== 'event');
    times.push(performance.now() - begin)
    await appended
  }
  abort.abort()
  const sorted = times.toSorted((a, b) => a - b)
  return {
    'live push: p50 ms': sorted[Math.floor(sorted.length * 0.5)] ?? Number.NaN,
    'live push: p99 ms': sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN,
  }
}

async function startFigures(events: number): Promise<Figures> {
  const dataDir = benchFolder()
  fillLog(dataDir, events)
  const bytes = statSync(join(dataDir, 'events.sqlite')).size
  const times: number[] = []
  for (let round = 0; round < rounds; round++) {
    const begin = performance.now()
    const node = await startEmbeddedNode({dataDir, host: '127.0.0.1'})
    const store = connectEventStore(node.connectionString)
    await store.append('start', 'any', [benchEvent(round)])
    times.push(performance.now() - begin)
    await store.close()
    await node.close()
  }
  rmSync(dataDir, {recursive: true, force: true})
  const power = `10^${Math.round(Math.log10(events))} events`
  return {
    [`start with ${power}, to the first append answered: ms`]: median(times),
    [`${power}: file bytes each`]: bytes / events,
  }
}

async function oneRound(): Promise<Figures> {
  const figures: Record<string, number> = {}
  for (const size of inFlights) figures[`log alone, groups of ${size}: appends/s`] = rawGroupCommits(size, measureMs)
  const durable = await startBenchNode('durable')
  const memory = await startBenchNode('memory')
  Object.assign(figures, await appendFigures({durable: durable.store, memory: memory.store}))
  await memory.stop()
  Object.assign(figures, await readFigures(durable.store))
  await durable.stop()
  return figures
}

// Others on the machine take what is measured: the figures of a busy one say little.
const loadBefore = loadavg()[0] ?? Number.NaN
const measured: Figures[] = []
for (let round = 0; round < rounds; round++) measured.push(await oneRound())
const figures: Record<string, number> = {}
for (const name of Object.keys(measured[0] ?? {})) figures[name] = median(measured.map(one => one[name] ?? Number.NaN))
for (const inFlight of inFlights) {
  const ratios = measured.map(one => {
    const perSecond = (of: string): number => one[`${of}, ${inFlight} in flight: appends/s`] ?? Number.NaN
    return perSecond('durable') / perSecond('memory')
  })
  figures[`durable over memory, ${inFlight} in flight`] = median(ratios)
}
Object.assign(figures, await startFigures(1_000_000), options.large ? await startFigures(10_000_000) : {})

const shown = (value: number): number => (value >= 1000 ? Math.round(value) : Number(value.toFixed(2)))
console.table(Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, {median: shown(value)}])))
if (loadBefore > 0.5) console.log(`The machine was busy before the run (load ${loadBefore.toFixed(1)}).`)
const machine = {cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, node: process.version}
const results = new URL('./results/', import.meta.url)
mkdirSync(results, {recursive: true})
writeFileSync(
  new URL('store.json', results),
  `${JSON.stringify({measuredAt: new Date().toISOString(), machine, loadBefore, rounds, figures}, null, 2)}\n`,
)
process.exit(0)
