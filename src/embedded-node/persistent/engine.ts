/**
 * What moves a group: it reads ahead as far as it has room, sends each message to one consumer, and marks how far all
 * is done. Whatever changes calls `advance`.
 */
import type {GroupCommit} from '../group-commit.ts'
import {groupError} from '../grpc-errors.ts'
import type {ReadContext} from '../read-context.ts'
import {type Backlog, openBacklog} from './backlog.ts'
import {openCheckpoint} from './checkpoint.ts'
import {type Deliveries, openDeliveries} from './deliveries.ts'
import type {Message} from './message.ts'
import {openReading, type Reading} from './reading.ts'
import {park} from './records.ts'
import {openReplay, type Replay} from './replay.ts'
import {type GroupDefinition, groupKey} from './settings.ts'

export interface Engine {
  readonly backlog: Backlog
  readonly deliveries: Deliveries
  readonly reading: Reading
  readonly replay: Replay
  lastCheckpoint(this: void): number | null
  advance(this: void): void
  /** Writes the checkpoint if it is due. */
  mark(isTick: boolean): void
  /** Sends the message again, before what was never sent. */
  retry(this: void, message: Message): void
  /** The same, or parks it when that was done often enough. */
  retryOrPark(this: void, message: Message): void
  park(this: void, message: Message, reason: string): void
  /** The message is acknowledged or skipped. */
  done(this: void, message: Message): void
  /** Ends the calls of all consumers; nothing moves from then on. */
  close(): void
  isClosed(): boolean
}

/** @throws BadMessage when the filter cannot be read */
export function openEngine(
  context: ReadContext,
  commits: GroupCommit,
  definition: GroupDefinition,
  liveFrom?: number,
): Engine {
  const {source, group, settings} = definition
  const key = groupKey(source, group)
  const backlog = openBacklog(settings.historyBufferSize)
  const checkpoint = openCheckpoint(context.store, commits, key, definition)
  const replay = openReplay(context.store, commits, key, backlog)
  const reading = openReading(context, definition, checkpoint.last() ?? {liveFrom}, backlog)
  const deliveries = openDeliveries(settings, backlog)
  let [isClosed, isScheduled] = [false, false]
  const close = (): void => {
    isClosed = true
    replay.close()
    for (const consumer of deliveries.consumers()) {
      deliveries.remove(consumer)
      consumer.call.fail(groupError('dropped', source, group))
    }
  }
  const advance = (): void => {
    if (isClosed) return
    replay.advance()
    deliveries.send()
    const read = reading.advance()
    // Nobody will ever get anything from a tombstoned stream again.
    if (read === 'gone') return close()
    deliveries.send()
    if (read === 'more' && backlog.hasRoom()) schedule()
  }
  const schedule = (): void => {
    if (isScheduled) return
    isScheduled = true
    setImmediate(() => {
      isScheduled = false
      context.guard(advance)
    })
  }
  const mark = (isTick: boolean): void => {
    if (isClosed) return
    const lowest = backlog.lowest()
    const at = lowest === null ? reading.lastRead() : lowest.previous
    if (at !== null) checkpoint.mark(at, lowest?.sequence ?? reading.count(), isTick)
  }
  const retry = (message: Message): void => {
    message.retryCount++
    backlog.retry(message)
  }
  const done = (message: Message): void => {
    backlog.done(message)
    replay.done(message)
  }
  const parkMessage = (message: Message, reason: string): void => {
    park(commits, key, message, reason, context.nowMs(), isDone => {
      if (isDone) done(message)
      else backlog.retry(message)
      mark(false)
      schedule()
    })
  }
  const retryOrPark = (message: Message): void => {
    if (message.retryCount < settings.maxRetryCount) retry(message)
    else parkMessage(message, `Reached retry count of ${settings.maxRetryCount}`)
  }
  const parts = {backlog, deliveries, reading, replay, lastCheckpoint: checkpoint.last, isClosed: () => isClosed}
  return {...parts, advance, mark, retry, retryOrPark, park: parkMessage, done, close}
}
