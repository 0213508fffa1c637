import {once} from 'node:events'
import {afterAll, beforeAll, describe, expect, test} from 'vitest'
import {WebSocket} from 'ws'
import {createSubscriptions} from '../../src/graphql/subscriptions.ts'
import type {GraphqlParts} from '../../src/graphql/parts.ts'
import {startEngine, type TestEngine, type TestUser} from '../support/engine.ts'
import {authorization, book, mutate} from './support.ts'

// oxlint-disable-next-line typescript/no-explicit-any -- the tests look into answers of many shapes
type Result = any

/** Reads the results of a subscription one by one; `next` resolves with undefined at its end. */
interface Reader {
  next(): Promise<Result>
  close(): Promise<void>
}

async function overSse(engine: TestEngine, query: string, as: TestUser | string): Promise<Reader> {
  const cancelling = new AbortController()
  const response = await fetch(`${engine.url}/graphql`, {
    method: 'POST',
    headers: {'content-type': 'application/json', accept: 'text/event-stream', ...authorization(as)},
    body: JSON.stringify({query}),
    signal: cancelling.signal,
  })
  if (response.body === null) throw new Error('no stream')
  const chunks = response.body.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]()
  let text = ''
  const next = async (): Promise<Result> => {
    for (;;) {
      const end = text.indexOf('\n\n')
      if (end >= 0) {
        const block = text.slice(0, end)
        text = text.slice(end + 2)
        if (block.startsWith('event: complete')) return undefined
        if (block.startsWith('event: next')) return JSON.parse(block.slice(block.indexOf('data: ') + 6))
        continue
      }
      const chunk = await chunks.next()
      if (chunk.done === true) return undefined
      text += chunk.value
    }
  }
  return {
    next,
    async close() {
      cancelling.abort()
      await chunks.return?.().catch(() => undefined)
    },
  }
}

/** A `graphql-transport-ws` connection, acknowledged. */
async function connect(engine: TestEngine, options: {header?: TestUser; payload?: object} = {}) {
  const address = `${engine.url.replace('http', 'ws')}/graphql`
  const headers = options.header === undefined ? {} : authorization(options.header)
  const socket = new WebSocket(address, 'graphql-transport-ws', {headers})
  const messages: Result[] = []
  let wake = (): void => {}
  let closeCode: number | null = null
  socket.on('message', (data: Buffer) => {
    messages.push(JSON.parse(data.toString('utf8')))
    wake()
  })
  const closed = once(socket, 'close').then(([code]) => {
    closeCode = code as number
    wake()
    return closeCode
  })
  await once(socket, 'open')
  const send = (message: object): void => socket.send(JSON.stringify(message))
  /** The next message for an operation (null: for the connection); undefined once the socket is closed. */
  const read = async (id: string | null): Promise<Result> => {
    for (;;) {
      const index = messages.findIndex(message => (message.id ?? null) === id)
      if (index >= 0) return messages.splice(index, 1)[0]
      if (closeCode !== null) return undefined
      await new Promise<void>(resolve => {
        wake = resolve
      })
    }
  }
  send({type: 'connection_init', payload: options.payload})
  return {socket, send, read, closed, acknowledged: await read(null)}
}

async function overWebSocket(engine: TestEngine, query: string, as: TestUser): Promise<Reader> {
  const connection = await connect(engine, {payload: authorization(as)})
  connection.send({id: '1', type: 'subscribe', payload: {query}})
  return {
    async next() {
      const message = await connection.read('1')
      return message === undefined || message.type === 'complete' ? undefined : message.payload
    },
    async close() {
      connection.socket.close()
      await connection.closed
    },
  }
}

