import {expect, test} from 'vitest'
import {at} from '../support/given.ts'
import {napTimersOf, newLife, timersOf, virtualTime, within} from './virtual-time.ts'

const start = at('08:00')
const hourMs = 3_600_000
const never = (): boolean => false

test('what is due at one moment comes in the order it was asked for, each with all that follows before the next', async () => {
  const time = virtualTime(start)
  const heard: string[] = []
  const say = (what: string) => () => {
    heard.push(what)
    void Promise.resolve().then(() => heard.push(`after ${what}`))
  }
  time.after(20, say('c'))
  time.after(10, say('a'))
  time.after(10, say('b'))
  expect(await time.run(hourMs, never)).toBe(3)
  expect(heard).toEqual(['a', 'after a', 'b', 'after b', 'c', 'after c'])
  expect(time.elapsedMs()).toBe(hourMs)
})

test('a jump of the wall clock ends naps soon, and no other sleep', async () => {
  const time = virtualTime(start)
  const [life, woken] = [newLife(), [] as string[]]
  void napTimersOf(time, life)
    .sleep(50_000)
    .then(() => woken.push('nap'))
  void timersOf(time, life)
    .sleep(50_000)
    .then(() => woken.push('sleep'))
  time.after(1, () => time.jump(-hourMs))
  await time.run(10_000, never)
  expect(woken).toEqual(['nap'])
  expect(time.clock.now()).toBe(at('07:00:10'))
  expect(time.clock.monotonicMs()).toBe(10_000)
})

test('a program that stands still hears nothing, and one that is over never does', async () => {
  const time = virtualTime(start)
  const [frozen, dead] = [newLife(), newLife()]
  const heard: string[] = []
  time.after(
    10,
    within(frozen, () => heard.push('frozen')),
  )
  time.after(
    10,
    within(dead, () => heard.push('dead')),
  )
  frozen.held = []
  dead.isOver = true
  await time.run(hourMs, never)
  expect(heard).toEqual([])
  for (const work of frozen.held) work()
  expect(heard).toEqual(['frozen'])
})
