import {z} from 'zod'
import {stored, type EventOf} from '../kernel/messages.ts'

export const catalogueCategory = 'catalogue'
/** There is one catalogue. */
export const catalogueStream = `${catalogueCategory}-main`

export const catalogueEvents = {
  /** A game service can be booked; listed again when its name or price changes. */
  ServiceListed: {
    schema: z.object({serviceId: stored.id<'Service'>(), name: z.string(), pricePerHour: stored.money}),
  },
  /** A realm can be booked in; the machines of its pool serve it. */
  RealmListed: {
    schema: z.object({realmId: stored.id<'Realm'>(), name: z.string(), poolId: stored.id<'Pool'>()}),
  },
  /** An hour pack is for sale. */
  PackListed: {
    schema: z.object({packId: stored.id<'Pack'>(), name: z.string(), minutes: stored.minutes, price: stored.money}),
  },
  /** From so many minutes in one booking on, its list price is so much lower. */
  DiscountSet: {schema: z.object({minutesMin: stored.minutes, percent: z.number().min(0).max(100)})},
} as const

export type CatalogueEvent = EventOf<typeof catalogueEvents>
