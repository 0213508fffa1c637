import {setTimeout as after} from 'node:timers/promises'
import {afterAll, beforeAll, expect, test} from 'vitest'
import type {UserId} from '../../src/kernel/ids.ts'
import {readLog} from './audit.ts'
import {createClient, type Client} from './client.ts'
import {withLog} from './closing.ts'
import {registerCustomers} from './customers.ts'
import {diceOf} from '../simulation/dice.ts'
import {crashNode, testClock, type CrashNode} from './nodes.ts'
import {startPark, type Park} from './park.ts'

const clock = testClock()
const minuteMs = 60_000
let park: Park
let node: CrashNode
let client: Client
let ann: UserId

beforeAll(async () => {
  park = await startPark({nowMs: () => clock.nowMs(), bootMs: 100})
  node = await crashNode({name: 'one', clock, parkUrl: park.url})
  await node.start()
  const report = (violation: string): never => {
    throw new Error(violation)
  }
  client = createClient({nodes: [node], clock, chance: () => 0, report, answerMsMax: minuteMs})
  const parts = {client, clock, dice: diceOf(1), count: 1, report}
  const [userId] = await registerCustomers(parts, AbortSignal.timeout(minuteMs))
  if (userId === undefined) throw new Error('nobody was registered')
  ann = userId
})
afterAll(async () => {
  await node.close()
  await park.close()
})

/** Stops the program, sends it something, and lets it go on after so long; answers what it said to that. */
async function sentWhileStopped<Value>(forMs: number, send: () => Promise<Value>): Promise<Value> {
  const pid = node.serving()?.pid ?? 0
  process.kill(pid, 'SIGSTOP')
  try {
    const answer = send()
    await after(forMs)
    process.kill(pid, 'SIGCONT')
    return await answer
  } finally {
    process.kill(pid, 'SIGCONT')
  }
}

const startMs = (Math.floor(clock.nowMs() / minuteMs) + 30 * 24 * 60) * minuteMs

function book(key: string): Promise<unknown> {
  const input = {serviceId: 'ENCH', realmId: 'EU', start: new Date(startMs).toISOString(), minutes: 10}
  const query = 'mutation ($input: BookInput!) { book(input: $input) { __typename } }'
  return client.ask(node, ann, query, {input: {idempotencyKey: key, ...input}})
}

function checkout(key: string): Promise<unknown> {
  const query = 'mutation ($input: StartCheckoutInput!) { startCheckout(input: $input) { __typename } }'
  return client.ask(node, ann, query, {input: {idempotencyKey: key, packId: 'pack-10h'}})
}

/** Whatever is written for the customer, in the order of the log. */
const writtenFor = async (userId: UserId): Promise<readonly string[]> =>
  withLog(node.dataFolder, async store =>
    (await readLog(store)).flatMap(({stream, type, data}) =>
      /^(Hours|Booking|Checkout)/.test(type) && JSON.stringify([stream, data]).includes(userId) ? [type] : [],
    ),
  )

test('what a program is stopped for a moment before reading is carried out', async () => {
  expect(await sentWhileStopped(1_000, () => checkout('a'))).toEqual({
    startCheckout: {__typename: 'StartCheckoutSuccess'},
  })
})

test('what it is stopped for too long before reading is not; who still waits is told to send it again', async () => {
  // One of them on the connection that is there, the others on some that are yet to be accepted, one after the other.
  const keys = Array.from({length: 200}, (_, number) => `c${number}`)
  const answers = sentWhileStopped(7_000, () => Promise.allSettled([book('b'), ...keys.map(checkout)]))
  for (const answer of await answers) {
    expect(answer).toMatchObject({status: 'rejected', reason: {message: expect.stringMatching(/CAME_TOO_LATE/)}})
    expect(answer).toMatchObject({reason: {message: expect.stringMatching(/"retryable":true/)}})
  }
  await node.serving()?.stop()
  expect(await writtenFor(ann)).toEqual(['HoursGranted', 'CheckoutStarted'])

  await node.start()
  expect(await book('b')).toEqual({book: {__typename: 'BookSuccess'}})
  expect(await checkout('c199')).toEqual({startCheckout: {__typename: 'StartCheckoutSuccess'}})
})
