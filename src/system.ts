import {randomBytes, randomUUID} from 'node:crypto'
import {setTimeout as after} from 'node:timers/promises'
import type {IdSource} from './kernel/ids.ts'
import {instantFromMs, type Clock, type Timers} from './kernel/time.ts'

let lastMs = 0
let last = instantFromMs(0)

/** The real clock, timers and chance of this machine. Everything else gets them handed in. */
export const systemClock: Clock = {
  now() {
    const ms = Date.now()
    // Asked for many times within one millisecond; writing an instant costs more than reading the clock.
    if (ms !== lastMs) {
      last = instantFromMs(ms)
      lastMs = ms
    }
    return last
  },
  monotonicMs: () => performance.now(),
}

export const systemTimers: Timers = {
  async sleep(ms, signal) {
    try {
      await after(ms, undefined, signal === undefined ? {} : {signal})
    } catch (error) {
      if (signal?.aborted !== true) throw error
    }
  },
}

export const systemIds: IdSource = {uuid: () => randomUUID()}

export const systemRandom = (): number => Math.random()

export const systemRandomBytes = (count: number): Uint8Array => randomBytes(count)
