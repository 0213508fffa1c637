/**
 * Histories under simulated time: two nodes on one store in memory. Every other history is one of faults: the store is
 * slow, loses requests and replies and drops subscriptions, and nodes die with calls under way. All follows from the seed.
 */
import type {EventStore} from '../../src/event-store/port.ts'
import {parseInstant} from '../../src/kernel/time.ts'
import {diceOf, type Dice} from '../simulation/dice.ts'
import type {Faults, FaultKind} from '../simulation/faults.ts'
import {isForeseen, paceOf} from '../simulation/node.ts'
import {simulatedStore, type SimulatedStore} from '../simulation/store.ts'
import {newLife, timersOf, virtualTime, type Life, type VirtualTime} from '../simulation/virtual-time.ts'
import {runCrowd} from './clients.ts'
import {engineDoor, type Door} from './door.ts'
import {createRecorder, isFollowedUp, type History} from './history.ts'
import {bookingTerms, notableOf, furnish, poolsNamed, startNode} from './node.ts'

export interface Size {
  readonly clients: number
  readonly callsEach: number
}

const hourMs = 3_600_000
/** Whoever began a booking and died is helped within a minute. */
const restMsMax = 5 * 60_000
const meanLifeMs = 8_000

/** Stands between the engine and its store, or clients and the engine, to plant a bug on purpose. */
export interface Plant {
  readonly store?: (store: EventStore) => EventStore
  readonly door?: (door: Door) => Door
}

/** @throws on what no client should meet, and on a node that alerts somebody */
export async function simulatedHistory(seed: number, {clients, callsEach}: Size, plant: Plant = {}): Promise<History> {
  const start = parseInstant('2026-11-21T08:00:00.000Z')
  if (start === null) throw new Error('no such time')
  const time = virtualTime(start)
  const recorder = createRecorder()
  const store = simulatedStore({
    time,
    dice: diceOf(seed ^ 0x1111),
    onEvent({type, data}) {
      const seen = notableOf(type, data)
      if (seen !== null) recorder.see(seen)
    },
  })
  const stage: Stage = {
    time,
    store,
    dice: diceOf(seed ^ 0x2222),
    faults: calmAtFirst(diceOf(seed ^ 0x3333)),
    alarms: [],
    plant,
  }
  const nodes = [begin(stage, 'first'), begin(stage, 'second')]
  const pools = poolsNamed('')
  for (const {engine} of nodes) await livesThrough(time, engine.projections.caughtUp)
  for (const {engine} of nodes.slice(0, 1)) await livesThrough(time, furnish(engine, pools))
  const head = BigInt(store.log.length - 1)
  for (const {engine} of nodes) await livesThrough(time, engine.projections.waitFor(head, restMsMax))

  if (seed % 2 === 0) {
    stage.faults.arm()
    planDeaths(stage, diceOf(seed ^ 0x4444), nodes)
  }
  const fromMs = Math.ceil(time.nowMs() / hourMs + 24) * hourMs
  const crowd = {
    scene: {accounts: ['ann', 'bob', 'cy', 'dee'], pools: Object.keys(pools), fromMs, loads: true},
    doors: (): readonly Door[] => nodes.map(({door}) => door),
    recorder,
    keyPrefix: 'key-',
    dice: diceOf(seed),
    clients,
    callsEach,
    pause: (ms: number) => pauseIn(time, ms),
  }
  await livesThrough(time, runCrowd(crowd))
  const untilMs = time.elapsedMs() + restMsMax
  while (!isFollowedUp(recorder) && (await time.step(untilMs)));
  for (const node of nodes) crash(node)
  if (stage.alarms.length > 0) throw new Error(`seed ${seed}: ${stage.alarms.join('; ')}`)
  const name = `simulated, seed ${seed}`
  return {name, pools, ...bookingTerms, entries: recorder.entries(), seen: {times: recorder.times, isAtOnce: true}}
}

interface Stage {
  readonly time: VirtualTime
  readonly store: SimulatedStore
  readonly dice: Dice
  readonly faults: Faults & {arm(): void}
  readonly alarms: string[]
  readonly plant: Plant
}

interface SimulatedNode {
  readonly life: Life
  readonly engine: ReturnType<typeof startNode>
  readonly door: Door
  /** Tells those who wait for an answer that none will come. */
  readonly die: () => void
}

/** A node that serves and, when the lease is free, acts. */
function begin({time, store, dice, faults, alarms, plant}: Stage, name: string): SimulatedNode {
  const life = newLife()
  const connected = store.connect(life, faults)
  const engine = startNode({
    name,
    store: plant.store?.(connected) ?? connected,
    clock: time.clock,
    timers: timersOf(time, life),
    random: () => dice.next(),
    pace: paceOf(time, life),
    complain(what, error) {
      if (!life.isOver && !isForeseen(error)) alarms.push(`${what}: ${error.message}`)
    },
  })
  engine.act(new AbortController().signal).catch((error: unknown) => alarms.push(`act: ${String(error)}`))
  const {promise: dead, resolve: die} = Promise.withResolvers<null>()
  const door = engineDoor({node: name, engine, clock: time.clock, isForeseen, isOpen: () => !life.isOver})
  const ask: Door['ask'] = (...call) => Promise.race([door.ask(...call), dead])
  const mortal = {...door, ask}
  return {life, engine, door: plant.door?.(mortal) ?? mortal, die: () => die(null)}
}

/** From one moment to the next it is gone; calls under way are never answered. */
function crash({life, engine, die}: SimulatedNode): void {
  if (life.isOver) return
  life.isOver = true
  engine.projections.db.close()
  die()
}

/** Now and then a node dies, and another takes its place once it has folded the log. */
function planDeaths(stage: Stage, dice: Dice, nodes: SimulatedNode[]): void {
  let born = 0
  const next = (): void => {
    stage.time.after(-Math.log(1 - dice.next()) * meanLifeMs, () => {
      const index = dice.below(nodes.length)
      const node = nodes[index]
      if (node === undefined || nodes.some(({life}) => life.isOver)) return next()
      crash(node)
      stage.time.after(dice.below(4_000), () => {
        const another = begin(stage, `heir-${born++}`)
        void another.engine.projections.caughtUp.then(() => nodes.splice(index, 1, another))
        next()
      })
    })
  }
  next()
}

/** How often each kind strikes, as a share of its opportunities; the others never do. */
const faultShares: Partial<Record<FaultKind, number>> = {
  appendRefused: 0.005,
  requestLost: 0.01,
  requestLate: 0.01,
  requestTwice: 0.01,
  replyLost: 0.01,
  readRefused: 0.005,
  subscriptionDropped: 0.003,
  deliveredTwice: 0.01,
}

function calmAtFirst(dice: Dice): Faults & {arm(): void} {
  let isArmed = false
  return {
    arm() {
      isArmed = true
    },
    strikes: kind => isArmed && dice.chance(faultShares[kind] ?? 0),
    count: () => undefined,
    counts: () => ({}),
  }
}

function pauseIn(time: VirtualTime, ms: number): Promise<void> {
  const {promise, resolve} = Promise.withResolvers<void>()
  time.after(ms, resolve)
  return promise
}

/** Lets time pass until the work is done. */
async function livesThrough<Value>(time: VirtualTime, work: Promise<Value>): Promise<Value> {
  const state = {isSettled: false}
  void work
    .catch(() => undefined)
    .then(() => {
      state.isSettled = true
    })
  while (!state.isSettled && (await time.step(Infinity)));
  return work
}
