import {randomUUID} from 'node:crypto'
import {afterAll, beforeAll, describe, expect, test} from 'vitest'

import {
  AppendTooLarge,
  type EventStore,
  type ExpectedRevision,
  StreamTombstoned,
  WrongExpectedRevision,
} from '../../src/event-store/port.ts'
import {freshStream, headOf, newEvent, newEvents, numbersOf} from '../support/store-events.ts'
import {subscriptionContract} from './event-store-subscriptions.ts'

export interface StoreRig {
  readonly store: EventStore
  stop(): Promise<void>
}

/** What every event store behind the port must keep, an embedded node and a real cluster alike. */
export function eventStoreContract(name: string, setUp: () => Promise<StoreRig>): void {
  describe(`event store contract: ${name}`, () => {
    let rig: StoreRig
    beforeAll(async () => {
      rig = await setUp()
    })
    afterAll(async () => {
      await rig.stop()
    })
    const store = (): EventStore => rig.store
    describe('appends', () => appendContract(store))
    describe('repeats', () => repeatContract(store))
    describe('reads', () => readContract(store))
    describe('deletes', () => deleteContract(store))
    describe('subscriptions', () => subscriptionContract(store))
  })
}

const refusalOf = async (promise: Promise<unknown>): Promise<unknown> => {
  try {
    return {accepted: await promise}
  } catch (error) {
    return error instanceof WrongExpectedRevision ? {actual: error.actual} : error
  }
}

function appendContract(store: () => EventStore): void {
  test('is ready', async () => {
    expect(await store().isReady()).toBe(true)
  })

  test('answers with the revision and the position of the last event', async () => {
    const stream = freshStream()
    const first = await store().append(stream, 'noStream', newEvents(1))
    const second = await store().append(stream, 0n, newEvents(3))
    const stored = await store().readStream(stream, {maxCount: 10})
    expect(first).toEqual({revision: 0n, position: stored?.[0]?.position})
    expect(second).toEqual({revision: 3n, position: stored?.[3]?.position})
    expect(second.position.commit).toBeGreaterThan(first.position.commit)
  })

  test('accepts each expectation where it holds and names the actual revision where it does not', async () => {
    const missing = freshStream()
    const one = freshStream()
    await store().append(one, 'any', newEvents(1))
    const attempt = (stream: string, expected: ExpectedRevision): Promise<unknown> =>
      refusalOf(store().append(stream, expected, newEvents(1)))

    expect(await attempt(missing, 0n)).toEqual({actual: null})
    expect(await attempt(missing, 'streamExists')).toEqual({actual: null})
    expect(await attempt(one, 'noStream')).toEqual({actual: 0n})
    expect(await attempt(one, 1n)).toEqual({actual: 0n})
    expect(await store().readStream(one, {maxCount: 10})).toHaveLength(1)
    expect(await store().readStream(missing, {maxCount: 10})).toBeNull()

    expect(await attempt(one, 0n)).toMatchObject({accepted: {revision: 1n}})
    expect(await attempt(one, 'streamExists')).toMatchObject({accepted: {revision: 2n}})
    expect(await attempt(one, 'any')).toMatchObject({accepted: {revision: 3n}})
    expect(await attempt(missing, 'noStream')).toMatchObject({accepted: {revision: 0n}})
    expect(await attempt(freshStream(), 'any')).toMatchObject({accepted: {revision: 0n}})
  })

  test('lets exactly one of many writers at the same revision through', async () => {
    const stream = freshStream()
    const outcomes = await Promise.all(
      Array.from({length: 50}, () => refusalOf(store().append(stream, 'noStream', newEvents(2)))),
    )
    expect(outcomes.filter(outcome => 'accepted' in (outcome as object))).toHaveLength(1)
    expect(outcomes.filter(outcome => 'actual' in (outcome as object))).toHaveLength(49)
    expect(await store().readStream(stream, {maxCount: 100})).toHaveLength(2)
  })

  test('keeps data and metadata as they were given', async () => {
    const stream = freshStream('žluťoučký kůň 🐎 %2F')
    const data = {text: 'žluťoučký 🐎 \u0000 " \\ \u2028 日本', nested: [{a: null, b: 1.5, c: true}], empty: {}}
    const metadata = {$correlationId: randomUUID(), $causationId: 'cause-1', at: '2030-01-01', actor: {name: 'Ünï'}}
    const event = {id: randomUUID(), type: 'Übertragen', data, metadata}
    const before = Date.now()
    const appended = await store().append(stream, 'noStream', [event])
    const stored = await store().readStream(stream, {maxCount: 1})
    const recordedAtMs = stored?.[0]?.recordedAtMs
    expect(stored).toEqual([{...event, stream, revision: 0n, position: appended.position, recordedAtMs}])
    // Another machine's clock may differ by some time, but not by a unit.
    expect(Math.abs((recordedAtMs ?? 0) - before)).toBeLessThan(3_600_000)
    expect((await store().readAll({from: appended.position, maxCount: 1}))[0]).toEqual(stored?.[0])
  })

  test('keeps JSON of every kind, not only objects', async () => {
    const stream = freshStream()
    const values = ['text', 17, null, [1, [2]], true, '']
    const events = values.map(data => ({...newEvent(0), data, metadata: {}}))
    await store().append(stream, 'noStream', events)
    const stored = await store().readStream(stream, {maxCount: 10})
    expect(stored?.map(event => event.data)).toEqual(values)
  })

  test('takes an append of nearly 1 MiB whole and refuses a larger one whole', async () => {
    const stream = freshStream()
    const large = (bytes: number) => ({...newEvent(0), data: {text: 'x'.repeat(bytes)}})
    await store().append(stream, 'noStream', [large(500_000), large(500_000)])
    const tooLarge = store().append(stream, 1n, [large(600_000), large(600_000)])
    await expect(tooLarge).rejects.toBeInstanceOf(AppendTooLarge)
    await expect(store().append(stream, 1n, [large(4_000_000)])).rejects.toBeInstanceOf(AppendTooLarge)
    expect(await store().readStream(stream, {maxCount: 10})).toHaveLength(2)
    expect(await store().append(stream, 1n, newEvents(1))).toMatchObject({revision: 2n})
  })

  test('refuses nonsense before it reaches the store', async () => {
    await expect(store().append('', 'any', newEvents(1))).rejects.toBeInstanceOf(TypeError)
    await expect(store().append(freshStream(), 'any', [])).rejects.toBeInstanceOf(TypeError)
    const notJson = {...newEvent(0), data: undefined}
    await expect(store().append(freshStream(), 'any', [notJson])).rejects.toBeInstanceOf(TypeError)
    await expect(store().readAll({maxCount: 0})).rejects.toBeInstanceOf(TypeError)
  })
}

