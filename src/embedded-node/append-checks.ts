/** What both ways of appending check before the write is queued. */
import {type ServiceError, status} from '@grpc/grpc-js'

import {grpcError, NOTHING_WRITTEN} from './grpc-errors.ts'
import {APPEND_BYTES_MAX, type ProposedEvent} from './records.ts'

/** Calls that append, of all clients: each may hold an append that is still coming in. */
const OPEN_APPENDS_MAX = 2048

/** Why no more calls that append are taken now; null when they are. */
export function appendsProblem(openAppends: ReadonlySet<unknown>): ServiceError | null {
  if (openAppends.size < OPEN_APPENDS_MAX) return null
  const text = `${NOTHING_WRITTEN}: this node takes ${OPEN_APPENDS_MAX} appends at a time`
  return grpcError(status.RESOURCE_EXHAUSTED, text)
}

/** Names are kept in memory and in every answer: they must not be without bound. */
const STREAM_NAME_BYTES_MAX = 4096

/** Why nothing can be written to a stream of this name; null when it can. */
export function streamProblem(stream: string): string | null {
  if (stream === '' || stream === '$$') return 'the stream has no name'
  if (Buffer.byteLength(stream) > STREAM_NAME_BYTES_MAX) {
    return `the name of a stream has more than ${STREAM_NAME_BYTES_MAX} bytes`
  }
  if (stream === '$all') return '$all cannot be written to'
  return stream.includes('\0') ? 'the name of a stream holds a NUL' : null
}

/** The events of one append as they come in, with the size that EventStoreDB counts. */
export interface Collected {
  readonly events: readonly ProposedEvent[]
  add(event: ProposedEvent): void
  isTooLarge(): boolean
}

export function collectEvents(): Collected {
  const events: ProposedEvent[] = []
  let bytes = 0
  const isTooLarge = (): boolean => bytes > APPEND_BYTES_MAX
  return {
    events,
    add(event) {
      bytes += event.data.length + event.metadata.length + 2 * event.type.length
      if (isTooLarge()) events.length = 0
      else events.push(event)
    },
    isTooLarge,
  }
}
