/** A whole engine, or several, around a real embedded node, in this process, under a clock that the test moves. */
import {createSecretKey, randomBytes} from 'node:crypto'
import {rmSync} from 'node:fs'
import {join} from 'node:path'
import {createTokens} from '../../src/access/tokens.ts'
import {defaultPolicy, type BookingPolicy} from '../../src/booking/policies.ts'
import type {Caller} from '../../src/dispatch/caller.ts'
import {createFleet, driverFailureOf} from '../../src/drivers/fleet.ts'
import {simulatedKind, type MachineTruth, type PowerEffect} from '../../src/drivers/simulated.ts'
import {createEngine, type Engine} from '../../src/engine.ts'
import type {EventStore} from '../../src/event-store/port.ts'
import {createRegistry} from '../../src/event-store/registry.ts'
import {allEventTypes} from '../../src/event-types.ts'
import type {PowerTimings} from '../../src/fleet/power.ts'
import {idOf} from '../../src/kernel/ids.ts'
import type {StoredEvent} from '../../src/kernel/messages.ts'
import {msBetween, plusMinutes, type Instant} from '../../src/kernel/time.ts'
import type {DomainEvent} from '../../projections/projection.ts'
import {at, seeded} from './given.ts'
import {handClock, turn, type HandClock} from './hand-clock.ts'
import {startTestStore, type TestStore} from './store.ts'
import {gatedDriver, gatedLog, gatedStore, gatedTimers, type Gate} from './gate.ts'
import {newWatch, watchedStore, type AppendFate, type AppendSeen, type StoreWatch} from './watched-store.ts'

export interface WorldOptions {
  /** Machines of pool `eu` and the configuration of their simulated drivers. Default: one, `eu-1`, that never fails. */
  readonly machines?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly policy?: Partial<BookingPolicy>
  readonly seed?: number
}

export interface EngineOptions {
  readonly nodeId?: string
  readonly exclusive?: boolean
  readonly fateOf?: (append: AppendSeen) => AppendFate | Promise<AppendFate>
  /** Holds everything up that this engine waits for while it is closed, as SIGSTOP does. */
  readonly gate?: Gate
  /** While it is closed, machines are seen and switched, but the answers of their drivers do not come. */
  readonly driverGate?: Gate
  /** While it is closed, the whole log cannot be read: the read models do not begin to fold. Single streams can. */
  readonly logGate?: Gate
  /** Keeps the read models across restarts; default: in memory. */
  readonly readModels?: string
}

export interface RunningEngine {
  readonly engine: Engine
  readonly complaints: string[]
  /** Runs the processes until `stop`. */
  act(): void
  /** Ends the processes; the rest goes on. */
  stopActing(): Promise<void>
  /** Ends the processes, then the read models. */
  stop(): Promise<void>
  /** This engine stands still: the world no longer waits for its read models to catch up. */
  ignore(): void
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

export const owner: Caller = {userId: idOf('owner'), roles: ['owner', 'operator'], requestId: 'test'}
export const customer = (name: string): Caller => ({userId: idOf(name), roles: ['customer'], requestId: `of-${name}`})

/** 21 November 2026, 08:00 UTC: every world begins here. */
export const dawn = at('08:00')

const timings: PowerTimings = {
  bootTimeoutSeconds: 120,
  stopResendSeconds: 10,
  stopGraceSeconds: 60,
  killSeconds: 30,
  attemptsMax: 2,
}
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

  async function quiet(): Promise<void> {
    let still = 0
    for (let turns = 0; turns < turnsMax; turns++) {
      if (watch.inFlight.size > 0) {
        await Promise.all(watch.inFlight)
        still = 0
      }
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
    const built = buildEngine({store, hand, random, kind, options, engineOptions}, () => running.delete(built))
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
  await seedWorld(world, configs)
  return world
}

type Kind = ReturnType<typeof simulatedKind>

function storedConfig(kind: Kind, config: unknown): Readonly<Record<string, unknown>> {
  const parsed = kind.parseConfig(config)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.faults))
  return parsed.config
}

