import type {EventStore} from '../../src/event-store/port.ts'
import type {Timers} from '../../src/kernel/time.ts'

/** While it is closed, nobody gets past: the answers of calls and the ends of sleeps come when it is opened again. */
export interface Gate {
  close(): void
  open(): void
  pass(): Promise<void>
}

export function openGate(): Gate {
  let closed: PromiseWithResolvers<void> | null = null
  return {
    close() {
      closed ??= Promise.withResolvers()
    },
    open() {
      closed?.resolve()
      closed = null
    },
    pass: () => closed?.promise ?? Promise.resolve(),
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
