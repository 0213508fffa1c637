import type {Role} from '../../src/access/events.ts'
import {idOf, type BookingId, type PurchaseId} from '../../src/kernel/ids.ts'
import {plusMinutes, plusMs, type Instant} from '../../src/kernel/time.ts'
import {seeded} from '../support/given.ts'
import {Crashed} from '../support/watched-store.ts'
import {addMachine, book, customer, owner} from '../support/world-acts.ts'
import type {RunningEngine} from '../support/world-engine.ts'
import type {World} from '../support/world.ts'

const names = ['ann', 'bob', 'cyd', 'dan', 'eve']

/** Drivers that fail in their own ways, for a world whose history is to hold every kind of event. */
export const unruly = {
  'eu-1': {seed: 1},
  'eu-2': {seed: 2, bootSeconds: 60, failureRates: {crash: 0.5, startRefused: 0.2}},
  'eu-3': {seed: 3, failureRates: {hangAtBoot: 0.4, ignoresStop: 0.3, unreachable: 0.02}},
  'eu-4': {seed: 4, failureRates: {hangAtBoot: 1}},
}

/**
 * Drives the engine through the dispatcher with seeded chance: purchases, grants, bookings, cancellations, machines that
 * fail and are lifted, new users and changed prices, while the clock goes on and the processes act.
 */
export async function liveThrough(
  world: World,
  current: () => RunningEngine | Promise<RunningEngine>,
  seed: number,
  steps: number,
): Promise<void> {
  const dice = seeded(seed)
  const bookings: [string, BookingId][] = []
  const purchases: PurchaseId[] = []
  const users: string[] = []
  let {engine} = await current()
  for (let step = 0; step < steps; step++) {
    const idempotencyKey = `step-${step}`
    const name = dice.pick(names)
    const answer = act(idempotencyKey, name, dice.below(12))
    await world.during(answer.catch(forgiveDeath))
    engine = (await current()).engine
    if (dice.chance(0.5)) await world.advance(dice.below(40) * 60_000 + dice.below(60_000))
  }
  await world.advance(60_000)
  await cancelAtTheLastMoment()

  /** When the command that starts the machine is ready already. */
  async function cancelAtTheLastMoment(): Promise<void> {
    const {warmUpMinutes} = engine.bookings.policy
    const start = `${plusMinutes(world.now(), 24 * 60 + warmUpMinutes).slice(0, 13)}:00:00.000Z` as Instant
    const hours = {userId: idOf<'User'>('ann'), minutes: 60, reason: 'one more', expiresAt: null}
    await world.during(engine.purchases.grantHours(owner, {idempotencyKey: 'one more', ...hours}).catch(forgiveDeath))
    engine = (await current()).engine
    const booked = await world.during(book(engine, 'ann', start, {key: 'the last'}).catch(forgiveDeath))
    await world.advanceTo(plusMs(plusMinutes(start, -warmUpMinutes), -5_000))
    engine = (await current()).engine
    if (booked === undefined || !booked.ok) return
    const cancel = {idempotencyKey: 'the very last', bookingId: booked.value.bookingId}
    await world.during(engine.bookings.cancelBooking(customer('ann'), cancel).catch(forgiveDeath))
  }

  async function act(idempotencyKey: string, name: string, choice: number): Promise<void> {
    switch (choice) {
      case 0:
        await grantSome(idempotencyKey, name)
        return
      case 1: {
        const started = await engine.purchases.startCheckout(customer(name), {idempotencyKey, packId: idOf('ten')})
        if (started.ok) purchases.push(started.value.purchaseId)
        return
      }
      case 2: {
        const purchaseId = purchases.pop()
        if (purchaseId === undefined) return
        await engine.purchases.markCheckoutPaid(owner, {idempotencyKey, purchaseId, amount: null})
        return
      }
      case 3: {
        const [of, bookingId] = bookings.splice(dice.below(bookings.length), 1)[0] ?? []
        if (of === undefined || bookingId === undefined) return
        await engine.bookings.cancelBooking(customer(of), {idempotencyKey, bookingId})
        return
      }
      case 4:
        await rule(idempotencyKey)
        return
      case 5: {
        const roles = dice.pick<readonly Role[]>([['customer'], ['customer', 'operator'], []])
        const userId = users.length > 0 && dice.chance(0.5) ? dice.pick(users) : null
        if (userId !== null) {
          await engine.people.changeRoles(owner, {idempotencyKey, userId: idOf(userId), roles})
          return
        }
        const registered = await engine.people.registerUser(owner, {idempotencyKey, displayName: `Zoë ${name}`, roles})
        if (registered.ok) users.push(registered.value.userId)
        return
      }
      default: {
        const start = plusMinutes(world.now(), 1 + dice.below(300))
        const onMinute = plusMinutes(start, 0).slice(0, 16)
        const minutes = dice.pick([60, 60, 120])
        const answer = await book(engine, name, `${onMinute}:00.000Z` as typeof start, {key: idempotencyKey, minutes})
        if (answer.ok) bookings.push([name, answer.value.bookingId])
      }
    }
  }

  async function grantSome(idempotencyKey: string, name: string): Promise<void> {
    const expiresAt = dice.chance(0.5) ? plusMinutes(world.now(), 60 + dice.below(600)) : null
    const minutes = 60 * (1 + dice.below(10))
    await engine.purchases.grantHours(owner, {idempotencyKey, userId: idOf(name), minutes, reason: 'luck', expiresAt})
  }

  async function rule(idempotencyKey: string): Promise<void> {
    const machineId = dice.pick(['eu-1', 'eu-2', 'eu-3', 'eu-4'])
    if (dice.chance(0.6)) {
      await engine.operations.liftQuarantine(owner, {idempotencyKey, machineId: idOf(machineId)})
      return
    }
    if (dice.chance(0.3)) {
      await addMachine(engine, `eu-${5 + dice.below(3)}`, {bootSeconds: 3, seed: 9})
      return
    }
    if (dice.chance(0.5)) await world.pullPlug(machineId)
    const pricePerHour = {amountMinor: 500 + dice.below(500), currency: 'USD'}
    const service = {serviceId: idOf<'Service'>('ENCH'), name: 'Enchanting', pricePerHour}
    await engine.operations.changeCatalogue(owner, {idempotencyKey, command: {type: 'ListService', service}})
  }
}

/** Whoever asks an engine that dies of it gets no answer; anything else that goes wrong is a fault. */
function forgiveDeath(error: unknown): void {
  if (!(error instanceof Crashed)) throw error
}
