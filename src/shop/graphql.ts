import type {PurchaseRow} from '../../projections/purchases.ts'
import type {CallerRefusal} from '../dispatch/caller.ts'
import type {CheckoutRefusal} from '../dispatch/purchases.ts'
import {builder} from '../graphql/builder.ts'
import {isOperator, requireCaller, type GraphqlContext} from '../graphql/context.ts'
import {notFound} from '../graphql/errors.ts'
import {idInput, keyInput, moneyInput, optionalIdInput} from '../graphql/inputs.ts'
import {pageOfAll, type PageArgs} from '../graphql/paging.ts'
import {moneyInputRef, moneyRef, packRef, purchaseRef, userRef} from '../graphql/refs.ts'
import {answered, defineRefusal, payloadUnion, positionDescription, type Written} from '../graphql/refusals.ts'
import type {PurchaseRefusal} from './decider.ts'

/** Of a customer's purchases, so many of the newest can be listed. */
const purchasesMax = 1000

const purchaseStatus = builder.enumType('PurchaseStatus', {
  values: {
    OPEN: {value: 'open', description: 'To be paid.'},
    PAID: {value: 'paid', description: 'Paid; the hours are on their way.'},
    FULFILLED: {value: 'fulfilled', description: 'The hours are in the account.'},
  } as const,
})

builder.node(purchaseRef, {
  description: 'A checkout of a pack and what became of it.',
  id: {resolve: row => row.purchase_id},
  loadOne: (id, context) => visiblePurchase(context, id),
  fields: t => ({
    pack: t.field({
      type: packRef,
      nullable: true,
      resolve: (row, _args, {parts}) => parts.queries.catalogue.pack(row.pack_id),
    }),
    minutes: t.exposeInt('minutes'),
    price: t.field({type: moneyRef, resolve: row => ({amountMinor: row.amount_minor, currency: row.currency})}),
    gateway: t.exposeString('gateway', {description: 'How it is paid; `manual`: an operator marks it paid.'}),
    status: t.field({type: purchaseStatus, resolve: ({status}) => status}),
    startedAt: t.field({type: 'DateTime', resolve: row => row.started_at}),
    paidAt: t.field({type: 'DateTime', nullable: true, resolve: row => row.paid_at}),
    fulfilledAt: t.field({type: 'DateTime', nullable: true, resolve: row => row.fulfilled_at}),
    customer: t.field({
      type: userRef,
      nullable: true,
      resolve: (row, _args, {parts}) => parts.queries.users.user(row.user_id),
    }),
  }),
})

function visiblePurchase(context: GraphqlContext, id: string): PurchaseRow | null {
  const caller = requireCaller(context)
  const row = context.parts.queries.purchases.purchase(id)
  return row !== null && (row.user_id === caller.userId || isOperator(context)) ? row : null
}

const purchaseConnection = builder.connectionObject(
  {type: purchaseRef, name: 'PurchaseConnection'},
  {name: 'PurchaseEdge'},
)

function purchasePage({parts}: GraphqlContext, userId: string, args: PageArgs) {
  return pageOfAll(args, parts.queries.purchases.purchasesOf(userId, purchasesMax), row => row.purchase_id)
}

builder.objectField(userRef, 'purchases', t =>
  t.connection(
    {
      type: purchaseRef,
      description: 'Newest first; the newest 1,000.',
      resolve: ({userId}, args, context) => purchasePage(context, userId, args),
    },
    purchaseConnection,
  ),
)

builder.queryFields(t => ({
  purchase: t.field({
    type: purchaseRef,
    nullable: true,
    args: {id: t.arg.id({required: true})},
    resolve(_root, {id}, context) {
      const row = visiblePurchase(context, idInput('Purchase', 'id', id))
      if (row === null) throw notFound()
      return row
    },
  }),
  purchases: t.connection(
    {
      type: purchaseRef,
      description: 'One’s own purchases, or, for operators, anybody’s; newest first; the newest 1,000.',
      args: {userId: t.arg.id()},
      resolve(_root, args, context) {
        const caller = requireCaller(context)
        const userId = optionalIdInput('User', 'userId', args.userId) ?? caller.userId
        if (userId !== caller.userId && !isOperator(context)) throw notFound()
        return purchasePage(context, userId, args)
      },
    },
    purchaseConnection,
  ),
}))

