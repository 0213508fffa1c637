import {afterAll, beforeAll, describe, expect, test, vi} from 'vitest'
import {defaultLimits} from '../../src/event-store/command.ts'
import {createHandler} from '../../src/event-store/handler.ts'
import {TooManyConflicts} from '../../src/event-store/command.ts'
import type {EventStore} from '../../src/event-store/port.ts'
import {idOf} from '../../src/kernel/ids.ts'
import {startTestStore, type TestStore} from '../support/store.ts'
import {add, contentsOf, freshMeta, freshTally, gated, partsOf, spend, tally} from './tally.ts'

let rig: TestStore
let store: EventStore
beforeAll(async () => {
  rig = await startTestStore()
  store = rig.store
})
afterAll(() => rig.stop())

describe('two nodes on one stream', () => {
  test('do not refuse by what was once, beside a repeat of what the other wrote then', async () => {
    const [one, other] = [createHandler(partsOf(store)), createHandler(partsOf(store))]
    const ofPerson = () => ({...freshMeta(), actor: {type: 'user', userId: idOf<'User'>('ann')} as const})
    const [stream, first, second] = [freshTally(), ofPerson(), ofPerson()]
    await one.handle(tally, stream, {type: 'Open', name: 'a'}, freshMeta())
    await other.load(tally, stream)
    await one.handle(tally, stream, add(5), first)
    await one.handle(tally, stream, add(6), second)
    await one.handle(tally, stream, add(10), freshMeta())
    // The last two wait while the first is written, and are decided together.
    const answers = await Promise.all([
      other.handle(tally, stream, add(5), first),
      other.handle(tally, stream, add(6), second),
      other.handle(tally, stream, spend(12), freshMeta()),
    ])
    expect(answers.map(({ok}) => ok)).toEqual([true, true, true])
    expect(await contentsOf(store, stream)).toEqual(['opened', '+5', '+6', '+10', '-12'])
  })

  test('see what the other wrote before they decide', async () => {
    const [here, there] = [createHandler(partsOf(store)), createHandler(partsOf(store))]
    const stream = freshTally()
    await here.handle(tally, stream, add(10), freshMeta())
    await there.handle(tally, stream, spend(8), freshMeta())
    expect(await here.handle(tally, stream, spend(2), freshMeta())).toMatchObject({ok: true, state: {amount: 0}})
    expect(await contentsOf(store, stream)).toEqual(['+10', '-8', '-2'])
  })

  test('decide again when the other was first', async () => {
    const gate = gated(store)
    const [here, there] = [createHandler(partsOf(gate.store)), createHandler(partsOf(store))]
    const stream = freshTally()
    await here.handle(tally, stream, add(10), freshMeta())
    const {reached} = await there.handle(tally, stream, spend(8), freshMeta())
    const refused = await here.handle(tally, stream, spend(5), freshMeta())
    const state = {name: null, amount: 2}
    expect(refused).toEqual({ok: false, refusal: {type: 'TooLittle', amount: 2}, state, reached})
    expect(gate.appends).toEqual([1, 1])
  })

  test('refuse on what the store has now, not on what was true before', async () => {
    const [here, there] = [createHandler(partsOf(store)), createHandler(partsOf(store))]
    const stream = freshTally()
    expect((await here.handle(tally, stream, spend(5), freshMeta())).ok).toBe(false)
    await there.handle(tally, stream, add(5), freshMeta())
    expect(await here.handle(tally, stream, spend(5), freshMeta())).toMatchObject({ok: true, state: {amount: 0}})
    await there.handle(tally, stream, add(1), freshMeta())
    expect(await here.handle(tally, stream, {type: 'Open', name: 'a'}, freshMeta())).toMatchObject({state: {amount: 1}})
  })

  test('load what the store has now, commands under way or not', async () => {
    const gate = gated(store)
    const [here, there] = [createHandler(partsOf(gate.store)), createHandler(partsOf(store))]
    const stream = freshTally()
    expect(await here.load(tally, stream)).toEqual({name: null, amount: 0})
    await there.handle(tally, stream, add(1), freshMeta())
    expect(await here.load(tally, stream)).toEqual({name: null, amount: 1})
    gate.shut()
    const waiting = here.handle(tally, stream, add(10), freshMeta())
    await there.handle(tally, stream, add(100), freshMeta())
    expect(await here.load(tally, stream)).toEqual({name: null, amount: 101})
    gate.open()
    expect((await waiting).state.amount).toBe(111)
  })

  test('that race with 60 commands each lose none and double none', async () => {
    const handlers = [createHandler(partsOf(store)), createHandler(partsOf(store))]
    const stream = freshTally()
    const races = Array.from({length: 60}, (_, index) =>
      handlers.map(handler => handler.handle(tally, stream, add(index + 1), freshMeta())),
    ).flat()
    await Promise.all(races)
    const written = await contentsOf(store, stream)
    expect(written).toHaveLength(120)
    for (let index = 1; index <= 60; index++) expect(written.filter(entry => entry === `+${index}`)).toHaveLength(2)
  })
})

