import {describe, expect, test} from 'vitest'
import {formatMinutes, minutes, minutesMax, parseMinutes} from '../../src/kernel/minutes.ts'

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