function repeatContract(store: () => EventStore): void {
  const expectations: readonly (readonly [string, ExpectedRevision])[] = [
    ['noStream', 'noStream'],
    ['a revision', 1n],
    ['any', 'any'],
    ['streamExists', 'streamExists'],
  ]
  test.each(expectations)('a repeat at %s gets the original answer and stores nothing', async (_name, expected) => {
    const stream = freshStream()
    if (expected !== 'noStream') await store().append(stream, 'noStream', newEvents(2))
    const events = newEvents(2)
    const original = await store().append(stream, expected, events)
    const length = (await store().readStream(stream, {maxCount: 10}))?.length
    await store().append(stream, original.revision, newEvents(1))
    expect(await store().append(stream, expected, events)).toEqual(original)
    expect(await store().readStream(stream, {maxCount: 10})).toHaveLength((length ?? 0) + 1)
  })

  test('repeats sent together are stored once', async () => {
    const stream = freshStream()
    const events = newEvents(3)
    const answers = await Promise.all(Array.from({length: 20}, () => store().append(stream, 'noStream', events)))
    expect(new Set(answers.map(answer => answer.position.commit)).size).toBe(1)
    expect(await store().readStream(stream, {maxCount: 10})).toHaveLength(3)
  })

  test('an append that repeats only in part is a wrong revision', async () => {
    const stream = freshStream()
    const [first, second] = newEvents(2)
    if (first === undefined || second === undefined) throw new Error('no events')
    await store().append(stream, 'noStream', [first, second])
    for (const expected of ['noStream', 'any'] as const) {
      expect(await refusalOf(store().append(stream, expected, [first, newEvent(9)]))).toEqual({actual: 1n})
    }
    expect(await refusalOf(store().append(stream, 'noStream', [second]))).toEqual({actual: 1n})
    expect(await store().readStream(stream, {maxCount: 10})).toHaveLength(2)
  })

  test('the same event id in another stream is another event', async () => {
    const events = newEvents(1)
    const one = freshStream()
    const other = freshStream()
    const first = await store().append(one, 'any', events)
    const second = await store().append(other, 'any', events)
    expect(second.position.commit).toBeGreaterThan(first.position.commit)
    expect(await store().readStream(other, {maxCount: 10})).toHaveLength(1)
  })
}

