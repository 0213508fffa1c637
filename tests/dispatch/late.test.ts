import {afterEach, beforeEach, expect, test} from 'vitest'
import type {Caller} from '../../src/dispatch/caller.ts'
import {ownerId} from '../../src/dispatch/people.ts'
import type {Engine} from '../../src/engine.ts'
import {idOf, type PurchaseId} from '../../src/kernel/ids.ts'
import {at} from '../support/given.ts'
import type {AppendFate} from '../support/watched-store.ts'
import {booked, customer, grant, owner as operator} from '../support/world-acts.ts'
import type {RunningEngine} from '../support/world-engine.ts'
import {startWorld, type World} from '../support/world.ts'

const longMs = 60_000
const owner: Caller = {...operator, userId: ownerId}
const place = {serviceId: idOf<'Service'>('ENCH'), realmId: idOf<'Realm'>('EU'), minutes: 60, zone: null}
const dollars = (amount: number) => ({amountMinor: amount * 100, currency: 'USD'})

let world: World
let running: RunningEngine
/** Whether the store takes a minute for its first append from now on. */
let isSlow: boolean
let purchaseId: PurchaseId
let signInToken: string

beforeEach(async () => {
  isSlow = false
  world = await startWorld()
  running = await world.startEngine({
    fateOf: (): AppendFate => {
      if (isSlow) world.hand.moveTo(world.hand.elapsedMs() + longMs)
      isSlow = false
      return 'lives'
    },
  })
  const {engine} = running
  await grant(engine, 'ann', 600)
  await booked(engine, 'ann', at('20:00'), {key: 'booked'})
  const request = {idempotencyKey: 'bought', packId: idOf<'Pack'>('ten')}
  const checkout = await engine.purchases.startCheckout(customer('ann'), request)
  if (!checkout.ok) throw new Error(checkout.refusal.type)
  purchaseId = checkout.value.purchaseId
  signInToken = await engine.people.ownerSignIn()
  await world.quiet()
})
afterEach(() => world.stop())

/** A request that arrived so long ago. */
const asked = (caller: Caller, msAgo: number): Caller => ({...caller, arrivedAtMs: world.hand.elapsedMs() - msAgo})

async function writtenBy(act: () => Promise<unknown>): Promise<readonly string[]> {
  const before = (await world.log()).length
  await world.during(act())
  await world.quiet()
  return (await world.log()).slice(before).map(({event}) => event.type)
}

type Act = (engine: Engine, by: (caller: Caller) => Caller) => Promise<unknown>

/** Every request that writes, and what is written of it. */
const acts: Readonly<Record<string, readonly [Act, ...string[]]>> = {
  book: [
    ({bookings}, by) => bookings.book(by(customer('ann')), {idempotencyKey: 'k', ...place, start: at('10:00')}),
    'HoursHeld',
    'SlotAllocated',
    'BookingConfirmed',
  ],
  'book what is taken': [
    ({bookings}, by) => bookings.book(by(customer('ann')), {idempotencyKey: 'k', ...place, start: at('20:00')}),
    'HoursHeld',
    'SlotDeclined',
    'HoursReleased',
  ],
  cancelBooking: [
    async ({bookings}, by) => {
      const again = await bookings.book(customer('ann'), {idempotencyKey: 'booked', ...place, start: at('20:00')})
      if (!again.ok) throw new Error(again.refusal.type)
      const {bookingId} = again.value
      return bookings.cancelBooking(by(customer('ann')), {idempotencyKey: 'k', bookingId})
    },
    'BookingCancelled',
  ],
  startCheckout: [
    ({purchases}, by) => purchases.startCheckout(by(customer('ann')), {idempotencyKey: 'k', packId: idOf('ten')}),
    'CheckoutStarted',
  ],
  markCheckoutPaid: [
    ({purchases}, by) => purchases.markCheckoutPaid(by(owner), {idempotencyKey: 'k', purchaseId, amount: null}),
    'PaymentReceived',
    'HoursGranted',
    'PurchaseFulfilled',
  ],
  grantHours: [
    ({purchases}, by) => {
      const hours = {userId: idOf<'User'>('ann'), minutes: 60, reason: 'a gift', expiresAt: null}
      return purchases.grantHours(by(owner), {idempotencyKey: 'k', ...hours})
    },
    'HoursGranted',
  ],
  registerMachine: [
    ({operations}, by) =>
      operations.registerMachine(by(owner), {
        idempotencyKey: 'k',
        machineId: idOf('eu-2'),
        name: 'eu-2',
        poolId: idOf('eu'),
        services: [idOf('ENCH')],
        driver: {kind: 'simulated', config: {}},
      }),
    'MachineRegistered',
    'MachineOffered',
  ],
  liftQuarantine: [
    ({operations}, by) => operations.liftQuarantine(by(owner), {idempotencyKey: 'k', machineId: idOf('eu-1')}),
  ],
  changeCatalogue: [
    ({operations}, by) => {
      const pack = {packId: idOf<'Pack'>('two'), name: 'Two hours', minutes: 120, price: dollars(10)}
      return operations.changeCatalogue(by(owner), {idempotencyKey: 'k', command: {type: 'ListPack', pack}})
    },
    'PackListed',
  ],
  changeRoles: [
    ({people}, by) => people.changeRoles(by(owner), {idempotencyKey: 'k', userId: ownerId, roles: ['owner']}),
    'RolesChanged',
  ],
  redeemSignIn: [({people}, by) => people.redeemSignIn(signInToken, 'r', by(owner).arrivedAtMs), 'SignInRedeemed'],
}

test.each(Object.entries(acts))(
  '%s is not begun when its caller may have gone, and goes to its end when it was begun in time',
  async (_name, [act, ...events]) => {
    const late = writtenBy(async () => {
      const answer = act(running.engine, caller => asked(caller, 5_001))
      await expect(answer).rejects.toMatchObject({name: 'CameTooLate'})
    })
    expect(await late).toEqual([])
    isSlow = true
    expect(await writtenBy(() => act(running.engine, caller => asked(caller, 5_000)))).toEqual(events)
  },
)

test('registerUser, left with nothing but a key, registers when it is sent again', async () => {
  const register = (caller: Caller) =>
    running.engine.people.registerUser(caller, {idempotencyKey: 'k', displayName: 'Zoë', roles: ['customer']})
  isSlow = true
  const first = writtenBy(() => expect(register(asked(owner, 0))).rejects.toMatchObject({name: 'CameTooLate'}))
  expect(await first).toEqual(['UserKeyCreated'])
  expect(await writtenBy(() => register(asked(owner, 0)))).toEqual(['UserRegistered'])
})
