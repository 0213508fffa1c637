import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import {programHome, type ProgramHome, type RunningProgram} from '../support/program.ts'
import {again, newKey, registerUser, signInOwner, type Api, type Result} from './api.ts'

/*
 * Many requests at once against the running program, each over a connection of its own. Names as in abuse.md's table:
 * of all that want the same thing exactly one gets it, and a repeat is no second wish.
 */

const minuteMs = 60_000
const hourMs = 60 * minuteMs

interface Booked {
  readonly booking: {readonly id: string; readonly status: string}
}
interface Line {
  readonly kind: string
  readonly minutes: number
  readonly bookingId: string | null
}

const times = <Value>(count: number, make: (index: number) => Promise<Value>): Promise<Value[]> =>
  Promise.all(Array.from({length: count}, (_, index) => make(index)))

const book = (customer: Api, wish: Readonly<Record<string, unknown>>): Promise<Result<Booked>> =>
  customer.change<Booked>(
    'book',
    {serviceId: 'ENCH', minutes: 60, ...wish},
    '... on BookSuccess { booking { id status } }',
  )

const cancel = (customer: Api, bookingId: string, idempotencyKey: string): Promise<Result<Booked>> =>
  customer.change<Booked>(
    'cancelBooking',
    {bookingId, idempotencyKey},
    '... on CancelBookingSuccess { booking { id status } } ... on AlreadyEnded { status }',
  )

/** The start of the hour that lies so many hours ahead. */
const hourAhead = (hours: number): string => new Date((Math.floor(Date.now() / hourMs) + hours) * hourMs).toISOString()

async function balanceOf(customer: Api): Promise<unknown> {
  const query = '{ viewer { balance { availableMinutes heldMinutes } } }'
  return (await customer.ask<{viewer: {balance: unknown}}>(query)).viewer.balance
}

/** The account's movements, oldest first. */
async function ledgerOf(customer: Api): Promise<readonly Line[]> {
  type Answer = {readonly ledger: {readonly edges: readonly {readonly node: Line}[]}}
  const {ledger} = await customer.ask<Answer>('{ ledger(first: 100) { edges { node { kind minutes bookingId } } } }')
  return ledger.edges.map(({node}) => node).toReversed()
}

const kindsOf = (lines: readonly Line[]): readonly string[] => lines.map(({kind}) => kind)
const namesOf = (results: readonly {readonly __typename: string}[]): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {}
  for (const {__typename: name} of results) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

let customers = 0

async function customerWith(program: RunningProgram, owner: Api, minutes: number): Promise<Api> {
  const customer = await registerUser(program, owner, `Customer ${(customers += 1)}`)
  const gift = {userId: customer.userId, minutes, reason: 'a gift'}
  expect(await owner.change('grantHours', gift)).toMatchObject({__typename: 'GrantHoursSuccess'})
  return customer
}

/** A realm of its own with one machine, so that what is taken elsewhere does not matter. */
async function realmWithOneMachine(owner: Api, name: string): Promise<{readonly realmId: string}> {
  const poolId = name.toLowerCase()
  expect(await owner.change('listRealm', {realmId: name, name, poolId})).toMatchObject({__typename: 'ListRealmSuccess'})
  const driver = {kind: 'simulated', config: {bootSeconds: 1, stopSeconds: 1}}
  const machine = {machineId: `${poolId}-1`, name, poolId, serviceIds: ['ENCH'], driver}
  expect(await owner.change('registerMachine', machine)).toMatchObject({__typename: 'RegisterMachineSuccess'})
  return {realmId: name}
}

