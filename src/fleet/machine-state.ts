import {assertNever} from '../kernel/decider.ts'
import type {MachineId, PoolId, ServiceId} from '../kernel/ids.ts'
import {msBetween, type Instant} from '../kernel/time.ts'
import type {MachineEvent} from './events.ts'
import type {PowerState} from './power.ts'

export interface Registration {
  readonly machineId: MachineId
  readonly name: string
  readonly poolId: PoolId
  readonly services: readonly ServiceId[]
  readonly driver: {readonly kind: string; readonly config: Readonly<Record<string, unknown>>}
}

export interface Machine extends PowerState {
  readonly registration: Registration
  readonly epoch: number
  /** What was made ready for a moment that had not come when it was written; null once it is over, either way. */
  readonly planned: IntendedCommand | null
}

export type MachineState = Machine | null

/** A command as it was written down: to be sent at once, or planned. */
export type IntendedCommand = Extract<MachineEvent, {type: 'PowerCommandIntended'}>['data']

export function evolveMachine(state: MachineState, event: MachineEvent): MachineState {
  if (event.type === 'MachineRegistered') {
    const {machineId, name, poolId, services, driver} = event.data
    return unseen({machineId, name, poolId, services, driver})
  }
  return state === null ? null : evolvePlanned(state, event)
}

/** The machine as it is at a moment: from when it is due, a planned command counts as one that may have been sent. */
export function comeDue(state: Machine, now: Instant): Machine {
  const {planned} = state
  return planned === null || now < planned.dueAt ? state : sent(state, planned)
}

function sent(state: Machine, planned: IntendedCommand): Machine {
  return intended({...state, planned: null}, planned, planned.dueAt)
}

type PowerEvent = Exclude<MachineEvent, {type: 'MachineRegistered'}>

/** What was planned is over once its outcome is known, it is withdrawn, or anything else happens when it was due. */
function evolvePlanned(state: Machine, event: PowerEvent): Machine {
  const {planned} = state
  const powerCommandId = 'powerCommandId' in event.data ? event.data.powerCommandId : null
  if (event.type === 'PowerCommandWithdrawn') {
    return planned?.powerCommandId === powerCommandId ? {...state, planned: null} : state
  }
  const current = planned?.powerCommandId === powerCommandId ? sent(state, planned) : comeDue(state, event.data.at)
  return evolvePower(current, event)
}

function evolvePower(state: Machine, event: Exclude<PowerEvent, {type: 'PowerCommandWithdrawn'}>): Machine {
  switch (event.type) {
    case 'PowerCommandIntended': {
      const {at, dueAt, epoch} = event.data
      return dueAt > at ? {...state, planned: event.data, epoch} : intended(state, event.data, at)
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
    case 'MachineReady': {
      // Whatever became of the last command, it is over.
      const ready = {phase: 'on', phaseSince: event.data.at, readySince: event.data.at} as const
      return {...state, ...ready, inFlight: null, hopeless: false}
    }
    case 'MachineQuarantined':
      return {...state, quarantined: true, planned: null}
    case 'QuarantineLifted':
      return {...unseen(state.registration), epoch: state.epoch}
    default:
      return assertNever(event)
  }
}

function intended(state: Machine, {powerCommandId, op, wish, attempt, epoch}: IntendedCommand, at: Instant): Machine {
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
    planned: null,
  }
}
