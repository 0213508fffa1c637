import {z} from 'zod'
import type {BookingId} from '../kernel/ids.ts'
import {stored, type EventOf} from '../kernel/messages.ts'
import {bookingTermsSchema} from '../kernel/terms.ts'

export const bookingCategory = 'booking'

export function bookingStream(bookingId: BookingId): string {
  return `${bookingCategory}-${bookingId}`
}

const bookingId = stored.id<'Booking'>()
/** How the booked minutes are settled: used are captured, lost are our fault, the rest goes back. */
const settled = {usedMinutes: stored.minutes, lostMinutes: stored.minutes}

export const bookingEvents = {
  /** Hours are held and a machine is allocated: the booking stands. */
  BookingConfirmed: {
    schema: z.object({
      bookingId,
      terms: bookingTermsSchema,
      machineId: stored.id<'Machine'>(),
      at: stored.instant,
    }),
  },
  /** The session began: the interval has begun and the machine is ready. */
  BookingStarted: {schema: z.object({bookingId, at: stored.instant})},
  /** The machine went away in the middle of the session. */
  BookingInterrupted: {schema: z.object({bookingId, at: stored.instant})},
  BookingResumed: {schema: z.object({bookingId, at: stored.instant})},
  /** The booking moved to another machine of its pool, because its own failed it. */
  BookingFailedOver: {
    schema: z.object({
      bookingId,
      fromMachineId: stored.id<'Machine'>(),
      toMachineId: stored.id<'Machine'>(),
      at: stored.instant,
    }),
  },
  BookingEnded: {schema: z.object({bookingId, at: stored.instant, ...settled})},
  BookingCancelled: {
    schema: z.object({bookingId, at: stored.instant, by: stored.id<'User'>(), commandId: z.string(), ...settled}),
  },
  /** No machine could be had for it; all that was not used goes back. */
  BookingFailed: {schema: z.object({bookingId, at: stored.instant, reason: z.string(), ...settled})},
} as const

export type BookingEvent = EventOf<typeof bookingEvents>
