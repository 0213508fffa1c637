import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import {CameTooLate, type CommandMeta, type HandlerParts} from '../../src/event-store/command.ts'
import {createHandler} from '../../src/event-store/handler.ts'
import {OutcomeUnknown, type EventStore} from '../../src/event-store/port.ts'
import {turn} from '../support/hand-clock.ts'
import {startTestStore, type TestStore} from '../support/store.ts'
import {add, contentsOf, freshMeta, freshTally, gated, partsOf, spend, tally} from './tally.ts'

let rig: TestStore
let store: EventStore
beforeAll(async () => {
  rig = await startTestStore()
  store = rig.store
})
afterAll(() => rig.stop())

const arrivedAtMs = 1_000
const lastMomentMs = arrivedAtMs + 5_000
const asked = (): CommandMeta => ({...freshMeta(), arrivedAtMs})

/** A node whose monotonic clock the test sets. */
function nodeAt(nowMs: number, through = store) {
  const time = {nowMs}
  const parts: HandlerParts = {...partsOf(through), clock: {...partsOf(store).clock, monotonicMs: () => time.nowMs}}
  return {time, parts, handler: createHandler(parts)}
}

describe('a command that somebody waits for', () => {
  test('is decided until five seconds after it arrived', async () => {
    const stream = freshTally()
    const {handler} = nodeAt(lastMomentMs)
    expect(await handler.handle(tally, stream, add(5), asked())).toMatchObject({ok: true, state: {amount: 5}})
    expect(await handler.handle(tally, stream, spend(6), asked())).toMatchObject({ok: false})
  })

  test('is not decided later: nothing is written, and it is not refused either', async () => {
    const stream = freshTally()
    const {handler, time} = nodeAt(lastMomentMs + 1)
    await expect(handler.handle(tally, stream, add(5), asked())).rejects.toBeInstanceOf(CameTooLate)
    await expect(handler.handle(tally, stream, spend(5), asked())).rejects.toBeInstanceOf(CameTooLate)
    expect(await contentsOf(store, stream)).toEqual([])
    const again = {...asked(), arrivedAtMs: time.nowMs}
    expect(await handler.handle(tally, stream, add(5), again)).toMatchObject({ok: true, state: {amount: 5}})
  })

  test('is not decided later even where it was done before: who asks again is told', async () => {
    const stream = freshTally()
    const {handler, time} = nodeAt(arrivedAtMs)
    const open = {type: 'Open', name: 'a'} as const
    const meta = asked()
    await handler.handle(tally, stream, open, meta)
    time.nowMs = lastMomentMs + 1
    await expect(handler.handle(tally, stream, open, meta)).rejects.toBeInstanceOf(CameTooLate)
    const again = {...meta, arrivedAtMs: time.nowMs}
    expect(await handler.handle(tally, stream, open, again)).toMatchObject({ok: true, events: []})
    expect(await contentsOf(store, stream)).toEqual(['opened'])
  })

  test('that came too late leaves those that are decided with it alone', async () => {
    const gate = gated(store)
    const stream = freshTally()
    const {handler, time} = nodeAt(lastMomentMs, gate.store)
    gate.shut()
    const first = handler.handle(tally, stream, add(1), asked())
    while (gate.appends.length === 0) await turn()
    time.nowMs = lastMomentMs + 1
    const waiting = [
      handler.handle(tally, stream, add(10), asked()),
      handler.handle(tally, stream, add(100), {...asked(), arrivedAtMs: lastMomentMs}),
      handler.handle(tally, stream, spend(50), asked()),
      handler.handle(tally, stream, spend(50), freshMeta()),
    ]
    gate.open()
    expect(await first).toMatchObject({ok: true})
    const ended = await Promise.allSettled(waiting)
    expect(ended.map(({status}) => status)).toEqual(['rejected', 'fulfilled', 'rejected', 'fulfilled'])
    expect(await contentsOf(store, stream)).toEqual(['+1', '+100', '-50'])
  })

  test('is not decided again after a conflict when it has become too late', async () => {
    const stream = freshTally()
    const there = createHandler(partsOf(store))
    const {handler, time} = nodeAt(arrivedAtMs, {
      ...store,
      async append(...given) {
        time.nowMs = lastMomentMs + 1
        await there.handle(tally, stream, add(1), freshMeta())
        return store.append(...given)
      },
    })
    await expect(handler.handle(tally, stream, add(5), asked())).rejects.toBeInstanceOf(CameTooLate)
    expect(await contentsOf(store, stream)).toEqual(['+1'])
  })

  test.each([
    ['refused', spend(5)],
    ['accepted', {type: 'Open', name: 'a'} as const],
  ])('is not %s when the store took too long to tell what there is', async (_what, command) => {
    const stream = freshTally()
    await createHandler(partsOf(store)).handle(tally, stream, {type: 'Open', name: 'a'}, freshMeta())
    const {handler, time} = nodeAt(arrivedAtMs, {
      ...store,
      readStream(...given) {
        if (isSlow) time.nowMs = lastMomentMs + 1
        return store.readStream(...given)
      },
    })
    let isSlow = false
    await handler.load(tally, stream)
    isSlow = true
    await expect(handler.handle(tally, stream, command, asked())).rejects.toBeInstanceOf(CameTooLate)
  })

  test('was written in time when the answer of the store was lost, however long it takes to find out', async () => {
    const stream = freshTally()
    let appends = 0
    const {handler, time} = nodeAt(arrivedAtMs, {
      ...store,
      async append(...given) {
        const written = await store.append(...given)
        time.nowMs += 10_000
        if (++appends < 3) throw new OutcomeUnknown('no answer')
        return written
      },
    })
    expect(await handler.handle(tally, stream, add(5), asked())).toMatchObject({ok: true, state: {amount: 5}})
    expect(await contentsOf(store, stream)).toEqual(['+5'])
  })
})

test('a command that nobody waits for is carried out at any time', async () => {
  const stream = freshTally()
  const {handler} = nodeAt(1_000_000_000)
  expect(await handler.handle(tally, stream, add(5), freshMeta())).toMatchObject({ok: true, state: {amount: 5}})
})

test('when it arrived is in no event', async () => {
  const stream = freshTally()
  const {handler} = nodeAt(arrivedAtMs)
  await handler.handle(tally, stream, add(5), asked())
  const [event] = (await store.readStream(stream, {maxCount: 1})) ?? []
  const known = ['$causationId', '$correlationId', 'actor', 'at', 'version']
  expect(Object.keys(event?.metadata as object).toSorted()).toEqual(known)
})

test('what is decided only while something lasts is not decided once it is over, be it while the stream is read', async () => {
  const stream = freshTally()
  let isHeld = true
  const losing: EventStore = {
    ...store,
    async readStream(name, options) {
      const page = await store.readStream(name, options)
      isHeld = false
      return page
    },
  }
  const {handler} = nodeAt(0, losing)
  const meta: CommandMeta = {...freshMeta(), onlyWhile: () => isHeld}
  await expect(handler.handle(tally, stream, add(5), meta)).rejects.toBeInstanceOf(CameTooLate)
  expect(await contentsOf(store, stream)).toEqual([])
  isHeld = true
  expect(await handler.handle(tally, stream, add(5), meta)).toMatchObject({ok: true, state: {amount: 5}})
})
