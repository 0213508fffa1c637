import {describe, expect, test} from 'vitest'
import {seeded} from '../support/given.ts'
import {check, type Operation, type Specification} from './checker.ts'

/** A register, the simplest object there is: its state is what was last written. */
const register: Specification<number> = {initial: 0, keyOf: String}

type Span = readonly [calledAt: number, answeredAt: number]

function write([calledAt, answeredAt]: Span, value: number): Operation<number> {
  return {label: `write ${value}`, calledAt, answeredAt, after: [], isRead: false, apply: () => [value]}
}

function read([calledAt, answeredAt]: Span, value: number, after: readonly number[] = []): Operation<number> {
  const apply = (state: number) => (state === value ? [state] : [])
  return {label: `read ${value}`, calledAt, answeredAt, after, isRead: true, apply}
}

function compareAndSet([calledAt, answeredAt]: Span, from: number, to: number): Operation<number> {
  const apply = (state: number) => (state === from ? [to] : [])
  return {label: `set ${from} to ${to}`, calledAt, answeredAt, after: [], isRead: false, apply}
}

const accepts = (operations: readonly Operation<number>[]): boolean => check(register, operations).ok

describe('accepts', () => {
  test('a history without operations', () => expect(accepts([])).toBe(true))

  test('reads of the old value and of the new one while a write is under way', () => {
    expect(accepts([write([0, 9], 1), read([1, 2], 0), read([3, 4], 1), read([5, 6], 1)])).toBe(true)
  })

  test('an open write that happened after other answers, and one that never did', () => {
    expect(accepts([write([0, Infinity], 1), read([1, 2], 0), read([3, 4], 1)])).toBe(true)
    expect(accepts([write([0, Infinity], 1), read([1, 2], 0), read([3, 4], 0)])).toBe(true)
  })

  test('an old value where the read has only to come after the caller’s own write', () => {
    const others = [write([0, 1], 1), write([2, 3], 2)]
    expect(accepts([...others, read([4, 5], 1)])).toBe(false)
    expect(accepts([...others, read([-1, 5], 1, [0])])).toBe(true)
  })
})

describe('rejects', () => {
  test('a stale read: a write was answered before the read was called', () => {
    expect(accepts([write([0, 1], 1), read([2, 3], 0)])).toBe(false)
  })

  test('a read that goes back behind another that came before it', () => {
    expect(accepts([write([0, 9], 1), read([1, 2], 1), read([3, 4], 0)])).toBe(false)
  })

  test('a read of what was only written after its answer', () => {
    expect(accepts([read([0, 1], 1), write([2, 3], 1)])).toBe(false)
  })

  test('a double allocation: two take from the one state', () => {
    expect(accepts([compareAndSet([0, 5], 0, 1), compareAndSet([1, 4], 0, 2)])).toBe(false)
  })

  test('a lost update: two increments, and one of them is not seen afterwards', () => {
    const two = [compareAndSet([0, 5], 0, 1), compareAndSet([1, 4], 1, 2)]
    expect(accepts([...two, read([6, 7], 2)])).toBe(true)
    expect(accepts([...two, read([6, 7], 1)])).toBe(false)
  })

  test('a read from before the caller’s own write', () => {
    expect(accepts([write([0, 1], 1), read([-1, 5], 0, [0])])).toBe(false)
  })

  test('an open write that is seen, and then no more', () => {
    expect(accepts([write([0, Infinity], 1), read([1, 2], 1), read([3, 4], 0)])).toBe(false)
  })

  test('and says how far it came and where it was stuck', () => {
    const verdict = check(register, [write([0, 1], 1), write([2, 3], 2), read([4, 5], 1)])
    expect(verdict).toMatchObject({ok: false, placed: ['write 1', 'write 2'], stuck: ['read 1']})
  })
})

/** By the definition: is there any order of all that was answered, and of some of the open ones, that explains it? */
function bruteForce(operations: readonly Operation<number>[], placed: readonly number[], state: number): boolean {
  const left = operations.map((_, index) => index).filter(index => !placed.includes(index))
  if (left.every(index => operations[index]?.answeredAt === Infinity)) return true
  return left.some(index => {
    const operation = operations[index]
    if (operation === undefined || !operation.after.every(before => placed.includes(before))) return false
    if (left.some(other => (operations[other]?.answeredAt ?? 0) < operation.calledAt)) return false
    return operation.apply(state).some(next => bruteForce(operations, [...placed, index], next))
  })
}

/** Up to six operations of three clients on three values, with chance in everything. */
function smallHistory(seed: number): readonly Operation<number>[] {
  const dice = seeded(seed)
  const count = 2 + dice.below(5)
  const stamps = Array.from({length: 2 * count}, (_, index) => index)
  return Array.from({length: count}, (_, index) => {
    const pick = (): number => stamps.splice(dice.below(Math.min(4, stamps.length)), 1)[0] ?? 0
    const [a, b] = [pick(), pick()]
    const span: Span = [Math.min(a, b), dice.chance(0.1) ? Infinity : Math.max(a, b)]
    const value = dice.below(3)
    if (dice.chance(0.35)) return write(span, value)
    if (dice.chance(0.3)) return compareAndSet(span, value, dice.below(3))
    if (span[1] < Infinity && index > 0 && dice.chance(0.3)) return read([-1, span[1]], value, [dice.below(index)])
    return read([span[0], Math.max(a, b)], value)
  })
}

test('answers as all orders tried one by one do, on 3,000 small histories', () => {
  const counts = {accepted: 0, rejected: 0}
  for (let seed = 1; seed <= 3_000; seed++) {
    const history = smallHistory(seed)
    const expected = bruteForce(history, [], 0)
    expect([seed, accepts(history)]).toEqual([seed, expected])
    counts[expected ? 'accepted' : 'rejected']++
  }
  // Both answers occur often enough to mean something.
  expect(Math.min(counts.accepted, counts.rejected)).toBeGreaterThan(300)
})
