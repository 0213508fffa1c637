/** What a persistent subscription is created with, and how positions are written as text. */
import {BadMessage} from '../protobuf.ts'
import type {StoredEvent} from '../records.ts'

export const ALL = '$all'
/** `startFrom` of a group that begins with what is written after it starts. */
export const LIVE = -1

export const strategyNames = ['RoundRobin', 'DispatchToSingle', 'Pinned', 'PinnedByCorrelation'] as const
export type StrategyName = (typeof strategyNames)[number]

export interface GroupSettings {
  readonly resolveLinks: boolean
  readonly extraStatistics: boolean
  /** A message that is neither acknowledged nor refused within this is sent again. */
  readonly messageTimeoutMs: number
  /** So many times a message is sent again before it is parked. */
  readonly maxRetryCount: number
  /** 0: no checkpoint is written for the time alone. */
  readonly checkpointAfterMs: number
  readonly minCheckpointCount: number
  readonly maxCheckpointCount: number
  /** 0: any number. */
  readonly maxSubscriberCount: number
  readonly liveBufferSize: number
  readonly historyBufferSize: number
  readonly readBatchSize: number
  readonly strategy: StrategyName
}

/** Which events of $all a group gets. A regular expression, or prefixes of which one must match. */
export interface GroupFilter {
  readonly by: 'stream' | 'type'
  readonly match: {readonly regex: string} | {readonly prefixes: readonly string[]}
}

export interface GroupDefinition {
  /** A stream, or `$all`. */
  readonly source: string
  readonly group: string
  /** The first revision, or position in $all; `LIVE`. */
  readonly startFrom: number
  readonly filter: GroupFilter | null
  readonly settings: GroupSettings
}

/** The name by which EventStoreDB knows a group, also in the names of its streams. */
export const groupKey = (source: string, group: string): string => `${source}::${group}`

/** A position as checkpoints, the configuration and the information about a group write it. */
export const positionText = (source: string, at: number): string => (source === ALL ? `C:${at}/P:${at}` : String(at))

/** @throws BadMessage when the text is no position */
export function parsePosition(source: string, text: string): number {
  const match = source === ALL ? /^C:(-?\d+)\/P:-?\d+$/.exec(text) : /^(-?\d+)$/.exec(text)
  const at = Number(match?.[1] ?? Number.NaN)
  if (!Number.isSafeInteger(at)) throw new BadMessage(`'${text}' is no position in ${source}`)
  return at
}

/** Why a group cannot be as it is asked for, in EventStoreDB's order of checks; null when it can. */
export function definitionProblem(definition: GroupDefinition, lastPosition: number): string | null {
  const {source, startFrom, settings} = definition
  const {readBatchSize, historyBufferSize, strategy} = settings
  if (!strategyNames.includes(strategy)) return `Consumer strategy ${strategy} does not exist.`
  if (source !== ALL && startFrom < LIVE) {
    return 'Invalid Start From position: event number must be greater than or equal to -1.'
  }
  if (source === ALL && startFrom > lastPosition) {
    return (
      'Invalid Start From position: commit position must be less than or equal to the last commit position ' +
      'in the transaction file.'
    )
  }
  if (readBatchSize >= historyBufferSize) return 'ReadBatchSize may not be greater than or equal to BufferSize'
  const counts = Object.entries(settings).filter(([, value]) => typeof value === 'number' && value < 0)
  return counts.length === 0 ? null : `${counts.map(([name]) => name).join(', ')} may not be negative`
}

/**
 * The checkpoints and parked messages of groups on $all are kept from all groups on $all: they would be fed by
 * themselves.
 */
const ownStream = /^\$persistentsubscription-\$all::.*-(?:checkpoint|parked)$/s

/** @throws BadMessage when the filter's expression cannot be read */
export function passesAll(filter: GroupFilter | null): (event: StoredEvent) => boolean {
  const matches = filter === null ? null : matcher(filter.match)
  return event => {
    if (event.stream.startsWith('$') && ownStream.test(event.stream)) return false
    if (filter === null || matches === null) return true
    return matches(filter.by === 'stream' ? event.stream : event.type)
  }
}

function matcher(match: GroupFilter['match']): (name: string) => boolean {
  if ('prefixes' in match) return name => match.prefixes.some(prefix => name.startsWith(prefix))
  try {
    const pattern = new RegExp(match.regex)
    return name => pattern.test(name)
  } catch (error) {
    throw new BadMessage(`the filter's expression cannot be read: ${String(error)}`)
  }
}
