import {calendar} from '../calendar/decider.ts'
import {calendarStream} from '../calendar/events.ts'
import {catalogue, type CatalogueCommand, type CatalogueRefusal} from '../catalogue/decider.ts'
import {catalogueStream} from '../catalogue/events.ts'
import type {Handler} from '../event-store/handler.ts'
import {machine, type MachineRefusal} from '../fleet/decider.ts'
import type {Machine, Registration} from '../fleet/machine-state.ts'
import {machineStream} from '../fleet/events.ts'
import {derivedCommandId, type CommandId, type MachineId, type PoolId, type ServiceId} from '../kernel/ids.ts'
import {followUpMetaOf, hasRole, metaOf, type Answer, type Caller} from './caller.ts'
import type {Once} from './once.ts'

export interface RegisterMachineRequest {
  readonly idempotencyKey: string
  readonly machineId: MachineId
  readonly name: string
  readonly poolId: PoolId
  readonly services: readonly ServiceId[]
  readonly driver: {readonly kind: string; readonly config: unknown}
}

export type RegisterMachineRefusal =
  | MachineRefusal
  | {readonly type: 'UnknownDriver'; readonly field: 'driver.kind'; readonly known: readonly string[]}
  | {
      readonly type: 'BadDriverConfig'
      readonly faults: readonly {readonly field: string; readonly message: string}[]
    }

/** Checks what an operator typed for a driver; the drivers themselves are built elsewhere. */
export interface DriverKinds {
  readonly kinds: readonly string[]
  parseConfig(
    kind: string,
    config: unknown,
  ):
    | {readonly ok: true; readonly config: Readonly<Record<string, unknown>>}
    | {readonly ok: false; readonly faults: readonly {readonly field: string; readonly message: string}[]}
}

/** What operators and owners do: the fleet and the catalogue. */
export interface Operations {
  registerMachine(caller: Caller, request: RegisterMachineRequest): Promise<Answer<Machine, RegisterMachineRefusal>>
  liftQuarantine(
    caller: Caller,
    request: {readonly idempotencyKey: string; readonly machineId: MachineId},
  ): Promise<Answer<Machine, MachineRefusal>>
  changeCatalogue(
    caller: Caller,
    request: {readonly idempotencyKey: string; readonly command: CatalogueCommand},
  ): Promise<Answer<null, CatalogueRefusal>>
}

export interface OperationsParts {
  readonly handler: Handler
  readonly drivers: DriverKinds
  readonly once: Once
}

export function createOperations({handler, drivers, once}: OperationsParts): Operations {
  async function register(
    caller: Caller,
    request: RegisterMachineRequest,
    commandId: CommandId,
  ): Promise<Answer<Machine, RegisterMachineRefusal>> {
    const {machineId, name, poolId, services, driver} = request
    if (!drivers.kinds.includes(driver.kind)) {
      return {ok: false, refusal: {type: 'UnknownDriver', field: 'driver.kind', known: drivers.kinds}}
    }
    const parsed = drivers.parseConfig(driver.kind, driver.config)
    if (!parsed.ok) return {ok: false, refusal: {type: 'BadDriverConfig', faults: parsed.faults}}
    const registration: Registration = {
      machineId,
      name,
      poolId,
      services: [...new Set(services)].sort(),
      driver: {kind: driver.kind, config: parsed.config},
    }
    const command = {type: 'RegisterMachine', registration} as const
    const registered = await handler.handle(machine, machineStream(machineId), command, metaOf(caller, commandId))
    if (!registered.ok) return registered
    if (registered.state === null) return {ok: false, refusal: {type: 'NoSuchMachine'}}
    // The fleet process would offer it too; doing it here makes it bookable when the answer arrives.
    const offer = {type: 'OfferMachine', machineId, services: registration.services} as const
    const offerMeta = followUpMetaOf(caller, derivedCommandId('offer', commandId))
    const offered = await handler.handle(calendar, calendarStream(poolId), offer, offerMeta)
    return {ok: true, value: registered.state, reached: offered.reached ?? registered.reached}
  }

  return {
    async registerMachine(caller, request) {
      if (!hasRole(caller, 'operator')) return {ok: false, refusal: {type: 'Forbidden', needs: 'operator'}}
      return once(caller, 'registerMachine', request, id => register(caller, request, id))
    },
    async liftQuarantine(caller, request) {
      if (!hasRole(caller, 'operator')) return {ok: false, refusal: {type: 'Forbidden', needs: 'operator'}}
      return once(caller, 'liftQuarantine', request, async commandId => {
        const stream = machineStream(request.machineId)
        const done = await handler.handle(machine, stream, {type: 'LiftQuarantine'}, metaOf(caller, commandId))
        if (!done.ok) return done
        if (done.state === null) return {ok: false, refusal: {type: 'NoSuchMachine'}}
        return {ok: true, value: done.state, reached: done.reached}
      })
    },
    async changeCatalogue(caller, request) {
      if (!hasRole(caller, 'owner')) return {ok: false, refusal: {type: 'Forbidden', needs: 'owner'}}
      return once(caller, 'changeCatalogue', request, async commandId => {
        const done = await handler.handle(catalogue, catalogueStream, request.command, metaOf(caller, commandId))
        return done.ok ? {ok: true, value: null, reached: done.reached} : done
      })
    },
  }
}