describe.each([
  ['server-sent events', overSse],
  ['graphql-ws', overWebSocket],
])('a subscription over %s', (_, open) => {
  let engine: TestEngine
  let ann: TestUser
  let ben: TestUser
  let operator: TestUser

  beforeAll(async () => {
    engine = await startEngine({limits: {perUserMax: 5}})
    ann = await engine.addUser('Ann')
    ben = await engine.addUser('Ben')
    operator = await engine.addUser('Otto', ['operator'])
    await engine.grant(ann, 6000)
    await engine.grant(ben, 6000)
  })
  afterAll(() => engine.stop())

  test('to the balance begins with the one of now and tells each change', async () => {
    const reader = await open(engine, 'subscription { balanceChanged { availableMinutes heldMinutes } }', ann)
    const first = (await reader.next()).data.balanceChanged
    expect(first).toEqual({availableMinutes: 6000, heldMinutes: 0})
    await book(engine, ann, {start: '2026-12-01T12:00:00Z'})
    expect((await reader.next()).data.balanceChanged).toEqual({availableMinutes: 5940, heldMinutes: 60})
    await reader.close()
  })

  test('to one booking tells its states, and ends with the reader', async () => {
    const {booking} = await book(engine, ann, {start: '2026-12-02T12:00:00Z'})
    const query = `subscription { bookingChanged(bookingId: "${booking.id}") { id status } }`
    const reader = await open(engine, query, ann)
    expect((await reader.next()).data.bookingChanged).toEqual({id: booking.id, status: 'CONFIRMED'})
    await mutate(engine, 'cancelBooking', {bookingId: booking.id}, ann)
    expect((await reader.next()).data.bookingChanged).toEqual({id: booking.id, status: 'CANCELLED'})
    await reader.close()
  })

  test('to bookings tells a customer of their own only, and an operator of all', async () => {
    const query = 'subscription { bookingChanged { status customer { displayName } } }'
    const [mine, all] = [await open(engine, query, ben), await open(engine, query, operator)]
    // There is no first message here: the readers are there once they are told of something.
    const balance = await open(engine, 'subscription { balanceChanged { heldMinutes } }', ben)
    await balance.next()
    await book(engine, ann, {start: '2026-12-03T12:00:00Z'})
    await book(engine, ben, {start: '2026-12-04T12:00:00Z'})
    expect((await mine.next()).data.bookingChanged).toEqual({status: 'CONFIRMED', customer: {displayName: 'Ben'}})
    expect((await all.next()).data.bookingChanged.customer).toEqual({displayName: 'Ann'})
    expect((await all.next()).data.bookingChanged.customer).toEqual({displayName: 'Ben'})
    for (const reader of [mine, all, balance]) await reader.close()
  })

  test('G21: to another’s booking is forbidden, and not told from one that does not exist', async () => {
    const {booking} = await book(engine, ann, {start: '2026-12-05T12:00:00Z'})
    const codes: unknown[] = []
    for (const id of [booking.id, 'Booking:nope']) {
      const reader = await open(engine, `subscription { bookingChanged(bookingId: "${id}") { id } }`, ben)
      const message = await reader.next()
      codes.push((message.errors ?? message)[0].extensions.code)
      await reader.close()
    }
    expect(codes).toEqual(['FORBIDDEN', 'FORBIDDEN'])
  })

  test('to machines is for operators', async () => {
    const refused = await open(engine, 'subscription { machineChanged { id } }', ann)
    const message = await refused.next()
    expect((message.errors ?? message)[0].extensions.code).toBe('FORBIDDEN')
    await refused.close()

    const reader = await open(engine, 'subscription { machineChanged { id name } }', operator)
    const balance = await open(engine, 'subscription { balanceChanged { heldMinutes } }', operator)
    await balance.next()
    const machine = {machineId: `m-${_.length}`, name: 'New', poolId: 'eu', serviceIds: ['ench']}
    await mutate(engine, 'registerMachine', {...machine, driver: {kind: 'simulated', config: {}}}, operator)
    expect((await reader.next()).data.machineChanged).toMatchObject({id: `Machine:${machine.machineId}`, name: 'New'})
    for (const each of [reader, balance]) await each.close()
  })

  test('ends when its roles are taken away', async () => {
    const temp = await engine.addUser(`Temp ${_}`, ['operator'])
    const owner = await engine.addUser('Olga', ['owner'])
    const reader = await open(engine, 'subscription { balanceChanged { heldMinutes } }', temp)
    await reader.next()
    await mutate(engine, 'changeRoles', {userId: temp.userId, roles: []}, owner)
    expect((await reader.next()).errors[0].extensions).toMatchObject({code: 'UNAUTHENTICATED'})
    expect(await reader.next()).toBeUndefined()
    await reader.close()
  })

  test('leaves nothing behind when the reader goes', async () => {
    const readers = await Promise.all(
      Array.from({length: 5}, () => open(engine, 'subscription { balanceChanged { heldMinutes } }', ben)),
    )
    for (const reader of readers) await reader.next()
    const refused = await open(engine, 'subscription { balanceChanged { heldMinutes } }', ben)
    const message = await refused.next()
    expect((message.errors ?? message)[0].extensions).toMatchObject({code: 'SUBSCRIPTION_LIMIT', retryable: true})
    for (const reader of [...readers, refused]) await reader.close()
    await expect
      .poll(async () => {
        const reader = await open(engine, 'subscription { balanceChanged { heldMinutes } }', ben)
        const first = await reader.next()
        await reader.close()
        return first.data?.balanceChanged ?? null
      })
      .not.toBeNull()
  })

  // Last but one: it moves the clock on.
  test('G22: ends when its token does', async () => {
    const reader = await open(engine, 'subscription { balanceChanged { heldMinutes } }', ann)
    await reader.next()
    engine.clock.advance(15 * 60_000)
    expect((await reader.next()).errors[0].extensions).toMatchObject({code: 'UNAUTHENTICATED'})
    expect(await reader.next()).toBeUndefined()
    await reader.close()
  })

  test('ends with a word when the node stops', async () => {
    const own = await startEngine({acting: false})
    const eve = await own.addUser('Eve')
    const reader = await open(own, 'subscription { balanceChanged { heldMinutes } }', eve)
    await reader.next()
    const stopped = own.stop()
    expect((await reader.next()).errors[0].extensions).toMatchObject({code: 'UNAVAILABLE', retryable: true})
    expect(await reader.next()).toBeUndefined()
    await stopped
  })
})

