import {CameTooLate, type CommandMeta, type Handled} from '../event-store/command.ts'
import type {Handler} from '../event-store/handler.ts'
import {machine, type MachineCommand, type MachineRefusal} from '../fleet/decider.ts'
import {machineStream, type MachineEvent} from '../fleet/events.ts'
import {comeDue, type Machine, type MachineState, type IntendedCommand} from '../fleet/machine-state.ts'
import type {PowerTimings} from '../fleet/power.ts'
import {derivedCommandId, type IdSource, type MachineId} from '../kernel/ids.ts'
import {msBetween, type Clock, type Instant} from '../kernel/time.ts'
import {callDriver, observe, type DriverCallParts, type PowerDriver} from './driver-calls.ts'
import type {HeldLease} from './lease-keeper.ts'
import {aheadOf, desiredPower, nextLookAt, type LookIntervals, type PoweredBooking, type Wishes} from './power.ts'

export interface MachineWorkerParts extends DriverCallParts {
  readonly handler: Handler
  readonly ids: IdSource
  readonly timings: PowerTimings
  readonly intervals: LookIntervals
  /** Null: this node has no driver of that kind. */
  readonly driverOf: (machineId: MachineId) => PowerDriver | null
  readonly bookingsOn: (machineId: MachineId) => readonly PoweredBooking[]
}

/** What a worker knows of a machine without asking the store. */
export interface KnownMachine {
  readonly state: Machine
  /** When the moments in the state were, on the monotonic clock: time-outs must not follow a wall clock that is set. */
  readonly marks: ReadonlyMap<Instant, number>
}

/** What a look left behind; `known` is null when it must be asked for anew, `commit` when nothing was written. */
export interface Looked {
  readonly known: KnownMachine | null
  readonly lookAgainAt: Instant | null
  readonly commit: bigint | null
}

/**
 * One look at one machine: see, decide, record the intent, and only then call the driver. What the driver answers is
 * recorded too, but proves nothing; the next look does. Never two at once for one machine: the scheduler sees to it.
 * What can be foreseen is intended a little earlier, so that nothing but the call is left to do at its moment.
 * `othersFirst` resolves when no other look is due.
 */
export async function lookAtMachine(
  parts: MachineWorkerParts,
  machineId: MachineId,
  known: KnownMachine | null,
  lease: HeldLease,
  othersFirst: () => Promise<void>,
): Promise<Looked> {
  const {handler, clock, ids, timings, intervals} = parts
  const driver = parts.driverOf(machineId)
  const planned = known === null ? null : dueNow(known.state, lease, clock.now())
  if (planned !== null && driver !== null) {
    return carryOut(parts, {machineId, driver, intent: planned, lease, othersFirst})
  }

  const sighting = await observe(parts, driver, lease.held)
  // A look that was cut short saw nothing.
  if (!lease.isHeld()) return unknown(null)
  const now = clock.now()
  const bookings = parts.bookingsOn(machineId)
  const wishes = desiredPower(bookings, now)
  const again = (state: Machine, commit: bigint | null): Looked => lookedAt(parts, state, wishes, known, commit)

  const powerCommandId = ids.uuid()
  const ages = agesOf(known, clock)
  const ahead = aheadOf(bookings, wishes.until, now, intervals)
  const wish = {desired: wishes.desired, ahead, epoch: lease.epoch, powerCommandId}
  const look = {type: 'LookAtMachine', sighting, ...wish, timings, ages} as const
  // Most looks show nothing new; the last known state is enough to tell, without asking the store.
  if (known !== null && changesNothing(known.state, look, now)) return again(known.state, null)

  const looked = await send(handler, machineId, look, powerCommandId, lease).catch(orTooLate)
  if (looked?.ok !== true || looked.state === null) return unknown(null)
  const intent = looked.events.find(event => event.type === 'PowerCommandIntended')
  const isDue = intent !== undefined && intent.data.dueAt <= intent.data.at
  if (!isDue || driver === null) return again(looked.state, looked.commit)
  const act: Act = {machineId, driver, intent: intent.data, wishes, known, lease, othersFirst}
  return tell(parts, act, looked.commit)
}

/** A command that this holder of the lease has planned, and whose moment has come. */
function dueNow({planned}: Machine, lease: HeldLease, now: Instant): IntendedCommand | null {
  return planned !== null && planned.epoch === lease.epoch && planned.dueAt <= now ? planned : null
}

