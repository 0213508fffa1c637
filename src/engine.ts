import type {KeyObject} from 'node:crypto'
import {agendaQueries} from '../projections/agenda.ts'
import {allProjections} from '../projections/all.ts'
import {availabilityQueries} from '../projections/availability.ts'
import {balanceQueries} from '../projections/balances.ts'
import {catalogueQueries, changesCatalogue} from '../projections/catalogue.ts'
import {machineQueries} from '../projections/machines.ts'
import {purchaseQueries} from '../projections/purchases.ts'
import {startProjections, type MakePace, type ProjectionRunner} from '../projections/runner.ts'
import {userQueries} from '../projections/users.ts'
import {work as toDoList, workQueries, type WorkQueries} from '../projections/work.ts'
import type {RandomBytes} from './access/secrets.ts'
import type {Tokens} from './access/tokens.ts'
import type {BookingPolicy} from './booking/policies.ts'
import {createBookings} from './dispatch/bookings.ts'
import {createOnce} from './dispatch/once.ts'
import {createOperations, type DriverKinds} from './dispatch/operations.ts'
import {createPeople} from './dispatch/people.ts'
import {createPurchases} from './dispatch/purchases.ts'
import {createHandler} from './event-store/handler.ts'
import type {EventStore} from './event-store/port.ts'
import {createRegistry, type Registry} from './event-store/registry.ts'
import {allEventTypes} from './event-types.ts'
import type {PowerTimings} from './fleet/power.ts'
import type {IdSource, MachineId} from './kernel/ids.ts'
import type {Clock, Timers} from './kernel/time.ts'
import {keepLease} from './processes/lease-keeper.ts'
import type {DriverFailure, PowerDriver} from './processes/driver-calls.ts'
import {defaultLookIntervals, type LookIntervals} from './processes/power.ts'
import {runProcesses, type ProcessParts} from './processes/runner.ts'
import type {Naps} from './processes/scheduler.ts'
import type {MachineListing, Work} from './processes/steps.ts'
import type {BookedMachine, BookingWork} from './processes/booking.ts'

/** What an engine is made of. The composition root builds the real ones; a simulation builds its own. */
export interface EngineParts {
  readonly store: EventStore
  readonly clock: Clock
  readonly timers: Timers
  readonly ids: IdSource
  readonly random: () => number
  readonly randomBytes: RandomBytes
  readonly tokens: Tokens
  readonly masterKey: KeyObject
  readonly policy: BookingPolicy
  readonly timings: PowerTimings
  readonly drivers: DriverKinds & {
    driver(
      machineId: string,
      registration: {readonly kind: string; readonly config: Readonly<Record<string, unknown>>},
    ): PowerDriver | null
    failureOf(error: unknown): DriverFailure
  }
  /** Path of the read models' SQLite file, or `:memory:`. */
  readonly readModelsFile: string
  readonly nodeId: string
  /** Nobody else can reach the store: see `LeaseParts.exclusive`. */
  readonly exclusive: boolean
  readonly log: EngineLog
  /** See `RunnerParts.pace`. */
  readonly pace?: MakePace
  /** Given only by a simulation, whose programs read the same events over and over. */
  readonly registry?: Registry
  /** How often to look and how long to sleep. Given only by a simulation, whose years must pass quickly. */
  readonly tempo?: Tempo
}

export interface Tempo {
  readonly looks: LookIntervals
  readonly naps: Naps
  /** See `LeaseParts.termMs`. */
  readonly leaseTermMs: number
}

export interface EngineLog {
  /** Something failed and is being tried again. */
  warn(what: string, error: Error): void
  /** Something stopped and needs a person. */
  alert(what: string, error: Error): void
}

export type Engine = ReturnType<typeof createEngine>

const stepWaitMs = 10_000

