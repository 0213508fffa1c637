/**
 * Group commit: writes that arrive close together share one transaction and one fsync. Answers are given only after
 * COMMIT returned. While one group is being synced the next one gathers in the sockets, so that load makes the groups
 * larger by itself; the short wait below only keeps a group from being closed between two messages of one packet.
 */
import type {StoredEvent, Write, WriteOutcome} from './records.ts'
import {diskFailure} from './sqlite-errors.ts'
import type {Store} from './store.ts'
import type {Committed} from './write-transaction.ts'

export interface GroupCommit {
  /** Queues a write; `settle` is called once, after the group is on the disk. `deadlineMs` is since the Unix epoch. */
  enqueue(write: Write, deadlineMs: number, settle: (outcome: WriteOutcome) => void): void
  /** True when no more should be sent for now; `onRoom` tells when that is over. */
  isFull(): boolean
  onRoom(resume: () => void): void
  /** Settles all that is queued. */
  flush(): void
}

interface Queued {
  readonly write: Write
  readonly deadlineMs: number
  readonly settle: (outcome: WriteOutcome) => void
}

const QUEUED_WRITES_MAX = 2048
const QUEUED_BYTES_MAX = 32 * 1024 * 1024
const GROUP_WRITES_MAX = 512
const LINGER_MS_MAX = 2

export interface GroupCommitHooks {
  readonly nowMs: () => number
  /** Called after the writers were answered, with what was stored. */
  readonly committed: (events: readonly StoredEvent[]) => void
  /** The disk failed: nothing more may be written before a restart. */
  readonly broken: (error: Error) => void
}

export function groupCommit(store: Store, hooks: GroupCommitHooks): GroupCommit {
  let queue: Queued[] = []
  let queuedBytes = 0
  let waiting: (() => void)[] = []
  let failure: Failure | null = null
  let isTicking = false

  const isFull = (): boolean => queue.length >= QUEUED_WRITES_MAX || queuedBytes >= QUEUED_BYTES_MAX

  const flush = (): void => {
    while (queue.length > 0) {
      const group = queue
      queue = []
      queuedBytes = 0
      if (failure === null) failure = commitGroup(store, group, hooks)
      else for (const queued of group) queued.settle(failure)
    }
    const resumed = waiting
    waiting = []
    for (const resume of resumed) resume()
  }

  const tick = (seen: number, since: number): void => {
    const grew = queue.length > seen
    if (grew && queue.length < GROUP_WRITES_MAX && performance.now() - since < LINGER_MS_MAX) {
      setImmediate(tick, queue.length, since)
      return
    }
    isTicking = false
    flush()
  }

  return {
    enqueue(write, deadlineMs, settle) {
      queue.push({write, deadlineMs, settle})
      queuedBytes += bytesOf(write)
      if (isTicking) return
      isTicking = true
      setImmediate(tick, 0, performance.now())
    },
    isFull,
    onRoom(resume) {
      if (isFull()) waiting.push(resume)
      else resume()
    },
    flush,
  }
}

type Failure = Extract<WriteOutcome, {readonly type: 'failed'}>

/** Settles each write of the group. Answers what broke the disk, or null. */
function commitGroup(store: Store, group: readonly Queued[], hooks: GroupCommitHooks): Failure | null {
  const now = hooks.nowMs()
  const inTime = group.filter(queued => queued.deadlineMs > now)
  for (const queued of group) if (queued.deadlineMs <= now) queued.settle({type: 'timeout'})
  if (inTime.length === 0) return null
  let committed: Committed
  try {
    committed = store.commit(inTime.map(queued => queued.write))
  } catch (error) {
    const outcome = diskFailure(error)
    for (const queued of inTime) queued.settle(outcome)
    return brokenBy(outcome, error, hooks)
  }
  for (const [index, queued] of inTime.entries()) {
    const outcome = committed.outcomes[index]
    if (outcome !== undefined) queued.settle(outcome)
  }
  hooks.committed(committed.events)
  try {
    store.checkpointIfDue()
    return null
  } catch (error) {
    // A full disk leaves the events in the write-ahead log, where they are as safe; it is tried again later.
    return brokenBy(diskFailure(error), error, hooks)
  }
}

function brokenBy(outcome: ReturnType<typeof diskFailure>, error: unknown, hooks: GroupCommitHooks): Failure | null {
  if (outcome.type === 'diskFull') return null
  hooks.broken(error instanceof Error ? error : new Error(outcome.message))
  return outcome
}

function bytesOf(write: Write): number {
  if (write.kind !== 'append') return 0
  return write.events.reduce((sum, event) => sum + event.data.length + event.metadata.length, 0)
}
