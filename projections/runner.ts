import type {DatabaseSync} from 'node:sqlite'
import {followAll} from '../src/event-store/subscription.ts'
import {
  StoreUnavailable,
  StreamTombstoned,
  type EventStore,
  type Position,
  type RecordedEvent,
} from '../src/event-store/port.ts'
import type {Registry} from '../src/event-store/registry.ts'
import type {StoredEvent} from '../src/kernel/messages.ts'
import type {Clock, Timers} from '../src/kernel/time.ts'
import type {DomainEvent, Projection} from './projection.ts'
import {createPace, type Pace} from './pace.ts'
import {openReadModels, type LogMark, type ReadModels} from './read-models.ts'

/**
 * Folds the log into the read models: one subscription, in order. Rows and checkpoints move in one transaction, so a
 * crash at any point repeats nothing and loses nothing; a transaction holds many batches, which readers see before it
 * ends.
 */
export interface ProjectionRunner {
  readonly db: DatabaseSync
  /** Position of the last event folded; −1 before the first. */
  position(): bigint
  /** Resolves true once everything up to `commit` is folded, false when that took longer than `timeoutMs`. */
  waitFor(commit: bigint, timeoutMs: number): Promise<boolean>
  /** Called after each folded batch, in log order. Must not throw and must not wait. */
  onBatch(listener: (batch: readonly StoredEvent<DomainEvent>[]) => void): () => void
  /** Read models that stopped at an event they cannot take, with the reason. */
  halted(): readonly {readonly name: string; readonly reason: string}[]
  /** Resolves once everything stored before the start is folded, or nothing more can be. */
  readonly caughtUp: Promise<void>
  isCaughtUp(): boolean
  /** Rejects when following ends by a bug; otherwise settles with `stop`. */
  readonly running: Promise<void>
  stop(): Promise<void>
}

export interface RunnerParts {
  readonly store: EventStore
  readonly registry: Registry
  readonly clock: Clock
  readonly timers: Timers
  readonly projections: readonly Projection[]
  /** Path of the SQLite file, or `:memory:`. */
  readonly file: string
  readonly onLost: (error: Error) => void
  /** What was folded could not be kept; it is folded again until there is room for it. */
  readonly onUnkept?: (error: Error) => void
  readonly onHalted: (name: string, error: Error) => void
  /** When to fold and to commit; given only by a simulation, whose every timer must be its own. */
  readonly pace?: MakePace
}

export type MakePace = (nowMs: () => number, fold: () => void, commit: () => void) => Pace

const batchMax = 500
const retryMs = 500

