import {account, type AccountRefusal} from '../account/decider.ts'
import {accountStream} from '../account/events.ts'
import type {Pack} from '../catalogue/decider.ts'
import type {Handler} from '../event-store/handler.ts'
import {derivedUuid, type CommandId, type GrantId, type PackId, type PurchaseId, type UserId} from '../kernel/ids.ts'
import type {Money} from '../kernel/money.ts'
import type {Instant} from '../kernel/time.ts'
import {fulfilPurchase} from '../processes/shop.ts'
import {purchase, type Purchase, type PurchaseRefusal} from '../shop/decider.ts'
import {purchaseStream} from '../shop/events.ts'
import {causeOf, hasRole, metaOf, type Answer, type Caller} from './caller.ts'
import type {Once} from './once.ts'

export interface CheckoutRequest {
  readonly idempotencyKey: string
  readonly packId: PackId
}

export interface MarkPaidRequest {
  readonly idempotencyKey: string
  readonly purchaseId: PurchaseId
  /** What was received; null: the checkout's price. */
  readonly amount: Money | null
}

export interface GrantRequest {
  readonly idempotencyKey: string
  readonly userId: UserId
  readonly minutes: number
  readonly reason: string
  readonly expiresAt: Instant | null
}

export type CheckoutRefusal = PurchaseRefusal | {readonly type: 'UnknownPack'; readonly field: 'packId'}

export interface Purchases {
  startCheckout(caller: Caller, request: CheckoutRequest): Promise<Answer<Purchase, CheckoutRefusal>>
  /** The manual gateway: an operator has the money in hand. */
  markCheckoutPaid(caller: Caller, request: MarkPaidRequest): Promise<Answer<Purchase, PurchaseRefusal>>
  /** Hours given by an operator, without a purchase. */
  grantHours(caller: Caller, request: GrantRequest): Promise<Answer<{readonly grantId: GrantId}, AccountRefusal>>
}

export interface PurchasesParts {
  readonly handler: Handler
  readonly pack: (id: string) => Pack | null
  readonly once: Once
}

export function createPurchases({handler, pack, once}: PurchasesParts): Purchases {
  async function checkout(
    caller: Caller,
    request: CheckoutRequest,
    commandId: CommandId,
  ): Promise<Answer<Purchase, CheckoutRefusal>> {
    const chosen = pack(request.packId)
    if (chosen === null) return {ok: false, refusal: {type: 'UnknownPack', field: 'packId'}}
    const purchaseId = derivedUuid('purchase', commandId) as PurchaseId
    const {packId, minutes, price} = chosen
    const command = {
      type: 'StartCheckout',
      checkout: {purchaseId, userId: caller.userId, packId, minutes, price, gateway: 'manual'},
    } as const
    return answerOf(await handler.handle(purchase, purchaseStream(purchaseId), command, metaOf(caller, commandId)))
  }

  async function markPaid(
    caller: Caller,
    request: MarkPaidRequest,
    commandId: CommandId,
  ): Promise<Answer<Purchase, PurchaseRefusal>> {
    const {purchaseId} = request
    const stream = purchaseStream(purchaseId)
    const known = await handler.load(purchase, stream)
    if (known === null) return {ok: false, refusal: {type: 'NoSuchPurchase'}}
    // One payment in hand for one checkout: a second operator who marks it means the same money.
    const paymentRef = `manual:${purchaseId}`
    const command = {type: 'ReceivePayment', amount: request.amount ?? known.price, paymentRef} as const
    const paid = answerOf(await handler.handle(purchase, stream, command, metaOf(caller, commandId)))
    if (!paid.ok) return paid
    // The shop process would do it as well; doing it here lets the answer carry the fulfilled purchase.
    const commit = await fulfilPurchase(handler, paid.value, causeOf(caller))
    return {ok: true, value: {...paid.value, status: 'fulfilled'}, reached: commit ?? paid.reached}
  }

  return {
    startCheckout: (caller, request) => once(caller, 'startCheckout', request, id => checkout(caller, request, id)),
    async markCheckoutPaid(caller, request) {
      if (!hasRole(caller, 'operator')) return {ok: false, refusal: {type: 'Forbidden', needs: 'operator'}}
      return once(caller, 'markCheckoutPaid', request, id => markPaid(caller, request, id))
    },
    async grantHours(caller, request) {
      if (!hasRole(caller, 'operator')) return {ok: false, refusal: {type: 'Forbidden', needs: 'operator'}}
      return once(caller, 'grantHours', request, async commandId => {
        const {userId, minutes, reason, expiresAt} = request
        const grantId = derivedUuid('grant', commandId) as GrantId
        const source = {type: 'operator', reason} as const
        const grant = {
          type: 'GrantHours',
          grantId,
          minutes,
          source,
          priority: 50,
          effectiveAt: null,
          expiresAt,
        } as const
        const granted = await handler.handle(account, accountStream(userId), grant, metaOf(caller, commandId))
        return granted.ok ? {ok: true, value: {grantId}, reached: granted.reached} : granted
      })
    },
  }
}

function answerOf(
  handled:
    | {readonly ok: true; readonly state: Purchase | null; readonly reached: bigint | null}
    | {readonly ok: false; readonly refusal: PurchaseRefusal},
): Answer<Purchase, PurchaseRefusal> & ({readonly ok: true} | {readonly ok: false}) {
  if (!handled.ok) return {ok: false, refusal: handled.refusal}
  if (handled.state === null) return {ok: false, refusal: {type: 'NoSuchPurchase'}}
  return {ok: true, value: handled.state, reached: handled.reached}
}
