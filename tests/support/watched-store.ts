import type {EventStore, ExpectedRevision, NewEvent} from '../../src/event-store/port.ts'

/** What a test wants to happen at an append: nothing, or the death of whoever asked for it. */
export type AppendFate = 'lives' | 'dies before' | 'dies after'

export interface AppendSeen {
  readonly stream: string
  readonly expected: ExpectedRevision
  readonly events: readonly NewEvent[]
}

/** Watches the calls of one engine, or of all of them. */
export interface StoreWatch {
  /** Calls under way. */
  readonly inFlight: Set<Promise<unknown>>
  /** Calls begun and ended so far. */
  calls: number
  /** Position of the last event anybody wrote; −1n before the first. */
  lastCommit: bigint
}

export class Crashed extends Error {
  override readonly name = 'Crashed'
}

export function newWatch(): StoreWatch {
  return {inFlight: new Set(), calls: 0, lastCommit: -1n}
}

/** The real store, with its calls counted and its caller killed where `fateOf` says so. */
export function watchedStore(
  store: EventStore,
  watch: StoreWatch,
  fateOf: (append: AppendSeen) => AppendFate | Promise<AppendFate> = () => 'lives',
): EventStore {
  const watched = <Value>(call: () => Promise<Value>): Promise<Value> => {
    watch.calls++
    const running = call().finally(() => {
      watch.inFlight.delete(settled)
      watch.calls++
    })
    const settled = running.catch(() => undefined)
    watch.inFlight.add(settled)
    return running
  }
  return {
    ...store,
    async append(stream, expected, events) {
      // A caller that the test holds up here is not under way: the world can come to rest meanwhile.
      const fate = await fateOf({stream, expected, events})
      if (fate === 'dies before') throw new Crashed(`before the append to ${stream}`)
      return watched(async () => {
        const appended = await store.append(stream, expected, events)
        if (appended.position.commit > watch.lastCommit) watch.lastCommit = appended.position.commit
        if (fate === 'dies after') throw new Crashed(`after the append to ${stream}`)
        return appended
      })
    },
    readStream: (stream, options) => watched(() => store.readStream(stream, options)),
    readAll: options => watched(() => store.readAll(options)),
  }
}
