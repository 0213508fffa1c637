/** What both ways of appending check before the write is queued. */
import {APPEND_BYTES_MAX, type ProposedEvent} from './records.ts'

/** Why nothing can be written to a stream of this name; null when it can. */
export function streamProblem(stream: string): string | null {
  if (stream === '' || stream === '$$') return 'the stream has no name'
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
