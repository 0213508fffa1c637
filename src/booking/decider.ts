import {accept, assertNever, refuse, type Decider, type Decision} from '../kernel/decider.ts'
import type {BookingId, CommandId, MachineId, UserId} from '../kernel/ids.ts'
import type {BookingTerms} from '../kernel/terms.ts'
import {maxInstant, minInstant, msBetween, type Instant} from '../kernel/time.ts'
import {bookingCategory, type BookingEvent} from './events.ts'
import {chargedBeforeStart, startedMinutes} from './policies.ts'

export type BookingCommand =
  | {
      readonly type: 'ConfirmBooking'
      readonly bookingId: BookingId
      readonly terms: BookingTerms
      readonly machineId: MachineId
    }
  | {
      readonly type: 'CancelBooking'
      readonly commandId: CommandId
      readonly by: UserId
      /** Operators may cancel anybody's booking. */
      readonly asOperator: boolean
    }
  /** The machine has been ready since `readySince`; the session begins once the interval has. */
  | {readonly type: 'StartBooking'; readonly readySince: Instant}
  | {readonly type: 'InterruptBooking'; readonly at: Instant}
  | {readonly type: 'ResumeBooking'; readonly at: Instant}
  | {readonly type: 'FailOverBooking'; readonly fromMachineId: MachineId; readonly toMachineId: MachineId}
  | {readonly type: 'EndBooking'}
  | {readonly type: 'FailBooking'; readonly reason: string}

export type BookingRefusal =
  | {readonly type: 'NoSuchBooking'}
  | {readonly type: 'NotYours'}
  | {readonly type: 'AlreadyEnded'; readonly status: BookingStatus}
  /** The interval has not come yet, or not passed yet. */
  | {readonly type: 'TooEarly'; readonly dueAt: Instant}

export type BookingStatus = 'confirmed' | 'started' | 'ended' | 'cancelled' | 'failed'

export interface Booking {
  readonly bookingId: BookingId
  readonly terms: BookingTerms
  readonly machineId: MachineId
  readonly status: BookingStatus
  /** Since when the customer is without a ready machine; counts from the interval's start on. Null: it is there. */
  readonly downSince: Instant | null
  /** Since when it is there: time before that is settled. Null before the session. */
  readonly upSince: Instant | null
  /** Time without a machine inside the interval, before `downSince`. */
  readonly lostMs: number
  readonly cancelledByCommand: string | null
}

export type BookingState = Booking | null

export const booking: Decider<BookingState, BookingCommand, BookingEvent, BookingRefusal> = {
  category: bookingCategory,
  initial: null,

  decide(command, state, {now}) {
    if (command.type === 'ConfirmBooking') {
      if (state !== null) return accept()
      const {bookingId, terms, machineId} = command
      return accept({type: 'BookingConfirmed', data: {bookingId, terms, machineId, at: now}})
    }
    if (state === null) return refuse({type: 'NoSuchBooking'})
    if (command.type === 'CancelBooking') return decideCancel(command, state, now)
    if (state.status !== 'confirmed' && state.status !== 'started') return accept()
    return decideSession(command, state, now)
  },

  evolve(state, event) {
    if (event.type === 'BookingConfirmed') {
      const {bookingId, terms, machineId} = event.data
      const down = {downSince: terms.interval.start, upSince: null, lostMs: 0, cancelledByCommand: null}
      return {bookingId, terms, machineId, status: 'confirmed', ...down}
    }
    if (state === null) return state
    switch (event.type) {
      case 'BookingStarted':
        return {...withoutDownTime(state, event.data.at), status: 'started'}
      case 'BookingInterrupted':
        return {...state, downSince: event.data.at}
      case 'BookingResumed':
        return withoutDownTime(state, event.data.at)
      case 'BookingFailedOver':
        return {...state, machineId: event.data.toMachineId}
      case 'BookingEnded':
        return {...state, status: 'ended'}
      case 'BookingCancelled':
        return {...state, status: 'cancelled', cancelledByCommand: event.data.commandId}
      case 'BookingFailed':
        return {...state, status: 'failed'}
      default:
        return assertNever(event)
    }
  },
}

