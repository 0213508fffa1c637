/**
 * A group of consumers that share the events of a stream or of $all. The rules were read in EventStoreDB's BSD-licensed sources (tag
 * oss-v24.6.0). Where that server can lose a message (a checkpoint that overtakes one that is being parked, or one that
 * waits for its pinned consumer) this node keeps it.
 */
import type {GroupCommit} from '../group-commit.ts'
import {groupError} from '../grpc-errors.ts'
import type {ReadContext} from '../read-context.ts'
import {type Consumer, type ConsumerCall, openConsumer} from './consumers.ts'
import {type Engine, openEngine} from './engine.ts'
import type {Message} from './message.ts'
import {type GroupDefinition, groupKey} from './settings.ts'

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

/**
 * @param liveFrom where a group without a checkpoint begins that starts from the end; default the end of now
 * @throws BadMessage when the filter cannot be read
 */
export function openGroup(
  context: ReadContext,
  commits: GroupCommit,
  definition: GroupDefinition,
  liveFrom?: number,
): Group {
  const {source, group, settings} = definition
  const engine = openEngine(context, commits, definition, liveFrom)
  const {deliveries, advance} = engine

  const settleAll = (keys: readonly string[], settle: (message: Message) => void): void => {
    for (const message of keys.map(deliveries.takeBack)) if (message !== null) settle(message)
    engine.mark(false)
    advance()
  }
  return {
    key: groupKey(source, group),
    definition,
    connect(call, user, connectionName, slots) {
      const {maxSubscriberCount, extraStatistics} = settings
      if (maxSubscriberCount !== 0 && deliveries.consumers().length >= maxSubscriberCount) return null
      const consumer = openConsumer(call, user, connectionName, Math.min(slots, SLOTS_MAX), extraStatistics)
      if (engine.isClosed()) call.fail(groupError('dropped', source, group))
      else deliveries.add(consumer)
      advance()
      return consumer
    },
    disconnect(consumer) {
      for (const message of deliveries.remove(consumer) ?? []) engine.retry(message)
      advance()
    },
    ack: keys => settleAll(keys, engine.done),
    nack(keys, action, reason) {
      settleAll(keys, message => {
        if (action === 'retry') engine.retryOrPark(message)
        else if (action === 'park') engine.park(message, `Client explicitly NAK'ed message.\n${reason}`)
        else engine.done(message)
      })
    },
    replayParked(stopAt) {
      engine.replay.begin(stopAt)
      advance()
    },
    advance,
    tick() {
      for (const message of deliveries.takeExpired()) engine.retryOrPark(message)
      engine.mark(true)
      advance()
    },
    close: () => engine.close(),
    state: () => stateOf(engine),
  }
}

function stateOf({backlog, deliveries, reading, replay, lastCheckpoint}: Engine): GroupState {
  return {
    consumers: deliveries.consumers(),
    outstanding: deliveries.outstanding(),
    totalItems: deliveries.totalItems(),
    isLive: reading.isLive(),
    isReplaying: replay.isRunning(),
    lastCheckpoint: lastCheckpoint(),
    lastKnown: reading.lastKnown(),
    waiting: backlog.counts(),
  }
}
