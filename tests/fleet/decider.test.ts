import {describe, expect, test} from 'vitest'
import {machine, type MachineCommand, type Sighting} from '../../src/fleet/decider.ts'
import type {Registration} from '../../src/fleet/machine-state.ts'
import type {MachineEvent} from '../../src/fleet/events.ts'
import {idOf} from '../../src/kernel/ids.ts'
import {at, given} from '../support/given.ts'

const machineId = idOf<'Machine'>('m1')
const registration: Registration = {
  machineId,
  name: 'Frankfurt 1',
  poolId: idOf('pool-1'),
  services: [idOf('service-a'), idOf('service-b')],
  driver: {kind: 'simulated', config: {bootSeconds: 20, disk: {sizeGb: 40, kind: 'ssd'}}},
}
const registered: MachineEvent = {
  type: 'MachineRegistered',
  data: {...registration, services: [...registration.services], at: at('09:00')},
}
const timings = {bootTimeoutSeconds: 120, stopResendSeconds: 10, stopGraceSeconds: 60, killSeconds: 30, attemptsMax: 3}
const now = at('10:00')

function look(sighting: Sighting, wanted: string | null, epoch = 1): MachineCommand {
  const desired = wanted === null ? null : {for: wanted}
  return {type: 'LookAtMachine', sighting, desired, ahead: null, epoch, powerCommandId: 'p1', timings, ages: {}}
}

const seenOff: MachineEvent = {type: 'PowerObserved', data: {machineId, power: 'off', reason: null, at: at('09:30')}}
const command = {machineId, powerCommandId: 'p1', op: 'start', wish: 'b1', attempt: 1, epoch: 1} as const
const intended = {
  type: 'PowerCommandIntended',
  data: {...command, dueAt: at('09:40'), at: at('09:40')},
} as const

describe('registering a machine', () => {
  test('stores what was asked for', () => {
    given(machine).when({type: 'RegisterMachine', registration}, at('09:00')).thenEvents(registered)
  })

  test('repeated is quiet, whatever the order of the configuration', () => {
    const driver = {config: {disk: {kind: 'ssd', sizeGb: 40}, bootSeconds: 20}, kind: 'simulated'}
    given(machine, registered).when({type: 'RegisterMachine', registration}, now).thenNothing()
    given(machine, registered)
      .when({type: 'RegisterMachine', registration: {...registration, driver}}, now)
      .thenNothing()
  })

  test.each<Partial<Registration>>([
    {name: 'Frankfurt 2'},
    {poolId: idOf('pool-2')},
    {services: [idOf('service-a')]},
    {driver: {kind: 'qemu', config: {}}},
    {driver: {kind: 'simulated', config: {bootSeconds: 21, disk: {sizeGb: 40, kind: 'ssd'}}}},
  ])('with other data under a known id is refused: %j', change => {
    given(machine, registered)
      .when({type: 'RegisterMachine', registration: {...registration, ...change}}, now)
      .thenRefused({type: 'MachineExists', machineId})
  })
})

