import {describe, expect, test} from 'vitest'
import {at} from '../support/given.ts'
import {running, watched} from './watched-machine.ts'

describe('from off to on', () => {
  test('starts a machine that is wanted and off, and leaves one that is not wanted alone', () => {
    const rig = watched()
    expect(rig.look('off', null)).toEqual(['seen off'])
    expect(rig.look('off', null)).toEqual([])
    expect(rig.look('off', 'b1')).toEqual(['start 1 for b1'])
    expect(rig.state().phase).toBe('starting')
  })

  test('an accepted start is booting, not on, until the machine itself says so', () => {
    const rig = watched()
    rig.look('off', 'b1')
    expect(rig.accept()).toEqual(['PowerCommandAccepted'])
    expect(rig.state()).toMatchObject({phase: 'booting', seen: 'off', readySince: null})
    rig.wait(10)
    expect(rig.look('off', 'b1')).toEqual([])
    expect(rig.look('on', 'b1')).toEqual(['seen on'])
    expect(rig.state()).toMatchObject({phase: 'booting', seen: 'on', readySince: null})
    rig.wait(10)
    expect(rig.look('ready', 'b1')).toEqual(['MachineReady'])
    expect(rig.state()).toMatchObject({phase: 'on', readySince: at('10:00:20')})
    rig.wait(5_000)
    expect(rig.look('ready', 'b1')).toEqual([])
  })

  test('tries again when an accepted start shows nothing within the boot time-out', () => {
    const rig = watched()
    rig.look('off', 'b1')
    rig.accept()
    rig.wait(119.999)
    expect(rig.look('off', 'b1')).toEqual([])
    rig.wait(0.001)
    expect(rig.look('off', 'b1')).toEqual(['start 2 for b1'])
  })

  test('is quarantined when the budget of starts is used up', () => {
    const rig = watched()
    for (const attempt of [1, 2, 3]) {
      expect(rig.look('off', 'b1').at(-1)).toBe(`start ${attempt} for b1`)
      rig.accept()
      rig.wait(120)
    }
    expect(rig.look('off', 'b1')).toEqual(['quarantined: it did not start in 3 attempts'])
    rig.wait(10_000)
    expect(rig.look('off', 'b1')).toEqual([])
    expect(rig.look('off', 'b2')).toEqual([])
  })

  test('takes the power from a machine that is on but never ready, then starts it afresh', () => {
    const rig = watched()
    rig.look('off', 'b1')
    rig.accept()
    rig.wait(60)
    rig.look('on', 'b1')
    rig.wait(60)
    expect(rig.look('on', 'b1')).toEqual(['kill 1 for b1'])
    rig.accept()
    expect(rig.state().phase).toBe('killing')
    rig.wait(5)
    expect(rig.look('off', 'b1')).toEqual(['seen off', 'start 2 for b1'])
  })

  test('starts a machine again at once that died while it booted', () => {
    const rig = watched()
    for (const attempt of [1, 2, 3]) {
      expect(rig.look('off', 'b1').at(-1)).toBe(`start ${attempt} for b1`)
      rig.accept()
      rig.look('on', 'b1')
      rig.wait(5)
    }
    expect(rig.look('off', 'b1')).toEqual(['seen off', 'quarantined: it did not start in 3 attempts'])
  })

  test('is off when it is given up on', () => {
    const rig = watched()
    for (const attempt of [1, 2, 3]) {
      expect(rig.look('off', 'b1').at(-1)).toBe(`start ${attempt} for b1`)
      rig.accept()
      rig.look('on', 'b1')
      rig.wait(120)
      expect(rig.look('on', 'b1')).toEqual(['kill 1 for b1'])
      rig.accept()
    }
    expect(rig.look('off', 'b1')).toEqual(['seen off', 'quarantined: it did not start in 3 attempts'])
  })

  test('counts the boot time-out of a machine found on without a command of ours', () => {
    const rig = watched()
    expect(rig.look('on', 'b1')).toEqual(['seen on'])
    rig.wait(119)
    expect(rig.look('on', 'b1')).toEqual([])
    rig.wait(1)
    expect(rig.look('on', 'b1')).toEqual(['kill 1 for b1'])
  })
})

