import {account} from '../account/decider.ts'
import {accountStream} from '../account/events.ts'
import {booking, type BookingCommand} from '../booking/decider.ts'
import {bookingStream} from '../booking/events.ts'
import {calendar, machineHolding} from '../calendar/decider.ts'
import {calendarStream} from '../calendar/events.ts'
import type {CommandMeta} from '../event-store/command.ts'
import type {Handler} from '../event-store/handler.ts'
import {assertNever} from '../kernel/decider.ts'
import {derivedCommandId, idOf, type BookingId, type MachineId, type PurchaseId, type ServiceId} from '../kernel/ids.ts'
import type {Clock, Instant} from '../kernel/time.ts'
import {plusMs} from '../kernel/time.ts'
import {bookSlot} from './book-slot.ts'
import {failOverAgainAt, nextBookingStep, type BookedMachine, type BookingStep, type BookingWork} from './booking.ts'
import {shouldOffer} from './power.ts'
import {fulfilPurchase} from './shop.ts'

/** The to-do lists, read from the node's own read models. */
export interface Work {
  booking(bookingId: string): (BookingWork & {readonly machineId: string | null}) | null
  purchase(purchaseId: string): {readonly userId: string; readonly minutes: number; readonly paid: boolean} | null
  machine(machineId: string): (BookedMachine & MachineListing) | null
}

export interface MachineListing {
  readonly poolId: string
  readonly services: readonly string[]
  readonly offered: boolean
}

export interface StepParts {
  readonly handler: Handler
  readonly clock: Clock
  readonly work: Work
}

/** What came of a step: written up to `commit` (null: nothing new), and when to look again if nothing else happens. */
export interface StepDone {
  readonly commit: bigint | null
  readonly lookAgainAt: Instant | null
}

const idle: StepDone = {commit: null, lookAgainAt: null}
/** A step that found its wish already fulfilled waits for the read model to say so, and asks again after this. */
const settledLookMs = 30_000

/** Takes one booking one step on. */
export async function stepBooking(parts: StepParts, bookingId: BookingId): Promise<StepDone> {
  const {handler, clock, work} = parts
  const row = work.booking(bookingId)
  if (row === null) return idle
  const now = clock.now()
  const machine = row.machineId === null ? null : work.machine(row.machineId)
  const step = nextBookingStep(row, machine, now)
  if (step.do === 'nothing') return {commit: null, lookAgainAt: step.lookAgainAt}
  if (step.do === 'failOver') return failOver(parts, bookingId, row, step.mayFail)
  // A session can be interrupted and resumed twice at what counts as one moment: each time is a command of its own.
  const times = 'at' in step ? [step.at, now] : []
  const meta = metaOf('booking', step.do, bookingId, ...times)
  const {userId, poolId} = row.terms
  switch (step.do) {
    case 'finishBooking': {
      const answer = await bookSlot(handler, bookingId, row.terms, {...meta, begunAt: now})
      return written(clock, answer.ok ? answer.commit : null)
    }
    case 'settle': {
      const {usedMinutes, lostMinutes, because} = step.outcome
      const reason = {type: because === 'failed' ? 'failed' : 'cancelled'} as const
      const command = {type: 'SettleHold', bookingId, usedMinutes, lostMinutes, reason} as const
      const settled = await handler.handle(account, accountStream(userId), command, meta)
      return written(clock, settled.ok ? settled.commit : null)
    }
    case 'giveSlotBack': {
      const command = {type: 'ShortenAllocation', bookingId, end: step.end} as const
      const freed = await handler.handle(calendar, calendarStream(poolId), command, meta)
      // So long over that the calendar has forgotten it: there is nothing to give back, and no use in asking again.
      return freed.ok ? written(clock, freed.commit) : idle
    }
    default: {
      const done = await handler.handle(booking, bookingStream(bookingId), commandOf(step), meta)
      return written(clock, done.ok ? done.commit : null)
    }
  }
}

export async function stepPurchase(parts: StepParts, purchaseId: PurchaseId): Promise<StepDone> {
  const {handler, clock, work} = parts
  const row = work.purchase(purchaseId)
  if (row === null || !row.paid) return idle
  const paid = {purchaseId, userId: idOf<'User'>(row.userId), minutes: row.minutes}
  const cause = {correlationId: purchaseId, actor: {type: 'process', name: 'shop'}} as const
  return written(clock, await fulfilPurchase(handler, paid, cause))
}

/** Keeps the calendar's offer in step with the machine: what is quarantined takes no new bookings. */
export async function stepOffer(parts: StepParts, machineId: MachineId): Promise<bigint | null> {
  const {handler, clock, work} = parts
  const row = work.machine(machineId)
  if (row === null || row.offered === shouldOffer(row)) return null
  const stream = calendarStream(idOf<'Pool'>(row.poolId))
  const services = row.services.map(service => idOf<'Service'>(service) as ServiceId)
  const command = shouldOffer(row)
    ? ({type: 'OfferMachine', machineId, services} as const)
    : ({type: 'WithdrawMachine', machineId} as const)
  const done = await handler.handle(calendar, stream, command, metaOf('fleet', command.type, machineId, clock.now()))
  return done.ok ? done.commit : null
}

async function failOver(
  parts: StepParts,
  bookingId: BookingId,
  row: BookingWork & {readonly machineId: string | null},
  mayFail: boolean,
): Promise<StepDone> {
  const {handler, clock} = parts
  if (row.machineId === null) return idle
  const fromMachineId = idOf<'Machine'>(row.machineId) as MachineId
  const stream = bookingStream(bookingId)
  const move = {type: 'FailOverAllocation', bookingId, fromMachineId} as const
  const moveMeta = metaOf('booking', 'failOver', bookingId, fromMachineId)
  const moved = await handler.handle(calendar, calendarStream(row.terms.poolId), move, moveMeta)
  if (!moved.ok) {
    if (!mayFail) return {commit: null, lookAgainAt: failOverAgainAt(row, clock.now())}
    const fail = {type: 'FailBooking', reason: moved.refusal.type} as const
    const failed = await handler.handle(booking, stream, fail, metaOf('booking', 'fail', bookingId))
    return written(clock, failed.ok ? failed.commit : null)
  }
  const toMachineId = machineHolding(moved.state, bookingId)
  if (toMachineId === undefined) return written(clock, null)
  const follow = {type: 'FailOverBooking', fromMachineId, toMachineId} as const
  const done = await handler.handle(booking, stream, follow, metaOf('booking', 'follow', bookingId, fromMachineId))
  return written(clock, done.ok ? done.commit : moved.commit)
}

type SessionStep = Extract<BookingStep, {do: 'start' | 'interrupt' | 'resume' | 'end'}>

function commandOf(step: SessionStep): BookingCommand {
  switch (step.do) {
    case 'start':
      return {type: 'StartBooking', readySince: step.readySince}
    case 'interrupt':
      return {type: 'InterruptBooking', at: step.at}
    case 'resume':
      return {type: 'ResumeBooking', at: step.at}
    case 'end':
      return {type: 'EndBooking'}
    default:
      return assertNever(step)
  }
}

function written(clock: Clock, commit: bigint | null): StepDone {
  return {commit, lookAgainAt: commit === null ? plusMs(clock.now(), settledLookMs) : null}
}

function metaOf(process: string, ...cause: readonly string[]): CommandMeta {
  const commandId = derivedCommandId(process, ...cause)
  return {commandId, correlationId: cause[1] ?? commandId, actor: {type: 'process', name: process}}
}
