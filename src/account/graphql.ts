import type {Balance, LedgerKind, LedgerRow} from '../../projections/balances.ts'
import type {CallerRefusal} from '../dispatch/caller.ts'
import {builder} from '../graphql/builder.ts'
import {isOperator, requireCaller, type GraphqlContext} from '../graphql/context.ts'
import {notFound} from '../graphql/errors.ts'
import {idInput, keyInput, optionalIdInput, rangeInput, textInput} from '../graphql/inputs.ts'
import {pageOf, type PageArgs} from '../graphql/paging.ts'
import {ledgerLineRef, userRef} from '../graphql/refs.ts'
import {answered, defineRefusal, payloadUnion, positionDescription, type Written} from '../graphql/refusals.ts'
import type {Change} from '../graphql/subscriptions.ts'
import type {AccountRefusal} from './decider.ts'

const grantMinutesMax = 10_000_000
const reasonCharactersMax = 200

const balanceRef = builder.objectRef<Balance>('Balance').implement({
  fields: t => ({
    availableMinutes: t.exposeInt('availableMinutes', {description: 'What can be booked with now.'}),
    heldMinutes: t.exposeInt('heldMinutes', {description: 'Set aside for bookings that are not over.'}),
  }),
})

const kindNames = {
  GRANTED: {value: 'granted', description: 'Bought, or given by an operator.'},
  HELD: {value: 'held', description: 'Set aside for a booking.'},
  CAPTURED: {value: 'captured', description: 'Used.'},
  RELEASED: {value: 'released', description: 'Given back unused.'},
  COMPENSATED: {value: 'compensated', description: 'Given back because the machine was not there.'},
  EXPIRED: {value: 'expired', description: 'Not used in time.'},
} as const satisfies Record<string, {readonly value: LedgerKind; readonly description: string}>

const ledgerKind = builder.enumType('LedgerKind', {values: kindNames})

ledgerLineRef.implement({
  description: 'One movement of minutes in an account.',
  fields: t => ({
    kind: t.field({type: ledgerKind, resolve: ({kind}) => kind}),
    minutes: t.exposeInt('minutes'),
    at: t.field({type: 'DateTime', resolve: ({at}) => at}),
    bookingId: t.id({
      nullable: true,
      description: 'A global id; the booking may be one that did not come about.',
      resolve: row => (row.booking_id === null ? null : `Booking:${row.booking_id}`),
    }),
    grantId: t.id({nullable: true, resolve: row => row.grant_id}),
    availableMinutesAfter: t.exposeInt('available_after'),
    heldMinutesAfter: t.exposeInt('held_after'),
  }),
})

const ledgerConnection = builder.connectionObject(
  {type: ledgerLineRef, name: 'LedgerConnection'},
  {name: 'LedgerLineEdge'},
)

builder.objectFields(userRef, t => ({
  balance: t.field({type: balanceRef, resolve: ({userId}, _args, context) => balanceOf(context, userId)}),
  ledger: t.connection(
    {
      type: ledgerLineRef,
      description: 'Newest first.',
      resolve: ({userId}, args, context) => ledgerPage(context, userId, args),
    },
    ledgerConnection,
  ),
}))

builder.queryField('ledger', t =>
  t.connection(
    {
      type: ledgerLineRef,
      description: 'The account’s movements, newest first: one’s own, or, for operators, anybody’s.',
      args: {userId: t.arg.id()},
      resolve(_root, args, context) {
        const caller = requireCaller(context)
        const userId = optionalIdInput('User', 'userId', args.userId) ?? caller.userId
        if (userId !== caller.userId && !isOperator(context)) throw notFound()
        return ledgerPage(context, userId, args)
      },
    },
    ledgerConnection,
  ),
)

function balanceOf({parts}: GraphqlContext, userId: string): Balance {
  return parts.queries.balances.balance(userId, parts.clock.now())
}

