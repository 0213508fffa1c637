import {accept, assertNever, fold, refuse, type Decider, type Decision} from '../kernel/decider.ts'
import type {MachineId, PoolId, ServiceId} from '../kernel/ids.ts'
import {msBetween, type Instant} from '../kernel/time.ts'
import {machineCategory, type MachineEvent} from './events.ts'
import {planPower, type DesiredPower, type PowerState, type PowerTimings} from './power.ts'

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
      /** Milliseconds since moments of the state, by a clock that nobody sets; for all others the wall clock counts. */
      readonly ages: Readonly<Record<string, number>>
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
  const sinceMs = (moment: Instant): number => command.ages[moment] ?? msBetween(moment, now)
  const plan = planPower(fold(machine, state, seen) ?? state, command.desired, sinceMs, command.timings)
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
      const isRepeat = phase === state.phase && op !== 'start' && state.inFlight === null
      const phaseSince = isRepeat ? state.phaseSince : at
      const sameWish = wish === state.wish
      // Only starts are counted: a stop or a kill in between must not use up the budget of the next start.
      const attempts = op === 'start' ? attempt : sameWish ? state.attempts : 0
      const hopeless = op !== 'start' && sameWish && state.hopeless
      const command = {inFlight: {powerCommandId, op}, lastCommandAt: at, retryAt: null, hopeless}
      return {...state, ...command, phase, phaseSince, wish, attempts, readySince: null, epoch}
    }
    case 'PowerCommandAccepted': {
      // What was seen meanwhile counts for more than the driver's word.
      if (state.inFlight?.op !== 'start' || state.phase !== 'starting') return {...state, inFlight: null}
      return {...state, inFlight: null, phase: 'booting', phaseSince: event.data.at}
    }
    case 'PowerCommandFailed':
      return afterFailure(state, event.data.errorClass, event.data.retryAt)
    case 'PowerObserved':
      return observed(state, event.data.power, event.data.at)
    case 'MachineReady':
      return {...state, phase: 'on', phaseSince: event.data.at, readySince: event.data.at, hopeless: false}
    case 'MachineQuarantined':
      return {...state, quarantined: true}
    case 'QuarantineLifted':
      return {...unseen(state.registration), epoch: state.epoch}
    default:
      return assertNever(event)
  }
}

function afterFailure(state: Machine, errorClass: string, retryAt: Instant): Machine {
  const failed = {...state, inFlight: null, retryAt}
  // Nothing was tried: neither the budget nor the time a stop or a kill is given may run meanwhile.
  const tried = errorClass !== 'rateLimited' && errorClass !== 'auth'
  if (state.inFlight?.op !== 'start') return tried ? failed : {...failed, phaseSince: retryAt}
  const hopeless = state.phase === 'starting' && ['permanent', 'notFound', 'unsupported'].includes(errorClass)
  return {...failed, hopeless, attempts: tried ? state.attempts : Math.max(0, state.attempts - 1)}
}

/** A machine that stayed ready for so long has proved itself: what happens next is a new fault with a new budget. */
const provenMs = 10 * 60_000

function observed(state: Machine, power: 'off' | 'on' | 'unreachable', at: Instant): Machine {
  if (power === 'unreachable') return {...state, seen: power}
  const coming = state.phase === 'starting' || state.phase === 'booting'
  const leaving = state.phase === 'stopping' || state.phase === 'killing'
  const proven = state.phase === 'on' && state.readySince !== null && msBetween(state.readySince, at) >= provenMs
  const attempts = proven ? 0 : state.attempts
  if (power === 'off') {
    // Off before it was ever seen on may mean that the start is still on its way.
    if (coming && state.seen !== 'on') return {...state, seen: power, readySince: null}
    return {...state, seen: power, phase: 'off', phaseSince: at, attempts, readySince: null}
  }
  // Nobody could tell whether the last kill arrived: its time begins anew.
  if (state.phase === 'killing' && state.seen === 'unreachable') return {...state, seen: power, phaseSince: at}
  const stillReady = state.phase === 'on' && state.seen === 'unreachable'
  if (leaving || stillReady) return {...state, seen: power}
  const phaseSince = state.phase === 'booting' ? state.phaseSince : at
  return {...state, seen: power, phase: 'booting', phaseSince, attempts, readySince: null}
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
