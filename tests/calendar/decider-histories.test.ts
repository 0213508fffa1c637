import {expect, test} from 'vitest'
import {
  calendar,
  machineHolding,
  type CalendarCommand,
  type CalendarRefusal,
  type CalendarState,
} from '../../src/calendar/decider.ts'
import type {CalendarEvent} from '../../src/calendar/events.ts'
import type {SlotWish} from '../../src/calendar/agenda.ts'
import {idOf} from '../../src/kernel/ids.ts'
import {instantFromMs, msOf} from '../../src/kernel/time.ts'
import {at, seeded} from '../support/given.ts'

/** One allocation as a child would write it down; minutes and agendas of the program are not used. */
interface Line {
  readonly booking: string
  readonly user: string
  readonly startMs: number
  readonly endMs: number
  readonly fromMs: number
  readonly untilMs: number
}

interface Book {
  readonly offers: Map<string, readonly string[] | null>
  readonly lines: Map<string, Line[]>
}

const minuteMs = 60_000
const horizonMinutes = 3 * 24 * 60
const originMs = msOf(at('00:00'))

function lineOf(wish: SlotWish): Line {
  const startMs = msOf(wish.interval.start)
  const endMs = msOf(wish.interval.end)
  const fromMs = startMs - wish.warmUpMinutes * minuteMs
  return {
    booking: wish.bookingId,
    user: wish.userId,
    startMs,
    endMs,
    fromMs,
    untilMs: endMs + wish.turnaroundMinutes * minuteMs,
  }
}

/** Other customers keep clear of each other with all buffers; one customer's neighbours touch, or do so as well. */
function fits(lines: readonly Line[], wish: Line): boolean {
  return lines.every(line => {
    if (line.startMs < wish.endMs && wish.startMs < line.endMs) return false
    const clear = line.untilMs <= wish.fromMs || wish.untilMs <= line.fromMs
    if (clear || line.user !== wish.user) return clear
    if (line.endMs === wish.startMs || wish.endMs === line.startMs) return true
    const [low, high] = [Math.min(line.endMs, wish.endMs), Math.max(line.startMs, wish.startMs)]
    return lines.some(between => between !== line && between.startMs >= low && between.endMs <= high)
  })
}

/** Between the neighbours by start. */
function idleBeside(lines: readonly Line[], wish: Line): number {
  const inOrder = [...lines].sort((a, b) => a.startMs - b.startMs)
  const before = inOrder.findLast(line => line.startMs < wish.startMs)
  const after = inOrder.find(line => line.startMs >= wish.startMs)
  const idleBefore = before === undefined ? Infinity : Math.max(0, wish.fromMs - before.untilMs)
  return Math.min(idleBefore, after === undefined ? Infinity : Math.max(0, after.fromMs - wish.untilMs))
}

function shifted(wish: Line, byMs: number): Line {
  const {startMs, endMs, fromMs, untilMs} = wish
  return {...wish, startMs: startMs + byMs, endMs: endMs + byMs, fromMs: fromMs + byMs, untilMs: untilMs + byMs}
}

function serving(book: Book, service: string, except: string | null = null): string[] {
  return [...book.offers].filter(([id, services]) => services?.includes(service) && id !== except).map(([id]) => id)
}

/** What the rules say to a wish, by trying everything. */
function expected(book: Book, service: string, wish: Line, except: string | null): string | CalendarRefusal {
  const machines = serving(book, service, except)
  if (machines.length === 0) return {type: 'NoMachineServes', serviceId: idOf(service)}
  const free = machines
    .filter(id => fits(book.lines.get(id) ?? [], wish))
    .map(id => ({id, idle: idleBeside(book.lines.get(id) ?? [], wish)}))
    .sort((a, b) => (a.idle === b.idle ? (a.id < b.id ? -1 : 1) : a.idle - b.idle))[0]
  if (free !== undefined) return free.id
  const offMinuteMs = (minuteMs - (wish.startMs % minuteMs)) % minuteMs
  for (let minute = 0; minute <= horizonMinutes * 2; minute++) {
    const later = shifted(wish, offMinuteMs + minute * minuteMs)
    if (machines.some(id => fits(book.lines.get(id) ?? [], later))) {
      return {type: 'SlotTaken', until: instantFromMs(later.startMs)}
    }
  }
  throw new Error('nothing free in twice the horizon')
}