describe('over server-sent events', () => {
  test('a subscription without a token is refused, and with a bad one answered 401', async () => {
    const engine = await startEngine({acting: false})
    const query = 'subscription { balanceChanged { heldMinutes } }'
    const reader = await overSse(engine, query, 'nonsense')
    expect(await reader.next()).toBeUndefined()
    await reader.close()
    const response = await fetch(`${engine.url}/graphql`, {
      method: 'POST',
      headers: {'content-type': 'application/json', accept: 'text/event-stream'},
      body: JSON.stringify({query}),
    })
    expect(await response.text()).toContain('UNAUTHENTICATED')
    await engine.stop()
  })
})

describe('the WebSocket', () => {
  let engine: TestEngine
  let ann: TestUser
  beforeAll(async () => {
    engine = await startEngine({acting: false})
    ann = await engine.addUser('Ann')
  })
  afterAll(() => engine.stop())

  test('takes the token from the header of the upgrade as well, and answers queries', async () => {
    const {send, read, acknowledged, socket} = await connect(engine, {header: ann})
    expect(acknowledged).toEqual({type: 'connection_ack'})
    send({id: 'q', type: 'subscribe', payload: {query: '{ viewer { displayName } }'}})
    expect(await read('q')).toMatchObject({type: 'next', payload: {data: {viewer: {displayName: 'Ann'}}}})
    expect(await read('q')).toEqual({id: 'q', type: 'complete'})
    socket.close()
  })

  test.each([
    ['no token', undefined],
    ['a bad token', {authorization: 'Bearer nonsense'}],
    ['a token that is no text', {authorization: {toString: 1}}],
  ])('with %s is closed as unauthorized', async (_, payload) => {
    const {closed} = await connect(engine, payload === undefined ? {} : {payload})
    expect(await closed).toBe(4401)
  })

  test('with a bad token in the upgrade is not even opened', async () => {
    const address = `${engine.url.replace('http', 'ws')}/graphql`
    const socket = new WebSocket(address, 'graphql-transport-ws', {headers: {authorization: 'Bearer nonsense'}})
    const [error] = (await once(socket, 'error')) as [Error]
    expect(error.message).toContain('401')
  })

  test('at another address is refused', async () => {
    const socket = new WebSocket(`${engine.url.replace('http', 'ws')}/elsewhere`)
    const [error] = (await once(socket, 'error')) as [Error]
    expect(error.message).toContain('404')
  })

  test.each([
    ['text that is no JSON', 'nonsense', 4400],
    ['a message of no known type', '{"type":"shout"}', 4400],
    ['a second init', '{"type":"connection_init"}', 4429],
    [
      'a message of more than 128 KB',
      `{"id":"x","type":"subscribe","payload":{"query":"${'x'.repeat(140_000)}"}}`,
      1009,
    ],
  ])('is closed after %s', async (_, message, code) => {
    const {socket, closed} = await connect(engine, {payload: authorization(ann)})
    socket.send(message)
    expect(await closed).toBe(code)
  })

  test('holds to the same limits as HTTP, and masks the same', async () => {
    const {send, read, socket} = await connect(engine, {payload: authorization(ann)})
    const codeOf = async (id: string, query: string) => {
      send({id, type: 'subscribe', payload: {query}})
      const {payload} = await read(id)
      return (payload.errors ?? payload)[0].extensions.code
    }
    const aliases = Array.from({length: 101}, (_, i) => `a${i}: __typename`).join(' ')
    expect(await codeOf('a', `{ ${aliases} }`)).toBe('ALIAS_LIMIT')
    expect(await codeOf('b', '{ __schema { queryType { name } } }')).toBe('INTROSPECTION_OFF')
    expect(await codeOf('c', '{ bookings(first: 101) { edges { cursor } } }')).toBe('BAD_INPUT')
    expect(await codeOf('d', '{ nonsense')).toBe('SYNTAX_ERROR')
    expect(await codeOf('e', '{ machines { edges { cursor } } }')).toBe('FORBIDDEN')
    expect(await codeOf('f', '{ node(id: "Booking:nope") { id } }')).toBe('NOT_FOUND')
    socket.close()
  })

  test('takes at most 50 operations at once', async () => {
    const {send, read, socket} = await connect(engine, {payload: authorization(ann)})
    const query = 'subscription { balanceChanged { heldMinutes } }'
    for (let id = 0; id < 50; id++) send({id: `s${id}`, type: 'subscribe', payload: {query}})
    for (let id = 0; id < 50; id++) expect((await read(`s${id}`)).type).toBe('next')
    send({id: 'more', type: 'subscribe', payload: {query}})
    expect((await read('more')).payload[0].extensions).toMatchObject({code: 'OPERATION_LIMIT', retryable: true})
    send({id: 's0', type: 'complete'})
    await expect
      .poll(async () => {
        send({id: 'again', type: 'subscribe', payload: {query}})
        const {type} = await read('again')
        return type
      })
      .toBe('next')
    socket.close()
  })
})

