import type {PowerEffect} from '../../src/drivers/simulated.ts'
import type {Phase} from '../../src/drivers/simulated-machine.ts'
import {createCovers, type Slot} from './covers.ts'
import {patienceMs, type Report, type Rule} from '../../src/verify/rule.ts'

/** What is asked of the world outside the log. */
export interface PowerWorld {
  readonly machineIds: readonly string[]
  truth(machineId: string): Phase
  /** How late the engine may notice that a running machine is gone. */
  noticeMs(): number
  /** The engine was kept from its work a moment ago, or is so now: it may be late. */
  isUnsettled(): boolean
  /** The wall clock was set a moment ago: what was to be is not what is to be. */
  hasClockJumped(): boolean
}

export interface PowerRule extends Rule {
  /** A change of power as it happens; `byHand`: not by the engine. */
  effect(effect: PowerEffect, byHand: boolean): void
}

interface Machine {
  quarantinedMs: number | null
  liftedMs: number
  /** The last time its provider was in the way. */
  troubledMs: number
  /** Since when it is on its way out; null: it is not. */
  leavingMs: number | null
  /** It will be on its way out from a moment on, unless that is withdrawn. */
  planned: {readonly powerCommandId: string; readonly dueMs: number} | null
  /** Whether the engine has seen it ready in this run. */
  isKnownReady: boolean
  startedMs: number
  offMs: number
  /** For whom this run was begun. */
  startedFor: string | null
  /** Ends of runs that nobody wanted: each allows one more start. */
  readonly starts: Map<string, number>
  wasLost: boolean
}

const minuteMs = 60_000
/** Who acts on a slot that was just given back, or just given, could not know it yet. */
const latelyMs = minuteMs
/** A program that stood still for so long may yet do what it had begun. */
const standstillMsMax = 30 * minuteMs
/** A stop that is refused, ignored and followed by a kill takes so long. */
const stopMsMax = 6 * minuteMs
/** All attempts at a start, with the waits between them. */
const startMsMax = 10 * minuteMs

/**
 * A machine is on if and only if a booking covers the moment: started for one and never early, at most once unless it
 * was lost, not stopped before its end, off soon after, and on, or replaced, soon after its start.
 */
