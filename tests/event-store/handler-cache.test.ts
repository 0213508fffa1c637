import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import {defaultLimits} from '../../src/event-store/command.ts'
import {createHandler} from '../../src/event-store/handler.ts'
import type {EventStore} from '../../src/event-store/port.ts'
import {UnreadableEvent} from '../../src/event-store/registry.ts'
import {startTestStore, type TestStore} from '../support/store.ts'
import {add, contentsOf, freshMeta, freshTally, gated, partsOf, spend, tally} from './tally.ts'

let rig: TestStore
let store: EventStore
beforeAll(async () => {
  rig = await startTestStore()
  store = rig.store
})
afterAll(() => rig.stop())

function counted(inner: EventStore): {readonly store: EventStore; readonly read: string[]} {
  const read: string[] = []
  return {
    read,
    store: {
      ...inner,
      readStream: (stream, options) => {
        read.push(stream)
        return inner.readStream(stream, options)
      },
    },
  }
}

describe('the cache of states', () => {
  test('spares the reads of a stream that is written to again and again', async () => {
    const {store: counting, read} = counted(store)
    const handler = createHandler(partsOf(counting))
    const stream = freshTally()
    for (let index = 0; index < 20; index++) await handler.handle(tally, stream, add(1), freshMeta())
    expect(read).toEqual([stream])
    expect((await handler.handle(tally, stream, spend(20), freshMeta())).state.amount).toBe(0)
  })

  test('spares even the first read when the stream is said to be new', async () => {
    const {store: counting, read} = counted(store)
    const handler = createHandler(partsOf(counting))
    const stream = freshTally()
    await handler.handle(tally, stream, add(1), freshMeta(), {isNew: true})
    expect(read).toEqual([])
    expect((await handler.handle(tally, stream, add(1), freshMeta())).state.amount).toBe(2)
  })

  test('is right when a stream said to be new is not', async () => {
    const stream = freshTally()
    await createHandler(partsOf(store)).handle(tally, stream, add(1), freshMeta())
    const handled = await createHandler(partsOf(store)).handle(tally, stream, add(1), freshMeta(), {isNew: true})
    expect(handled).toMatchObject({ok: true, state: {amount: 2}})
    const refused = await createHandler(partsOf(store)).handle(tally, stream, spend(3), freshMeta(), {isNew: true})
    expect(refused).toMatchObject({ok: false, refusal: {type: 'TooLittle', amount: 2}})
  })

  test('keeps the streams used last, and folds the others anew with the same result', async () => {
    const {store: counting, read} = counted(store)
    const handler = createHandler(partsOf(counting), {...defaultLimits, cachedStreamsMax: 3})
    const streams = Array.from({length: 10}, freshTally)
    for (const stream of streams) await handler.handle(tally, stream, add(7), freshMeta())
    read.length = 0
    for (const stream of streams.slice(-3)) await handler.handle(tally, stream, add(1), freshMeta())
    expect(read).toEqual([])
    for (const stream of streams) {
      const {state} = await handler.handle(tally, stream, add(1), freshMeta())
      expect(state.amount).toBe(streams.indexOf(stream) < 7 ? 8 : 9)
    }
    expect(read.length).toBeGreaterThanOrEqual(7)
  })

  test('does not drop a stream that commands wait for', async () => {
    const gate = gated(store)
    const handler = createHandler(partsOf(gate.store), {...defaultLimits, cachedStreamsMax: 2})
    const streams = Array.from({length: 6}, freshTally)
    gate.shut()
    const answers = [1, 2].flatMap(amount =>
      streams.map(stream => handler.handle(tally, stream, add(amount), freshMeta())),
    )
    gate.open()
    await Promise.all(answers)
    for (const stream of streams) expect(await contentsOf(store, stream)).toEqual(['+1', '+2'])
    // No two queues of one stream ran into each other.
    expect(gate.appends).toHaveLength(2 * streams.length)
  })

  test('folds a long stream page by page', async () => {
    const handler = createHandler(partsOf(store))
    const stream = freshTally()
    await Promise.all(Array.from({length: 2_500}, () => handler.handle(tally, stream, add(1), freshMeta())))
    expect(await createHandler(partsOf(store)).load(tally, stream)).toEqual({name: null, amount: 2_500})
  })

  test('does not take over a revision that it has not folded', async () => {
    const stream = freshTally()
    const other = createHandler(partsOf(store))
    const ahead: EventStore = {
      ...store,
      async append(name, expected, events) {
        const {position} = await store.append(name, expected, events)
        await other.handle(tally, stream, add(100), freshMeta())
        // As a store may answer a repeat: with where the stream is by now.
        const head = await store.readStream(name, {direction: 'backwards', maxCount: 1})
        return {position, revision: head?.[0]?.revision ?? -1n}
      },
    }
    const handler = createHandler(partsOf(ahead))
    await handler.handle(tally, stream, add(1), freshMeta())
    expect((await handler.handle(tally, stream, add(1), freshMeta())).state.amount).toBe(102)
  })

  test('forgets a stream that was deleted', async () => {
    const handler = createHandler(partsOf(store))
    const stream = freshTally()
    await handler.handle(tally, stream, {type: 'Open', name: 'a'}, freshMeta())
    await store.deleteStream(stream, 'any')
    expect(await handler.load(tally, stream)).toEqual({name: null, amount: 0})
    expect(await handler.handle(tally, stream, {type: 'Open', name: 'b'}, freshMeta())).toMatchObject({
      ok: true,
      state: {name: 'b'},
    })
    expect(await handler.handle(tally, stream, add(3), freshMeta())).toMatchObject({state: {name: 'b', amount: 3}})
  })

  test('notices a deletion by the first command that would have been quiet', async () => {
    const handler = createHandler(partsOf(store))
    const stream = freshTally()
    await handler.handle(tally, stream, {type: 'Open', name: 'a'}, freshMeta())
    await store.deleteStream(stream, 'any')
    expect(await handler.handle(tally, stream, {type: 'Open', name: 'b'}, freshMeta())).toMatchObject({
      ok: true,
      events: [{type: 'Opened', data: {name: 'b'}}],
    })
  })

  test('does not skip an event that cannot be read', async () => {
    const stream = freshTally()
    const handler = createHandler(partsOf(store))
    await handler.handle(tally, stream, add(1), freshMeta())
    const [known] = (await store.readStream(stream, {maxCount: 1})) ?? []
    const future = {...(known?.metadata as Record<string, unknown>), version: 2}
    const event = {id: freshMeta().commandId, type: 'Added', data: {amount: 1, note: ''}, metadata: future}
    await store.append(stream, 0n, [event])
    await expect(handler.load(tally, stream)).rejects.toBeInstanceOf(UnreadableEvent)
    await expect(handler.handle(tally, stream, add(1), freshMeta())).rejects.toBeInstanceOf(UnreadableEvent)
  })
})
