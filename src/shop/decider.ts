import {accept, assertNever, refuse, type Decider} from '../kernel/decider.ts'
import type {GrantId, PackId, PurchaseId, UserId} from '../kernel/ids.ts'
import {equalMoney, type Money} from '../kernel/money.ts'
import {purchaseCategory, type PurchaseEvent} from './events.ts'

export interface Checkout {
  readonly purchaseId: PurchaseId
  readonly userId: UserId
  readonly packId: PackId
  readonly minutes: number
  readonly price: Money
  readonly gateway: string
}

export type PurchaseCommand =
  | {readonly type: 'StartCheckout'; readonly checkout: Checkout}
  | {readonly type: 'ReceivePayment'; readonly amount: Money; readonly paymentRef: string}
  | {readonly type: 'FulfilPurchase'; readonly grantId: GrantId}

export type PurchaseRefusal =
  | {readonly type: 'NoSuchPurchase'}
  | {readonly type: 'CommandIdReused'}
  | {readonly type: 'AmountMismatch'; readonly expected: Money; readonly received: Money}
  /** Paid before, by another payment: a second one is never credited twice. */
  | {readonly type: 'AlreadyPaid'}
  | {readonly type: 'NotPaid'}

export interface Purchase extends Checkout {
  readonly status: 'open' | 'paid' | 'fulfilled'
  readonly paymentRef: string | null
}

export type PurchaseState = Purchase | null

export const purchase: Decider<PurchaseState, PurchaseCommand, PurchaseEvent, PurchaseRefusal> = {
  category: purchaseCategory,
  initial: null,

  decide(command, state, {now}) {
    if (command.type === 'StartCheckout') {
      const {checkout} = command
      if (state === null) return accept({type: 'CheckoutStarted', data: {...checkout, at: now}})
      const same = state.userId === checkout.userId && state.packId === checkout.packId
      return same ? accept() : refuse({type: 'CommandIdReused'})
    }
    if (state === null) return refuse({type: 'NoSuchPurchase'})
    const {purchaseId, price} = state
    switch (command.type) {
      case 'ReceivePayment': {
        const {amount, paymentRef} = command
        if (state.paymentRef !== null) return state.paymentRef === paymentRef ? accept() : refuse({type: 'AlreadyPaid'})
        if (!equalMoney(amount, price)) {
          return refuse({type: 'AmountMismatch', expected: price, received: amount})
        }
        return accept({type: 'PaymentReceived', data: {purchaseId, amount, paymentRef, at: now}})
      }
      case 'FulfilPurchase':
        if (state.status === 'fulfilled') return accept()
        if (state.status === 'open') return refuse({type: 'NotPaid'})
        return accept({type: 'PurchaseFulfilled', data: {purchaseId, grantId: command.grantId, at: now}})
      default:
        return assertNever(command)
    }
  },

  evolve(state, event) {
    if (event.type === 'CheckoutStarted') {
      const {purchaseId, userId, packId, minutes, price, gateway} = event.data
      return {purchaseId, userId, packId, minutes, price, gateway, status: 'open', paymentRef: null}
    }
    if (state === null) return null
    switch (event.type) {
      case 'PaymentReceived':
        return {...state, status: 'paid', paymentRef: event.data.paymentRef}
      case 'PurchaseFulfilled':
        return {...state, status: 'fulfilled'}
      default:
        return assertNever(event)
    }
  },
}