/** Sends a planned command, unless what is wanted has changed meanwhile. */
async function carryOut(parts: MachineWorkerParts, act: Omit<Act, 'wishes' | 'known'>): Promise<Looked> {
  const {handler, clock} = parts
  const {machineId, intent} = act
  const wishes = desiredPower(parts.bookingsOn(machineId), clock.now())
  if ((wishes.desired?.for ?? null) === intent.wish) return tell(parts, {...act, wishes, known: null}, null)
  const {powerCommandId} = intent
  const left = await send(handler, machineId, {type: 'WithdrawPowerCommand', powerCommandId}, powerCommandId)
  return {known: null, lookAgainAt: clock.now(), commit: left.ok ? left.commit : null}
}

/** One call of a driver: what is in the log of it already, and what was known and wanted when it was decided. */
interface Act {
  readonly machineId: MachineId
  readonly driver: PowerDriver
  readonly intent: IntendedCommand
  readonly wishes: Wishes
  readonly known: KnownMachine | null
  readonly lease: HeldLease
  readonly othersFirst: () => Promise<void>
}

/** Calls the driver and writes down what it says. */
async function tell(
  parts: MachineWorkerParts,
  {machineId, driver, intent, wishes, known, lease, othersFirst}: Act,
  commit: bigint | null,
): Promise<Looked> {
  // The lease may have run out since the intent was decided: its successor will see the intent and look first.
  if (!lease.isHeld()) return unknown(commit)
  const answer = await callDriver(parts, driver, intent, lease.held)
  // What the driver said can be written down a little later; other machines' commands cannot wait.
  await othersFirst()
  const settled = await send(parts.handler, machineId, answer, intent.powerCommandId)
  if (!settled.ok || settled.state === null) return {known: null, lookAgainAt: parts.clock.now(), commit}
  return lookedAt(parts, settled.state, wishes, known, settled.commit ?? commit)
}

function send(
  handler: Handler,
  machineId: MachineId,
  command: MachineCommand,
  powerCommandId: string,
  /** Nothing new is decided under a lease that has run out. */
  lease?: HeldLease,
): Promise<Handled<MachineState, MachineEvent, MachineRefusal>> {
  const meta = metaOf(command.type, powerCommandId)
  const bound = lease === undefined ? meta : {...meta, onlyWhile: () => lease.isHeld()}
  return handler.handle(machine, machineStream(machineId), command, bound)
}

/** The lease ran out while the look waited to be decided: whoever has it now looks for himself. */
function orTooLate(error: unknown): null {
  if (error instanceof CameTooLate) return null
  throw error
}

function lookedAt(
  {clock, intervals}: MachineWorkerParts,
  state: Machine,
  {desired, until}: Wishes,
  known: KnownMachine | null,
  commit: bigint | null,
): Looked {
  const now = clock.now()
  return {
    known: {state, marks: marksOf(state, known?.marks, clock)},
    lookAgainAt: nextLookAt(comeDue(state, now), desired, until, now, intervals),
    commit,
  }
}

function unknown(commit: bigint | null): Looked {
  return {known: null, lookAgainAt: null, commit}
}

/**
 * A moment that is new in the state was just now, or is from before this worker's time: the wall clock tells when. What
 * began in the future by it began before it was set back, nobody knows how long ago.
 */
function marksOf(
  {phaseSince, lastCommandAt, retryAt}: Machine,
  marks: ReadonlyMap<Instant, number> | undefined,
  clock: Clock,
): ReadonlyMap<Instant, number> {
  const nowMs = clock.monotonicMs()
  const kept = new Map<Instant, number>()
  for (const moment of [phaseSince, lastCommandAt, retryAt]) {
    if (moment === null) continue
    const aheadMs = msBetween(clock.now(), moment)
    kept.set(moment, marks?.get(moment) ?? nowMs + (moment === retryAt ? aheadMs : Math.min(0, aheadMs)))
  }
  return kept
}

function agesOf(known: KnownMachine | null, clock: Clock): Readonly<Record<string, number>> {
  const nowMs = clock.monotonicMs()
  return Object.fromEntries([...(known?.marks ?? [])].map(([moment, atMs]) => [moment, nowMs - atMs]))
}

function changesNothing(known: Machine, look: MachineCommand, now: Instant): boolean {
  const decision = machine.decide(look, known, {now})
  return decision.ok && decision.events.length === 0
}

function metaOf(step: string, powerCommandId: string): CommandMeta {
  const commandId = derivedCommandId(step, powerCommandId)
  return {commandId, correlationId: powerCommandId, actor: {type: 'process', name: 'power'}}
}
