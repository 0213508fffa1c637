import {
  OutcomeUnknown,
  StoreUnavailable,
  WrongExpectedRevision,
  type AllMessage,
  type Appended,
  type EventStore,
  type ExpectedRevision,
  type NewEvent,
  type ReadAllOptions,
  type ReadStreamOptions,
  type RecordedEvent,
} from '../../src/event-store/port.ts'
import type {Dice} from './dice.ts'
import type {Faults} from './faults.ts'
import {within, type Life, type VirtualTime} from './virtual-time.ts'

/** An event store in memory, and connections to it that fail on purpose. */
export interface SimulatedStore {
  readonly log: readonly RecordedEvent[]
  /** While true, nobody is answered. */
  setDown(isDown: boolean): void
  isDown(): boolean
  /** While true, its disk is full: it answers, and takes nothing. */
  setFull(isFull: boolean): void
  /**
   * A connection of one program; after its life no answer arrives on it. Without faults: an honest observer's. With
   * `befall`, something comes over the program between what it asks for and the answer.
   */
  connect(life: Life, faults: Faults | null, befall?: Befall): EventStore
}

/** A crash or a standstill of one program, at once. */
export type Befall = (what: 'crash' | 'stall') => void

export interface StoreParts {
  readonly time: VirtualTime
  readonly dice: Dice
  /** Told of every event when it is written, with its text and the number of its append. Must not throw. */
  readonly onEvent: (event: RecordedEvent, text: string, appendNumber: number) => void
}

const latencyMsMax = 20
const lateMsMax = 5_000

export function simulatedStore(parts: StoreParts): SimulatedStore {
  const log: RecordedEvent[] = []
  const streams = new Map<string, RecordedEvent[]>()
  const followers = new Set<() => void>()
  let isDown = false
  let isFull = false
  let appends = 0
  const wakeFollowers = (): void => {
    for (const wake of followers) wake()
  }

  function append(stream: string, expected: ExpectedRevision, events: readonly NewEvent[]): Appended {
    if (typeof expected !== 'bigint' && expected !== 'noStream') throw new Error(`nobody expects ${expected}`)
    const there = streams.get(stream) ?? []
    const from = expected === 'noStream' ? 0 : Number(expected) + 1
    const repeated = there.slice(from, from + events.length)
    const isRepeat = repeated.length > 0 && events.every(({id}, index) => repeated[index]?.id === id)
    if (!isRepeat && there.length !== from) {
      throw new WrongExpectedRevision(stream, there.length === 0 ? null : BigInt(there.length - 1))
    }
    if (!isRepeat && isFull) throw new StoreUnavailable('the disk is full')
    if (!isRepeat) appends++
    if (!isRepeat) for (const event of events) record(stream, there, event)
    const last = there[from + events.length - 1]
    if (last === undefined) throw new Error('an append of nothing')
    if (!isRepeat) wakeFollowers()
    return {revision: last.revision, position: last.position}
  }

  function record(stream: string, there: RecordedEvent[], {id, type, data, metadata}: NewEvent): void {
    const commit = BigInt(log.length)
    const text = JSON.stringify({data, metadata})
    const copy = JSON.parse(text) as {data: unknown; metadata: unknown}
    const revision = BigInt(there.length)
    const recordedAtMs = Math.floor(parts.time.nowMs())
    const event = {id, type, stream, revision, position: {commit, prepare: commit}, recordedAtMs, ...copy}
    there.push(event)
    log.push(event)
    streams.set(stream, there)
    parts.onEvent(event, text, appends)
  }

  const server: Server = {log, streams, followers, append, isDown: () => isDown}
  return {
    log,
    setDown(down) {
      isDown = down
      wakeFollowers()
    },
    isDown: () => isDown,
    setFull(full) {
      isFull = full
    },
    connect: (life, faults, befall = () => undefined) => connection({...parts, server, life, faults, befall}),
  }
}

interface Server {
  readonly log: readonly RecordedEvent[]
  readonly streams: ReadonlyMap<string, readonly RecordedEvent[]>
  readonly followers: Set<() => void>
  append(stream: string, expected: ExpectedRevision, events: readonly NewEvent[]): Appended
  isDown(): boolean
}

interface Connection extends StoreParts {
  readonly server: Server
  readonly life: Life
  readonly faults: Faults | null
  readonly befall: Befall
}

function connection(to: Connection): EventStore {
  const {server, faults} = to
  const never = (): Promise<never> => Promise.reject(new Error('the engine does not do this'))
  const read = async <Value>(of: () => Value): Promise<Value> => {
    await hop(to)
    if (server.isDown()) throw new StoreUnavailable('the store is down')
    if (faults?.strikes('readRefused') === true) throw new StoreUnavailable('the read was refused')
    const value = of()
    await hop(to)
    return value
  }
  return {
    append: (stream, expected, events) => appendOver(to, stream, expected, events),
    readStream: (stream, options) => read(() => page(server.streams.get(stream) ?? null, options)),
    readAll: options => read(() => pageOfAll(server.log, options)),
    subscribeToAll: ({after, signal}) => follow(to, after === undefined ? 0 : Number(after.commit) + 1, signal),
    subscribeToStream() {
      throw new Error('the engine does not do this')
    },
    deleteStream: never,
    tombstoneStream: never,
    isReady: () => Promise.resolve(!server.isDown()),
    close: () => Promise.resolve(),
  }
}