describe('of many at once', () => {
  let home: ProgramHome
  let program: RunningProgram
  let owner: Api
  beforeAll(async () => {
    home = await programHome()
    program = await home.start()
    owner = await signInOwner(program)
  })
  afterAll(() => home.close())

  test('200 bookings for one slot on one machine, exactly one succeeds, and nobody else pays', async () => {
    const {realmId} = await realmWithOneMachine(owner, 'SLOT')
    const everybody = await times(20, () => customerWith(program, owner, 600))
    const start = hourAhead(24)
    const results = await times(200, async index => {
      const customer = everybody[index % everybody.length] as Api
      return {customer, ...(await book(customer, {realmId, start}))}
    })
    expect(namesOf(results)).toEqual({BookSuccess: 1, SlotTaken: 199})
    const winner = results.find(({__typename}) => __typename === 'BookSuccess')?.customer
    for (const customer of everybody) {
      const held = customer === winner ? 60 : 0
      expect(await balanceOf(customer)).toEqual({availableMinutes: 600 - held, heldMinutes: held})
    }
  })

  test('100 bookings for the last hour of an account, exactly one succeeds', async () => {
    const {realmId} = await realmWithOneMachine(owner, 'HOUR')
    const customer = await customerWith(program, owner, 60)
    const results = await times(100, index => book(customer, {realmId, start: hourAhead(24 + 2 * index)}))
    expect(namesOf(results)).toEqual({BookSuccess: 1, InsufficientHours: 99})
    expect(await balanceOf(customer)).toEqual({availableMinutes: 0, heldMinutes: 60})
    expect(kindsOf(await ledgerOf(customer))).toEqual(['GRANTED', 'HELD'])
  })

  test('20 cancellations of one booking, one is done: the minutes come back once', async () => {
    const {realmId} = await realmWithOneMachine(owner, 'BACK')
    const customer = await customerWith(program, owner, 60)
    const {booking} = await book(customer, {realmId, start: hourAhead(24)})
    type Change = {readonly balanceChanged: {readonly heldMinutes: number}}
    const balances = await customer.watch<Change>('subscription { balanceChanged { heldMinutes } }')
    const keys = Array.from({length: 20}, newKey)
    const results = await Promise.all(keys.map(key => cancel(customer, booking.id, key)))
    expect(namesOf(results)).toEqual({CancelBookingSuccess: 1, AlreadyEnded: 19})
    await balances.until(({balanceChanged}) => balanceChanged.heldMinutes === 0)
    // Each asks again, as after a lost answer, and gets the answer it had.
    expect(await Promise.all(keys.map(key => cancel(customer, booking.id, key)))).toEqual(results)
    expect(await cancel(customer, booking.id, newKey())).toMatchObject({status: 'CANCELLED'})
    expect(await ledgerOf(customer)).toMatchObject([
      {kind: 'GRANTED', minutes: 60},
      {kind: 'HELD', minutes: 60, bookingId: booking.id},
      {kind: 'RELEASED', minutes: 60, bookingId: booking.id},
    ])
    balances.close()
  })

  test('50 requests with one key, all get the one booking', async () => {
    const {realmId} = await realmWithOneMachine(owner, 'SAME')
    const customer = await customerWith(program, owner, 600)
    const wish = {realmId, start: hourAhead(24), idempotencyKey: newKey()}
    const results = await times(50, () => book(customer, wish))
    expect(new Set(results.map(({booking}) => booking.id)).size).toBe(1)
    expect(namesOf(results)).toEqual({BookSuccess: 50})
    expect(kindsOf(await ledgerOf(customer))).toEqual(['GRANTED', 'HELD'])
  })

  test('50 requests with one key and two wishes, those of the wish that came first get it, the others are refused', async () => {
    const {realmId} = await realmWithOneMachine(owner, 'BOTH')
    const customer = await customerWith(program, owner, 600)
    const idempotencyKey = newKey()
    const starts = [hourAhead(24), hourAhead(48)]
    const results = await times(50, index => book(customer, {realmId, start: starts[index % 2], idempotencyKey}))
    expect(namesOf(results)).toEqual({BookSuccess: 25, IdempotencyKeyReused: 25})
    expect(new Set(results.flatMap(({booking}) => booking?.id ?? [])).size).toBe(1)
    expect(kindsOf(await ledgerOf(customer))).toEqual(['GRANTED', 'HELD'])
  })

  test('40 marks of one checkout as paid, by two operators, the hours are credited once', async () => {
    const customer = await registerUser(program, owner, 'Payer')
    const operators = await times(2, index => registerUser(program, owner, `Operator ${index}`, ['OPERATOR']))
    const checkout = '... on StartCheckoutSuccess { purchase { id } }'
    const begun = await customer.change<{purchase: {id: string}}>('startCheckout', {packId: 'pack-10h'}, checkout)
    const paid = '... on MarkCheckoutPaidSuccess { purchase { status } }'
    const marks = await times(40, index =>
      (operators[index % 2] as Api).change('markCheckoutPaid', {purchaseId: begun.purchase.id}, paid),
    )
    expect(namesOf(marks)).toEqual({MarkCheckoutPaidSuccess: 40})
    expect(await ledgerOf(customer)).toMatchObject([{kind: 'GRANTED', minutes: 600}])
  })

  test('a price of the client’s own is no part of a booking', async () => {
    const customer = await customerWith(program, owner, 600)
    const answer = await customer.send('mutation ($input: BookInput!) { book(input: $input) { __typename } }', {
      input: {idempotencyKey: newKey(), serviceId: 'ENCH', realmId: 'EU', start: hourAhead(24), minutes: 60, price: 0},
    })
    expect(answer).toMatchObject({status: 400, body: {errors: [{extensions: {code: 'BAD_INPUT', field: 'price'}}]}})
    expect(kindsOf(await ledgerOf(customer))).toEqual(['GRANTED'])
  })
})

