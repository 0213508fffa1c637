import {account, type AccountRefusal} from '../account/decider.ts'
import {accountStream} from '../account/events.ts'
import {booking, type Booking} from '../booking/decider.ts'
import {bookingStream} from '../booking/events.ts'
import {calendar, declinedBecause, machineHolding} from '../calendar/decider.ts'
import {calendarStream, type SlotRefusal} from '../calendar/events.ts'
import type {CommandMeta} from '../event-store/command.ts'
import type {Handler} from '../event-store/handler.ts'
import {OutcomeUnknown} from '../event-store/port.ts'
import {derivedCommandId, type BookingId} from '../kernel/ids.ts'
import {lookUp} from '../kernel/persistent-map.ts'
import type {BookingTerms} from '../kernel/terms.ts'
import type {Instant} from '../kernel/time.ts'

export type BookSlotRefusal = AccountRefusal | SlotRefusal

export type BookSlotAnswer = (
  {readonly ok: true; readonly booking: Booking} | {readonly ok: false; readonly refusal: BookSlotRefusal}
) & {
  /** Where the last of it was written, hours given back included; null: nothing was written. */
  readonly commit: bigint | null
  /** Up to where the log has to be read to see what the answer says; null: it is empty there. */
  readonly reached: bigint | null
}

export interface BookSlotCause extends Omit<CommandMeta, 'commandId'> {
  /** Now: whoever is so slow that what he has seen here may be forgotten meanwhile goes no further. */
  readonly begunAt: Instant
}

/**
 * Books a slot: three streams, one append each, safe to resume at any point.
 *
 *     account:  hours held        | refused → nothing has happened
 *     calendar: slot allocated    | declined → the hold is released, with the refusal in it
 *     booking:  confirmed           a new stream: cannot be refused
 *
 * The calendar settles it, once, either way. Were a refusal not written down, a slot given back a moment later could be
 * allocated by whoever finishes the booking while its first driver releases the hold: a booking nobody pays for.
 *
 * The hours are held only while the caller can still be waiting; from there on it goes to its end, whoever waits.
 *
 * Every step's command id follows from the booking's id, and every decider knows what it has decided before, so running
 * it again (a repeat by the caller, the lease holder after a crash) finishes what is open and gives the same answer.
 */
export async function bookSlot(
  handler: Handler,
  bookingId: BookingId,
  terms: BookingTerms,
  {correlationId, actor, arrivedAtMs, begunAt}: BookSlotCause,
): Promise<BookSlotAnswer> {
  const meta = (step: string): CommandMeta => ({correlationId, actor, commandId: derivedCommandId(step, bookingId)})
  const {userId, serviceId, poolId, interval} = terms

  const hold = {type: 'HoldHours', bookingId, terms} as const
  const held = await handler.handle(account, accountStream(userId), hold, {...meta('hold'), arrivedAtMs})
  if (!held.ok) return {ok: false, refusal: held.refusal, commit: null, reached: held.reached}
  const ended = lookUp(held.state.ended, bookingId)
  if (ended !== undefined) return answerAgain(handler, bookingId, ended.refusal, held.reached)
  // A repeat goes on under the terms of the first call: those are what the hold was made for.
  const agreed = lookUp(held.state.holds, bookingId)?.terms ?? terms

  const {warmUpMinutes, turnaroundMinutes} = agreed.policy
  const wish = {bookingId, userId, serviceId, interval, warmUpMinutes, turnaroundMinutes}
  const allocate = {type: 'AllocateSlot', wish, begunAt} as const
  const slot = await handler.handle(calendar, calendarStream(poolId), allocate, meta('allocate'))
  if (!slot.ok) {
    const why = `booking ${bookingId}: ${slot.refusal.type}`
    // Hours were held, and what became of them since is not known here: asked for again, it is found out.
    if (slot.refusal.type === 'BegunTooLongAgo') throw new OutcomeUnknown(why)
    throw new Error(why)
  }
  const refusal = declinedBecause(slot.state, bookingId)
  if (refusal !== null) {
    const reason = {type: 'refused', refusal} as const
    const release = {type: 'ReleaseHold', bookingId, reason} as const
    const released = await handler.handle(account, accountStream(userId), release, meta('release'))
    const commit = released.ok ? released.commit : null
    return {ok: false, refusal, commit, reached: latest(slot.reached, released.reached)}
  }
  const machineId = machineHolding(slot.state, bookingId)
  // Given back meanwhile: the booking was finished by somebody else and then cancelled.
  if (machineId === undefined) return answerAgain(handler, bookingId, null, latest(held.reached, slot.reached))

  const confirm = {type: 'ConfirmBooking', bookingId, terms: agreed, machineId} as const
  const confirmed = await handler.handle(booking, bookingStream(bookingId), confirm, meta('confirm'), {isNew: true})
  if (!confirmed.ok || confirmed.state === null) throw new Error(`booking ${bookingId} was not confirmed`)
  const reached = latest(held.reached, slot.reached, confirmed.reached)
  return {ok: true, booking: confirmed.state, commit: confirmed.commit, reached}
}

/** The answer of a booking that has come to its end already. */
async function answerAgain(
  handler: Handler,
  bookingId: BookingId,
  refusal: {readonly type: string} | null,
  reached: bigint | null,
): Promise<BookSlotAnswer> {
  // Refusals are stored as they were given; only this function's own refusals ever are.
  if (refusal !== null) return {ok: false, refusal: refusal as BookSlotRefusal, commit: null, reached}
  const state = await handler.load(booking, bookingStream(bookingId))
  if (state === null) throw new Error(`booking ${bookingId} has an ended hold but no events of its own`)
  return {ok: true, booking: state, commit: null, reached}
}

function latest(...positions: readonly (bigint | null)[]): bigint | null {
  return positions.reduce((last, each) => (last === null || (each !== null && each > last) ? each : last), null)
}
