import {expect, test} from 'vitest'
import {running} from './watched-machine.ts'

/* What is intended is written down first. Whoever finds it without an outcome cannot know whether it was done. */

test('a stop without an outcome is sent again before the power is taken, however long nobody was there', () => {
  const rig = running()
  expect(rig.look('ready', null)).toEqual(['stop 1 for nobody'])
  rig.wait(600)
  expect(rig.look('ready', null).join()).toMatch(/^stop \d+ for nobody$/)
  rig.accept()
  // The time the machine is given begins with the stop that was surely sent.
  rig.wait(59)
  expect(rig.look('ready', null).join()).toMatch(/^stop \d+ for nobody$/)
  rig.accept()
  rig.wait(1)
  expect(rig.look('ready', null)).toEqual(['kill 1 for nobody'])
})

test('a machine is not given up on for a kill without an outcome', () => {
  const rig = running()
  rig.look('ready', null)
  rig.accept()
  rig.wait(60)
  expect(rig.look('ready', null)).toEqual(['kill 1 for nobody'])
  rig.wait(600)
  expect(rig.look('ready', null).join()).toMatch(/^kill \d+ for nobody$/)
  rig.accept()
  rig.wait(30)
  expect(rig.look('ready', null)).toEqual(['quarantined: it cannot be switched off'])
})

test('a machine that went off meanwhile is left alone, whatever was intended', () => {
  const rig = running()
  rig.look('ready', null)
  rig.wait(600)
  expect(rig.look('off', null)).toEqual(['seen off'])
  expect(rig.look('off', null)).toEqual([])
})

test('a machine wanted again before anybody knows whether its stop was sent is given the time it would need', () => {
  const rig = running()
  expect(rig.look('ready', null)).toEqual(['stop 1 for nobody'])
  rig.wait(59)
  expect(rig.look('ready', 'b2')).toEqual([])
  // It was sent after all.
  expect(rig.look('off', 'b2')).toEqual(['seen off', 'start 1 for b2'])
})

test('a machine that is still on after that time was never told, and serves as if nothing had been', () => {
  const rig = running()
  rig.look('ready', null)
  rig.wait(60)
  expect(rig.look('ready', 'b2')).toEqual(['MachineReady'])
  expect(rig.state().phase).toBe('on')
  rig.wait(600)
  expect(rig.look('ready', 'b2')).toEqual([])
})

test('a machine whose stop was surely sent is brought to its end, although it is wanted again', () => {
  const rig = running()
  rig.look('ready', null)
  rig.accept()
  rig.wait(60)
  expect(rig.look('ready', 'b2')).toEqual(['kill 1 for b2'])
})

test('what is said later of a stop that was believed lost changes nothing: the machine serves', () => {
  const rig = running()
  rig.look('ready', null)
  const lost = rig.state().inFlight?.powerCommandId ?? ''
  rig.wait(60)
  expect(rig.look('ready', 'b2')).toEqual(['MachineReady'])
  expect(rig.accept(lost)).toEqual([])
})
