/** One program of a simulation: the real engine, on simulated time, store and machines. */
import {createSecretKey} from 'node:crypto'
import type {MakePace} from '../../projections/runner.ts'
import {createTokens} from '../../src/access/tokens.ts'
import {defaultPolicy} from '../../src/booking/policies.ts'
import {createFleet} from '../../src/drivers/fleet.ts'
import {DriverError, type DriverKind} from '../../src/drivers/port.ts'
import {createEngine, type Engine, type Tempo} from '../../src/engine.ts'
import {CameTooLate, QueueFull, TooManyConflicts} from '../../src/event-store/command.ts'
import type {Registry} from '../../src/event-store/registry.ts'
import {OutcomeUnknown, StoreUnavailable, type EventStore} from '../../src/event-store/port.ts'
import type {PowerDriver} from '../../src/processes/driver-calls.ts'
import {uuidFrom, type Dice} from './dice.ts'
import type {Faults} from './faults.ts'
import {napTimersOf, newLife, timersOf, within, type Life, type VirtualTime} from './virtual-time.ts'

export interface Node {
  readonly life: Life
  readonly engine: Engine
  /** What it alerted somebody to, or died of. */
  readonly alarms: string[]
  act(): void
  /** For so long it stands still; then everything that came for it meanwhile comes at once. */
  freeze(ms: number): void
  /** From one moment to the next it is gone: nothing reaches it, nothing more comes of it. */
  crash(): void
}

export interface NodeParts {
  readonly name: string
  readonly time: VirtualTime
  readonly dice: Dice
  readonly faults: Faults
  readonly kind: DriverKind
  readonly connect: (life: Life) => EventStore
  /** Its read models, which outlive a crash: what was committed is there. */
  readonly readModelsFile: string
  readonly registry: Registry
  readonly exclusive: boolean
  readonly pulse: Pulse
  /** Told when the node switches a machine, or tries to, at the moment it does so. */
  readonly onSwitch: () => void
}

/** How quick an engine is: a simulation of years looks less often than the real one. Milliseconds. */
export interface Pulse {
  readonly changingMs: number
  readonly onMs: number
  readonly offMs: number
  readonly aheadMs: number
  readonly leaseTermMs: number
}

/** Between two transactions of the read models, as in the real program. */
const keepMs = 250

export const timings = {
  bootTimeoutSeconds: 120,
  stopResendSeconds: 10,
  stopGraceSeconds: 60,
  killSeconds: 30,
  attemptsMax: 2,
}

export function startNode(parts: NodeParts): Node {
  const {time, dice, kind, pulse} = parts
  const life = newLife()
  const alarms: string[] = []
  const fleet = createFleet([kind])
  const {clock} = time
  const random = (): number => dice.next()
  const ids = {uuid: () => uuidFrom(random)}
  const keys = [{kid: 'test', secret: createSecretKey(Buffer.alloc(48, 1))}]
  const store = parts.connect(life)
  const note = (what: string, error: Error): void => {
    if (!life.isOver && !isForeseen(error)) alarms.push(`${what}: ${error.message}`)
  }
  const engine = createEngine({
    store,
    clock,
    timers: timersOf(time, life),
    ids,
    timings,
    random,
    randomBytes: count => Buffer.from(Array.from({length: count}, () => dice.below(256))),
    tokens: createTokens({keys, issuer: 'test', audience: 'test', clock, ids}),
    masterKey: createSecretKey(Buffer.alloc(32, 2)),
    policy: defaultPolicy,
    drivers: {
      ...fleet,
      driver(machineId, registration) {
        const driver = fleet.driver(machineId, registration)
        return driver === null ? null : distant(driver, parts, life)
      },
    },
    readModelsFile: parts.readModelsFile,
    nodeId: parts.name,
    exclusive: parts.exclusive,
    pace: paceOf(time, life),
    tempo: tempoOf(pulse, time, life),
    registry: parts.registry,
    log: {
      warn: note,
      alert: (what, error) => void alarms.push(`${what}: ${error.message}`),
    },
  })
  engine.projections.running.catch((error: unknown) => alarms.push(`projections: ${String(error)}`))
  return {
    life,
    engine,
    alarms,
    act() {
      engine.act(new AbortController().signal).catch((error: unknown) => alarms.push(`act: ${String(error)}`))
    },
    freeze(ms) {
      if (life.held !== null) return
      life.held = []
      time.after(ms, () => {
        const held = life.held ?? []
        life.held = null
        for (const work of held) time.after(0, within(life, work))
      })
    },
    crash() {
      if (life.isOver) return
      life.isOver = true
      engine.projections.db.close()
    },
  }
}

/** What the port says can happen; whoever meets it tries again. Any other error is a fault of the engine. */
export function isForeseen(error: unknown): boolean {
  const isOfStore = error instanceof StoreUnavailable || error instanceof OutcomeUnknown
  return isOfStore || [CameTooLate, QueueFull, TooManyConflicts].some(kind => error instanceof kind)
}

/** Folding and committing are events of the simulated time like everything else. */
export function paceOf(time: VirtualTime, life: Life): MakePace {
  return (_nowMs, fold, keep) => {
    let isPlanned = false
    let isKeeping = false
    const foldOnce = (): void => {
      if (isPlanned) fold()
    }
    const keepOnce = (): void => {
      isKeeping = false
      keep()
    }
    return {
      soon(now) {
        if (isPlanned) return
        isPlanned = true
        time.after(now ? 1 : 5, within(life, foldOnce))
      },
      done() {
        isPlanned = false
        if (isKeeping) return
        isKeeping = true
        time.after(keepMs, within(life, keepOnce))
      },
    }
  }
}

/** A driver at the far end of a network: what it is told takes time, and its answer reaches only the living. */
function distant(driver: PowerDriver, {time, dice, faults, onSwitch}: NodeParts, life: Life): PowerDriver {
  const call = <Value>(work: () => Promise<Value>): Promise<Value> => {
    const {promise, resolve, reject} = Promise.withResolvers<Value>()
    time.after(dice.below(50), () => {
      const answer = (settle: () => void): void => {
        if (faults.strikes('driverSilent')) return
        time.after(dice.below(50), within(life, settle))
      }
      providerFault(faults)
        .then(work)
        .then(
          value => answer(() => resolve(value)),
          (error: unknown) => answer(() => reject(error)),
        )
    })
    return promise
  }
  const act = (work: () => Promise<void>): Promise<void> => {
    onSwitch()
    return call(work)
  }
  // A signal ends the wait of whoever called; what is under way arrives all the same.
  const never = new AbortController().signal
  return {
    start: () => act(() => driver.start(never)),
    stop: () => act(() => driver.stop(never)),
    kill: () => act(() => driver.kill(never)),
    observe: () => call(() => driver.observe(never)),
  }
}

/** What a provider answers instead of doing anything: 5xx, 429, 401. */
async function providerFault(faults: Faults): Promise<void> {
  if (faults.strikes('driverFails')) throw new DriverError('transient', 'the provider answered 503')
  if (faults.strikes('driverLimits')) throw new DriverError('rateLimited', 'the provider answered 429', 30_000)
  if (faults.strikes('driverLocksOut')) throw new DriverError('auth', 'the provider answered 401')
}

function tempoOf({changingMs, onMs, offMs, aheadMs, leaseTermMs}: Pulse, time: VirtualTime, life: Life): Tempo {
  const naps = {timers: napTimersOf(time, life), msMax: 10 * 365 * 86_400_000}
  return {looks: {changingMs, onMs, offMs, aheadMs}, naps, leaseTermMs}
}
