import {machine, type MachineCommand, type Sighting} from '../../src/fleet/decider.ts'
import type {MachineState} from '../../src/fleet/machine-state.ts'
import type {MachineEvent} from '../../src/fleet/events.ts'
import {fold} from '../../src/kernel/decider.ts'
import {idOf} from '../../src/kernel/ids.ts'
import {plusMs} from '../../src/kernel/time.ts'
import {at} from '../support/given.ts'

const machineId = idOf<'Machine'>('m1')
export const timings = {
  bootTimeoutSeconds: 120,
  stopResendSeconds: 10,
  stopGraceSeconds: 60,
  killSeconds: 30,
  attemptsMax: 3,
}
const sightings: Readonly<Record<string, Sighting>> = {
  off: {power: 'off'},
  on: {power: 'on', ready: false},
  ready: {power: 'on', ready: true},
  unreachable: {power: 'unreachable', reason: 'no answer'},
}

/** One machine under a clock of its own. Each call answers what was recorded, in short. */
export function watched(): {
  look(sighting: 'off' | 'on' | 'ready' | 'unreachable', wanted: string | null): string[]
  /** What is under way, unless told. */
  accept(powerCommandId?: string): string[]
  fail(errorClass: string, retrySeconds: number): string[]
  wait(seconds: number): void
  lift(): string[]
  readonly state: () => NonNullable<MachineState>
} {
  const registration = {machineId, name: 'M', poolId: idOf<'Pool'>('p'), services: [], driver: {kind: 'x', config: {}}}
  let now = at('10:00')
  let commands = 0
  let state: MachineState = null
  const send = (command: MachineCommand): string[] => {
    const decision = machine.decide(command, state, {now})
    if (!decision.ok) return [`refused: ${decision.refusal.type}`]
    state = fold(machine, state, decision.events)
    return decision.events.map(inShort)
  }
  send({type: 'RegisterMachine', registration})
  return {
    look: (seen, wanted) => {
      const desired = wanted === null ? null : {for: wanted}
      const sighting = sightings[seen] ?? {power: 'off'}
      return send({
        type: 'LookAtMachine',
        sighting,
        desired,
        ahead: null,
        epoch: 1,
        powerCommandId: `p${++commands}`,
        timings,
        ages: {},
      })
    },
    accept: powerCommandId =>
      send({type: 'AcceptPowerCommand', powerCommandId: powerCommandId ?? state?.inFlight?.powerCommandId ?? ''}),
    fail: (errorClass, retrySeconds) =>
      send({
        type: 'FailPowerCommand',
        powerCommandId: state?.inFlight?.powerCommandId ?? '',
        errorClass,
        message: 'it said no',
        retryAt: plusMs(now, retrySeconds * 1000),
      }),
    wait: seconds => {
      now = plusMs(now, seconds * 1000)
    },
    lift: () => send({type: 'LiftQuarantine'}),
    state: () => {
      if (state === null) throw new Error('not registered')
      return state
    },
  }
}

function inShort(event: MachineEvent): string {
  switch (event.type) {
    case 'PowerObserved':
      return `seen ${event.data.power}`
    case 'PowerCommandIntended':
      return `${event.data.op} ${event.data.attempt} for ${event.data.wish ?? 'nobody'}`
    case 'MachineQuarantined':
      return `quarantined: ${event.data.reason}`
    default:
      return event.type
  }
}

/** Registered, seen off, started for b1, accepted, ready. */
export function running(): ReturnType<typeof watched> {
  const rig = watched()
  rig.look('off', 'b1')
  rig.accept()
  rig.wait(20)
  rig.look('ready', 'b1')
  return rig
}
