import {accept, assertNever, fold, refuse, type Decider, type Decision} from '../kernel/decider.ts'
import type {MachineId, PoolId, ServiceId} from '../kernel/ids.ts'
import type {Instant} from '../kernel/time.ts'
import {machineCategory, type MachineEvent} from './events.ts'
import {planPower, type DesiredPower, type PowerOp, type PowerState, type PowerTimings} from './power.ts'

/** What a look at the machine showed. */
export type Sighting =
  | {readonly power: 'off'}
  | {readonly power: 'on'; readonly ready: boolean}
  | {readonly power: 'unreachable'; readonly reason: string}

export interface Registration {
  readonly machineId: MachineId
  readonly name: string
  readonly poolId: PoolId
  readonly services: readonly ServiceId[]
  readonly driver: {readonly kind: string; readonly config: Readonly<Record<string, unknown>>}
}

export type MachineCommand =
  | {readonly type: 'RegisterMachine'; readonly registration: Registration}
  /** One look of the reconciler: records what changed and intends at most one power command. */
  | {
      readonly type: 'LookAtMachine'
      readonly sighting: Sighting
      readonly desired: DesiredPower
      readonly epoch: number
      readonly powerCommandId: string
      readonly timings: PowerTimings
    }
  | {readonly type: 'AcceptPowerCommand'; readonly powerCommandId: string}
  | {
      readonly type: 'FailPowerCommand'
      readonly powerCommandId: string
      readonly errorClass: string
      readonly message: string
      readonly retryAt: Instant
    }
  | {readonly type: 'LiftQuarantine'}

export type MachineRefusal =
  | {readonly type: 'NoSuchMachine'}
  | {readonly type: 'MachineExists'; readonly machineId: MachineId}
  /** Somebody with a newer lease looks after this machine now. */
  | {readonly type: 'Fenced'; readonly epoch: number}

export interface Machine extends PowerState {
  readonly registration: Registration
  readonly inFlight: {readonly powerCommandId: string; readonly op: PowerOp} | null
  readonly epoch: number
}

export type MachineState = Machine | null

export const machine: Decider<MachineState, MachineCommand, MachineEvent, MachineRefusal> = {
  category: machineCategory,
  initial: null,

  decide(command, state, {now}) {
    if (command.type === 'RegisterMachine') return decideRegistration(command.registration, state, now)
    if (state === null) return refuse({type: 'NoSuchMachine'})
    const {machineId} = state.registration
    switch (command.type) {
      case 'LookAtMachine':
        return decideLook(command, state, now)
      case 'AcceptPowerCommand': {
        if (state.inFlight?.powerCommandId !== command.powerCommandId) return accept()
        const {powerCommandId} = command
        return accept({type: 'PowerCommandAccepted', data: {machineId, powerCommandId, at: now}})
      }
      case 'FailPowerCommand': {
        if (state.inFlight?.powerCommandId !== command.powerCommandId) return accept()
        const {powerCommandId, errorClass, message, retryAt} = command
        const data = {machineId, powerCommandId, errorClass, message, retryAt, at: now}
        return accept({type: 'PowerCommandFailed', data})
      }
      case 'LiftQuarantine':
        return state.quarantined ? accept({type: 'QuarantineLifted', data: {machineId, at: now}}) : accept()
      default:
        return assertNever(command)
    }
  },

  evolve(state, event) {
    if (event.type === 'MachineRegistered') {
      const {machineId, name, poolId, services, driver} = event.data
      return unseen({machineId, name, poolId, services, driver})
    }
    return state === null ? null : evolvePower(state, event)
  },
}

function decideRegistration(
  registration: Registration,
  state: MachineState,
  now: Instant,
): Decision<MachineEvent, MachineRefusal> {
  const {machineId, name, poolId, services, driver} = registration
  if (state === null) {
    return accept({
      type: 'MachineRegistered',
      data: {machineId, name, poolId, services: [...services], driver, at: now},
    })
  }
  // Stored and asked-for shapes differ in key order at most where a client sent them: compare what they say.
  const same = JSON.stringify(sorted(state.registration)) === JSON.stringify(sorted(registration))
  return same ? accept() : refuse({type: 'MachineExists', machineId})
}

