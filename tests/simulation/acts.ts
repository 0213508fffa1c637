import type {Role} from '../../src/access/events.ts'
import type {Caller} from '../../src/dispatch/caller.ts'
import type {Engine} from '../../src/engine.ts'
import {idOf, type BookingId, type PurchaseId, type UserId} from '../../src/kernel/ids.ts'
import {instantFromMs, plusMinutes, type Instant} from '../../src/kernel/time.ts'
import type {Dice} from './dice.ts'
import type {Report} from '../../src/verify/rule.ts'

/** What customers and operators remember between their acts. */
export interface Memory {
  readonly bookings: (readonly [UserId, BookingId])[]
  readonly purchases: PurchaseId[]
  readonly users: UserId[]
  /** A one-time link somebody was given. */
  signInToken: string | null
  /** Answers that were given: what they say must be in the log for ever. */
  readonly acknowledged: {readonly stream: string; readonly type: string; readonly naming?: string}[]
}

/** One request, decided on once; sent again under the same key until it is answered. */
export type Request = (engine: Engine) => Promise<unknown>

export interface Scene {
  readonly dice: Dice
  readonly memory: Memory
  readonly key: string
  readonly now: Instant
  readonly witness: Witness
}

/** Who knows what is true, and hears of what is not. */
export interface Witness {
  readonly report: Report
  /** An account by the log: what can be held now, and how many events led to it. */
  account(userId: string): {readonly availableMinutes: number; readonly events: number}
}

export const owner: Caller = {userId: idOf('owner'), roles: ['owner', 'operator'], requestId: 'simulation'}
const customers = Array.from({length: 20}, (_, index) => idOf<'User'>(`customer-${index}`))
const callerOf = (userId: UserId): Caller => ({userId, roles: ['customer'], requestId: `of-${userId}`})
const price = (amountMinor: number) => ({amountMinor, currency: 'USD'})
const remembered = 200
const remember = <Value>(list: Value[], value: Value): void => {
  list.push(value)
  if (list.length > remembered) list.shift()
}

type Chosen = (scene: Scene) => Request | null

