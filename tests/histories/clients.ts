/** Clients that all want the same few things at once, each waiting for its answer before it asks for the next. */
import type {Dice} from '../simulation/dice.ts'
import {bookingIdOf, type Door} from './door.ts'
import type {Answer, Booked, Call, Recorder} from './history.ts'

export interface Scene {
  readonly accounts: readonly string[]
  readonly pools: readonly string[]
  /** Whole hours; bookings begin in the day from here on. */
  readonly fromMs: number
  /** Not every door knows how to load the store's own state. */
  readonly loads: boolean
}

export interface Crowd {
  readonly scene: Scene
  readonly doors: () => readonly Door[]
  readonly recorder: Recorder
  readonly dice: Dice
  /** Of the idempotency keys: never used before on this store. */
  readonly keyPrefix: string
  readonly clients: number
  readonly callsEach: number
  /** Waits so many milliseconds, of whatever time it is. */
  readonly pause: (ms: number) => Promise<void>
}

/** Of so many tries of one call the last one is given up: it stays open. */
const triesMax = 6
const pauseMsMax = 40
const retryMsMax = 400
const bookingsRemembered = 30

interface Memory {
  readonly bookings: Booked[]
  keys: number
}

/** Runs the clients until each has made its calls. */
export async function runCrowd(crowd: Crowd): Promise<void> {
  const memory: Memory = {bookings: [], keys: 0}
  const live = async (client: number): Promise<void> => {
    let position: bigint | null = null
    for (let calls = 0; calls < crowd.callsEach; calls++) {
      const answered = await callOnce(crowd, memory, client, position)
      // Positions only grow: a client keeps the furthest it has heard of.
      if (answered !== null && (position === null || answered > position)) position = answered
      await crowd.pause(crowd.dice.below(pauseMsMax))
    }
  }
  await Promise.all(Array.from({length: crowd.clients}, (_, client) => live(client)))
}

/** Asks until there is an answer, at whatever node is open, under one key. */
async function callOnce(crowd: Crowd, memory: Memory, client: number, position: bigint | null): Promise<bigint | null> {
  const {dice, recorder} = crowd
  const key = `${crowd.keyPrefix}${memory.keys++}`
  const call = chooseCall(crowd, memory, key)
  const answer = recorder.call(client, call)
  for (let tries = 0; tries < triesMax; tries++) {
    const door = dice.pick(crowd.doors().filter(each => each.isOpen()))
    const answered = await door?.ask(call, key, position)
    if (door !== undefined && answered !== undefined && answered !== null) {
      answer(door.node, answered.answer, answered.position !== null)
      remember(memory, call, answered.answer)
      return answered.position
    }
    // Some people do not ask twice.
    if (dice.chance(0.2)) return null
    await crowd.pause(dice.below(retryMsMax))
  }
  return null
}

function remember({bookings}: Memory, call: Call, answer: Answer): void {
  if (call.type !== 'book' || answer.type !== 'booked') return
  const {bookingId, account, pool, startMs, minutes} = call
  bookings.push({bookingId, account, pool, startMs, minutes})
  if (bookings.length > bookingsRemembered) bookings.shift()
}

const hourMs = 3_600_000

function chooseCall({dice, scene}: Crowd, memory: Memory, key: string): Call {
  const account = dice.pick(scene.accounts) ?? ''
  const pool = dice.pick(scene.pools) ?? ''
  const booking = dice.pick(memory.bookings)
  const kind = dice.below(100)
  if (kind < 38) {
    // On the half hour, so that bookings touch, overlap, and leave gaps that are just too small.
    const startMs = scene.fromMs + dice.below(40) * (hourMs / 2)
    const minutes = 60 * (1 + dice.below(3))
    return {type: 'book', key, bookingId: bookingIdOf(account, key), account, pool, startMs, minutes}
  }
  if (kind < 62 && booking !== undefined) return {type: 'cancel', key, booking}
  if (kind < 68) return {type: 'grant', account, minutes: 60 * (1 + dice.below(4))}
  if (kind < 74 && scene.loads) return {type: 'load', account}
  if (kind < 80 && booking !== undefined) return {type: 'booking', booking}
  if (kind < 88) {
    const fromMs = scene.fromMs + dice.below(20) * hourMs
    const window = {fromMs, toMs: fromMs + 3 * hourMs, minutes: 60 * (1 + dice.below(2))}
    return {type: 'slots', account, pool, window}
  }
  return {type: 'balance', account}
}