function write(book: Book, event: CalendarEvent): void {
  const edit = (id: string, change: (lines: Line[]) => Line[]): unknown =>
    book.lines.set(id, change(book.lines.get(id) ?? []))
  switch (event.type) {
    case 'MachineOffered':
      book.offers.set(event.data.machineId, event.data.services)
      return
    case 'MachineWithdrawn':
      book.offers.set(event.data.machineId, null)
      return
    case 'SlotAllocated':
      edit(event.data.machineId, lines => [...lines, lineOf(event.data)])
      return
    case 'AllocationShortened': {
      const endMs = msOf(event.data.end)
      edit(event.data.machineId, lines =>
        lines
          .map(line => (line.booking === event.data.bookingId ? cut(line, endMs) : line))
          .filter(line => line.startMs < line.endMs),
      )
      return
    }
    case 'AllocationFailedOver': {
      const {bookingId, fromMachineId, toMachineId} = event.data
      const moved = book.lines.get(fromMachineId)?.find(line => line.booking === bookingId)
      if (moved === undefined) throw new Error('moved what is not there')
      edit(fromMachineId, lines => lines.filter(line => line !== moved))
      edit(toMachineId, lines => [...lines, from(moved, msOf(event.data.at))])
      return
    }
    case 'SlotDeclined':
      return
    default:
      throw new Error('unknown')
  }
}

function cut(line: Line, endMs: number): Line {
  return {...line, endMs, untilMs: endMs + (line.untilMs - line.endMs)}
}

function from(line: Line, ms: number): Line {
  return {...line, startMs: Math.max(line.startMs, ms), fromMs: Math.max(line.fromMs, ms)}
}

/** However bookings came, moved, shrank and went: no two of different customers come closer than their buffers. */
function expectNoOverlap(book: Book): void {
  for (const lines of book.lines.values()) {
    for (const [index, a] of lines.entries()) {
      for (const b of lines.slice(index + 1)) {
        if (a.startMs < b.endMs && b.startMs < a.endMs) expect([a, b]).toBe('apart')
        if (a.user !== b.user && a.fromMs < b.untilMs && b.fromMs < a.untilMs)
          expect([a, b]).toBe('clear of each other')
      }
    }
  }
}

