import {overdueAt, type Known, type LogRule, type LogWorld, type Report} from './rule-of-log.ts'

/** What the sum of a machine's events says, kept by rules of this file's own. */
interface Machine {
  epoch: number
  inFlight: string | null
  quarantinedSinceMs: number | null
  offered: boolean
  seen: 'off' | 'on' | 'unreachable' | null
  phase: 'idle' | 'starting' | 'booting' | 'on' | 'stopping' | 'killing'
  phaseSince: Moment | null
  commanded: Moment | null
  retry: Moment | null
  planned: Planned | null
}

type Intended = Extract<Known, {type: 'PowerCommandIntended'}>['data']

/** A command for a moment that was yet to come. */
interface Planned {
  readonly data: Intended
  readonly due: Moment
}

/** A moment by both clocks. A node takes the one that nobody sets, unless it was not there at the time. */
interface Moment {
  readonly wallMs: number
  readonly elapsedMs: number
}

/** Every power command keeps to the rules, by the log alone, and nothing is given out that is withdrawn. */
export function checkMachines(world: LogWorld, report: Report): LogRule {
  const {timings} = world
  const machines = new Map<string, Machine>()
  const momentOf = (at: string): Moment => ({wallMs: Date.parse(at), elapsedMs: world.elapsedMs()})

  function of(machineId: string): Machine {
    const known = machines.get(machineId)
    if (known !== undefined) return known
    const machine: Machine = {...unseen, epoch: 0, quarantinedSinceMs: null, offered: false}
    machines.set(machineId, machine)
    return machine
  }

  function intended(data: Intended): void {
    const {machineId, epoch, dueAt, at} = data
    const machine = of(machineId)
    comeDue(machine, at)
    if (machine.planned !== null) report(`${machineId} was told at ${at} while something is planned for it`)
    if (dueAt <= at) return told(data, momentOf(at))
    if (epoch < machine.epoch) report(`something is planned for ${machineId} under an older lease`)
    const leadMs = Date.parse(dueAt) - Date.parse(at)
    machine.planned = {data, due: {wallMs: Date.parse(dueAt), elapsedMs: world.elapsedMs() + leadMs}}
    machine.epoch = epoch
  }

  /** From its moment on, a planned command is one that may have been sent. */
  function comeDue(machine: Machine, at: string): void {
    if (machine.planned !== null && machine.planned.data.dueAt <= at) send(machine, machine.planned)
  }

  function send(machine: Machine, {data, due}: Planned): void {
    machine.planned = null
    told(data, {...due, elapsedMs: Math.min(due.elapsedMs, world.elapsedMs())})
  }

  function withdrawn({machineId, powerCommandId}: {machineId: string; powerCommandId: string}): void {
    const machine = of(machineId)
    if (machine.planned?.data.powerCommandId !== powerCommandId) report(`${powerCommandId} was not planned`)
    machine.planned = null
  }

  function told(data: Intended, now: Moment): void {
    const {machineId, op, attempt, epoch, wish} = data
    const machine = of(machineId)
    const told = `${machineId} was told to ${op} at ${data.dueAt}`
    const isLeaving = machine.phase === 'stopping' || machine.phase === 'killing'
    const isSilent = machine.seen === 'unreachable'
    const sinceMs = msBetween(machine.phaseSince, now)
    if (epoch < machine.epoch) report(`${told} under an older lease`)
    if (machine.quarantinedSinceMs !== null) report(`${told} in quarantine`)
    if (isSilent && (op === 'start' || !isLeaving)) report(`${told}, a machine that does not answer`)
    // What is sent into silence is sent for as long as it takes.
    if (msBetween(machine.retry, now) < 0 && !(isSilent && op === 'kill'))
      report(`${told} before its driver may be asked`)
    if (op === 'start') {
      if (attempt > timings.attemptsMax) report(`a start of ${machineId} was tried ${attempt} times`)
      const isEarly = machine.phase === 'booting' && sinceMs < timings.bootTimeoutSeconds * 1_000
      if (isEarly) report(`${machineId} was started again while it booted, after ${sinceMs} ms`)
    } else {
      const again = machine.phase === (op === 'stop' ? 'stopping' : 'killing')
      const gapMs = msBetween(machine.commanded, now)
      if (again && gapMs < timings.stopResendSeconds * 1_000) report(`${told} again after ${gapMs} ms`)
      const isEarlyKill = op === 'kill' && machine.phase === 'stopping' && sinceMs < timings.stopGraceSeconds * 1_000
      if (isEarlyKill) report(`${machineId} was killed ${sinceMs} ms after it was asked to stop`)
      if (op === 'kill' && !isLeaving && wish === null) report(`${machineId} was killed without being asked to stop`)
    }
    const phase = phaseAfter[op]
    if (phase !== machine.phase || op === 'start') machine.phaseSince = now
    Object.assign(machine, {phase, inFlight: data.powerCommandId, commanded: now, retry: null, epoch})
  }

  function answered({machineId, powerCommandId}: {machineId: string; powerCommandId: string}): Machine {
    const machine = of(machineId)
    if (machine.planned?.data.powerCommandId === powerCommandId) send(machine, machine.planned)
    if (machine.inFlight !== powerCommandId) report(`${powerCommandId} of ${machineId} was not under way`)
    machine.inFlight = null
    return machine
  }

  function observed(machine: Machine, power: 'off' | 'on' | 'unreachable', now: Moment): void {
    const {seen, phase} = machine
    machine.seen = power
    if (power === 'unreachable') return
    const isComing = phase === 'starting' || phase === 'booting'
    if (power === 'off') {
      if (!isComing || seen === 'on') machine.phase = 'idle'
      return
    }
    const isLeaving = phase === 'stopping' || phase === 'killing'
    if (phase === 'killing' && seen === 'unreachable') machine.phaseSince = now
    if (isLeaving || (phase === 'on' && seen === 'unreachable')) return
    if (phase !== 'booting') machine.phaseSince = now
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
        case 'PowerCommandWithdrawn':
          return withdrawn(data)
        case 'PowerCommandAccepted': {
          const machine = answered(data)
          if (machine.phase === 'starting') {
            Object.assign(machine, {phase: 'booting', phaseSince: momentOf(data.at)})
          }
          return
        }
        case 'PowerCommandFailed': {
          const machine = answered(data)
          const waitMs = Date.parse(data.retryAt) - Date.parse(data.at)
          machine.retry = {wallMs: Date.parse(data.retryAt), elapsedMs: world.elapsedMs() + waitMs}
          return
        }
        case 'PowerObserved':
          comeDue(of(data.machineId), data.at)
          return observed(of(data.machineId), data.power, momentOf(data.at))
        case 'MachineReady':
          comeDue(of(data.machineId), data.at)
          of(data.machineId).phase = 'on'
          return
        case 'MachineQuarantined':
          Object.assign(of(data.machineId), {quarantinedSinceMs: Date.parse(data.at), planned: null})
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

/** Where the wall clock was set in between, what is written a little later than it was decided must be allowed for. */
const lateMs = 30_000

/** By whichever clock it is longer; Infinity: there was no such moment. */
function msBetween(from: Moment | null, to: Moment): number {
  if (from === null) return Infinity
  const wallMs = to.wallMs - from.wallMs
  const elapsedMs = to.elapsedMs - from.elapsedMs
  return Math.max(wallMs, Math.abs(wallMs - elapsedMs) > lateMs ? elapsedMs + lateMs : elapsedMs)
}

const phaseAfter = {start: 'starting', stop: 'stopping', kill: 'killing'} as const

const unseen = {
  inFlight: null,
  seen: null,
  phase: 'idle',
  phaseSince: null,
  commanded: null,
  retry: null,
  planned: null,
} as const
