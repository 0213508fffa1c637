import {EventEmitter} from 'node:events'
import {Duplex} from 'node:stream'
import {afterEach, beforeEach, expect, test} from 'vitest'
import {watchArrivals, type Arrivals} from '../../src/http/arrivals.ts'
import {at} from '../support/given.ts'
import {handClock, turn, type HandClock} from '../support/hand-clock.ts'

const backlog = 5
let hand: HandClock
let server: EventEmitter
let arrivals: Arrivals
beforeEach(() => {
  hand = handClock(at('10:00'))
  server = new EventEmitter()
  arrivals = watchArrivals({...hand, server: server as never, backlog})
})
afterEach(() => arrivals.close())

/** Time passes at an event loop that has nothing to do. */
async function pass(ms: number): Promise<void> {
  const untilMs = hand.elapsedMs() + ms
  for (let next = hand.nextWakeMs(); next !== null && next <= untilMs; next = hand.nextWakeMs()) {
    hand.moveTo(next)
    await rounds(4)
  }
  hand.moveTo(untilMs)
}

async function rounds(count: number): Promise<void> {
  for (let round = 0; round < count; round++) await turn()
}

function accept(): Duplex {
  const connection = new Duplex()
  server.emit('connection', connection)
  return connection
}

/** Accepts so many connections, one in each round; answers since when each may have waited. */
async function acceptEach(count: number): Promise<number[]> {
  const earliestMs: number[] = []
  for (let number = 0; number < count; number++) {
    earliestMs.push(arrivals.earliestMs(accept()))
    hand.moveTo(hand.elapsedMs() + 1)
    await turn()
  }
  return earliestMs
}

test('what is read arrived within the last tenth of a second', async () => {
  const connection = accept()
  await pass(60_000)
  expect(arrivals.earliestMs(connection)).toBe(60_000)
  await pass(99)
  expect(arrivals.earliestMs(connection)).toBe(60_000)
  expect(arrivals.earliestMs(accept())).toBe(60_000)
})

test('what is read after standing still may have arrived before that, until a whole round has read all', async () => {
  const connection = accept()
  await pass(1_000)
  hand.moveTo(11_000)
  // The loop reads its sockets before its timers; a round that began earlier may have been cut in two.
  expect(arrivals.earliestMs(connection)).toBe(1_000)
  await turn()
  expect(arrivals.earliestMs(connection)).toBe(1_000)
  await rounds(2)
  expect(arrivals.earliestMs(connection)).toBe(11_000)
})

test('whoever is accepted after standing still may have waited for it, until nobody is accepted in a round', async () => {
  await pass(1_000)
  hand.moveTo(11_000)
  expect(await acceptEach(backlog)).toEqual([1_000, 1_000, 1_000, 1_000, 1_000])
  await rounds(2)
  expect(arrivals.earliestMs(accept())).toBeGreaterThanOrEqual(11_000)
})

test('a connection that waited is an old one no more when all that came with it is read', async () => {
  await pass(1_000)
  hand.moveTo(11_000)
  const connection = accept()
  hand.moveTo(11_001)
  await turn()
  expect(arrivals.earliestMs(connection)).toBe(1_000)
  await turn()
  expect(arrivals.earliestMs(connection)).toBe(11_001)
})

test('no more than can wait are taken for those that waited, though somebody is accepted in every round', async () => {
  await pass(1_000)
  hand.moveTo(11_000)
  const waited = Array.from({length: backlog + 1}, () => 1_000)
  expect(await acceptEach(backlog + 4)).toEqual([...waited, 11_000, 11_001, 11_002])
})

test('a connection that is closed at once, being one too many, was accepted all the same', async () => {
  await pass(1_000)
  hand.moveTo(11_000)
  for (let number = 0; number < 3; number++) {
    server.emit('drop', {})
    await turn()
  }
  expect(arrivals.earliestMs(accept())).toBe(1_000)
})

test('the wall clock does not matter', async () => {
  const connection = accept()
  await pass(1_000)
  hand.jumpWall(3_600_000)
  await pass(100)
  expect(arrivals.earliestMs(connection)).toBe(1_100)
})

test('nothing is waited for any more when it is closed', async () => {
  await pass(1_000)
  await arrivals.close()
  expect(hand.nextWakeMs()).toBeNull()
})
