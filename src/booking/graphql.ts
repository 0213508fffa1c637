import type {AgendaCursor, BookingRow, BookingRowStatus} from '../../projections/agenda.ts'
import type {BookRefusal} from '../dispatch/bookings.ts'
import type {CallerRefusal} from '../dispatch/caller.ts'
import {builder} from '../graphql/builder.ts'
import {isOperator, requireCaller, type GraphqlContext} from '../graphql/context.ts'
import {forbidden, notFound} from '../graphql/errors.ts'
import {idInput, keyInput, optionalIdInput} from '../graphql/inputs.ts'
import {pageOf, type PageArgs} from '../graphql/paging.ts'
import {bookingRef, machineRef, realmRef, serviceRef, userRef} from '../graphql/refs.ts'
import {
  answered,
  defineRefusal,
  payloadUnion,
  positionDescription,
  type AnyRefusal,
  type Written,
} from '../graphql/refusals.ts'
import type {Change} from '../graphql/subscriptions.ts'
import {quoteRef, tierRef} from '../graphql/terms.ts'
import {startOf, wallTimeInput, type WallTimeRefusal} from '../graphql/wall-time.ts'
import type {BookingTerms} from '../kernel/terms.ts'
import {parseInstant} from '../kernel/time.ts'
import type {BookingRefusal} from './decider.ts'
import type {BookingPolicy, PolicyRefusal} from './policies.ts'

// ── what there is to see ──

const statusEnum = builder.enumType('BookingStatus', {
  values: {
    CONFIRMED: {value: 'confirmed', description: 'Hours are held and a machine is allocated.'},
    STARTED: {value: 'started', description: 'The machine is there.'},
    ENDED: {value: 'ended'},
    CANCELLED: {value: 'cancelled'},
    FAILED: {value: 'failed', description: 'No machine could be had; what was not used went back.'},
  } as const satisfies Record<string, {readonly value: BookingRowStatus; readonly description?: string}>,
})

builder.node(bookingRef, {
  description: 'An agreement about a machine for an interval. Seen by its customer and by operators.',
  id: {resolve: row => row.booking_id},
  loadOne: (id, context) => visibleBooking(context, id),
  fields: t => ({
    status: t.field({type: statusEnum, resolve: ({status}) => status}),
    start: t.field({type: 'DateTime', resolve: row => row.starts_at}),
    end: t.field({type: 'DateTime', resolve: row => row.ends_at}),
    zone: t.exposeString('zone', {nullable: true, description: 'The zone whose wall time was asked for.'}),
    minutes: t.exposeInt('minutes'),
    service: t.field({
      type: serviceRef,
      nullable: true,
      resolve: (row, _args, {parts}) => parts.queries.catalogue.service(row.service_id),
    }),
    realm: t.field({
      type: realmRef,
      nullable: true,
      resolve: (row, _args, {parts}) => parts.queries.catalogue.realm(row.realm_id),
    }),
    customer: t.field({
      type: userRef,
      nullable: true,
      resolve: (row, _args, {parts}) => parts.queries.users.user(row.user_id),
    }),
    machine: t.field({
      type: machineRef,
      nullable: true,
      description: 'For operators; null for everybody else.',
      resolve: (row, _args, context) =>
        isOperator(context) ? context.parts.queries.machines.machine(row.machine_id) : null,
    }),
    price: t.field({type: quoteRef, resolve: row => termsOf(row).price}),
    cancellationTiers: t.field({type: [tierRef], resolve: row => termsOf(row).policy.cancellationTiers}),
    confirmedAt: t.field({type: 'DateTime', resolve: row => row.confirmed_at}),
    startedAt: t.field({type: 'DateTime', nullable: true, resolve: row => row.started_at}),
    interruptedAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'Since when the machine has been away in the middle of the session.',
      resolve: row => row.interrupted_at,
    }),
    overAt: t.field({type: 'DateTime', nullable: true, resolve: row => row.over_at}),
    reason: t.exposeString('reason', {nullable: true, description: 'Why it failed.'}),
    usedMinutes: t.exposeInt('used_minutes', {nullable: true, description: 'Charged; null until it is over.'}),
    lostMinutes: t.exposeInt('lost_minutes', {nullable: true, description: 'Given back, because it was our fault.'}),
  }),
})

