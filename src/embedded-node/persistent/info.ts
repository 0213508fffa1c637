/** What the node tells about a group. Averages are of the time since the group was last asked about. */
import persistentPb from '@eventstore/db-client/generated/persistent_pb.js'

import type {Store} from '../store.ts'
import {availableSlots, type Consumer} from './consumers.ts'
import type {Group, GroupState} from './group.ts'
import {parkedRange} from './records.ts'
import {positionText} from './settings.ts'

const {SubscriptionInfo} = persistentPb
type Info = InstanceType<typeof SubscriptionInfo>

interface Asked {
  readonly atMs: number
  readonly totalItems: number
}

const lastAsked = new WeakMap<Group, Asked>()

export function infoOf(store: Store, group: Group): Info {
  const {source, group: name, startFrom, settings} = group.definition
  const state = group.state()
  const before = lastAsked.get(group) ?? {atMs: 0, totalItems: 0}
  const nowMs = performance.now()
  lastAsked.set(group, {atMs: nowMs, totalItems: state.totalItems})
  const seconds = (nowMs - before.atMs) / 1000
  const newItems = state.totalItems - before.totalItems
  const parked = parkedRange(store, group.key)
  const text = (at: number | null): string => (at === null ? '' : positionText(source, at))
  return new SubscriptionInfo()
    .setEventSource(source)
    .setGroupName(name)
    .setStatus(statusOf(state))
    .setConnectionsList(state.consumers.map(consumer => connectionOf(consumer, seconds)))
    .setAveragePerSecond(Math.floor(newItems / seconds))
    .setTotalItems(String(state.totalItems))
    .setCountSinceLastMeasurement(String(newItems))
    .setLastCheckpointedEventPosition(text(state.lastCheckpoint))
    .setLastKnownEventPosition(text(state.lastKnown))
    .setResolveLinkTos(settings.resolveLinks)
    .setStartFrom(positionText(source, startFrom))
    .setMessageTimeoutMilliseconds(settings.messageTimeoutMs)
    .setExtraStatistics(settings.extraStatistics)
    .setMaxRetryCount(settings.maxRetryCount)
    .setLiveBufferSize(settings.liveBufferSize)
    .setBufferSize(settings.historyBufferSize)
    .setReadBatchSize(settings.readBatchSize)
    .setCheckPointAfterMilliseconds(settings.checkpointAfterMs)
    .setMinCheckPointCount(settings.minCheckpointCount)
    .setMaxCheckPointCount(settings.maxCheckpointCount)
    .setReadBufferCount(state.waiting.read)
    .setLiveBufferCount('0')
    .setRetryBufferCount(state.waiting.retry)
    .setTotalInFlightMessages(state.consumers.reduce((sum, {inFlight}) => sum + inFlight.size, 0))
    .setOutstandingMessagesCount(state.outstanding)
    .setNamedConsumerStrategy(settings.strategy)
    .setMaxSubscriberCount(settings.maxSubscriberCount)
    .setParkedMessageCount(String(parked.end - parked.first))
}

function statusOf({isLive, isReplaying}: GroupState): string {
  const place = isLive ? 'Live' : 'Behind'
  if (!isReplaying) return place
  return isLive ? 'ReplayingParkedMessages, Live' : 'Behind, ReplayingParkedMessages'
}

function connectionOf(consumer: Consumer, seconds: number): InstanceType<typeof SubscriptionInfo.ConnectionInfo> {
  const {totalItems, lastTotalItems} = consumer
  consumer.lastTotalItems = totalItems
  const measurements = (consumer.timings?.measurements() ?? []).map(([key, value]) =>
    new SubscriptionInfo.Measurement().setKey(key).setValue(String(value)),
  )
  return new SubscriptionInfo.ConnectionInfo()
    .setFrom('')
    .setUsername(consumer.user)
    .setAverageItemsPerSecond(Math.floor((totalItems - lastTotalItems) / seconds))
    .setTotalItems(String(totalItems))
    .setCountSinceLastMeasurement(String(totalItems - lastTotalItems))
    .setObservedMeasurementsList(measurements)
    .setAvailableSlots(availableSlots(consumer))
    .setInFlightMessages(consumer.inFlight.size)
    .setConnectionName(consumer.connectionName)
}
