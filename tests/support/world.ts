/** A whole engine, or several, around a real embedded node, in this process, under a clock that the test moves. */
import {join} from 'node:path'
import type {BookingPolicy} from '../../src/booking/policies.ts'
import {simulatedKind, type MachineTruth, type PowerEffect} from '../../src/drivers/simulated.ts'
import type {Engine} from '../../src/engine.ts'
import type {EventStore} from '../../src/event-store/port.ts'
import {createRegistry} from '../../src/event-store/registry.ts'
import {allEventTypes} from '../../src/event-types.ts'
import type {StoredEvent} from '../../src/kernel/messages.ts'
import {msBetween, type Instant} from '../../src/kernel/time.ts'
import type {DomainEvent} from '../../projections/projection.ts'
import {gatedLog, gatedStore} from './gate.ts'
import {at, seeded} from './given.ts'
import {handClock, turn, type HandClock} from './hand-clock.ts'
import {startTestStore, type TestStore} from './store.ts'
import {newWatch, watchedStore, type StoreWatch} from './watched-store.ts'
import {seedCatalogue} from './world-acts.ts'
import {buildEngine, type EngineOptions, type RunningEngine} from './world-engine.ts'

export interface WorldOptions {
  /** Machines of pool `eu` and the configuration of their simulated drivers. Default: one, `eu-1`, that never fails. */
  readonly machines?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly policy?: Partial<BookingPolicy>
  readonly seed?: number
}

export interface World {
  readonly hand: HandClock
  readonly store: EventStore
  readonly testStore: TestStore
  readonly watch: StoreWatch
  /** Every real change of power of every machine, in the order it was noticed. */
  readonly effects: readonly PowerEffect[]
  startEngine(options?: EngineOptions): Promise<RunningEngine>
  /** Waits until nothing is under way and the read models have folded everything. The clock stands. */
  quiet(): Promise<void>
  /** Moves the clock, stopping at rest wherever somebody wakes. */
  advance(ms: number): Promise<void>
  advanceTo(instant: Instant): Promise<void>
  /** Moves the clock until the condition holds; throws when it did not within so many milliseconds of that clock. */
  advanceUntil(condition: () => boolean | Promise<boolean>, withinMs: number): Promise<void>
  /** Waits for an answer, moving the clock for those who wait for their next try; ten seconds of it at the most. */
  during<Value>(answer: Promise<Value>): Promise<Value>
  now(): Instant
  truth(machineId: string): MachineTruth | null
  /** Takes the power away behind everybody's back. */
  pullPlug(machineId: string): Promise<void>
  /** All facts in the order of the log. */
  log(): Promise<readonly StoredEvent<DomainEvent>[]>
  stop(): Promise<void>
}

/** 21 November 2026, 08:00 UTC: every world begins here. */
export const dawn = at('08:00')

const turnsMax = 2_000_000

