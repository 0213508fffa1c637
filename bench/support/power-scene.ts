import {createSecretKey, randomBytes} from 'node:crypto'
import {mkdtempSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {createTokens} from '../../src/access/tokens.ts'
import {account} from '../../src/account/decider.ts'
import {accountStream} from '../../src/account/events.ts'
import {defaultPolicy} from '../../src/booking/policies.ts'
import {calendar} from '../../src/calendar/decider.ts'
import {calendarStream} from '../../src/calendar/events.ts'
import {createFleet} from '../../src/drivers/fleet.ts'
import {simulatedKind, type PowerEffect} from '../../src/drivers/simulated.ts'
import {startEmbeddedNode} from '../../src/embedded-node/node.ts'
import {timings} from './engine.ts'
import {witnessed, type Told} from './witness.ts'
import {createEngine, type Engine} from '../../src/engine.ts'
import {connectEventStore} from '../../src/event-store/esdb.ts'
import type {EventStore, Position, RecordedEvent} from '../../src/event-store/port.ts'
import {machine} from '../../src/fleet/decider.ts'
import {machineStream} from '../../src/fleet/events.ts'
import {derivedUuid, idOf, type BookingId, type CommandId, type GrantId} from '../../src/kernel/ids.ts'
import {instantFromMs, plusMinutes, type Clock, type Timers} from '../../src/kernel/time.ts'
import {bookSlot} from '../../src/processes/book-slot.ts'
import {systemIds, systemRandom, systemRandomBytes} from '../../src/system.ts'

/** Machines, their bookings and the log: what outlives a program. Beside it, programs that come and go. */
export interface PowerScene {
  readonly store: EventStore
  /** Real changes of power, in the order they were noticed. */
  readonly effects: readonly PowerEffect[]
  /** What the drivers were told, in order. */
  readonly told: readonly Told[]
  /** Starts an engine on the scene, with its processes when told to; resolves once it has folded the log. */
  startProgram(acting: boolean): Promise<PowerProgram>
  stop(): Promise<void>
}

export interface PowerProgram {
  readonly engine: Engine
  stop(): Promise<void>
}

export interface SceneOptions {
  readonly clock: Clock
  readonly timers: Timers
}

export async function startPowerScene({clock, timers}: SceneOptions): Promise<PowerScene> {
  const folder = mkdtempSync(join(tmpdir(), 'hourhand-bench-power-'))
  const node = await startEmbeddedNode({dataDir: folder, host: '127.0.0.1'})
  const store = connectEventStore(node.connectionString)
  const effects: PowerEffect[] = []
  const told: Told[] = []
  const kind = simulatedKind({clock, random: systemRandom, onEffect: effect => effects.push(effect)})
  const keys = [{kid: 'bench', secret: createSecretKey(randomBytes(48))}]
  const tokens = createTokens({keys, issuer: 'hourhand', audience: 'hourhand', clock, ids: systemIds})
  const complain = (what: string, error: Error): void => console.error(what, error)

  return {
    store,
    effects,
    told,
    async startProgram(acting) {
      const fleet = createFleet([witnessed(kind, clock, told)])
      const engine = createEngine({
        store,
        tokens,
        clock,
        timers,
        ids: systemIds,
        random: systemRandom,
        randomBytes: systemRandomBytes,
        masterKey: createSecretKey(randomBytes(32)),
        policy: defaultPolicy,
        timings,
        drivers: fleet,
        readModelsFile: join(folder, 'read-models.sqlite'),
        nodeId: 'bench',
        exclusive: true,
        log: {warn: complain, alert: complain},
      })
      await engine.projections.caughtUp
      const stopping = new AbortController()
      const acted = acting ? engine.act(stopping.signal) : Promise.resolve()
      return {
        engine,
        async stop() {
          stopping.abort()
          await acted
          await engine.projections.stop()
        },
      }
    },
    async stop() {
      await store.close()
      await node.close()
      rmSync(folder, {recursive: true, force: true})
    },
  }
}

const actor = {type: 'process', name: 'bench'} as const
const metaOf = (...parts: readonly string[]) => {
  const commandId = derivedUuid(...parts) as CommandId
  return {commandId, correlationId: commandId, actor}
}
const service = idOf<'Service'>('ENCH')
const customer = idOf<'User'>('bench')
/** A pool chooses among its machines, so that one of thousands would make the scene slow to set. */
const machinesPerPool = 50
const poolOf = (index: number) => idOf<'Pool'>(`pool-${Math.floor(index / machinesPerPool)}`)
const free = {amountMinor: 0, currency: 'USD'}

/** Registers so many machines, and gives their customer more hours than can be booked. */
export async function registerMachines(
  {handler}: Engine,
  count: number,
  driver: {readonly bootSeconds: number; readonly stopSeconds: number},
): Promise<void> {
  const config = {...driver, outageSeconds: 30, failureRates: noFailures}
  await inParallel(count, async index => {
    const machineId = idOf<'Machine'>(`machine-${index}`)
    const place = {machineId, name: machineId, poolId: poolOf(index), services: [service]}
    const registration = {...place, driver: {kind: 'simulated', config}}
    const register = {type: 'RegisterMachine', registration} as const
    await handler.handle(machine, machineStream(machineId), register, metaOf('register', machineId), {isNew: true})
    const offer = {type: 'OfferMachine', machineId, services: [service]} as const
    await handler.handle(calendar, calendarStream(poolOf(index)), offer, metaOf('offer', machineId))
  })
  const grant = {
    type: 'GrantHours',
    grantId: derivedUuid('grant') as GrantId,
    minutes: 1_000_000_000,
    source: {type: 'operator', reason: 'bench'},
    priority: 1,
    effectiveAt: null,
    expiresAt: null,
  } as const
  await inParallel(customers, async index => {
    await handler.handle(account, accountStream(customerOf(index)), grant, metaOf('grant', String(index)))
  })
}

const noFailures = {
  startLost: 0,
  startRefused: 0,
  rateLimited: 0,
  stopLostInBoot: 0,
  hangAtBoot: 0,
  ignoresStop: 0,
  crash: 0,
  unreachable: 0,
}
/** Few bookings each, so that no account's state grows large. */
const customers = 200
const customerOf = (index: number) => idOf<'User'>(`${customer}-${index % customers}`)

export interface PlannedBooking {
  /** A machine's number; the pool decides which of its machines it is in the end. */
  readonly machine: number
  readonly startMs: number
  readonly minutes: number
  readonly warmUpMinutes: number
}

/** Books past the policy's rules, which would not let anybody book a minute, or one that is over. */
export async function bookAll({handler}: Engine, planned: readonly PlannedBooking[]): Promise<void> {
  await inParallel(planned.length, async index => {
    const plan = planned[index]
    if (plan === undefined) return
    const start = instantFromMs(plan.startMs)
    const {minutes, warmUpMinutes} = plan
    const answer = await bookSlot(
      handler,
      derivedUuid('booking', String(plan.machine), start) as BookingId,
      {
        userId: customerOf(index),
        serviceId: service,
        realmId: idOf('BENCH'),
        poolId: poolOf(plan.machine),
        interval: {start, end: plusMinutes(start, minutes)},
        zone: null,
        minutes,
        price: {list: free, discountPercent: 0, total: free},
        policy: {warmUpMinutes, turnaroundMinutes: 0, cancellationTiers: []},
      },
      {correlationId: 'bench', actor, begunAt: start},
    )
    if (!answer.ok) throw new Error(`not booked: ${JSON.stringify(answer.refusal)}`)
  })
}

const inFlight = 256

async function inParallel(count: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({length: Math.min(inFlight, count)}, worker))
}

/** All events of the store after a position, a page at a time. */
export async function eventsAfter(store: EventStore, after: Position | null): Promise<readonly RecordedEvent[]> {
  const pageSize = 2_000
  const events: RecordedEvent[] = []
  let from: Position | 'start' = after ?? 'start'
  for (;;) {
    const page = await store.readAll({from, maxCount: pageSize})
    const last = page.at(-1)
    const seen = events.at(-1)?.position.commit ?? after?.commit ?? -1n
    events.push(...page.filter(({position}) => position.commit > seen))
    if (last === undefined || page.length < pageSize) return events
    from = last.position
  }
}
