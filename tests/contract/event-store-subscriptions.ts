import {expect, test} from 'vitest'

import {type AllMessage, type EventStore, type RecordedEvent, StreamTombstoned} from '../../src/event-store/port.ts'
import {eventsOf, followUntil, freshStream, headOf, newEvent, newEvents, numbersOf} from '../support/store-events.ts'

/** What every event store must keep of its subscriptions. Other streams of the store do not matter. */
export function subscriptionContract(store: () => EventStore): void {
  const isCaughtUp = (message: AllMessage): boolean => message.type === 'caughtUp'
  const isEventOf =
    (stream: string, revision: bigint) =>
    (message: AllMessage): boolean =>
      message.type === 'event' && message.event.stream === stream && message.event.revision === revision

  test('delivers what was stored, says that it has caught up, then delivers what is stored next', async () => {
    const after = await headOf(store())
    const stream = freshStream()
    await store().append(stream, 'noStream', newEvents(3))
    const seen: string[] = []
    const abort = new AbortController()
    let live: Promise<unknown> = Promise.resolve()
    for await (const message of store().subscribeToAll({after, signal: abort.signal})) {
      if (message.type === 'caughtUp') {
        seen.push('caughtUp')
        live = store().append(stream, 2n, newEvents(2))
      } else if (message.type === 'event' && message.event.stream === stream) {
        seen.push(String(message.event.revision))
        if (message.event.revision === 4n) abort.abort()
      }
    }
    await live
    expect(seen).toEqual(['0', '1', '2', 'caughtUp', '3', '4'])
  })

  test('delivers each event once and in order while many are appended around the moment of catching up', async () => {
    const after = await headOf(store())
    const streams = Array.from({length: 8}, () => freshStream())
    const mine = (name: string): boolean => streams.includes(name)
    const perStream = 100
    const write = async (stream: string): Promise<void> => {
      for (let index = 0; index < perStream; index++) await store().append(stream, 'any', [newEvent(index)])
    }
    const last = freshStream()
    const writing = Promise.all(streams.map(write)).then(() => store().append(last, 'noStream', newEvents(1)))
    // One after another, so that several catch up at different moments of the writing.
    const followers: Promise<readonly AllMessage[]>[] = []
    for (const stream of streams.slice(0, 4)) {
      followers.push(followUntil(store(), {after}, isEventOf(last, 0n)))
      await followUntil(store(), {after}, isEventOf(stream, BigInt(20 * followers.length)))
    }
    await writing
    const expected = (await store().readAll({from: after, maxCount: 10_000})).filter(event => mine(event.stream))
    expect(expected).toHaveLength(8 * perStream)
    for (const messages of await Promise.all(followers)) expect(eventsOf(messages, mine)).toEqual(expected)
  })

  test('resumes after every position without gap or repeat', async () => {
    const start = await headOf(store())
    const stream = freshStream()
    await store().append(stream, 'noStream', newEvents(5))
    await store().append(stream, 4n, newEvents(5))
    const all = await store().readStream(stream, {maxCount: 100})
    const positions = [start, ...(all ?? []).map(event => event.position)]
    for (const [index, after] of positions.slice(0, -1).entries()) {
      const messages = await followUntil(store(), {after}, isEventOf(stream, 9n))
      expect(eventsOf(messages, name => name === stream)).toEqual(all?.slice(index))
    }
  })

  test('resumes from each checkpoint with exactly what came after it', async () => {
    const after = await headOf(store())
    const stream = freshStream()
    const last = freshStream()
    await store().append(stream, 'noStream', [
      ...newEvents(300, '$hidden'),
      ...newEvents(5),
      ...newEvents(300, '$hidden'),
    ])
    await store().append(last, 'noStream', newEvents(1))
    const messages = await followUntil(store(), {after}, isEventOf(last, 0n))
    const mine = (name: string): boolean => name === stream || name === last
    const isCheckpoint = (message: AllMessage) => message.type === 'checkpoint'
    expect(messages.filter(isCheckpoint).length).toBeGreaterThanOrEqual(2)
    expect(eventsOf(messages, mine)).toHaveLength(6)
    for (const [index, message] of messages.entries()) {
      if (message.type !== 'checkpoint') continue
      const again = await followUntil(store(), {after: message.position}, isEventOf(last, 0n))
      expect(eventsOf(again, mine)).toEqual(eventsOf(messages.slice(index), mine))
    }
  })

  test('checkpoints and events rise strictly, whatever passes the filter', async () => {
    const after = await headOf(store())
    const stream = freshStream()
    for (let round = 0; round < 5; round++) {
      await store().append(stream, 'any', [...newEvents(150, '$hidden'), ...newEvents(20)])
    }
    const messages = await followUntil(store(), {after}, isCaughtUp)
    const commits = messages.flatMap(message => {
      if (message.type === 'caughtUp') return []
      return [message.type === 'event' ? message.event.position.commit : message.position.commit]
    })
    expect(commits.length).toBeGreaterThan(100)
    for (const [index, commit] of commits.entries()) {
      const isRepeat = messages[index]?.type === 'checkpoint' && commit === commits[index - 1]
      if (index > 0 && !isRepeat) expect(commit).toBeGreaterThan(commits[index - 1] ?? 0n)
    }
  })

  test('leaves out system events unless they are asked for', async () => {
    const after = await headOf(store())
    const stream = freshStream()
    await store().append(stream, 'noStream', [newEvent(0, '$system'), newEvent(1)])
    const mine = (name: string): boolean => name === stream
    const without = await followUntil(store(), {after}, isEventOf(stream, 1n))
    const withThem = await followUntil(store(), {after, excludeSystemEvents: false}, isEventOf(stream, 1n))
    expect(numbersOf(eventsOf(without, mine))).toEqual([1])
    expect(numbersOf(eventsOf(withThem, mine))).toEqual([0, 1])
  })

  test('a reader that takes its time misses nothing', async () => {
    const after = await headOf(store())
    const stream = freshStream()
    const abort = new AbortController()
    const seen: RecordedEvent[] = []
    let appended = 0n
    for await (const message of store().subscribeToAll({after, signal: abort.signal})) {
      // Nothing is pulled while this goes on, and each round stores more than the client buffers.
      if (message.type === 'caughtUp' || (message.type === 'event' && message.event.revision % 100n === 50n)) {
        if (appended < 1000n) appended = (await store().append(stream, 'any', newEvents(200))).revision
      }
      if (message.type !== 'event' || message.event.stream !== stream) continue
      seen.push(message.event)
      if (message.event.revision === 999n) abort.abort()
    }
    expect(seen.map(event => event.revision)).toEqual(Array.from({length: 1000}, (_, index) => BigInt(index)))
  })

  test('ends quietly when it is aborted, before, while and after it waits', async () => {
    const none = await Array.fromAsync(store().subscribeToAll({signal: AbortSignal.abort()}))
    expect(none).toEqual([])
    const abort = new AbortController()
    const following = store().subscribeToAll({after: await headOf(store()), signal: abort.signal})
    const iterator = following[Symbol.asyncIterator]()
    expect(await iterator.next()).toMatchObject({done: false})
    const waiting = iterator.next()
    abort.abort()
    expect(await waiting).toMatchObject({done: true})
    expect(await iterator.next()).toMatchObject({done: true})
  })

  test('follows one stream from its start, from a revision, and before it exists', async () => {
    const stream = freshStream()
    const abort = new AbortController()
    const {signal} = abort
    const follow = async (after: bigint | null): Promise<readonly bigint[]> => {
      const revisions: bigint[] = []
      for await (const event of store().subscribeToStream(stream, after === null ? {signal} : {after, signal})) {
        revisions.push(event.revision)
        if (event.revision === 5n) break
      }
      return revisions
    }
    const early = follow(null)
    await store().append(stream, 'noStream', newEvents(3))
    const later = follow(1n)
    await store().append(stream, 2n, newEvents(3))
    expect(await early).toEqual([0n, 1n, 2n, 3n, 4n, 5n])
    expect(await later).toEqual([2n, 3n, 4n, 5n])
    expect(await follow(4n)).toEqual([5n])
    abort.abort()
  })

  test('a subscription to a stream ends with an error when the stream is tombstoned', async () => {
    const stream = freshStream()
    await store().append(stream, 'noStream', newEvents(1))
    const {signal} = new AbortController()
    const follow = async (): Promise<void> => {
      for await (const event of store().subscribeToStream(stream, {signal})) {
        if (event.revision === 0n) await store().tombstoneStream(stream, 'any')
      }
    }
    await expect(follow()).rejects.toBeInstanceOf(StreamTombstoned)
    await expect(follow()).rejects.toBeInstanceOf(StreamTombstoned)
  })
}
