import {describe, expect, test} from 'vitest'
import {
  allocationOf,
  collide,
  fitOf,
  freeFrom,
  remainingOf,
  withAllocation,
  type Allocation,
} from '../../src/calendar/agenda.ts'
import {idOf} from '../../src/kernel/ids.ts'
import {msOf} from '../../src/kernel/time.ts'
import {at, seeded} from '../support/given.ts'

const hourMs = 3_600_000

function slot(start: string, end: string, userId = 'ann', buffers: readonly [number, number] = [5, 5]): Allocation {
  return allocationOf({
    bookingId: idOf(`${userId}-${start.replaceAll(':', '.')}`),
    userId: idOf(userId),
    serviceId: idOf('service-a'),
    interval: {start: at(start), end: at(end)},
    warmUpMinutes: buffers[0],
    turnaroundMinutes: buffers[1],
  })
}

function agendaOf(...slots: readonly Allocation[]): readonly Allocation[] {
  return slots.reduce<readonly Allocation[]>(withAllocation, [])
}

describe('two bookings on one machine', () => {
  test.each<[string, Allocation, Allocation, boolean]>([
    ['touch when turnaround ends where warm-up begins', slot('10:00', '11:00'), slot('11:10', '12:00', 'bob'), false],
    ['collide by one minute', slot('10:00', '11:00'), slot('11:09', '12:00', 'bob'), true],
    ['collide by one second', slot('10:00', '11:00:01'), slot('11:10', '12:00', 'bob'), true],
    ['collide by one millisecond', slot('10:00', '11:00:00.001'), slot('11:10', '12:00', 'bob'), true],
    ['of one customer that touch need no buffers', slot('10:00', '11:00'), slot('11:00', '12:00'), false],
    ['of one customer with a gap need the buffers', slot('10:00', '11:00'), slot('11:01', '12:00'), true],
    ['of one customer never overlap', slot('10:00', '11:00'), slot('10:59', '12:00'), true],
    ['of two customers that touch lack the buffers', slot('10:00', '11:00'), slot('11:00', '12:00', 'bob'), true],
    ['without buffers may touch', slot('10:00', '11:00', 'ann', [0, 0]), slot('11:00', '12:00', 'bob', [0, 0]), false],
    ['at the same time collide', slot('10:00', '11:00'), slot('10:00', '11:00', 'bob'), true],
    ['at the same time collide for one customer too', slot('10:00', '11:00'), slot('10:00', '11:00'), true],
  ])('%s', (_rule, first, second, collides) => {
    expect(collide(first, second)).toBe(collides)
    expect(fitOf([first], second) === null).toBe(collides)
    expect(fitOf([second], first) === null).toBe(collides)
  })

  test('collide when one lies within the other', () => {
    expect(fitOf([slot('10:00', '14:00')], slot('11:00', '12:00', 'bob'))).toBeNull()
    expect(fitOf([slot('11:00', '12:00')], slot('10:00', '14:00', 'bob'))).toBeNull()
  })
})

describe('a long buffer', () => {
  test('still keeps others off behind a booking of the same customer', () => {
    const agenda = agendaOf(slot('10:00', '11:00', 'ann', [5, 90]), slot('11:00', '11:30'))
    expect(fitOf(agenda, slot('12:30', '13:00', 'bob', [1, 5]))).toBeNull()
    expect(fitOf(agenda, slot('12:31', '13:00', 'bob', [1, 5]))).not.toBeNull()
  })

  test('before a start does not reach across a booking of the same customer into that of another', () => {
    const agenda = agendaOf(slot('09:00', '10:00', 'bob'), slot('10:10', '10:15'))
    expect(fitOf(agenda, slot('10:15', '11:00', 'ann', [11, 5]))).toBeNull()
    expect(fitOf(agenda, slot('10:15', '11:00', 'ann', [10, 5]))).not.toBeNull()
  })

  test('lets one customer go on, booking after booking', () => {
    const agenda = agendaOf(slot('10:00', '10:05', 'ann', [30, 30]), slot('10:05', '10:10', 'ann', [30, 30]))
    expect(fitOf(agenda, slot('10:10', '10:15', 'ann', [30, 30]))).toBe(0)
  })
})

