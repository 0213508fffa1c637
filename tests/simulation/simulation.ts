import {createHash} from 'node:crypto'
import {allProjections} from '../../projections/all.ts'
import {startProjections} from '../../projections/runner.ts'
import {simulatedKind, type PowerEffect} from '../../src/drivers/simulated.ts'
import type {EventStore} from '../../src/event-store/port.ts'
import {createRegistry} from '../../src/event-store/registry.ts'
import {allEventTypes} from '../../src/event-types.ts'
import {parseInstant} from '../../src/kernel/time.ts'
import {rowsOf, type Rows} from '../projections/support.ts'
import {checkPower} from './check-power.ts'
import {createChecker} from './checker.ts'
import {diceOf} from './dice.ts'
import {faultsOf} from './faults.ts'
import {paceOf, startNode, type Node} from './node.ts'
import {keepLiving} from './people.ts'
import {simulatedStore} from './store.ts'
import {timersOf, virtualTime} from './virtual-time.ts'

export interface SimulationOptions {
  readonly seed: number
  readonly days: number
  /** Stands between the engine and its store, to plant a bug on purpose. */
  readonly plant?: (store: EventStore) => EventStore
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
}

export const dayMs = 86_400_000
const minuteMs = 60_000
const compareEveryMs = 6 * 60 * minuteMs
const violationsMax = 10

/** Lives through so many days of a small community on the real engine, all chance from one seed. */
export async function simulate({seed, days, plant = store => store}: SimulationOptions): Promise<History> {
  const start = parseInstant('2026-11-21T08:00:00.000Z')
  if (start === null) throw new Error('no such time')
  const time = virtualTime(start)
  const startMs = time.nowMs()
  const endMs = startMs + days * dayMs
  const hash = createHash('sha256')
  const violations: string[] = []
  const report = (violation: string): void => {
    violations.push(`${time.clock.now()} ${violation}`)
  }
  const checker = createChecker(report)
  const power = checkPower(checker, report)
  const faults = faultsOf(diceOf(seed ^ 0x1111))
  const onEffect = (effect: PowerEffect): void => {
    hash.update(JSON.stringify(effect))
    power.effect(effect)
  }
  const luck = diceOf(seed ^ 0x2222)
  const kind = simulatedKind({clock: time.clock, random: () => luck.next(), onEffect})
  const storeDice = diceOf(seed ^ 0x3333)
  const store = simulatedStore({
    time,
    dice: storeDice,
    onEvent(event) {
      hash.update(`${event.id} ${event.stream} ${event.type} ${JSON.stringify([event.data, event.metadata])}\n`)
      checker.see(event)
      power.note(event.type, (event.data as {machineId?: string}).machineId ?? '')
    },
  })
  const nodeDice = diceOf(seed ^ 0x4444)
  let calmSinceMs = startMs
  const begin = (name: string): Node => {
    const connect: Parameters<typeof startNode>[0]['connect'] = life => plant(store.connect(life, faults))
    const node = startNode({name, time, dice: nodeDice, faults, kind, connect})
    if (name === 'acting') node.act()
    calmSinceMs = time.nowMs()
    return node
  }
  // The second node only takes commands: two writers, one scheduler.
  const nodes = new Map(['acting', 'helping'].map(name => [name, begin(name)]))
  const nodeOf = (name: string): Node => {
    const node = nodes.get(name)
    if (node === undefined) throw new Error(`no node ${name}`)
    return node
  }

  const trouble = diceOf(seed ^ 0x5555)
  const plan = (meanMs: number, work: () => void): void => {
    time.after(-Math.log(1 - trouble.next()) * meanMs, () => {
      work()
      plan(meanMs, work)
    })
  }
  plan(dayMs / 12, () => {
    const name = trouble.chance(0.8) ? 'acting' : 'helping'
    nodeOf(name).crash()
    faults.count('crash')
    for (const alarm of nodeOf(name).alarms) report(`alarm: ${alarm}`)
    nodes.set(name, begin(name))
  })
  plan(dayMs / 6, () => {
    if (store.isDown()) return
    store.setDown(true)
    faults.count('storeDown')
    calmSinceMs = Infinity
    time.after(1_000 + trouble.below(120_000), () => {
      store.setDown(false)
      calmSinceMs = time.nowMs()
    })
  })
  plan(dayMs / 6, () => {
    faults.count('machineUnplugged')
    const config = kind.parseConfig({})
    const machineId = `m-${trouble.below(5)}`
    // Nobody is told, and a machine that is out of reach is left alone.
    if (config.ok)
      kind
        .open(machineId, config.config)
        .kill(new AbortController().signal)
        .catch(() => undefined)
  })
  const everyMinute = (): void => {
    checker.look(time.nowMs(), calmSinceMs)
    for (let index = 0; index < 5; index++) {
      const machineId = `m-${index}`
      const isOn = (kind.truth(machineId)?.phase ?? 'off') !== 'off'
      power.look(machineId, isOn, time.nowMs(), calmSinceMs)
    }
    time.after(minuteMs, everyMinute)
  }
  everyMinute()

  const memory = keepLiving({
    time,
    dice: diceOf(seed ^ 0x6666),
    nodeOf: () => nodeOf(nodeDice.chance(0.7) ? 'acting' : 'helping'),
  })
  let steps = 0
  const goOn = async (untilMs: number): Promise<void> => {
    while (violations.length < violationsMax && (await time.step(untilMs))) steps++
  }
  for (let atMs = startMs; atMs < endMs && violations.length < violationsMax;) {
    atMs = Math.min(atMs + compareEveryMs, endMs)
    await goOn(atMs)
    await compare(atMs)
  }

  /** The live rows against those of a fold from the start, both at the same place of the log. */
  async function compare(atMs: number): Promise<void> {
    const life = {isOver: false}
    const projections = startProjections({
      store: store.connect(life, null),
      registry: createRegistry(...allEventTypes),
      clock: time.clock,
      timers: timersOf(time, life),
      projections: allProjections,
      file: ':memory:',
      onLost: () => undefined,
      onHalted: (name, error) => report(`rebuilt read model ${name}: ${error.message}`),
      pace: paceOf(time, life),
    })
    const limitMs = atMs + 20 * minuteMs
    for (;;) {
      const {projections: live} = nodeOf('acting').engine
      const head = BigInt(store.log.length - 1)
      if (!store.isDown() && live.position() === head && projections.position() === head) {
        const different = differing(rowsOf(live.db), rowsOf(projections.db))
        if (different !== null) report(`read model ${different} differs from a rebuilt one`)
        break
      }
      if (!(await time.step(limitMs))) {
        report('the read models do not catch up')
        break
      }
      steps++
    }
    life.isOver = true
    projections.db.close()
  }

  const written = new Set(store.log.map(({stream, type}) => `${stream} ${type}`))
  for (const {stream, type} of memory.acknowledged) {
    if (!written.has(`${stream} ${type}`)) report(`${type} of ${stream} was acknowledged and is not in the log`)
  }
  for (const node of nodes.values()) {
    for (const alarm of node.alarms) report(`alarm: ${alarm}`)
    node.crash()
  }
  return {
    seed,
    days: (time.nowMs() - startMs) / dayMs,
    events: store.log.length,
    steps,
    acknowledged: memory.acknowledged.length,
    faults: faults.counts(),
    hash: hash.digest('hex'),
    violations,
  }
}

function differing(live: Rows, rebuilt: Rows): string | null {
  for (const [table, rows] of Object.entries(live)) {
    if (JSON.stringify(rows) !== JSON.stringify(rebuilt[table])) return table
  }
  return null
}
