import {simulatedKind} from '../../src/drivers/simulated.ts'
import {createFleet} from '../../src/drivers/fleet.ts'
import {timings} from './engine.ts'
import {createEngine} from '../../src/engine.ts'
import {createSecretKey} from 'node:crypto'
import {createTokens} from '../../src/access/tokens.ts'
import {defaultPolicy} from '../../src/booking/policies.ts'
import type {RecordedEvent} from '../../src/event-store/port.ts'
import {parseInstant} from '../../src/kernel/time.ts'
import {diceOf, uuidFrom} from '../../tests/simulation/dice.ts'
import {paceOf} from '../../tests/simulation/node.ts'
import {simulatedStore} from '../../tests/simulation/store.ts'
import {newLife, timersOf, virtualTime} from '../../tests/simulation/virtual-time.ts'
import {bookAll, registerMachines, type PlannedBooking} from './power-scene.ts'
import {witnessed, type Told} from './witness.ts'

/** A day under virtual time: what was booked, and what the log says of it. */
export interface Day {
  readonly bookings: number
  readonly events: readonly RecordedEvent[]
  /** What the drivers were told, in order. */
  readonly told: readonly Told[]
}

const minuteMs = 60_000
const dayMinutes = 1440

/**
 * Lives through a day of random bookings: the real engine, on a clock that jumps from one event to the next and a store
 * in memory some milliseconds away. Nothing fails; what takes time is what the engine waits for, and not what it computes.
 */
export async function liveDay(machines: number, seed: number): Promise<Day> {
  const start = parseInstant('2030-01-01T00:00:00.000Z')
  if (start === null) throw new Error('no such time')
  const time = virtualTime(start)
  const dice = diceOf(seed)
  const random = (): number => dice.next()
  const store = simulatedStore({time, dice: diceOf(seed + 1), onEvent: () => undefined})
  const life = newLife()
  const told: Told[] = []
  const fleet = createFleet([witnessed(simulatedKind({clock: time.clock, random}), time.clock, told)])
  const ids = {uuid: () => uuidFrom(random)}
  const keys = [{kid: 'bench', secret: createSecretKey(Buffer.alloc(48, 1))}]
  const complain = (what: string, error: Error): void => console.error(what, error)
  const engine = createEngine({
    store: store.connect(life, null),
    clock: time.clock,
    timers: timersOf(time, life),
    ids,
    random,
    randomBytes: count => Buffer.alloc(count, 3),
    tokens: createTokens({keys, issuer: 'bench', audience: 'bench', clock: time.clock, ids}),
    masterKey: createSecretKey(Buffer.alloc(32, 2)),
    policy: defaultPolicy,
    timings,
    drivers: fleet,
    readModelsFile: ':memory:',
    nodeId: 'bench',
    exclusive: true,
    pace: paceOf(time, life),
    log: {warn: complain, alert: complain},
  })
  const livesThrough = async (work: Promise<unknown>): Promise<void> => {
    const state = {isOver: false}
    const watched = work.finally(() => {
      state.isOver = true
    })
    while (!state.isOver && (await time.step(Infinity)));
    await watched
  }
  await livesThrough(engine.projections.caughtUp)
  const driver = {bootSeconds: 20, stopSeconds: 5}
  await livesThrough(registerMachines(engine, machines, driver))
  const dawnMs = Math.ceil(time.nowMs() / (60 * minuteMs) + 1) * 60 * minuteMs
  const planned = randomDay(machines, dawnMs, random)
  await livesThrough(bookAll(engine, planned))
  if (time.nowMs() >= dawnMs) throw new Error('the scene took longer than there was time')
  engine.act(new AbortController().signal).catch((error: unknown) => complain('act', error as Error))
  const until = time.elapsedMs() + dawnMs - time.nowMs() + (dayMinutes + 30) * minuteMs
  while (await time.step(until));
  life.isOver = true
  return {bookings: planned.length, events: store.log, told}
}

/** Bookings of one to four hours on every machine with gaps of minutes to hours, all edges on whole minutes. */
function randomDay(machines: number, dawnMs: number, random: () => number): readonly PlannedBooking[] {
  const below = (bound: number): number => Math.floor(random() * bound)
  const planned: PlannedBooking[] = []
  for (let machine = 0; machine < machines; machine++) {
    for (let minute = 10 + below(300); ;) {
      const minutes = 30 + below(210)
      if (minute + minutes > dayMinutes) break
      planned.push({machine, startMs: dawnMs + minute * minuteMs, minutes, warmUpMinutes: 5})
      minute += minutes + 10 + below(240)
    }
  }
  return planned
}
