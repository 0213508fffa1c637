import {afterAll, beforeAll, describe, expect, test, vi} from 'vitest'
import {defaultLimits} from '../../src/event-store/command.ts'
import {createHandler} from '../../src/event-store/handler.ts'
import {QueueFull} from '../../src/event-store/command.ts'
import {AppendTooLarge, type EventStore} from '../../src/event-store/port.ts'
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

const amountAnd = (name: string | null, amount: number): {name: string | null; amount: number} => ({name, amount})

describe('a command', () => {
  test('is answered with its events, the state they lead to and where the log has them', async () => {
    const handler = createHandler(partsOf(store))
    const stream = freshTally()
    const handled = await handler.handle(tally, stream, add(5), freshMeta())
    const [recorded] = (await store.readStream(stream, {maxCount: 1})) ?? []
    expect(handled).toEqual({
      ok: true,
      events: [{type: 'Added', data: {amount: 5, note: ''}}],
      state: amountAnd(null, 5),
      commit: recorded?.position.commit,
      reached: recorded?.position.commit,
    })
  })

  test('leaves who did it, when and why beside its events', async () => {
    const stream = freshTally()
    const meta = freshMeta()
    await createHandler(partsOf(store)).handle(tally, stream, add(5), meta)
    const [recorded] = (await store.readStream(stream, {maxCount: 1})) ?? []
    expect(recorded?.metadata).toEqual({
      $correlationId: 'c',
      $causationId: meta.commandId,
      actor: {type: 'process', name: 'test'},
      at: '2026-11-21T10:00:00.000Z',
      version: 1,
    })
  })

  test('of a person that comes again writes nothing, whatever came after it, and whichever node it comes to', async () => {
    const stream = freshTally()
    const first = createHandler(partsOf(store))
    const person = {type: 'user', userId: idOf<'User'>('somebody')} as const
    const [late, other] = [freshMeta(), freshMeta()].map(meta => ({...meta, actor: person}))
    if (late === undefined || other === undefined) throw new Error('no commands')
    await first.handle(tally, stream, add(5), late)
    await first.handle(tally, stream, add(7), other)
    for (const handler of [first, createHandler(partsOf(store))]) {
      const both = [handler.handle(tally, stream, add(5), late), handler.handle(tally, stream, add(1), freshMeta())]
      const [again] = await Promise.all(both)
      expect(again).toMatchObject({ok: true, events: [], commit: null})
    }
    expect(await contentsOf(store, stream)).toEqual(['+5', '+7', '+1', '+1'])
  })

  test('that is refused writes nothing', async () => {
    const stream = freshTally()
    const handled = await createHandler(partsOf(store)).handle(tally, stream, spend(1), freshMeta())
    expect(handled).toEqual({
      ok: false,
      refusal: {type: 'TooLittle', amount: 0},
      state: amountAnd(null, 0),
      reached: null,
    })
    expect(await store.readStream(stream, {maxCount: 1})).toBeNull()
  })

  test('that is refused says how far it has looked, be it what another node wrote', async () => {
    const [here, there] = [createHandler(partsOf(store)), createHandler(partsOf(store))]
    const stream = freshTally()
    await here.handle(tally, stream, add(1), freshMeta())
    const last = await there.handle(tally, stream, add(1), freshMeta())
    const refused = await here.handle(tally, stream, spend(3), freshMeta())
    expect(refused).toMatchObject({ok: false, reached: last.reached})
    expect(last.reached).toBe((await store.readStream(stream, {from: 1n, maxCount: 1}))?.[0]?.position.commit)
  })

  test('that is fulfilled already writes nothing, and says where it was', async () => {
    const handler = createHandler(partsOf(store))
    const stream = freshTally()
    const {reached} = await handler.handle(tally, stream, {type: 'Open', name: 'a'}, freshMeta())
    const again = await handler.handle(tally, stream, {type: 'Open', name: 'b'}, freshMeta())
    expect(again).toEqual({ok: true, events: [], state: amountAnd('a', 0), commit: null, reached})
    expect(await contentsOf(store, stream)).toEqual(['opened'])
  })
})

