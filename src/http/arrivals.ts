import type {Server} from 'node:net'
import type {Duplex} from 'node:stream'
import type {Clock, Timers} from '../kernel/time.ts'

/**
 * Tells how long a request that is read now may have waited for it. A process that stands still (stopped, starved, or
 * busy with itself) leaves requests unread in the kernel; when it goes on, nothing about them shows their age, and whoever
 * sent them may have gone to another node meanwhile.
 */
export interface Arrivals {
  /** What is read now from a connection arrived at this time or later, on the monotonic clock. */
  earliestMs(this: void, connection: Duplex): number
  /** Stops looking; to be called when nothing is read any more. */
  close(): Promise<void>
}

export interface ArrivalsParts {
  readonly server: Pick<Server, 'on'>
  /** So many connections, and one more, wait in the kernel to be accepted; others do not come to be. */
  readonly backlog: number
  readonly clock: Clock
  readonly timers: Timers
}

const lookEveryMs = 100

interface Accepted {
  readonly acceptedAtMs: number
  /** When it may have begun to wait for that. */
  readonly earliestMs: number
}

/**
 * Looks at what the event loop does, as long as it is not closed. In one round it reads all connections that it has, and
 * accepts one of those that wait (libuv since 1.45). So a request is known to be younger than
 * - the beginning of the last whole round, on a connection that was there at that time already;
 * - the last time when no connection waited, on one accepted later: a whole round that accepted none shows that;
 * - the accepting of the one before it by as many as can wait, since they are accepted in their order.
 *
 * Within a tenth of a second usually; after standing still, from the time before that on until all that waited is read.
 */
export function watchArrivals({server, backlog, clock, timers}: ArrivalsParts): Arrivals {
  const stopping = new AbortController()
  const connections = new WeakMap<Duplex, Accepted>()
  // Nothing can have arrived before there was anybody to listen.
  const startedMs = clock.monotonicMs()
  const acceptedAtMs = new Float64Array(backlog + 1).fill(startedMs)
  let accepted = 0
  let roundBeganMs = startedMs
  let noneWaitedMs = startedMs
  let isLooking = false

  function accept(connection: Duplex | null): void {
    const nowMs = clock.monotonicMs()
    const place = accepted++ % acceptedAtMs.length
    const earliestMs = Math.max(noneWaitedMs, acceptedAtMs[place] ?? startedMs)
    acceptedAtMs[place] = nowMs
    if (connection !== null) connections.set(connection, {acceptedAtMs: nowMs, earliestMs})
    look()
  }

  function look(): void {
    if (isLooking) return
    isLooking = true
    // The round that we are in has begun already.
    setImmediate(watchRound)
  }

  /** Called between two rounds. */
  function watchRound(): void {
    const beganMs = clock.monotonicMs()
    const acceptedBefore = accepted
    setImmediate(() => {
      roundBeganMs = beganMs
      if (accepted > acceptedBefore) return watchRound()
      noneWaitedMs = beganMs
      isLooking = false
    })
  }

  async function keepLooking(): Promise<void> {
    while (!stopping.signal.aborted) {
      await timers.sleep(lookEveryMs, stopping.signal)
      look()
    }
  }

  server.on('connection', accept)
  // Accepted and closed at once: there are too many.
  server.on('drop', () => accept(null))
  const looking = keepLooking()

  return {
    earliestMs(connection) {
      const known = connections.get(connection)
      return known === undefined || known.acceptedAtMs < roundBeganMs ? roundBeganMs : known.earliestMs
    },
    async close() {
      stopping.abort()
      await looking
    },
  }
}