/** Every method of the dispatcher, how often it is used, and how. A test compares the names with the engine's. */
export const acts: Readonly<Record<string, readonly [weight: number, choose: Chosen]>> = {
  'bookings.book': [40, chooseBooking],
  'bookings.cancelBooking': [
    10,
    ({dice, memory, key}) => {
      const chosen = dice.pick(memory.bookings)
      if (chosen === undefined) return null
      const [userId, bookingId] = chosen
      // Now and then somebody tries it with what is not theirs.
      const by = dice.chance(0.1) ? (dice.pick(customers) ?? userId) : userId
      const caller = dice.chance(0.2) ? owner : callerOf(by)
      return async ({bookings}) => {
        const answer = await bookings.cancelBooking(caller, {idempotencyKey: key, bookingId})
        if (!answer.ok || answer.value.status !== 'cancelled') return
        memory.acknowledged.push({stream: `booking-${bookingId}`, type: 'BookingCancelled'})
      }
    },
  ],
  'bookings.quote': [
    1,
    () =>
      async ({bookings}) =>
        bookings.quote({serviceId: idOf('ENCH'), minutes: 60}),
  ],
  'purchases.startCheckout': [
    8,
    ({dice, memory, key}) => {
      const userId = dice.pick(customers) ?? owner.userId
      return async ({purchases}) => {
        const request = {idempotencyKey: key, packId: idOf<'Pack'>('ten')}
        const answer = await purchases.startCheckout(callerOf(userId), request)
        if (!answer.ok) return
        const {purchaseId} = answer.value
        memory.acknowledged.push({stream: `purchase-${purchaseId}`, type: 'CheckoutStarted'})
        remember(memory.purchases, purchaseId)
      }
    },
  ],
  'purchases.markCheckoutPaid': [
    8,
    ({dice, memory, key}) => {
      const purchaseId = dice.pick(memory.purchases)
      if (purchaseId === undefined) return null
      const amount = dice.chance(0.1) ? price(dice.below(5_000)) : null
      return async ({purchases}) => {
        const answer = await purchases.markCheckoutPaid(owner, {idempotencyKey: key, purchaseId, amount})
        if (answer.ok) memory.acknowledged.push({stream: `purchase-${purchaseId}`, type: 'PurchaseFulfilled'})
      }
    },
  ],
  'purchases.grantHours': [
    6,
    ({dice, memory, key, now}) => {
      const userId = dice.pick(customers) ?? owner.userId
      const minutesLeft = 20 + dice.below(dice.pick([60, 600, 6_000]) ?? 1)
      const expiresAt = dice.chance(0.6) ? plusMinutes(now, minutesLeft) : null
      const minutes = 60 * (1 + dice.below(10))
      const request = {idempotencyKey: key, userId, minutes, reason: 'luck', expiresAt}
      // Customers try it too.
      const caller = dice.chance(0.1) ? callerOf(userId) : owner
      return async ({purchases}) => {
        const answer = await purchases.grantHours(caller, request)
        if (!answer.ok) return
        memory.acknowledged.push({stream: `account-${userId}`, type: 'HoursGranted', naming: answer.value.grantId})
      }
    },
  ],
  'operations.registerMachine': [
    1,
    ({dice, memory, key}) => {
      const machineId = idOf<'Machine'>(`m-${dice.below(5)}`)
      const config = machineConfig(machineId)
      const place = {poolId: idOf<'Pool'>('eu'), services: [idOf<'Service'>('ENCH')]}
      const request = {idempotencyKey: key, machineId, name: machineId, ...place, driver: {kind: 'simulated', config}}
      return async ({operations}) => {
        const answer = await operations.registerMachine(owner, request)
        if (answer.ok) memory.acknowledged.push({stream: `machine-${machineId}`, type: 'MachineRegistered'})
      }
    },
  ],
  'operations.liftQuarantine': [
    8,
    ({dice, key}) => {
      const machineId = idOf<'Machine'>(`m-${dice.below(5)}`)
      return ({operations}) => operations.liftQuarantine(owner, {idempotencyKey: key, machineId})
    },
  ],
  'operations.changeCatalogue': [
    1,
    ({dice, key}) => {
      const service = {serviceId: idOf<'Service'>('ENCH'), name: 'Enchanting', pricePerHour: price(dice.below(900))}
      const discount = {minutesMin: 60 * (1 + dice.below(5)), percent: dice.below(50)}
      const command = dice.chance(0.5)
        ? ({type: 'ListService', service} as const)
        : ({type: 'SetDiscount', discount} as const)
      return ({operations}) => operations.changeCatalogue(owner, {idempotencyKey: key, command})
    },
  ],
  'people.registerUser': [
    2,
    ({dice, memory, key}) => {
      const roles: readonly Role[] = dice.chance(0.8) ? ['customer'] : ['customer', 'operator']
      return async ({people}) => {
        const answer = await people.registerUser(owner, {idempotencyKey: key, displayName: `Zoë ${key}`, roles})
        if (!answer.ok) return
        memory.acknowledged.push({stream: `user-${answer.value.userId}`, type: 'UserRegistered'})
        remember(memory.users, answer.value.userId)
      }
    },
  ],
  'people.changeRoles': [
    1,
    ({dice, memory, key}) => {
      const userId = dice.pick(memory.users)
      const roles = dice.pick<readonly Role[]>([['customer'], ['customer', 'operator'], []]) ?? []
      if (userId === undefined) return null
      return ({people}) => people.changeRoles(owner, {idempotencyKey: key, userId, roles})
    },
  ],
  'people.issueToken': [
    1,
    ({dice, memory}) => {
      const userId = dice.pick(memory.users)
      return userId === undefined ? null : ({people}) => people.issueToken(owner, userId)
    },
  ],
  'people.redeemSignIn': [
    3,
    ({memory, key}) => {
      const {signInToken} = memory
      return signInToken === null ? null : ({people}) => people.redeemSignIn(signInToken, key)
    },
  ],
  'people.ownerSignIn': [
    2,
    ({memory}) =>
      async ({people}) => {
        memory.signInToken = await people.ownerSignIn()
      },
  ],
  'people.nameOf': [
    1,
    ({dice, witness}) => {
      const place = dice.next()
      return async ({people, queries}) => {
        const rows = queries.users.users(null, 1_000)
        const row = rows[Math.floor(place * rows.length)]
        const name = row === undefined ? 'Zoë' : people.nameOf(row)
        if (name === null || !/^(Zoë|Owner)/.test(name)) witness.report(`${row?.userId} is called ${name}`)
        await Promise.resolve()
      }
    },
  ],
}

