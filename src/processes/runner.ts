import {idOf, type MachineId} from '../kernel/ids.ts'
import type {AnyEvent} from '../kernel/messages.ts'
import {maxInstant, plusMinutes, plusMs, type Instant} from '../kernel/time.ts'
import type {BookingEvent} from '../booking/events.ts'
import type {MachineEvent} from '../fleet/events.ts'
import {failOverLeadMs, orphanedAfterMs} from './booking.ts'
import type {HeldLease} from './lease-keeper.ts'
import {keepPlans} from './plans.ts'
import {createScheduler, type Naps, type Perform, type Scheduler} from './scheduler.ts'
import type {PowerDriver} from './driver-calls.ts'
import {lookAtMachine, type KnownMachine, type MachineWorkerParts} from './machine-worker.ts'
import {stepBooking, stepOffer, stepPurchase, type StepDone, type Work} from './steps.ts'

/** All there is to do now, for the first look after a start or a change of lease. */
export interface Backlog {
  bookingIds(): readonly string[]
  paidPurchaseIds(): readonly string[]
  machineIds(): readonly string[]
  /** Ids of the bookings on a machine that are confirmed or started. */
  bookingIdsOn(machineId: string): readonly string[]
}

export interface ProcessParts extends Omit<MachineWorkerParts, 'bookingsOn'> {
  readonly work: Work & Pick<MachineWorkerParts, 'bookingsOn'> & Backlog
  /** Resolves once the read models have folded up to here, or after a bounded time. */
  readonly waitFor: (commit: bigint) => Promise<unknown>
  /** Calls back after every batch of events the read models have folded; answers how to stop it. */
  readonly onEvents: (listener: (events: readonly AnyEvent[]) => void) => () => void
  readonly onError: (what: string, error: Error) => void
  /** See `SchedulerParts.naps`. */
  readonly naps?: Naps
}

const parallelSteps = 64
const parallelLooks = 256
const machinesFirstMsMax = 5_000
const stepAsideMs = 250
/** A booking whose machine was not looked at yet is touched when it was; this is in case that look fails. */
const lookPatienceMs = 5_000

/**
 * Runs the processes while the lease is held: bookings, purchases and the fleet's offers step by step, every machine
 * look by look. All they know is in the read models, so a new holder of the lease simply looks at everything once.
 */
export async function runProcesses(parts: ProcessParts, lease: HeldLease): Promise<void> {
  const {clock, timers, random, work} = parts
  const {held} = lease
  const ids = work.machineIds()
  const fleet: KnownFleet = {known: new Map(), lifted: 0, unseen: new Set(ids), offersToCheck: new Set(ids)}

  const perform = async (key: string): Promise<Instant | null> => {
    const id = key.slice(key.indexOf(':') + 1)
    if (key.startsWith('purchase:')) return after(await stepPurchase(parts, idOf<'Purchase'>(id)))
    const bookingId = idOf<'Booking'>(id)
    const now = clock.now()
    if (fleet.unseen.size > 0 && waitsForLook(work.booking(bookingId), fleet, now)) return plusMs(now, lookPatienceMs)
    return after(await stepBooking(parts, bookingId))
  }
  const after = async ({commit, lookAgainAt}: StepDone): Promise<Instant | null> => {
    if (commit === null) return lookAgainAt
    // The next step is taken from the read models; it must not be taken from what they were before this one.
    await parts.waitFor(commit)
    return clock.now()
  }

  const checkOffer = async (id: MachineId): Promise<void> => {
    if (!fleet.offersToCheck.delete(id)) return
    try {
      await stepOffer(parts, id)
    } catch (error) {
      fleet.offersToCheck.add(id)
      throw error
    }
  }
  const plans = keepPlans(id => work.bookingsOn(idOf<'Machine'>(id)))
  const worker = {...parts, bookingsOn: plans.bookingsOn, driverOf: rememberDrivers(parts.driverOf)}
  const look: Perform = async (machineId, othersFirst) => {
    const id = idOf<'Machine'>(machineId) as MachineId
    await checkOffer(id)
    const {lifted} = fleet
    const before = fleet.known.get(id) ?? null
    const {known, lookAgainAt, commit} = await lookAtMachine(worker, id, before, lease, othersFirst)
    // An operator's act during the look may not be in what the look saw.
    if (known === null || fleet.lifted !== lifted) fleet.known.delete(id)
    else fleet.known.set(id, known)
    if (fleet.unseen.has(id)) {
      if (commit !== null) await parts.waitFor(commit)
      fleet.unseen.delete(id)
      for (const bookingId of work.bookingIdsOn(id)) steps.touch(`booking:${bookingId}`)
    }
    return lookAgainAt
  }

  const common = {clock, timers, random, ...(parts.naps === undefined ? {} : {naps: parts.naps})}
  const onError = (key: string, error: Error): void => parts.onError(key, error)
  const looks = createScheduler({...common, onError, parallelMax: parallelLooks}, look)
  // When very many machines are due at once, their commands come first; what is written of bookings can wait a little.
  const asideMs = (): number => {
    const busySinceMs = looks.busySinceMs()
    return busySinceMs !== null && clock.monotonicMs() - busySinceMs < machinesFirstMsMax ? stepAsideMs : 0
  }
  const steps = createScheduler({...common, onError, parallelMax: parallelSteps, asideMs}, perform)

  const unsubscribe = parts.onEvents(events => {
    const now = clock.now()
    for (const event of events) plans.forget(event)
    for (const event of events) touch(event, {steps, looks, nearMs: parts.intervals.offMs}, work, fleet, now)
  })
  for (const id of work.bookingIds()) steps.touch(`booking:${id}`)
  for (const id of work.paidPurchaseIds()) steps.touch(`purchase:${id}`)
  for (const id of work.machineIds()) looks.touch(id)
  try {
    await Promise.all([steps.run(held), looks.run(held)])
  } finally {
    unsubscribe()
  }
}

