import {describe, expect, test} from 'vitest'
import type {Answer, Booked, Call, Entry, History} from './history.ts'
import {judge} from './verdict.ts'

const hourMs = 3_600_000
const noonMs = Date.parse('2026-11-22T12:00:00.000Z')

const grant = (minutes: number): Call => ({type: 'grant', account: 'ann', minutes})
const wish = (bookingId: string, more: Partial<Booked> = {}): Booked => ({
  bookingId,
  account: 'ann',
  pool: 'solo',
  startMs: noonMs,
  minutes: 60,
  ...more,
})
const book = (booking: Booked): Call => ({type: 'book', key: `book-${booking.bookingId}`, ...booking})
const cancel = (booking: Booked, key = `cancel-${booking.bookingId}`): Call => ({type: 'cancel', key, booking})
const balance: Call = {type: 'balance', account: 'ann'}
const load: Call = {type: 'load', account: 'ann'}
const booked: Answer = {type: 'booked', machineId: 'solo-1'}
const granted: Answer = {type: 'granted'}
const shows = (available: number, held: number): Answer => ({type: 'balance', available, held})
const loads = (available: number, held: number, captured = 0): Answer => ({type: 'loaded', available, held, captured})

interface Told {
  readonly call: Call
  readonly answer: Answer | null
  readonly client?: number
  readonly node?: string
  /** Default: each is answered before the next is called. */
  readonly span?: readonly [calledAt: number, answeredAt: number]
  readonly toldPosition?: boolean
}

function historyOf(told: readonly Told[], seen: Readonly<Record<string, number>> | null = null): History {
  const entries = told.map(({call, answer, client = 1, node = 'a', span, toldPosition = true}, index): Entry => {
    const [calledAt, answeredAt] = span ?? [10 * index, answer === null ? Infinity : 10 * index + 5]
    return {client, node, call, answer, calledAt, answeredAt, toldPosition: toldPosition && answer !== null}
  })
  const policy = {warmUpMinutes: 5, turnaroundMinutes: 5, slotStepMinutes: 15, chargePercent: 25}
  const observed = seen === null ? null : {times: new Map(Object.entries(seen)), isAtOnce: false}
  return {name: 'by hand', pools: {solo: ['solo-1']}, ...policy, entries, seen: observed}
}

const violationsIn = (...told: readonly Told[]): readonly string[] => judge(historyOf(told)).violations
const accepted = (...told: readonly Told[]): boolean => violationsIn(...told).length === 0

describe('of an account', () => {
  test('hours add up through grant, booking, cancellation and its charge', () => {
    const one = wish('one')
    const story = [
      {call: grant(120), answer: granted},
      {call: book(one), answer: booked},
      {call: load, answer: loads(60, 60)},
      {call: cancel(one), answer: {type: 'cancelled'} as const},
      {call: load, answer: loads(60, 60)},
      {call: load, answer: loads(105, 0, 15)},
    ]
    expect(violationsIn(...story)).toEqual([])
    // Settled once, it stays settled.
    expect(accepted(...story, {call: load, answer: loads(60, 60)})).toBe(false)
  })

  test('a lost update is found: of two grants only one is there afterwards', () => {
    const grants: Told[] = [
      {call: grant(60), answer: granted, span: [0, 3]},
      {call: grant(30), answer: granted, client: 2, span: [1, 2]},
    ]
    expect(accepted(...grants, {call: load, answer: loads(90, 0)})).toBe(true)
    expect(accepted(...grants, {call: load, answer: loads(60, 0)})).toBe(false)
  })

  test('a query may be behind others, but not behind its caller, whatever node it asks', () => {
    const first: Told = {call: grant(60), answer: granted}
    expect(accepted(first, {call: balance, answer: shows(0, 0), client: 2})).toBe(true)
    expect(accepted(first, {call: balance, answer: shows(0, 0), node: 'b'})).toBe(false)
  })

  test('who was told no position reads at least through the same node what was done', () => {
    const first: Told = {call: grant(60), answer: granted, toldPosition: false}
    expect(accepted(first, {call: balance, answer: shows(0, 0), node: 'b'})).toBe(true)
    expect(accepted(first, {call: balance, answer: shows(0, 0)})).toBe(false)
  })

  test('a node does not show less than it has shown before, to whomever', () => {
    const [first, shown]: Told[] = [
      {call: grant(60), answer: granted},
      {call: balance, answer: shows(60, 0), client: 2},
    ]
    if (first === undefined || shown === undefined) throw new Error('no history')
    expect(accepted(first, shown, {call: balance, answer: shows(0, 0), client: 3})).toBe(false)
    expect(accepted(first, shown, {call: balance, answer: shows(0, 0), client: 3, node: 'b'})).toBe(true)
  })

  test('a query shows nothing that comes after it', () => {
    expect(accepted({call: balance, answer: shows(60, 0)}, {call: grant(60), answer: granted})).toBe(false)
  })

  test('a settlement may be seen half done by a query, and by nobody who loads', () => {
    const one = wish('one')
    const story: Told[] = [
      {call: grant(60), answer: granted},
      {call: book(one), answer: booked},
      {call: cancel(one), answer: {type: 'cancelled'}},
    ]
    expect(accepted(...story, {call: balance, answer: shows(0, 45)})).toBe(true)
    expect(accepted(...story, {call: load, answer: loads(0, 45, 15)})).toBe(false)
  })

  test('a refusal tells the hours there are', () => {
    const refused = (available: number): Told => ({call: book(wish('one')), answer: {type: 'insufficient', available}})
    expect(accepted({call: grant(30), answer: granted}, refused(30))).toBe(true)
    expect(accepted({call: grant(30), answer: granted}, refused(0))).toBe(false)
    expect(accepted({call: grant(90), answer: granted}, refused(90))).toBe(false)
  })
})

