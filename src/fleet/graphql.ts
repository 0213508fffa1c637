import type {MachineRow} from '../../projections/machines.ts'
import type {CallerRefusal} from '../dispatch/caller.ts'
import type {RegisterMachineRefusal} from '../dispatch/operations.ts'
import {builder} from '../graphql/builder.ts'
import {isOperator, requireCaller, requireOperator} from '../graphql/context.ts'
import {notFound} from '../graphql/errors.ts'
import {idInput, keyInput, textInput} from '../graphql/inputs.ts'
import {pageOfAll} from '../graphql/paging.ts'
import {machineRef, serviceRef} from '../graphql/refs.ts'
import {answered, defineRefusal, payloadUnion, positionDescription, type Written} from '../graphql/refusals.ts'
import type {Change} from '../graphql/subscriptions.ts'
import type {MachineRefusal} from './decider.ts'

const nameCharactersMax = 100

const powerEnum = builder.enumType('Power', {
  values: {
    OFF: {value: 'off'},
    ON: {value: 'on'},
    UNREACHABLE: {value: 'unreachable', description: 'Nobody could tell; it is not known to be off.'},
  } as const,
})

const powerOpEnum = builder.enumType('PowerOp', {
  values: {START: {value: 'start'}, STOP: {value: 'stop'}, KILL: {value: 'kill'}} as const,
})

builder.node(machineRef, {
  description: 'Operators only. What drives a machine is told by name; its settings are not shown.',
  id: {resolve: row => row.machine_id},
  loadOne(id, context) {
    requireCaller(context)
    return isOperator(context) ? context.parts.queries.machines.machine(id) : null
  },
  fields: t => ({
    name: t.exposeString('name'),
    poolId: t.exposeID('pool_id'),
    services: t.field({
      type: [serviceRef],
      description: 'Those of its services that are listed.',
      resolve(row, _args, {parts}) {
        const listed = (JSON.parse(row.services) as string[]).map(id => parts.queries.catalogue.service(id))
        return listed.filter(service => service !== null)
      },
    }),
    driverKind: t.exposeString('driver_kind'),
    registeredAt: t.field({type: 'DateTime', resolve: row => row.registered_at}),
    seen: t.field({
      type: powerEnum,
      nullable: true,
      description: 'What the last look showed; null before the first.',
      resolve: ({seen}) => seen,
    }),
    seenAt: t.field({type: 'DateTime', nullable: true, resolve: row => row.seen_at}),
    readySince: t.field({type: 'DateTime', nullable: true, resolve: row => row.ready_since}),
    lastCommand: t.field({type: powerOpEnum, nullable: true, resolve: row => row.last_op}),
    lastCommandAt: t.field({type: 'DateTime', nullable: true, resolve: row => row.last_op_at}),
    lastError: t.exposeString('last_error', {nullable: true}),
    quarantinedBecause: t.exposeString('quarantined_because', {
      nullable: true,
      description: 'Null: not in quarantine.',
    }),
  }),
})

const machineConnection = builder.connectionObject({type: machineRef, name: 'MachineConnection'}, {name: 'MachineEdge'})

builder.queryFields(t => ({
  machine: t.field({
    type: machineRef,
    nullable: true,
    description: 'Operators only.',
    args: {id: t.arg.id({required: true})},
    resolve(_root, {id}, context) {
      requireOperator(context)
      const row = context.parts.queries.machines.machine(idInput('Machine', 'id', id))
      if (row === null) throw notFound()
      return row
    },
  }),
  machines: t.connection(
    {
      type: machineRef,
      description: 'Operators only. By id.',
      resolve(_root, args, context) {
        requireOperator(context)
        const {machines} = context.parts.queries
        const page = pageOfAll(args, machines.machineIds(), id => id)
        const edges = page.edges.flatMap(({cursor, node}) => {
          const row = machines.machine(node)
          return row === null ? [] : [{cursor, node: row satisfies MachineRow}]
        })
        return {...page, edges}
      },
    },
    machineConnection,
  ),
}))

defineRefusal<Extract<MachineRefusal, {type: 'NoSuchMachine'}>>('NoSuchMachine', {
  code: 'NOT_FOUND',
  message: () => 'There is no such machine.',
})

defineRefusal<Extract<MachineRefusal, {type: 'MachineExists'}>>('MachineExists', {
  code: 'MACHINE_EXISTS',
  message: () => 'There is another machine with this id.',
  fields: t => ({machineId: t.id({resolve: ({machineId}) => `Machine:${machineId}`})}),
})

defineRefusal<Extract<RegisterMachineRefusal, {type: 'UnknownDriver'}>>('UnknownDriver', {
  code: 'UNKNOWN_DRIVER',
  message: ({known}) => `There is no such driver. There are: ${known.join(', ')}.`,
  fields: t => ({known: t.exposeStringList('known')}),
})

