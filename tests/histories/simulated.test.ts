import {describe, expect, test} from 'vitest'
import {WrongExpectedRevision} from '../../src/event-store/port.ts'
import type {Door} from './door.ts'
import {simulatedHistory, type Plant} from './simulated.ts'
import {judge} from './verdict.ts'

const size = {clients: 8, callsEach: 200}
const historiesInAll = 40

test.each(Array.from({length: historiesInAll / 10}, (_, index) => [1 + 10 * index, 10 + 10 * index]))(
  'what 8 clients see in 200 calls each on two nodes can be explained, seeds %i to %i',
  async (from, to) => {
    let open = 0
    for (let seed = from; seed <= to; seed++) {
      const verdict = judge(await simulatedHistory(seed, size))
      expect({seed, violations: verdict.violations}).toEqual({seed, violations: []})
      open += verdict.open
    }
    // Half of them are histories of faults: some calls are never answered.
    expect(open).toBeGreaterThan(0)
  },
)

test('the same seed gives the same history, call by call', async () => {
  const [one, other] = [await simulatedHistory(2, size), await simulatedHistory(2, size)]
  expect(other).toEqual(one)
})

/** A read that does not wait for the position its caller has heard of. */
const impatient = (door: Door): Door => ({...door, ask: (call, key) => door.ask(call, key, null)})

const planted: Readonly<Record<string, Plant>> = {
  'queries do not wait for the position of the caller': {door: impatient},
  'an append does not look at the revision that a decision was made on': {
    store: store => ({
      ...store,
      async append(stream, expected, events) {
        try {
          return await store.append(stream, expected, events)
        } catch (error) {
          if (!(error instanceof WrongExpectedRevision) || error.actual === null) throw error
          return store.append(stream, error.actual, events)
        }
      },
    }),
  },
  'hours are given back that are not written down': {
    store: store => ({
      ...store,
      append: (stream, expected, events) => {
        const isRelease = events.length === 1 && events[0]?.type === 'HoursReleased'
        if (!isRelease || typeof expected !== 'bigint') return store.append(stream, expected, events)
        return Promise.resolve({revision: expected + 1n, position: {commit: 0n, prepare: 0n}})
      },
    }),
  },
}

describe('notices that', () => {
  test.each(Object.entries(planted))('%s', async (_name, plant) => {
    const found: string[] = []
    for (let seed = 1; seed <= 9 && found.length === 0; seed += 2) {
      found.push(...judge(await simulatedHistory(seed, size, plant)).violations)
    }
    expect(found).not.toEqual([])
  })
})
