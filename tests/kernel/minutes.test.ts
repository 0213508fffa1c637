import {describe, expect, test} from 'vitest'
import {
  addMinutes,
  formatMinutes,
  minutes,
  minutesMax,
  parseMinutes,
  subtractMinutes,
  sumMinutes,
} from '../../src/kernel/minutes.ts'

describe('minutes', () => {
  test.each([0, 1, 90, minutesMax])('takes the whole count %d', count => {
    expect(minutes(count)).toBe(count)
    expect(parseMinutes(count)).toBe(count)
  })

  test.each([-1, 0.5, 1e9 * 60, minutesMax + 1, Number.NaN, Infinity])('refuses %d', count => {
    expect(() => minutes(count)).toThrow(RangeError)
    expect(parseMinutes(count)).toBeNull()
  })

  test.each(['60', null, undefined, 60n, [60], {valueOf: () => 60}])('refuses what is no number: %o', value => {
    expect(parseMinutes(value)).toBeNull()
  })

  test('knows only one zero', () => {
    expect(Object.is(minutes(-0), 0)).toBe(true)
  })

  test('adds, subtracts and sums whole minutes', () => {
    expect(addMinutes(minutes(60), minutes(30))).toBe(90)
    expect(subtractMinutes(minutes(60), minutes(60))).toBe(0)
    expect(sumMinutes([minutes(60), minutes(30), minutes(1)])).toBe(91)
    expect(sumMinutes([])).toBe(0)
  })

  test('never goes below zero or beyond the bound', () => {
    expect(() => subtractMinutes(minutes(59), minutes(60))).toThrow(RangeError)
    expect(() => addMinutes(minutes(minutesMax), minutes(1))).toThrow(RangeError)
    expect(() => sumMinutes([minutes(minutesMax), minutes(1)])).toThrow(RangeError)
  })

  test.each([
    [0, '0 min'],
    [1, '1 min'],
    [59, '59 min'],
    [60, '1 h'],
    [90, '1 h 30 min'],
    [6001, '100 h 1 min'],
  ])('writes %d as "%s"', (count, text) => {
    expect(formatMinutes(minutes(count))).toBe(text)
  })
})
