import type {RecordedEvent} from '../../src/event-store/port.ts'
import type {Memory} from './acts.ts'
import type {Report} from './rule.ts'

/** What somebody was told is done is in the log. */
export function checkAcknowledged(memory: Memory, log: readonly RecordedEvent[], report: Report): void {
  const written = new Set(log.map(({stream, type}) => `${stream} ${type}`))
  for (const {stream, type} of memory.acknowledged) {
    if (!written.has(`${stream} ${type}`)) report(`${type} of ${stream} was acknowledged and is not in the log`)
  }
}