test('a key keeps its meaning through a kill and a new start: the same wish, the same answer; another wish, refused', async () => {
  const home = await programHome()
  try {
    const first = await home.start()
    const owner = await signInOwner(first)
    const customer = await customerWith(first, owner, 600)
    const wish = {realmId: 'EU', start: hourAhead(24), idempotencyKey: newKey()}
    const booked = await book(customer, wish)
    const cancelKey = newKey()
    const other = await book(customer, {realmId: 'EU', start: hourAhead(48)})
    const cancelled = await cancel(customer, other.booking.id, cancelKey)
    const gift = {userId: customer.userId, minutes: 30, reason: 'a gift', idempotencyKey: newKey()}
    await owner.change('grantHours', gift)
    await first.stop('SIGKILL')

    const second = await home.start()
    const customerAgain = again(second, customer)
    expect(await book(customerAgain, wish)).toEqual(booked)
    expect(await cancel(customerAgain, other.booking.id, cancelKey)).toEqual(cancelled)
    await again(second, owner).change('grantHours', gift)
    const otherWish = await book(customerAgain, {...wish, start: hourAhead(72)})
    expect(otherWish).toEqual({
      __typename: 'IdempotencyKeyReused',
      code: 'IDEMPOTENCY_KEY_REUSED',
      field: 'idempotencyKey',
    })
    const kinds = kindsOf(await ledgerOf(customerAgain))
    expect(kinds.filter(kind => kind !== 'RELEASED')).toEqual(['GRANTED', 'HELD', 'HELD', 'GRANTED'])
  } finally {
    await home.close()
  }
})

test('a booking cancelled after its start costs the minutes begun, and the others come back', async () => {
  const home = await programHome()
  try {
    const minutePolicy = {HOURHAND_BOOKING_STEP_MINUTES: '1', HOURHAND_BOOKING_MINUTES_MIN: '1'}
    const program = await home.start({...minutePolicy, HOURHAND_WARMUP_MINUTES: '1'})
    const owner = await signInOwner(program)
    const {realmId} = await realmWithOneMachine(owner, 'LATE')
    const customer = await customerWith(program, owner, 600)
    const start = new Date((Math.floor(Date.now() / minuteMs) + 1) * minuteMs).toISOString()
    const {booking} = await book(customer, {realmId, start, minutes: 3})
    type Change = {readonly bookingChanged: {readonly status: string; readonly usedMinutes: number | null}}
    const changes = await customer.watch<Change>(
      'subscription ($id: ID!) { bookingChanged(bookingId: $id) { status usedMinutes } }',
      {id: booking.id},
    )
    await changes.until(({bookingChanged}) => bookingChanged.status === 'STARTED')
    type Balance = {readonly balanceChanged: {readonly heldMinutes: number}}
    const balances = await customer.watch<Balance>('subscription { balanceChanged { heldMinutes } }')
    await times(10, () => cancel(customer, booking.id, newKey()))
    await balances.until(({balanceChanged}) => balanceChanged.heldMinutes === 0)
    expect(changes.seen.at(-1)).toEqual({bookingChanged: {status: 'CANCELLED', usedMinutes: 1}})
    expect((await ledgerOf(customer)).map(({kind, minutes}) => [kind, minutes])).toEqual([
      ['GRANTED', 600],
      ['HELD', 3],
      ['CAPTURED', 1],
      ['RELEASED', 2],
    ])
  } finally {
    await home.close()
  }
})
