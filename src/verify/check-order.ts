import type {RecordedEvent} from '../event-store/port.ts'

export interface OrderRule {
  see(recorded: RecordedEvent): void
  /** What could only be judged at the end, each with the place it was met at. */
  end(): readonly {readonly at: RecordedEvent; readonly what: string}[]
}

/**
 * Positions grow, no id comes twice, and the revisions of a stream have no gaps: but for streams that were deleted or
 * have a limit, whose old events the store may have removed for good.
 */
export function checkOrder(report: (what: string) => void): OrderRule {
  const ids = new Set<string>()
  const last = new Map<string, bigint>()
  const mayLack = new Set<string>()
  const gaps: {readonly at: RecordedEvent; readonly what: string}[] = []
  let position = -1n
  return {
    see(recorded) {
      const {id, stream, revision, type} = recorded
      if (recorded.position.commit <= position) report(`its position is not after ${position}`)
      position = recorded.position.commit
      // Half the room of the text: a log holds many.
      const short = Buffer.from(id.replaceAll('-', ''), 'hex').toString('latin1')
      if (ids.has(short)) report(`its id ${id} is in the log twice`)
      ids.add(short)
      if (stream.startsWith('$$')) mayLack.add(stream.slice(2))
      if (type === '$streamDeleted') mayLack.add(stream)
      const expected = (last.get(stream) ?? -1n) + 1n
      if (revision < expected) report(`its revision comes after ${expected - 1n}`)
      if (revision > expected) gaps.push({at: recorded, what: `revisions ${expected} to ${revision - 1n} are missing`})
      last.set(stream, revision)
    },
    // Only what was written in the stream's own metadata, perhaps long after, tells whether events may be missing.
    end: () => gaps.filter(({at: {stream}}) => !stream.startsWith('$') && !mayLack.has(stream)),
  }
}
