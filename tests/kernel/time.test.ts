import {describe, expect, test} from 'vitest'
import {
  instantFromMs,
  instantsOfWallTime,
  isZone,
  maxInstant,
  minInstant,
  msBetween,
  msOf,
  parseInstant,
  plusMinutes,
  plusMs,
} from '../../src/kernel/time.ts'

describe('an instant', () => {
  test.each([
    ['2026-11-21T10:00:00.000Z', '2026-11-21T10:00:00.000Z'],
    ['2026-11-21T10:00:00Z', '2026-11-21T10:00:00.000Z'],
    ['2026-11-21T10:00Z', '2026-11-21T10:00:00.000Z'],
    ['2026-11-21t10:00:00z', '2026-11-21T10:00:00.000Z'],
    ['2026-11-21T10:00:00+01:00', '2026-11-21T09:00:00.000Z'],
    ['2026-11-21T10:00:00-05:30', '2026-11-21T15:30:00.000Z'],
    ['2026-11-21T10:00:00+14:00', '2026-11-20T20:00:00.000Z'],
    ['2026-11-21T10:00:00-00:00', '2026-11-21T10:00:00.000Z'],
    ['2026-11-21T10:00:00.1Z', '2026-11-21T10:00:00.100Z'],
    ['2028-02-29T00:00:00Z', '2028-02-29T00:00:00.000Z'],
    ['1970-01-01T00:00:00Z', '1970-01-01T00:00:00.000Z'],
    ['1969-12-31T23:30:00-01:00', '1970-01-01T00:30:00.000Z'],
    ['9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z'],
  ])('%s is read as %s', (text, instant) => {
    expect(parseInstant(text)).toBe(instant)
  })

  test.each([
    ['2026-11-21T10:00:00.9999Z', '2026-11-21T10:00:00.999Z'],
    ['2026-11-21T10:00:00.123456789Z', '2026-11-21T10:00:00.123Z'],
  ])('%s is cut to milliseconds, never rounded into the next', (text, instant) => {
    expect(parseInstant(text)).toBe(instant)
  })

  test.each([
    '2026-02-30T10:00:00.000Z',
    '2026-02-30T10:00:00+01:00',
    '2026-02-29T10:00:00Z',
    '2026-13-01T10:00:00Z',
    '2026-04-31T10:00:00.000Z',
    '2026-00-10T10:00:00Z',
  ])('is never read from the impossible day %s', text => {
    expect(parseInstant(text)).toBeNull()
  })

  test.each([
    '2026-11-21T24:00:00Z',
    '2026-11-21T24:00:00.000Z',
    '2026-11-21T25:00:00Z',
    '2026-11-21T10:60:00Z',
    '2026-11-21T23:59:60Z',
    '2026-11-21T10:00:00+24:00',
    '2026-11-21T10:00:00+25:00',
    '2026-11-21T10:00:00+14:60',
  ])('is never read from the impossible time or offset %s', text => {
    expect(parseInstant(text)).toBeNull()
  })

  test.each([
    '1969-12-31T23:59:59.999Z',
    '1970-01-01T00:30:00+01:00',
    '0000-01-01T00:00:00.000Z',
    '9999-12-31T23:59:59-01:00',
    '10000-01-01T00:00:00.000Z',
    '+012026-11-21T10:00:00.000Z',
    '-000001-11-21T10:00:00.000Z',
  ])('is never read from %s, before 1970 or after 9999', text => {
    expect(parseInstant(text)).toBeNull()
  })

  test.each([
    '2026-11-21T10:00:00',
    '2026-11-21 10:00:00Z',
    '2026-11-21',
    '2026-11-21T10:00:00.000Z\n',
    ' 2026-11-21T10:00:00.000Z',
    '20261121T100000Z',
    '2026-W47-6T10:00:00Z',
    '2026-11-21T10:00:00+0100',
    '2026-11-21T10:00:00[Europe/Berlin]',
    `2026-11-21T10:00:00.${'0'.repeat(100)}Z`,
    '２０２６-11-21T10:00:00Z',
    '',
    1_700_000_000_000,
    null,
    undefined,
    new Date(0),
  ])('is never read from %o', value => {
    expect(parseInstant(value)).toBeNull()
  })

  test('is made from milliseconds and back', () => {
    expect(instantFromMs(0)).toBe('1970-01-01T00:00:00.000Z')
    expect(instantFromMs(253_402_300_799_999)).toBe('9999-12-31T23:59:59.999Z')
    expect(msOf(instantFromMs(1_795_255_200_123))).toBe(1_795_255_200_123)
  })

  test.each([-1, 253_402_300_800_000, Number.NaN, Infinity])('does not exist for %d ms', ms => {
    expect(() => instantFromMs(ms)).toThrow(RangeError)
  })

  test('sorts as text in the order of time', () => {
    const moments = [0, 1, 999, 1000, 951_782_400_000, 1_795_255_200_000, 253_402_300_799_999]
    const texts = moments.map(instantFromMs)
    expect(texts.toSorted()).toEqual(texts)
  })

  test('moves by milliseconds and minutes, across a day of 23 hours in some zone as across any other', () => {
    const start = instantFromMs(Date.parse('2026-03-28T23:30:00Z'))
    expect(plusMinutes(start, 60)).toBe('2026-03-29T00:30:00.000Z')
    expect(plusMinutes(start, -30)).toBe('2026-03-28T23:00:00.000Z')
    expect(plusMs(start, 1)).toBe('2026-03-28T23:30:00.001Z')
    expect(msBetween(start, plusMinutes(start, 2))).toBe(120_000)
    expect(minInstant(start, plusMs(start, 1))).toBe(start)
    expect(maxInstant(start, plusMs(start, 1))).toBe(plusMs(start, 1))
  })
})