function chooseBooking({dice, memory, key, now, witness}: Scene): Request {
  // Most who come can pay.
  const solvent = customers.filter(customer => witness.account(customer).availableMinutes >= 60)
  const userId = dice.pick(dice.chance(0.85) && solvent.length > 0 ? solvent : customers) ?? owner.userId
  // Soon more often than late, so that slots are fought for.
  const leadMinutes = dice.below(dice.pick([20, 20, 60, 300, 5_000]) ?? 1)
  const start = instantFromMs(Math.ceil(Date.parse(now) / 60_000) * 60_000 + leadMinutes * 60_000)
  const minutes = 60 * (1 + dice.below(3))
  const place = {serviceId: idOf<'Service'>('ENCH'), realmId: idOf<'Realm'>('EU')}
  let made: string | null = null
  // When it was first asked for: an answer to a repeat may be that to the first call.
  let before: ReturnType<Witness['account']> | null = null
  return async ({bookings}) => {
    const request = {idempotencyKey: key, ...place, start, minutes, zone: null}
    before ??= witness.account(userId)
    const answer = await bookings.book(callerOf(userId), request)
    const after = witness.account(userId)
    if (!answer.ok) {
      const isPoor = Math.min(before.availableMinutes, after.availableMinutes) < minutes
      const isWrong = answer.refusal.type === 'InsufficientHours' && !isPoor && before.events === after.events
      if (isWrong) witness.report(`${userId} was refused for want of hours that were there`)
      return
    }
    const {bookingId, terms} = answer.value
    if (made !== null && made !== bookingId) witness.report(`${key} made two bookings, ${made} and ${bookingId}`)
    made = bookingId
    if (terms.minutes !== minutes || terms.interval.start !== start)
      witness.report(`${key} was answered with another booking`)
    memory.acknowledged.push({stream: `booking-${bookingId}`, type: 'BookingConfirmed'})
    remember(memory.bookings, [userId, bookingId])
  }
}

/** Machines that fail each in their own way. */
function machineConfig(machineId: string): unknown {
  const kinds: Record<string, unknown> = {
    'm-0': {seed: 1},
    'm-1': {seed: 2, bootSeconds: 60, failureRates: {crash: 0.3, startRefused: 0.2, rateLimited: 0.1}},
    'm-2': {seed: 3, failureRates: {hangAtBoot: 0.2, ignoresStop: 0.2, unreachable: 0.001}},
    'm-3': {seed: 4, bootSeconds: 20, failureRates: {startLost: 0.2, stopLostInBoot: 0.5}},
    'm-4': {seed: 5, bootSeconds: 30, failureRates: {crash: 0.1, unreachable: 0.001}},
  }
  return kinds[machineId] ?? {}
}

/** What there is before anybody comes. */
export async function furnish({operations}: Engine): Promise<void> {
  const service = {serviceId: idOf<'Service'>('ENCH'), name: 'Enchanting', pricePerHour: price(1000)}
  const realm = {realmId: idOf<'Realm'>('EU'), name: 'Europe', poolId: idOf<'Pool'>('eu')}
  const pack = {packId: idOf<'Pack'>('ten'), name: 'Ten hours', minutes: 600, price: price(5000)}
  const commands = [
    {type: 'ListService', service},
    {type: 'ListRealm', realm},
    {type: 'ListPack', pack},
  ] as const
  for (const command of commands) {
    await operations.changeCatalogue(owner, {idempotencyKey: `furnish-${command.type}`, command})
  }
  for (let index = 0; index < 5; index++) {
    const machineId = idOf<'Machine'>(`m-${index}`)
    const place = {poolId: idOf<'Pool'>('eu'), services: [idOf<'Service'>('ENCH')]}
    const driver = {kind: 'simulated', config: machineConfig(machineId)}
    const request = {idempotencyKey: `furnish-${machineId}`, machineId, name: machineId, ...place, driver}
    await operations.registerMachine(owner, request)
  }
}

/** The next thing somebody wants; null when they want it of nothing. */
export function chooseAct(scene: Scene): {readonly name: string; readonly request: Request} | null {
  const all = Object.entries(acts)
  let left = scene.dice.below(all.reduce((sum, [, [weight]]) => sum + weight, 0))
  for (const [name, [weight, choose]] of all) {
    left -= weight
    if (left >= 0) continue
    const request = choose(scene)
    return request === null ? null : {name, request}
  }
  return null
}
