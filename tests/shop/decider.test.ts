import {describe, expect, test} from 'vitest'
import {idOf} from '../../src/kernel/ids.ts'
import {purchase, type Checkout, type PurchaseCommand} from '../../src/shop/decider.ts'
import type {PurchaseEvent} from '../../src/shop/events.ts'
import {at, given} from '../support/given.ts'

const purchaseId = idOf<'Purchase'>('p1')
const grantId = idOf<'Grant'>('g1')
const price = {amountMinor: 700, currency: 'EUR'}
const checkout: Checkout = {
  purchaseId,
  userId: idOf('ann'),
  packId: idOf('ten'),
  minutes: 600,
  price,
  gateway: 'sandbox',
}
const startCheckout: PurchaseCommand = {type: 'StartCheckout', checkout}
const pay: PurchaseCommand = {type: 'ReceivePayment', amount: price, paymentRef: 'pay-1'}
const fulfil: PurchaseCommand = {type: 'FulfilPurchase', grantId}

const started: PurchaseEvent = {type: 'CheckoutStarted', data: {...checkout, at: at('10:00')}}
const paid: PurchaseEvent = {
  type: 'PaymentReceived',
  data: {purchaseId, amount: price, paymentRef: 'pay-1', at: at('10:05')},
}
const fulfilled: PurchaseEvent = {type: 'PurchaseFulfilled', data: {purchaseId, grantId, at: at('10:06')}}

describe('a checkout', () => {
  test('pins the price and the minutes', () => {
    given(purchase).when(startCheckout, at('10:00')).thenEvents(started)
  })

  test('repeated is quiet, and keeps the price it began with', () => {
    const dearer = {...checkout, price: {...price, amountMinor: 900}, minutes: 500}
    const before = given(purchase, started)
    before.when(startCheckout, at('10:01')).thenNothing()
    before.when({type: 'StartCheckout', checkout: dearer}, at('10:01')).thenNothing()
    expect(before.state).toMatchObject({price, minutes: 600, status: 'open'})
    given(purchase, started, paid, fulfilled).when(startCheckout, at('11:00')).thenNothing()
  })

  test.each<Partial<Checkout>>([{userId: idOf('bob')}, {packId: idOf('twenty')}])(
    'with another wish under the same id is refused: %j',
    change => {
      given(purchase, started)
        .when({type: 'StartCheckout', checkout: {...checkout, ...change}}, at('10:01'))
        .thenRefused({type: 'CommandIdReused'})
    },
  )
})

describe('a payment', () => {
  test('of the right amount is received', () => {
    given(purchase, started).when(pay, at('10:05')).thenEvents(paid)
  })

  test.each([
    {amountMinor: 699, currency: 'EUR'},
    {amountMinor: 701, currency: 'EUR'},
    {amountMinor: 0, currency: 'EUR'},
    {amountMinor: 700, currency: 'USD'},
    {amountMinor: 700, currency: 'eur'},
  ])('of another amount or currency credits nothing: %j', amount => {
    given(purchase, started)
      .when({...pay, amount}, at('10:05'))
      .thenRefused({type: 'AmountMismatch', expected: price, received: amount})
  })

  test('told a hundred times is received once', () => {
    for (const before of [given(purchase, started, paid), given(purchase, started, paid, fulfilled)]) {
      for (let time = 0; time < 100; time++) before.when(pay, at('10:07')).thenNothing()
    }
  })

  test('by another payment is not credited a second time', () => {
    for (const before of [given(purchase, started, paid), given(purchase, started, paid, fulfilled)]) {
      before.when({...pay, paymentRef: 'pay-2'}, at('10:07')).thenRefused({type: 'AlreadyPaid'})
    }
  })

  test('for a purchase nobody began is refused', () => {
    given(purchase).when(pay, at('10:05')).thenRefused({type: 'NoSuchPurchase'})
  })
})

describe('fulfilment', () => {
  test('follows the payment, once', () => {
    given(purchase, started, paid).when(fulfil, at('10:06')).thenEvents(fulfilled)
    given(purchase, started, paid, fulfilled).when(fulfil, at('10:07')).thenNothing()
  })

  test('without a payment is refused', () => {
    given(purchase, started).when(fulfil, at('10:06')).thenRefused({type: 'NotPaid'})
    given(purchase).when(fulfil, at('10:06')).thenRefused({type: 'NoSuchPurchase'})
  })
})

test('any order and number of the same messages ends in one payment and one fulfilment', () => {
  const messages: PurchaseCommand[] = [pay, pay, {...pay, paymentRef: 'pay-2'}, fulfil, fulfil]
  const foreign = new Set<string>()
  for (const order of permutations(messages)) {
    let state = given(purchase, started).state
    const events: string[] = []
    for (const command of [...order, ...order]) {
      const decision = purchase.decide(command, state, {now: at('11:00')})
      if (!decision.ok) continue
      for (const event of decision.events) {
        state = purchase.evolve(state, event)
        events.push(event.type)
      }
    }
    expect(events).toEqual(['PaymentReceived', 'PurchaseFulfilled'])
    foreign.add(state?.paymentRef ?? 'none')
  }
  expect([...foreign].sort()).toEqual(['pay-1', 'pay-2'])
})

function* permutations<Value>(values: readonly Value[]): Generator<readonly Value[]> {
  if (values.length === 0) yield []
  for (const [index, first] of values.entries()) {
    for (const rest of permutations(values.filter((_, other) => other !== index))) yield [first, ...rest]
  }
}
