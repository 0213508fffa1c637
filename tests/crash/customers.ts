import {setTimeout as after} from 'node:timers/promises'
import type {UserId} from '../../src/kernel/ids.ts'
import type {Dice} from '../simulation/dice.ts'
import {rawId, userIdOf, type Answer, type Call, type Client} from './client.ts'
import {ownerId, type TestClock} from './nodes.ts'

/** People who buy, book and cancel as fast as they are answered, each one thing at a time. */
export interface Customers {
  readonly userIds: readonly UserId[]
  /** Resolves once all have stopped; what is under way is finished first. */
  stop(): Promise<void>
}

export interface CustomersParts {
  readonly client: Client
  readonly clock: TestClock
  readonly dice: Dice
  readonly count: number
  readonly report: (violation: string) => void
}

const minuteMs = 60_000
const thinkMs = 15
const bookingFields = 'booking { id status }'

/** Registers the customers and gives each some hours. */
export async function registerCustomers({client, count}: CustomersParts, signal: AbortSignal): Promise<UserId[]> {
  const register = async (index: number): Promise<UserId> => {
    const answer = await client.send(
      {
        key: `register-${index}`,
        userId: ownerId,
        mutation: 'registerUser',
        input: {displayName: `Customer ${index}`, roles: ['CUSTOMER']},
        fields: 'user { id }',
      },
      signal,
    )
    const userId = userIdOf((answer as unknown as {user: {id: string}}).user.id)
    const hours = {userId, minutes: 60, reason: 'a welcome'}
    const gift: Call = {key: `gift-${index}`, userId: ownerId, mutation: 'grantHours', input: hours, fields: ''}
    await client.send(gift, signal)
    return userId
  }
  return Promise.all(Array.from({length: count}, (_, index) => register(index)))
}

/** Lets them loose until `stop`. */
export function letLoose(parts: CustomersParts, userIds: readonly UserId[]): Customers {
  const stopping = new AbortController()
  // What is under way when they stop is still repeated until it is answered, for so long.
  const givenUp = new AbortController()
  let keys = 0
  const life: Life = {
    ...parts,
    keyOf: what => `${what}-${++keys}`,
    send: call => parts.client.send(call, givenUp.signal),
    isOver: () => stopping.signal.aborted,
  }
  const lives = userIds.map(userId => live(life, userId))
  return {
    userIds,
    async stop() {
      stopping.abort()
      const timer = setTimeout(() => {
        parts.report('a request was not answered within a minute, with nothing in its way')
        givenUp.abort()
      }, minuteMs)
      await Promise.all(lives)
      clearTimeout(timer)
    },
  }
}

interface Life extends CustomersParts {
  keyOf(what: string): string
  send(call: Call): Promise<Answer | null>
  isOver(): boolean
}

async function live(life: Life, userId: UserId): Promise<void> {
  const {dice} = life
  const bookings: string[] = []
  const booked: Call[] = []
  while (!life.isOver()) {
    await after(thinkMs)
    const luck = dice.next()
    if (luck < 0.12) {
      await buy(life, userId)
    } else if (luck < 0.72) {
      const {answer, ...call} = await book(life, userId)
      if (answer?.__typename === 'InsufficientHours') await buy(life, userId)
      if (answer?.__typename !== 'BookSuccess') continue
      booked.push(call)
      const {booking} = answer as unknown as {booking: {id: string} | null}
      if (booking !== null) bookings.push(rawId(booking.id))
    } else if (luck < 0.92) {
      const [bookingId] = bookings.splice(dice.below(bookings.length), 1)
      if (bookingId !== undefined) await cancel(life, userId, bookingId)
    } else {
      await repeat(life, dice.pick(booked))
    }
  }
}

async function buy(life: Life, userId: UserId): Promise<void> {
  const bought: Call = {
    key: life.keyOf('checkout'),
    userId,
    mutation: 'startCheckout',
    input: {packId: 'pack-10h'},
    fields: 'purchase { id }',
  }
  const checkout = await life.send(bought)
  const id = (checkout as unknown as {purchase?: {id: string} | null} | null)?.purchase?.id
  if (typeof id !== 'string') return
  await life.send({
    key: life.keyOf('paid'),
    userId: ownerId,
    mutation: 'markCheckoutPaid',
    input: {purchaseId: rawId(id)},
    fields: 'purchase { id status }',
  })
}

async function book(life: Life, userId: UserId): Promise<Call & {readonly answer: Answer | null}> {
  const {client, clock, dice} = life
  const isSoon = dice.chance(0.7)
  // Soon is so soon that the machine is started for it at once, and often too soon for all who want it.
  const lead = isSoon ? dice.below(3) : 60 * (24 + dice.below(24 * 50))
  const startMs = (Math.floor(clock.nowMs() / minuteMs) + 1 + lead) * minuteMs
  const call: Call = {
    key: life.keyOf('book'),
    userId,
    mutation: 'book',
    input: {
      serviceId: 'ENCH',
      realmId: dice.pick(['EU', 'NA', 'KR']),
      start: new Date(startMs).toISOString(),
      minutes: isSoon ? 1 + dice.below(2) : 60,
    },
    fields: bookingFields,
  }
  // Some give up when they get no answer: then nobody but the program itself can bring the booking to its end.
  const isImpatient = dice.chance(0.4)
  return {...call, answer: await (isImpatient ? client.sendOnce(call) : life.send(call))}
}

async function cancel(life: Life, userId: UserId, bookingId: string): Promise<void> {
  const key = life.keyOf('cancel')
  await life.send({key, userId, mutation: 'cancelBooking', input: {bookingId}, fields: bookingFields})
}

/** Sent once more long after it was answered, perhaps by a program that has died since: the same booking. */
async function repeat(life: Life, call: Call | undefined): Promise<void> {
  if (call === undefined) return
  const again = await life.send(call)
  // Without an answer there was none in time, which is told already.
  if (again === null || again.__typename === 'BookSuccess') return
  life.report(`${call.key}, sent again, was answered ${JSON.stringify(again)}`)
}