/** Wires the deciders, read models and processes around one store. Nothing runs but the read models until `act`. */
export function createEngine(parts: EngineParts) {
  const {store, clock, timers, random, ids, log} = parts
  const blind = new AbortController()
  const registry = parts.registry ?? createRegistry(...allEventTypes)
  const handler = createHandler({store, registry, clock, timers, random})
  const projections = startProjections({
    store,
    registry,
    clock,
    timers,
    projections: allProjections,
    file: parts.readModelsFile,
    ...(parts.pace === undefined ? {} : {pace: parts.pace}),
    onLost: error => log.warn('connection to the event store', error),
    onUnkept: error => log.warn('read models', error),
    onHalted(name, error) {
      log.alert(`read model ${name}`, error)
      if (name === toDoList.name) blind.abort()
    },
  })
  const {db} = projections
  const queries = {
    agenda: agendaQueries(db),
    availability: availabilityQueries(db),
    balances: balanceQueries(db),
    catalogue: catalogueQueries(db),
    machines: machineQueries(db),
    purchases: purchaseQueries(db),
    users: userQueries(db),
  }
  projections.onBatch(batch => {
    if (batch.some(({event}) => changesCatalogue(event.type))) queries.catalogue.forget()
  })
  const once = createOnce()
  const {tokens, masterKey, randomBytes, policy, drivers} = parts
  const processes = processParts(parts, projections, workQueries(db), handler)
  return {
    handler,
    projections,
    queries,
    bookings: createBookings({handler, clock, catalogue: queries.catalogue, policy, once}),
    purchases: createPurchases({handler, pack: id => queries.catalogue.pack(id), once}),
    operations: createOperations({handler, drivers, once}),
    people: createPeople({handler, tokens, masterKey, randomBytes, once}),
    /**
     * Runs the processes whenever this node holds the lease, until `signal` ends it. A node whose to-do list has halted
     * gives the lease up for good: it no longer knows what it does, and another, perhaps of a newer version, may.
     */
    act: (stopping: AbortSignal): Promise<void> => {
      const signal = AbortSignal.any([stopping, blind.signal])
      const onError = (error: Error): void => log.warn('lease', error)
      const {nodeId, exclusive, tempo} = parts
      const term = tempo === undefined ? {} : {termMs: tempo.leaseTermMs}
      const lease = {handler, clock, timers, ids, onError, nodeId, exclusive, ...term}
      return keepLease(lease, signal, async taken => {
        await Promise.race([projections.caughtUp, aborted(taken.held)])
        if (taken.isHeld()) await runProcesses(processes, taken)
      })
    },
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  const {promise, resolve} = Promise.withResolvers<void>()
  if (signal.aborted) resolve()
  else signal.addEventListener('abort', () => resolve(), {once: true})
  return promise
}

function processParts(
  parts: EngineParts,
  projections: ProjectionRunner,
  work: WorkQueries,
  handler: ProcessParts['handler'],
): ProcessParts {
  const {clock, timers, ids, random, timings, drivers, log, tempo} = parts
  const bookingsOnMax = 8
  return {
    handler,
    clock,
    timers,
    ids,
    random,
    timings,
    intervals: tempo?.looks ?? defaultLookIntervals,
    ...(tempo === undefined ? {} : {naps: tempo.naps}),
    driverOf(machineId) {
      const row = work.machine(machineId)
      return row === null ? null : drivers.driver(machineId, row.driver)
    },
    failureOf: error => drivers.failureOf(error),
    work: {
      // Rows hold instants and ids as the events had them, which the registry has checked.
      booking: id => work.booking(id) as (BookingWork & {readonly machineId: string | null}) | null,
      purchase: id => work.purchase(id),
      machine: id => work.machine(id) as (BookedMachine & MachineListing) | null,
      bookingsOn: (machineId: MachineId) => work.bookingsOn(machineId, bookingsOnMax),
      bookingIds: () => work.bookingIds(),
      paidPurchaseIds: () => work.paidPurchaseIds(),
      machineIds: () => work.machineIds(),
      bookingIdsOn: machineId => work.bookingIdsOn(machineId, bookingsOnMax),
    } satisfies ProcessParts['work'] & Work,
    waitFor: commit => projections.waitFor(commit, stepWaitMs),
    onEvents: listener => projections.onBatch(batch => listener(batch.map(({event}) => event))),
    onError: (what, error) => log.warn(what, error),
  }
}
