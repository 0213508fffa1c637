import {randomBytes, randomUUID} from 'node:crypto'
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
  // Most sleeps are cut short. The platform's promised timer would make an error, with a stack, of each of those.
  sleep(ms, signal) {
    if (signal?.aborted === true) return Promise.resolve()
    const {promise, resolve} = Promise.withResolvers<void>()
    const wake = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', wake)
      resolve()
    }
    const timer = setTimeout(wake, ms)
    signal?.addEventListener('abort', wake, {once: true})
    return promise
  },
}

export const systemIds: IdSource = {uuid: () => randomUUID()}

export const systemRandom = (): number => Math.random()

export const systemRandomBytes = (count: number): Uint8Array => randomBytes(count)
