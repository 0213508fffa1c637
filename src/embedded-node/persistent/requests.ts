/** The requests about groups, out of the generated messages. */
import type {CreateReq, ReadReq, UpdateReq} from '@eventstore/db-client/generated/persistent_pb.js'
import type {StreamIdentifier} from '@eventstore/db-client/generated/shared_pb.js'

import {BadMessage} from '../protobuf.ts'
import {keyOfId} from '../recent-ids.ts'
import {ALL, type GroupDefinition, type GroupFilter, type GroupSettings, LIVE, type StrategyName} from './settings.ts'

export function nameOf(identifier: StreamIdentifier | undefined): string {
  const name = Buffer.from(identifier?.getStreamName_asU8() ?? []).toString('utf8')
  if (name === '') throw new BadMessage('the request names no stream')
  return name
}

/** The source of a request that says `all` or names a stream. */
export function sourceOf(options: {hasAll(): boolean; getStreamIdentifier(): StreamIdentifier | undefined}): string {
  return options.hasAll() ? ALL : nameOf(options.getStreamIdentifier())
}

/** The numbers of CreateReq.ConsumerStrategy and UpdateReq.ConsumerStrategy. */
const strategies: readonly StrategyName[] = ['DispatchToSingle', 'RoundRobin', 'Pinned']

export function parseCreate(request: CreateReq): GroupDefinition {
  const options = request.getOptions()
  const settings = options?.getSettings()
  if (options === undefined || settings === undefined) throw new BadMessage('the request has no options or settings')
  const name = settings.getConsumerStrategy()
  return {
    ...startOf(options, settings),
    group: options.getGroupName(),
    filter: filterOf(options.getAll()),
    // A name that is none of ours is refused later, with EventStoreDB's words.
    settings: settingsOf(settings, name === '' ? strategyOf(settings.getNamedConsumerStrategy()) : name),
  }
}

/** The filter of a group stays as it was created; `filter` here is always null. */
export function parseUpdate(request: UpdateReq): GroupDefinition {
  const options = request.getOptions()
  const settings = options?.getSettings()
  if (options === undefined || settings === undefined) throw new BadMessage('the request has no options or settings')
  return {
    ...startOf(options, settings),
    group: options.getGroupName(),
    filter: null,
    settings: settingsOf(settings, strategyOf(settings.getNamedConsumerStrategy())),
  }
}

const strategyOf = (number: number): StrategyName => strategies[number] ?? 'RoundRobin'

function startOf(
  options: CreateReq.Options | UpdateReq.Options,
  settings: CreateReq.Settings | UpdateReq.Settings,
): {readonly source: string; readonly startFrom: number} {
  const all = options.getAll()
  if (all !== undefined) {
    const position = all.getPosition()
    const startFrom = position === undefined ? (all.hasEnd() ? LIVE : 0) : signed(position.getCommitPosition())
    return {source: ALL, startFrom}
  }
  const stream = options.getStream()
  // Clients from before subscriptions to $all put the stream and the revision elsewhere.
  const source = nameOf(stream?.getStreamIdentifier() ?? options.getStreamIdentifier())
  if (stream === undefined) return {source, startFrom: signed(settings.getRevision())}
  return {source, startFrom: stream.hasRevision() ? signed(stream.getRevision()) : stream.hasEnd() ? LIVE : 0}
}

/** On the wire the end is the largest number of all, −1 to the server. */
const signed = (text: string): number => Number(BigInt.asIntN(64, BigInt(text)))

function settingsOf(settings: CreateReq.Settings | UpdateReq.Settings, strategy: string): GroupSettings {
  const ticksToMs = (ticks: string): number => Math.floor(Number(ticks) / 10_000)
  return {
    resolveLinks: settings.getResolveLinks(),
    extraStatistics: settings.getExtraStatistics(),
    messageTimeoutMs: settings.hasMessageTimeoutTicks()
      ? ticksToMs(settings.getMessageTimeoutTicks())
      : settings.getMessageTimeoutMs(),
    maxRetryCount: settings.getMaxRetryCount(),
    checkpointAfterMs: settings.hasCheckpointAfterTicks()
      ? ticksToMs(settings.getCheckpointAfterTicks())
      : settings.getCheckpointAfterMs(),
    minCheckpointCount: settings.getMinCheckpointCount(),
    maxCheckpointCount: settings.getMaxCheckpointCount(),
    maxSubscriberCount: settings.getMaxSubscriberCount(),
    liveBufferSize: settings.getLiveBufferSize(),
    historyBufferSize: settings.getHistoryBufferSize(),
    readBatchSize: settings.getReadBatchSize(),
    strategy: strategy as StrategyName,
  }
}

function filterOf(all: CreateReq.AllOptions | undefined): GroupFilter | null {
  const filter = all?.getFilter()
  if (filter === undefined) return null
  const byStream = filter.getStreamIdentifier()
  const expression = byStream ?? filter.getEventType()
  if (expression === undefined) throw new BadMessage('the filter says nothing')
  const regex = expression.getRegex()
  return {
    by: byStream === undefined ? 'type' : 'stream',
    match: regex === '' ? {prefixes: expression.getPrefixList()} : {regex},
  }
}

/** Ids of acknowledged or refused events, as keys. */
export function keysOf(ids: ReturnType<ReadReq.Ack['getIdsList']>): readonly string[] {
  return ids.map(uuid => {
    const structured = uuid.getStructured()
    if (structured === undefined) return keyOfText(uuid.getString())
    const id = Buffer.alloc(16)
    id.writeBigUInt64BE(BigInt.asUintN(64, BigInt(structured.getMostSignificantBits())), 0)
    id.writeBigUInt64BE(BigInt.asUintN(64, BigInt(structured.getLeastSignificantBits())), 8)
    return keyOfId(id)
  })
}

function keyOfText(text: string): string {
  const id = Buffer.from(text.replaceAll('-', ''), 'hex')
  if (id.length !== 16) throw new BadMessage('an event id is no UUID')
  return keyOfId(id)
}
