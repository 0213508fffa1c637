import {describe, expect, test} from 'vitest'
import {at} from '../support/given.ts'
import {running, watched} from './watched-machine.ts'

describe('drift', () => {
  test('starts a machine again that went off while it was wanted', () => {
    const rig = running()
    rig.wait(600)
    expect(rig.look('off', 'b1')).toEqual(['seen off', 'start 1 for b1'])
  })

  test('uses the budget when the machine dies soon after every start', () => {
    const rig = watched()
    for (const attempt of [1, 2, 3]) {
      expect(rig.look('off', 'b1').at(-1)).toBe(`start ${attempt} for b1`)
      rig.accept()
      rig.wait(20)
      rig.look('ready', 'b1')
      rig.wait(30)
    }
    expect(rig.look('off', 'b1')).toEqual(['seen off', 'quarantined: it did not start in 3 attempts'])
  })

  test('does not wear a machine out that stays ready for ten minutes in between', () => {
    const rig = watched()
    for (let restart = 0; restart < 20; restart++) {
      expect(rig.look('off', 'b1').at(-1)).toBe('start 1 for b1')
      rig.accept()
      rig.wait(20)
      rig.look('ready', 'b1')
      rig.wait(600)
    }
  })

  test('takes the power from a machine that is no longer ready and does not recover', () => {
    const rig = running()
    rig.wait(900)
    expect(rig.look('on', 'b1')).toEqual(['seen on'])
    expect(rig.state()).toMatchObject({phase: 'booting', readySince: null})
    rig.wait(119)
    expect(rig.look('on', 'b1')).toEqual([])
    rig.wait(1)
    expect(rig.look('on', 'b1')).toEqual(['kill 1 for b1'])
    expect(rig.look('off', 'b1')).toEqual(['seen off', 'start 1 for b1'])
  })

  test('is over when the machine becomes ready again by itself', () => {
    const rig = running()
    rig.wait(900)
    rig.look('on', 'b1')
    rig.wait(60)
    expect(rig.look('ready', 'b1')).toEqual(['MachineReady'])
    expect(rig.state()).toMatchObject({phase: 'on', readySince: at('10:16:20')})
  })
})

describe('a machine that cannot be reached', () => {
  test('keeps its phase and its readiness, and nothing is done', () => {
    const rig = running()
    expect(rig.look('unreachable', 'b1')).toEqual(['seen unreachable'])
    expect(rig.state()).toMatchObject({phase: 'on', readySince: at('10:00:20')})
    rig.wait(10_000)
    expect(rig.look('unreachable', 'b1')).toEqual([])
    expect(rig.look('unreachable', null)).toEqual([])
    expect(rig.look('ready', 'b1')).toEqual(['seen on'])
    expect(rig.state()).toMatchObject({phase: 'on', readySince: at('10:00:20')})
  })

  test('is not started, for unknown is not off', () => {
    const rig = watched()
    expect(rig.look('unreachable', 'b1')).toEqual(['seen unreachable'])
    rig.wait(10_000)
    expect(rig.look('unreachable', 'b1')).toEqual([])
    expect(rig.look('off', 'b1')).toEqual(['seen off', 'start 1 for b1'])
  })

  test('is stopped once it can be reached again, when it should have been off meanwhile', () => {
    const rig = running()
    rig.look('unreachable', 'b1')
    rig.wait(100)
    expect(rig.look('unreachable', null)).toEqual([])
    expect(rig.look('ready', null)).toEqual(['seen on', 'stop 1 for nobody'])
  })

  test('is noticed when it is back but no longer ready', () => {
    const rig = running()
    rig.look('unreachable', 'b1')
    rig.wait(60)
    rig.look('on', 'b1')
    rig.look('on', 'b1')
    expect(rig.state()).toMatchObject({phase: 'booting', readySince: null})
  })

  test('loses its power when it went silent while it was stopping', () => {
    const rig = running()
    rig.look('ready', null)
    rig.accept()
    rig.look('unreachable', null)
    rig.wait(59)
    expect(rig.look('unreachable', null)).toEqual(['stop 7 for nobody'])
    rig.accept()
    rig.wait(1)
    expect(rig.look('unreachable', null)).toEqual(['kill 1 for nobody'])
    expect(rig.look('unreachable', null)).toEqual([])
  })

  test('gets another kill when it is back, before it is given up on', () => {
    const rig = running()
    rig.look('ready', null)
    rig.accept()
    rig.wait(60)
    expect(rig.look('on', null)).toEqual(['kill 1 for nobody'])
    rig.accept()
    rig.look('unreachable', null)
    rig.wait(300)
    expect(rig.look('on', null)).toEqual(['seen on', 'kill 2 for nobody'])
    rig.accept()
    rig.wait(30)
    expect(rig.look('on', null)).toEqual(['quarantined: it cannot be switched off'])
  })
})

describe('a command without an outcome', () => {
  test('is looked at first: what came on needs no second start', () => {
    const rig = watched()
    rig.look('off', 'b1')
    rig.wait(30)
    expect(rig.look('ready', 'b1')).toEqual(['seen on', 'MachineReady'])
  })

  test('is sent again when the look shows that it came to nothing', () => {
    const rig = watched()
    rig.look('off', 'b1')
    rig.wait(30)
    expect(rig.look('off', 'b1')).toEqual(['start 2 for b1'])
  })
})

