import {accept, assertNever, fold, refuse, type Decider, type Decision} from '../kernel/decider.ts'
import type {MachineId} from '../kernel/ids.ts'
import {msBetween, type Instant} from '../kernel/time.ts'
import {machineCategory, type MachineEvent} from './events.ts'
import {
  comeDue,
  evolveMachine,
  type Machine,
  type MachineState,
  type IntendedCommand,
  type Registration,
} from './machine-state.ts'
import {
  isLeaving,
  planPower,
  stayedOn,
  type DesiredPower,
  type PowerPlan,
  type PowerTimings,
  type SinceMs,
} from './power.ts'

/** What a look at the machine showed. */
export type Sighting =
  | {readonly power: 'off'}
  | {readonly power: 'on'; readonly ready: boolean}
  | {readonly power: 'unreachable'; readonly reason: string}

export type MachineCommand =
  | {readonly type: 'RegisterMachine'; readonly registration: Registration}
  /** One look of the reconciler: records what changed and intends at most one power command, for now or for soon. */
  | {
      readonly type: 'LookAtMachine'
      readonly sighting: Sighting
      readonly desired: DesiredPower
      /** What will be desired from a moment so near that its command is made ready now; null: nothing is that near. */
      readonly ahead: {readonly desired: DesiredPower; readonly dueAt: Instant} | null
      readonly epoch: number
      readonly powerCommandId: string
      readonly timings: PowerTimings
      /** Milliseconds since moments of the state, by a clock that nobody sets; for all others the wall clock counts. */
      readonly ages: Readonly<Record<string, number>>
    }
  /** The moment of a planned command has come, and it is not wanted any more; it was not sent. */
  | {readonly type: 'WithdrawPowerCommand'; readonly powerCommandId: string}
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
      case 'WithdrawPowerCommand':
        return state.planned?.powerCommandId === command.powerCommandId
          ? accept(withdrawn(state.planned, now))
          : accept()
      case 'AcceptPowerCommand': {
        if (!isUnderWay(state, command.powerCommandId)) return accept()
        const {powerCommandId} = command
        return accept({type: 'PowerCommandAccepted', data: {machineId, powerCommandId, at: now}})
      }
      case 'FailPowerCommand': {
        if (!isUnderWay(state, command.powerCommandId)) return accept()
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

  evolve: evolveMachine,
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

type Look = Extract<MachineCommand, {type: 'LookAtMachine'}>

function decideLook(command: Look, before: Machine, now: Instant): Decision<MachineEvent, MachineRefusal> {
  if (command.epoch < before.epoch) return refuse({type: 'Fenced', epoch: before.epoch})
  const sinceMs = (moment: Instant): number => command.ages[moment] ?? msBetween(moment, now)
  const current = comeDue(before, now)
  // Wanted on, and not leaving after all: then it counts as what it shows itself to be.
  const stays = command.desired !== null && stayedOn(current, sinceMs, command.timings)
  const facts = changesOf(current, command.sighting, stays, now)
  const state = fold(machine, current, facts) ?? current
  const plan = planPower(state, command.desired, sinceMs, command.timings)
  const next = plan.do === 'nothing' ? planAhead(command, state, sinceMs, now) : null
  const {planned} = state
  if (planned !== null) {
    if (next !== null && isSame(planned, next)) return accept(...facts)
    facts.push(withdrawn(planned, now))
  }
  const {machineId} = state.registration
  switch (plan.do) {
    case 'nothing':
      return accept(...facts, ...(next === null ? [] : [intends(machineId, next, now)]))
    case 'quarantine':
      return accept(...facts, {type: 'MachineQuarantined', data: {machineId, reason: plan.reason, at: now}})
    case 'command':
      return accept(...facts, intends(machineId, intentOf(command, plan, command.desired, now), now))
    default:
      return assertNever(plan)
  }
}

type Intent = Omit<IntendedCommand, 'machineId' | 'at'>

function intentOf(
  {powerCommandId, epoch}: Look,
  {op, attempt}: Extract<PowerPlan, {do: 'command'}>,
  desired: DesiredPower,
  dueAt: Instant,
): Intent {
  return {powerCommandId, op, wish: desired?.for ?? null, attempt, epoch, dueAt}
}

/**
 * What can be foreseen of a machine that is where it should be: how it will be switched. In any other case the looks
 * that follow one another quickly see to it.
 */
function planAhead(command: Look, state: Machine, sinceMs: SinceMs, now: Instant): Intent | null {
  const {ahead, timings} = command
  if (ahead === null) return null
  const {desired, dueAt} = ahead
  const isSettled = state.phase === state.seen && state.seen === (desired === null ? 'on' : 'off')
  if (!isSettled) return null
  const leadMs = msBetween(now, dueAt)
  const plan = planPower(state, desired, moment => sinceMs(moment) + leadMs, timings)
  return plan.do === 'command' ? intentOf(command, plan, desired, dueAt) : null
}

/** Of another holder of the lease nobody knows whether he still means to send it. */
function isSame(planned: Intent, {op, wish, dueAt, epoch}: Intent): boolean {
  return planned.op === op && planned.wish === wish && planned.dueAt === dueAt && planned.epoch === epoch
}

function isUnderWay({inFlight, planned}: Machine, powerCommandId: string): boolean {
  return inFlight?.powerCommandId === powerCommandId || planned?.powerCommandId === powerCommandId
}

function intends(machineId: MachineId, intent: Intent, at: Instant): MachineEvent {
  return {type: 'PowerCommandIntended', data: {machineId, ...intent, at}}
}

function withdrawn({machineId, powerCommandId}: IntendedCommand, at: Instant): MachineEvent {
  return {type: 'PowerCommandWithdrawn', data: {machineId, powerCommandId, at}}
}

/** The facts that are new in a sighting. */
function changesOf(state: Machine, sighting: Sighting, stays: boolean, at: Instant): MachineEvent[] {
  const {machineId} = state.registration
  const changes: MachineEvent[] = []
  const lostReadiness = sighting.power === 'on' && !sighting.ready && state.phase === 'on' && state.seen === 'on'
  if (sighting.power !== state.seen || lostReadiness) {
    const reason = sighting.power === 'unreachable' ? sighting.reason : lostReadiness ? 'no longer ready' : null
    changes.push({type: 'PowerObserved', data: {machineId, power: sighting.power, reason, at}})
  }
  const leaves = isLeaving(state) && !stays
  if (sighting.power === 'on' && sighting.ready && state.phase !== 'on' && !leaves) {
    changes.push({type: 'MachineReady', data: {machineId, at}})
  }
  return changes
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
