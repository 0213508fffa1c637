import {describe, expect, test} from 'vitest'
import {
  contains,
  durationMinutes,
  durationMs,
  encloses,
  extend,
  gaps,
  intersection,
  interval,
  intervalFrom,
  overlaps,
  parseInterval,
  sameInterval,
} from '../../src/kernel/intervals.ts'
import {minutes} from '../../src/kernel/minutes.ts'
import {parseInstant, type Instant} from '../../src/kernel/time.ts'

function at(clock: string): Instant {
  const instant = parseInstant(`2026-11-21T${clock}Z`)
  if (instant === null) throw new Error(`no time: ${clock}`)
  return instant
}
const span = (start: string, end: string) => interval(at(start), at(end))

describe('an interval', () => {
  test('ends after it starts', () => {
    expect(span('10:00', '12:00')).toEqual({start: '2026-11-21T10:00:00.000Z', end: '2026-11-21T12:00:00.000Z'})
    expect(() => span('12:00', '12:00')).toThrow(RangeError)
    expect(() => span('12:00', '10:00')).toThrow(RangeError)
  })

  test('is read from outside in any offset and kept in UTC', () => {
    expect(parseInterval({start: '2026-11-21T11:00:00+01:00', end: '2026-11-21T07:00:00-05:00'})).toEqual(
      span('10:00', '12:00'),
    )
  })

  test.each([
    {start: '2026-11-21T12:00:00Z', end: '2026-11-21T12:00:00Z'},
    {start: '2026-11-21T12:00:00Z', end: '2026-11-21T11:00:00Z'},
    {start: '2026-11-21T12:00:00', end: '2026-11-21T13:00:00'},
    {start: '2026-02-30T12:00:00Z', end: '2026-03-01T13:00:00Z'},
    {start: '2026-11-21T12:00:00Z'},
    null,
    'today',
  ])('refuses %o', value => {
    expect(parseInterval(value)).toBeNull()
  })

  test('spans the minutes asked for', () => {
    expect(intervalFrom(at('10:00'), minutes(90))).toEqual(span('10:00', '11:30'))
    expect(() => intervalFrom(at('10:00'), minutes(0))).toThrow(RangeError)
  })

  test('overlaps by one second but not by touching ends', () => {
    const taken = span('10:00', '12:00')
    expect(overlaps(taken, span('11:59:59', '13:00'))).toBe(true)
    expect(overlaps(span('09:00', '10:00:01'), taken)).toBe(true)
    expect(overlaps(taken, span('12:00', '13:00'))).toBe(false)
    expect(overlaps(span('09:00', '10:00'), taken)).toBe(false)
    expect(overlaps(taken, taken)).toBe(true)
    expect(overlaps(taken, span('10:30', '10:31'))).toBe(true)
  })

  test('contains its start and not its end', () => {
    const taken = span('10:00', '12:00')
    expect(contains(taken, at('10:00'))).toBe(true)
    expect(contains(taken, at('11:59:59.999'))).toBe(true)
    expect(contains(taken, at('12:00'))).toBe(false)
    expect(contains(taken, at('09:59:59.999'))).toBe(false)
  })

  test('encloses what does not reach beyond it', () => {
    const taken = span('10:00', '12:00')
    expect(encloses(taken, taken)).toBe(true)
    expect(encloses(taken, span('10:30', '11:00'))).toBe(true)
    expect(encloses(taken, span('09:59', '11:00'))).toBe(false)
    expect(encloses(taken, span('11:00', '12:01'))).toBe(false)
  })

  test('shares with another what both cover', () => {
    expect(intersection(span('10:00', '12:00'), span('11:00', '13:00'))).toEqual(span('11:00', '12:00'))
    expect(intersection(span('10:00', '12:00'), span('12:00', '13:00'))).toBeNull()
    expect(sameInterval(span('10:00', '12:00'), span('10:00', '12:00'))).toBe(true)
    expect(sameInterval(span('10:00', '12:00'), span('10:00', '12:01'))).toBe(false)
  })

  test('lasts its whole minutes, rounded down', () => {
    expect(durationMs(span('10:00', '10:01:30'))).toBe(90_000)
    expect(durationMinutes(span('10:00', '10:01:30'))).toBe(1)
    expect(durationMinutes(span('10:00', '10:00:59.999'))).toBe(0)
    expect(durationMinutes(span('10:00', '11:30'))).toBe(90)
  })

  test('is extended by a lead and a tail', () => {
    expect(extend(span('10:00', '12:00'), minutes(5), minutes(10))).toEqual(span('09:55', '12:10'))
    expect(extend(span('10:00', '12:00'), minutes(0), minutes(0))).toEqual(span('10:00', '12:00'))
  })
})

describe('gaps', () => {
  const day = span('08:00', '20:00')

  test('are all of the span when nothing is occupied', () => {
    expect(gaps([], day)).toEqual([day])
  })

  test('lie before, between and after what is occupied', () => {
    expect(gaps([span('09:00', '10:00'), span('12:00', '13:00')], day)).toEqual([
      span('08:00', '09:00'),
      span('10:00', '12:00'),
      span('13:00', '20:00'),
    ])
  })

  test('do not appear between intervals that touch, overlap or enclose each other', () => {
    const occupied = [span('08:00', '12:00'), span('09:00', '10:00'), span('11:00', '13:00'), span('13:00', '19:00')]
    expect(gaps(occupied, day)).toEqual([span('19:00', '20:00')])
  })

  test('ignore what lies outside the span', () => {
    const occupied = [span('05:00', '06:00'), span('07:00', '08:30'), span('19:30', '21:00'), span('20:30', '21:00')]
    expect(gaps(occupied, day)).toEqual([span('08:30', '19:30')])
  })

  test('are none when one interval covers the span', () => {
    expect(gaps([span('07:00', '21:00')], day)).toEqual([])
  })

  test('demand sorted input', () => {
    expect(() => gaps([span('12:00', '13:00'), span('09:00', '10:00')], day)).toThrow(/sorted/)
  })

  test('and the occupied parts tile the span exactly, for every arrangement of a small day', () => {
    const hours = ['08:00', '09:00', '10:00', '11:00', '12:00']
    const narrow = span('08:00', '12:00')
    const pieces = hours.slice(0, -1).map((start, index) => span(start, hours[index + 1] ?? ''))
    for (let mask = 0; mask < 2 ** pieces.length; mask++) {
      const occupied = pieces.filter((_, index) => (mask & (1 << index)) !== 0)
      const free = gaps(occupied, narrow)
      for (const piece of pieces) {
        const isFree = free.some(gap => overlaps(gap, piece))
        expect(isFree).toBe(!occupied.includes(piece))
      }
      const total = [...free, ...occupied].reduce((sum, part) => sum + durationMs(part), 0)
      expect(total).toBe(durationMs(narrow))
    }
  })
})