describe('one command on two nodes at once', () => {
  test('is written once, and what was decided beside it is not lost', async () => {
    const gate = gated(store)
    const [here, there] = [createHandler(partsOf(gate.store)), createHandler(partsOf(store))]
    const stream = freshTally()
    const open = {type: 'Open', name: 'a'} as const
    const meta = freshMeta()
    await here.handle(tally, stream, add(1), freshMeta())
    gate.shut()
    const first = here.handle(tally, stream, add(2), freshMeta())
    await vi.waitUntil(() => gate.appends.length === 2)
    const beside = here.handle(tally, stream, add(3), freshMeta())
    const once = here.handle(tally, stream, open, meta)
    gate.open()
    gate.shut()
    await first
    await vi.waitUntil(() => gate.appends.length === 3)
    await there.handle(tally, stream, open, meta)
    gate.open()
    expect(await beside).toMatchObject({ok: true, events: [{type: 'Added'}]})
    expect(await once).toMatchObject({ok: true, state: {name: 'a'}})
    expect(await contentsOf(store, stream)).toEqual(['+1', '+2', 'opened', '+3'])
  })

  test('with other data is not taken for the one that was first', async () => {
    const gate = gated(store)
    const [here, there] = [createHandler(partsOf(gate.store)), createHandler(partsOf(store))]
    const stream = freshTally()
    const meta = freshMeta()
    await here.handle(tally, stream, add(1), freshMeta())
    gate.shut()
    const late = here.handle(tally, stream, {type: 'Open', name: 'here'}, meta)
    await there.handle(tally, stream, {type: 'Open', name: 'there'}, meta)
    gate.open()
    expect(await late).toMatchObject({ok: true, events: [], state: {name: 'there', amount: 1}})
    expect(await contentsOf(store, stream)).toEqual(['+1', 'opened'])
  })

  test('is answered with what was written, not with what this node would have written', async () => {
    const gate = gated(store)
    const [here, there] = [createHandler(partsOf(gate.store)), createHandler(partsOf(store))]
    const stream = freshTally()
    const meta = freshMeta()
    await here.handle(tally, stream, add(1), freshMeta())
    gate.shut()
    const late = here.handle(tally, stream, {type: 'Open', name: 'here'}, meta)
    await there.handle(tally, stream, add(1), freshMeta())
    await there.handle(tally, stream, {type: 'Open', name: 'there'}, meta)
    gate.open()
    expect(await late).toMatchObject({ok: true, events: [], state: {name: 'there', amount: 2}})
  })
})

describe('a stream that never stands still', () => {
  /** Somebody else writes just before every append or every read. */
  function restless(before: 'append' | 'readStream'): {store: EventStore; calls: number} {
    const busy = {store, calls: 0}
    const intrude = async (stream: string): Promise<void> => {
      busy.calls++
      await createHandler(partsOf(store)).handle(tally, stream, add(1), freshMeta())
    }
    busy.store = {
      ...store,
      async append(stream, expected, events) {
        if (before === 'append') await intrude(stream)
        return store.append(stream, expected, events)
      },
      async readStream(stream, options) {
        if (before === 'readStream') await intrude(stream)
        return store.readStream(stream, options)
      },
    }
    return busy
  }

  test('ends in TooManyConflicts after a bounded number of jittered tries, with nothing written', async () => {
    const busy = restless('append')
    const parts = partsOf(busy.store)
    const handler = createHandler(parts, {...defaultLimits, conflictRetriesMax: 3})
    const stream = freshTally()
    await expect(handler.handle(tally, stream, add(500), freshMeta())).rejects.toBeInstanceOf(TooManyConflicts)
    expect(busy.calls).toBe(4)
    expect(parts.waitsMs).toEqual([10, 20, 40])
    expect(await contentsOf(store, stream)).toEqual(['+1', '+1', '+1', '+1'])
  })

  test('is usable again once it stands still', async () => {
    let restlessStore = restless('append').store
    const switchable: EventStore = {...store, append: (...given) => restlessStore.append(...given)}
    const handler = createHandler(partsOf(switchable), {...defaultLimits, conflictRetriesMax: 1})
    const stream = freshTally()
    await expect(handler.handle(tally, stream, add(500), freshMeta())).rejects.toBeInstanceOf(TooManyConflicts)
    restlessStore = store
    expect(await handler.handle(tally, stream, spend(2), freshMeta())).toMatchObject({ok: true, state: {amount: 0}})
  })

  test('still gets its refusals, after one look', async () => {
    const busy = restless('readStream')
    const handler = createHandler(partsOf(busy.store))
    const stream = freshTally()
    expect((await handler.handle(tally, stream, spend(1_000), freshMeta())).ok).toBe(false)
    expect((await handler.handle(tally, stream, spend(1_000), freshMeta())).ok).toBe(false)
    expect(busy.calls).toBe(2)
  })
})
