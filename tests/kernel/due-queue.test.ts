import {describe, expect, test} from 'vitest'
import {createDueQueue, type DueQueue} from '../../src/kernel/due-queue.ts'
import {seeded} from '../support/given.ts'

describe('a due queue', () => {
  test('is empty at first', () => {
    const queue = createDueQueue()
    expect(queue.take(Infinity)).toBeNull()
    expect(queue.nextDueMs()).toBeNull()
  })

  test('gives what is due, earliest first, and nothing before its time', () => {
    const queue = createDueQueue()
    queue.set('c', 30)
    queue.set('a', 10)
    queue.set('b', 20)
    expect(queue.take(9)).toBeNull()
    expect(queue.take(10)).toBe('a')
    expect(queue.take(29)).toBe('b')
    expect(queue.take(29)).toBeNull()
    expect(queue.nextDueMs()).toBe(30)
  })

  test('gives a key once, at the time it was set to last, earlier or later', () => {
    const queue = createDueQueue()
    queue.set('later', 10)
    queue.set('later', 50)
    queue.set('earlier', 40)
    queue.set('earlier', 20)
    expect(queue.take(49)).toBe('earlier')
    expect(queue.take(49)).toBeNull()
    expect(queue.take(50)).toBe('later')
    expect(queue.take(1000)).toBeNull()
  })

  test('gives a deleted key no more, until it is set again', () => {
    const queue = createDueQueue()
    queue.set('a', 10)
    queue.delete('a')
    queue.delete('never there')
    expect(queue.nextDueMs()).toBeNull()
    queue.set('a', 10)
    expect(queue.take(10)).toBe('a')
  })

  test('hurries a key that is due later or not at all, and lets one that is due earlier keep its place', () => {
    const queue = createDueQueue()
    queue.set('early', 10)
    queue.set('late', 90)
    for (const key of ['early', 'late', 'new']) queue.hurry(key, 50)
    expect(queue.take(10)).toBe('early')
    expect(new Set([queue.take(50), queue.take(50)])).toEqual(new Set(['late', 'new']))
    expect(queue.take(1000)).toBeNull()
  })

  test('hurries everything at once', () => {
    const queue = createDueQueue()
    for (let key = 0; key < 100; key++) queue.set(`key-${key}`, key)
    queue.delete('key-99')
    queue.hurryAll(50)
    let count = 0
    while (queue.take(50) !== null) count++
    expect(count).toBe(99)
    expect(queue.nextDueMs()).toBeNull()
  })

  test.each([1, 2, 3, 4, 5])('does what a plain map does, in any order of calls (seed %i)', seed => {
    const dice = seeded(seed)
    const queue = createDueQueue()
    const model = new Map<string, number>()
    for (let step = 0; step < 5_000; step++) {
      const key = `key-${dice.below(40)}`
      const ms = dice.below(200)
      switch (dice.below(4)) {
        case 0:
        case 1:
          queue.set(key, ms)
          model.set(key, ms)
          break
        case 2:
          queue.delete(key)
          model.delete(key)
          break
        default:
          takeLikeModel(queue, model, ms)
      }
      const least = Math.min(...model.values())
      expect(queue.nextDueMs()).toBe(model.size === 0 ? null : least)
    }
  })
})

function takeLikeModel(queue: DueQueue, model: Map<string, number>, nowMs: number): void {
  const least = Math.min(...model.values())
  const taken = queue.take(nowMs)
  if (model.size === 0 || least > nowMs) {
    expect(taken).toBeNull()
    return
  }
  expect(taken).not.toBeNull()
  // Which of several that are due at the same time comes first is left open.
  expect(model.get(taken ?? '')).toBe(least)
  model.delete(taken ?? '')
}