describe('looking at a machine', () => {
  test('that was never registered is refused', () => {
    given(machine)
      .when(look({power: 'off'}, null), now)
      .thenRefused({type: 'NoSuchMachine'})
  })

  test('records what is seen for the first time', () => {
    given(machine, registered)
      .when(look({power: 'off'}, null), now)
      .thenEvents({type: 'PowerObserved', data: {machineId, power: 'off', reason: null, at: now}})
  })

  test('that shows nothing new is quiet', () => {
    given(machine, registered, seenOff)
      .when(look({power: 'off'}, null), now)
      .thenNothing()
  })

  test('records why a machine could not be reached', () => {
    given(machine, registered, seenOff)
      .when(look({power: 'unreachable', reason: 'transient: no route'}, 'b1'), now)
      .thenEvents({
        type: 'PowerObserved',
        data: {machineId, power: 'unreachable', reason: 'transient: no route', at: now},
      })
  })

  test('intends a start before anybody calls the driver', () => {
    given(machine, registered, seenOff)
      .when(look({power: 'off'}, 'b1', 7), now)
      .thenEvents({
        type: 'PowerCommandIntended',
        data: {...command, epoch: 7, dueAt: now, at: now},
      })
  })

  test('finds a machine that was on and ready all along', () => {
    given(machine, registered)
      .when(look({power: 'on', ready: true}, 'b1'), now)
      .thenEvents(
        {type: 'PowerObserved', data: {machineId, power: 'on', reason: null, at: now}},
        {type: 'MachineReady', data: {machineId, at: now}},
      )
  })

  test('says so when a machine is on but no longer ready', () => {
    const on: MachineEvent = {type: 'PowerObserved', data: {machineId, power: 'on', reason: null, at: at('09:41')}}
    const ready: MachineEvent = {type: 'MachineReady', data: {machineId, at: at('09:42')}}
    given(machine, registered, seenOff, intended, on, ready)
      .when(look({power: 'on', ready: false}, 'b1'), now)
      .thenEvents({type: 'PowerObserved', data: {machineId, power: 'on', reason: 'no longer ready', at: now}})
  })

  test('under an older lease than the last command is refused', () => {
    const newer: MachineEvent = {...intended, data: {...intended.data, epoch: 8}}
    given(machine, registered, seenOff, newer)
      .when(look({power: 'off'}, 'b1', 7), now)
      .thenRefused({type: 'Fenced', epoch: 8})
  })

  test('under a newer lease is welcome', () => {
    const {state} = given(machine, registered, seenOff, intended)
    expect(machine.decide(look({power: 'off'}, null, 2), state, {now})).toEqual({ok: true, events: []})
  })

  test('keeps the fence after a quarantine was lifted', () => {
    const quarantined: MachineEvent = {type: 'MachineQuarantined', data: {machineId, reason: 'x', at: at('09:50')}}
    const lifted: MachineEvent = {type: 'QuarantineLifted', data: {machineId, at: at('09:55')}}
    given(machine, registered, seenOff, {...intended, data: {...intended.data, epoch: 8}}, quarantined, lifted)
      .when(look({power: 'off'}, 'b1', 7), now)
      .thenRefused({type: 'Fenced', epoch: 8})
  })
})

describe('the outcome of a power command', () => {
  const accept: MachineCommand = {type: 'AcceptPowerCommand', powerCommandId: 'p1'}
  const retryAt = at('10:01')
  const failure = {errorClass: 'transient', message: '502', retryAt}
  const fail: MachineCommand = {type: 'FailPowerCommand', powerCommandId: 'p1', ...failure}
  const accepted: MachineEvent = {type: 'PowerCommandAccepted', data: {machineId, powerCommandId: 'p1', at: now}}

  test('is recorded once', () => {
    given(machine, registered, seenOff, intended).when(accept, now).thenEvents(accepted)
    given(machine, registered, seenOff, intended, accepted).when(accept, now).thenNothing()
    given(machine, registered, seenOff, intended, accepted).when(fail, now).thenNothing()
  })

  test('is recorded with its reason when it failed', () => {
    given(machine, registered, seenOff, intended)
      .when(fail, now)
      .thenEvents({type: 'PowerCommandFailed', data: {machineId, powerCommandId: 'p1', ...failure, at: now}})
  })

  test('of another command than the one in flight is of no interest', () => {
    const state = given(machine, registered, seenOff, intended)
    state.when({...accept, powerCommandId: 'p0'}, now).thenNothing()
    state.when({...fail, powerCommandId: 'p0'}, now).thenNothing()
  })

  test('that comes after the machine was seen ready does not take the readiness away', () => {
    const on: MachineEvent = {type: 'PowerObserved', data: {machineId, power: 'on', reason: null, at: at('09:41')}}
    const ready: MachineEvent = {type: 'MachineReady', data: {machineId, at: at('09:42')}}
    const {state} = given(machine, registered, seenOff, intended, on, ready, accepted)
    expect(state).toMatchObject({phase: 'on', readySince: at('09:42')})
  })
})

describe('lifting a quarantine', () => {
  const lift: MachineCommand = {type: 'LiftQuarantine'}
  const quarantined: MachineEvent = {type: 'MachineQuarantined', data: {machineId, reason: 'x', at: at('09:50')}}
  const lifted: MachineEvent = {type: 'QuarantineLifted', data: {machineId, at: now}}

  test('is recorded, and repeated is quiet', () => {
    given(machine, registered, quarantined).when(lift, now).thenEvents(lifted)
    given(machine, registered, quarantined, lifted).when(lift, now).thenNothing()
    given(machine, registered).when(lift, now).thenNothing()
  })

  test('looks at the machine as if for the first time', () => {
    const before = given(machine, registered).state
    expect(given(machine, registered, seenOff, quarantined, lifted).state).toEqual(before)
  })
})
