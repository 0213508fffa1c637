import {afterEach, beforeEach, describe, expect, test} from 'vitest'

import {connectEventStore} from '../../src/event-store/esdb.ts'
import {type EventStore, OutcomeUnknown, type Position, StoreUnavailable} from '../../src/event-store/port.ts'
import {startTestStore, type TestStore} from '../support/store.ts'
import {freshStream, newEvent, newEvents} from '../support/store-events.ts'
import {startTcpProxy, type TcpProxy} from '../support/tcp-proxy.ts'

/** The store as seen through a connection that fails on purpose. A rejection that nobody handles fails the run. */
describe('a connection that fails', () => {
  let real: TestStore
  let proxy: TcpProxy
  let store: EventStore

  beforeEach(async () => {
    real = await startTestStore()
    proxy = await startTcpProxy(() => real.node.port)
    store = connectEventStore(`esdb://127.0.0.1:${proxy.port}?tls=false`, {writeTimeoutMs: 1000, readTimeoutMs: 1000})
  })
  afterEach(async () => {
    await store.close()
    await proxy.close()
    await real.stop()
  })

  test('a store that cannot be reached is unavailable, and the same connection serves once it can', async () => {
    const {port} = proxy
    await proxy.close()
    const stream = freshStream()
    await expect(store.append(stream, 'noStream', newEvents(1))).rejects.toBeInstanceOf(StoreUnavailable)
    await expect(store.readStream(stream, {maxCount: 1})).rejects.toBeInstanceOf(StoreUnavailable)
    await expect(store.deleteStream(stream, 'any')).rejects.toBeInstanceOf(StoreUnavailable)
    expect(await store.isReady()).toBe(false)
    proxy = await startTcpProxy(() => real.node.port, port)
    await untilReady(store)
    expect(await store.append(stream, 'noStream', newEvents(1))).toMatchObject({revision: 0n})
  })

  test('a reply that does not come leaves the outcome unknown, and the repeat finds what was stored', async () => {
    const stream = freshStream()
    await store.append(freshStream(), 'noStream', newEvents(1))
    const events = newEvents(2)
    proxy.hold('replies')
    await expect(store.append(stream, 'noStream', events)).rejects.toBeInstanceOf(OutcomeUnknown)
    expect(await real.store.readStream(stream, {maxCount: 10})).toHaveLength(2)
    // The late replies arrive now, for appends that nobody waits for any more.
    proxy.release()
    expect(await repeated(() => store.append(stream, 'noStream', events))).toMatchObject({revision: 1n})
    expect(await real.store.readStream(stream, {maxCount: 10})).toHaveLength(2)
  })

  test('a request that does not arrive leaves the outcome unknown, and the repeat stores it once', async () => {
    const stream = freshStream()
    await store.append(freshStream(), 'noStream', newEvents(1))
    const events = newEvents(2)
    proxy.hold('requests')
    await expect(store.append(stream, 'noStream', events)).rejects.toBeInstanceOf(OutcomeUnknown)
    expect(await real.store.readStream(stream, {maxCount: 10})).toBeNull()
    proxy.cut()
    proxy.release()
    expect(await repeated(() => store.append(stream, 'noStream', events))).toMatchObject({revision: 1n})
    expect(await real.store.readStream(stream, {maxCount: 10})).toHaveLength(2)
  })

  test('a connection cut in the middle of many appends loses none that was acknowledged and stores none twice', async () => {
    const streams = Array.from({length: 64}, () => freshStream())
    let appended = 0
    const write = async (stream: string): Promise<void> => {
      for (let number = 0; number < 15; number++) {
        const events = [newEvent(number)]
        const expected = number === 0 ? 'noStream' : BigInt(number - 1)
        const answer = await repeated(() => store.append(stream, expected, events))
        expect(answer.revision).toBe(BigInt(number))
        if (++appended % 150 === 0) proxy.cut()
      }
    }
    await Promise.all(streams.map(write))
    for (const stream of streams) {
      const stored = await real.store.readStream(stream, {maxCount: 100})
      expect(stored?.map(event => event.data)).toEqual(Array.from({length: 15}, (_, number) => ({number})))
    }
  })

  test('a read or a subscription that stays silent or is cut is unavailable', async () => {
    await store.append('held', 'noStream', newEvents(1))
    proxy.hold('replies')
    await expect(store.readStream('held', {maxCount: 1})).rejects.toBeInstanceOf(StoreUnavailable)
    expect(await store.isReady()).toBe(false)
    proxy.release()
    await untilReady(store)
    const {signal} = new AbortController()
    const follow = async (): Promise<void> => {
      for await (const message of store.subscribeToAll({signal})) if (message.type === 'caughtUp') proxy.cut()
    }
    await expect(follow()).rejects.toBeInstanceOf(StoreUnavailable)
  })

  test('a subscription cut anywhere resumes after the last event without gap or repeat', async () => {
    const stream = freshStream()
    await real.store.append(stream, 'noStream', newEvents(400))
    const expected = await real.store.readStream(stream, {maxCount: 1000})
    for (let cutAfter = 500; cutAfter < 100_000; cutAfter += 7919) {
      await untilReady(store)
      proxy.cutAfterReplyBytes(cutAfter)
      expect(await followResuming(store, stream, expected?.length ?? 0)).toEqual(expected)
    }
  })

  test('what is in flight when the store closes ends, and nothing begins after it', async () => {
    await store.append(freshStream(), 'noStream', newEvents(1))
    proxy.hold('replies')
    const pending = store.append(freshStream(), 'noStream', newEvents(1))
    const refused = expect(pending).rejects.toBeInstanceOf(OutcomeUnknown)
    const {signal} = new AbortController()
    const following = expect(Array.fromAsync(store.subscribeToAll({signal}))).rejects.toBeInstanceOf(StoreUnavailable)
    await store.close()
    await refused
    await following
    await expect(Array.fromAsync(store.subscribeToAll({signal}))).rejects.toBeInstanceOf(StoreUnavailable)
    await expect(store.append(freshStream(), 'any', newEvents(1))).rejects.toBeInstanceOf(StoreUnavailable)
    await expect(store.readAll({maxCount: 1})).rejects.toBeInstanceOf(StoreUnavailable)
    expect(await store.isReady()).toBe(false)
  })

  test('a failure of one store in the process costs another no more than a repeat, and its late replies no harm', async () => {
    const otherProxy = await startTcpProxy(() => real.node.port)
    const other = connectEventStore(`esdb://127.0.0.1:${otherProxy.port}?tls=false`)
    await store.append(freshStream(), 'noStream', newEvents(1))
    await other.append(freshStream(), 'noStream', newEvents(1))
    otherProxy.hold('replies')
    const stream = freshStream()
    const events = newEvents(1)
    const mine = store.append(freshStream(), 'noStream', newEvents(1))
    const others = other.append(stream, 'noStream', events)
    proxy.cut()
    const outcomes = await Promise.allSettled([mine, others])
    expect(outcomes.map(outcome => outcome.status)).toEqual(['rejected', 'rejected'])
    await untilStored(real.store, stream)
    otherProxy.release()
    expect(await repeated(() => other.append(stream, 'noStream', events))).toMatchObject({revision: 0n})
    await other.close()
    await otherProxy.close()
  })

  test('a connection cut while many large appends wait to be sent ends each of them', async () => {
    await store.append(freshStream(), 'noStream', newEvents(1))
    proxy.hold('requests')
    const large = (): Promise<unknown> =>
      store.append(freshStream(), 'noStream', [{...newEvent(0), data: 'x'.repeat(300_000)}])
    const pending = Promise.allSettled(Array.from({length: 100}, large))
    proxy.cut()
    const outcomes = await pending
    expect(outcomes.every(outcome => outcome.status === 'rejected' && outcome.reason instanceof OutcomeUnknown)).toBe(
      true,
    )
    proxy.release()
    await untilReady(store)
    expect(await repeated(() => store.append('after', 'any', newEvents(1)))).toMatchObject({revision: 0n})
  })
})