describe('a subscriber that does not read', () => {
  const parts = (pendingMax: number) => {
    let publish: (batch: readonly never[]) => void = () => {}
    const stub = {
      clock: {now: () => '2026-11-21T10:00:00.000Z', monotonicMs: () => 0},
      timers: {
        sleep: (_ms: number, signal?: AbortSignal) =>
          signal === undefined ? Promise.resolve() : once(signal, 'abort'),
      },
      queries: {agenda: {booking: () => ({user_id: 'ann'})}},
      limits: {pendingMax},
      onBatch(listener: typeof publish) {
        publish = listener
        return () => {}
      },
    }
    return {stub: stub as unknown as GraphqlParts, publish: (...events: object[]) => publish(events as never[])}
  }
  const changed = (bookingId: string) => ({
    event: {type: 'BookingStarted', data: {bookingId}},
    stream: `booking-${bookingId}`,
  })
  const context = {caller: {userId: 'ann', roles: [], requestId: 'r'}, expiresAt: '2026-11-21T11:00:00.000Z'} as never

  test('is told the newest state once, however often it changed', async () => {
    const {stub, publish} = parts(2)
    const subscriptions = createSubscriptions(stub)
    const changes = subscriptions.open(context, 'booking:user:ann')
    for (let count = 0; count < 1000; count++) publish(changed('b1'), changed('b2'))
    expect([await changes.next(), await changes.next()]).toEqual([
      {done: false, value: {id: 'b1', end: null}},
      {done: false, value: {id: 'b2', end: null}},
    ])
    await changes.return(undefined)
    expect(subscriptions.count()).toBe(0)
    await subscriptions.close()
  })

  test('is dropped with a clear error once too much waits for it, and holds nobody up', async () => {
    const {stub, publish} = parts(1000)
    const subscriptions = createSubscriptions(stub)
    const slow = subscriptions.open(context, 'booking:user:ann')
    const quick = subscriptions.open(context, 'booking:all')
    for (let count = 0; count < 1001; count++) {
      publish(changed(`b${count}`))
      expect((await quick.next()).value?.id).toBe(`b${count}`)
    }
    const last = await slow.next()
    expect(last.value?.end?.answer).toMatchObject({code: 'TOO_SLOW', status: 429})
    expect((await slow.next()).done).toBe(true)
    expect(subscriptions.count()).toBe(1)
    await subscriptions.close()
  })
})