describe('commands that come while an append runs', () => {
  test('are decided together, go in one append, and each gets its own answer', async () => {
    const gate = gated(store)
    const handler = createHandler(partsOf(gate.store))
    const stream = freshTally()
    await handler.handle(tally, stream, add(10), freshMeta())
    gate.shut()
    const first = handler.handle(tally, stream, spend(4), freshMeta())
    await vi.waitUntil(() => gate.appends.length === 2)
    const others = [4, 4, 2, 1].map(amount => handler.handle(tally, stream, spend(amount), freshMeta()))
    gate.open()
    expect((await Promise.all([first, ...others])).map(({ok, state}) => [ok, state.amount])).toEqual([
      [true, 6],
      [true, 2],
      [false, 2],
      [true, 0],
      [false, 0],
    ])
    expect(gate.appends).toEqual([1, 1, 2])
    expect(await contentsOf(store, stream)).toEqual(['+10', '-4', '-4', '-2'])
  })

  test('are decided in batches of a bounded size', async () => {
    const gate = gated(store)
    const handler = createHandler(partsOf(gate.store), {...defaultLimits, batchMax: 2})
    const stream = freshTally()
    gate.shut()
    const answers = [1, 2, 3, 4, 5, 6].map(amount => handler.handle(tally, stream, add(amount), freshMeta()))
    gate.open()
    await Promise.all(answers)
    expect(gate.appends).toEqual([1, 2, 2, 1])
    expect(await contentsOf(store, stream)).toEqual(['+1', '+2', '+3', '+4', '+5', '+6'])
  })

  test('are turned away when too many wait, and the others are answered', async () => {
    const gate = gated(store)
    const handler = createHandler(partsOf(gate.store), {...defaultLimits, queueMax: 3})
    const stream = freshTally()
    gate.shut()
    const answers = [1, 2, 3, 4].map(amount => handler.handle(tally, stream, add(amount), freshMeta()))
    await expect(handler.handle(tally, stream, add(5), freshMeta())).rejects.toBeInstanceOf(QueueFull)
    gate.open()
    await Promise.all(answers)
    expect(await contentsOf(store, stream)).toEqual(['+1', '+2', '+3', '+4'])
    expect((await handler.handle(tally, stream, add(6), freshMeta())).ok).toBe(true)
  })

  test('are not harmed by one whose decision throws', async () => {
    const gate = gated(store)
    const handler = createHandler(partsOf(gate.store))
    const stream = freshTally()
    gate.shut()
    const first = handler.handle(tally, stream, add(1), freshMeta())
    const second = handler.handle(tally, stream, add(2), freshMeta())
    const broken = handler.handle(tally, stream, {type: 'Explode'}, freshMeta())
    const third = handler.handle(tally, stream, add(3), freshMeta())
    gate.open()
    await expect(broken).rejects.toThrow('boom')
    expect((await Promise.all([first, second, third])).map(({state}) => state.amount)).toEqual([1, 3, 6])
    expect(gate.appends).toEqual([1, 2])
  })

  test('are not harmed by one whose events do not fit their declared shape', async () => {
    const handler = createHandler(partsOf(store))
    const stream = freshTally()
    const answers = [add(1), add(0.5), add(2)].map(command => handler.handle(tally, stream, command, freshMeta()))
    await expect(answers[1]).rejects.toThrow(/Added.*amount/)
    await Promise.all([answers[0], answers[2]])
    expect(await contentsOf(store, stream)).toEqual(['+1', '+2'])
  })

  test('go in several appends when they are too large for one', async () => {
    const gate = gated(store)
    const handler = createHandler(partsOf(gate.store))
    const stream = freshTally()
    gate.shut()
    const [large, tooLarge] = ['x'.repeat(400_000), 'x'.repeat(1_100_000)]
    const answers = [add(1), add(2, large), add(3, large), add(4, large), add(5)].map(command =>
      handler.handle(tally, stream, command, freshMeta()),
    )
    const refused = handler.handle(tally, stream, add(6, tooLarge), freshMeta())
    gate.open()
    await expect(refused).rejects.toBeInstanceOf(AppendTooLarge)
    await Promise.all(answers)
    expect(await contentsOf(store, stream)).toEqual(['+1', '+2', '+3', '+4', '+5'])
    expect((await handler.handle(tally, stream, spend(15), freshMeta())).ok).toBe(true)
  })
})