function buildEngine(
  parts: {
    readonly store: EventStore
    readonly hand: HandClock
    readonly random: () => number
    readonly kind: Kind
    readonly options: WorldOptions
    readonly engineOptions: EngineOptions
  },
  forget: () => void,
): Omit<RunningEngine, 'ignore'> {
  const {store, hand, random, kind, options, engineOptions} = parts
  const {clock} = hand
  const timers = engineOptions.gate === undefined ? hand.timers : gatedTimers(hand.timers, engineOptions.gate)
  const complaints: string[] = []
  const fleet = createFleet([kind])
  const ids = {uuid: () => uuidFrom(random)}
  const keys = [{kid: 'test', secret: createSecretKey(randomBytes(48))}]
  const complain = (what: string, error: Error): void => void complaints.push(`${what}: ${error.message}`)
  const engine = createEngine({
    store,
    clock,
    timers,
    ids,
    timings,
    random,
    randomBytes: count => randomBytes(count),
    tokens: createTokens({keys, issuer: 'test', audience: 'test', clock, ids}),
    masterKey: createSecretKey(randomBytes(32)),
    policy: {...defaultPolicy, ...options.policy},
    drivers: {
      kinds: fleet.kinds,
      parseConfig: (name, config) => fleet.parseConfig(name, config),
      driver(machineId, registration) {
        const driver = fleet.driver(machineId, registration)
        return driver === null || engineOptions.driverGate === undefined
          ? driver
          : gatedDriver(driver, engineOptions.driverGate)
      },
      failureOf: driverFailureOf,
    },
    readModelsFile: engineOptions.readModels ?? ':memory:',
    nodeId: engineOptions.nodeId ?? 'node-a',
    exclusive: engineOptions.exclusive ?? true,
    log: {warn: complain, alert: complain},
  })
  const stopping = new AbortController()
  let acting: Promise<void> = Promise.resolve()
  const stopActing = async (): Promise<void> => {
    stopping.abort()
    await acting.catch(() => undefined)
  }
  return {
    engine,
    complaints,
    act() {
      acting = engine.act(stopping.signal)
      acting.catch((error: unknown) => complain('act', error as Error))
    },
    stopActing,
    async stop() {
      await stopActing()
      await engine.projections.stop()
      forget()
    },
  }
}

async function seedWorld(world: World, machines: Readonly<Record<string, unknown>>): Promise<void> {
  const seeder = await world.startEngine()
  const {operations} = seeder.engine
  const dollars = (amount: number) => ({amountMinor: amount * 100, currency: 'USD'})
  const commands = [
    {type: 'ListService', service: {serviceId: idOf<'Service'>('ENCH'), name: 'Enchanting', pricePerHour: dollars(10)}},
    {type: 'ListRealm', realm: {realmId: idOf<'Realm'>('EU'), name: 'Europe', poolId: idOf<'Pool'>('eu')}},
    {type: 'ListPack', pack: {packId: idOf<'Pack'>('ten'), name: 'Ten hours', minutes: 600, price: dollars(50)}},
  ] as const
  for (const [index, command] of commands.entries()) {
    const changed = await operations.changeCatalogue(owner, {idempotencyKey: `seed-${index}`, command})
    if (!changed.ok) throw new Error(changed.refusal.type)
  }
  for (const [machineId, config] of Object.entries(machines)) await addMachine(seeder.engine, machineId, config)
  await world.quiet()
  await seeder.stop()
}

export async function addMachine(engine: Engine, machineId: string, config: unknown): Promise<void> {
  const registered = await engine.operations.registerMachine(owner, {
    idempotencyKey: `register-${machineId}`,
    machineId: idOf(machineId),
    name: machineId,
    poolId: idOf('eu'),
    services: [idOf('ENCH')],
    driver: {kind: 'simulated', config},
  })
  if (!registered.ok) throw new Error(registered.refusal.type)
}

export async function grant(engine: Engine, name: string, minutes: number): Promise<void> {
  const granted = await engine.purchases.grantHours(owner, {
    idempotencyKey: `grant-${name}-${minutes}`,
    userId: idOf(name),
    minutes,
    reason: 'test',
    expiresAt: null,
  })
  if (!granted.ok) throw new Error(granted.refusal.type)
}

export function book(engine: Engine, name: string, start: Instant, more: {key?: string; minutes?: number} = {}) {
  const {key = `book-${name}-${start}`, minutes = 60} = more
  const place = {serviceId: idOf<'Service'>('ENCH'), realmId: idOf<'Realm'>('EU')}
  return engine.bookings.book(customer(name), {idempotencyKey: key, ...place, start, minutes, zone: null})
}

/** Books and insists on it. */
export async function booked(
  engine: Engine,
  name: string,
  start: Instant,
  more: {key?: string; minutes?: number} = {},
) {
  const answer = await book(engine, name, start, more)
  if (!answer.ok) throw new Error(`refused: ${answer.refusal.type}`)
  return answer.value
}

export const hourFrom = (start: Instant): {start: Instant; end: Instant} => ({start, end: plusMinutes(start, 60)})

/** A booking's facts in the order of the log, whatever stream they are in: type and data. */
export async function factsOf(world: World, bookingId: string): Promise<readonly [string, Record<string, unknown>][]> {
  const facts = (await world.log()).map(({event}): [string, Record<string, unknown>] => [event.type, {...event.data}])
  return facts.filter(([, data]) => data['bookingId'] === bookingId)
}

export async function lifeOf(world: World, bookingId: string): Promise<readonly string[]> {
  return (await factsOf(world, bookingId)).map(([type]) => type)
}

export function balanceOf(engine: Engine, name: string, now: Instant): [available: number, held: number] {
  const {availableMinutes, heldMinutes} = engine.queries.balances.balance(name, now)
  return [availableMinutes, heldMinutes]
}

export function modelsFile(world: World, name: string): string {
  return join(world.testStore.dataDir, `${name}.sqlite`)
}

export function deleteModels(file: string): void {
  for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, {force: true})
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

function uuidFrom(next: () => number): string {
  const hex = Array.from({length: 32}, () => Math.floor(next() * 16).toString(16)).join('')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`
}