/** What is known of the machines beyond the read models, under this lease. */
interface KnownFleet {
  /** States at the end of the last look: enough to tell whether the next one shows anything new. */
  readonly known: Map<string, KnownMachine>
  /** How many quarantines operators have lifted so far. */
  lifted: number
  /** Machines not looked at yet: what the read models say of them may be from long ago. */
  readonly unseen: Set<string>
  /** Machines whose offer in the calendar may not fit them; all others have not changed since it was made to fit. */
  readonly offersToCheck: Set<string>
}

/** A machine keeps the driver it was registered with. */
function rememberDrivers(driverOf: ProcessParts['driverOf']): ProcessParts['driverOf'] {
  const drivers = new Map<MachineId, PowerDriver>()
  return machineId => {
    const driver = drivers.get(machineId) ?? driverOf(machineId)
    if (driver !== null) drivers.set(machineId, driver)
    return driver
  }
}

/** A session is not begun or resumed on the word of somebody who stopped looking some time ago. */
function waitsForLook(row: ReturnType<Work['booking']>, fleet: KnownFleet, now: Instant): boolean {
  if (row === null || row.machineId === null || !fleet.unseen.has(row.machineId)) return false
  const {start, end} = row.terms.interval
  return (row.stage === 'confirmed' || row.stage === 'started') && start <= now && now < end
}

/** Whose situation an event changes. */
function touch(event: AnyEvent, schedulers: Schedulers, work: Backlog & Work, fleet: KnownFleet, now: Instant): void {
  const {steps, looks} = schedulers
  const {bookingId, machineId, purchaseId} = event.data as {bookingId?: string; machineId?: string; purchaseId?: string}
  if (purchaseId !== undefined) steps.touch(`purchase:${purchaseId}`)
  if (bookingId !== undefined) {
    touchBooking(event, bookingId, schedulers, work, now)
  } else if (machineId !== undefined) {
    // An operator may have changed what this process believes to know of the machine.
    if (event.type === 'QuarantineLifted') {
      fleet.known.delete(machineId)
      fleet.lifted++
    }
    if (!isOwnBusiness(event)) for (const id of work.bookingIdsOn(machineId)) steps.touch(`booking:${id}`)
    if (!tellsOfOthers.has(event.type)) return
    fleet.offersToCheck.add(machineId)
    looks.touch(machineId)
  }
}

/** Most bookings are made long before anything is to be done for them: their first looks are planned, not taken. */
function touchBooking(
  event: AnyEvent,
  bookingId: string,
  {steps, looks, nearMs}: Schedulers,
  work: Backlog & Work,
  now: Instant,
): void {
  const key = `booking:${bookingId}`
  switch (event.type) {
    case 'HoursHeld':
      steps.plan(key, plusMs(now, orphanedAfterMs))
      return
    case 'SlotAllocated':
      // Its confirmation follows, or the look planned for the hold.
      return
    case 'BookingConfirmed': {
      const {machineId, terms} = event.data as BookingConfirmed
      const {start} = terms.interval
      steps.plan(key, maxInstant(now, plusMs(start, -failOverLeadMs)))
      const warmUpFrom = plusMinutes(start, -terms.policy.warmUpMinutes)
      if (warmUpFrom < plusMs(now, nearMs)) looks.touch(machineId)
      return
    }
    default: {
      steps.touch(key)
      const on = event.type.startsWith('Booking') ? work.booking(bookingId)?.machineId : null
      if (on !== null && on !== undefined) looks.touch(on)
    }
  }
}

type BookingConfirmed = Extract<BookingEvent, {type: 'BookingConfirmed'}>['data']

interface Schedulers {
  readonly steps: Scheduler
  readonly looks: Scheduler
  /** A machine that is off is looked at this often: what is further away is seen in time. */
  readonly nearMs: number
}

/** Nothing changes for a booking before the machine is seen to have changed. */
function isOwnBusiness({type, data}: AnyEvent): boolean {
  if (type === 'PowerCommandIntended') {
    const {op, dueAt, at} = data as Extract<MachineEvent, {type: 'PowerCommandIntended'}>['data']
    return op === 'start' || dueAt > at
  }
  return ['PowerCommandWithdrawn', 'PowerCommandAccepted', 'PowerCommandFailed'].includes(type)
}

/** Events of a machine that its own looks did not write. */
const tellsOfOthers: ReadonlySet<string> = new Set([
  'MachineRegistered',
  'MachineOffered',
  'MachineWithdrawn',
  'MachineQuarantined',
  'QuarantineLifted',
])