test.each([1, 2, 3, 4, 5, 6])('every answer of 900 random commands is what trying everything gives (seed %d)', seed => {
  const random = seeded(seed)
  const book: Book = {offers: new Map(), lines: new Map()}
  let state: CalendarState = calendar.initial
  let nowMs = originMs
  const wishes = new Map<string, SlotWish>()
  const seen = {allocated: 0, taken: 0, moved: 0, freed: 0}

  for (let step = 0; step < 900; step++) {
    nowMs += random.below(60_000)
    const now = instantFromMs(nowMs)
    const command = randomCommand(step)
    const decision = calendar.decide(command, state, {now})
    if (command.type === 'AllocateSlot' || command.type === 'FailOverAllocation') expectRight(command, decision)
    if (!decision.ok) {
      continue
    }
    for (const event of decision.events) {
      state = calendar.evolve(state, event)
      write(book, event)
      if (event.type === 'SlotAllocated') seen.allocated++
      if (event.type === 'SlotDeclined' && event.data.refusal.type === 'SlotTaken') seen.taken++
      if (event.type === 'AllocationFailedOver') seen.moved++
      if (event.type === 'AllocationShortened') seen.freed++
    }
    expectNoOverlap(book)
    for (const [machine, lines] of book.lines) {
      for (const {booking} of lines) expect(machineHolding(state, idOf(booking))).toBe(machine)
    }
    expect(calendar.decide(command, state, {now})).toEqual({ok: true, events: []})
  }
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(10)

  function randomCommand(step: number): CalendarCommand {
    const kind = random.below(20)
    const machineId = idOf<'Machine'>(`m${random.below(6)}`)
    const booked = [...wishes.keys()]
    if (step < 6 || kind === 0) {
      const services = random.pick([['a'], ['a', 'b'], ['a', 'b'], ['b']]).map(service => idOf<'Service'>(service))
      return {type: 'OfferMachine', machineId: step < 6 ? idOf(`m${step}`) : machineId, services}
    }
    if (kind === 1 && random.chance(0.3)) return {type: 'WithdrawMachine', machineId}
    if (kind < 5 && booked.length > 0) {
      const bookingId = idOf<'Booking'>(random.pick(booked.slice(-60)))
      const {interval} = wishes.get(bookingId) ?? expect.unreachable()
      const lengthMs = msOf(interval.end) - msOf(interval.start)
      const end = random.chance(0.6) ? interval.start : instantFromMs(msOf(interval.start) + random.below(lengthMs))
      return {type: 'ShortenAllocation', bookingId, end}
    }
    if (kind < 8 && booked.length > 0) {
      const bookingId = idOf<'Booking'>(random.pick(booked.slice(-60)))
      return {type: 'FailOverAllocation', bookingId, fromMachineId: machineHolding(state, bookingId) ?? machineId}
    }
    const wish = randomWish(step)
    wishes.set(wish.bookingId, wish)
    return {type: 'AllocateSlot', wish, begunAt: instantFromMs(nowMs)}
  }

  function randomWish(step: number): SlotWish {
    const userId = idOf<'User'>(random.pick(['ann', 'ann', 'bob', 'cem']))
    const grid = random.pick([1, 5, 15, 30])
    const minutes = random.pick([2, 5, 15, 30, 60, 60, 60, 120])
    const minute = Math.ceil((nowMs - originMs) / minuteMs) + random.below(1_400)
    const startMs = originMs + Math.ceil(minute / grid) * grid * minuteMs
    const interval = {start: instantFromMs(startMs), end: instantFromMs(startMs + minutes * minuteMs)}
    const buffers = {warmUpMinutes: random.pick([0, 5, 5, 15]), turnaroundMinutes: random.pick([0, 5, 5, 45])}
    return {bookingId: idOf(`b${step}`), userId, serviceId: idOf(random.pick(['a', 'a', 'b'])), interval, ...buffers}
  }

  function expectRight(
    command: Extract<CalendarCommand, {type: 'AllocateSlot' | 'FailOverAllocation'}>,
    decision: ReturnType<typeof calendar.decide>,
  ): void {
    if (command.type === 'AllocateSlot') {
      const answer = expected(book, command.wish.serviceId, lineOf(command.wish), null)
      expect(decision).toMatchObject({
        ok: true,
        events: [{data: typeof answer === 'string' ? {machineId: answer} : {refusal: answer}}],
      })
      return
    }
    const {bookingId, fromMachineId} = command
    const line = book.lines.get(fromMachineId)?.find(({booking}) => booking === bookingId)
    const wish = wishes.get(bookingId)
    if (line === undefined || wish === undefined || line.endMs <= nowMs) {
      expect(decision).toEqual({ok: false, refusal: {type: 'NoSuchAllocation', bookingId}})
      return
    }
    const answer = expected(book, wish.serviceId, from(line, nowMs), fromMachineId)
    expect(decision).toMatchObject(
      typeof answer === 'string' ? {ok: true, events: [{data: {toMachineId: answer}}]} : {refusal: answer},
    )
  }
})
