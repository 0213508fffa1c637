import {commandIdOf} from '../../src/dispatch/caller.ts'
import type {EventStore, RecordedEvent} from '../../src/event-store/port.ts'
import type {EventMetadata} from '../../src/kernel/messages.ts'
import {derivedUuid, type UserId} from '../../src/kernel/ids.ts'
import type {DomainEvent} from '../../projections/projection.ts'
import {checkAccounts} from '../../src/verify/check-accounts.ts'
import {checkBookings} from '../../src/verify/check-bookings.ts'
import {checkCalendar} from '../../src/verify/check-calendar.ts'
import {checkPayments} from '../../src/verify/check-payments.ts'
import {rawId, type Acknowledged, type Answer, type Call} from './client.ts'
import type {ParkEffect} from './park.ts'

/** All that was seen from outside, to be held against the log. */
export interface Evidence {
  readonly events: readonly RecordedEvent[]
  readonly sent: ReadonlyMap<string, Call>
  readonly acknowledged: readonly Acknowledged[]
  readonly effects: readonly ParkEffect[]
  readonly report: (violation: string) => void
}

/** The whole log through the genuine client, without the store's own events. */
export async function readLog(store: EventStore): Promise<readonly RecordedEvent[]> {
  const events: RecordedEvent[] = []
  const maxCount = 5000
  for (;;) {
    const last = events.at(-1)
    // The first of the page is the last of the one before.
    const page = await store.readAll({from: last?.position ?? 'start', maxCount})
    for (const event of page) if (last === undefined || event.position.commit > last.position.commit) events.push(event)
    if (page.length < maxCount) return events.filter(({type}) => !type.startsWith('$'))
  }
}

/** Nothing acknowledged is lost, nothing happens twice, nothing comes from nowhere, and every rule of the log holds. */
export function audit(evidence: Evidence): void {
  checkRules(evidence)
  checkAcknowledged(evidence)
  checkOrigins(evidence)
}

/** The rules of the simulation over the log, and each start of a machine at its place in it. */
function checkRules({events, effects, report}: Evidence): void {
  const rules = [checkAccounts(report), checkBookings(report), checkCalendar(report), checkPayments(report)]
  const starts = checkStarts(report)
  const ids = new Set<string>()
  let next = 0
  const playEffectsUntil = (untilMs: number): void => {
    for (let effect = effects[next]; effect !== undefined && effect.atMs <= untilMs; effect = effects[++next]) {
      if (effect.effect === 'started') starts.started(effect)
    }
  }
  for (const {id, type, data, stream, recordedAtMs, metadata} of events) {
    playEffectsUntil(recordedAtMs - 1)
    if (ids.has(id)) report(`event ${id} is in the log twice`)
    ids.add(id)
    const event = {type, data} as DomainEvent
    for (const rule of rules) rule.see(event, stream, recordedAtMs, (metadata as EventMetadata).at)
    starts.see(event)
  }
  playEffectsUntil(Infinity)
}

/** Who acts on what was just changed could not know it yet. */
const latelyMs = 60_000

/** A machine is started for a booking, intended before, not before its warm-up and not after its end, and once. */
function checkStarts(report: Evidence['report']) {
  const wishes = new Map<string, string | null>()
  const times = new Map<string, {readonly fromMs: number; readonly untilMs: number}>()
  const counts = new Map<string, number>()
  return {
    see(event: DomainEvent): void {
      if (event.type === 'BookingConfirmed') {
        const {bookingId, terms} = event.data
        const fromMs = Date.parse(terms.interval.start) - terms.policy.warmUpMinutes * 60_000
        times.set(bookingId, {fromMs, untilMs: Date.parse(terms.interval.end) + latelyMs})
      }
      if (event.type === 'PowerCommandIntended' && event.data.op === 'start') {
        wishes.set(event.data.machineId, event.data.wish)
      }
    },
    started({machineId, atMs}: ParkEffect): void {
      const wish = wishes.get(machineId) ?? null
      const time = wish === null ? undefined : times.get(wish)
      if (wish === null || time === undefined || atMs < time.fromMs || atMs > time.untilMs) {
        return report(`${machineId} was started at ${new Date(atMs).toISOString()} for nobody`)
      }
      const count = (counts.get(wish) ?? 0) + 1
      counts.set(wish, count)
      if (count > 1) report(`${machineId} was started ${count} times for ${wish}`)
    },
  }
}