describe('a zone', () => {
  test.each(['Europe/Berlin', 'America/New_York', 'UTC', 'Australia/Lord_Howe'])('%s is one', name => {
    expect(isZone(name)).toBe(true)
  })

  test.each(['Europe/Nowhere', 'local', 'utc+3', '', '__proto__', 'constructor', '../etc'])('%o is none', name => {
    expect(isZone(name)).toBe(false)
  })
})

describe('a wall time', () => {
  test.each([
    ['2026-07-01T12:00', 'Europe/Berlin', '2026-07-01T10:00:00.000Z'],
    ['2026-12-01T12:00:30', 'Europe/Berlin', '2026-12-01T11:00:30.000Z'],
    ['2026-07-01T12:00', 'America/New_York', '2026-07-01T16:00:00.000Z'],
    ['2026-07-01T12:00', 'UTC', '2026-07-01T12:00:00.000Z'],
    ['2026-07-01T12:00', 'Pacific/Kiritimati', '2026-06-30T22:00:00.000Z'],
    ['2026-07-01T12:00', 'Asia/Kathmandu', '2026-07-01T06:15:00.000Z'],
  ])('%s in %s is %s', (wall, zone, instant) => {
    expect(instantsOfWallTime(wall, zone)).toEqual([instant])
  })

  test.each([
    ['2026-03-29T02:00', 'Europe/Berlin'],
    ['2026-03-29T02:30', 'Europe/Berlin'],
    ['2026-03-29T02:59:59', 'Europe/Berlin'],
    ['2026-03-08T02:00', 'America/New_York'],
    ['2026-03-08T02:59:59', 'America/New_York'],
    ['2011-12-30T12:00', 'Pacific/Apia'],
  ])('%s in %s falls into a gap and means nothing', (wall, zone) => {
    expect(instantsOfWallTime(wall, zone)).toEqual([])
  })

  test.each([
    ['2026-03-29T01:59:59', 'Europe/Berlin', '2026-03-29T00:59:59.000Z'],
    ['2026-03-29T03:00', 'Europe/Berlin', '2026-03-29T01:00:00.000Z'],
    ['2026-03-08T01:59:59', 'America/New_York', '2026-03-08T06:59:59.000Z'],
    ['2026-03-08T03:00', 'America/New_York', '2026-03-08T07:00:00.000Z'],
    ['2026-10-25T01:59:59', 'Europe/Berlin', '2026-10-24T23:59:59.000Z'],
    ['2026-10-25T03:00', 'Europe/Berlin', '2026-10-25T02:00:00.000Z'],
    ['2026-11-01T00:59:59', 'America/New_York', '2026-11-01T04:59:59.000Z'],
    ['2026-11-01T02:00', 'America/New_York', '2026-11-01T07:00:00.000Z'],
  ])('%s in %s, at the edge of a change, is %s', (wall, zone, instant) => {
    expect(instantsOfWallTime(wall, zone)).toEqual([instant])
  })

  test.each([
    ['2026-10-25T02:00', 'Europe/Berlin', '2026-10-25T00:00:00.000Z', '2026-10-25T01:00:00.000Z'],
    ['2026-10-25T02:59:59', 'Europe/Berlin', '2026-10-25T00:59:59.000Z', '2026-10-25T01:59:59.000Z'],
    ['2026-11-01T01:30', 'America/New_York', '2026-11-01T05:30:00.000Z', '2026-11-01T06:30:00.000Z'],
    ['2026-04-05T01:45', 'Australia/Lord_Howe', '2026-04-04T14:45:00.000Z', '2026-04-04T15:15:00.000Z'],
  ])('%s in %s falls into an overlap and means two instants, the earlier first', (wall, zone, first, second) => {
    expect(instantsOfWallTime(wall, zone)).toEqual([first, second])
  })

  test('agrees with the offset of the zone at moments all over a year', () => {
    for (const zone of ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe']) {
      const format = new Intl.DateTimeFormat('sv-SE', {timeZone: zone, dateStyle: 'short', timeStyle: 'medium'})
      const start = Date.parse('2026-01-01T00:00:00Z')
      for (let step = 0; step < 365 * 48; step += 17) {
        const ms = start + step * 1_800_000
        const wall = format.format(ms).replace(' ', 'T')
        expect(instantsOfWallTime(wall, zone)).toContain(instantFromMs(ms))
      }
    }
  })

  test.each([
    ['2026-02-30T12:00', 'UTC'],
    ['2026-01-01T24:00', 'UTC'],
    ['2026-01-01T12:00Z', 'UTC'],
    ['2026-01-01', 'UTC'],
    ['2026-01-01T12:00', 'Europe/Nowhere'],
    ['9999-12-31T23:30', 'America/New_York'],
    ['1970-01-01T00:30', 'Europe/Berlin'],
    ['1800-01-01T12:00', 'Europe/Berlin'],
  ])('%s in %s means nothing', (wall, zone) => {
    expect(instantsOfWallTime(wall, zone)).toEqual([])
  })
})