function decideCancel(
  command: Extract<BookingCommand, {type: 'CancelBooking'}>,
  state: Booking,
  now: Instant,
): Decision<BookingEvent, BookingRefusal> {
  if (!command.asOperator && command.by !== state.terms.userId) return refuse({type: 'NotYours'})
  if (state.cancelledByCommand === command.commandId) return accept()
  const {start, end} = state.terms.interval
  if (state.status !== 'confirmed' && state.status !== 'started') {
    return refuse({type: 'AlreadyEnded', status: state.status})
  }
  if (now >= end) return refuse({type: 'AlreadyEnded', status: 'ended'})
  const {bookingId, terms} = state
  const {by, commandId} = command
  const settled =
    now < start
      ? {usedMinutes: chargedBeforeStart(terms.policy, {start, minutes: terms.minutes}, now), lostMinutes: 0}
      : settlementOf(state, Math.min(terms.minutes, startedMinutes(start, now)), now)
  return accept({type: 'BookingCancelled', data: {bookingId, at: now, by, commandId, ...settled}})
}

type SessionCommand = Exclude<BookingCommand, {type: 'ConfirmBooking'} | {type: 'CancelBooking'}>

function decideSession(command: SessionCommand, state: Booking, now: Instant): Decision<BookingEvent, BookingRefusal> {
  const {bookingId, terms} = state
  const {start, end} = terms.interval
  switch (command.type) {
    case 'StartBooking': {
      if (state.status === 'started') return accept()
      if (now < start) return refuse({type: 'TooEarly', dueAt: start})
      // The clock may have been set back since the machine was seen.
      const at = maxInstant(start, minInstant(command.readySince, now))
      return at >= end ? accept() : accept({type: 'BookingStarted', data: {bookingId, at}})
    }
    case 'InterruptBooking':
      if (state.status !== 'started' || state.downSince !== null) return accept()
      return accept({type: 'BookingInterrupted', data: {bookingId, at: within(state, command.at)}})
    case 'ResumeBooking':
      if (state.status !== 'started' || state.downSince === null) return accept()
      return accept({type: 'BookingResumed', data: {bookingId, at: within(state, command.at)}})
    case 'FailOverBooking': {
      const {fromMachineId, toMachineId} = command
      if (state.machineId !== fromMachineId) return accept()
      const moved = {bookingId, fromMachineId, toMachineId, at: now}
      const events: BookingEvent[] = [{type: 'BookingFailedOver', data: moved}]
      if (state.status === 'started' && state.downSince === null) {
        events.unshift({type: 'BookingInterrupted', data: {bookingId, at: within(state, now)}})
      }
      return accept(...events)
    }
    case 'EndBooking': {
      if (now < end) return refuse({type: 'TooEarly', dueAt: end})
      const settled = settlementOf(state, terms.minutes, end)
      if (state.status === 'confirmed') {
        return accept({type: 'BookingFailed', data: {bookingId, at: end, reason: 'NeverReady', ...settled}})
      }
      return accept({type: 'BookingEnded', data: {bookingId, at: end, ...settled}})
    }
    case 'FailBooking': {
      const at = minInstant(now, end)
      const settled = settlementOf(state, Math.min(terms.minutes, startedMinutes(start, at)), at)
      return accept({type: 'BookingFailed', data: {bookingId, at, reason: command.reason, ...settled}})
    }
    default:
      return assertNever(command)
  }
}

/** Of so many elapsed minutes, those without a machine are lost (whole minutes only), the others were used. */
function settlementOf(
  state: Booking,
  elapsedMinutes: number,
  now: Instant,
): {usedMinutes: number; lostMinutes: number} {
  const lostMs = state.lostMs + (state.downSince === null ? 0 : Math.max(0, msBetween(state.downSince, now)))
  const neverThere = state.status === 'confirmed'
  const lostMinutes = neverThere ? elapsedMinutes : Math.min(elapsedMinutes, Math.floor(lostMs / 60_000))
  return {usedMinutes: elapsedMinutes - lostMinutes, lostMinutes}
}

function withoutDownTime(state: Booking, at: Instant): Booking {
  if (state.downSince === null) return state
  const lostMs = state.lostMs + Math.max(0, msBetween(state.downSince, at))
  return {...state, downSince: null, upSince: maxInstant(state.downSince, at), lostMs}
}

/** Kept within the interval, and not before the last change: no moment is counted twice, however late news comes. */
function within(state: Booking, at: Instant): Instant {
  const {start, end} = state.terms.interval
  return maxInstant(state.downSince ?? state.upSince ?? start, minInstant(maxInstant(start, at), end))
}
