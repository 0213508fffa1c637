import type {CatalogueRefusal as BookingCatalogueRefusal} from '../dispatch/bookings.ts'
import type {Answer, CallerRefusal} from '../dispatch/caller.ts'
import {builder} from '../graphql/builder.ts'
import {requireCaller, type GraphqlContext} from '../graphql/context.ts'
import {idInput, keyInput, moneyInput, rangeInput, textInput} from '../graphql/inputs.ts'
import {moneyInputRef, moneyRef, packRef, realmRef, serviceRef} from '../graphql/refs.ts'
import {answered, defineRefusal, payloadUnion, positionDescription, type Written} from '../graphql/refusals.ts'
import type {CatalogueCommand, CatalogueRefusal} from './decider.ts'

const nameCharactersMax = 100
const packMinutesMax = 10_000_000

builder.node(serviceRef, {
  description: 'What a machine can be booked for.',
  id: {resolve: ({serviceId}) => serviceId},
  loadOne: (id, {parts}) => parts.queries.catalogue.service(id),
  fields: t => ({
    name: t.exposeString('name'),
    pricePerHour: t.field({type: moneyRef, description: 'List price.', resolve: ({pricePerHour}) => pricePerHour}),
  }),
})

builder.node(realmRef, {
  description: 'Where a booking takes place; served by the machines of its pool.',
  id: {resolve: ({realmId}) => realmId},
  loadOne: (id, {parts}) => parts.queries.catalogue.realm(id),
  fields: t => ({name: t.exposeString('name'), poolId: t.exposeID('poolId')}),
})

builder.node(packRef, {
  description: 'A lot of hours that is for sale.',
  id: {resolve: ({packId}) => packId},
  loadOne: (id, {parts}) => parts.queries.catalogue.pack(id),
  fields: t => ({
    name: t.exposeString('name'),
    minutes: t.exposeInt('minutes'),
    price: t.field({type: moneyRef, resolve: ({price}) => price}),
  }),
})

builder.queryFields(t => ({
  services: t.field({type: [serviceRef], resolve: (_root, _args, {parts}) => parts.queries.catalogue.services()}),
  realms: t.field({type: [realmRef], resolve: (_root, _args, {parts}) => parts.queries.catalogue.realms()}),
  packs: t.field({type: [packRef], resolve: (_root, _args, {parts}) => parts.queries.catalogue.packs()}),
}))

defineRefusal<Extract<BookingCatalogueRefusal, {type: 'UnknownService'}>>('UnknownService', {
  code: 'UNKNOWN_SERVICE',
  message: () => 'There is no such service.',
})

defineRefusal<Extract<BookingCatalogueRefusal, {type: 'UnknownRealm'}>>('UnknownRealm', {
  code: 'UNKNOWN_REALM',
  message: () => 'There is no such realm.',
})

defineRefusal<CatalogueRefusal>('RealmHasOtherPool', {
  code: 'REALM_HAS_OTHER_POOL',
  message: ({poolId}) => `This realm belongs to the pool ${poolId}; a realm keeps its pool.`,
  fields: t => ({poolId: t.exposeID('poolId')}),
})

async function change(
  context: GraphqlContext,
  idempotencyKey: string,
  command: CatalogueCommand,
): Promise<Answer<null, CatalogueRefusal>> {
  return context.parts.operations.changeCatalogue(requireCaller(context), {
    idempotencyKey: keyInput(idempotencyKey),
    command,
  })
}

type ChangeRefusal = CatalogueRefusal | CallerRefusal

const keyField = {required: true} as const
const allRefusals = {RealmHasOtherPool: true, Forbidden: true, IdempotencyKeyReused: true} as const

const listServiceSuccess = builder.objectRef<Written & {readonly serviceId: string}>('ListServiceSuccess').implement({
  fields: t => ({
    service: t.field({
      type: serviceRef,
      nullable: true,
      resolve: ({serviceId}, _args, {parts}) => parts.queries.catalogue.service(serviceId),
    }),
    position: t.exposeString('position', {description: positionDescription}),
  }),
})
const listServicePayload = payloadUnion<ChangeRefusal>()('ListServicePayload', listServiceSuccess, allRefusals)

const listServiceInput = builder.inputType('ListServiceInput', {
  fields: t => ({
    idempotencyKey: t.string(keyField),
    serviceId: t.id({required: true}),
    name: t.string({required: true}),
    pricePerHour: t.field({type: moneyInputRef, required: true}),
  }),
})

