import {describe, expect, test} from 'vitest'
import {machine, type MachineCommand, type Sighting} from '../../src/fleet/decider.ts'
import type {MachineEvent} from '../../src/fleet/events.ts'
import {comeDue, type Machine} from '../../src/fleet/machine-state.ts'
import {fold} from '../../src/kernel/decider.ts'
import {idOf} from '../../src/kernel/ids.ts'
import {at} from '../support/given.ts'
import {timings} from './watched-machine.ts'

const machineId = idOf<'Machine'>('m1')
const registered: MachineEvent = {
  type: 'MachineRegistered',
  data: {
    machineId,
    name: 'M',
    poolId: idOf<'Pool'>('p'),
    services: [],
    driver: {kind: 'x', config: {}},
    at: at('09:00'),
  },
}
const seen = (power: 'off' | 'on', when: string): MachineEvent => ({
  type: 'PowerObserved',
  data: {machineId, power, reason: null, at: at(when)},
})
const start = {machineId, powerCommandId: 'p1', op: 'start', wish: 'b1', attempt: 1, epoch: 1} as const
const stop = {...start, op: 'stop', wish: null} as const
const due = {dueAt: at('10:00'), at: at('09:59:50')}
const planned = (data: typeof start | typeof stop): MachineEvent => ({
  type: 'PowerCommandIntended',
  data: {...data, ...due},
})
const accepted: MachineEvent = {
  type: 'PowerCommandAccepted',
  data: {machineId, powerCommandId: 'p1', at: at('10:00:00.100')},
}

const off = [registered, seen('off', '09:30')]
const on = [...off, seen('on', '09:40'), {type: 'MachineReady', data: {machineId, at: at('09:41')}} as const]
const stateAfter = (...events: readonly MachineEvent[]): Machine => {
  const state = fold(machine, machine.initial, events)
  if (state === null) throw new Error('not registered')
  return state
}

interface Wanted {
  readonly now: string | null
  readonly soon: string | null
}
function look(sighting: Sighting, wanted: Wanted, epoch = 1): MachineCommand {
  const [desired, later] = [wanted.now, wanted.soon].map(booking => (booking === null ? null : {for: booking}))
  const ahead = {desired: later ?? null, dueAt: at('10:00')}
  return {
    type: 'LookAtMachine',
    sighting,
    desired: desired ?? null,
    ahead,
    epoch,
    powerCommandId: 'p2',
    timings,
    ages: {},
  }
}
function decided(command: MachineCommand, state: Machine, now: string): readonly MachineEvent[] {
  const decision = machine.decide(command, state, {now: at(now)})
  if (!decision.ok) throw new Error(decision.refusal.type)
  return decision.events
}
const withdrawnAt = (now: string): MachineEvent => ({
  type: 'PowerCommandWithdrawn',
  data: {machineId, powerCommandId: 'p1', at: at(now)},
})

const isOff = {power: 'off'} as const
const isReady = {power: 'on', ready: true} as const
const startSoon = {now: null, soon: 'b1'}
const stopSoon = {now: 'b1', soon: null}

describe('a look shortly before a machine is to be switched', () => {
  test.each([
    ['off, soon wanted', off, isOff, startSoon, 'start', 'b1'],
    ['on, soon not wanted', on, isReady, stopSoon, 'stop', null],
  ] as const)('at one that is %s plans the command for its moment', (_, history, sighting, wanted, op, wish) => {
    const command = {machineId, powerCommandId: 'p2', op, wish, attempt: 1, epoch: 3}
    expect(decided(look(sighting, wanted, 3), stateAfter(...history), '09:59:55')).toEqual([
      {type: 'PowerCommandIntended', data: {...command, dueAt: at('10:00'), at: at('09:59:55')}},
    ])
  })

  test.each([
    ['is wanted on by one after another', on, isReady, {now: 'b1', soon: 'b2'}],
    ['is not wanted, now or then', off, isOff, {now: null, soon: null}],
    ['cannot be reached', off, {power: 'unreachable', reason: 'x'}, startSoon],
    ['boots', [...off, seen('on', '09:58')], {power: 'on', ready: false}, stopSoon],
    [
      'is in quarantine',
      [...off, {type: 'MachineQuarantined', data: {machineId, reason: 'x', at: at('09:50')}}],
      isOff,
      startSoon,
    ],
  ] as const)('plans nothing for one that %s', (_, history, sighting, wanted) => {
    const events = decided(look(sighting, wanted), stateAfter(...history), '09:59:55')
    expect(events.filter(({type}) => type === 'PowerCommandIntended')).toEqual([])
  })

  test('at one that should be on by now and is not sees to that first', () => {
    const events = decided(look(isOff, stopSoon), stateAfter(...on), '09:59:55')
    expect(events.at(-1)).toMatchObject({type: 'PowerCommandIntended', data: {op: 'start', dueAt: at('09:59:55')}})
  })

  test('leaves what is planned already', () => {
    expect(decided(look(isOff, startSoon), stateAfter(...off, planned(start)), '09:59:55')).toEqual([])
    expect(decided(look(isReady, stopSoon), stateAfter(...on, planned(stop)), '09:59:55')).toEqual([])
  })

  test('takes back what is no longer wanted', () => {
    const nobody = {now: null, soon: null}
    expect(decided(look(isOff, nobody), stateAfter(...off, planned(start)), '09:59:55')).toEqual([
      withdrawnAt('09:59:55'),
    ])
  })

  test('takes back what is planned for somebody else, and plans anew', () => {
    const events = decided(look(isOff, {now: null, soon: 'b2'}), stateAfter(...off, planned(start)), '09:59:55')
    expect(events).toMatchObject([withdrawnAt('09:59:55'), {type: 'PowerCommandIntended', data: {wish: 'b2'}}])
  })

  test('takes back what another holder of the lease has planned, and plans it under its own', () => {
    const events = decided(look(isOff, startSoon, 2), stateAfter(...off, planned(start)), '09:59:55')
    expect(events).toMatchObject([withdrawnAt('09:59:55'), {data: {powerCommandId: 'p2', epoch: 2}}])
  })

  test('takes it back when the machine is wanted at once', () => {
    const events = decided(look(isOff, {now: 'b2', soon: 'b2'}), stateAfter(...off, planned(start)), '09:59:55')
    expect(events).toMatchObject([withdrawnAt('09:59:55'), {data: {wish: 'b2', dueAt: at('09:59:55')}}])
  })

  test('takes it back when the machine was switched on by somebody', () => {
    const events = decided(look(isReady, startSoon), stateAfter(...off, planned(start)), '09:59:55')
    expect(events.map(({type}) => type)).toContain('PowerCommandWithdrawn')
  })
})