/** Begins to follow; a store that cannot be reached yet is waited for. */
export function startProjections(parts: RunnerParts): ProjectionRunner {
  const models = openReadModels(parts.file, parts.projections, parts.onHalted)
  const stopping = new AbortController()
  const waiters = new Set<{commit: bigint; resolve: () => void}>()
  const listeners = new Set<(batch: readonly StoredEvent<DomainEvent>[]) => void>()
  const caughtUp = Promise.withResolvers<void>()
  let buffer: StoredEvent<DomainEvent>[] = []
  let considered: Position | null = null
  let failure: Error | null = null
  let isCaughtUp = false
  let turn = new AbortController()

  /** Ends the turn when what was folded is gone: the next one folds it again. */
  const isLost = (): boolean => {
    const loss = models.takeLoss()
    if (loss === null) return false
    buffer = []
    considered = null
    parts.onUnkept?.(loss)
    turn.abort()
    return true
  }

  const flush = (): void => {
    pace.done()
    const batch = buffer
    buffer = []
    models.apply(batch, considered)
    if (isLost()) return
    for (const waiter of waiters) if (waiter.commit <= models.position()) waiter.resolve()
    if (batch.length > 0) for (const listener of listeners) listener(batch)
  }

  const nowMs = (): number => parts.clock.monotonicMs()
  const fold = (): void => {
    try {
      flush()
    } catch (error) {
      failure = error as Error
      stopping.abort()
    }
  }
  const pace = (parts.pace ?? createPace)(nowMs, fold, () => {
    if (!models.db.isOpen) return
    models.commit()
    isLost()
  })

  const isWaitedFor = (): boolean => {
    const reached = considered?.commit ?? -1n
    for (const waiter of waiters) if (waiter.commit <= reached) return true
    return false
  }

  /** Nobody can read what comes next: all that came before it counts, and nothing after it is folded or told. */
  const haltAt = async (error: Error): Promise<void> => {
    flush()
    models.haltAll(error)
    caughtUp.resolve()
    await ended(stopping.signal)
  }

  const follow = async (): Promise<void> => {
    const {signal} = stopping
    const mark = models.mark()
    const isMarked = mark === null || (await untilTold(parts, signal, () => holds(parts.store, mark))) !== false
    const head = await untilTold(parts, signal, () => headOf(parts.store))
    // Stopped before the store could tell: nothing is known against the checkpoints.
    if (signal.aborted) return
    models.checkAgainst(head, isMarked)
    while (!signal.aborted) {
      turn = new AbortController()
      await followFor(AbortSignal.any([signal, turn.signal]))
      if (!turn.signal.aborted) return
      await parts.timers.sleep(retryMs, signal)
    }
  }

  const followFor = async (signal: AbortSignal): Promise<void> => {
    const options = {after: models.resumeAfter(), signal, onLost: parts.onLost}
    for await (const message of followAll(parts.store, parts.timers, options)) {
      if (turn.signal.aborted) return
      if (message.type === 'caughtUp') {
        flush()
        isCaughtUp = true
        caughtUp.resolve()
        continue
      }
      if (message.type === 'event') {
        const stored = read(parts.registry, message.event)
        if (stored instanceof Error) return haltAt(stored)
        buffer.push(stored)
      }
      considered = message.type === 'event' ? message.event.position : message.position
      if (buffer.length >= batchMax) flush()
      else pace.soon(isWaitedFor())
    }
    if (failure !== null) throw failure
    if (!turn.signal.aborted) flush()
  }

  const running = follow()
  running.catch(caughtUp.reject)
  // Whoever waits for it is told; nobody has to wait.
  caughtUp.promise.catch(() => undefined)
  return {
    db: models.db,
    position: () => models.position(),
    waitFor(commit, timeoutMs) {
      if (commit <= (considered?.commit ?? -1n)) pace.soon(true)
      return waitFor(commit, timeoutMs, models, waiters, parts.timers)
    },
    onBatch(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    halted: () => models.halted(),
    caughtUp: caughtUp.promise,
    isCaughtUp: () => isCaughtUp,
    running,
    async stop() {
      stopping.abort()
      await running.catch(() => undefined)
      models.close()
    },
  }
}

/** Asks the store until it answers; null when `signal` came first. */
async function untilTold<Told>(
  {timers, onLost}: RunnerParts,
  signal: AbortSignal,
  ask: () => Promise<Told>,
): Promise<Told | null> {
  while (!signal.aborted) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error
      onLost(error)
    }
    await timers.sleep(retryMs, signal)
  }
  return null
}

async function headOf(store: EventStore): Promise<Position | null> {
  const last = await store.readAll({direction: 'backwards', from: 'end', maxCount: 1})
  return last[0]?.position ?? null
}

async function holds(store: EventStore, {stream, revision, id}: LogMark): Promise<boolean> {
  try {
    const found = await store.readStream(stream, {from: revision, maxCount: 1})
    return found?.[0]?.id === id
  } catch (error) {
    // Erased since, with its whole stream: no proof of another log, but none of the same.
    if (error instanceof StreamTombstoned) return false
    throw error
  }
}

function read(registry: Registry, recorded: RecordedEvent): StoredEvent<DomainEvent> | Error {
  try {
    return registry.fromStored(recorded) as StoredEvent<DomainEvent>
  } catch (error) {
    return error as Error
  }
}

function ended(signal: AbortSignal): Promise<void> {
  const {promise, resolve} = Promise.withResolvers<void>()
  if (signal.aborted) resolve()
  else signal.addEventListener('abort', () => resolve(), {once: true})
  return promise
}

async function waitFor(
  commit: bigint,
  timeoutMs: number,
  models: ReadModels,
  waiters: Set<{commit: bigint; resolve: () => void}>,
  timers: Timers,
): Promise<boolean> {
  if (models.position() >= commit) return true
  const reached = Promise.withResolvers<void>()
  const waiter = {commit, resolve: reached.resolve}
  const over = new AbortController()
  waiters.add(waiter)
  try {
    await Promise.race([reached.promise, timers.sleep(timeoutMs, over.signal)])
  } finally {
    // With a reason of its own: the platform's would be an error, with a stack, at every read that waits.
    over.abort('reached')
    waiters.delete(waiter)
  }
  return models.position() >= commit
}