describe('a command that failed', () => {
  test('is not tried again before its time', () => {
    const rig = watched()
    rig.look('off', 'b1')
    expect(rig.fail('transient', 4)).toEqual(['PowerCommandFailed'])
    rig.wait(3.999)
    expect(rig.look('off', 'b1')).toEqual([])
    rig.wait(0.001)
    expect(rig.look('off', 'b1')).toEqual(['start 2 for b1'])
  })

  test('uses the budget when the provider was at fault', () => {
    const rig = watched()
    for (const errorClass of ['transient', 'conflict', 'transient']) {
      rig.look('off', 'b1')
      rig.fail(errorClass, 1)
      rig.wait(1)
    }
    expect(rig.look('off', 'b1')).toEqual(['quarantined: it did not start in 3 attempts'])
  })

  test.each(['rateLimited', 'auth'])('does not use the budget when it was %s', errorClass => {
    const rig = watched()
    for (let time = 0; time < 50; time++) {
      expect(rig.look('off', 'b1').at(-1)).toBe('start 1 for b1')
      rig.fail(errorClass, 60)
      rig.wait(60)
    }
  })

  test.each(['permanent', 'notFound', 'unsupported'])('quarantines at once when it is hopeless: %s', errorClass => {
    const rig = watched()
    rig.look('off', 'b1')
    rig.fail(errorClass, 1)
    rig.wait(1)
    expect(rig.look('off', 'b1')).toEqual(['quarantined: it did not start in 1 attempts'])
  })

  test('is forgotten when the machine is ready all the same', () => {
    const rig = watched()
    rig.look('off', 'b1')
    rig.fail('permanent', 1)
    rig.wait(20)
    rig.look('ready', 'b1')
    rig.wait(900)
    expect(rig.look('off', 'b1')).toEqual(['seen off', 'start 1 for b1'])
  })

  test.each(['rateLimited', 'auth', 'transient'])('keeps every command waiting until its time: %s', errorClass => {
    const rig = watched()
    rig.look('off', 'b1')
    rig.fail(errorClass, 300)
    rig.wait(10)
    rig.look('on', 'b1')
    rig.wait(140)
    expect(rig.look('on', 'b1')).toEqual([])
    expect(rig.look('on', null)).toEqual([])
    rig.wait(150)
    expect(rig.look('on', null)).toEqual(['stop 1 for nobody'])
  })

  test('leaves the budget alone when it was a stop or a kill that was rate limited', () => {
    const rig = watched()
    for (const attempt of [1, 2, 3]) {
      expect(rig.look('off', 'b1').at(-1)).toBe(`start ${attempt} for b1`)
      rig.accept()
      rig.look('on', 'b1')
      rig.wait(120)
      rig.look('on', 'b1')
      rig.fail('rateLimited', 20)
      rig.wait(20)
      expect(rig.look('on', 'b1').at(-1)).toMatch(/^kill/)
      rig.accept()
    }
    expect(rig.look('off', 'b1')).toEqual(['seen off', 'quarantined: it did not start in 3 attempts'])
  })

  test.each(['rateLimited', 'auth'])('does not run the clock of a stop or a kill while it waits: %s', errorClass => {
    const rig = running()
    rig.look('ready', null)
    for (let time = 0; time < 5; time++) {
      rig.fail(errorClass, 120)
      rig.wait(120)
      expect(rig.look('ready', null).at(-1)).toMatch(/^stop/)
    }
    rig.accept()
    rig.wait(60)
    expect(rig.look('ready', null)).toEqual(['kill 1 for nobody'])
    for (let time = 0; time < 5; time++) {
      rig.fail(errorClass, 120)
      rig.wait(120)
      expect(rig.look('ready', null).at(-1)).toMatch(/^kill/)
    }
    rig.accept()
    rig.wait(30)
    expect(rig.look('ready', null)).toEqual(['quarantined: it cannot be switched off'])
  })

  test('of stopping does not count against the next start', () => {
    const rig = running()
    rig.look('ready', null)
    rig.fail('unsupported', 1)
    rig.wait(10)
    expect(rig.look('ready', 'b2')).toEqual(['stop 2 for b2'])
    rig.fail('unsupported', 1)
    rig.wait(10)
    expect(rig.look('off', 'b2')).toEqual(['seen off', 'start 1 for b2'])
  })
})

describe('quarantine', () => {
  test('still sees, and does nothing', () => {
    const rig = watched()
    rig.look('off', 'b1')
    rig.fail('permanent', 1)
    rig.wait(1)
    rig.look('off', 'b1')
    expect(rig.look('ready', 'b1')).toEqual(['seen on', 'MachineReady'])
    rig.wait(1_000)
    expect(rig.look('ready', null)).toEqual([])
    expect(rig.look('off', 'b1')).toEqual(['seen off'])
  })

  test('once lifted starts with a whole budget', () => {
    const rig = watched()
    rig.look('off', 'b1')
    rig.fail('permanent', 1)
    rig.wait(1)
    rig.look('off', 'b1')
    expect(rig.lift()).toEqual(['QuarantineLifted'])
    expect(rig.look('off', 'b1')).toEqual(['seen off', 'start 1 for b1'])
  })
})
