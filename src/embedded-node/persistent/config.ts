/**
 * The groups that exist, kept as EventStoreDB keeps them: the newest event of `$persistentSubscriptionConfig` lists all.
 */
import {z} from 'zod'

import type {Store} from '../store.ts'
import {type GroupDefinition, type GroupFilter, parsePosition, positionText, strategyNames} from './settings.ts'

export const CONFIG_STREAM = '$persistentSubscriptionConfig'
export const CONFIG_TYPE = '$PersistentConfig'

const entry = z.object({
  stream: z.string().min(1),
  group: z.string(),
  filter: z
    .object({context: z.enum(['streamid', 'eventtype']), type: z.enum(['regex', 'prefix']), data: z.string()})
    .nullish(),
  resolveLinkTos: z.boolean(),
  extraStatistics: z.boolean(),
  messageTimeout: z.number(),
  startPosition: z.string(),
  liveBufferSize: z.number(),
  historyBufferSize: z.number(),
  maxRetryCount: z.number(),
  readBatchSize: z.number(),
  checkPointAfter: z.number(),
  minCheckPointCount: z.number(),
  maxCheckPointCount: z.number(),
  maxSubscriberCount: z.number(),
  namedConsumerStrategy: z.enum(strategyNames),
})
const config = z.object({version: z.string(), entries: z.array(entry)})

/** @throws Error when what is stored cannot be read */
export function readConfig(store: Store): readonly GroupDefinition[] {
  const {lastRevision} = store.state(CONFIG_STREAM)
  const [event] = lastRevision < 0 ? [] : store.readStream(CONFIG_STREAM, 'backwards', lastRevision, 1)
  if (event === undefined) return []
  const text = Buffer.from(event.data.buffer, event.data.byteOffset, event.data.byteLength).toString('utf8')
  return config.parse(JSON.parse(text)).entries.map(definitionOf)
}

function definitionOf(stored: z.infer<typeof entry>): GroupDefinition {
  return {
    source: stored.stream,
    group: stored.group,
    startFrom: parsePosition(stored.stream, stored.startPosition),
    filter: stored.filter === null || stored.filter === undefined ? null : filterOf(stored.filter),
    settings: {
      resolveLinks: stored.resolveLinkTos,
      extraStatistics: stored.extraStatistics,
      messageTimeoutMs: stored.messageTimeout,
      maxRetryCount: stored.maxRetryCount,
      checkpointAfterMs: stored.checkPointAfter,
      minCheckpointCount: stored.minCheckPointCount,
      maxCheckpointCount: stored.maxCheckPointCount,
      maxSubscriberCount: stored.maxSubscriberCount,
      liveBufferSize: stored.liveBufferSize,
      historyBufferSize: stored.historyBufferSize,
      readBatchSize: stored.readBatchSize,
      strategy: stored.namedConsumerStrategy,
    },
  }
}

function filterOf({context, type, data}: NonNullable<z.infer<typeof entry>['filter']>): GroupFilter {
  return {
    by: context === 'streamid' ? 'stream' : 'type',
    match: type === 'regex' ? {regex: data} : {prefixes: data.split(',').filter(prefix => prefix !== '')},
  }
}

export function configData(definitions: readonly GroupDefinition[], updatedMs: number, by: string): Buffer {
  const updated = new Date(updatedMs).toISOString()
  return Buffer.from(JSON.stringify({version: '2', updated, updatedBy: by, entries: definitions.map(entryOf)}))
}

function entryOf({source, group, startFrom, filter, settings}: GroupDefinition): z.infer<typeof entry> {
  return {
    stream: source,
    group,
    ...(filter === null ? {} : {filter: storedFilter(filter)}),
    resolveLinkTos: settings.resolveLinks,
    extraStatistics: settings.extraStatistics,
    messageTimeout: settings.messageTimeoutMs,
    startPosition: positionText(source, startFrom),
    liveBufferSize: settings.liveBufferSize,
    historyBufferSize: settings.historyBufferSize,
    maxRetryCount: settings.maxRetryCount,
    readBatchSize: settings.readBatchSize,
    checkPointAfter: settings.checkpointAfterMs,
    minCheckPointCount: settings.minCheckpointCount,
    maxCheckPointCount: settings.maxCheckpointCount,
    maxSubscriberCount: settings.maxSubscriberCount,
    namedConsumerStrategy: settings.strategy,
  }
}

function storedFilter({by, match}: GroupFilter) {
  const context = by === 'stream' ? ('streamid' as const) : ('eventtype' as const)
  return 'regex' in match
    ? {context, type: 'regex' as const, data: match.regex, isAllStream: true}
    : {context, type: 'prefix' as const, data: match.prefixes.join(','), isAllStream: true}
}
