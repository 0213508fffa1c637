import {describe, expect, test} from 'vitest'
import {drop, emptyMap, entriesOf, lookUp, put, type PersistentMap} from '../../src/kernel/persistent-map.ts'
import {seeded} from '../support/given.ts'

function contents(map: PersistentMap<number>): Record<string, number> {
  return Object.fromEntries([...entriesOf(map)].sort(([a], [b]) => (a < b ? -1 : 1)))
}

function sortedEntries(map: ReadonlyMap<string, number>): Record<string, number> {
  return Object.fromEntries([...map].sort(([a], [b]) => (a < b ? -1 : 1)))
}

describe('persistent map', () => {
  test('is empty at first', () => {
    const map = emptyMap<number>()
    expect(map.size).toBe(0)
    expect(lookUp(map, 'a')).toBeUndefined()
    expect([...entriesOf(map)]).toEqual([])
  })

  test.each([1, 2, 3])('holds what a Map holds after 5,000 random changes (seed %d)', seed => {
    const random = seeded(seed)
    const model = new Map<string, number>()
    let map = emptyMap<number>()
    for (let step = 0; step < 5_000; step++) {
      const key = `key-${random.below(700)}`
      if (random.chance(0.6)) {
        map = put(map, key, step)
        model.set(key, step)
      } else {
        map = drop(map, key)
        model.delete(key)
      }
      expect(map.size).toBe(model.size)
      expect(lookUp(map, key)).toBe(model.get(key))
    }
    expect(contents(map)).toEqual(sortedEntries(model))
  })

  test('never changes an older version', () => {
    const random = seeded(4)
    const versions: {map: PersistentMap<number>; held: Record<string, number>}[] = []
    let map = emptyMap<number>()
    for (let step = 0; step < 300; step++) {
      const key = `key-${random.below(60)}`
      map = random.chance(0.6) ? put(map, key, step) : drop(map, key)
      versions.push({map, held: contents(map)})
    }
    for (const version of versions) expect(contents(version.map)).toEqual(version.held)
    expect(emptyMap<number>().size).toBe(0)
    expect([...entriesOf(emptyMap<number>())]).toEqual([])
  })

  test('gives the same order for the same history', () => {
    const build = (): string[] => {
      const random = seeded(5)
      let map = emptyMap<number>()
      for (let step = 0; step < 1_000; step++) {
        const key = `key-${random.below(200)}`
        map = random.chance(0.7) ? put(map, key, step) : drop(map, key)
      }
      return [...entriesOf(map)].map(([key]) => key)
    }
    expect(build()).toEqual(build())
  })

  test('is the same map when what is dropped is not there', () => {
    const map = put(emptyMap<number>(), 'a', 1)
    expect(drop(map, 'b')).toBe(map)
  })

  test.each(['constructor', '__proto__', 'toString', '', '\u0000', '😀'])('takes any text as a key: %j', key => {
    const map = emptyMap<number>()
    expect(lookUp(map, key)).toBeUndefined()
    expect(lookUp(put(map, key, 1), key)).toBe(1)
    expect(drop(put(map, key, 1), key).size).toBe(0)
  })

  test('spreads similar keys over its leaves', () => {
    let map = emptyMap<number>()
    for (let index = 0; index < 64 * 64 * 10; index++) map = put(map, `booking-${index}`, index)
    const sizes = map.branches.flatMap(branch => branch ?? []).map(leaf => leaf?.size ?? 0)
    expect(sizes.length).toBe(64 * 64)
    expect(Math.max(...sizes)).toBeLessThan(60)
  })
})
