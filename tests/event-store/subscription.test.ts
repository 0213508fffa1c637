import {setImmediate as nextTurn} from 'node:timers/promises'
import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import {StoreUnavailable, type AllMessage, type EventStore} from '../../src/event-store/port.ts'
import {followAll} from '../../src/event-store/subscription.ts'
import type {Timers} from '../../src/kernel/time.ts'
import {startTestStore, type TestStore} from '../support/store.ts'
import {freshMeta} from './tally.ts'

const eventCount = 12
let rig: TestStore
let store: EventStore

async function write(stream: string): Promise<void> {
  await store.append(stream, 'any', [{id: freshMeta().commandId, type: 'Added', data: {amount: 1}, metadata: {}}])
}

beforeAll(async () => {
  rig = await startTestStore()
  store = rig.store
  for (let index = 0; index < eventCount; index++) await write(`s-${index % 3}`)
})
afterAll(() => rig.stop())

const placesOf = (messages: readonly AllMessage[]): string[] =>
  messages.flatMap(message => (message.type === 'event' ? [`${message.event.revision}@${message.event.stream}`] : []))
const all = Array.from({length: eventCount}, (_, index) => `${Math.floor(index / 3)}@s-${index % 3}`)

/** Each connection breaks after so many messages; the last holds. */
function breaking(...after: number[]): {readonly store: EventStore; readonly connections: () => number} {
  let connections = 0
  return {
    connections: () => connections,
    store: {
      ...store,
      async *subscribeToAll(options) {
        let left = after[connections++] ?? Infinity
        if (left-- === 0) throw new StoreUnavailable('cut')
        for await (const message of store.subscribeToAll(options)) {
          yield message
          if (left-- === 0) throw new StoreUnavailable('cut')
        }
      },
    },
  }
}

/** Waits are counted and over in the next turn. */
function quick(): Timers & {readonly waitsMs: number[]} {
  const waitsMs: number[] = []
  return {
    waitsMs,
    async sleep(ms) {
      waitsMs.push(ms)
      await nextTurn()
    },
  }
}

/** Follows until so many events have come. */
async function follow(
  from: EventStore,
  count: number,
  options: {readonly timers?: Timers; readonly onEvent?: (seen: number) => Promise<void>} = {},
): Promise<{readonly messages: AllMessage[]; readonly lost: number}> {
  const ends = new AbortController()
  const messages: AllMessage[] = []
  let lost = 0
  const onLost = (): void => {
    lost++
  }
  let seen = 0
  for await (const message of followAll(from, options.timers ?? quick(), {after: null, signal: ends.signal, onLost})) {
    messages.push(message)
    if (message.type !== 'event') continue
    seen++
    await options.onEvent?.(seen)
    if (seen === count) ends.abort()
  }
  return {messages, lost}
}