/** A request that was sent arrives whether or not its sender lives on; its answer only reaches the living. */
async function appendOver(
  to: Connection,
  stream: string,
  expected: ExpectedRevision,
  events: readonly NewEvent[],
): Promise<Appended> {
  const {server, faults} = to
  const wasSent = await arrival(to)
  const isRefused = server.isDown() || faults?.strikes('appendRefused') === true
  if (isRefused || !wasSent) {
    await hop(to)
    throw new StoreUnavailable('the append was refused')
  }
  if (faults?.strikes('requestLost') === true) {
    comeOver(to, stream)
    await hop(to)
    throw new OutcomeUnknown('the request was lost')
  }
  if (faults?.strikes('requestLate') === true) {
    appendLater(to, stream, expected, events)
    comeOver(to, stream)
    await hop(to)
    throw new OutcomeUnknown('the request is late')
  }
  try {
    const appended = server.append(stream, expected, events)
    comeOver(to, stream)
    if (faults?.strikes('requestTwice') === true) appendLater(to, stream, expected, events)
    await hop(to)
    if (faults?.strikes('replyLost') === true) throw new OutcomeUnknown('the reply was lost')
    return appended
  } catch (error) {
    if (error instanceof WrongExpectedRevision) {
      faults?.count('wrongRevision')
      await hop(to)
    } else if (error instanceof StoreUnavailable) {
      faults?.count('refusedByFullDisk')
      await hop(to)
    }
    throw error
  }
}

/** A program dies, or stands still, between two steps: the moments that a guard is for. */
function comeOver({faults, befall, life}: Connection, stream: string): void {
  if (life.isOver) return
  if (faults?.strikes('crashAtAppend') === true) befall('crash')
  else if (/^(machine|booking|calendar|account)-/.test(stream) && faults?.strikes('stallAtAppend') === true)
    befall('stall')
}

/** The network holds a request, or a copy of one, back for a while. Nobody hears what came of it. */
function appendLater(to: Connection, stream: string, expected: ExpectedRevision, events: readonly NewEvent[]): void {
  to.time.after(to.dice.below(lateMsMax), () => {
    if (to.server.isDown()) return
    try {
      to.server.append(stream, expected, events)
    } catch (error) {
      if (!(error instanceof WrongExpectedRevision) && !(error instanceof StoreUnavailable)) throw error
    }
  })
}

/** On the network, not in the program: half the requests under way when a program dies still arrive. */
function arrival({time, dice, life}: Connection): Promise<boolean> {
  const {promise, resolve} = Promise.withResolvers<boolean>()
  time.after(dice.below(latencyMsMax), () => resolve(!life.isOver || dice.chance(0.5)))
  return promise
}

function hop({time, dice, life}: Connection): Promise<void> {
  const {promise, resolve} = Promise.withResolvers<void>()
  time.after(dice.below(latencyMsMax), within(life, resolve))
  return promise
}

function page(events: readonly RecordedEvent[] | null, options: ReadStreamOptions): readonly RecordedEvent[] | null {
  if (events === null) return null
  const {direction = 'forwards', from, maxCount} = options
  if (direction !== 'forwards' || typeof from !== 'bigint') throw new Error('the engine does not do this')
  return events.slice(Number(from), Number(from) + maxCount)
}

function pageOfAll(log: readonly RecordedEvent[], {direction, from, maxCount}: ReadAllOptions) {
  if (direction !== 'backwards' || from !== 'end') throw new Error('the engine does not do this')
  return log.slice(-maxCount).reverse()
}

async function* follow(to: Connection, from: number, signal: AbortSignal): AsyncGenerator<AllMessage, void, undefined> {
  const {server, faults} = to
  await hop(to)
  let isCaughtUp = false
  for (let next = from; !signal.aborted;) {
    if (server.isDown()) throw new StoreUnavailable('the store is down')
    const event = server.log[next]
    if (event === undefined) {
      if (isCaughtUp) await newsFor(to, signal)
      else yield {type: 'caughtUp'}
      isCaughtUp = true
      continue
    }
    if (faults?.strikes('subscriptionDropped') === true) throw new StoreUnavailable('the subscription was dropped')
    yield {type: 'event', event}
    if (faults?.strikes('deliveredTwice') === true) yield {type: 'event', event}
    next++
  }
}

function newsFor(to: Connection, signal: AbortSignal): Promise<void> {
  const {promise, resolve} = Promise.withResolvers<void>()
  const {followers} = to.server
  const wake = (): void => {
    followers.delete(wake)
    signal.removeEventListener('abort', wake)
    if (to.life.isOver) return
    to.time.after(to.dice.below(latencyMsMax), within(to.life, resolve))
  }
  followers.add(wake)
  signal.addEventListener('abort', wake)
  return promise
}
