import type {EventStore} from '../../src/event-store/port.ts'
import {checkAcknowledged} from './acknowledged.ts'
import {compareReadModels} from './compare.ts'
import type {Happenings} from './plot.ts'
import {dayMs} from './script.ts'
import {createWorld} from './world.ts'

export interface SimulationOptions {
  readonly seed: number
  readonly days: number
  /** Stands between the engine and its store, to plant a bug on purpose. */
  readonly plant?: (store: EventStore) => EventStore
  /** Of what happens by chance only this; everything unless told. */
  readonly only?: Happenings
  /** Ends the run at so many violations; 10 unless told. */
  readonly violationsMax?: number
}

export interface History {
  readonly seed: number
  readonly days: number
  readonly events: number
  readonly steps: number
  readonly acknowledged: number
  readonly faults: Readonly<Record<string, number>>
  /** Of every event and every change of power: two runs of one seed must agree on it. */
  readonly hash: string
  readonly violations: readonly string[]
  /** When each was seen, in simulated days from the start. */
  readonly violationDays: readonly number[]
  /** Events by type. */
  readonly types: Readonly<Record<string, number>>
  /** What happened by chance. */
  readonly happened: Happenings
}

/** How often in a run the read models are held against rebuilt ones, the last time at its end. */
const comparisons = 2

/** Lives through so many days of a small community on the real engine, all chance from one seed. */
export async function simulate(options: SimulationOptions): Promise<History> {
  const {seed, days, plant = store => store, only = null, violationsMax = 10} = options
  const world = createWorld(seed, only, plant)
  const {time, store, crew, record} = world
  const {violations, report} = record
  let steps = 0
  const isOver = (): boolean => violations.length >= violationsMax
  const run = async (untilMs: number, isDone: () => boolean): Promise<void> => {
    steps += await time.run(untilMs, () => isOver() || isDone())
  }
  for (let part = 1; part <= comparisons && !isOver(); part++) {
    await run((part * days * dayMs) / comparisons, () => false)
    if (!isOver()) await compareReadModels({time, store, crew, run, report})
  }
  checkAcknowledged(world.memory, store.log, report)
  world.close()
  for (const alarm of crew.alarms) report(`alarm: ${alarm}`)
  return {
    seed,
    days: time.elapsedMs() / dayMs,
    events: store.log.length,
    steps,
    acknowledged: world.memory.acknowledged.length,
    faults: world.faults.counts(),
    hash: record.digest(),
    violations,
    violationDays: record.violationDays,
    types: record.types,
    happened: world.plot.happened(),
  }
}
