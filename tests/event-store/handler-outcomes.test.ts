import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import {defaultLimits} from '../../src/event-store/command.ts'
import {createHandler} from '../../src/event-store/handler.ts'
import {OutcomeUnknown, StoreUnavailable, WrongExpectedRevision, type EventStore} from '../../src/event-store/port.ts'
import {startTestStore, type TestStore} from '../support/store.ts'
import {add, contentsOf, freshMeta, freshTally, partsOf, spend, tally} from './tally.ts'

let rig: TestStore
let store: EventStore
beforeAll(async () => {
  rig = await startTestStore()
  store = rig.store
})
afterAll(() => rig.stop())

type Fault = 'conflict' | 'lost request' | 'lost answer' | 'lost answer, then another writer' | 'unavailable'

/** Appends meet these faults, one each, and then none. */
function faulty(...faults: Fault[]): {readonly store: EventStore; readonly appends: () => number} {
  let appends = 0
  return {
    appends: () => appends,
    store: {
      ...store,
      async append(stream, expected, events) {
        appends++
        const fault = faults.shift()
        if (fault === undefined) return store.append(stream, expected, events)
        if (fault === 'conflict') throw new WrongExpectedRevision(stream, null)
        if (fault === 'unavailable') throw new StoreUnavailable('no connection')
        if (fault !== 'lost request') await store.append(stream, expected, events)
        if (fault === 'lost answer, then another writer') {
          await createHandler(partsOf(store)).handle(tally, stream, add(1), freshMeta())
        }
        throw new OutcomeUnknown('no answer')
      },
    },
  }
}

describe('an append whose outcome is unknown', () => {
  test.each<[string, Fault[]]>([
    ['it had not arrived', ['lost request']],
    ['it had arrived', ['lost answer']],
    ['it did not arrive three times', ['lost request', 'lost request', 'lost request']],
    ['it arrived and every answer was lost', ['lost answer', 'lost answer', 'lost answer']],
    ['it arrived at the second try', ['lost request', 'lost answer']],
    ['the store went away in between', ['lost answer', 'unavailable', 'unavailable']],
    ['the store went away in between and nothing had arrived', ['lost request', 'unavailable']],
  ])('is repeated until it is known, and written once: %s', async (_case, faults) => {
    const {store: unreliable} = faulty(...faults)
    const handler = createHandler(partsOf(unreliable))
    const stream = freshTally()
    await createHandler(partsOf(store)).handle(tally, stream, add(1), freshMeta())
    const handled = await handler.handle(tally, stream, add(5), freshMeta())
    expect(handled).toMatchObject({ok: true, events: [{type: 'Added', data: {amount: 5}}], state: {amount: 6}})
    expect(await contentsOf(store, stream)).toEqual(['+1', '+5'])
    expect(await handler.handle(tally, stream, spend(6), freshMeta())).toMatchObject({ok: true, state: {amount: 0}})
    expect(await contentsOf(store, stream)).toEqual(['+1', '+5', '-6'])
  })

  test.each<[string, Fault[]]>([
    ['the store knows the repeat', ['lost answer, then another writer']],
    ['the store takes the repeat for a conflict', ['lost answer, then another writer', 'conflict']],
  ])('finds its own events when somebody else wrote after it: %s', async (_case, faults) => {
    const {store: unreliable} = faulty(...faults)
    const handler = createHandler(partsOf(unreliable))
    const stream = freshTally()
    const handled = await handler.handle(tally, stream, add(5), freshMeta())
    const [own] = (await store.readStream(stream, {maxCount: 1})) ?? []
    expect(handled).toMatchObject({ok: true, events: [{type: 'Added'}], commit: own?.position.commit})
    expect(await contentsOf(store, stream)).toEqual(['+5', '+1'])
    expect(await handler.load(tally, stream)).toEqual({name: null, amount: 6})
    expect(await handler.handle(tally, stream, spend(6), freshMeta())).toMatchObject({ok: true, state: {amount: 0}})
  })

  test('finds its own events also when somebody loads the stream meanwhile', async () => {
    const stream = freshTally()
    const {store: unreliable} = faulty('lost answer, then another writer', 'conflict')
    const handler = createHandler({
      ...partsOf(unreliable),
      timers: {
        sleep: async () => {
          await handler.load(tally, stream)
        },
      },
    })
    await handler.handle(tally, stream, add(5), freshMeta())
    expect(await contentsOf(store, stream)).toEqual(['+5', '+1'])
  })

  test('is given up on after a bounded number of tries, and is still unknown', async () => {
    const faults = Array.from<Fault>({length: 4}).fill('lost request')
    const unreliable = faulty(...faults)
    const handler = createHandler(partsOf(unreliable.store), {...defaultLimits, unknownRetriesMax: 3})
    await expect(handler.handle(tally, freshTally(), add(5), freshMeta())).rejects.toBeInstanceOf(OutcomeUnknown)
    expect(unreliable.appends()).toBe(4)
  })

  test.each<Fault>(['lost request', 'lost answer'])(
    'stays unknown when the store is gone after it: %s',
    async fault => {
      const faults: Fault[] = [fault, 'unavailable', 'unavailable', 'unavailable']
      const handler = createHandler(partsOf(faulty(...faults).store), {...defaultLimits, unknownRetriesMax: 3})
      await expect(handler.handle(tally, freshTally(), add(5), freshMeta())).rejects.toBeInstanceOf(OutcomeUnknown)
    },
  )

  test('stays unknown when the store cannot be asked what became of it', async () => {
    const {store: unreliable} = faulty('lost answer, then another writer', 'conflict')
    let asked = 0
    const mute: EventStore = {
      ...unreliable,
      async readStream(stream, options) {
        if (++asked > 1) throw new StoreUnavailable('no connection')
        return unreliable.readStream(stream, options)
      },
    }
    const handler = createHandler(partsOf(mute))
    await expect(handler.handle(tally, freshTally(), add(5), freshMeta())).rejects.toBeInstanceOf(OutcomeUnknown)
  })

  test('repeated later with the same command id is written once', async () => {
    const stream = freshTally()
    const meta = freshMeta()
    const open = {type: 'Open', name: 'a'} as const
    const limits = {...defaultLimits, unknownRetriesMax: 0}
    const handler = createHandler(partsOf(faulty('lost answer').store), limits)
    await expect(handler.handle(tally, stream, open, meta)).rejects.toBeInstanceOf(OutcomeUnknown)
    expect(await handler.handle(tally, stream, open, meta)).toMatchObject({ok: true, state: {name: 'a'}})
    expect(await contentsOf(store, stream)).toEqual(['opened'])
  })

  test('on a stream thought to be new is written once as well', async () => {
    const stream = freshTally()
    const handler = createHandler(partsOf(faulty('lost answer', 'lost answer').store))
    await handler.handle(tally, stream, {type: 'Open', name: 'a'}, freshMeta(), {isNew: true})
    expect(await contentsOf(store, stream)).toEqual(['opened'])
    expect(await handler.load(tally, stream)).toEqual({name: 'a', amount: 0})
  })
})

describe('a store that cannot be reached', () => {
  test('is told at once, for nothing was written', async () => {
    const unreliable = faulty('unavailable')
    const handler = createHandler(partsOf(unreliable.store))
    const stream = freshTally()
    await expect(handler.handle(tally, stream, add(5), freshMeta())).rejects.toBeInstanceOf(StoreUnavailable)
    expect(unreliable.appends()).toBe(1)
    expect(await handler.handle(tally, stream, add(6), freshMeta())).toMatchObject({ok: true, state: {amount: 6}})
  })
})