function ledgerPage({parts}: GraphqlContext, userId: string, args: PageArgs) {
  const {balances} = parts.queries
  return pageOf<LedgerRow, number>(args, {
    placeOf: ({revision}) => [revision],
    parsePlace: ([revision]) => (Number.isSafeInteger(revision) ? (revision as number) : null),
    load({after, before, limit, backwards}) {
      const isInside = ({revision}: LedgerRow) => before === null || revision > before
      if (!backwards) return balances.ledger(userId, after, limit).filter(isInside)
      // Every event of an account is a line, so the lines' numbers have no gaps: the oldest lines are counted off.
      const upTo = Math.min(after ?? Number.MAX_SAFE_INTEGER, (before ?? -1) + limit + 1)
      return balances.ledger(userId, upTo, limit).filter(isInside).reverse()
    },
  })
}

defineRefusal<Extract<AccountRefusal, {type: 'InsufficientHours'}>>('InsufficientHours', {
  code: 'INSUFFICIENT_HOURS',
  message: ({availableMinutes, neededMinutes}) =>
    `This takes ${neededMinutes} minutes, and ${availableMinutes} are available.`,
  fields: t => ({
    availableMinutes: t.exposeInt('availableMinutes'),
    neededMinutes: t.exposeInt('neededMinutes'),
  }),
})

const grantHoursSuccess = builder
  .objectRef<Written & {readonly userId: string; readonly grantId: string}>('GrantHoursSuccess')
  .implement({
    fields: t => ({
      grantId: t.exposeID('grantId'),
      balance: t.field({type: balanceRef, resolve: ({userId}, _args, context) => balanceOf(context, userId)}),
      user: t.field({
        type: userRef,
        nullable: true,
        resolve: ({userId}, _args, {parts}) => parts.queries.users.user(userId),
      }),
      position: t.exposeString('position', {description: positionDescription}),
    }),
  })

const grantHoursPayload = payloadUnion<AccountRefusal | CallerRefusal | {readonly type: 'NoSuchUser'}>()(
  'GrantHoursPayload',
  grantHoursSuccess,
  {InsufficientHours: true, NoSuchUser: true, Forbidden: true, IdempotencyKeyReused: true},
)

const grantHoursInput = builder.inputType('GrantHoursInput', {
  fields: t => ({
    idempotencyKey: t.string({required: true}),
    userId: t.id({required: true}),
    minutes: t.int({required: true}),
    reason: t.string({required: true}),
    expiresAt: t.field({type: 'DateTime', description: 'Absent: never.'}),
  }),
})

builder.mutationField('grantHours', t =>
  t.field({
    type: grantHoursPayload,
    description: 'Operators only: gives hours without a purchase.',
    args: {input: t.arg({type: grantHoursInput, required: true})},
    resolve(_root, {input}, context) {
      const caller = requireCaller(context)
      const {parts} = context
      const idempotencyKey = keyInput(input.idempotencyKey)
      const userId = idInput('User', 'userId', input.userId)
      const minutes = rangeInput('minutes', input.minutes, 1, grantMinutesMax)
      const reason = textInput('reason', input.reason, reasonCharactersMax)
      const expiresAt = input.expiresAt ?? null
      if (isOperator(context) && parts.queries.users.user(userId) === null) return {type: 'NoSuchUser'}
      const request = {idempotencyKey, userId, minutes, reason, expiresAt}
      return answered(context, parts.purchases.grantHours(caller, request), ({grantId}) => ({userId, grantId}))
    },
  }),
)

builder.subscriptionField('balanceChanged', t =>
  t.field({
    type: balanceRef,
    description: 'One’s own balance, beginning with the one of now.',
    subscribe(_root, _args, context) {
      const {userId} = requireCaller(context)
      return context.subscriptions.open(context, `balance:${userId}`, userId)
    },
    resolve(change: Change, _args, context) {
      if (change.end !== null) throw change.end
      return balanceOf(context, change.id)
    },
  }),
)
