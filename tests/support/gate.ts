import {DriverError, type MachineDriver} from '../../src/drivers/port.ts'
import type {EventStore} from '../../src/event-store/port.ts'
import type {Timers} from '../../src/kernel/time.ts'

/** While it is closed, nobody gets past: the answers of calls and the ends of sleeps come when it is opened again. */
export interface Gate {
  close(): void
  open(): void
  pass(): Promise<void>
  /** How many came to it while it was closed, since it was last open. */
  waiting(): number
}

export function openGate(): Gate {
  let closed: PromiseWithResolvers<void> | null = null
  let waiting = 0
  return {
    close() {
      closed ??= Promise.withResolvers()
    },
    open() {
      closed?.resolve()
      closed = null
      waiting = 0
    },
    pass() {
      if (closed === null) return Promise.resolve()
      waiting++
      return closed.promise
    },
    waiting: () => waiting,
  }
}

export function gatedTimers(timers: Timers, gate: Gate): Timers {
  return {
    async sleep(ms, signal) {
      await timers.sleep(ms, signal)
      await gate.pass()
    },
  }
}

export function gatedStore(store: EventStore, gate: Gate): EventStore {
  const late = async <Value>(call: () => Promise<Value>): Promise<Value> => {
    await gate.pass()
    try {
      return await call()
    } finally {
      await gate.pass()
    }
  }
  return {
    ...store,
    append: (stream, expected, events) => late(() => store.append(stream, expected, events)),
    readStream: (stream, options) => late(() => store.readStream(stream, options)),
    readAll: options => late(() => store.readAll(options)),
  }
}

/** Only reads of the whole log are held up. */
export function gatedLog(store: EventStore, gate: Gate): EventStore {
  const gated = gatedStore(store, gate)
  return {...store, readAll: options => gated.readAll(options)}
}

/** A driver whose answers can be late, and which gives a call up when it is told to. */
export function gatedDriver(
  driver: MachineDriver,
  gate: Gate,
): Pick<MachineDriver, 'start' | 'stop' | 'kill' | 'observe'> {
  const late = async <Value>(signal: AbortSignal, call: () => Promise<Value>): Promise<Value> => {
    const answer = await call()
    const {promise: givenUp, reject} = Promise.withResolvers<never>()
    const giveUp = (): void => reject(new DriverError('transient', 'the call was given up'))
    signal.addEventListener('abort', giveUp)
    await Promise.race([gate.pass(), givenUp]).finally(() => signal.removeEventListener('abort', giveUp))
    return answer
  }
  return {
    start: signal => late(signal, () => driver.start(signal)),
    stop: signal => late(signal, () => driver.stop(signal)),
    kill: signal => late(signal, () => driver.kill(signal)),
    observe: signal => late(signal, () => driver.observe(signal)),
  }
}
