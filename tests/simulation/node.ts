/** One program of a simulation: the real engine, on simulated time, store and machines. */
import {createSecretKey} from 'node:crypto'
import type {MakePace} from '../../projections/runner.ts'
import {createTokens} from '../../src/access/tokens.ts'
import {defaultPolicy} from '../../src/booking/policies.ts'
import {createFleet, driverFailureOf} from '../../src/drivers/fleet.ts'
import type {DriverKind} from '../../src/drivers/port.ts'
import {createEngine, type Engine} from '../../src/engine.ts'
import {QueueFull, TooManyConflicts} from '../../src/event-store/lane.ts'
import {OutcomeUnknown, StoreUnavailable, type EventStore} from '../../src/event-store/port.ts'
import type {PowerDriver} from '../../src/processes/machine-worker.ts'
import {uuidFrom, type Dice} from './dice.ts'
import type {Faults} from './faults.ts'
import {timersOf, type Life, type VirtualTime} from './virtual-time.ts'

export interface Node {
  readonly life: Life
  readonly engine: Engine
  /** What it alerted somebody to, or died of. */
  readonly alarms: string[]
  act(): void
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
}

const timings = {bootTimeoutSeconds: 120, stopResendSeconds: 10, stopGraceSeconds: 60, killSeconds: 30, attemptsMax: 2}

export function startNode(parts: NodeParts): Node {
  const {time, dice, kind} = parts
  const life: Life = {isOver: false}
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
      kinds: fleet.kinds,
      parseConfig: (name, config) => fleet.parseConfig(name, config),
      driver(machineId, registration) {
        const driver = fleet.driver(machineId, registration)
        return driver === null ? null : distant(driver, parts, life)
      },
      failureOf: driverFailureOf,
    },
    readModelsFile: ':memory:',
    nodeId: parts.name,
    exclusive: true,
    pace: paceOf(time, life),
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
    crash() {
      life.isOver = true
      engine.projections.db.close()
    },
  }
}

/** What the port says can happen; whoever meets it tries again. Any other error is a fault of the engine. */
export function isForeseen(error: unknown): boolean {
  const isOfStore = error instanceof StoreUnavailable || error instanceof OutcomeUnknown
  return isOfStore || error instanceof TooManyConflicts || error instanceof QueueFull
}

/** Commits are events of the simulated time like everything else. */
export function paceOf(time: VirtualTime, life: Life): MakePace {
  return (_nowMs, commit) => {
    let isPlanned = false
    return {
      soon(now) {
        if (isPlanned) return
        isPlanned = true
        time.after(now ? 1 : 5, () => {
          if (isPlanned && !life.isOver) commit()
        })
      },
      done() {
        isPlanned = false
      },
    }
  }
}

/** A driver at the far end of a network: what it is told takes time, and its answer reaches only the living. */
function distant(driver: PowerDriver, {time, dice, faults}: NodeParts, life: Life): PowerDriver {
  const call = <Value>(work: () => Promise<Value>): Promise<Value> => {
    const {promise, resolve, reject} = Promise.withResolvers<Value>()
    time.after(dice.below(50), () => {
      const answer = (settle: () => void): void => {
        if (faults.strikes('driverSilent')) return
        time.after(dice.below(50), () => {
          if (!life.isOver) settle()
        })
      }
      work().then(
        value => answer(() => resolve(value)),
        (error: unknown) => answer(() => reject(error)),
      )
    })
    return promise
  }
  return {
    start: signal => call(() => driver.start(signal)),
    stop: signal => call(() => driver.stop(signal)),
    kill: signal => call(() => driver.kill(signal)),
    observe: signal => call(() => driver.observe(signal)),
  }
}