function termsOf(row: BookingRow): BookingTerms {
  return JSON.parse(row.terms) as BookingTerms
}

function visibleBooking(context: GraphqlContext, id: string): BookingRow | null {
  const caller = requireCaller(context)
  const row = context.parts.queries.agenda.booking(id)
  return row !== null && (row.user_id === caller.userId || isOperator(context)) ? row : null
}

// ── lists ──

const bookingConnection = builder.connectionObject({type: bookingRef, name: 'BookingConnection'}, {name: 'BookingEdge'})

interface BookingFilter {
  readonly userId: string | null
  readonly machineId: string | null
  readonly status: BookingRowStatus | null
}

function bookingPage({parts}: GraphqlContext, filter: BookingFilter, args: PageArgs) {
  return pageOf<BookingRow, AgendaCursor>(args, {
    placeOf: row => [row.starts_at, row.booking_id],
    parsePlace([start, bookingId]) {
      const startsAt = parseInstant(start)
      return startsAt === null || typeof bookingId !== 'string' ? null : {startsAt, bookingId}
    },
    // Read from the back, the list is the other way round, and so is what lies before and after.
    load: ({after, before, limit, backwards}) =>
      parts.queries.agenda.bookings({
        ...filter,
        after: backwards ? before : after,
        before: backwards ? after : before,
        descending: !backwards,
        limit,
      }),
  })
}

builder.objectField(userRef, 'bookings', t =>
  t.connection(
    {
      type: bookingRef,
      description: 'Latest start first.',
      args: {status: t.arg({type: statusEnum})},
      resolve: ({userId}, args, context) =>
        bookingPage(context, {userId, machineId: null, status: args.status ?? null}, args),
    },
    bookingConnection,
  ),
)

builder.queryFields(t => ({
  booking: t.field({
    type: bookingRef,
    nullable: true,
    args: {id: t.arg.id({required: true})},
    resolve(_root, {id}, context) {
      const row = visibleBooking(context, idInput('Booking', 'id', id))
      if (row === null) throw notFound()
      return row
    },
  }),
  bookings: t.connection(
    {
      type: bookingRef,
      description:
        'Latest start first. Customers get their own; operators get all, or those of one user or machine. Asked for ' +
        'somebody else’s, a customer is answered NOT_FOUND.',
      args: {userId: t.arg.id(), machineId: t.arg.id(), status: t.arg({type: statusEnum})},
      resolve(_root, args, context) {
        const caller = requireCaller(context)
        const asked = optionalIdInput('User', 'userId', args.userId)
        const machineId = optionalIdInput('Machine', 'machineId', args.machineId)
        const foreign = machineId !== null || (asked !== null && asked !== caller.userId)
        if (foreign && !isOperator(context)) throw notFound()
        const userId = isOperator(context) ? asked : caller.userId
        return bookingPage(context, {userId, machineId, status: args.status ?? null}, args)
      },
    },
    bookingConnection,
  ),
}))

// ── the rules and the price ──

const policyRef = builder.objectRef<BookingPolicy>('BookingPolicy').implement({
  description: 'What can be booked, and on what terms.',
  fields: t => ({
    minutesMin: t.exposeInt('minutesMin'),
    minutesMax: t.exposeInt('minutesMax'),
    stepMinutes: t.exposeInt('stepMinutes', {description: 'A booking lasts a multiple of this.'}),
    slotStepMinutes: t.exposeInt('slotStepMinutes', {description: 'Offered slots begin on this grid.'}),
    noticeMinutesMin: t.exposeInt('noticeMinutesMin'),
    horizonDays: t.exposeInt('horizonDays', {description: 'How far ahead a booking may end.'}),
    warmUpMinutes: t.exposeInt('warmUpMinutes'),
    turnaroundMinutes: t.exposeInt('turnaroundMinutes'),
    cancellationTiers: t.field({type: [tierRef], resolve: ({cancellationTiers}) => [...cancellationTiers]}),
  }),
})