describe('of a machine', () => {
  const rich: Told = {call: grant(600), answer: granted}

  test('a double allocation is found, buffers included', () => {
    const next = (startMs: number): Told => ({call: book(wish('two', {account: 'bob', startMs})), answer: booked})
    const bobRich: Told = {call: {type: 'grant', account: 'bob', minutes: 600}, answer: granted}
    const first: Told = {call: book(wish('one')), answer: booked}
    expect(accepted(rich, bobRich, first, next(noonMs + hourMs + 10 * 60_000))).toBe(true)
    expect(accepted(rich, bobRich, first, next(noonMs + hourMs + 9 * 60_000))).toBe(false)
    expect(accepted(rich, bobRich, first, next(noonMs))).toBe(false)
  })

  test('nobody is sent away while it is free, or told a wrong time', () => {
    const taken = (untilMs: number): Told => ({call: book(wish('two')), answer: {type: 'taken', untilMs}})
    expect(accepted(rich, taken(noonMs))).toBe(false)
    const first: Told = {call: book(wish('one')), answer: booked}
    // The same customer's bookings may touch.
    expect(accepted(rich, first, taken(noonMs + hourMs))).toBe(true)
    expect(accepted(rich, first, taken(noonMs + 2 * hourMs))).toBe(false)
  })

  test('what was given back is free some time after the cancellation, and not before it', () => {
    const one = wish('one')
    const again: Told = {call: book(wish('two')), answer: booked}
    const cancelled: Told = {call: cancel(one), answer: {type: 'cancelled'}}
    expect(accepted(rich, {call: book(one), answer: booked}, cancelled, again)).toBe(true)
    expect(accepted(rich, {call: book(one), answer: booked}, again, cancelled)).toBe(false)
  })

  test('a call without an answer may have taken it, or not', () => {
    const open: Told = {call: book(wish('one')), answer: null}
    const after = (answer: Answer): Told => ({call: book(wish('two')), answer, client: 2})
    expect(accepted(rich, open, after(booked))).toBe(true)
    expect(accepted(rich, open, after({type: 'taken', untilMs: noonMs + hourMs}))).toBe(true)
  })
})

test('a booking is cancelled once: the second to try is told so', () => {
  const one = wish('one')
  const story: Told[] = [
    {call: grant(60), answer: granted},
    {call: book(one), answer: booked},
    {call: cancel(one, 'first'), answer: {type: 'cancelled'}},
  ]
  expect(accepted(...story, {call: cancel(one, 'second'), answer: {type: 'alreadyCancelled'}})).toBe(true)
  expect(accepted(...story, {call: cancel(one, 'second'), answer: {type: 'cancelled'}})).toBe(false)
})

test('a cancelled booking that nobody ever saw settled and given back is a violation at rest', () => {
  const one = wish('one')
  const told: Told[] = [
    {call: grant(60), answer: granted},
    {call: book(one), answer: booked},
    {call: cancel(one), answer: {type: 'cancelled'}},
  ]
  expect(judge(historyOf(told, {'settled one': 100, 'freed one': 101})).violations).toEqual([])
  expect(judge(historyOf(told, {'settled one': 100})).violations).toEqual(['booking one was never freed'])
})
