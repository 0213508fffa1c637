import {createHash} from 'node:crypto'
import {DatabaseSync} from 'node:sqlite'
import {threadId} from 'node:worker_threads'
import {simulatedKind, type PowerEffect} from '../../src/drivers/simulated.ts'
import type {EventStore} from '../../src/event-store/port.ts'
import {parseInstant} from '../../src/kernel/time.ts'
import {checkAcknowledged} from './acknowledged.ts'
import {createChecker} from './checker.ts'
import {compareReadModels} from './compare.ts'
import {createCrew, type Crew} from './crew.ts'
import {diceOf, mixed} from './dice.ts'
import {faultsOf} from './faults.ts'
import {startNode, timings} from './node.ts'
import {createPeople} from './people.ts'
import {plotOf, type Happenings} from './plot.ts'
import {rememberingRegistry} from './remembering-registry.ts'
import {dayMs, playScript} from './script.ts'
import {simulatedStore} from './store.ts'
import {createTroubles} from './troubles.ts'
import {virtualTime} from './virtual-time.ts'

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

const machineIds = ['m-0', 'm-1', 'm-2', 'm-3', 'm-4']
const comparisons = 2
let runs = 0

/** Lives through so many days of a small community on the real engine, all chance from one seed. */
export async function simulate(options: SimulationOptions): Promise<History> {
  const {seed, days, plant = store => store, only = null, violationsMax = 10} = options
  const world = createWorld(seed, only, plant)
  const {time, store, crew, violations, report} = world
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
    hash: world.hash.digest('hex'),
    violations,
    violationDays: world.violationDays,
    types: world.types,
    happened: world.plot.happened(),
  }
}

function createWorld(seed: number, only: Happenings | null, plant: (store: EventStore) => EventStore) {
  const start = parseInstant('2026-11-21T08:00:00.000Z')
  if (start === null) throw new Error('no such time')
  const time = virtualTime(start)
  const seedOf = (part: number): number => mixed(seed, part)
  const plot = plotOf(only)
  const faults = faultsOf(seedOf(1), plot)
  const hash = createHash('sha256')
  const types: Record<string, number> = {}
  const violations: string[] = []
  const violationDays: number[] = []
  const report = (violation: string): void => {
    violations.push(`${time.clock.now()} ${violation}`)
    violationDays.push(time.elapsedMs() / dayMs)
  }
  let isByHand = false
  const luck = diceOf(seedOf(2))
  const kind = simulatedKind({
    clock: time.clock,
    random: () => luck.next(),
    onEffect(effect: PowerEffect) {
      hash.update(JSON.stringify(effect))
      checker.effect(effect, isByHand)
    },
  })
  const checker = createChecker(
    {
      machineIds,
      truth: machineId => kind.truth(machineId)?.phase ?? 'off',
      noticeMs: () => crew.pulse().onMs,
      isUnsettled: () => crew.isUnsettled(),
      hasClockJumped: () => crew.hasClockJumped(),
      elapsedMs: () => time.elapsedMs(),
      nowMs: () => time.nowMs(),
      leaseTermMs: () => (crew.cast() === 'rivals' ? crew.pulse().leaseTermMs : 0),
      timings,
    },
    report,
  )
  let holder: string | null = null
  const store = simulatedStore({
    time,
    dice: diceOf(seedOf(3)),
    onEvent(event, text, appendNumber) {
      hash.update(`${event.id} ${event.stream} ${event.type} ${text}\n`)
      types[event.type] = (types[event.type] ?? 0) + 1
      if (event.type === 'LeaseTaken') {
        const {holder: taker} = event.data as {holder: string}
        if (holder !== null && holder !== taker) faults.count('takeOver')
        holder = taker
      }
      checker.see(event, appendNumber)
      watch.soon()
    },
  })
  const nodeDice = diceOf(seedOf(4))
  const registry = rememberingRegistry()
  const run = runs++
  // What is kept of the read models over a crash: a database lives in memory as long as somebody has it open.
  const disks = new Map<string, DatabaseSync>()
  const crew: Crew = createCrew({
    time,
    count: kind => faults.count(kind),
    onCalm: () => watch.soon(),
    begin(name, {disk, ...mode}) {
      const readModelsFile = `file:simulated-${threadId}-${run}-${disk}?mode=memory&cache=shared`
      if (!disks.has(disk)) disks.set(disk, new DatabaseSync(readModelsFile))
      const connect: Parameters<typeof startNode>[0]['connect'] = life =>
        plant(store.connect(life, faults, what => crew.befall(name, what)))
      const onSwitch = (): void => {
        if (checker.leaseHolder() !== name) report(`${name} switches a machine without the lease`)
        if (faults.strikes('stallAtSwitch')) crew.befall(name, 'stall')
      }
      const common = {time, dice: nodeDice, faults, kind, registry}
      return startNode({name, connect, readModelsFile, onSwitch, ...common, ...mode})
    },
  })
  const watch = createWatch(time, () => checker.look(time.nowMs(), crew.calmSinceMs()))
  time.onJump.add(() => watch.soon())
  crew.begin()
  const nodeFor = (share: number) => crew.living()[Math.floor(share * crew.living().length)] ?? null
  const witness = {report, account: (userId: string) => checker.account(userId, time.nowMs())}
  const people = createPeople({seed: seedOf(5), time, plot, nodeFor, witness})
  const byHand = (work: () => void): void => {
    isByHand = true
    work()
    isByHand = false
  }
  const trouble = createTroubles({seed: seedOf(6), time, plot, faults, crew, store, kind, machineIds, byHand})
  playScript(time, seedOf(7), {enter: (cast, pulse) => crew.enter(cast, pulse), act: () => people.act(), trouble})
  const close = (): void => {
    crew.end()
    for (const disk of disks.values()) disk.close()
  }
  return {time, store, crew, violations, violationDays, report, faults, hash, types, plot, memory: people.memory, close}
}

/** Looks for what is overdue when something may be, and not in between. */
function createWatch(time: VirtualTimeOf, look: () => number): {soon(): void} {
  let plannedMs = Infinity
  const plan = (ms: number): void => {
    const atMs = time.elapsedMs() + ms
    if (atMs >= plannedMs || ms === Infinity) return
    plannedMs = atMs
    time.after(ms, () => {
      if (plannedMs !== atMs) return
      plannedMs = Infinity
      plan(Math.max(1_000, look() - time.nowMs() + 1))
    })
  }
  return {soon: () => plan(5_000)}
}

type VirtualTimeOf = ReturnType<typeof virtualTime>
