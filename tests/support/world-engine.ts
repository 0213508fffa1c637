/** One engine of a world: the real one, on the clock, the timers and the machines of the test. */
import {createSecretKey, randomBytes} from 'node:crypto'
import {createTokens} from '../../src/access/tokens.ts'
import {defaultPolicy, type BookingPolicy} from '../../src/booking/policies.ts'
import {createFleet} from '../../src/drivers/fleet.ts'
import type {DriverKind} from '../../src/drivers/port.ts'
import {createEngine, type Engine} from '../../src/engine.ts'
import type {EventStore} from '../../src/event-store/port.ts'
import type {PowerTimings} from '../../src/fleet/power.ts'
import {gatedDriver, gatedTimers, type Gate} from './gate.ts'
import type {HandClock} from './hand-clock.ts'
import type {AppendFate, AppendSeen} from './watched-store.ts'

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

const timings: PowerTimings = {
  bootTimeoutSeconds: 120,
  stopResendSeconds: 10,
  stopGraceSeconds: 60,
  killSeconds: 30,
  attemptsMax: 2,
}

export function buildEngine(
  parts: {
    readonly store: EventStore
    readonly hand: HandClock
    readonly random: () => number
    readonly kind: DriverKind
    readonly policy: Partial<BookingPolicy>
    readonly engineOptions: EngineOptions
    /** Read models have folded something, or cannot. */
    readonly onNews: () => void
  },
  forget: () => void,
): Omit<RunningEngine, 'ignore'> {
  const {store, hand, random, kind, policy, engineOptions, onNews} = parts
  const {clock} = hand
  const timers = engineOptions.gate === undefined ? hand.timers : gatedTimers(hand.timers, engineOptions.gate)
  const complaints: string[] = []
  const fleet = createFleet([kind])
  const ids = {uuid: () => uuidFrom(random)}
  const keys = [{kid: 'test', secret: createSecretKey(randomBytes(48))}]
  const complain = (what: string, error: Error): void => {
    complaints.push(`${what}: ${error.message}`)
    onNews()
  }
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
    policy: {...defaultPolicy, ...policy},
    drivers: {
      ...fleet,
      driver(machineId, registration) {
        const driver = fleet.driver(machineId, registration)
        return driver === null || engineOptions.driverGate === undefined
          ? driver
          : gatedDriver(driver, engineOptions.driverGate)
      },
    },
    readModelsFile: engineOptions.readModels ?? ':memory:',
    nodeId: engineOptions.nodeId ?? 'node-a',
    exclusive: engineOptions.exclusive ?? true,
    log: {warn: complain, alert: complain},
  })
  engine.projections.onBatch(onNews)
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

function uuidFrom(next: () => number): string {
  const hex = Array.from({length: 32}, () => Math.floor(next() * 16).toString(16)).join('')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`
}
