import {account} from '../account/decider.ts'
import {accountStream} from '../account/events.ts'
import {booking, type Booking, type BookingRefusal} from '../booking/decider.ts'
import {bookingStream} from '../booking/events.ts'
import {checkRequest, snapshotOf, type BookingPolicy, type PolicyRefusal} from '../booking/policies.ts'
import type {Discount, Realm, Service} from '../catalogue/decider.ts'
import {quoteFor, type Quote} from '../catalogue/pricing.ts'
import type {Handler} from '../event-store/handler.ts'
import {derivedUuid, type BookingId, type CommandId, type RealmId, type ServiceId} from '../kernel/ids.ts'
import {lookUp} from '../kernel/persistent-map.ts'
import type {BookingTerms} from '../kernel/terms.ts'
import {plusMinutes, type Clock, type Instant} from '../kernel/time.ts'
import {bookSlot, type BookSlotRefusal} from '../processes/book-slot.ts'
import {causeOf, hasRole, metaOf, type Answer, type Caller} from './caller.ts'
import type {Once} from './once.ts'

export interface BookRequest {
  readonly idempotencyKey: string
  readonly serviceId: ServiceId
  readonly realmId: RealmId
  readonly start: Instant
  readonly minutes: number
  /** IANA zone the customer chose the time in; null when it came as an instant. */
  readonly zone: string | null
}

export interface CancelRequest {
  readonly idempotencyKey: string
  readonly bookingId: BookingId
}

export type CatalogueRefusal =
  | {readonly type: 'UnknownService'; readonly field: 'serviceId'}
  | {readonly type: 'UnknownRealm'; readonly field: 'realmId'}

export type BookRefusal = BookSlotRefusal | PolicyRefusal | CatalogueRefusal

export interface Catalogue {
  service(id: string): Service | null
  realm(id: string): Realm | null
  discount(): Discount | null
}

export interface Bookings {
  book(caller: Caller, request: BookRequest): Promise<Answer<Booking, BookRefusal>>
  cancelBooking(caller: Caller, request: CancelRequest): Promise<Answer<Booking, BookingRefusal>>
  quote(request: {
    readonly serviceId: ServiceId
    readonly minutes: number
  }):
    | {readonly ok: true; readonly quote: Quote}
    | {readonly ok: false; readonly refusal: CatalogueRefusal | PolicyRefusal}
  readonly policy: BookingPolicy
}

export interface BookingsParts {
  readonly handler: Handler
  readonly clock: Clock
  readonly catalogue: Catalogue
  readonly policy: BookingPolicy
  readonly once: Once
}

export function createBookings(parts: BookingsParts): Bookings {
  const {handler, clock, catalogue, policy, once} = parts

  async function bookOnce(
    caller: Caller,
    request: BookRequest,
    commandId: CommandId,
  ): Promise<Answer<Booking, BookRefusal>> {
    const bookingId = derivedUuid('booking', commandId) as BookingId
    const agreed = termsFor(caller, request)
    if ('refusal' in agreed) return {ok: false, refusal: agreed.refusal}
    const refusal = checkRequest(request, policy, clock.now())
    // A repeat of a booking that was made when its time still lay ahead gets that booking.
    if (refusal !== null && !(await isKnown(caller, bookingId))) return {ok: false, refusal}
    const cause = {...causeOf(caller), arrivedAtMs: caller.arrivedAtMs, begunAt: clock.now()}
    const answer = await bookSlot(handler, bookingId, agreed.terms, cause)
    return answer.ok ? {ok: true, value: answer.booking, reached: answer.reached} : answer
  }

  function termsFor(caller: Caller, request: BookRequest): {terms: BookingTerms} | {refusal: BookRefusal} {
    const {serviceId, realmId, start, minutes, zone} = request
    const service = catalogue.service(serviceId)
    if (service === null) return {refusal: {type: 'UnknownService', field: 'serviceId'}}
    const realm = catalogue.realm(realmId)
    if (realm === null) return {refusal: {type: 'UnknownRealm', field: 'realmId'}}
    const length = checkLength(minutes, start)
    if (length !== null) return {refusal: length}
    const interval = {start, end: plusMinutes(start, minutes)}
    const price = quoteFor(service, catalogue.discount(), minutes)
    const place = {userId: caller.userId, serviceId, realmId, poolId: realm.poolId}
    return {terms: {...place, interval, zone, minutes, price, policy: snapshotOf(policy)}}
  }

  /** Terms need an end that can be written down; the other rules may be out of date for a repeat. */
  function checkLength(minutes: number, start: Instant): PolicyRefusal | null {
    const refusal = checkRequest({start, minutes}, policy, clock.now())
    return refusal?.type === 'LengthNotAllowed' || refusal?.type === 'OutsideHorizon' ? refusal : null
  }

  async function isKnown(caller: Caller, bookingId: BookingId): Promise<boolean> {
    const {holds, ended} = await handler.load(account, accountStream(caller.userId))
    return lookUp(holds, bookingId) !== undefined || lookUp(ended, bookingId) !== undefined
  }

  return {
    policy,
    book: (caller, request) => once(caller, 'book', request, id => bookOnce(caller, request, id)),
    cancelBooking: (caller, request) =>
      once(caller, 'cancelBooking', request, async commandId => {
        const asOperator = hasRole(caller, 'operator')
        const command = {type: 'CancelBooking', commandId, by: caller.userId, asOperator} as const
        const stream = bookingStream(request.bookingId)
        const answer = await handler.handle(booking, stream, command, metaOf(caller, commandId))
        if (!answer.ok) return {ok: false, refusal: hiding(answer.refusal)}
        if (answer.state === null) return {ok: false, refusal: {type: 'NoSuchBooking'}}
        return {ok: true, value: answer.state, reached: answer.reached}
      }),
    quote({serviceId, minutes}) {
      const service = catalogue.service(serviceId)
      if (service === null) return {ok: false, refusal: {type: 'UnknownService', field: 'serviceId'}}
      const refusal = checkLength(minutes, clock.now())
      if (refusal !== null) return {ok: false, refusal}
      return {ok: true, quote: quoteFor(service, catalogue.discount(), minutes)}
    },
  }
}

/** Whether somebody else's booking exists is nobody's business. */
function hiding(refusal: BookingRefusal): BookingRefusal {
  return refusal.type === 'NotYours' ? {type: 'NoSuchBooking'} : refusal
}