export function checkPower(world: PowerWorld, report: Report): PowerRule {
  const covers = createCovers()
  const machines = new Map<string, Machine>(world.machineIds.map(id => [id, newMachine()]))
  const machineOf = (id: string): Machine => machines.get(id) ?? newMachine()

  function started(machineId: string, atMs: number): void {
    const machine = machineOf(machineId)
    const slot = covers.at(machineId, atMs)
    Object.assign(machine, {startedMs: atMs, startedFor: slot?.bookingId ?? null, leavingMs: null, isKnownReady: false})
    if (slot === null) {
      const lateMsMax = world.isUnsettled() ? standstillMsMax : latelyMs
      const isLate = covers.endedMs(machineId, atMs) + lateMsMax >= atMs
      if (!isLate) report(`${machineId} was started for nobody`)
      return
    }
    const starts = machine.starts.get(slot.bookingId) ?? 0
    if (starts > 0 && !machine.wasLost) report(`${machineId} was started again for ${slot.bookingId}`)
    machine.starts.set(slot.bookingId, starts + 1)
    machine.wasLost = false
  }

  function ended(machineId: string, atMs: number, isLoss: boolean, how: string): void {
    const machine = machineOf(machineId)
    const slot = covers.firmAt(machineId, atMs)
    machine.offMs = atMs
    // A run that never became ready is ended to be tried again.
    machine.wasLost = isLoss || !machine.isKnownReady
    comeDue(machine, atMs)
    const {leavingMs} = machine
    // What was told to go later than now was told so before the clock was set back.
    const wasLeaving = leavingMs !== null && (slot === null || leavingMs > atMs || leavingMs < slot.fromMs + latelyMs)
    if (!machine.wasLost && slot !== null && !wasLeaving && !world.hasClockJumped()) {
      const isNews = !slot.isAgreed || slot.sinceMs + stopMsMax > atMs || slot.fromMs + latelyMs > atMs
      if (isNews) machine.wasLost = true
      else report(`${machineId} was ${how} in the middle of ${slot.bookingId}`)
    } else if (world.hasClockJumped() || wasLeaving) machine.wasLost = true
    machine.isKnownReady = false
    machine.leavingMs = null
    machine.planned = null
  }

  /** When something about this machine is overdue; reports what is. */
  function lookAt(machineId: string, nowMs: number, calmSinceMs: number): number {
    const machine = machineOf(machineId)
    const phase = world.truth(machineId)
    const slot = covers.firmAt(machineId, nowMs)
    if (phase !== 'off' && covers.at(machineId, nowMs) === null && machine.quarantinedMs === null) {
      const sinceMs = Math.max(covers.endedMs(machineId, nowMs), machine.startedMs, machine.liftedMs)
      const dueMs = Math.max(sinceMs, calmSinceMs, machine.troubledMs) + stopMsMax
      if (nowMs <= dueMs) return dueMs
      report(`${machineId} is on for nobody`)
      machine.liftedMs = nowMs
      return Infinity
    }
    if (slot === null || nowMs < slot.startMs || nowMs >= slot.endMs) return covers.nextEdgeMs(machineId, nowMs)
    return Math.min(lookAtSession(machineId, slot, phase, nowMs, calmSinceMs), covers.nextEdgeMs(machineId, nowMs))
  }

  function lookAtSession(machineId: string, slot: Slot, phase: Phase, nowMs: number, calmSinceMs: number): number {
    const machine = machineOf(machineId)
    const {bookingId, startMs, sinceMs} = slot
    const fromMs = Math.max(startMs, sinceMs, calmSinceMs, machine.troubledMs)
    let dueMs: number
    let what: string
    if (machine.quarantinedMs !== null) {
      dueMs = Math.max(fromMs, machine.quarantinedMs) + 2 * patienceMs
      what = 'is left on a machine in quarantine'
    } else if (phase === 'off') {
      dueMs = Math.max(fromMs, machine.offMs, machine.liftedMs) + world.noticeMs() + startMsMax
      what = 'has no running machine'
    } else if (phase === 'ready' && !covers.isStarted(bookingId)) {
      dueMs = Math.max(fromMs, machine.startedMs, machine.liftedMs) + world.noticeMs() + 4 * patienceMs
      what = 'has its machine and does not start'
    } else return Infinity
    if (nowMs <= dueMs) return dueMs
    report(`${bookingId} ${what} (${machineId})`)
    covers.forget(machineId, bookingId)
    return Infinity
  }

  return {
    see(event, _stream, atMs) {
      covers.see(event, atMs)
      const {type, data} = event
      if (!('machineId' in data) || typeof data.machineId !== 'string') return
      const machine = machines.get(data.machineId)
      if (machine === undefined) return
      if (type === 'MachineQuarantined') machine.quarantinedMs = atMs
      else if (type === 'QuarantineLifted') Object.assign(machine, {quarantinedMs: null, liftedMs: atMs})
      else if (type === 'PowerCommandFailed') machine.troubledMs = Math.max(atMs, Date.parse(data.retryAt))
      else if (type === 'PowerObserved' && data.power === 'unreachable') machine.troubledMs = atMs
      else if (type === 'PowerObserved' && data.power === 'on') machine.troubledMs = atMs
      else if (type === 'MachineReady') machine.isKnownReady = true
      else if (type === 'PowerCommandIntended' && data.op !== 'start') {
        const {powerCommandId, dueAt, at} = data
        comeDue(machine, Date.parse(at))
        // By when it was decided: a program that stood still meanwhile writes it down all the same.
        if (dueAt <= at) machine.leavingMs ??= Date.parse(at)
        else machine.planned = {powerCommandId, dueMs: Date.parse(dueAt)}
      } else if (type === 'PowerCommandWithdrawn') {
        if (machine.planned?.powerCommandId === data.powerCommandId) machine.planned = null
      } else if (type === 'PowerCommandAccepted' && machine.planned?.powerCommandId === data.powerCommandId) {
        comeDue(machine, Infinity)
      }
    },
    effect({machineId, effect, at}, byHand) {
      const atMs = Date.parse(at)
      if (effect === 'started') started(machineId, atMs)
      else ended(machineId, atMs, byHand || effect === 'crashed', effect)
    },
    look(nowMs, calmSinceMs) {
      covers.tidy(nowMs)
      let nextMs = Infinity
      for (const machineId of world.machineIds) nextMs = Math.min(nextMs, lookAt(machineId, nowMs, calmSinceMs))
      return nextMs
    },
  }
}

/** From its moment on, a planned stop is one that may have been sent. */
function comeDue(machine: Machine, atMs: number): void {
  if (machine.planned === null || machine.planned.dueMs > atMs) return
  machine.leavingMs ??= machine.planned.dueMs
  machine.planned = null
}

function newMachine(): Machine {
  const never = -Infinity
  return {
    quarantinedMs: null,
    liftedMs: never,
    troubledMs: never,
    leavingMs: null,
    planned: null,
    isKnownReady: false,
    startedMs: never,
    offMs: never,
    startedFor: null,
    starts: new Map(),
    wasLost: false,
  }
}