async function untilStored(store: EventStore, stream: string): Promise<void> {
  const {signal} = new AbortController()
  for await (const event of store.subscribeToStream(stream, {signal})) if (event.revision === 0n) return
}

/** The rule for unknown outcomes: the same events at the same expectation, until there is an answer. */
async function repeated<Answer>(attempt: () => Promise<Answer>): Promise<Answer> {
  for (let attempts = 0; attempts < 50; attempts++) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof OutcomeUnknown) && !(error instanceof StoreUnavailable)) throw error
    }
  }
  throw new Error('no answer after 50 attempts')
}

async function untilReady(store: EventStore): Promise<void> {
  await repeated(async () => {
    if (!(await store.isReady())) throw new StoreUnavailable('not yet')
  })
}

/** Follows $all across lost connections; answers the events of one stream. */
async function followResuming(store: EventStore, stream: string, count: number): Promise<readonly unknown[]> {
  const seen: unknown[] = []
  let after: Position | null = null
  const abort = new AbortController()
  await repeated(async () => {
    for await (const message of store.subscribeToAll({...(after === null ? {} : {after}), signal: abort.signal})) {
      if (message.type === 'checkpoint') after = message.position
      if (message.type !== 'event') continue
      after = message.event.position
      if (message.event.stream === stream) seen.push(message.event)
      if (seen.length === count) abort.abort()
    }
  })
  return seen
}