defineRefusal<Extract<CheckoutRefusal, {type: 'UnknownPack'}>>('UnknownPack', {
  code: 'UNKNOWN_PACK',
  message: () => 'There is no such pack.',
})

defineRefusal<Extract<PurchaseRefusal, {type: 'NoSuchPurchase'}>>('NoSuchPurchase', {
  code: 'NOT_FOUND',
  message: () => 'There is no such purchase.',
})

defineRefusal<Extract<PurchaseRefusal, {type: 'AlreadyPaid'}>>('AlreadyPaid', {
  code: 'ALREADY_PAID',
  message: () => 'This was paid before, by another payment.',
})

defineRefusal<Extract<PurchaseRefusal, {type: 'AmountMismatch'}>>('AmountMismatch', {
  code: 'AMOUNT_MISMATCH',
  message: () => 'The amount received is not the price; nothing was credited.',
  fields: t => ({
    expected: t.field({type: moneyRef, resolve: ({expected}) => expected}),
    received: t.field({type: moneyRef, resolve: ({received}) => received}),
  }),
})

const purchaseSuccess = <Name extends string>(name: Name) =>
  builder.objectRef<Written & {readonly purchaseId: string}>(name).implement({
    fields: t => ({
      purchase: t.field({
        type: purchaseRef,
        nullable: true,
        description: 'Null while this node has not read it back; ask again with `position`.',
        resolve: ({purchaseId}, _args, {parts}) => parts.queries.purchases.purchase(purchaseId),
      }),
      position: t.exposeString('position', {description: positionDescription}),
    }),
  })

const startCheckoutPayload = payloadUnion<CheckoutRefusal | CallerRefusal>()(
  'StartCheckoutPayload',
  purchaseSuccess('StartCheckoutSuccess'),
  {
    UnknownPack: true,
    NoSuchPurchase: true,
    AlreadyPaid: true,
    AmountMismatch: true,
    Forbidden: true,
    IdempotencyKeyReused: true,
  },
)

const markCheckoutPaidPayload = payloadUnion<PurchaseRefusal | CallerRefusal>()(
  'MarkCheckoutPaidPayload',
  purchaseSuccess('MarkCheckoutPaidSuccess'),
  {NoSuchPurchase: true, AlreadyPaid: true, AmountMismatch: true, Forbidden: true, IdempotencyKeyReused: true},
)

const startCheckoutInput = builder.inputType('StartCheckoutInput', {
  fields: t => ({idempotencyKey: t.string({required: true}), packId: t.id({required: true})}),
})

const markCheckoutPaidInput = builder.inputType('MarkCheckoutPaidInput', {
  fields: t => ({
    idempotencyKey: t.string({required: true}),
    purchaseId: t.id({required: true}),
    amount: t.field({type: moneyInputRef, description: 'What was received. Absent: exactly the price.'}),
  }),
})

builder.mutationFields(t => ({
  startCheckout: t.field({
    type: startCheckoutPayload,
    description: 'Begins to buy a pack for oneself; its price is the one of this moment.',
    args: {input: t.arg({type: startCheckoutInput, required: true})},
    resolve(_root, {input}, context) {
      const caller = requireCaller(context)
      const idempotencyKey = keyInput(input.idempotencyKey)
      const packId = idInput('Pack', 'packId', input.packId)
      const done = context.parts.purchases.startCheckout(caller, {idempotencyKey, packId})
      return answered(context, done, ({purchaseId}) => ({purchaseId}))
    },
  }),
  markCheckoutPaid: t.field({
    type: markCheckoutPaidPayload,
    description: 'Operators only: the money for a checkout is in hand. Its hours are granted, once.',
    args: {input: t.arg({type: markCheckoutPaidInput, required: true})},
    resolve(_root, {input}, context) {
      const caller = requireCaller(context)
      const idempotencyKey = keyInput(input.idempotencyKey)
      const purchaseId = idInput('Purchase', 'purchaseId', input.purchaseId)
      const amount = input.amount ? moneyInput('amount', input.amount) : null
      const done = context.parts.purchases.markCheckoutPaid(caller, {idempotencyKey, purchaseId, amount})
      return answered(context, done, () => ({purchaseId}))
    },
  }),
}))