describe('fit', () => {
  test('is the idle time on the tighter side', () => {
    const agenda = agendaOf(slot('08:00', '09:00'), slot('13:00', '14:00'))
    expect(fitOf(agenda, slot('10:00', '11:00', 'bob'))).toBe(50 * 60_000)
    expect(fitOf(agenda, slot('11:30', '12:30', 'bob'))).toBe(20 * 60_000)
    expect(fitOf(agenda, slot('11:50', '12:50', 'bob'))).toBe(0)
    expect(fitOf(agenda, slot('09:00', '10:00'))).toBe(0)
  })

  test('is without bound on a machine with nothing booked', () => {
    expect(fitOf([], slot('10:00', '11:00'))).toBe(Infinity)
  })
})

describe('the earliest start', () => {
  const free = (agenda: readonly Allocation[], wish: Allocation): string => freeFrom(agenda, wish, Infinity) ?? 'none'

  test('is the wished one when it is free', () => {
    expect(free([], slot('10:00', '11:00'))).toBe(at('10:00'))
  })

  test('is after the booking in the way, buffers included', () => {
    expect(free(agendaOf(slot('10:00', '11:00')), slot('10:30', '11:30', 'bob'))).toBe(at('11:10'))
  })

  test('is in the first gap that is long enough', () => {
    const agenda = agendaOf(slot('10:00', '11:00'), slot('12:00', '13:00'), slot('14:20', '15:00'))
    expect(free(agenda, slot('10:00', '11:00', 'bob'))).toBe(at('13:10'))
  })

  test('is right behind a booking of the same customer', () => {
    expect(free(agendaOf(slot('10:00', '11:00')), slot('10:30', '11:30'))).toBe(at('11:00'))
  })

  test('is right before a booking of the same customer', () => {
    const agenda = agendaOf(slot('10:00', '11:00', 'bob'), slot('12:12', '13:00'))
    expect(free(agenda, slot('10:30', '11:30'))).toBe(at('11:12'))
  })

  test('is a whole minute, for nothing else can be booked', () => {
    expect(free(agendaOf(slot('10:00', '11:00:20')), slot('10:30', '11:30', 'bob'))).toBe(at('11:11'))
    expect(free(agendaOf(slot('10:00', '11:00:20')), slot('10:30', '11:30'))).toBe(at('11:11'))
  })

  test('is none when it is not before the limit', () => {
    expect(freeFrom(agendaOf(slot('10:00', '11:00')), slot('10:30', '11:30', 'bob'), msOf(at('11:10')))).toBeNull()
  })
})

describe('what remains of an allocation', () => {
  test('begins now when it has begun', () => {
    const {startMs, endMs, warmUpMs} = remainingOf(slot('10:00', '12:00'), msOf(at('10:30')))
    expect([startMs, endMs, warmUpMs]).toEqual([msOf(at('10:30')), msOf(at('12:00')), 0])
  })

  test('has as much warm-up as there is time for', () => {
    expect(remainingOf(slot('10:00', '12:00'), msOf(at('09:57')))).toMatchObject({
      startMs: msOf(at('10:00')),
      warmUpMs: 3 * 60_000,
    })
    expect(remainingOf(slot('10:00', '12:00'), msOf(at('08:00')))).toEqual(slot('10:00', '12:00'))
  })
})

test.each([1, 2, 3])('keeps allocations ordered by start, whatever the order they come in (seed %d)', seed => {
  const random = seeded(seed)
  let agenda: readonly Allocation[] = []
  for (let index = 0; index < 200; index++) {
    const startMs = random.below(1_000) * hourMs
    agenda = withAllocation(agenda, {...slot('10:00', '11:00'), startMs, endMs: startMs + 1})
  }
  const starts = agenda.map(({startMs}) => startMs)
  expect(starts).toEqual([...starts].sort((a, b) => a - b))
  expect(starts).toHaveLength(200)
})
