import {z} from 'zod'
import {stored} from './messages.ts'

/**
 * What a customer and the house agreed on: the request, its price and the policy in force at that moment. The hold on
 * the account carries it, and so does the confirmation, so that a booking interrupted half-way is finished on the same
 * terms and a later change of price or policy never reaches an agreement already made.
 */
export const bookingTermsSchema = z.object({
  userId: stored.id<'User'>(),
  serviceId: stored.id<'Service'>(),
  realmId: stored.id<'Realm'>(),
  poolId: stored.id<'Pool'>(),
  interval: stored.interval,
  /** IANA zone in which a person chose the time; null when an instant was given. */
  zone: z.string().nullable(),
  /** Minutes drawn from the account: the length of the interval. */
  minutes: stored.minutes,
  /** The list value of the booking, for comparison and receipts; what is paid with is minutes. */
  price: z.object({list: stored.money, discountPercent: z.number(), total: stored.money}),
  policy: z.object({
    warmUpMinutes: stored.minutes,
    turnaroundMinutes: stored.minutes,
    /**
     * Before the start: the first tier whose notice is still kept gives the share charged.
     * After the start, used time is charged per started minute.
     */
    cancellationTiers: z.array(z.object({noticeMinutesMin: stored.minutes, chargePercent: z.number().min(0).max(100)})),
  }),
})

export type BookingTerms = z.output<typeof bookingTermsSchema>
export type PolicySnapshot = BookingTerms['policy']

/** The part of the terms the customer chose: two commands with one id must agree on it. */
export function wishOf(terms: BookingTerms): string {
  return JSON.stringify([terms.userId, terms.serviceId, terms.realmId, terms.interval.start, terms.interval.end])
}