builder.mutationField('listService', t =>
  t.field({
    type: listServicePayload,
    description: 'Owners only. Lists a service, or lists it anew with another name or price.',
    args: {input: t.arg({type: listServiceInput, required: true})},
    resolve(_root, {input}, context) {
      requireCaller(context)
      const serviceId = idInput('Service', 'serviceId', input.serviceId)
      const name = textInput('name', input.name, nameCharactersMax)
      const pricePerHour = moneyInput('pricePerHour', input.pricePerHour)
      const command = {type: 'ListService', service: {serviceId, name, pricePerHour}} as const
      return answered(context, change(context, input.idempotencyKey, command), () => ({serviceId}))
    },
  }),
)

const listRealmSuccess = builder.objectRef<Written & {readonly realmId: string}>('ListRealmSuccess').implement({
  fields: t => ({
    realm: t.field({
      type: realmRef,
      nullable: true,
      resolve: ({realmId}, _args, {parts}) => parts.queries.catalogue.realm(realmId),
    }),
    position: t.exposeString('position', {description: positionDescription}),
  }),
})
const listRealmPayload = payloadUnion<ChangeRefusal>()('ListRealmPayload', listRealmSuccess, allRefusals)

const listRealmInput = builder.inputType('ListRealmInput', {
  fields: t => ({
    idempotencyKey: t.string(keyField),
    realmId: t.id({required: true}),
    name: t.string({required: true}),
    poolId: t.id({required: true, description: 'The pool whose machines serve this realm; it stays the same.'}),
  }),
})

builder.mutationField('listRealm', t =>
  t.field({
    type: listRealmPayload,
    description: 'Owners only.',
    args: {input: t.arg({type: listRealmInput, required: true})},
    resolve(_root, {input}, context) {
      requireCaller(context)
      const realmId = idInput('Realm', 'realmId', input.realmId)
      const poolId = idInput('Pool', 'poolId', input.poolId)
      const name = textInput('name', input.name, nameCharactersMax)
      const command = {type: 'ListRealm', realm: {realmId, name, poolId}} as const
      return answered(context, change(context, input.idempotencyKey, command), () => ({realmId}))
    },
  }),
)

const listPackSuccess = builder.objectRef<Written & {readonly packId: string}>('ListPackSuccess').implement({
  fields: t => ({
    pack: t.field({
      type: packRef,
      nullable: true,
      resolve: ({packId}, _args, {parts}) => parts.queries.catalogue.pack(packId),
    }),
    position: t.exposeString('position', {description: positionDescription}),
  }),
})
const listPackPayload = payloadUnion<ChangeRefusal>()('ListPackPayload', listPackSuccess, allRefusals)

const listPackInput = builder.inputType('ListPackInput', {
  fields: t => ({
    idempotencyKey: t.string(keyField),
    packId: t.id({required: true}),
    name: t.string({required: true}),
    minutes: t.int({required: true}),
    price: t.field({type: moneyInputRef, required: true}),
  }),
})

builder.mutationField('listPack', t =>
  t.field({
    type: listPackPayload,
    description: 'Owners only.',
    args: {input: t.arg({type: listPackInput, required: true})},
    resolve(_root, {input}, context) {
      requireCaller(context)
      const packId = idInput('Pack', 'packId', input.packId)
      const name = textInput('name', input.name, nameCharactersMax)
      const minutes = rangeInput('minutes', input.minutes, 1, packMinutesMax)
      const price = moneyInput('price', input.price)
      const command = {type: 'ListPack', pack: {packId, name, minutes, price}} as const
      return answered(context, change(context, input.idempotencyKey, command), () => ({packId}))
    },
  }),
)

const setDiscountSuccess = builder
  .objectRef<Written & {readonly minutesMin: number; readonly percent: number}>('SetDiscountSuccess')
  .implement({
    fields: t => ({
      minutesMin: t.exposeInt('minutesMin'),
      percent: t.exposeInt('percent'),
      position: t.exposeString('position', {description: positionDescription}),
    }),
  })
const setDiscountPayload = payloadUnion<ChangeRefusal>()('SetDiscountPayload', setDiscountSuccess, allRefusals)

const setDiscountInput = builder.inputType('SetDiscountInput', {
  fields: t => ({
    idempotencyKey: t.string(keyField),
    minutesMin: t.int({required: true, description: 'The shortest booking that gets the discount.'}),
    percent: t.int({required: true, description: '0 to 100.'}),
  }),
})

builder.mutationField('setDiscount', t =>
  t.field({
    type: setDiscountPayload,
    description: 'Owners only. There is one discount; this replaces it.',
    args: {input: t.arg({type: setDiscountInput, required: true})},
    resolve(_root, {input}, context) {
      requireCaller(context)
      const minutesMin = rangeInput('minutesMin', input.minutesMin, 0, packMinutesMax)
      const percent = rangeInput('percent', input.percent, 0, 100)
      const command = {type: 'SetDiscount', discount: {minutesMin, percent}} as const
      return answered(context, change(context, input.idempotencyKey, command), () => ({minutesMin, percent}))
    },
  }),
)