export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const testStore = await startTestStore()
  const hand = handClock(dawn)
  const watch = newWatch()
  const running = new Set<Omit<RunningEngine, 'ignore'>>()
  const ignored = new Set<Omit<RunningEngine, 'ignore'>>()
  const dice = seeded(options.seed ?? 1)
  const random = (): number => dice.next()
  const effects: PowerEffect[] = []
  const kind = simulatedKind({clock: hand.clock, random, onEffect: effect => effects.push(effect)})
  const configs = options.machines ?? {'eu-1': {}}

  const isLagging = (one: Omit<RunningEngine, 'ignore'>): boolean => {
    const {projections} = one.engine
    if (ignored.has(one) || projections.halted().length > 0) return false
    return !projections.isCaughtUp() || projections.position() < watch.lastCommit
  }

  // Rung whenever read models have folded something, or an engine is gone.
  let bell = Promise.withResolvers<void>()
  const ring = (): void => {
    bell.resolve()
    bell = Promise.withResolvers()
  }
  /** Read models take their time while nobody waits for them. */
  const caughtUp = async ({engine: {projections}}: {readonly engine: Engine}): Promise<void> => {
    if (!projections.isCaughtUp()) return projections.caughtUp
    void projections.waitFor(watch.lastCommit, 1)
    return bell.promise
  }

  async function quiet(): Promise<void> {
    let still = 0
    for (let turns = 0; turns < turnsMax; turns++) {
      if (watch.inFlight.size > 0) {
        await Promise.all(watch.inFlight)
        still = 0
      }
      for (const one of running) if (isLagging(one)) await Promise.race([caughtUp(one), bell.promise])
      const before = watch.calls + hand.sleeps()
      await turn()
      const isStill = watch.inFlight.size === 0 && watch.calls + hand.sleeps() === before
      still = isStill && ![...running].some(isLagging) ? still + 1 : 0
      if (still >= 4) return
    }
    throw new Error('the world never came to rest')
  }

  async function advance(ms: number): Promise<void> {
    const target = hand.elapsedMs() + ms
    for (;;) {
      await quiet()
      const next = hand.nextWakeMs()
      if (next === null || next > target) break
      hand.moveTo(next)
    }
    hand.moveTo(target)
    await quiet()
  }

  async function advanceUntil(condition: () => boolean | Promise<boolean>, withinMs: number): Promise<void> {
    const limit = hand.elapsedMs() + withinMs
    for (;;) {
      await quiet()
      if (await condition()) return
      const next = Math.min(hand.nextWakeMs() ?? Infinity, limit)
      if (hand.elapsedMs() >= limit) throw new Error(`it did not come about within ${withinMs} ms`)
      hand.moveTo(next)
    }
  }

  async function during<Value>(answer: Promise<Value>): Promise<Value> {
    let isSettled = false
    const settled = (): void => {
      isSettled = true
    }
    answer.then(settled, settled)
    await advanceUntil(() => isSettled, 10_000)
    return answer
  }

  async function startEngine(engineOptions: EngineOptions = {}): Promise<RunningEngine> {
    const watched = watchedStore(testStore.store, watch, engineOptions.fateOf)
    const {gate, logGate} = engineOptions
    const gated = gate === undefined ? watched : gatedStore(watched, gate)
    const store = logGate === undefined ? gated : gatedLog(gated, logGate)
    const parts = {store, hand, random, kind, policy: options.policy ?? {}, engineOptions, onNews: ring}
    const built = buildEngine(parts, () => {
      running.delete(built)
      ring()
    })
    running.add(built)
    // Whoever waits for its next try when told to stop needs the clock to go on.
    const engine = {
      ...built,
      stopActing: () => during(built.stopActing()),
      stop: () => during(built.stop()),
      ignore: () => void ignored.add(built),
    }
    if (logGate !== undefined) engine.ignore()
    else await quiet()
    return engine
  }

  const world: World = {
    hand,
    testStore,
    watch,
    effects,
    store: testStore.store,
    startEngine,
    quiet,
    advance,
    advanceUntil,
    during,
    advanceTo: instant => advance(msBetween(hand.clock.now(), instant)),
    now: () => hand.clock.now(),
    truth: machineId => kind.truth(machineId),
    async pullPlug(machineId) {
      await kind.open(machineId, storedConfig(kind, configs[machineId] ?? {})).kill(new AbortController().signal)
    },
    log: () => readLog(testStore.store),
    async stop() {
      await during(Promise.all([...running].map(engine => engine.stop())))
      await testStore.stop()
    },
  }
  const seeder = await world.startEngine()
  await seedCatalogue(seeder.engine, configs)
  await seeder.stop()
  return world
}

type Kind = ReturnType<typeof simulatedKind>

function storedConfig(kind: Kind, config: unknown): Readonly<Record<string, unknown>> {
  const parsed = kind.parseConfig(config)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  return parsed.config
}

export function modelsFile(world: World, name: string): string {
  return join(world.testStore.dataDir, `${name}.sqlite`)
}

const registry = createRegistry(...allEventTypes)

export async function readLog(store: EventStore): Promise<readonly StoredEvent<DomainEvent>[]> {
  const pageSize = 1000
  const facts: StoredEvent<DomainEvent>[] = []
  let from: Parameters<EventStore['readAll']>[0]['from'] = 'start'
  for (;;) {
    const page = await store.readAll({from, maxCount: pageSize})
    // Reading forwards includes the position read from, which the page before has shown.
    const fresh = page.filter(({position}) => position.commit > (facts.at(-1)?.commit ?? -1n))
    for (const recorded of fresh) {
      if (registry.knows(recorded.type)) facts.push(registry.fromStored(recorded) as StoredEvent<DomainEvent>)
    }
    const last = page.at(-1)
    if (last === undefined || page.length < pageSize) return facts
    from = last.position
  }
}
