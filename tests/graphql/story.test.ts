import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import {startEngine, type TestEngine, type TestUser} from '../support/engine.ts'
import {ask, book, mutate} from './support.ts'

describe('the story of a customer', () => {
  let engine: TestEngine
  let operator: TestUser
  let ann: TestUser

  beforeAll(async () => {
    engine = await startEngine()
    operator = await engine.addUser('Otto', ['operator'])
    ann = await engine.addUser('Ann')
  })
  afterAll(() => engine.stop())

  const balanceOf = async (as: TestUser, position?: string) => {
    const headers = position === undefined ? {} : {'x-hourhand-position': position}
    const {body} = await ask(engine, '{ viewer { displayName balance { availableMinutes heldMinutes } } }', {
      as,
      headers,
    })
    return body.data.viewer
  }

  test('goes from the catalogue over a purchase to a booking, and back by cancelling it', async () => {
    const {body: shop} = await ask(engine, '{ packs { id name minutes price { amountMinor currency } } }')
    expect(shop.data.packs).toEqual([
      {id: 'Pack:pack-10h', name: '10 hours', minutes: 600, price: {amountMinor: 9500, currency: 'USD'}},
    ])

    const fields = '... on StartCheckoutSuccess { position purchase { id status } }'
    const started = await mutate(engine, 'startCheckout', {packId: shop.data.packs[0].id}, ann, fields)
    expect(started).toMatchObject({__typename: 'StartCheckoutSuccess', purchase: {status: 'OPEN'}})
    expect(await balanceOf(ann)).toEqual({displayName: 'Ann', balance: {availableMinutes: 0, heldMinutes: 0}})

    const paidFields = '... on MarkCheckoutPaidSuccess { position purchase { status customer { displayName } } }'
    const paid = await mutate(engine, 'markCheckoutPaid', {purchaseId: started.purchase.id}, operator, paidFields)
    expect(paid.purchase).toEqual({status: 'FULFILLED', customer: {displayName: 'Ann'}})
    expect((await balanceOf(ann, paid.position)).balance).toEqual({availableMinutes: 600, heldMinutes: 0})

    const booked = await book(engine, ann, {start: '2026-11-21T12:00:00Z'})
    expect(booked).toMatchObject({
      __typename: 'BookSuccess',
      booking: {status: 'CONFIRMED', start: '2026-11-21T12:00:00.000Z', end: '2026-11-21T13:00:00.000Z', minutes: 60},
    })
    expect((await balanceOf(ann, booked.position)).balance).toEqual({availableMinutes: 540, heldMinutes: 60})

    const cancelFields = '... on CancelBookingSuccess { position booking { status usedMinutes } }'
    const cancelled = await mutate(engine, 'cancelBooking', {bookingId: booked.booking.id}, ann, cancelFields)
    expect(cancelled.booking).toEqual({status: 'CANCELLED', usedMinutes: 0})
  })
})
