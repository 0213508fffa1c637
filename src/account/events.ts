import {z} from 'zod'
import type {UserId} from '../kernel/ids.ts'
import {stored, type EventOf} from '../kernel/messages.ts'
import {bookingTermsSchema} from '../kernel/terms.ts'

export const accountCategory = 'account'

export function accountStream(userId: UserId): string {
  return `${accountCategory}-${userId}`
}

/** How many minutes a hold took from which grant. */
const draws = z.array(z.object({grantId: stored.id<'Grant'>(), minutes: stored.minutes}))
export type Draw = z.output<typeof draws>[number]

const source = z.discriminatedUnion('type', [
  z.object({type: z.literal('purchase'), purchaseId: stored.id<'Purchase'>()}),
  z.object({type: z.literal('operator'), reason: z.string()}),
])
export type GrantSource = z.output<typeof source>

/** Why held minutes went back. A refusal is kept word for word, so that a repeat of the command gets the same answer. */
const releaseReason = z.discriminatedUnion('type', [
  z.object({type: z.literal('refused'), refusal: z.looseObject({type: z.string()})}),
  z.object({type: z.literal('cancelled')}),
  z.object({type: z.literal('failed')}),
])
export type ReleaseReason = z.output<typeof releaseReason>

export const accountEvents = {
  /** A lot of minutes came in. */
  HoursGranted: {
    schema: z.object({
      grantId: stored.id<'Grant'>(),
      minutes: stored.minutes,
      source,
      /** Grants of a lower number are drawn first. */
      priority: z.int(),
      effectiveAt: stored.instant,
      expiresAt: stored.instant.nullable(),
    }),
  },
  /** Minutes are set aside for a booking; opens the booking process. */
  HoursHeld: {
    schema: z.object({bookingId: stored.id<'Booking'>(), minutes: stored.minutes, draws, terms: bookingTermsSchema}),
  },
  /** Held minutes were used. */
  HoursCaptured: {schema: z.object({bookingId: stored.id<'Booking'>(), minutes: stored.minutes, draws})},
  /** Held minutes went back because the customer did not use them, or the booking was refused. */
  HoursReleased: {
    schema: z.object({bookingId: stored.id<'Booking'>(), minutes: stored.minutes, draws, reason: releaseReason}),
  },
  /** Held minutes went back because the machine was not there for them: our fault. */
  HoursCompensated: {schema: z.object({bookingId: stored.id<'Booking'>(), minutes: stored.minutes, draws})},
  /** What was left of a grant when its time was over. */
  HoursExpired: {schema: z.object({grantId: stored.id<'Grant'>(), minutes: stored.minutes})},
} as const

export type AccountEvent = EventOf<typeof accountEvents>
