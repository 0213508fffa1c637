/** The real engine of one node, on a store, a clock and machines of the history's. */
import {createSecretKey} from 'node:crypto'
import type {MakePace} from '../../projections/runner.ts'
import {createTokens} from '../../src/access/tokens.ts'
import {defaultPolicy, type BookingPolicy} from '../../src/booking/policies.ts'
import {createFleet} from '../../src/drivers/fleet.ts'
import {simulatedKind} from '../../src/drivers/simulated.ts'
import {createEngine, type Engine} from '../../src/engine.ts'
import type {EventStore} from '../../src/event-store/port.ts'
import {idOf} from '../../src/kernel/ids.ts'
import type {Clock, Timers} from '../../src/kernel/time.ts'
import {uuidFrom} from '../simulation/dice.ts'
import {owner, realmOf, service} from './door.ts'

/** A cancelled booking costs a quarter, so that hours are captured as well as released. */
const chargePercent = 25

const policy: BookingPolicy = {
  ...defaultPolicy,
  cancellationTiers: [{noticeMinutesMin: 0, chargePercent}],
}

/** What a history says of the policy it was made under. */
export const bookingTerms = {
  chargePercent,
  warmUpMinutes: policy.warmUpMinutes,
  turnaroundMinutes: policy.turnaroundMinutes,
  slotStepMinutes: policy.slotStepMinutes,
} as const

export interface NodeParts {
  readonly name: string
  readonly store: EventStore
  readonly clock: Clock
  readonly timers: Timers
  readonly random: () => number
  readonly pace?: MakePace
  readonly complain: (what: string, error: Error) => void
}

const timings = {bootTimeoutSeconds: 120, stopResendSeconds: 10, stopGraceSeconds: 60, killSeconds: 30, attemptsMax: 2}

export function startNode({name, store, clock, timers, random, pace, complain}: NodeParts): Engine {
  const fleet = createFleet([simulatedKind({clock, random})])
  const ids = {uuid: () => uuidFrom(random)}
  const keys = [{kid: 'test', secret: createSecretKey(Buffer.alloc(48, 1))}]
  return createEngine({
    store,
    clock,
    timers,
    ids,
    random,
    timings,
    policy,
    randomBytes: count => Buffer.from(Array.from({length: count}, () => Math.floor(random() * 256))),
    tokens: createTokens({keys, issuer: 'test', audience: 'test', clock, ids}),
    masterKey: createSecretKey(Buffer.alloc(32, 2)),
    drivers: fleet,
    readModelsFile: ':memory:',
    nodeId: name,
    // Nodes share the store, and one of them acts.
    exclusive: false,
    log: {warn: complain, alert: complain},
    ...(pace === undefined ? {} : {pace}),
  })
}

/** What there is to fight for: a realm and its machines for each pool. */
export async function furnish(engine: Engine, pools: Readonly<Record<string, readonly string[]>>): Promise<void> {
  const {operations} = engine
  const listed = {serviceId: service, name: 'Enchanting', pricePerHour: {amountMinor: 1000, currency: 'USD'}}
  await operations.changeCatalogue(owner, {
    idempotencyKey: 'service',
    command: {type: 'ListService', service: listed},
  })
  for (const [pool, machines] of Object.entries(pools)) {
    const realm = {realmId: idOf<'Realm'>(realmOf(pool)), name: pool, poolId: idOf<'Pool'>(pool)}
    await operations.changeCatalogue(owner, {idempotencyKey: `realm-${pool}`, command: {type: 'ListRealm', realm}})
    for (const machine of machines) {
      await operations.registerMachine(owner, {
        idempotencyKey: machine,
        machineId: idOf<'Machine'>(machine),
        name: machine,
        poolId: idOf<'Pool'>(pool),
        services: [service],
        driver: {kind: 'simulated', config: {}},
      })
    }
  }
}

/** One machine, so that its bookings stand alone; and two, of which any will do. */
export function poolsNamed(prefix: string): Readonly<Record<string, readonly string[]>> {
  return {
    [`${prefix}solo`]: [`${prefix}solo-1`],
    [`${prefix}lone`]: [`${prefix}lone-1`],
    [`${prefix}pair`]: [`${prefix}pair-1`, `${prefix}pair-2`],
  }
}

/** What an observer notes of an event, as `History.seen` names it. */
export function notableOf(type: string, data: unknown): string | null {
  const {bookingId, reason} = data as {readonly bookingId?: string; readonly reason?: {readonly type?: string}}
  const what = type === 'HoursReleased' && reason?.type === 'refused' ? 'released' : notable[type]
  return bookingId === undefined || what === undefined ? null : `${what} ${bookingId}`
}

const notable: Readonly<Record<string, string>> = {
  HoursHeld: 'held',
  SlotAllocated: 'allocated',
  HoursReleased: 'settled',
  HoursCaptured: 'settled',
  AllocationShortened: 'freed',
}
