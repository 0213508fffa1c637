/** What a Read call asks for, and the filters of $all. */
import type {ReadReq} from '@eventstore/db-client/generated/streams_pb.js'

import {BadMessage} from './protobuf.ts'
import type {StoredEvent} from './records.ts'
import type {UuidForm} from './read-messages.ts'

export interface ReadRequest {
  /** Null for $all. */
  readonly stream: string | null
  /** A revision, or a position when `stream` is null. */
  readonly from: number | 'start' | 'end'
  readonly direction: 'forwards' | 'backwards'
  readonly resolveLinks: boolean
  /** Most events to send; ignored by subscriptions. */
  readonly count: number
  readonly isSubscription: boolean
  readonly filter: Filter | null
  readonly uuidForm: UuidForm
}

export interface Filter {
  readonly passes: (event: StoredEvent) => boolean
  /** A checkpoint is sent after so many considered events. */
  readonly checkpointEvery: number
}

/** ReadReq.Options.ReadDirection. */
const BACKWARDS = 1
/** EventStoreDB's window when the client asks for none. */
const WINDOW_DEFAULT = 32

/** @throws BadMessage when the request makes no sense */
export function parseReadRequest(request: ReadReq): ReadRequest {
  const options = request.getOptions()
  if (options === undefined) throw new BadMessage('the read has no options')
  const all = options.getAll()
  const streamOptions = options.getStream()
  const target = all === undefined ? streamTarget(streamOptions) : {stream: null, from: allFrom(all)}
  const filter = options.getFilter()
  return {
    ...target,
    direction: (options.getReadDirection() as number) === BACKWARDS ? 'backwards' : 'forwards',
    resolveLinks: options.getResolveLinks(),
    count: options.hasCount() ? Number(options.getCount()) : Infinity,
    isSubscription: options.hasSubscription(),
    filter: filter === undefined ? null : parseFilter(filter),
    uuidForm: options.getUuidOption()?.hasStructured() === true ? 'structured' : 'string',
  }
}

function streamTarget(options: ReadReq.Options.StreamOptions | undefined): Pick<ReadRequest, 'stream' | 'from'> {
  const name = options?.getStreamIdentifier()?.getStreamName_asU8()
  if (options === undefined || name === undefined || name.length === 0) throw new BadMessage('the read names no stream')
  const stream = Buffer.from(name).toString('utf8')
  if (options.hasRevision()) return {stream, from: Number(options.getRevision())}
  return {stream, from: options.hasEnd() ? 'end' : 'start'}
}

function allFrom(options: ReadReq.Options.AllOptions): ReadRequest['from'] {
  const position = options.getPosition()
  if (position !== undefined) return Number(position.getCommitPosition())
  return options.hasEnd() ? 'end' : 'start'
}

function parseFilter(options: ReadReq.Options.FilterOptions): Filter {
  const byStream = options.getStreamIdentifier()
  const expression = byStream ?? options.getEventType()
  if (expression === undefined) throw new BadMessage('the filter says nothing')
  const nameOf = (event: StoredEvent): string => (byStream === undefined ? event.type : event.stream)
  const matches = matcher(expression.getRegex(), expression.getPrefixList())
  const window = options.hasMax() ? options.getMax() : WINDOW_DEFAULT
  return {
    passes: event => matches(nameOf(event)),
    checkpointEvery: window * Math.max(1, options.getCheckpointintervalmultiplier()),
  }
}

function matcher(regex: string, prefixes: readonly string[]): (name: string) => boolean {
  if (regex === '') return name => prefixes.some(prefix => name.startsWith(prefix))
  try {
    const pattern = new RegExp(regex)
    return name => pattern.test(name)
  } catch (error) {
    throw new BadMessage(`the filter's expression cannot be read: ${error instanceof Error ? error.message : regex}`)
  }
}