const driverFaultRef = builder
  .objectRef<{readonly field: string; readonly message: string}>('DriverConfigFault')
  .implement({fields: t => ({field: t.exposeString('field'), message: t.exposeString('message')})})

defineRefusal<Extract<RegisterMachineRefusal, {type: 'BadDriverConfig'}>>('BadDriverConfig', {
  code: 'BAD_DRIVER_CONFIG',
  message: ({faults}) => faults.map(({field, message}) => `${field}: ${message}`).join('; '),
  fields: t => ({faults: t.field({type: [driverFaultRef], resolve: ({faults}) => [...faults]})}),
})

const machineSuccess = <Name extends string>(name: Name) =>
  builder.objectRef<Written & {readonly machineId: string}>(name).implement({
    fields: t => ({
      machine: t.field({
        type: machineRef,
        nullable: true,
        description: 'Null while this node has not read it back; ask again with `position`.',
        resolve: ({machineId}, _args, {parts}) => parts.queries.machines.machine(machineId),
      }),
      position: t.exposeString('position', {description: positionDescription}),
    }),
  })

const registerMachinePayload = payloadUnion<RegisterMachineRefusal | CallerRefusal>()(
  'RegisterMachinePayload',
  machineSuccess('RegisterMachineSuccess'),
  {
    NoSuchMachine: true,
    MachineExists: true,
    UnknownDriver: true,
    BadDriverConfig: true,
    Forbidden: true,
    IdempotencyKeyReused: true,
  },
)

const liftQuarantinePayload = payloadUnion<MachineRefusal | CallerRefusal>()(
  'LiftQuarantinePayload',
  machineSuccess('LiftQuarantineSuccess'),
  {NoSuchMachine: true, MachineExists: true, Forbidden: true, IdempotencyKeyReused: true},
)

const driverInput = builder.inputType('DriverInput', {
  fields: t => ({
    kind: t.string({required: true}),
    config: t.field({type: 'JSON', required: true, description: 'What this kind of driver asks for.'}),
  }),
})

const registerMachineInput = builder.inputType('RegisterMachineInput', {
  fields: t => ({
    idempotencyKey: t.string({required: true}),
    machineId: t.id({required: true, description: 'Chosen by the operator.'}),
    name: t.string({required: true}),
    poolId: t.id({required: true}),
    serviceIds: t.idList({required: true}),
    driver: t.field({type: driverInput, required: true}),
  }),
})

const liftQuarantineInput = builder.inputType('LiftQuarantineInput', {
  fields: t => ({idempotencyKey: t.string({required: true}), machineId: t.id({required: true})}),
})

const servicesMax = 100

builder.mutationFields(t => ({
  registerMachine: t.field({
    type: registerMachinePayload,
    description: 'Operators only. The machine can be booked when this answers.',
    args: {input: t.arg({type: registerMachineInput, required: true})},
    resolve(_root, {input}, context) {
      const caller = requireCaller(context)
      const idempotencyKey = keyInput(input.idempotencyKey)
      const machineId = idInput('Machine', 'machineId', input.machineId)
      const name = textInput('name', input.name, nameCharactersMax)
      const poolId = idInput('Pool', 'poolId', input.poolId)
      const serviceIds = input.serviceIds.slice(0, servicesMax)
      const services = serviceIds.map((id, index) => idInput('Service', `serviceIds[${index}]`, id))
      const driver = {kind: input.driver.kind, config: input.driver.config}
      const request = {idempotencyKey, machineId, name, poolId, services, driver}
      const done = context.parts.operations.registerMachine(caller, request)
      return answered(context, done, () => ({machineId: String(machineId)}))
    },
  }),
  liftQuarantine: t.field({
    type: liftQuarantinePayload,
    description: 'Operators only: the machine was looked after and may be used again.',
    args: {input: t.arg({type: liftQuarantineInput, required: true})},
    resolve(_root, {input}, context) {
      const caller = requireCaller(context)
      const idempotencyKey = keyInput(input.idempotencyKey)
      const machineId = idInput('Machine', 'machineId', input.machineId)
      const done = context.parts.operations.liftQuarantine(caller, {idempotencyKey, machineId})
      return answered(context, done, () => ({machineId: String(machineId)}))
    },
  }),
}))

builder.subscriptionField('machineChanged', t =>
  t.field({
    type: machineRef,
    description: 'Operators only: any machine whose power, readiness or quarantine changed.',
    subscribe(_root, _args, context) {
      requireOperator(context)
      return context.subscriptions.open(context, 'machine:all')
    },
    resolve(change: Change, _args, {parts}) {
      if (change.end !== null) throw change.end
      const row = parts.queries.machines.machine(change.id)
      if (row === null) throw notFound()
      return row
    },
  }),
)