describe('from on to off', () => {
  test('asks, asks again every 10 s, takes the power away after 60 s, gives up after another 30 s', () => {
    const rig = running()
    expect(rig.look('ready', null)).toEqual(['stop 1 for nobody'])
    const seen: string[] = []
    for (let second = 1; second <= 200; second++) {
      rig.wait(1)
      seen.push(...rig.look(second % 2 === 0 ? 'ready' : 'on', null).map(short => `${second} s: ${short}`))
      rig.accept()
    }
    expect(seen).toEqual([
      '10 s: stop 2 for nobody',
      '20 s: stop 3 for nobody',
      '30 s: stop 4 for nobody',
      '40 s: stop 5 for nobody',
      '50 s: stop 6 for nobody',
      '60 s: kill 1 for nobody',
      '70 s: kill 2 for nobody',
      '80 s: kill 3 for nobody',
      '90 s: quarantined: it cannot be switched off',
    ])
  })

  test('is done once it is seen off', () => {
    const rig = running()
    rig.look('ready', null)
    rig.accept()
    expect(rig.state().phase).toBe('stopping')
    rig.wait(8)
    expect(rig.look('off', null)).toEqual(['seen off'])
    expect(rig.state()).toMatchObject({phase: 'off', readySince: null})
    rig.wait(1_000)
    expect(rig.look('off', null)).toEqual([])
  })

  test('stops a machine that is still booting', () => {
    const rig = watched()
    rig.look('off', 'b1')
    rig.accept()
    rig.look('on', 'b1')
    expect(rig.look('on', null)).toEqual(['stop 1 for nobody'])
  })

  test('stops a machine that comes on late, after it is no longer wanted', () => {
    const rig = watched()
    rig.look('off', 'b1')
    rig.accept()
    rig.wait(5)
    expect(rig.look('off', null)).toEqual([])
    rig.wait(5)
    expect(rig.look('on', null)).toEqual(['seen on', 'stop 1 for nobody'])
  })

  test('stops a machine that somebody else switched on', () => {
    const rig = watched()
    rig.look('off', null)
    expect(rig.look('ready', null)).toEqual(['seen on', 'MachineReady', 'stop 1 for nobody'])
  })

  test('wanted again while it stops: it goes off first, then starts with a whole budget', () => {
    const rig = running()
    rig.look('ready', null)
    rig.accept()
    rig.wait(15)
    expect(rig.look('ready', 'b2')).toEqual(['stop 3 for b2'])
    rig.accept()
    rig.wait(15)
    expect(rig.look('ready', 'b2')).toEqual(['stop 4 for b2'])
    for (const attempt of [1, 2, 3]) {
      expect(rig.look('off', 'b2').at(-1)).toBe(`start ${attempt} for b2`)
      rig.accept()
      rig.wait(120)
    }
    expect(rig.look('off', 'b2')).toEqual(['quarantined: it did not start in 3 attempts'])
  })
})

describe('one booking after another', () => {
  test('causes no power cycle when the machine is wanted without a break', () => {
    const rig = running()
    rig.wait(3_600)
    expect(rig.look('ready', 'b2')).toEqual([])
    rig.wait(3_600)
    expect(rig.look('ready', 'b3')).toEqual([])
  })

  test('does not start twice what is on its way already', () => {
    const rig = watched()
    rig.look('off', 'b1')
    rig.accept()
    rig.wait(10)
    expect(rig.look('off', 'b2')).toEqual([])
    rig.wait(110)
    expect(rig.look('off', 'b2')).toEqual(['start 1 for b2'])
  })

  test('gives the next booking a budget of its own', () => {
    const rig = watched()
    for (let attempt = 0; attempt < 2; attempt++) {
      rig.look('off', 'b1')
      rig.accept()
      rig.wait(120)
    }
    expect(rig.look('off', 'b2')).toEqual(['start 1 for b2'])
  })
})
