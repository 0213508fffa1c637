/**
 * A group of consumers that share the events of a stream or of $all. It reads ahead as far as it has room, sends each
 * message to one consumer and waits for its answer. The rules were read in EventStoreDB's BSD-licensed sources (tag
 * oss-v24.6.0). Where that server can lose a message (a checkpoint that overtakes one that is being parked, or one that
 * waits for its pinned consumer) this node keeps it.
 */
import type {GroupCommit} from '../group-commit.ts'
import {groupError} from '../grpc-errors.ts'
import type {ReadContext} from '../read-context.ts'
import {openBacklog} from './backlog.ts'
import {openCheckpoint} from './checkpoint.ts'
import {type Consumer, type ConsumerCall, openConsumer} from './consumers.ts'
import {type Deliveries, openDeliveries} from './deliveries.ts'
import type {Message} from './message.ts'
import {openReading} from './reading.ts'
import {park} from './records.ts'
import {openReplay} from './replay.ts'
import {type GroupDefinition, groupKey, type GroupSettings} from './settings.ts'

export type NackAction = 'park' | 'retry' | 'skip'

export interface GroupState {
  readonly consumers: readonly Consumer[]
  readonly isLive: boolean
  readonly isReplaying: boolean
  readonly lastCheckpoint: number | null
  readonly lastKnown: number | null
  readonly totalItems: number
  readonly outstanding: number
  readonly waiting: {readonly read: number; readonly retry: number}
}

export interface Group {
  readonly key: string
  readonly definition: GroupDefinition
  /** Null when as many are connected as may be. */
  connect(call: ConsumerCall, user: string, connectionName: string, slots: number): Consumer | null
  disconnect(consumer: Consumer): void
  ack(keys: readonly string[]): void
  nack(keys: readonly string[], action: NackAction, reason: string): void
  replayParked(stopAt: number | null): void
  /** Something was written, or a consumer takes again. */
  advance(): void
  /** Once a second. */
  tick(): void
  /** Ends the calls of all consumers; the group does nothing from then on. */
  close(): void
  state(): GroupState
}

/** Most messages that one consumer may have on its way, whatever it asks for. */
const SLOTS_MAX = 5000

/** @throws BadMessage when the filter cannot be read */
export function openGroup(context: ReadContext, commits: GroupCommit, definition: GroupDefinition): Group {
  const {source, group, settings} = definition
  const key = groupKey(source, group)
  const backlog = openBacklog(settings.historyBufferSize)
  const checkpoint = openCheckpoint(context.store, commits, key, definition)
  const replay = openReplay(context.store, commits, key, backlog)
  const reading = openReading(context, definition, checkpoint.last(), backlog)
  const deliveries = openDeliveries(settings, backlog)
  let isClosed = false
  let isScheduled = false

  const close = (): void => {
    isClosed = true
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
  const markCheckpoint = (isTick: boolean): void => {
    if (isClosed) return
    const lowest = backlog.lowest()
    const at = lowest === null ? reading.lastRead() : lowest.previous
    if (at !== null) checkpoint.mark(at, lowest?.sequence ?? reading.count(), isTick)
  }
  const parking: Parking = {
    settings,
    retry: backlog.retry,
    park(message, reason) {
      park(commits, key, message, reason, context.nowMs(), isDone => {
        if (isDone) backlog.done(message)
        else backlog.retry(message)
        markCheckpoint(false)
        schedule()
      })
    },
  }
  const settleAll = (keys: readonly string[], settle: (message: Message) => void): void => {
    for (const message of keys.map(deliveries.takeBack)) if (message !== null) settle(message)
    markCheckpoint(false)
    advance()
  }
  return {
    key,
    definition,
    connect(call, user, connectionName, slots) {
      const {maxSubscriberCount, extraStatistics} = settings
      if (maxSubscriberCount !== 0 && deliveries.consumers().length >= maxSubscriberCount) return null
      const consumer = openConsumer(call, user, connectionName, Math.min(slots, SLOTS_MAX), extraStatistics)
      if (isClosed) call.fail(groupError('dropped', source, group))
      else deliveries.add(consumer)
      advance()
      return consumer
    },
    disconnect(consumer) {
      for (const message of deliveries.remove(consumer) ?? []) sendAgain(parking, message)
      advance()
    },
    ack: keys => settleAll(keys, backlog.done),
    nack(keys, action, reason) {
      settleAll(keys, message => {
        if (action === 'retry') sendAgainOrPark(parking, message)
        else if (action === 'park') parking.park(message, `Client explicitly NAK'ed message.\n${reason}`)
        else backlog.done(message)
      })
    },
    replayParked(stopAt) {
      replay.begin(stopAt)
      advance()
    },
    advance,
    tick() {
      for (const message of deliveries.takeExpired()) sendAgainOrPark(parking, message)
      markCheckpoint(true)
      advance()
    },
    close,
    state: () => ({
      ...stateOfDeliveries(deliveries),
      isLive: reading.isLive(),
      isReplaying: replay.isRunning(),
      lastCheckpoint: checkpoint.last(),
      lastKnown: reading.lastKnown(),
      waiting: backlog.counts(),
    }),
  }
}

interface Parking {
  readonly settings: GroupSettings
  retry(this: void, message: Message): void
  park(this: void, message: Message, reason: string): void
}

function sendAgain({retry}: Parking, message: Message): void {
  message.retryCount++
  retry(message)
}

function sendAgainOrPark(parking: Parking, message: Message): void {
  const {maxRetryCount} = parking.settings
  if (message.retryCount < maxRetryCount) sendAgain(parking, message)
  else parking.park(message, `Reached retry count of ${maxRetryCount}`)
}

function stateOfDeliveries(deliveries: Deliveries): Pick<GroupState, 'consumers' | 'outstanding' | 'totalItems'> {
  return {
    consumers: deliveries.consumers(),
    outstanding: deliveries.outstanding(),
    totalItems: deliveries.totalItems(),
  }
}