describe('a planned command', () => {
  test('changes nothing before its moment', () => {
    const {
      planned: _,
      epoch,
      ...state
    } = stateAfter(...on, {
      ...planned(stop),
      data: {...stop, ...due, epoch: 4},
    } as MachineEvent)
    const {planned: none, epoch: before, ...was} = stateAfter(...on)
    expect(state).toEqual(was)
    expect([none, before, epoch]).toEqual([null, 0, 4])
  })

  test('counts as one that may have been sent from its moment on, until somebody says what came of it', () => {
    const state = stateAfter(...on, planned(stop))
    expect(comeDue(state, at('09:59:59.999'))).toBe(state)
    const then = {phase: 'stopping', phaseSince: at('10:00'), inFlight: {powerCommandId: 'p1', op: 'stop'}}
    expect(comeDue(state, at('10:00'))).toMatchObject({...then, planned: null, readySince: null})
    expect(stateAfter(...on, planned(stop), accepted)).toMatchObject({...then, inFlight: null, planned: null})
    expect(stateAfter(...on, planned(stop), seen('off', '10:00:01'))).toMatchObject({phase: 'off', planned: null})
  })

  test('that was accepted is under way, whatever the clock says', () => {
    const early: MachineEvent = {...accepted, data: {machineId, powerCommandId: 'p1', at: at('09:00')}}
    expect(stateAfter(...off, planned(start), early)).toMatchObject({phase: 'booting', planned: null})
  })

  test('that failed has used one attempt', () => {
    const failed = {type: 'FailPowerCommand', powerCommandId: 'p1', errorClass: 'transient', message: 'x'} as const
    const state = stateAfter(...off, planned(start))
    const events = decided({...failed, retryAt: at('10:00:02')}, state, '10:00')
    const after = fold(machine, state, events)
    expect(after).toMatchObject({phase: 'starting', attempts: 1, retryAt: at('10:00:02'), inFlight: null})
  })

  test('is withdrawn when its moment has come and nobody wants it, and leaves no trace', () => {
    const state = stateAfter(...on, planned(stop))
    const events = decided({type: 'WithdrawPowerCommand', powerCommandId: 'p1'}, state, '10:00')
    expect(events).toEqual([withdrawnAt('10:00')])
    const after = fold(machine, state, events)
    expect(after).toEqual({...stateAfter(...on), epoch: 1})
    expect(machine.decide({type: 'WithdrawPowerCommand', powerCommandId: 'p1'}, after, {now: at('10:01')})).toEqual({
      ok: true,
      events: [],
    })
  })

  test('of somebody who died is sent by his successor, as the next attempt', () => {
    const state = stateAfter(...off, planned(start))
    const events = decided(
      {...look(isOff, {now: 'b1', soon: 'b1'}, 2), ahead: null} as MachineCommand,
      state,
      '10:00:09',
    )
    expect(events).toMatchObject([{type: 'PowerCommandIntended', data: {op: 'start', attempt: 2, epoch: 2}}])
  })

  test('is gone when the machine goes into quarantine', () => {
    const quarantined: MachineEvent = {type: 'MachineQuarantined', data: {machineId, reason: 'x', at: at('09:59:55')}}
    expect(stateAfter(...off, planned(start), quarantined).planned).toBeNull()
  })
})