type QuoteRefusal = {readonly type: 'UnknownService' | 'LengthNotAllowed' | 'OutsideHorizon'}
const quoteResult = payloadUnion<QuoteRefusal>()('QuoteResult', quoteRef, {
  UnknownService: true,
  LengthNotAllowed: true,
  OutsideHorizon: true,
})

builder.queryFields(t => ({
  bookingPolicy: t.field({type: policyRef, resolve: (_root, _args, {parts}) => parts.bookings.policy}),
  quote: t.field({
    type: quoteResult,
    args: {serviceId: t.arg.id({required: true}), minutes: t.arg.int({required: true})},
    resolve(_root, args, {parts}): BookingTerms['price'] | AnyRefusal {
      const serviceId = idInput('Service', 'serviceId', args.serviceId)
      const answer = parts.bookings.quote({serviceId, minutes: args.minutes})
      return answer.ok ? answer.quote : answer.refusal
    },
  }),
}))

// ── refusals ──

type PolicyRefusalOf<Type> = Extract<PolicyRefusal, {type: Type}>

defineRefusal<PolicyRefusalOf<'StartInPast'>>('StartInPast', {
  code: 'START_IN_PAST',
  message: () => 'The start lies in the past.',
})
defineRefusal<PolicyRefusalOf<'StartNotOnMinute'>>('StartNotOnMinute', {
  code: 'START_NOT_ON_MINUTE',
  message: () => 'A booking starts on a whole minute.',
})
defineRefusal<PolicyRefusalOf<'NoticeTooShort'>>('NoticeTooShort', {
  code: 'NOTICE_TOO_SHORT',
  message: ({earliest}) => `A booking can start at ${earliest} at the earliest.`,
  fields: t => ({earliest: t.field({type: 'DateTime', resolve: ({earliest}) => earliest})}),
})
defineRefusal<PolicyRefusalOf<'OutsideHorizon'>>('OutsideHorizon', {
  code: 'OUTSIDE_HORIZON',
  message: ({latest}) => `A booking can end at ${latest} at the latest.`,
  fields: t => ({latest: t.field({type: 'DateTime', resolve: ({latest}) => latest})}),
})
defineRefusal<PolicyRefusalOf<'LengthNotAllowed'>>('LengthNotAllowed', {
  code: 'LENGTH_NOT_ALLOWED',
  message: ({minutesMin, minutesMax, stepMinutes}) =>
    `A booking lasts ${minutesMin} to ${minutesMax} minutes, in steps of ${stepMinutes}.`,
  fields: t => ({
    minutesMin: t.exposeInt('minutesMin'),
    minutesMax: t.exposeInt('minutesMax'),
    stepMinutes: t.exposeInt('stepMinutes'),
  }),
})
defineRefusal<Extract<BookingRefusal, {type: 'NoSuchBooking'}>>('NoSuchBooking', {
  code: 'NOT_FOUND',
  message: () => 'There is no such booking, or it is not yours.',
})
defineRefusal<Extract<BookingRefusal, {type: 'AlreadyEnded'}>>('AlreadyEnded', {
  code: 'ALREADY_ENDED',
  message: ({status}) => `The booking is ${status} already.`,
  fields: t => ({status: t.field({type: statusEnum, resolve: ({status}) => status})}),
})

// ── mutations ──

const bookingSuccess = <Name extends string>(name: Name) =>
  builder.objectRef<Written & {readonly bookingId: string}>(name).implement({
    fields: t => ({
      booking: t.field({
        type: bookingRef,
        nullable: true,
        description: 'Null while this node has not read it back; ask again with `position`.',
        resolve: ({bookingId}, _args, {parts}) => parts.queries.agenda.booking(bookingId),
      }),
      position: t.exposeString('position', {description: positionDescription}),
    }),
  })