function readContract(store: () => EventStore): void {
  test('reads a stream from either end and from any revision', async () => {
    const stream = freshStream()
    await store().append(stream, 'noStream', newEvents(10))
    const read = async (options: Omit<Parameters<EventStore['readStream']>[1], 'maxCount'>, maxCount = 3) =>
      numbersOf(await store().readStream(stream, {...options, maxCount}))
    expect(await read({})).toEqual([0, 1, 2])
    expect(await read({from: 'start'})).toEqual([0, 1, 2])
    expect(await read({from: 8n})).toEqual([8, 9])
    expect(await read({from: 10n})).toEqual([])
    expect(await read({direction: 'backwards'})).toEqual([9, 8, 7])
    expect(await read({direction: 'backwards', from: 'end'})).toEqual([9, 8, 7])
    expect(await read({direction: 'backwards', from: 1n})).toEqual([1, 0])
    expect(await read({direction: 'backwards', from: 99n})).toEqual([9, 8, 7])
    expect(await read({}, 100)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  test('reads a long stream whole and in order, from either end', async () => {
    const stream = freshStream()
    await store().append(stream, 'noStream', newEvents(700))
    await store().append(stream, 699n, newEvents(700))
    const forwards = await store().readStream(stream, {maxCount: 5000})
    const backwards = await store().readStream(stream, {direction: 'backwards', maxCount: 5000})
    expect(forwards?.map(event => event.revision)).toEqual(Array.from({length: 1400}, (_, index) => BigInt(index)))
    expect(backwards?.toReversed()).toEqual(forwards)
  })

  test('a stream that was never written to is null, in both directions', async () => {
    expect(await store().readStream(freshStream(), {maxCount: 1})).toBeNull()
    expect(await store().readStream(freshStream(), {direction: 'backwards', maxCount: 1})).toBeNull()
  })

  test('the whole log is in the order of the appends, inclusive forwards and exclusive backwards', async () => {
    const streams = [freshStream(), freshStream()] as const
    const positions = []
    for (let index = 0; index < 6; index++) {
      const expected = index < 2 ? 'noStream' : 'any'
      positions.push((await store().append(streams[index % 2] ?? '', expected, [newEvent(index)])).position)
    }
    const [first, second] = positions
    if (first === undefined || second === undefined) throw new Error('no positions')
    const mine = (events: Awaited<ReturnType<EventStore['readAll']>>) =>
      numbersOf(events.filter(event => streams.includes(event.stream)))
    expect(mine(await store().readAll({from: first, maxCount: 1000}))).toEqual([0, 1, 2, 3, 4, 5])
    expect(mine(await store().readAll({from: second, maxCount: 1000}))).toEqual([1, 2, 3, 4, 5])
    expect(mine(await store().readAll({direction: 'backwards', maxCount: 1000}))?.slice(0, 2)).toEqual([5, 4])
    const before = await store().readAll({direction: 'backwards', from: second, maxCount: 1})
    expect(before[0]?.position.commit).toBeLessThan(second.commit)
    expect(await store().readAll({from: 'end', maxCount: 10})).toEqual([])
  })

  test('the log is never empty and positions begin above zero', async () => {
    const [first] = await store().readAll({maxCount: 1})
    expect(first?.position.commit).toBeGreaterThanOrEqual(0n)
    expect((await headOf(store())).commit).toBeGreaterThan(0n)
  })
}

function deleteContract(store: () => EventStore): void {
  test('a soft-deleted stream reads as missing; a later append continues its numbering', async () => {
    const stream = freshStream()
    await store().append(stream, 'noStream', newEvents(3))
    await store().deleteStream(stream, 2n)
    expect(await store().readStream(stream, {maxCount: 10})).toBeNull()
    expect(await refusalOf(store().append(stream, 'streamExists', newEvents(1)))).toEqual({actual: null})
    expect(await store().append(stream, 'noStream', newEvents(2))).toMatchObject({revision: 4n})
    const revisions = (await store().readStream(stream, {maxCount: 10}))?.map(event => event.revision)
    expect(revisions).toEqual([3n, 4n])
    const backwards = await store().readStream(stream, {direction: 'backwards', maxCount: 10})
    expect(backwards?.map(event => event.revision)).toEqual([4n, 3n])
  })

  test('a delete expects a revision as an append does', async () => {
    const stream = freshStream()
    await store().append(stream, 'noStream', newEvents(2))
    expect(await refusalOf(store().deleteStream(stream, 0n))).toEqual({actual: 1n})
    expect(await refusalOf(store().tombstoneStream(stream, 5n))).toEqual({actual: 1n})
    expect(await refusalOf(store().deleteStream(freshStream(), 'any'))).toEqual({actual: null})
    expect(await refusalOf(store().deleteStream(freshStream(), 'streamExists'))).toEqual({actual: null})
    await store().deleteStream(stream, 'streamExists')
    expect(await store().readStream(stream, {maxCount: 10})).toBeNull()
  })

  test('a tombstoned stream is gone for ever', async () => {
    const stream = freshStream('gone %F0 ů')
    await store().append(stream, 'noStream', newEvents(1))
    await store().tombstoneStream(stream, 0n)
    for (const expected of ['any', 'noStream', 'streamExists', 0n] as const) {
      await expect(store().append(stream, expected, newEvents(1))).rejects.toBeInstanceOf(StreamTombstoned)
    }
    await expect(store().readStream(stream, {maxCount: 1})).rejects.toBeInstanceOf(StreamTombstoned)
    await expect(store().tombstoneStream(stream, 'any')).rejects.toBeInstanceOf(StreamTombstoned)
    await expect(store().deleteStream(stream, 'any')).rejects.toBeInstanceOf(StreamTombstoned)
  })
}
