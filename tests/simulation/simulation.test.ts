import {expect, test} from 'vitest'
import {simulatedKind} from '../../src/drivers/simulated.ts'
import type {Engine} from '../../src/engine.ts'
import {parseInstant} from '../../src/kernel/time.ts'
import {acts} from './acts.ts'
import {diceOf} from './dice.ts'
import {faultsOf} from './faults.ts'
import {startNode} from './node.ts'
import {simulateSeeds} from './seeds.ts'
import {simulate} from './simulation.ts'
import {calmPulse} from './script.ts'
import {plotOf} from './plot.ts'
import {rememberingRegistry} from './remembering-registry.ts'
import {simulatedStore} from './store.ts'
import {virtualTime} from './virtual-time.ts'

test('the same seed makes the same history, another one another', async () => {
  const [once, again, other] = [
    await simulate({seed: 7, days: 0.3}),
    await simulate({seed: 7, days: 0.3}),
    await simulate({seed: 8, days: 0.3}),
  ]
  expect(again).toEqual(once)
  expect(once.events).toBeGreaterThan(30)
  expect(other.hash).not.toBe(once.hash)
})

test('a thread makes the same history', async () => {
  const inThread: string[] = []
  const seeds = {first: 7, count: 1, days: 0.3, workers: 1}
  await simulateSeeds(seeds, ({hash}) => inThread.push(hash))
  expect(inThread).toEqual([(await simulate({seed: 7, days: 0.3})).hash])
})

test('keeps every promise through days of faults', async () => {
  const {violations, events, acknowledged, faults} = await simulate({seed: 1, days: 400})
  expect(violations).toEqual([])
  expect(events).toBeGreaterThan(400)
  expect(acknowledged).toBeGreaterThan(20)
  expect(faults['crash']).toBeGreaterThan(0)
  expect(faults['storeDown']).toBeGreaterThan(0)
})

test('people use every command the dispatcher has', () => {
  const start = parseInstant('2026-11-21T08:00:00.000Z')
  if (start === null) throw new Error('no such time')
  const time = virtualTime(start)
  const dice = diceOf(1)
  const faults = faultsOf(1, plotOf(null))
  const kind = simulatedKind({clock: time.clock, random: () => dice.next()})
  const store = simulatedStore({time, dice, onEvent: () => undefined})
  const connect: Parameters<typeof startNode>[0]['connect'] = life => store.connect(life, faults)
  const quiet = {pulse: calmPulse, onSwitch: () => undefined, registry: rememberingRegistry()}
  const mode = {readModelsFile: ':memory:', exclusive: true, ...quiet}
  const node = startNode({name: 'first', time, dice, faults, kind, connect, ...mode})
  const {engine} = node
  node.crash()
  expect(Object.keys(acts).sort()).toEqual(commandsOf(engine))
})

/** Everything but the engine's reading side and its machinery is the dispatcher; a new part of it is seen here. */
const notDispatched = new Set(['handler', 'projections', 'queries', 'act'])

function commandsOf(engine: Engine): readonly string[] {
  const parts = Object.entries(engine).filter(([name]) => !notDispatched.has(name))
  const commands = parts.flatMap(([part, methods]) =>
    Object.entries(methods as object)
      .filter(([, method]) => typeof method === 'function')
      .map(([name]) => `${part}.${name}`),
  )
  return commands.sort()
}
