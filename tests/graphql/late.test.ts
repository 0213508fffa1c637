import {createClient} from 'graphql-ws'
import {afterAll, afterEach, beforeAll, describe, expect, test} from 'vitest'
import {WebSocket} from 'ws'
import {startEngine, type TestEngine, type TestUser} from '../support/engine.ts'
import {ask, authorization, faultOf} from './support.ts'

describe('a request that may have waited so long that nobody waits for its answer', () => {
  let engine: TestEngine
  let ann: TestUser
  /** How long ago what is read now may have arrived. */
  let waitedMs = 0

  beforeAll(async () => {
    engine = await startEngine({
      acting: false,
      wrapParts: parts => ({
        ...parts,
        arrivedAtMs: connection => parts.arrivedAtMs(connection) - waitedMs,
      }),
    })
    ann = await engine.addUser('Ann')
  })
  afterEach(() => {
    waitedMs = 0
  })
  afterAll(() => engine.stop())

  const query = 'mutation ($input: StartCheckoutInput!) { startCheckout(input: $input) { __typename } }'
  const checkout = (key: string) => ({input: {idempotencyKey: key, packId: 'pack-10h'}})
  const done = {data: {startCheckout: {__typename: 'StartCheckoutSuccess'}}}
  const tooLate = {code: 'CAME_TOO_LATE', retryable: true}
  const checkouts = async (): Promise<number> => {
    await engine.settled()
    const {body} = await ask(engine, '{ viewer { purchases(first: 100) { edges { cursor } } } }', {as: ann})
    return body.data.viewer.purchases.edges.length
  }

  test('is told to send it again, and nothing is written; the same key works afterwards', async () => {
    const before = await checkouts()
    waitedMs = 6_000
    const reply = await ask(engine, query, {as: ann, variables: checkout('k')})
    expect(faultOf(reply)).toMatchObject({status: 503, ...tooLate, hasRequestId: true})
    expect(reply.body.errors[0].message).toBe(
      'It took too long to get to this. Nothing was written: send it again as it was.',
    )
    waitedMs = 0
    expect(await checkouts()).toBe(before)
    expect((await ask(engine, query, {as: ann, variables: checkout('k')})).body).toEqual(done)
    expect(await checkouts()).toBe(before + 1)
  })

  test('that did not wait that long is carried out', async () => {
    waitedMs = 3_000
    expect((await ask(engine, query, {as: ann, variables: checkout('in time')})).body).toEqual(done)
  })

  test('that only reads is answered', async () => {
    waitedMs = 60_000
    const {body} = await ask(engine, '{ viewer { displayName } }', {as: ann})
    expect(body).toEqual({data: {viewer: {displayName: 'Ann'}}})
  })

  test('is answered the same over a WebSocket', async () => {
    const client = createClient({
      url: `${engine.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: authorization(ann),
      lazy: false,
    })
    const send = async (key: string) => {
      const {value} = await client.iterate({query, variables: checkout(key)}).next()
      return value
    }
    expect(await send('over a socket')).toMatchObject(done)
    waitedMs = 6_000
    expect(await send('over a socket, late')).toMatchObject({errors: [{extensions: tooLate}]})
    waitedMs = 0
    expect(await send('over a socket, late')).toMatchObject(done)
    await client.dispose()
  })

  test('to sign in leaves the link as it was', async () => {
    const token = await engine.engine.people.ownerSignIn()
    const redeem = () =>
      fetch(`${engine.url}/sign-in`, {
        method: 'POST',
        headers: {'content-type': 'application/json'},
        body: JSON.stringify({token}),
      })
    waitedMs = 6_000
    const refused = await redeem()
    expect({status: refused.status, body: await refused.json()}).toMatchObject({status: 503, body: tooLate})
    waitedMs = 0
    expect((await redeem()).status).toBe(200)
  })
})