describe('following the log', () => {
  const cuts = Array.from({length: eventCount + 2}, (_, index) => index)

  test.each(cuts)('goes on without gap or repeat when the connection is lost after %d messages', async cut => {
    const broken = breaking(cut)
    const {messages, lost} = await follow(broken.store, eventCount)
    expect(placesOf(messages)).toEqual(all)
    expect(lost).toBe(cut < eventCount ? 1 : 0)
  })

  test('goes on when every connection is lost after its first message', async () => {
    const broken = breaking(...Array.from({length: eventCount}, () => 1))
    const {messages, lost} = await follow(broken.store, eventCount)
    expect(placesOf(messages)).toEqual(all)
    expect(lost).toBe(eventCount - 1)
  })

  test('gives nothing on twice that the store repeats', async () => {
    const repeating: EventStore = {
      ...store,
      async *subscribeToAll(options) {
        const given: AllMessage[] = []
        for await (const message of store.subscribeToAll(options)) {
          given.push(message)
          yield message
          yield* given.slice(-3)
        }
      },
    }
    const {messages} = await follow(repeating, eventCount)
    expect(placesOf(messages)).toEqual(all)
  })

  test('goes on from the position it is given', async () => {
    const {messages} = await follow(store, 5)
    const fifth = messages.findLast(message => message.type === 'event')
    if (fifth?.type !== 'event') throw new Error('no event')
    const ends = new AbortController()
    const rest: AllMessage[] = []
    const options = {after: fifth.event.position, signal: ends.signal, onLost: () => undefined}
    for await (const message of followAll(breaking(0, 2, 1).store, quick(), options)) {
      rest.push(message)
      if (placesOf(rest).length === eventCount - 5) ends.abort()
    }
    expect(placesOf(rest)).toEqual(all.slice(5))
  })

  test('goes on from a checkpoint when nothing passed the filter since', async () => {
    const resumedAfter: unknown[] = []
    const position = {commit: 77n, prepare: 77n}
    const ends = new AbortController()
    const checkpointing: EventStore = {
      ...store,
      async *subscribeToAll({after}) {
        resumedAfter.push(after)
        if (resumedAfter.length > 1) return ends.abort()
        yield {type: 'checkpoint', position}
        throw new StoreUnavailable('cut')
      },
    }
    const options = {after: null, signal: ends.signal, onLost: () => undefined}
    for await (const message of followAll(checkpointing, quick(), options)) expect(message.type).toBe('checkpoint')
    expect(resumedAfter).toEqual([undefined, position])
  })

  test('asks for the next message only when the last is done with', async () => {
    let asked = 0
    const counting: EventStore = {
      ...store,
      async *subscribeToAll(options) {
        for await (const message of store.subscribeToAll(options)) {
          asked++
          yield message
        }
      },
    }
    await follow(counting, eventCount, {
      onEvent: async seen => {
        await nextTurn()
        expect(asked).toBe(seen)
      },
    })
    expect(asked).toBe(eventCount)
  })

  test('waits longer with every connection that brings nothing, up to 5 s, and anew after one that does', async () => {
    const timers = quick()
    await follow(breaking(0, 0, 0, 0, 0, 0, 0, 0, 1, 0).store, eventCount, {timers})
    expect(timers.waitsMs).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 100, 200])
  })

  test('ends when it is told to, also while it waits', async () => {
    const ends = new AbortController()
    const options = {after: null, signal: ends.signal, onLost: () => ends.abort()}
    const messages: AllMessage[] = []
    for await (const message of followAll(breaking(0).store, quick(), options)) messages.push(message)
    expect(messages).toEqual([])
  })

  test('does not hide an error that is no lost connection', async () => {
    const buggy: EventStore = {
      ...store,
      async *subscribeToAll(options) {
        yield* store.subscribeToAll(options)
        throw new TypeError('bug')
      },
    }
    const ends = new AbortController()
    const following = async (): Promise<void> => {
      for await (const message of followAll(buggy, quick(), {
        after: null,
        signal: ends.signal,
        onLost: () => undefined,
      })) {
        if (message.type === 'caughtUp') ends.abort()
      }
    }
    await expect(following()).rejects.toThrow('bug')
  })
})

test('follows through a restart of the store', async () => {
  const seen: string[] = []
  const ends = new AbortController()
  let lost = 0
  const options = {
    after: null,
    signal: ends.signal,
    onLost: () => {
      lost++
    },
  }
  for await (const message of followAll(store, quick(), options)) {
    seen.push(...placesOf([message]))
    if (message.type !== 'caughtUp') {
      if (seen.length === eventCount + 3) ends.abort()
      continue
    }
    if (seen.length === eventCount) {
      await write('s-9')
      await rig.restart()
      for (const stream of ['s-9', 's-9']) await write(stream)
    }
  }
  expect(seen).toEqual([...all, '0@s-9', '1@s-9', '2@s-9'])
  expect(lost).toBeGreaterThan(0)
})
