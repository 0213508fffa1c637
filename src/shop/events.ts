import {z} from 'zod'
import type {PurchaseId} from '../kernel/ids.ts'
import {stored, type EventOf} from '../kernel/messages.ts'

export const purchaseCategory = 'purchase'

export function purchaseStream(purchaseId: PurchaseId): string {
  return `${purchaseCategory}-${purchaseId}`
}

const purchaseId = stored.id<'Purchase'>()
const at = stored.instant

export const purchaseEvents = {
  /** A customer wants a pack; price and minutes are pinned here. */
  CheckoutStarted: {
    schema: z.object({
      purchaseId,
      userId: stored.id<'User'>(),
      packId: stored.id<'Pack'>(),
      minutes: stored.minutes,
      price: stored.money,
      gateway: z.string(),
      at,
    }),
  },
  /** The money arrived; `paymentRef` is the gateway's own name for the payment. */
  PaymentReceived: {schema: z.object({purchaseId, amount: stored.money, paymentRef: z.string(), at})},
  /** The minutes were granted to the customer's account. */
  PurchaseFulfilled: {schema: z.object({purchaseId, grantId: stored.id<'Grant'>(), at})},
} as const

export type PurchaseEvent = EventOf<typeof purchaseEvents>
