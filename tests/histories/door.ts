/** Through what clients come in: the dispatcher of an engine in this process. GraphQL has a door of its own. */
import {availableSlots, agendaWindow} from '../../src/calendar/availability.ts'
import {account} from '../../src/account/decider.ts'
import {accountStream} from '../../src/account/events.ts'
import {commandIdOf, type Caller} from '../../src/dispatch/caller.ts'
import type {Engine} from '../../src/engine.ts'
import {derivedUuid, idOf, type BookingId, type UserId} from '../../src/kernel/ids.ts'
import {instantFromMs, msOf, type Clock} from '../../src/kernel/time.ts'
import type {Answer, Booked, Call} from './history.ts'

/** An answer, and the position that a client sends along with what it asks next; null: none. */
export interface Answered {
  readonly answer: Answer
  readonly position: bigint | null
}

/** One node, as clients know it. */
export interface Door {
  readonly node: string
  /**
   * Null: it was not done, and asking again may help; nobody can tell whether something came of it.
   * @throws on an answer that no client should get
   */
  ask(call: Call, key: string, position: bigint | null): Promise<Answered | null>
  /** Whether it takes calls. */
  isOpen(): boolean
}

export const service = idOf<'Service'>('ENCH')
export const realmOf = (pool: string): string => pool.toUpperCase()
export const owner: Caller = {userId: idOf('owner'), roles: ['owner', 'operator'], requestId: 'history'}
const callerOf = (name: string): Caller => ({userId: idOf(name), roles: ['customer'], requestId: `of-${name}`})

/** The id a booking of this customer under this key has, if it comes about. */
export function bookingIdOf(userId: string, key: string): string {
  return derivedUuid('booking', commandIdOf(callerOf(userId), 'book', key))
}

const positionWaitMs = 2_000

export interface EngineDoorParts {
  readonly node: string
  readonly engine: Engine
  readonly clock: Clock
  readonly isForeseen: (error: unknown) => boolean
  readonly isOpen: () => boolean
}

export function engineDoor({node, engine, clock, isForeseen, isOpen}: EngineDoorParts): Door {
  /** The edges answer the position of the read models where a command rests upon nothing else. */
  const reached = (position: bigint | null | undefined): bigint => position ?? engine.projections.position()

  async function change(call: Call, key: string): Promise<Answered> {
    switch (call.type) {
      case 'grant': {
        const gift = {userId: idOf<'User'>(call.account), minutes: call.minutes, reason: 'history', expiresAt: null}
        const done = await engine.purchases.grantHours(owner, {idempotencyKey: key, ...gift})
        if (!done.ok) throw new Error(`no grant: ${done.refusal.type}`)
        return {answer: {type: 'granted'}, position: reached(done.reached)}
      }
      case 'book':
        return book(call, key)
      case 'cancel': {
        const bookingId = idOf<'Booking'>(call.booking.bookingId) as BookingId
        const caller = callerOf(call.booking.account)
        const done = await engine.bookings.cancelBooking(caller, {idempotencyKey: key, bookingId})
        if (done.ok) return {answer: {type: 'cancelled'}, position: reached(done.reached)}
        if (done.refusal.type !== 'AlreadyEnded') throw new Error(`not cancelled: ${done.refusal.type}`)
        return {answer: {type: 'alreadyCancelled'}, position: reached(done.reached)}
      }
      default:
        throw new Error(`${call.type} changes nothing`)
    }
  }

  async function book(call: Extract<Call, {type: 'book'}>, key: string): Promise<Answered> {
    const done = await engine.bookings.book(callerOf(call.account), {
      idempotencyKey: key,
      serviceId: service,
      realmId: idOf<'Realm'>(realmOf(call.pool)),
      start: instantFromMs(call.startMs),
      minutes: call.minutes,
      zone: null,
    })
    const position = reached(done.reached)
    if (done.ok) {
      const {bookingId, machineId} = done.value
      if (bookingId !== call.bookingId) throw new Error(`booking ${bookingId} is not the one asked for`)
      return {answer: {type: 'booked', machineId}, position}
    }
    const {refusal} = done
    if (refusal.type === 'SlotTaken') return {answer: {type: 'taken', untilMs: msOf(refusal.until)}, position}
    if (refusal.type === 'InsufficientHours') {
      return {answer: {type: 'insufficient', available: refusal.availableMinutes}, position}
    }
    throw new Error(`not booked: ${refusal.type}`)
  }

  async function read(call: Call): Promise<Answer> {
    switch (call.type) {
      case 'load': {
        const {grants} = await engine.handler.load(account, accountStream(idOf<'User'>(call.account) as UserId))
        const sum = (of: 'available' | 'held' | 'captured') => grants.reduce((total, grant) => total + grant[of], 0)
        return {type: 'loaded', available: sum('available'), held: sum('held'), captured: sum('captured')}
      }
      case 'balance': {
        const {availableMinutes, heldMinutes} = engine.queries.balances.balance(call.account, clock.now())
        return {type: 'balance', available: availableMinutes, held: heldMinutes}
      }
      case 'slots':
        return {type: 'slots', slots: slotsOf(engine, clock, call)}
      case 'booking':
        return {type: 'booking', status: statusOf(engine, call.booking)}
      default:
        throw new Error(`${call.type} reads nothing`)
    }
  }

  return {
    node,
    isOpen,
    async ask(call, key, position) {
      try {
        if (call.type === 'grant' || call.type === 'book' || call.type === 'cancel') return await change(call, key)
        const isInTime = position === null || (await engine.projections.waitFor(position, positionWaitMs))
        return isInTime ? {answer: await read(call), position: null} : null
      } catch (error) {
        if (isForeseen(error)) return null
        throw error
      }
    },
  }
}

/** As the GraphQL query computes them. */
function slotsOf(engine: Engine, clock: Clock, {account, pool, window}: Extract<Call, {type: 'slots'}>) {
  const from = instantFromMs(window.fromMs)
  const to = instantFromMs(window.toMs)
  const wish = {serviceId: service, from, to, minutes: window.minutes, userId: idOf<'User'>(account)}
  const {fromMs, toMs} = agendaWindow(wish)
  const calendar = engine.queries.availability.poolAgenda(idOf(pool), fromMs, toMs)
  const {slots} = availableSlots(wish, engine.bookings.policy, calendar, clock.now())
  return slots.map(({start, freeMachines}) => [msOf(start), freeMachines] as const)
}

function statusOf(engine: Engine, {bookingId}: Booked): 'none' | 'confirmed' | 'cancelled' {
  const status = engine.queries.agenda.booking(bookingId)?.status
  if (status === undefined) return 'none'
  if (status !== 'confirmed' && status !== 'cancelled') throw new Error(`${bookingId} is ${status}`)
  return status
}