const bookPayload = payloadUnion<BookRefusal | CallerRefusal | WallTimeRefusal>()(
  'BookPayload',
  bookingSuccess('BookSuccess'),
  {
    InsufficientHours: true,
    SlotTaken: true,
    NoMachineServes: true,
    StartInPast: true,
    StartNotOnMinute: true,
    NoticeTooShort: true,
    OutsideHorizon: true,
    LengthNotAllowed: true,
    AmbiguousWallTime: true,
    NonexistentWallTime: true,
    UnknownService: true,
    UnknownRealm: true,
    Forbidden: true,
    IdempotencyKeyReused: true,
  },
)

const cancelBookingPayload = payloadUnion<BookingRefusal | CallerRefusal>()(
  'CancelBookingPayload',
  bookingSuccess('CancelBookingSuccess'),
  {NoSuchBooking: true, AlreadyEnded: true, Forbidden: true, IdempotencyKeyReused: true},
)

const bookInput = builder.inputType('BookInput', {
  description: 'Give either `start` or `wallTime`. Hours and price follow from the length; they cannot be sent.',
  fields: t => ({
    idempotencyKey: t.string({required: true}),
    serviceId: t.id({required: true}),
    realmId: t.id({required: true}),
    start: t.field({type: 'DateTime'}),
    wallTime: t.field({type: wallTimeInput}),
    minutes: t.int({required: true}),
  }),
})

const cancelBookingInput = builder.inputType('CancelBookingInput', {
  fields: t => ({idempotencyKey: t.string({required: true}), bookingId: t.id({required: true})}),
})

builder.mutationFields(t => ({
  book: t.field({
    type: bookPayload,
    description: 'Books a slot for oneself and holds its minutes.',
    args: {input: t.arg({type: bookInput, required: true})},
    resolve(_root, {input}, context) {
      const caller = requireCaller(context)
      const idempotencyKey = keyInput(input.idempotencyKey)
      const serviceId = idInput('Service', 'serviceId', input.serviceId)
      const realmId = idInput('Realm', 'realmId', input.realmId)
      const chosen = startOf(input)
      if ('refusal' in chosen) return chosen.refusal
      const request = {idempotencyKey, serviceId, realmId, ...chosen, minutes: input.minutes}
      return answered(context, context.parts.bookings.book(caller, request), ({bookingId}) => ({bookingId}))
    },
  }),
  cancelBooking: t.field({
    type: cancelBookingPayload,
    description: 'Cancels a booking on the terms agreed when it was made. Operators cancel anybody’s.',
    args: {input: t.arg({type: cancelBookingInput, required: true})},
    resolve(_root, {input}, context) {
      const caller = requireCaller(context)
      const idempotencyKey = keyInput(input.idempotencyKey)
      const bookingId = idInput('Booking', 'bookingId', input.bookingId)
      const done = context.parts.bookings.cancelBooking(caller, {idempotencyKey, bookingId})
      return answered(context, done, () => ({bookingId}))
    },
  }),
}))

builder.subscriptionField('bookingChanged', t =>
  t.field({
    type: bookingRef,
    description:
      'One booking, beginning with its state of now; without `bookingId`, every booking of one’s own that changes, or, ' +
      'for operators, of anybody.',
    args: {bookingId: t.arg.id()},
    subscribe(_root, args, context) {
      const caller = requireCaller(context)
      const bookingId = optionalIdInput('Booking', 'bookingId', args.bookingId)
      if (bookingId === null) {
        const topic = isOperator(context) ? 'booking:all' : `booking:user:${caller.userId}`
        return context.subscriptions.open(context, topic)
      }
      if (visibleBooking(context, bookingId) === null) throw forbidden()
      return context.subscriptions.open(context, `booking:id:${bookingId}`, bookingId)
    },
    resolve(change: Change, _args, context) {
      if (change.end !== null) throw change.end
      const row = visibleBooking(context, change.id)
      if (row === null) throw notFound()
      return row
    },
  }),
)
