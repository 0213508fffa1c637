import type {PowerTimings} from '../../src/fleet/power.ts'
import {overdueAt, type Known, type LogRule, type Report} from './rule-of-log.ts'

/** What the sum of a machine's events says, kept by rules of this file's own. */
interface Machine {
  epoch: number
  inFlight: string | null
  quarantinedSinceMs: number | null
  offered: boolean
  seen: 'off' | 'on' | 'unreachable' | null
  phase: 'idle' | 'starting' | 'booting' | 'on' | 'stopping' | 'killing'
  phaseSinceMs: number
  commandedMs: number
  retryMs: number
}

/** Every power command keeps to the rules, by the log alone, and nothing is given out that is withdrawn. */
export function checkMachines(timings: PowerTimings, report: Report): LogRule {
  const machines = new Map<string, Machine>()

  function of(machineId: string): Machine {
    const known = machines.get(machineId)
    if (known !== undefined) return known
    const machine: Machine = {...unseen, epoch: 0, quarantinedSinceMs: null, offered: false}
    machines.set(machineId, machine)
    return machine
  }

  function intended(data: Extract<Known, {type: 'PowerCommandIntended'}>['data']): void {
    const {machineId, op, attempt, epoch, wish} = data
    const machine = of(machineId)
    const atMs = Date.parse(data.at)
    const told = `${machineId} was told to ${op} at ${data.at}`
    const isLeaving = machine.phase === 'stopping' || machine.phase === 'killing'
    const isSilent = machine.seen === 'unreachable'
    const sinceMs = atMs - machine.phaseSinceMs
    if (epoch < machine.epoch) report(`${told} under an older lease`)
    if (machine.quarantinedSinceMs !== null) report(`${told} in quarantine`)
    if (isSilent && (op === 'start' || !isLeaving)) report(`${told}, a machine that does not answer`)
    // What is sent into silence is sent for as long as it takes.
    if (atMs < machine.retryMs && !(isSilent && op === 'kill')) report(`${told} before its driver may be asked`)
    if (op === 'start') {
      if (attempt > timings.attemptsMax) report(`a start of ${machineId} was tried ${attempt} times`)
      const isEarly = machine.phase === 'booting' && sinceMs < timings.bootTimeoutSeconds * 1_000
      if (isEarly) report(`${machineId} was started again while it booted, after ${sinceMs} ms`)
    } else {
      const again = machine.phase === (op === 'stop' ? 'stopping' : 'killing')
      const gapMs = atMs - machine.commandedMs
      if (again && gapMs < timings.stopResendSeconds * 1_000) report(`${told} again after ${gapMs} ms`)
      const isEarlyKill = op === 'kill' && machine.phase === 'stopping' && sinceMs < timings.stopGraceSeconds * 1_000
      if (isEarlyKill) report(`${machineId} was killed ${sinceMs} ms after it was asked to stop`)
      if (op === 'kill' && !isLeaving && wish === null) report(`${machineId} was killed without being asked to stop`)
    }
    const phase = phaseAfter[op]
    if (phase !== machine.phase || op === 'start') machine.phaseSinceMs = atMs
    Object.assign(machine, {phase, inFlight: data.powerCommandId, commandedMs: atMs, retryMs: -Infinity, epoch})
  }

  function answered({machineId, powerCommandId}: {machineId: string; powerCommandId: string}): Machine {
    const machine = of(machineId)
    if (machine.inFlight !== powerCommandId) report(`${powerCommandId} of ${machineId} was not under way`)
    machine.inFlight = null
    return machine
  }

  function observed(machine: Machine, power: 'off' | 'on' | 'unreachable', atMs: number): void {
    const {seen, phase} = machine
    machine.seen = power
    if (power === 'unreachable') return
    const isComing = phase === 'starting' || phase === 'booting'
    if (power === 'off') {
      if (!isComing || seen === 'on') machine.phase = 'idle'
      return
    }
    const isLeaving = phase === 'stopping' || phase === 'killing'
    if (phase === 'killing' && seen === 'unreachable') machine.phaseSinceMs = atMs
    if (isLeaving || (phase === 'on' && seen === 'unreachable')) return
    if (phase !== 'booting') machine.phaseSinceMs = atMs
    machine.phase = 'booting'
  }

  function given(bookingId: string, machineId: string): void {
    if (!of(machineId).offered) report(`${bookingId} was given ${machineId}, which is withdrawn`)
  }

  return {
    see({type, data}) {
      switch (type) {
        case 'PowerCommandIntended':
          return intended(data)
        case 'PowerCommandAccepted': {
          const machine = answered(data)
          if (machine.phase === 'starting') {
            Object.assign(machine, {phase: 'booting', phaseSinceMs: Date.parse(data.at)})
          }
          return
        }
        case 'PowerCommandFailed': {
          const machine = answered(data)
          machine.retryMs = Date.parse(data.retryAt)
          return
        }
        case 'PowerObserved':
          return observed(of(data.machineId), data.power, Date.parse(data.at))
        case 'MachineReady':
          of(data.machineId).phase = 'on'
          return
        case 'MachineQuarantined':
          of(data.machineId).quarantinedSinceMs = Date.parse(data.at)
          return
        case 'QuarantineLifted':
          Object.assign(of(data.machineId), unseen, {quarantinedSinceMs: null})
          return
        case 'MachineOffered':
          of(data.machineId).offered = true
          return
        case 'MachineWithdrawn':
          of(data.machineId).offered = false
          return
        case 'SlotAllocated':
          return given(data.bookingId, data.machineId)
        case 'AllocationFailedOver':
          return given(data.bookingId, data.toMachineId)
        default:
      }
    },
    look(nowMs, calmSinceMs) {
      let nextMs = Infinity
      for (const [machineId, {offered, quarantinedSinceMs}] of machines) {
        if (!offered || quarantinedSinceMs === null) continue
        const overdueMs = overdueAt(quarantinedSinceMs, calmSinceMs)
        if (nowMs > overdueMs) report(`${machineId} is offered in quarantine`)
        else nextMs = Math.min(nextMs, overdueMs)
      }
      return nextMs
    },
  }
}

const phaseAfter = {start: 'starting', stop: 'stopping', kill: 'killing'} as const

const unseen = {
  inFlight: null,
  seen: null,
  phase: 'idle',
  phaseSinceMs: -Infinity,
  commandedMs: -Infinity,
  retryMs: -Infinity,
} as const
