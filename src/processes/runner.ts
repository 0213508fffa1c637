import {idOf, type MachineId} from '../kernel/ids.ts'
import type {AnyEvent} from '../kernel/messages.ts'
import type {Instant} from '../kernel/time.ts'
import type {Machine} from '../fleet/decider.ts'
import {createScheduler, type Scheduler} from './scheduler.ts'
import {lookAtMachine, type MachineWorkerParts} from './machine-worker.ts'
import {stepBooking, stepOffer, stepPurchase, type StepParts, type Work} from './steps.ts'

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
}

const parallelSteps = 64
const parallelLooks = 256

/**
 * Runs the processes while the lease is held: bookings, purchases and the fleet's offers step by step, every machine
 * look by look. All they know is in the read models, so a new holder of the lease simply looks at everything once.
 */
export async function runProcesses(parts: ProcessParts, epoch: number, held: AbortSignal): Promise<void> {
  const {clock, timers, random, work} = parts
  const stepParts: StepParts = parts
  const known = new Map<string, Machine>()

  const perform = async (key: string): Promise<Instant | null> => {
    const id = key.slice(key.indexOf(':') + 1)
    const done = key.startsWith('booking:')
      ? await stepBooking(stepParts, idOf<'Booking'>(id))
      : await stepPurchase(stepParts, idOf<'Purchase'>(id))
    // The next step is taken from the read models; it must not be taken from what they were before this one.
    if (done.commit !== null) await parts.waitFor(done.commit)
    return done.commit === null ? done.lookAgainAt : clock.now()
  }

  const look = async (machineId: string): Promise<Instant | null> => {
    const id = idOf<'Machine'>(machineId) as MachineId
    if (work.machine(id) === null) return null
    await stepOffer(stepParts, id)
    const worker = {...parts, bookingsOn: work.bookingsOn}
    const {state, lookAgainAt} = await lookAtMachine(worker, id, known.get(id) ?? null, {epoch, held})
    if (state === null) known.delete(id)
    else known.set(id, state)
    return lookAgainAt
  }

  const common = {clock, timers, random}
  const onError = (key: string, error: Error): void => parts.onError(key, error)
  const steps = createScheduler({...common, onError, parallelMax: parallelSteps}, perform)
  const looks = createScheduler({...common, onError, parallelMax: parallelLooks}, look)

  const unsubscribe = parts.onEvents(events => {
    for (const event of events) touch(event, steps, looks, work, known)
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

/** Whose situation an event changes. */
function touch(
  event: AnyEvent,
  steps: Scheduler,
  looks: Scheduler,
  work: Backlog & Work,
  known: Map<string, Machine>,
): void {
  const {bookingId, machineId, purchaseId} = event.data as {bookingId?: string; machineId?: string; purchaseId?: string}
  if (bookingId !== undefined) steps.touch(`booking:${bookingId}`)
  if (purchaseId !== undefined) steps.touch(`purchase:${purchaseId}`)
  if (event.type.startsWith('Booking') && bookingId !== undefined) {
    const on = machineId ?? work.booking(bookingId)?.machineId
    if (on !== null && on !== undefined) looks.touch(on)
  } else if (machineId !== undefined && bookingId === undefined) {
    // An operator may have changed what this process believes to know of the machine.
    if (event.type === 'QuarantineLifted') known.delete(machineId)
    for (const id of work.bookingIdsOn(machineId)) steps.touch(`booking:${id}`)
    if (tellsOfOthers.has(event.type)) looks.touch(machineId)
  }
}

/** Events of a machine that its own looks did not write. */
const tellsOfOthers: ReadonlySet<string> = new Set([
  'MachineRegistered',
  'MachineOffered',
  'MachineWithdrawn',
  'MachineQuarantined',
  'QuarantineLifted',
])