function decideLook(
  command: Extract<MachineCommand, {type: 'LookAtMachine'}>,
  state: Machine,
  now: Instant,
): Decision<MachineEvent, MachineRefusal> {
  if (command.epoch < state.epoch) return refuse({type: 'Fenced', epoch: state.epoch})
  const {machineId} = state.registration
  const seen = changesOf(state, command.sighting, now)
  const plan = planPower(fold(machine, state, seen) ?? state, command.desired, now, command.timings)
  switch (plan.do) {
    case 'nothing':
      return accept(...seen)
    case 'quarantine':
      return accept(...seen, {type: 'MachineQuarantined', data: {machineId, reason: plan.reason, at: now}})
    case 'command': {
      const {op, attempt} = plan
      const {powerCommandId, epoch, desired} = command
      const data = {machineId, powerCommandId, op, wish: desired?.for ?? null, attempt, epoch, at: now}
      return accept(...seen, {type: 'PowerCommandIntended', data})
    }
    default:
      return assertNever(plan)
  }
}

/** The facts that are new in a sighting. */
function changesOf(state: Machine, sighting: Sighting, at: Instant): MachineEvent[] {
  const {machineId} = state.registration
  const changes: MachineEvent[] = []
  const lostReadiness = sighting.power === 'on' && !sighting.ready && state.phase === 'on' && state.seen === 'on'
  if (sighting.power !== state.seen || lostReadiness) {
    const reason = sighting.power === 'unreachable' ? sighting.reason : lostReadiness ? 'no longer ready' : null
    changes.push({type: 'PowerObserved', data: {machineId, power: sighting.power, reason, at}})
  }
  const leaving = state.phase === 'stopping' || state.phase === 'killing'
  if (sighting.power === 'on' && sighting.ready && state.phase !== 'on' && !leaving) {
    changes.push({type: 'MachineReady', data: {machineId, at}})
  }
  return changes
}

function evolvePower(state: Machine, event: Exclude<MachineEvent, {type: 'MachineRegistered'}>): Machine {
  switch (event.type) {
    case 'PowerCommandIntended': {
      const {powerCommandId, op, wish, attempt, epoch, at} = event.data
      const phase = op === 'start' ? 'starting' : op === 'stop' ? 'stopping' : 'killing'
      const phaseSince = phase === state.phase && op !== 'start' ? state.phaseSince : at
      const attempts = op === 'start' || wish !== state.wish ? attempt : state.attempts
      const command = {inFlight: {powerCommandId, op}, lastCommandAt: at, retryAt: null, hopeless: false}
      return {...state, ...command, phase, phaseSince, wish, attempts, readySince: null, epoch}
    }
    case 'PowerCommandAccepted': {
      if (state.inFlight?.op !== 'start') return {...state, inFlight: null}
      return {...state, inFlight: null, phase: 'booting', phaseSince: event.data.at}
    }
    case 'PowerCommandFailed': {
      const {errorClass, retryAt} = event.data
      const hopeless = ['permanent', 'notFound', 'unsupported'].includes(errorClass)
      const counts = errorClass !== 'rateLimited' && errorClass !== 'auth'
      const attempts = counts ? state.attempts : Math.max(0, state.attempts - 1)
      return {...state, inFlight: null, attempts, retryAt, hopeless}
    }
    case 'PowerObserved':
      return observed(state, event.data.power, event.data.at)
    case 'MachineReady':
      return {...state, phase: 'on', phaseSince: event.data.at, readySince: event.data.at, attempts: 0}
    case 'MachineQuarantined':
      return {...state, quarantined: true}
    case 'QuarantineLifted':
      return {...unseen(state.registration), epoch: state.epoch}
    default:
      return assertNever(event)
  }
}

function observed(state: Machine, power: 'off' | 'on' | 'unreachable', at: Instant): Machine {
  if (power === 'unreachable') return {...state, seen: power}
  const coming = state.phase === 'starting' || state.phase === 'booting'
  if (power === 'off') {
    // Off before it was ever seen on may mean that the start is still on its way.
    const phase = coming && state.seen !== 'on' ? state.phase : 'off'
    return {...state, seen: power, phase, phaseSince: phase === state.phase ? state.phaseSince : at, readySince: null}
  }
  const leaving = state.phase === 'stopping' || state.phase === 'killing'
  const stillReady = state.phase === 'on' && state.seen === 'unreachable'
  if (leaving || stillReady) return {...state, seen: power}
  const phaseSince = state.phase === 'booting' ? state.phaseSince : at
  return {...state, seen: power, phase: 'booting', phaseSince, readySince: null}
}

function unseen(registration: Registration): Machine {
  const never = {seen: null, readySince: null, phaseSince: null, lastCommandAt: null, retryAt: null, inFlight: null}
  return {
    registration,
    phase: 'unknown',
    ...never,
    wish: null,
    attempts: 0,
    hopeless: false,
    quarantined: false,
    epoch: 0,
  }
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  )
}