/** What each acknowledgement says must be in the log, once. */
function checkAcknowledged({events, acknowledged, report}: Evidence): void {
  const counts = new Map<string, number>()
  const held = new Set<unknown>()
  for (const {stream, type, data} of events) {
    counts.set(`${stream} ${type}`, (counts.get(`${stream} ${type}`) ?? 0) + 1)
    if (type === 'HoursHeld') held.add((data as {readonly bookingId: string}).bookingId)
  }
  const expectCount = ({mutation, key, answer}: Acknowledged, stream: string, type: string, count: number): void => {
    const found = counts.get(`${stream} ${type}`) ?? 0
    if (found === count) return
    report(`${mutation} ${key} was answered ${saidIn(answer)}: ${stream} holds ${found} ${type}, not ${count}`)
  }
  for (const call of acknowledged) {
    const isYes = call.answer.__typename.endsWith('Success')
    switch (call.mutation) {
      case 'book': {
        const stream = `booking-${bookingIdOf(call)}`
        expectCount(call, stream, 'BookingConfirmed', isYes ? 1 : 0)
        if (call.answer.__typename === 'InsufficientHours' && held.has(bookingIdOf(call)))
          report(`${call.key} was answered ${saidIn(call.answer)}, and hours are held for it`)
        const {booking} = call.answer as unknown as {booking?: {id: string} | null}
        const shown = booking?.id === undefined ? stream : `booking-${rawId(booking.id)}`
        if (isYes && shown !== stream) report(`${call.key} became ${shown}`)
        break
      }
      case 'cancelBooking':
        if (isYes) expectCount(call, `booking-${String(call.input['bookingId'])}`, 'BookingCancelled', 1)
        break
      case 'startCheckout':
        if (isYes) expectCount(call, `purchase-${purchaseIdOf(call)}`, 'CheckoutStarted', 1)
        break
      case 'markCheckoutPaid': {
        const stream = `purchase-${String(call.input['purchaseId'])}`
        for (const type of ['PaymentReceived', 'PurchaseFulfilled']) if (isYes) expectCount(call, stream, type, 1)
        break
      }
      case 'registerUser':
      case 'grantHours':
        if (!isYes) report(`${call.mutation} ${call.key} was refused: ${JSON.stringify(call.answer)}`)
    }
  }
}

const saidIn = ({__typename, code}: Answer): string =>
  typeof code === 'string' ? `${__typename} (${code})` : __typename

/** Every booking, purchase and grant in the log was asked for by somebody, by way of one key each. */
function checkOrigins({events, sent, report}: Evidence): void {
  const known = new Set<string>()
  for (const call of sent.values()) {
    if (call.mutation === 'book') known.add(`booking-${bookingIdOf(call)}`)
    if (call.mutation === 'startCheckout') known.add(`purchase-${purchaseIdOf(call)}`)
  }
  for (const {stream, type} of events) {
    const isWish = type === 'BookingConfirmed' || type === 'CheckoutStarted'
    if (isWish && !known.has(stream)) report(`nobody asked for ${stream}`)
  }
}

const bookingIdOf = (call: Call): string => derivedUuid('booking', commandIdOf(callerOf(call), 'book', call.key))
const purchaseIdOf = (call: Call): string =>
  derivedUuid('purchase', commandIdOf(callerOf(call), 'startCheckout', call.key))

const callerOf = ({userId}: Call) => ({userId, roles: [], requestId: ''}) as const

export interface Balance {
  readonly availableMinutes: number
  readonly heldMinutes: number
}

/** What each account holds by the log alone. */
export function balancesOf(events: readonly RecordedEvent[]): ReadonlyMap<UserId, Balance> {
  const balances = new Map<UserId, Balance>()
  for (const {type, data, stream} of events) {
    const event = {type, data} as DomainEvent
    const userId = stream.slice('account-'.length) as UserId
    const {availableMinutes, heldMinutes} = balances.get(userId) ?? {availableMinutes: 0, heldMinutes: 0}
    const move = (available: number, held: number): void => {
      balances.set(userId, {availableMinutes: availableMinutes + available, heldMinutes: heldMinutes + held})
    }
    switch (event.type) {
      case 'HoursGranted':
        move(event.data.minutes, 0)
        break
      case 'HoursHeld':
        move(-event.data.minutes, event.data.minutes)
        break
      case 'HoursCaptured':
        move(0, -event.data.minutes)
        break
      case 'HoursReleased':
      case 'HoursCompensated':
        move(event.data.minutes, -event.data.minutes)
        break
      case 'HoursExpired':
        move(-event.data.minutes, 0)
        break
      default:
    }
  }
  return balances
}

/** The status each booking has by the log alone, as the API names it, and its customer. */
export function statusesOf(
  events: readonly RecordedEvent[],
): ReadonlyMap<string, {readonly userId: UserId; status: string}> {
  const bookings = new Map<string, {readonly userId: UserId; status: string}>()
  for (const {type, data} of events) {
    const event = {type, data} as DomainEvent
    if (event.type === 'BookingConfirmed') {
      bookings.set(event.data.bookingId, {userId: event.data.terms.userId, status: 'CONFIRMED'})
    }
    const status = statusAfter[event.type]
    const booking = status === undefined ? undefined : bookings.get((data as {bookingId: string}).bookingId)
    if (booking !== undefined && status !== undefined) booking.status = status
  }
  return bookings
}

const statusAfter: Readonly<Record<string, string>> = {
  BookingStarted: 'STARTED',
  BookingEnded: 'ENDED',
  BookingCancelled: 'CANCELLED',
  BookingFailed: 'FAILED',
}
